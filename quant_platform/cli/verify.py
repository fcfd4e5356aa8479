"""``quant verify``: a suite computed again from its snapshot, and what equals."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console

from quant_platform.cli.homes import HomeOption, open_home
from quant_platform.cli.lake import FOUND_SOMETHING, JsonOption, to_json


def verify(
    run: Annotated[str, typer.Argument(help="Id of a run of Dagster or MLflow, its beginning, or signal@snapshot.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compute a suite again from snapshot, specs and code, and say byte for byte what equals."""
    from quant_platform.pipeline.verification import find_runs, verify_run

    opened, console = open_home(home), Console(highlight=False, soft_wrap=True)
    found = [verify_run(opened, one) for one in find_runs(opened, run)]
    if as_json:
        print(to_json([{**asdict(one), "equal": one.equal} for one in found]))
    else:
        for one in found:
            lines = [f"{one.run.key[0]} on {one.run.key[1]}, {one.run.preset}, run {one.run.run_id}"]
            lines += [f"  first     {note}" for note in one.notes]
            lines += [
                f"  {'equal' if each.equal else 'DIFFERS':<9} {each.name:<20} {each.says}" for each in one.compared
            ]
            console.print("\n".join(lines), markup=False)
    if not all(one.equal for one in found):
        raise typer.Exit(FOUND_SOMETHING)
