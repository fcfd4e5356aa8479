"""Small simulated homes for the tests of the wiring and of the command line."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from unittest.mock import patch

import dagster as dg
import polars as pl
import pytest
import yaml

import quant_platform
from quant_platform.defs import runs
from quant_platform.defs.jobs import job_named
from quant_platform.lake import Finding, Lake, check
from quant_platform.pipeline.home import Home
from quant_platform.specification.settings import Settings

SHIPPED = Path(__file__).resolve().parents[1] / "specs"
OURS = Path(quant_platform.__file__).parent
NAMES = 20
FIRST, LAST = date(2018, 1, 2), date(2019, 12, 31)
SYMBOLS = ("SIM01USDT", "SIM02USDT")
MONTHS = ("2024-01", "2024-02", "2024-03")
DECLARATIONS = ("home.yaml", "perps.yaml")


def edit(path: Path, change: Any) -> None:
    """Change the content of a YAML file by a function."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def write_specs(folder: Path, names: int = NAMES) -> Path:
    """Write the shipped specs with a market of a few names and two years."""
    shutil.copytree(SHIPPED, folder)
    # Twenty names cannot carry eleven industries.
    smaller = {"names": names, "years": 2, "industries": [], "industry_volatility_daily": 0.0}
    edit(folder / "sources" / "simulated.yaml", lambda spec: spec["simulated"].update(smaller))
    edit(folder / "home.yaml", lambda spec: spec.update(first_session=FIRST, last_session=LAST))
    return folder


def write_perp_specs(folder: Path) -> Path:
    """Write the shipped specs with a market of two perpetuals and three months."""
    shutil.copytree(SHIPPED, folder)
    edit(
        folder / "sources" / "simulated_perp.yaml",
        lambda spec: spec["simulated_perp"].update(symbols=len(SYMBOLS), months=len(MONTHS)),
    )
    edit(
        folder / "perps.yaml",
        lambda spec: spec.update(symbols=list(SYMBOLS), first_month=MONTHS[0], last_month=MONTHS[-1]),
    )
    # Few strategies: each is run once for every perturbation.
    few = {"max_blueprints": 2, "refused_beside": 1, "refused_alone": 3}
    edit(folder / "backtest.yaml", lambda spec: spec["strategies"].update(few))
    return folder


def declare_perps(home: Path, specs: Path) -> Path:
    """Say in a home that it holds the perpetuals of its specs and nothing else."""
    home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(specs / "perps.yaml", home / "perps.yaml")
    return home


def declare(home: Path, specs: Path) -> None:
    """Say in a home that it holds the equities of its specs and nothing else, unless it says something already."""
    home.mkdir(parents=True, exist_ok=True)
    if not any((home / name).exists() for name in DECLARATIONS):
        shutil.copyfile(specs / "home.yaml", home / "home.yaml")


@contextmanager
def entered(home: Path, specs: Path) -> Iterator[Home]:
    """Be in the environment of a home, of equities alone unless it declares something else, and leave it again."""
    declare(home, specs)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"HOME": home, "SPECS": specs}.items():
            patch.setenv(f"QUANT_{name}", str(value))
        patch.setenv("DAGSTER_HOME", str(home / "dagster"))
        yield Home(Settings(home=home, specs=specs))


def run(home: Home, instance: dg.DagsterInstance, job: str, *keys: str, **options: Any) -> str:
    """Run a job in this process."""
    return runs.execute(runs.Launch(job, keys), instance, **{"in_process": True, **options})


def hashes(home: Home, *tables: str) -> dict[tuple[str, Any], str]:
    """The content hash of every partition of some tables."""
    found = {}
    for name in tables:
        for key in home.lake.partitions(name):
            version = home.lake.current(name, key)
            assert version is not None
            found[name, key] = version.content_hash
    return found


def versions(home: Home, *tables: str) -> dict[tuple[str, Any], str]:
    """The name of the current version of every partition of some tables: another name means made again."""
    found = {}
    for name in tables:
        for key in home.lake.partitions(name):
            version = home.lake.current(name, key)
            assert version is not None
            found[name, key] = version.name
    return found


def key_of(name: str) -> dg.AssetKey:
    """The asset of a table."""
    return dg.AssetKey(name.split("."))


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder, with its size and time: equal before and after means untouched."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def copied(source: Path, target: Path) -> Path:
    """A home with the same lake, made of links, and no history of runs: partition files are never changed in place."""
    shutil.copytree(source / "lake", target / "lake", copy_function=os.link)
    for name in DECLARATIONS:
        if (source / name).exists():
            shutil.copyfile(source / name, target / name)
    return target


@contextmanager
def tables_read() -> Iterator[set[str]]:
    """The tables of any lake of this process whose rows or partitions are asked for while the block runs."""
    found: set[str] = set()
    asked: dict[str, Callable[..., Any]] = {name: getattr(Lake, name) for name in ("read", "scan", "partitions")}

    def noting(method: Callable[..., Any]) -> Callable[..., Any]:
        def noted(lake: Lake, table_name: str, *arguments: Any, **named: Any) -> Any:
            found.add(table_name)
            return method(lake, table_name, *arguments, **named)

        return noted

    with ExitStack() as patched:
        for name, method in asked.items():
            patched.enter_context(patch.object(Lake, name, noting(method)))
        yield found


@contextmanager
def arbitrary_orders() -> Iterator[dict[str, pl.DataFrame]]:
    """By place in our code, rows of equal keys but unequal content that it has sorted without saying how they stand.

    Polars then lets their order depend on how a frame is cut in pieces, so on whether it comes from memory or files.
    """
    found: dict[str, pl.DataFrame] = {}

    def noting(method: Callable[..., Any]) -> Callable[..., Any]:
        def noted(frame: Any, by: Any, *more: Any, **named: Any) -> Any:
            caller = sys._getframe(1)
            place = Path(caller.f_code.co_filename)
            if place.is_relative_to(OURS) and not named.get("maintain_order"):
                whole = frame.lazy().collect()
                keys = whole.select(by, *more)
                alike = keys.is_duplicated()
                if whole.filter(alike).unique().height > keys.filter(alike).unique().height:
                    found[f"{place.relative_to(OURS)}:{caller.f_lineno}"] = whole.filter(alike)
            return method(frame, by, *more, **named)

        return noted

    with (
        patch.object(pl.DataFrame, "sort", noting(pl.DataFrame.sort)),
        patch.object(pl.LazyFrame, "sort", noting(pl.LazyFrame.sort)),
    ):
        yield found


@dataclass(frozen=True)
class Market:
    """A materialised market; tests that change something take a copy (:func:`copied`)."""

    home: Home
    specs: Path
    launches: dict[str, runs.Launch]
    run_ids: dict[str, str]
    reads: dict[str, set[str]]
    arbitrary: dict[str, pl.DataFrame]


def materialised(folder: Path) -> Market:
    """Run every job of the graph in this process, the weekly ones over the last twelve weeks."""
    specs = write_specs(folder / "specs")
    return whole_graph(folder / "home", specs, fewer={"weekly_cross_section": 12})


def whole_graph(folder: Path, specs: Path, fewer: Mapping[str, int] | None = None) -> Market:
    """Run every job of the graph of a home in this process; of some of them only so many of the last partitions."""
    with entered(folder, specs) as home, runs.instance_of(home) as instance:
        if home.has_bars:
            runs.register_tickers(home, instance)
        launches, run_ids, reads = {}, {}, {}
        with arbitrary_orders() as arbitrary:
            for launch in runs.everything(home, instance):
                keys = launch.keys[-(fewer or {}).get(launch.job, len(launch.keys)) :]
                launches[launch.job] = runs.Launch(launch.job, keys)
                with tables_read() as read:
                    run_ids[launch.job] = run(home, instance, launch.job, *keys)
                reads[launch.job] = read
        home.refresh_catalogue()
        return Market(home, specs, launches, run_ids, reads, arbitrary)


def undeclared(market: Market) -> dict[str, set[str]]:
    """Tables that jobs asked for and that their stages neither make nor say they read."""
    jobs = {name: job_named(name, market.home) for name in market.launches}
    found = {name: market.reads[name] - job.reads - set(job.tables) for name, job in jobs.items()}
    return {name: tables for name, tables in found.items() if tables}


@contextmanager
def working_copy(market: Market, folder: Path) -> Iterator[tuple[Home, dg.DagsterInstance]]:
    """The same lake under another home, with a history of its own."""
    copied(market.home.settings.home, folder)
    with entered(folder, market.specs) as home, runs.instance_of(home) as instance:
        runs.register_tickers(home, instance)
        yield home, instance


def harm(lake: Lake) -> list[Finding]:
    """What a check finds in a lake, apart from what a process that was stopped may leave: a folder before its first
    file, a file before its name.
    """
    return [found for found in check(lake) if found.kind not in ("orphan", "temporary")]
