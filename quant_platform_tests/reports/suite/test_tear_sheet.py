"""The tear sheet of a world whose truth is known: what stands on it is what the tables hold."""

from __future__ import annotations

import polars as pl
import pytest

from quant_platform.labs.suite.frames import suite_frames
from quant_platform.labs.suite.suite import SuiteResult
from quant_platform.reports.suite.tear_sheet import Findings, Origin, render_tear_sheet
from quant_platform_tests.labs.suite.truth import REDUCED, planted_world
from quant_platform_tests.reports.reading import Node, body_rows, read_html, table_with

AUTHOR = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def found() -> SuiteResult:
    return planted_world(1, REDUCED)


def origin(simulated: bool) -> Origin:
    return Origin(
        "planted", "2020-01-01-SIM-v1", AUTHOR, "2026-01-01T00:00:00+00:00", "ab" * 32, "STANDARD", simulated,
        names="all", meaning="nothing was stated", looks="somebody looked twice",
    )  # fmt: skip


def drawn(found: SuiteResult, *, simulated: bool = True) -> str:
    verdict = found.verdict
    findings = Findings(verdict.because, verdict.to_next, verdict.what_would_change, {"lag9_residoff": "of a test"})
    return render_tear_sheet(suite_frames(found), findings, origin(simulated))


@pytest.fixture(scope="module")
def page(found: SuiteResult) -> Node:
    return read_html(drawn(found))


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


def test_a_name_is_text_and_the_page_is_small(found: SuiteResult, page: Node) -> None:
    text = drawn(found)
    assert AUTHOR not in text
    assert AUTHOR in page.said
    assert len(text.encode()) < 5_000_000


def test_only_simulated_data_are_called_so(found: SuiteResult, page: Node) -> None:
    assert "SIMULATED" in page.said
    assert "SIMULATED" not in read_html(drawn(found, simulated=False)).said


def test_what_stands_beside_the_colour_and_how_often_the_holdout_was_looked_at(found: SuiteResult, page: Node) -> None:
    assert "not registered: nothing was stated" in page.said
    assert "Looks at the holdout: somebody looked twice" in page.said
    assert "Criteria on the locked holdout" not in page.said
