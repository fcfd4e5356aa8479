"""A small home in which a signal was judged twice, as the command does it: shared by the tests of what comes after."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from quant_platform.cli.suite import judge
from quant_platform.lake.provenance import Provenance
from quant_platform.pipeline import equity
from quant_platform.pipeline.cross_section import securities
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.sources import tickers_of
from quant_platform.pipeline.stage import run_stage
from quant_platform.pipeline.submissions import submit, validate_file
from quant_platform.pipeline.suite_panel import run_dates, run_panel
from quant_platform.pipeline.suite_snapshots import make_snapshot
from quant_platform.pipeline.verification import SuiteRun, stored_runs
from quant_platform.specification.settings import Settings
from quant_platform_tests.homes import FIRST, LAST, Market, copied, declare, edit, write_specs

SIGNAL = "rev5"
AUTHOR = "Ada Lovelace"


@dataclass(frozen=True)
class Judged:
    """The home after both suites; a test that changes something takes `copy`."""

    home: Home
    snapshot: str
    first: SuiteRun
    second: SuiteRun

    @property
    def folder(self) -> Path:
        return self.home.settings.home

    def copy(self, target: Path) -> Home:
        """The same home where a test may harm it, with specs of its own."""
        shutil.copytree(self.folder, target / "home", copy_function=os.link, ignore=shutil.ignore_patterns("dagster"))
        shutil.copytree(self.home.specs, target / "specs")
        return Home(Settings(home=target / "home", specs=target / "specs"))


def reversal(bars: pl.DataFrame) -> pl.DataFrame:
    """Minus the return of five sessions: a signal that has seen nothing but its past."""
    return (
        bars.filter(pl.col("close").is_finite())
        .sort("ticker", "session")
        .select(
            pl.col("ticker").alias("security_id"),
            pl.col("session").alias("date_sig"),
            pl.col("session").alias("date_avail"),
            (1.0 - pl.col("close") / pl.col("close").shift(5).over("ticker")).alias("signal"),
        )
        .drop_nulls()
    )


def write_small_specs(folder: Path) -> Path:
    """The specs of the small market, with numbers that twenty names can carry."""
    specs = write_specs(folder)
    edit(specs / "suite" / "suite.yaml", lambda spec: spec.update(min_names=10, fractiles=4))
    for name in ("standard", "quick", "deep"):
        edit(specs / "suite" / "presets" / f"{name}.yaml", lambda spec: spec.update(mincos=3, fractile=[20, 80]))
    return specs


@dataclass(frozen=True)
class Stored:
    """A home with what a suite reads and nothing else, made by the stages alone; a test takes `copy`."""

    home: Home
    snapshot: str

    def copy(self, target: Path) -> Home:
        """The same home where a test may change it."""
        folder = self.home.settings.home
        shutil.copytree(folder, target / "home", copy_function=os.link)
        return Home(Settings(home=target / "home", specs=self.home.specs))


def stored_home(folder: Path) -> Stored:
    """Fetch and clean a small market, compute its panel, and name a snapshot: no Dagster, no other lab."""
    specs = write_small_specs(folder / "specs")
    declare(folder / "home", specs)
    home = Home(Settings(home=folder / "home", specs=specs))
    names = tickers_of(home)
    for stage in (equity.RAW_MARKET, equity.RAW_FUNDAMENTALS, equity.CLEAN, equity.CLEAN_FUNDAMENTALS):
        for done in run_stage(stage, home, names, run_id="market"):
            assert done.state == "written", done.error
    for name, frame in (
        ("raw.securities", securities(home, ())),
        ("suite.dates", run_dates(home, ())),
    ):
        stamp = Provenance(name, "1", "", {}, "market", {}, simulated=True)
        home.lake.write(name, None, frame, stamp)
    years = [str(year) for year in range(FIRST.year, LAST.year + 1)]
    run_panel(home, years, run_id="market", refresh=False, workers=1)
    return Stored(home, make_snapshot(home, "US"))


def judged_home(market: Market, folder: Path) -> Judged:
    """Register a signal and judge it under QUICK, then under STANDARD, each logged to MLflow."""
    where = copied(market.home.settings.home, folder / "home")
    specs = write_small_specs(folder / "specs")
    home = Home(Settings(home=where, specs=specs))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUANT_HOME", str(where))
        patch.setenv("QUANT_SPECS", str(specs))
        patch.setenv("DAGSTER_HOME", str(where / "dagster"))
        path = folder / "rev5.csv"
        reversal(home.lake.read("clean.equity_bars")).write_csv(path)
        submit(home, path, validate_file(home, path), name=SIGNAL, author=AUTHOR)
        with Path(os.devnull).open("w") as nowhere:
            for preset in ("QUICK", "STANDARD"):
                snapshot = judge(home, Console(file=nowhere), [SIGNAL], preset=preset, track=True)
    first, second = stored_runs(home)
    return Judged(home, snapshot, first, second)
