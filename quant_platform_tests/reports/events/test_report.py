"""The page of discovery says what its report says, and says so when there is nothing."""

from __future__ import annotations

import copy
import json
import re
from functools import lru_cache
from typing import Any

import pytest

from quant_platform.contracts.errors import StatisticError
from quant_platform.labs.events.discovery.report import build_report
from quant_platform.reports.events.report import ANCHORS, render_discovery_report
from quant_platform_tests.labs.events.discovery.report_frames import (
    GATES,
    bridged,
    cell,
    check,
    context,
    frames,
    judged,
    trial,
)
from quant_platform_tests.reports.reading import Node, body_rows, cells, drawn, read_html, section, shown, table_with

DOCUMENT: dict[str, Any] = {
    "blueprint_id": "BAND_BREAK-mean_reversion-12-ALL-ALL-0123456789",
    "template": "mean_reversion",
    "aliases": ["overshoot_repair"],
    "symbols": ["BTCUSDT", "ETHUSDT"],
    "side": -1,
    "rule": {"event_id": "BAND_BREAK", "condition": "a<b & c", "state": {"vol_regime": "high"}},
    "entry": {"order": "market_at_open", "lag_bars": 1},
    "exit": {"horizon_bars": 12, "target": None, "stop": {"kind": "extreme"}},
    "sizing": {"max_weight_per_trade": 0.05},
    "costs": {"cost_bps": 9.3},
    "evidence": {
        "effect_bps": 17.0, "standard_error_bps": 2.5, "shrunk_bps": 15.0, "n": 1200, "n_tests": 800, "p_fdr": 0.00001,
        "validation_trades": 90, "validation_net_bps": 14.0, "validation_stressed_bps": 9.5,
        "validation_p_adjusted": 0.0012,
    },
}  # fmt: skip


def full(*, simulated: bool = True) -> dict[str, Any]:
    """One survivor, one cell that failed, one that is small; three events in the registry."""
    survivor = judged(passes=GATES, q_level1=0.004, template="mean_reversion", side=-1, effect_bps=30.0)
    weak = judged(event_id="VOL_SPIKE", horizon_bars=3, family="VOLATILITY_TRANSITION", q_level1=0.6)
    small = judged(event_id="VOL_SHOCK", passes=(), family="VOLATILITY_TRANSITION")
    row = cell(template="mean_reversion")
    blueprint = {
        "cutoff": row["cutoff"], "blueprint_id": DOCUMENT["blueprint_id"], "event_id": "BAND_BREAK",
        "template": "mean_reversion", "symbols": ["BTCUSDT"], "side": -1, "horizon_bars": 12,
        "validation_net_bps": 14.0, "ontology_hash": row["ontology_hash"], "document": json.dumps(DOCUMENT),
    }  # fmt: skip
    checks = [
        check("BAND_BREAK", thin_symbols="AUSDT; BUSDT"),
        check("VOL_SPIKE", "failed", per_10k=900.0, reasons="prevalence 900.00 above 212 per 10,000 bars"),
        check("BASIS_DISLOC", "not_available", family="INFORMATION_DESYNC"),
    ]
    return build_report(
        context(simulated=simulated, conventions={"source": "by hand"}),
        **frames(
            [survivor, weak, small],
            [bridged(survivor)],
            checks=checks,
            trials=[trial(1), trial(2)],
            blueprints=[blueprint],
        ),
    )


@lru_cache(maxsize=2)
def usual(*, simulated: bool = True) -> tuple[str, Node]:
    """The page of the usual report, made once: as text and as read."""
    text = render_discovery_report(full(simulated=simulated))
    return text, read_html(text)


def rendered(report: dict[str, Any]) -> Node:
    return read_html(render_discovery_report(report))


def test_the_page_is_one_file_that_loads_nothing() -> None:
    text, _ = usual()
    assert len(text.encode()) < 3_000_000
    for node in usual()[1].everything():
        assert node.tag not in {"link", "img", "iframe", "object", "embed", "image", "use", "base", "form"}
        assert not {"src", "srcset", "onload", "onclick"} & set(node.attributes)
        assert (node.attributes.get("href") or "#").startswith(("#", "data:text/csv"))


def test_every_link_of_the_contents_has_its_section() -> None:
    root = usual()[1]
    anchors = {node.attributes.get("id") for node in root.all("section")}
    links = [node.attributes["href"] or "" for node in root.all("nav", "contents")[0].all("a")]
    assert {link[1:] for link in links} == set(ANCHORS) == anchors


@pytest.mark.parametrize("simulated", [True, False])
def test_simulated_stands_everywhere_if_and_only_if_it_is(simulated: bool) -> None:
    text, root = usual(simulated=simulated)
    assert ("SIMULATED" in text) == simulated
    assert len(root.all("div", "banner")) == int(simulated)
    for figure in drawn(root):
        assert ("SIMULATED" in figure.picture.text) == simulated
    assert sum("SIMULATED" in node.text for node in root.all("h2")) == (len(ANCHORS) if simulated else 0)


def test_the_headline_and_every_sentence_of_the_verdict_are_on_the_page() -> None:
    report = full()
    root = rendered(report)
    assert root.all("p", "headline")[0].text == report["headline"]
    assert [item.text for item in section(root, "verdict").all("li")] == report["verdict"]


def test_the_funnel_says_what_is_left() -> None:
    root = usual()[1]
    rows = body_rows(table_with(root, "Cells left after each stage"))
    assert [shown(cells(row)[1]) for row in rows] == ["3", "2", *["1"] * 7]
    assert [shown(cells(row)[2]) for row in rows[1:3]] == ["66.7%", "50.0%"]
    left, alone = drawn(section(root, "funnel"))
    assert [row["left"] for row in left.data] == [2, *[1] * 7]
    assert left.saved[0] == {"stage": "Tested", "left": "2.0", "written": "2"}
    assert len(alone.data) == 7


def test_every_event_stands_against_its_bounds_and_the_unavailable_ones_say_why() -> None:
    report = full()
    report["prevalence"][2]["missing_inputs"] = ["spot_close", "oi"]
    found = {
        shown(cells(row)[0]): row for row in body_rows(table_with(rendered(report), "Events against their bounds"))
    }
    band, spike, basis = (found[report["prevalence"][place]["event_id"]] for place in range(3))
    assert [shown(cells(band)[place]) for place in (1, 2, 3, 4)] == ["passed", "250", "25.00", "3.3 to 212"]
    assert "[22.10, 28.30]" in cells(band)[3].text
    assert "2 thin" in cells(band)[-1].text
    assert "marked" in spike.classes
    assert "prevalence 900.00 above 212" in cells(spike)[1].text
    assert "muted" in basis.classes
    assert cells(basis)[1].text == "not availablemissing: spot_close, oi"
    assert cells(basis)[2].text.startswith("n/a")


def test_the_heat_map_is_dark_where_q_is_small_and_empty_where_nothing_was_tested() -> None:
    [figure] = drawn(section(usual()[1], "heat"))
    squares = {(row["family"], row["horizon_bars"]): row for row in figure.data}
    # An empty square has no row.
    assert set(squares) == {("Forced flow", "12"), ("Volatility transition", "3")}
    dark, pale = squares["Forced flow", "12"], squares["Volatility transition", "3"]
    assert (dark["q"], dark["written"], dark["strength"], dark["selected"]) == (0.004, "0.004", 0.55, 1)
    assert 0.0 < pale["strength"] < 0.05
    assert "Forced flow, 12 bars (1 h): q 0.004; 1 test, 1 group, 1 discovery" in figure.label


def test_each_horizon_has_the_raw_effect_with_the_shrunk_one_beside_it() -> None:
    report = full()
    figures = drawn(section(rendered(report), "effects"))
    assert [figure.title for figure in figures] == ["3 bars (15 min)", "12 bars (1 h)"]
    for figure in figures:
        assert [row["estimate"] for row in figure.data] == ["raw, 95%", "shrunk, 95%"]
    # Against the impulse +30, so along it -30; Student's 1.97190 times 1.5 on either side.
    raw, shrunk = figures[1].data
    assert (raw["effect_bps"], raw["selected"], shrunk["selected"]) == (-30.0, True, False)
    assert (raw["low"], raw["high"]) == pytest.approx((-30 - 1.9719 * 1.5, -30 + 1.9719 * 1.5), abs=1e-4)
    assert "BAND_BREAK: −30.0 [−33.0, −27.0], shrunk −1.5, n 400, p 0.100" in figures[1].label


def test_gates_carry_the_number_they_were_judged_on() -> None:
    root = usual()[1]
    rows = body_rows(table_with(root, "Cells that came furthest"))
    assert [shown(cells(row)[0]) for row in rows] == ["BAND_BREAK", "VOL_SPIKE"]
    assert ["marked" in row.classes for row in rows] == [True, False]
    assert [shown(cells(row)[5]) for row in rows] == ["−8.0 ✓", "−8.0 ✗"]
    assert cells(rows[0])[0].text == "BAND_BREAKmean_reversion, 12 bars (1 h), all symbols"
    counts = {shown(cells(row)[0]): row for row in body_rows(table_with(root, "Tested cells that pass each gate"))}
    assert [shown(item) for item in cells(counts["Economic"])[2:]] == ["0.1", "1", "50.0%"]


def test_the_bridge_and_the_blueprint_are_written_out() -> None:
    root = usual()[1]
    [row] = body_rows(table_with(root, "Out of sample"))
    assert [shown(item) for item in cells(row)[1:]] == [
        "pass", "90", "+24.0", "10.0", "+14.0", "+9.5", "0.001", "+2.60", "+30.0", "+0.80"
    ]  # fmt: skip
    [card] = root.all("article", "card")
    assert card.all("h3")[0].text == DOCUMENT["blueprint_id"]
    terms = dict(zip([node.text for node in card.all("dt")], [node.text for node in card.all("dd")], strict=True))
    assert terms["Event"] == "BAND_BREAKa<b & c"
    assert terms["Side"] == "against the impulse"
    assert terms["State"] == "vol_regime = high"
    assert terms["Entry"] == "market at open1 bar after the event's"
    assert terms["Exit"] == "after 12 bars (1 h)stop extreme"
    assert terms["Validation"] == "+14.0bps after cost; +9.5 at stressed cost; 90 trades; p 0.001 corrected"


def test_the_footer_states_where_the_page_comes_from() -> None:
    footer = usual()[1].all("footer")[0]
    stated = dict(zip([node.text for node in footer.all("dt")], [node.text for node in footer.all("dd")], strict=True))
    assert stated["Training window"] == "2023-01-01 to 2024-01-01"
    assert stated["Validation window"] == "2024-01-01 to 2025-01-01"
    assert stated["Ontology hash"] == "5f3c9d0a77e1b24c" * 4
    assert stated["Trials in the ledger"] == "2"
    assert stated["Snapshot"] == "n/a (no snapshot of the data was made)"
    assert stated["Source"] == "by hand"
    assert stated["False discovery rate"] == "5.0%"


@pytest.mark.parametrize("report", [{}, build_report(context(simulated=False), **frames())], ids=["bare", "empty"])
def test_an_empty_report_is_a_page_that_says_what_is_missing(report: dict[str, Any]) -> None:
    text = rendered(report).said
    for words in (
        "no event was checked", "no cell was tested", "no event was tested over all symbols and states",
        "no cell that one could trade was tested", "nothing passed the gates, so there was nothing to take there",
        "nothing passed the bridge, so there is nothing to trade",
    ):  # fmt: skip
        assert f"n/a ({words})" in text
    assert "None" not in text
    assert "nan" not in re.findall(r"\b\w+\b", text)


def without_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_numbers(item) for item in value]
    return None if isinstance(value, int | float) and not isinstance(value, bool) else value


def test_a_report_without_a_single_number_has_reasons_instead() -> None:
    root = rendered(without_numbers(full()))
    assert "None" not in root.said
    said = {"".join(figure.picture.text.split("\n")).strip() for figure in drawn(root)}
    assert said <= {"SIMULATEDn/a: no data to draw"}
    for table in root.all("table"):
        for row in body_rows(table):
            assert all(item.text for item in cells(row))


def test_names_are_escaped_and_nothing_in_the_report_is_changed() -> None:
    report = full()
    evil = "<script>alert('x')</script>\"&"
    for rows in (report["prevalence"], report["effects"], report["gates"]["rows"], report["bridge"]):
        rows[0]["event_id"] = evil
    report["headline"] = report["verdict"][0] = report["heat"][0]["family"] = evil
    before = copy.deepcopy(report)
    text = render_discovery_report(report)
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;") >= 7
    assert report == before


@pytest.mark.parametrize(("key", "value"), [("funnel", {"a": 1}), ("effects", 3), ("gates", [1])])
def test_a_field_of_another_type_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(StatisticError, match=rf"report\['{key}'\]"):
        render_discovery_report(full() | {key: value})
