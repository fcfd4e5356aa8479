"""``quant fills``, ``quant proposals`` and ``quant operations``: what a person does with the paper account."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.console import Console

from quant_platform.cli.homes import HomeOption, open_checked_home, open_home
from quant_platform.cli.lake import JsonOption, to_json
from quant_platform.cli.market import announce
from quant_platform.cli.progress import watching
from quant_platform.cli.query import show
from quant_platform.contracts.errors import NotAvailable
from quant_platform.pipeline import changes
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.operations_fills import import_fills
from quant_platform.pipeline.resets import reset_switches

ReviewedBy = Annotated[str, typer.Option("--reviewed-by", help="Who looked at the evidence; goes into the record.")]
ProposalId = Annotated[str, typer.Argument(help="Id of a proposal; see quant proposals list.")]

fills_app = typer.Typer(add_completion=False, no_args_is_help=True)
proposals_app = typer.Typer(
    help="Look at proposed changes of the specs, apply one, or take one back.",
    no_args_is_help=True,
    add_completion=False,
)
operations_app = typer.Typer(
    help="Run the weekly evidence of operations, or open the kill switches again.",
    no_args_is_help=True,
    add_completion=False,
)


@fills_app.callback()
def _fills() -> None:
    """Import a broker's own fills, which teach what trading costs."""


@fills_app.command("import")
def fills_import(
    file: Annotated[Path, typer.Argument(help="A .csv or .jsonl file of fills.", exists=True, dir_okay=False)],
    home: HomeOption = None,
) -> None:
    """Check a file against the contract and store what is new of it; importing it twice changes nothing."""
    opened = open_checked_home(home)
    _require_market(opened)
    read = import_fills(opened, file)
    print(f"{read.new.height} new fills, {read.known} were stored already")
    _run(opened, "operations_fills")
    if read.new.height:
        print(f"next: quant operations weekly --home {opened.settings.home}")


@proposals_app.command("list")
def proposals_list(
    every: Annotated[bool, typer.Option("--all", help="Also those of earlier weeks that nobody applied.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List proposed changes with their state: open, superseded, applied or reverted."""
    found = changes.all_proposals(open_home(home))
    if not every:
        found = found.filter(pl.col("state") != "superseded")
    if as_json:
        print(to_json(found.to_dicts()))
        return
    if found.is_empty():
        print("nothing is proposed: the evidence speaks for no change, or `quant operations weekly` has not run")
        return
    columns = ["proposal_id", "state", "week", "kind", "path", "old", "new", "n", "low", "high"]
    show(found.select(columns), Console(), found.height)


@proposals_app.command("show")
def proposals_show(proposal_id: ProposalId, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show one proposal with its evidence."""
    opened = open_home(home)
    row = changes.proposal(opened, proposal_id)
    if as_json:
        print(to_json([row]))
        return
    width = max(map(len, row))
    print("\n".join(f"{key:<{width}}  {value}" for key, value in row.items()))
    evidence = changes.evidence_of(opened, row)
    for number, found in enumerate(evidence.iter_rows(named=True), 1):
        print(f"\nevidence {number} of {evidence.height}, {row['evidence_table']}")
        width = max(map(len, found))
        print("\n".join(f"{key:<{width}}  {value}" for key, value in found.items()))
    if not changes.evidence_stands(opened, row):
        print("\nthe evidence is not what it was when this was proposed: applying it is refused")
    option = f" --home {opened.settings.home}"
    print(f'\nsql: quant sql{option} "{changes.evidence_query(row)}"')
    if row["state"] in ("open", "applied"):
        act = "apply" if row["state"] == "open" else "revert"
        print(f"next: quant proposals {act} {proposal_id} --reviewed-by NAME{option}")
    else:
        print(f"next: quant proposals list{option}, this one is {row['state']}")


@proposals_app.command("apply")
def proposals_apply(proposal_id: ProposalId, reviewed_by: ReviewedBy, home: HomeOption = None) -> None:
    """Write a proposed value into its spec, unless spec or evidence have moved since."""
    opened = open_home(home)
    record = changes.apply(opened, proposal_id, reviewed_by)
    print(f"{opened.specs / record.file}: {record.path} is {record.new}, was {record.old or 'not there'}")
    option = f" --home {opened.settings.home}"
    print(f"take it back with: quant proposals revert {proposal_id} --reviewed-by NAME{option}")
    print(f"next: quant run --changed{option}, which makes evidence again; what was sent and filled stays")


@proposals_app.command("revert")
def proposals_revert(proposal_id: ProposalId, reviewed_by: ReviewedBy, home: HomeOption = None) -> None:
    """Take an applied change back, unless somebody edited the value since."""
    opened = open_home(home)
    record = changes.revert(opened, proposal_id, reviewed_by)
    print(f"{opened.specs / record.file}: {record.path} is {record.old or 'not there'} again")
    print(f"next: quant run --changed --home {opened.settings.home}, for evidence that was made under the other value")


@operations_app.command("weekly")
def operations_weekly(
    week: Annotated[str | None, typer.Option(help="Monday of the week; the last finished one if not given.")] = None,
    home: HomeOption = None,
) -> None:
    """Sweep, costs, hours, sleeves and proposals of a week, and the outputs, in one go."""
    from quant_platform.defs import runs
    from quant_platform.defs.jobs import job_named

    opened, console = open_checked_home(home), Console()
    _require_market(opened)
    started = time.monotonic()
    announce(opened, console)
    with runs.instance_of(opened) as instance:
        names = runs.register_tickers(opened, instance)[0] if opened.has_bars else []
        weeks = runs.partition_range(opened, instance, "operations_weekly", week, week)
        days = [str(key) for key in opened.lake.partitions("ops.book")] if opened.has_bars else []
        chain: list[tuple[str, tuple[str, ...]]] = [("operations_fills", ())]
        chain += [("operations_sweep", tuple(names))] if names else []
        chain += [("operations_weekly", weeks[-1:])]
        chain += [("operations_dashboard", (max(days),))] if days else []
        for job, keys in chain:
            with watching(console, f"{job:<22}", opened.lake, job_named(job, opened).tables, len(keys) or 1):
                runs.execute(runs.Launch(job, keys), instance, in_process=True)
    opened.refresh_catalogue()
    fills = opened.lake.read("ops.fills", columns=["fill_id"]).height
    lines = [f"week {weeks[-1]}, made in {time.monotonic() - started:.0f} s; {_of_fills(fills)}"]
    if opened.has_bars:
        waiting = changes.all_proposals(opened).filter(pl.col("state") == "open").height
        lines.append(f"  proposals  {waiting} open: quant proposals list --home {opened.settings.home}")
    else:
        lines.append("  proposals  none: they come from the paper account of equities, and this home has none")
    if days:
        lines.append(f"  outputs    {opened.settings.home / 'outputs'}/")
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def _of_fills(fills: int) -> str:
    if fills:
        return f"{fills:,} fills known"
    return "no fill is known, so that costs and hours are empty (quant fills import FILE)"


@operations_app.command("reset")
def operations_reset(reviewed_by: ReviewedBy, home: HomeOption = None) -> None:
    """Open all kill switches from the orders of the last finished session on; they trip again if the cause goes on."""
    opened = open_home(home)
    _require_equities(opened)
    session = reset_switches(opened, changes.reviewer(reviewed_by))
    print(f"the switches are open from the orders of {session} on, by {reviewed_by}")


def _require_market(home: Home) -> None:
    if not home.has_bars and home.has_equities:
        raise NotAvailable(
            "fills are of names with bars, and this home holds returns without bars",
            where=str(home.settings.home),
            action="name a home of equities or perpetuals with --home",
        )


def _require_equities(home: Home) -> None:
    if not home.has_bars:
        raise NotAvailable(
            "the paper account trades bars of equities, and this home holds none",
            where=str(home.settings.home),
            action="name a home of equities with --home",
        )


def _run(home: Home, job: str) -> None:
    from quant_platform.defs import runs

    with runs.instance_of(home) as instance:
        runs.execute(runs.Launch(job), instance, in_process=True)
