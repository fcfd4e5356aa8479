"""From a registered signal to a verdict, on a small simulated home: tables, numbers, what is skipped, what is said."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from quant_platform.labs.suite.api import run_backtest
from quant_platform.labs.suite.build import build_panel
from quant_platform.labs.suite.panel import signal_panel
from quant_platform.labs.suite.published import MarketTables
from quant_platform.lake import Lake, check
from quant_platform.specification.suite import load_preset, load_suite
from quant_platform_tests.cli.commands import Command, is_one_paragraph
from quant_platform_tests.homes import edit
from quant_platform_tests.homes import files as files_below
from quant_platform_tests.reports.reading import read_html
from quant_platform_tests.suites import Judged, reversal

KEY_TABLES = (
    "results", "daily", "fractiles", "diagnostics", "correlations", "trials", "experiments", "looks", "verdict",
)  # fmt: skip
SUFFIX = "residoff_fractile20to80_mincos3"
JUDGED = f"lag0_{SUFFIX}"
VARIANTS = {f"lag{lag}_{SUFFIX}" for lag in (0, 1, 2)}


@pytest.fixture
def small(own: Path) -> Path:
    """The home, with numbers that a market of twenty names can carry."""
    specs = Path(os.environ["QUANT_SPECS"])
    edit(specs / "suite" / "suite.yaml", lambda spec: spec.update(min_names=10, fractiles=4))
    for name in ("standard", "quick", "deep"):
        edit(specs / "suite" / "presets" / f"{name}.yaml", lambda spec: spec.update(mincos=3, fractile=[20, 80]))
    return own


@pytest.fixture
def again(judged: Judged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the home in which ``rev5`` was judged under QUICK and then under STANDARD."""
    settings = judged.copy(tmp_path).settings
    monkeypatch.setenv("QUANT_HOME", str(settings.home))
    monkeypatch.setenv("QUANT_SPECS", str(settings.specs))
    monkeypatch.setenv("DAGSTER_HOME", str(settings.home / "dagster"))
    return settings.home


def test_a_signal_is_judged_and_its_numbers_are_those_of_the_lab(judged: Judged) -> None:
    lake, snapshot = judged.home.lake, judged.snapshot
    bars = lake.read("clean.equity_bars")
    signal = reversal(bars)
    assert lake.partitions("suite.verdict") == [("rev5", snapshot)]
    key = [("rev5", snapshot)]
    frames = {table: lake.read(f"suite.{table}", key) for table in KEY_TABLES}

    # The same panel and variant, made of the lake's tables without a snapshot, a stage or a job.
    specs = load_suite(judged.home.specs)
    panel = build_panel(
        MarketTables(
            bars,
            lake.read("clean.corporate_actions"),
            lake.read("clean.fundamentals"),
            lake.read("raw.securities"),
        ),
        specs.suite,
        exchange="XNYS",
        universe="simulated",
    )
    preset = load_preset(judged.home.specs, "STANDARD")
    contract = signal.with_columns(pl.lit(None, dtype=pl.Float64).alias("avail_hour"))
    direct = run_backtest(signal_panel(contract, panel, name="rev5"), preset.configs()[0], panel, specs=specs)
    overall = frames["results"].filter((pl.col("slice_kind") == "overall") & (pl.col("variant") == JUDGED))
    assert overall["sharpe_net"][0] == pytest.approx(direct.overall("sharpe_net"), abs=1e-12)
    daily = frames["daily"].filter(pl.col("variant") == JUDGED).sort("session")
    assert daily.height == direct.daily.height

    # By hand, from the daily rows alone.
    net = daily["net"].to_numpy()
    assert overall["sharpe_net"][0] == pytest.approx(net.mean() / net.std(ddof=1) * math.sqrt(252), abs=1e-10)
    assert daily["cumret"][-1] == pytest.approx(np.prod(1.0 + net) - 1.0, abs=1e-12)
    assert set(frames["results"]["variant"]) == VARIANTS
    assert frames["trials"].height == len(VARIANTS)
    assert frames["daily"]["variant"].n_unique() == len(VARIANTS)
    assert lake.read("suite.signals", ["rev5"]).height == signal.height
    assert lake.read("suite.rejects", ["rev5"]).height == 0
    clone = frames["correlations"].filter(pl.col("baseline") == "reversal_5d")
    assert clone["signal_correlation"][0] > 0.99
    assert check(lake) == []


@pytest.mark.long
def test_what_is_said_is_what_is_stored(quant: Command, again: Path, judged: Judged) -> None:
    lake, snapshot = Lake(again / "lake"), judged.snapshot
    key = [("rev5", snapshot)]
    made = {table: versions_of(lake, f"suite.{table}") for table in (*KEY_TABLES, "signals", "returns", "dates")}
    ended = quant("suite", "rev5", "--home", again, "--snapshot", snapshot)
    assert ended.code == 0, ended.err
    # Nothing has changed, so nothing is made, no second snapshot either.
    assert {table: versions_of(lake, f"suite.{table}") for table in made} == made
    assert len(list((again / "snapshots").glob("*/manifest.json"))) == 1

    verdict = lake.read("suite.verdict", key)
    assert f"rev5 on {snapshot}: {verdict['verdict'][0].upper()}" in ended.out
    for text in verdict["text"]:
        assert text in ended.out
    overall = lake.read("suite.results", key).filter(
        (pl.col("slice_kind") == "overall") & (pl.col("variant") == JUDGED)
    )
    page = again / "reports" / "suite" / f"rev5@{snapshot}.html"
    assert page.stat().st_size < 5_000_000
    read = read_html(page.read_text(encoding="utf-8"))
    assert "SIMULATED" in read.said
    assert f"{overall['sharpe_net'][0]:.2f}" in read.said
    for text in verdict["text"]:
        assert text in read.said
    headings = {node.text.replace("SIMULATED", "") for node in read.all("h2")}
    assert headings == {
        "Verdict",
        "Registration",
        "Variants",
        "Performance",
        "Over time",
        "By year and slice",
        "Prediction",
        "Uniqueness",
        "Capacity",
        "Where it comes from",
    }
    assert not {node.attributes.get("src") for node in read.everything()} - {None}

    # Another preset is another question on the same data: its trials come to those of before.
    assert quant("suite", "rev5", "--home", again, "--snapshot", snapshot, "--preset", "quick").code == 0
    assert set(lake.read("suite.results", key)["variant"]) < VARIANTS
    assert set(lake.read("suite.trials", key)["variant"]) == VARIANTS


def versions_of(lake: Lake, name: str) -> list[str]:
    return sorted(path.name for path in lake.current_by_key(name).values())


def test_a_signal_that_has_seen_tomorrow_is_stopped(
    quant: Command, again: Path, judged: Judged, tmp_path: Path
) -> None:
    lake = Lake(again / "lake")
    bars = lake.read("clean.equity_bars")
    priced = bars.filter(pl.col("close").is_finite()).sort("ticker", "session")
    ahead = priced.select(
        pl.col("ticker").alias("security_id"),
        pl.col("session").alias("date_sig"),
        pl.col("session").alias("date_avail"),
        (pl.col("close").shift(-2).over("ticker") / pl.col("close").shift(-1).over("ticker")).alias("signal"),
    )
    ahead.drop_nulls().write_csv(tmp_path / "peek.csv")
    quant("signal", "submit", tmp_path / "peek.csv", "--name", "peek", "--home", again)
    ended = quant("suite", "peek", "--home", again, "--snapshot", judged.snapshot)
    assert ended.code == 1
    assert "look_ahead_found" in ended.err
    assert lake.partitions("suite.verdict") == [("rev5", judged.snapshot)]


def test_what_is_not_there_is_refused_before_anything_is_made(quant: Command, small: Path, tmp_path: Path) -> None:
    before = files_below(small / "lake")
    is_one_paragraph(quant("suite", "nobodys", "--home", small), "unknown_signal")
    bars = Lake(small / "lake").read("clean.equity_bars")
    reversal(bars).write_csv(tmp_path / "s.csv")
    quant("signal", "submit", tmp_path / "s.csv", "--name", "rev5", "--home", small)
    refused = quant("suite", "rev6", "--home", small)
    is_one_paragraph(refused, "unknown_signal")
    assert "did you mean 'rev5'?" in refused.plain
    is_one_paragraph(quant("suite", "rev5", "--snapshot", "2020-01-01-US-v9", "--home", small), "snapshot_invalid")
    nothing = quant("run", "suite", "--home", small)
    is_one_paragraph(nothing, "partition_missing")
    assert "quant signal submit" in nothing.plain
    assert files_below(small / "lake") == before
    assert json.loads((small / "signals/rev5/submission.json").read_text())["author"] == "unknown"
