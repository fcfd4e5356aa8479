"""The tear sheet of a world whose truth is known: what stands on it is what the tables hold."""

from __future__ import annotations

import json

import polars as pl
import pytest

from quant_platform.labs.suite.frames import suite_frames
from quant_platform.labs.suite.suite import SuiteResult
from quant_platform_tests.reports.reading import Node, body_rows, read_html, table_with
from quant_platform_tests.reports.suite import golden


@pytest.fixture(scope="module")
def found() -> SuiteResult:
    return golden.suite()


@pytest.fixture(scope="module")
def text(found: SuiteResult) -> str:
    return golden.sheet(found)


@pytest.fixture(scope="module")
def page(text: str) -> Node:
    return read_html(text)


def numbers(row: Node) -> list[float]:
    return [float(str(node.attributes["value"])) for node in row.all("data")]


def test_every_variant_stands_there_with_the_numbers_of_its_table(found: SuiteResult, page: Node) -> None:
    rows = body_rows(table_with(page, "Variants over the whole sample"))
    results = suite_frames(found)["suite.results"].filter(pl.col("slice_kind") == "overall")
    assert len(rows) == results.height + 1
    assert "lag9_residoff" in rows[-1].text
    shown = {row.all("th")[0].text: numbers(row) for row in rows[:-1]}
    for variant, net, gross, sessions in results.select(
        "variant", "sharpe_net", "sharpe_gross", "sessions"
    ).iter_rows():
        assert shown[variant][0] == net
        assert shown[variant][1] == gross
        assert shown[variant][-1] == sessions


def test_the_rules_stand_there_in_words_with_what_would_change_them(found: SuiteResult, page: Node) -> None:
    rows = body_rows(table_with(page, "Every rule"))
    assert len(rows) == len(found.verdict.reasons)
    for row, reason in zip(rows, found.verdict.reasons, strict=True):
        assert reason.text in row.text
    for text in (*found.verdict.because, *found.verdict.to_next, *found.verdict.what_would_change):
        assert text in page.said


def test_baselines_and_fractiles_are_complete(found: SuiteResult, page: Node) -> None:
    frames = suite_frames(found)
    assert len(body_rows(table_with(page, "Baselines"))) == frames["suite.correlations"].height
    judged = frames["suite.fractiles"].filter(pl.col("variant") == found.reference)
    assert len(body_rows(table_with(page, "Fractiles"))) == judged.height
    titles = {figure.all("figcaption")[0].text for figure in page.all("figure", "chart") if figure.all("figcaption")}
    for title in ("Cumulative return", "Underwater", "Months", "Return by fractile", "Decay of the IC", "Capacity"):
        assert any(title in text for text in titles), (title, titles)


def test_a_name_is_text_and_the_page_is_small(text: str, page: Node) -> None:
    assert golden.AUTHOR not in text
    assert golden.AUTHOR in page.said
    assert len(text.encode()) < 5_000_000


def test_only_simulated_data_are_called_so(found: SuiteResult, page: Node) -> None:
    assert "SIMULATED" in page.said
    assert "SIMULATED" not in read_html(golden.sheet(found, simulated=False)).said


def test_what_stands_beside_the_colour(found: SuiteResult, page: Node) -> None:
    assert "registered, met on the locked holdout: what it means" in page.said
    assert "Looks at the holdout: somebody looked twice" in page.said
    rows = body_rows(table_with(page, "Criteria on the locked holdout"))
    stored = suite_frames(found)["suite.experiments"]
    assert sorted(numbers(row)[0] for row in rows) == sorted(stored["value"])
    assert [row.text.count("decides") for row in rows] == [1, 1, 0, 0]
    for said in ("The planted score predicts returns.", "Grace Hopper", "2013-11-27"):
        assert said in page.said


def test_a_signal_without_a_registration_says_so(found: SuiteResult) -> None:
    frames = suite_frames(found)
    verdict = frames["suite.verdict"].with_columns(pl.lit("not registered").alias("registration"))
    without = {"suite.verdict": verdict, "suite.experiments": frames["suite.experiments"].clear()}
    said = read_html(golden.sheet(found, **without)).said
    assert "not registered: what it means" in said
    assert "Criteria on the locked holdout" not in said


def test_the_page_says_what_it_said(page: Node) -> None:
    """A change is meant: look at it, then write the file again with the module ``golden``."""
    assert golden.normalised(page) == (golden.FOLDER / "tear_sheet.txt").read_text(encoding="utf-8")


def test_the_figures_draw_the_rows_they_drew(found: SuiteResult, page: Node) -> None:
    kept = json.loads((golden.FOLDER / "figures.json").read_text(encoding="utf-8"))
    drawn = golden.figure_data(page)
    assert {title: list(columns) for title, columns in drawn.items()} == {t: list(c) for t, c in kept.items()}
    for title, columns in kept.items():
        for name, values in columns.items():
            assert drawn[title][name] == pytest.approx(values, rel=1e-8, abs=1e-12), (title, name)
    # ... which are those of the table.
    daily = found.results[found.reference].daily.sort("session")
    assert drawn["Cumulative return"]["cumret"] == daily["cumret"].to_list()
    assert drawn["Underwater"]["drawdown"] == daily["drawdown"].to_list()
