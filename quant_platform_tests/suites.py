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
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.submissions import submit, validate_file
from quant_platform.pipeline.verification import SuiteRun, stored_runs
from quant_platform.specification.settings import Settings
from quant_platform_tests.homes import Market, copied, edit, write_specs

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
