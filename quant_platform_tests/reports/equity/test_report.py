from __future__ import annotations

import copy
import json
import re
from functools import lru_cache
from typing import Any

import pytest

from quant_platform.contracts.errors import StatisticError
from quant_platform.reports.equity.report import ANCHORS, render_equity_report
from quant_platform_tests.reports.reading import Node, body_rows, cells, drawn, read_html, section, shown, table_with
from quant_platform_tests.reports.sample import FACTORS, sample_report

EDGE = "Information coefficient by factor, 30-session returns"
ALL = "All candidates and those the gate let through"
STAR = "★"


@lru_cache(maxsize=2)
def usual(*, simulated: bool = True) -> tuple[str, Node]:
    """The page of the usual report, made once: as text and as read."""
    text = render_equity_report(sample_report(simulated=simulated))
    return text, read_html(text)


def rendered(report: dict[str, Any]) -> Node:
    return read_html(render_equity_report(report))


def behind(cell: Node) -> float:
    return float(cell.all("data")[0].attributes["value"] or "nan")


def number_of(text: str) -> float:
    return float(text.replace("−", "-").replace(",", "").rstrip("%"))


def test_the_page_is_one_file_that_loads_nothing() -> None:
    _, root = usual()
    assert len(render_equity_report(sample_report(weeks=520)).encode()) < 3_000_000
    loading = {"link", "img", "iframe", "object", "embed", "image", "use", "base", "form", "video", "audio"}
    for node in root.everything():
        assert node.tag not in loading
        assert not {"src", "srcset", "data-src", "onload", "onclick"} & set(node.attributes)
        assert (node.attributes.get("href") or "#").startswith(("#", "data:text/csv"))
    policies = [node for node in root.all("meta") if node.attributes.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in (policies[0].attributes["content"] or "")
    # Vega stands in the page once, however many figures it has.
    assert len(drawn(root)) > 20
    assert len([node for node in root.all("script") if "type" not in node.attributes]) == 2


def test_every_link_of_the_contents_has_its_section() -> None:
    root = usual()[1]
    anchors = {node.attributes.get("id") for node in root.all("section")}
    links = [node.attributes["href"] or "" for node in root.all("nav", "contents")[0].all("a")]
    assert {link[1:] for link in links} == set(ANCHORS) == anchors
    identities = [node.attributes["id"] for node in root.everything() if "id" in node.attributes]
    assert len(identities) == len(set(identities))


@pytest.mark.parametrize("simulated", [True, False])
def test_simulated_stands_everywhere_if_and_only_if_it_is(simulated: bool) -> None:
    text, root = usual(simulated=simulated)
    assert ("SIMULATED" in text) == simulated
    assert len(root.all("div", "banner")) == int(simulated)
    for figure in drawn(root):
        assert ("SIMULATED" in figure.picture.text) == simulated
        assert ("SIMULATED" in json.dumps(figure.spec)) == simulated
    assert sum("SIMULATED" in node.text for node in root.all("h2")) == (len(ANCHORS) if simulated else 0)
    assert "SIMULATED market" in section(root, "provenance").text if simulated else True


def test_the_signal_edge_table_says_what_the_report_says() -> None:
    report = sample_report()
    rows = body_rows(table_with(rendered(report), EDGE))
    assert len(rows) == len(FACTORS)
    for row, want in zip(rows, report["signal_edge"], strict=True):
        name, ic, sd, icir, weeks, independent, t, _, ewc, spread, log_ic, _, _ = cells(row)
        assert shown(name).removesuffix(f" {STAR}") == want["factor"]
        for cell, key, scale, decimals in [
            (ic, "ic", 1, 3),
            (sd, "ic_sd", 1, 3),
            (icir, "icir", 1, 3),
            (weeks, "n_weeks", 1, 0),
            (independent, "n_independent", 1, 0),
            (t, "t_nonoverlapping", 1, 2),
            (ewc, "t_ewc", 1, 2),
            (spread, "spread", 100, 1),
            (log_ic, "ic_log", 1, 3),
        ]:
            assert behind(cell) == want[key]
            assert number_of(shown(cell)) == pytest.approx(scale * want[key], abs=0.5001 * 10.0**-decimals)
            assert len(shown(cell).rstrip("%").partition(".")[2]) == decimals
        low, high = (100 * want[f"spread_{end}"] for end in ("low", "high"))
        found = [number_of(end) for end in spread.all("span", "detail")[0].text.strip("[]").split(", ")]
        assert found == pytest.approx([low, high], abs=0.0501)
    # The combined p has a column of its own: it is not the p of the t beside it.
    assert cells(rows[0])[6].text.count("0.0") == 0
    assert shown(cells(rows[0])[7]) == "0.006"
    assert "Holm 0.040" in cells(rows[0])[7].text


def test_unreliable_rows_are_greyed_explained_and_never_starred() -> None:
    report = sample_report()
    for row in report["signal_edge"]:
        row["starred"] = True
    root = rendered(report)
    for row, want in zip(body_rows(table_with(root, EDGE)), report["signal_edge"], strict=True):
        assert ("muted" in row.classes) == (not want["reliable"])
        assert (STAR in row.text) == want["reliable"]
        assert shown(cells(row)[-1]) == ("yes" if want["reliable"] else "no")
        assert shown(cells(row)[-2]) == ("yes" if want["precise"] else "no")
    assert report["signal_edge"][-2]["unreliable_because"] in section(root, "signal-edge").all("p", "reasons")[0].text


@pytest.mark.parametrize("reliable", [None, False, 0, "yes"])
def test_only_true_is_reliable(reliable: object) -> None:
    report = sample_report()
    report["signal_edge"] = [report["signal_edge"][0] | {"reliable": reliable}]
    row = body_rows(table_with(rendered(report), EDGE))[0]
    assert "muted" in row.classes
    assert STAR not in row.text


def test_the_hit_rate_tables_say_what_the_report_says() -> None:
    report = sample_report()
    _, root = usual()
    want = {row["value"]: row for row in report["hit_rate"]}
    first = body_rows(table_with(root, ALL))
    assert [shown(cells(row)[0]) for row in first] == ["all", "qualified"]
    for row in first:
        name, n, weeks, no_entry, hit, _, expectancy, interval, factor, held = cells(row)
        source = want[shown(name)]
        keys = ["n", "n_weeks", "n_no_entry", "hit_rate", "expectancy_r", "profit_factor", "mean_bars_held"]
        shown_cells = [n, weeks, no_entry, hit, expectancy, factor, held]
        assert [behind(cell) for cell in shown_cells] == [source[key] for key in keys]
        ends = [number_of(end) for end in shown(interval).strip("[]").split(", ")]
        assert ends == pytest.approx([source["expectancy_low"], source["expectancy_high"]], abs=0.0005)
    years = [shown(cells(row)[0]) for row in body_rows(table_with(root, "By year of the signal"))]
    assert years[:3] == ["2004, all", "2004, qualified", "2005, all"]
    assert len(years) == 24
    directions = [shown(cells(row)[0]) for row in body_rows(table_with(root, "By direction"))]
    assert sorted(directions) == ["long, all", "long, qualified", "short, all", "short, qualified"]


def test_every_sweep_stars_the_threshold_in_force_and_only_that() -> None:
    report = sample_report()
    root = rendered(report)
    for sweep in report["sweeps"]:
        rows = body_rows(table_with(root, f"Sweep of {sweep['parameter']}"))
        assert [behind(cells(row)[1]) for row in rows] == [cell["n_qualified"] for cell in sweep["rows"]]
        assert [STAR in row.text for row in rows] == [cell["is_current"] for cell in sweep["rows"]]
        assert ["marked" in row.classes for row in rows] == [cell["is_current"] for cell in sweep["rows"]]
        assert cells(rows[0])[0].text.removesuffix(f" {STAR}") == "off"
    for figure, sweep in zip(drawn(section(root, "sweeps")), report["sweeps"], strict=True):
        assert [row["n_qualified"] for row in figure.data] == [cell["n_qualified"] for cell in sweep["rows"]]
        assert [row["is_current"] for row in figure.data] == [cell["is_current"] for cell in sweep["rows"]]
        assert stars_of(figure.picture) == 1


def stars_of(picture: Node) -> int:
    """Ten-cornered paths: a star is drawn as one path of nine lines."""
    return sum((node.attributes.get("d") or "").count("L") == 9 for node in picture.all("path"))


def test_a_sweep_without_its_current_threshold_has_no_star() -> None:
    report = sample_report()
    report["sweeps"] = report["sweeps"][:1]
    for row in report["sweeps"][0]["rows"]:
        row["is_current"] = False
    [figure] = drawn(section(rendered(report), "sweeps"))
    assert stars_of(figure.picture) == 0


def test_the_calibration_figures_hold_every_bin_of_both_models() -> None:
    report = sample_report()
    root = rendered(report)
    figures = drawn(section(root, "calibration"))
    for figure, model in zip(figures, ("stated", "recalibrated"), strict=True):
        bins = report["calibration"][model]["bins"]
        keys = ("mean_probability", "observed_rate", "observed_low", "observed_high", "n")
        assert [[row[key] for key in keys] for row in figure.data] == [[row[key] for key in keys] for row in bins]
    assert "modelled 12.0%, observed 20.4%" in figures[0].label
    table = table_with(root, "Brier score = reliability − resolution + uncertainty (Murphy 1973)")
    for row, model in zip(body_rows(table), ("stated", "recalibrated"), strict=True):
        summary = report["calibration"][model]["summary"]
        keys = ("n", "mean_probability", "observed_rate", "brier", "reliability", "resolution", "uncertainty")
        assert [behind(cell) for cell in cells(row)[1:8]] == [summary[key] for key in keys]
    assert "logit p = 0.031 + 0.764 · logit p₀" in section(root, "calibration").text


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-0.003, -0.001, "It improves the forecast."),
        (-0.003, 0.001, "The interval holds zero: no improvement is shown."),
        (0.001, 0.003, "It makes the forecast worse; do not adopt it."),
        (None, None, "its change of the Brier score is n/a (not judged)."),
    ],
)
def test_a_recalibration_is_praised_only_when_its_interval_says_so(
    low: float | None, high: float | None, words: str
) -> None:
    report = sample_report()
    report["calibration"]["recalibrated"]["summary"] |= {"brier_change_low": low, "brier_change_high": high}
    assert words in section(rendered(report), "calibration").text


def test_the_decay_whisker_is_two_standard_errors() -> None:
    report = sample_report()
    report["decay"] = [
        {"factor": "f", "horizon_sessions": 5, "ic": 0.02, "half_width": 0.06, "n_independent": 16, "reliable": True}
    ]
    root = rendered(report)
    [figure] = drawn(section(root, "ic-decay"))
    [row] = figure.data
    assert (row["low"], row["high"]) == pytest.approx((-0.04, 0.08))
    assert figure.label == "f. Mean IC of f by horizon: 5 sessions: +0.020 [−0.040, 0.080], n independent 16"


def test_the_running_sum_of_ics_is_stated_with_its_counts() -> None:
    report = sample_report()
    report["signal_edge"] = report["signal_edge"][:1]
    report["ic_series"] = [
        {"factor": "momentum_12_1", "date_sig": f"2015-01-{day:02d}", "ic": ic}
        for day, ic in ((2, 0.1), (9, -0.05), (16, None), (23, 0.2))
    ]
    [figure] = drawn(section(rendered(report), "ic-series"))
    assert figure.note == "sum +0.250 over n = 3 weeks, 86 independent"
    assert [row["cumulative_ic"] for row in figure.data] == pytest.approx([0.1, 0.05, 0.25])
    assert [row["date_sig"] for row in figure.saved] == ["2015-01-02", "2015-01-09", "2015-01-23"]


def test_the_headline_tiles_carry_value_interval_and_n() -> None:
    root = usual()[1]
    tiles = {node.all("dt")[0].text: [dd.text for dd in node.all("dd")] for node in root.all("div", "tile")}
    assert tiles["Expectancy, qualified (R after cost)"] == [
        "+0.041",
        "95% [−0.015, +0.097], holds zero; n = 4,321 in 780 weeks",
    ]
    assert tiles["Reliable factors"][0] == "6 of 7"
    assert tiles["Cells evaluated"][0] == "79"
    assert tiles["Calibration error (ECE)"] == ["0.052", "stated probability; n = 58,800"]


def test_the_footer_states_where_the_page_comes_from() -> None:
    report = sample_report()
    root = rendered(report)
    footer = root.all("footer")[0]
    stated = dict(zip([node.text for node in footer.all("dt")], [node.text for node in footer.all("dd")], strict=True))
    assert stated["As-of week (Monday)"] == "2015-06-22"
    assert stated["Last session seen (date_sig)"] == "2015-06-26"
    assert stated["Specification hash"] == "5f3c9d0a77e1b24c"
    assert stated["Cells evaluated (trials)"] == "79"
    assert stated["Entry"] == "next open, a day order"
    assert stated["Cost bps"] == "10"
    universe = section(root, "universe")
    assert [node.text for node in universe.all("dd")] == ["633", "135", "78.7%", "702", "69", "9.8%"]


def test_an_empty_report_is_a_page_that_says_what_is_missing() -> None:
    root = rendered({})
    text = root.said
    assert [drawing.text.strip() for drawing in root.all("svg")] == ["n/a: no data to draw"] * 2
    assert "n/a (the report holds no setups of its week)" in text
    assert "n/a (no factor has a summary by horizon)" in text
    assert "n/a (no factor has an IC by week)" in text
    assert "n/a (the report has no headline)" in text
    assert "n/a (no factor has a summary for this week)" in text
    assert "n/a (no sweep was run)" in text
    assert "n/a (no resolved trade in this group)" in text
    assert "None" not in text
    assert "nan" not in re.findall(r"\b\w+\b", text)


def without_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_numbers(item) for item in value]
    return None if isinstance(value, int | float) and not isinstance(value, bool) else value


def test_a_report_without_a_single_number_has_reasons_instead() -> None:
    report = without_numbers(sample_report())
    root = rendered(report)
    assert "None" not in root.said
    for row in (row for table in root.all("table") for row in body_rows(table)):
        for cell in cells(row)[1:]:
            # A letter follows, which the list of reasons under the table explains.
            assert re.fullmatch(r"yes|no[a-z]|n/a[a-z]|long|short|.*below min.*", cell.text)
    assert {figure.picture.text.strip() for figure in drawn(root)} <= {
        "SIMULATEDn/a: no data to draw",
        "SIMULATED\nn/a: no data to draw",
    }


def test_one_missing_profit_factor_has_its_reason() -> None:
    report = sample_report()
    report["hit_rate"][1]["profit_factor"] = None
    hit_rates = section(rendered(report), "hit-rate")
    assert cells(body_rows(table_with(hit_rates, ALL))[1])[8].text == "n/aa"
    assert hit_rates.all("p", "reasons")[0].text == "a n/a: no losing trade. "


def test_names_are_escaped_wherever_they_stand() -> None:
    evil = "<script>alert('x')</script>\"&"
    report = sample_report()
    plain = len(rendered(report).everything())
    for key in ("signal_edge", "decay", "ic_series"):
        for row in report[key]:
            row["factor"] = evil if row["factor"] == "momentum_12_1" else row["factor"]
    for row in report["signal_edge"]:
        row["unreliable_because"] = evil
    report |= {"headline": evil, "spec_hash": evil}
    report["hit_rate"][2]["value"] = evil
    report["sweeps"][0]["parameter"] = evil
    report["conventions"]["entry"] = evil
    text = render_equity_report(report)
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;") >= 8
    # Inside a block of JSON not even the bracket of a tag is written.
    assert "\\u003cscript\\u003ealert" in text
    assert len(read_html(text).everything()) == plain


def test_the_page_does_not_depend_on_json_having_been_in_between() -> None:
    report = sample_report()
    plain = json.loads(json.dumps(report, default=lambda value: value.isoformat()))
    assert render_equity_report(plain) == render_equity_report(report)


def test_rendering_changes_nothing_in_the_report() -> None:
    report = sample_report()
    before = copy.deepcopy(report)
    render_equity_report(report)
    assert report == before


@pytest.mark.parametrize(("key", "value"), [("signal_edge", {"a": 1}), ("sweeps", 3), ("universe", [1])])
def test_a_field_of_another_type_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(StatisticError, match=rf"report\['{key}'\]"):
        render_equity_report(sample_report() | {key: value})
