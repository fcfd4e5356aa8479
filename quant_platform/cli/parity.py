"""``quant parity``: the same decisions through Backtrader, VectorBT and Zipline, compared trade by trade."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.console import Console

from quant_platform.labs.parity.adapters import DEFAULT_TIMEOUT_SECONDS, OURS
from quant_platform.labs.parity.cases import CASES, case_named
from quant_platform.labs.parity.environments import FRAMEWORKS, LICENCES, environment, install
from quant_platform.labs.parity.marks import mark_of
from quant_platform.labs.parity.study import Outcome, prepare, study

FOUND_SOMETHING = 3

parity_app = typer.Typer(
    name="parity",
    help="The same decisions through Backtrader, VectorBT and Zipline, compared trade by trade.",
    no_args_is_help=True,
    add_completion=False,
)

CaseArgument = Annotated[str, typer.Argument(help="Name of a case; see quant parity list.")]
DataOption = Annotated[
    Path | None,
    typer.Option(help="Folder of real bars, for cases that are about them; drawn bars without it.", file_okay=False),
]
TimeoutOption = Annotated[float, typer.Option(help="Seconds after which a framework is stopped.", min=1.0)]


@parity_app.command("install")
def install_frameworks(
    frameworks: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(FRAMEWORKS)}; all if none.")] = None,
) -> None:
    """Make the environments of foreign frameworks, each by its lock file, outside of the repository."""
    console = Console()
    for framework in frameworks or FRAMEWORKS:
        made = install(framework)
        console.print(f"{framework:<12}{LICENCES[framework]:<38}{made.folder}", highlight=False, soft_wrap=True)


@parity_app.command("list")
def list_cases() -> None:
    """List the cases with their marks, and which frameworks are installed."""
    console = Console()
    lines = [f"{name:<30}{case.title}" for name, case in CASES.items()]
    for framework in FRAMEWORKS:
        found = environment(framework)
        marks = [f"{name} ({mark.kind})" for name in CASES if (mark := mark_of(name, framework)) is not None]
        state = "installed" if found.installed else f"not installed: quant parity install {framework}"
        lines += ["", f"{framework}: {state}", f"  marked: {', '.join(marks) or 'nothing'}"]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


@parity_app.command("run")
def run_case(
    case: CaseArgument,
    framework: Annotated[list[str] | None, typer.Option(help="Only this one; may be given several times.")] = None,
    data: DataOption = None,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_SECONDS,
) -> None:
    """Trade a case with every framework and print trades and final value of each.

    Exit code 3 when a framework differs or fails without a mark that says so.
    """
    console, wrong = Console(), False
    prepared = prepare(case_named(case), data)
    bars, terms = prepared.bars, prepared.case.terms
    real = "real bars" if prepared.case.real and data is not None else "drawn bars"
    console.print(
        f"{case}: {prepared.case.title}\n  {bars.shape[0]} {real} of {len(bars.assets)} assets, "
        f"{prepared.decisions.frame.height} decisions {prepared.decisions.content_hash[:12]}, {terms.fill}",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip
    for outcome in study(prepared, framework, timeout_seconds=timeout):
        wrong |= not outcome.explained
        style = None if outcome.explained else "red"
        console.print(line_of(outcome), style=style, highlight=False, markup=False, soft_wrap=True)
    if wrong:
        raise typer.Exit(FOUND_SOMETHING)


@parity_app.command("diff")
def diff_case(
    case: CaseArgument,
    framework: Annotated[str, typer.Argument(help=f"One of {', '.join(FRAMEWORKS)}.")],
    data: DataOption = None,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_SECONDS,
    rows: Annotated[int, typer.Option(help="Differing trades that are shown.", min=1)] = 20,
) -> None:
    """Show the trades in which a framework differs, and the first bar at which equity does, with its cause."""
    console = Console()
    *_, outcome = study(prepare(case_named(case), data), [framework], timeout_seconds=timeout)
    console.print(line_of(outcome), highlight=False, markup=False, soft_wrap=True)
    found = outcome.comparison
    if found is None:
        raise typer.Exit(0 if outcome.explained else FOUND_SOMETHING)
    bar = found.first_divergent_bar
    lines = [
        f"  trades   {found.matched} matched, {found.differing} differ; largest relative error of the others "
        f"{found.largest_error:.1e}",
        f"  equity   largest relative error {found.equity_error:.1e}"
        + ("" if bar is None else f"; leaves the tolerance at bar {bar}: {found.cause}"),
    ]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
    for trade in found.trades.filter(pl.col("state") != "equal").head(rows).iter_rows(named=True):
        console.print(f"  {_trade(trade)}", highlight=False, markup=False, soft_wrap=True)
    if not outcome.explained:
        raise typer.Exit(FOUND_SOMETHING)


def line_of(outcome: Outcome) -> str:
    """One framework in one line: trades, final value, what it amounts to."""
    execution, compared = outcome.execution, outcome.comparison
    if execution is None:
        said = outcome.verdict if outcome.explained and outcome.mark else f"{outcome.outcome}: {outcome.said}"
        return f"  {outcome.framework:<16}{said}"
    head = f"  {outcome.framework:<16}{execution.trades.height:>7} trades  final value {execution.final_value:>16,.4f}"
    if outcome.framework == OURS or compared is None:
        return head
    rules = f"; by adapter: {', '.join(execution.by_adapter)}" if execution.by_adapter else ""
    return f"{head}  {compared.differing} differ, {outcome.verdict}{rules}"


def _trade(trade: dict[str, object]) -> str:
    figures = ("exit_bar", "quantity", "entry_price", "exit_price", "commission", "pnl")
    shown = ", ".join(f"{name} {trade[name]}|{trade[f'{name}_other']}" for name in figures)
    return (
        f"{trade['state']} {trade['asset']} {trade['side']} from bar {trade['entry_bar']} [{trade['fields']}]: {shown}"
    )
