"""The matrix of cases and frameworks, as rows and as a page; both are made from runs and from nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from quant_platform.labs.parity.adapters import OURS
from quant_platform.labs.parity.cases import CASES, case_named
from quant_platform.labs.parity.environments import FRAMEWORKS
from quant_platform.labs.parity.study import Outcome, Prepared

COLUMNS = (
    "case", "framework", "trades", "differing_trades", "largest_relative_error", "by_adapter", "mark", "reason",
    "outcome", "final_value", "equity_error", "first_divergent_bar", "cause", "decisions_hash", "bars", "version",
    "recomputed", "seconds",
)  # fmt: skip


def row_of(prepared: Prepared, outcome: Outcome, *, real: bool) -> dict[str, Any]:
    """One row of the matrix; figures that do not exist are None."""
    execution, compared, mark = outcome.execution, outcome.comparison, outcome.mark
    return {
        "case": outcome.case,
        "framework": outcome.framework,
        "trades": None if execution is None else execution.trades.height,
        "differing_trades": None if compared is None else compared.differing,
        "largest_relative_error": None if compared is None else compared.largest_error,
        "by_adapter": [] if execution is None else list(execution.by_adapter),
        "mark": None if mark is None else mark.kind,
        "reason": outcome.said if mark is None else mark.reason,
        "outcome": outcome.outcome,
        "final_value": None if execution is None else execution.final_value,
        "equity_error": None if compared is None else compared.equity_error,
        "first_divergent_bar": None if compared is None else compared.first_divergent_bar,
        "cause": "" if compared is None else compared.cause,
        "decisions_hash": prepared.decisions.content_hash,
        "bars": "real" if real and prepared.case.real else "drawn",
        "version": "" if execution is None else execution.version,
        "recomputed": [] if execution is None else list(execution.recomputed),
        "seconds": None if execution is None else round(execution.seconds, 4),
    }


def page(rows: Sequence[Mapping[str, Any]], command: str, versions: Mapping[str, str]) -> str:
    """The page of the matrix, in Markdown."""
    by_case: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        by_case.setdefault(row["case"], {})[row["framework"]] = row
    foreign = [row for row in rows if row["framework"] != OURS]
    agreeing = [row for row in foreign if row["outcome"] == "agrees"]
    compared = sum(row["trades"] for row in agreeing)
    worst = max((row["largest_relative_error"] for row in agreeing), default=0.0)
    lines = [
        "# Parity: the same decisions through four frameworks",
        "",
        f"Made by `{command}` with {', '.join(f'{name} {found}' for name, found in versions.items())}.",
        "Decisions are made once per case, outside any framework; trades are matched by asset, entry bar and side,",
        "and compared in bars, quantity, prices, commission and PnL; see [Parity](../explanation/parity.md).",
        "",
        f"{len(by_case)} cases, {len(foreign)} pairs of case and framework: {len(agreeing)} agree on every trade "
        f"({compared:,} trades, largest relative error {worst:.1e}), {len(foreign) - len(agreeing)} carry a mark.",
        "",
        "A cell holds the number of trades that differ; `a`: a rule of the case is adapter code, see below; or a mark.",
        "",
        f"| case | bars | trades | {' | '.join(FRAMEWORKS)} |",
        f"|---|---|--:|{'---|' * len(FRAMEWORKS)}",
    ]
    for name, found in by_case.items():
        cells = [_cell(found.get(framework)) for framework in FRAMEWORKS]
        lines.append(f"| {name} | {found[OURS]['bars']} | {found[OURS]['trades']:,} | {' | '.join(cells)} |")
    lines += ["", "## What the cases are", "", "| case | what it shows |", "|---|---|"]
    lines += [f"| {name} | {case_named(name).title} |" for name in by_case if name in CASES]
    lines += ["", "## Marks", "", "| case | framework | mark | reason |", "|---|---|---|---|"]
    lines += [f"| {r['case']} | {r['framework']} | {r['mark']} | {r['reason']} |" for r in foreign if r["mark"]]
    lines += ["", "## Rules that stand in the adapter", "", "| framework | rule | cases |", "|---|---|---|"]
    lines += [f"| {framework} | {rule} | {cases} |" for framework, rule, cases in _rules(foreign)]
    lines += ["", "## Equity that leaves the tolerance", ""]
    off = [row for row in foreign if row["first_divergent_bar"] is not None and row["outcome"] == "agrees"]
    lines += [
        f"- {row['case']}, {row['framework']}: from bar {row['first_divergent_bar']} on, at most "
        f"{row['equity_error']:.1e} of capital: {row['cause']}."
        for row in off
    ] or ["Nowhere where trades agree."]
    recomputed = sorted({(row["framework"], figure) for row in foreign for figure in row["recomputed"]})
    lines += ["", "## Figures that the framework does not report", ""]
    lines += [f"- {framework}: {figure}, worked out from its fills." for framework, figure in recomputed]
    return "\n".join(lines) + "\n"


def defaults_page(rows: Sequence[Mapping[str, Any]], command: str) -> str:
    """The page of what frameworks do as they come, in Markdown."""
    lines = [
        "# How the defaults differ",
        "",
        f"Made by `{command}`. The same decisions go to each framework with capital and commission rate stated and",
        "nothing else set, as a newcomer writes it. Then the cause is given to the engine as terms: it is the cause",
        "where no trade differs any more.",
        "",
        "| probe | framework | trades | final value | differ | in | cause | differ once it is given |",
        "|---|---|--:|--:|--:|---|---|--:|",
    ]
    lines += [
        f"| {row['probe']} | {row['framework']} | {row['trades']} | {row['final_value']:,.2f} | {row['differing']} "
        f"| {', '.join(row['fields'])} | {row['cause']} | {row['differing_with_cause']} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "not run"
    if row["outcome"] == "agrees":
        return f"{row['differing_trades']}{' a' if row['by_adapter'] else ''}"
    if row["differing_trades"] is not None:
        return f"{row['differing_trades']} ({row['mark'] or 'unexplained'})"
    return str(row["mark"] or row["outcome"])


def _rules(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for rule in row["by_adapter"]:
            found.setdefault((row["framework"], rule), []).append(row["case"])
    many = 8
    return [
        (framework, rule, ", ".join(cases) if len(cases) <= many else f"{len(cases)} cases")
        for (framework, rule), cases in sorted(found.items())
    ]
