"""Compile every kernel ahead of its first use: ``python -m quant_platform.cli.warm``, once after installation.

A small simulated market of each kind goes through the graph, two processes at a time; the machine code goes to numba's
cache on disk. Which kernels there are, and for which types, is thus nowhere written down a second time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from quant_platform.contracts.errors import PlatformError
from quant_platform.engine import warm as engine
from quant_platform.labs.suite import warm as suite
from quant_platform.specification.settings import settings

EQUITY_JOBS = ("securities", "ticker_graph", "weekly_cross_section", "factor_study", "sweep_study", "live_scan")
PERP_JOBS = ("perp_graph", "event_graph", "event_study", "discovery", "event_backtest")
WEEKS = 4
COMMAND = "quant_platform.cli.warm"


class WarmingFailed(PlatformError, RuntimeError):
    """A small market could not be made, so that an installation does not work."""

    code = "warming_failed"


def compile_kernels(folder: Path) -> None:
    """Make both markets in processes of their own, and compile what they do not reach here meanwhile.

    Parameters
    ----------
    folder
        Where their homes and specs are made.

    Raises
    ------
    WarmingFailed
        With what the process said.
    """
    started = [
        (name, subprocess.Popen([sys.executable, "-m", COMMAND, name, str(folder / name)], stderr=subprocess.PIPE))
        for name in _MARKETS
    ]
    engine.compile_kernels()
    suite.compile_kernels()
    for name, process in started:
        _, said = process.communicate()
        if process.returncode != 0:
            raise WarmingFailed(
                f"the small market of {name} could not be made",
                where=str(folder / name),
                cause=said.decode(errors="replace").strip()[-2000:],
                action="install again; if it stays, `quant doctor` says what is missing",
            )


def write_equities(folder: Path) -> tuple[str, ...]:
    """Declare twenty names over two years, fewer than carry industries; what is run of them."""
    smaller = {"names": 20, "years": 2, "industries": [], "industry_volatility_daily": 0.0}
    _edit(folder / "specs" / "sources" / "simulated.yaml", lambda spec: spec["simulated"].update(smaller))
    span = {"first_session": date(2018, 1, 2), "last_session": date(2019, 12, 31)}
    _edit(folder / "specs" / "home.yaml", lambda spec: spec.update(span))
    shutil.copyfile(folder / "specs" / "home.yaml", folder / "home" / "home.yaml")
    return EQUITY_JOBS


def write_perpetuals(folder: Path) -> tuple[str, ...]:
    """Declare two perpetuals over three months; what is run of them."""
    _edit(
        folder / "specs" / "sources" / "simulated_perp.yaml",
        lambda spec: spec["simulated_perp"].update(symbols=2, months=3),
    )
    span = {"symbols": ["SIM01USDT", "SIM02USDT"], "first_month": "2024-01", "last_month": "2024-03"}
    _edit(folder / "specs" / "perps.yaml", lambda spec: spec.update(span))
    few = {"max_blueprints": 1, "refused_beside": 1, "refused_alone": 1}
    _edit(folder / "specs" / "backtest.yaml", lambda spec: spec["strategies"].update(few))
    shutil.copyfile(folder / "specs" / "perps.yaml", folder / "home" / "perps.yaml")
    return PERP_JOBS


_MARKETS: Mapping[str, Callable[[Path], tuple[str, ...]]] = {
    "equities": write_equities,
    "perpetuals": write_perpetuals,
}


def make(name: str, folder: Path) -> None:
    """Make a small market in this process."""
    (folder / "home").mkdir(parents=True)
    shutil.copytree(settings().specs, folder / "specs")
    jobs = _MARKETS[name](folder)
    os.environ.update(QUANT_HOME=str(folder / "home"), QUANT_SPECS=str(folder / "specs"))
    # Dagster is started in the place that the environment says, so it is loaded now.
    from quant_platform.cli.homes import open_checked_home
    from quant_platform.cli.market import run_everything
    from quant_platform.defs import runs

    home = open_checked_home(None, may_be_new=True)
    with runs.instance_of(home) as instance:
        runs.register_tickers(home, instance)
        chosen = [
            runs.Launch(launch.job, launch.keys[-WEEKS:] if launch.job == "weekly_cross_section" else launch.keys)
            for launch in runs.everything(home, instance)
            if launch.job in jobs
        ]
    quiet = Console(quiet=True)
    run_everything(home, quiet, launches=lambda *_: chosen, in_process=True, begun=True)


def main(arguments: Sequence[str]) -> int:
    """Compile everything, or make one market; the exit code."""
    if arguments:
        make(arguments[0], Path(arguments[1]))
        return 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="quant-warm-") as folder:
        try:
            compile_kernels(Path(folder))
        except WarmingFailed as error:
            print(error, file=sys.stderr)
            return 1
    print(f"every kernel is compiled, in {time.monotonic() - began:.0f} s")
    return 0


def _edit(path: Path, change: Callable[[Any], None]) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
