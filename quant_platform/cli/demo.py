"""``quant demo``: the whole graph on the built-in simulated market, and a verdict on two signals."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from quant_platform.cli.beside import Other, beside
from quant_platform.cli.homes import HomeOption, home_settings, open_checked_home
from quant_platform.contracts.errors import HomeMixed, PlatformError

if TYPE_CHECKING:
    from quant_platform.pipeline.home import Home


def demo(home: HomeOption = None) -> None:
    """Materialise the whole graph on the built-in simulated market and say where to look."""
    started = time.monotonic()
    console = Console()
    # The other process loads what this one loads, so it starts before anything is loaded.
    with beside(home_settings(home), ["events"], console, later=["operations"]) as other:
        opened = open_checked_home(home, may_be_new=True)
        if not opened.simulated:
            raise HomeMixed(
                "this home holds a real market, the demo would mix it with a simulated one",
                where=str(opened.spec_file),
                action="choose another folder: quant demo --home data-demo",
            )
        left_out, verdicts = run_labs(opened, console, other)
    # A table in SQL may read any other.
    left_out = _run(opened, console, ["sql"]) or left_out
    from quant_platform.cli.market import finish

    finish(opened, console, started, left_out, verdicts)


def run_labs(home: Home, console: Console, other: Other) -> tuple[PlatformError | None, Sequence[str]]:
    """Run every job but those in SQL, and judge the demo's signals; where there is a second core, two labs at a time.

    Events run beside equities. Operations are for whichever process is through first, beside the end of the other: a
    verdict on these signals has seen every session that they are traded in, so it is not known to any order.

    Returns
    -------
    PlatformError or None
        What says which tickers were left out because they failed.
    sequence of str
        The verdicts.
    """
    from quant_platform.cli.market import announce
    from quant_platform.defs import runs
    from quant_platform.defs.labs import labs_of

    two = (os.cpu_count() or 1) > 1 and home.has_bars and home.has_perps
    with runs.instance_of(home) as instance:
        # The files of the home's history are there now, and perpetuals have no tickers.
        if two:
            other.begin()
        runs.register_tickers(home, instance)
    announce(home, console)
    names = [lab.name for lab in labs_of(home) if lab.name != "sql"]
    if not two:
        return _run(home, console, names), judge_demo_signals(home, console)
    left_out = _run(home, console, ["equity"])
    other.go_on()
    rest = [name for name in names if name not in ("equity", "events", "operations")]
    left_out = _run(home, console, rest) or left_out
    verdicts = judge_demo_signals(home, console)
    if other.take_over():
        left_out = _run(home, console, ["operations"]) or left_out
    else:
        # While the other process makes them there is time for what is made already.
        home.follow_catalogue()
    return left_out, verdicts


def _run(home: Home, console: Console, labs: Sequence[str]) -> PlatformError | None:
    from quant_platform.cli.market import run_everything
    from quant_platform.defs.labs import job_names_of

    jobs = job_names_of(home, labs)
    return run_everything(home, console, jobs, begun=True, lanes=1) if jobs else None


def judge_demo_signals(home: Home, console: Console) -> Sequence[str]:
    """Submit the two demo signals of a simulated market of equities and judge them: the verdict and page of each."""
    if not home.has_equities:
        return []
    from quant_platform.cli.market import shown
    from quant_platform.cli.suite import judge, sentence

    # The oracle is that of a source; only a home of equities has one.
    from quant_platform.pipeline.demo_signals import submit_demo_signals
    from quant_platform.pipeline.suite import tear_sheet_path

    names = [made.name for made in submit_demo_signals(home)]
    try:
        snapshot = judge(home, console, names)
    except PlatformError as error:
        # Everything else is made; a market of a few names cannot carry a cross-section.
        return [f"{', '.join(names)} could not be judged: {error}"]
    keys = [(name, snapshot) for name in names]
    return [line for key in keys for line in (sentence(home, key), f"  {shown(tear_sheet_path(home, key))}")]
