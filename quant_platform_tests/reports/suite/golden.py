"""The tear sheet of one planted world as files: ``python -m quant_platform_tests.reports.suite.golden`` writes them.

``golden/tear_sheet.txt`` is the page without styles, scripts and pictures, a line per element that says something;
``golden/figures.json`` has the rows behind each figure, by its title, column by column. A change of either shows in the
review of whoever made it.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np

from quant_platform.labs.suite.experiments import Opening, Registration, experiment_hash
from quant_platform.labs.suite.frames import suite_frames
from quant_platform.labs.suite.suite import SuiteResult
from quant_platform.reports.suite.findings import Findings, Origin
from quant_platform.reports.suite.tear_sheet import render_tear_sheet
from quant_platform.specification.suite import BacktestConfig, Criterion, ExperimentSpec
from quant_platform_tests.labs.suite.truth import REDUCED, planted_world
from quant_platform_tests.reports.reading import Node, drawn, read_html

FOLDER = Path(__file__).parent / "golden"
AUTHOR = "<script>alert('x')</script>"
_MACHINE = {"style", "script", "svg", "head"}
_BREAKS = {
    "h1", "h2", "h3", "p", "li", "tr", "caption", "dt", "dd", "section", "figure", "figcaption", "table", "nav", "div",
    "footer", "header", "code",
}  # fmt: skip


def registration() -> Registration:
    """A registered experiment of the planted signal, its holdout opened."""
    stated = ExperimentSpec(
        name="planted_works",
        signal="planted",
        author="tester",
        registered_on=date(2026, 1, 5),
        hypothesis="The planted score predicts returns.",
        expected_sign=1,
        variants=(BacktestConfig(), BacktestConfig(lag=1)),
        criteria=(Criterion(metric="sharpe_net", above=0.5), Criterion(metric="ic_mean", above=0.0)),
        holdout_share=0.2,
    )
    at = datetime(2026, 1, 5, 9, tzinfo=UTC)
    opening = Opening(datetime(2026, 1, 6, 9, tzinfo=UTC), "Grace Hopper", "2020-01-01-SIM-v1", date(2014, 5, 22))
    return Registration(stated, experiment_hash(stated), at, "tester", date(2013, 11, 27), 1, opening)


def suite() -> SuiteResult:
    """The suite of the planted world."""
    return planted_world(1, REDUCED, registration=registration())


def origin(simulated: bool = True) -> Origin:
    """Of a signal whose author's name would like to be markup."""
    return Origin(
        "planted", "2020-01-01-SIM-v1", AUTHOR, "2026-01-01T00:00:00+00:00", "ab" * 32, "STANDARD", simulated,
        names="all of the lake", meaning="what it means", looks="somebody looked twice",
    )  # fmt: skip


def sheet(found: SuiteResult, *, simulated: bool = True, **frames: Any) -> str:
    """The page of a suite, with some of its frames replaced."""
    verdict = found.verdict
    findings = Findings(verdict.because, verdict.to_next, verdict.what_would_change, {"lag9_residoff": "of a test"})
    return render_tear_sheet({**suite_frames(found), **frames}, findings, origin(simulated))


def normalised(page: Node) -> str:
    """The page as lines: what each element says, without what is for a machine."""
    lines: list[str] = []

    def walk(node: Node) -> str:
        if node.tag in _MACHINE:
            return ""
        said = "".join(child if isinstance(child, str) else walk(child) for child in node.children)
        cell = node.tag in ("td", "th")
        if node.tag not in _BREAKS:
            return f" {' '.join(said.split())} |" if cell else said
        text = " ".join(said.split())
        if text:
            lines.append(f"{node.tag}: {text}")
        return ""

    walk(page)
    return "\n".join(lines) + "\n"


def figure_data(page: Node) -> dict[str, dict[str, list[Any]]]:
    """The rows behind each figure, column by column."""
    return {
        figure.title: {name: [row.get(name) for row in figure.data] for name in (figure.data[0] if figure.data else {})}
        for figure in drawn(page)
    }


def _short(value: Any) -> Any:
    return float(np.format_float_positional(value, 10, fractional=False)) if isinstance(value, float) else value


def main() -> None:
    """Write both files."""
    page = read_html(sheet(suite()))
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "tear_sheet.txt").write_text(normalised(page), encoding="utf-8")
    data = {
        title: {name: [_short(value) for value in values] for name, values in columns.items()}
        for title, columns in figure_data(page).items()
    }
    (FOLDER / "figures.json").write_text(json.dumps(data, separators=(",", ":")).replace("],", "],\n") + "\n")


if __name__ == "__main__":
    main()
