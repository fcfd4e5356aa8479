"""The graph run end to end on a small market: what is recorded, skipped, made again, and left alone."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from quant_platform.contracts.companion import Companion
from quant_platform.contracts.errors import PlatformError, SourceMalformed, SourceRateLimited, SourceUnavailable
from quant_platform.defs import runs
from quant_platform.defs.jobs import JOBS, job_named
from quant_platform.lake.store import LocalFiles
from quant_platform.pipeline.sources import tickers_of
from quant_platform.sources import open_source
from quant_platform_tests.homes import (
    NAMES,
    Market,
    declare,
    edit,
    entered,
    harm,
    hashes,
    key_of,
    run,
    versions,
    working_copy,
    write_specs,
)

TICKER_TABLES = (
    "raw.equity_bars",
    "raw.corporate_actions",
    "raw.fundamentals",
    "clean.equity_bars",
    "clean.equity_quarantine",
    "clean.equity_suspects",
    "clean.corporate_actions",
    "clean.fundamentals",
    "clean.fundamentals_quarantine",
    "features.equity",
    "replay.candidates",
)


@pytest.mark.parametrize("name", TICKER_TABLES)
def test_every_ticker_shows_as_materialised_with_the_rows_of_its_file(name: str, market: Market) -> None:
    with entered(market.home.settings.home, market.specs) as home, runs.instance_of(home) as instance:
        tickers = instance.get_dynamic_partitions("ticker")
        assert len(tickers) == NAMES
        assert instance.get_materialized_partitions(key_of(name)) == set(tickers)
        records = instance.fetch_materializations(key_of(name), limit=1000).records
    shown = {}
    for record in records:
        assert record.asset_materialization is not None
        shown[record.partition_key] = record.asset_materialization.metadata["dagster/partition_row_count"].value
    counted = {}
    for ticker in tickers:
        newest = max((market.home.settings.lake / name.replace(".", "/") / f"ticker={ticker}").glob("*.parquet"))
        counted[ticker] = pl.scan_parquet(newest).select(pl.len()).collect().item()
    assert shown == counted


def test_every_table_has_rows_and_the_report_its_page(market: Market) -> None:
    sizes = {name: rows for name, _, rows in market.home.table_sizes()}
    assert set(sizes) == {table for job in market.run_ids for table in JOBS[job].tables}
    # The planted errors of this small market stand in its closes, and its fundamentals are right.
    assert {name for name, rows in sizes.items() if rows == 0} <= {
        "clean.equity_suspects",
        "clean.fundamentals_quarantine",
        # Two years of twenty names give no evidence to propose anything on.
        "ops.config_proposals",
    }
    page = market.home.settings.home / "reports" / "equity" / "2019-12-30.html"
    assert "SIMULATED" in page.read_text(encoding="utf-8")


def test_every_check_of_every_run_passed(market: Market) -> None:
    evaluated: dict[tuple[str, str], bool] = {}
    with entered(market.home.settings.home, market.specs) as home, runs.instance_of(home) as instance:
        for run_id in market.run_ids.values():
            for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION):
                event = entry.get_dagster_event().asset_check_evaluation_data
                evaluated[event.asset_key.to_user_string(), event.check_name] = event.passed
    tables = {"/".join(table.split(".")) for job in market.run_ids for table in JOBS[job].tables}
    assert {asset for asset, _ in evaluated} == tables
    # Two of every table; prices, coverage, staleness, the rate of quarantine, the accounting, and alerts.
    assert len(evaluated) == 2 * len(tables) + 6
    # Planted vendor errors are a larger share of a small market: the warning is what should be seen.
    warned = {where for where, passed in evaluated.items() if not passed}
    assert warned <= {("clean/equity_quarantine", "quarantine_rate"), ("ops/dashboard", "alerts")}


def test_no_raw_row_is_lost(market: Market) -> None:
    accounting = market.home.lake.read("clean.equity_accounting")
    assert accounting.height == NAMES
    assert accounting["unaccounted_rows"].to_list() == [0] * NAMES
    assert accounting["raw_rows"].sum() == market.home.lake.read("raw.equity_bars").height
    # Nine errors are planted. Two of them are missing sessions, which leave no row to keep out, and a shifted price
    # beside a good close costs its field and not its row.
    fields = market.home.lake.read("clean.equity_suspects").select("ticker", "session").unique().height
    assert accounting["quarantined_rows"].sum() + fields >= 7


def test_the_audit_says_what_the_tables_say(market: Market) -> None:
    """Counted again from the tables it is made of."""
    audit = market.home.lake.read("audit.findings")
    quarantine = market.home.lake.read("clean.equity_quarantine")
    told = audit.filter((pl.col("kind") == "rows_kept_out") & (pl.col("where") == "raw.equity_bars"))
    assert told["rows"].sum() == quarantine.height
    assert told["total"].unique().to_list() == [market.home.lake.read("raw.equity_bars").height]
    assert {text.split("rule ")[1].split(",")[0] for text in told["what"]} == set(quarantine["rule"])
    missing = market.home.lake.read("clean.equity_bars")["missing_reason"].drop_nulls().len()
    assert audit.filter(pl.col("kind") == "missing_sessions")["rows"].sum() == missing
    stated = market.home.lake.read("clean.corporate_actions")
    assert stated.height == market.home.lake.read("raw.corporate_actions").height
    assert stated["applied"].all()


def test_fundamentals_are_clean_or_in_quarantine(market: Market) -> None:
    lake = market.home.lake
    kept, out = lake.read("clean.fundamentals").height, lake.read("clean.fundamentals_quarantine").height
    assert kept + out == lake.read("raw.fundamentals").height


def test_no_file_of_a_home_is_a_pickle(market: Market) -> None:
    protocols = tuple(bytes([0x80, protocol]) for protocol in (2, 3, 4, 5))
    beginnings = {}
    for path in market.home.settings.home.rglob("*"):
        if path.is_file():
            with path.open("rb") as handle:
                beginnings[path] = handle.read(2)
    assert len(beginnings) > 7 * NAMES
    assert [path for path, first in beginnings.items() if first in protocols] == []
    assert [path for path in beginnings if path.suffix in (".pickle", ".pkl")] == []


def test_a_second_run_leaves_every_version_alone(market: Market, tmp_path: Path) -> None:
    with working_copy(market, tmp_path / "home") as (home, instance):
        before = versions(home, *TICKER_TABLES)
        run(home, instance, "ticker_graph", *tickers_of(home))
        assert versions(home, *TICKER_TABLES) == before
        assert len(instance.get_materialized_partitions(key_of("replay.candidates"))) == NAMES


def test_what_reads_clean_bars_runs_before_the_wide_features(market: Market, tmp_path: Path) -> None:
    with working_copy(market, tmp_path / "home") as (home, instance):
        run(home, instance, "ticker_graph", *tickers_of(home)[:2])
        (last,) = instance.get_runs(limit=1)
        steps = [log.step_key or "" for log in instance.all_logs(last.run_id, of_type=dg.DagsterEventType.STEP_START)]
        work = [step.partition(".work")[0] for step in steps if ".work" in step]
    assert work.index("clean_fundamentals") < work.index("features_equity")
    assert work.index("replay_candidates") < work.index("features_equity")


def test_a_backfill_makes_every_version_again_with_the_same_content(market: Market, tmp_path: Path) -> None:
    with working_copy(market, tmp_path / "home") as (home, instance):
        first, second = tickers_of(home)[:2]
        before, content = versions(home, *TICKER_TABLES), hashes(home, *TICKER_TABLES)
        run(home, instance, "data_backfill", first, second)
        after = versions(home, *TICKER_TABLES)
        assert {where for where in after if after[where] != before[where]} == {
            (name, ticker) for name in TICKER_TABLES for ticker in (first, second)
        }
        assert hashes(home, *TICKER_TABLES) == content


def test_one_ticker_is_redone_alone(market: Market, tmp_path: Path) -> None:
    with working_copy(market, tmp_path / "home") as (home, instance):
        alone = tickers_of(home)[11]
        before, content = versions(home, *TICKER_TABLES), hashes(home, *TICKER_TABLES)
        run(home, instance, "weekly_replay", alone, refresh=True)
        after = versions(home, *TICKER_TABLES)
        assert {where for where in after if after[where] != before[where]} == {("replay.candidates", alone)}
        assert hashes(home, *TICKER_TABLES) == content
        assert instance.get_materialized_partitions(key_of("replay.candidates")) == {alone}


def test_a_resumed_backfill_keeps_what_the_interrupted_one_made(market: Market, tmp_path: Path) -> None:
    with working_copy(market, tmp_path / "home") as (home, instance):
        first, second = tickers_of(home)[:2]
        before = versions(home, "replay.candidates")
        earlier = run(home, instance, "weekly_replay", first, refresh=True)
        between = versions(home, "replay.candidates")
        run(home, instance, "weekly_replay", first, second, refresh=True, resume=earlier)
        after = versions(home, "replay.candidates")
        made_first, made_second = ("replay.candidates", first), ("replay.candidates", second)
        assert before[made_first] != between[made_first] == after[made_first]
        assert before[made_second] == between[made_second] != after[made_second]


@pytest.mark.long
def test_two_worker_processes_give_the_bits_of_one(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Worker processes are forked by a server that keeps the environment it was started in: it may be another home's.
    elsewhere = tmp_path / "elsewhere"
    monkeypatch.setenv("DAGSTER_HOME", str(elsewhere))
    forkserver.ensure_running()
    with working_copy(market, tmp_path / "home") as (home, instance):
        expected, before = hashes(home, "replay.candidates"), versions(home, "replay.candidates")
        run_id = run(home, instance, "weekly_replay", *tickers_of(home), in_process=False, workers=2, refresh=True)
        messages = [entry.message for entry in instance.all_logs(run_id)]
        for chunk in ("chunk_000", "chunk_001"):
            step = f"replay_candidates.work[{chunk}]"
            assert any(f'Executing step "{step}" in subprocess' in message for message in messages)
        assert hashes(home, "replay.candidates") == expected
        assert set(versions(home, "replay.candidates").values()).isdisjoint(before.values())
        assert len(instance.get_materialized_partitions(key_of("replay.candidates"))) == NAMES
    assert not elsewhere.exists()


def test_processes_that_share_a_run_give_the_bits_of_one(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    ask = Companion.ask

    def counted(self: Companion, question: object) -> None:
        asked.append(self.process.pid)
        ask(self, question)

    monkeypatch.setattr(Companion, "ask", counted)
    with working_copy(market, tmp_path / "home") as (home, instance):
        expected, before = hashes(home, *TICKER_TABLES), versions(home, *TICKER_TABLES)
        run_id = run(home, instance, "ticker_graph", *tickers_of(home), in_process=None, workers=1, refresh=True)
        assert hashes(home, *TICKER_TABLES) == expected
        assert set(versions(home, *TICKER_TABLES).values()).isdisjoint(before.values())
        assert len(instance.get_materialized_partitions(key_of("replay.candidates"))) == NAMES
        messages = [entry.message for entry in instance.all_logs(run_id)]
    # One process that lives as long as the run is asked once for each stage.
    assert (len(set(asked)), len(asked)) == (1, len({stage.outputs for stage in job_named("ticker_graph").stages}))
    assert not any("shared the partitions" in message for message in messages)


class BrokenSource:
    """A source that cannot deliver the bars of one ticker, every time or the first few."""

    def __init__(self, source: Any, broken: str, error: PlatformError, times: list[int]) -> None:
        self._source, self._broken, self._error, self._times = source, broken, error, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def bars(self, ticker: str, *period: Any, **named: Any) -> pl.DataFrame:
        if ticker == self._broken:
            self._times.append(len(self._times))
            if len(self._times) <= 2 or isinstance(self._error, SourceMalformed):
                raise self._error
        frame: pl.DataFrame = self._source.bars(ticker, *period, **named)
        return frame


@pytest.mark.parametrize(
    ("error", "asked"),
    [(SourceRateLimited("too many requests"), 3), (SourceUnavailable("no answer"), 3), (SourceMalformed("torn"), 1)],
    ids=["rate limited", "unavailable", "malformed"],
)
def test_a_source_is_asked_again_where_waiting_may_help(
    error: PlatformError, asked: int, market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = write_specs(tmp_path / "specs")
    edit(specs / "schedules.yaml", lambda spec: spec.update(retry_delay_seconds=0.01))
    with entered(tmp_path / "home", specs) as home, runs.instance_of(home) as instance:
        tickers, _ = runs.register_tickers(home, instance)
        times: list[int] = []
        monkeypatch.setattr(
            "quant_platform.pipeline.sources.open_source",
            lambda *given, **named: BrokenSource(open_source(*given, **named), tickers[0], error, times),
        )
        if isinstance(error, SourceMalformed):
            with pytest.raises(runs.RunFailed, match="torn"):
                run(home, instance, "daily_pipeline", *tickers[:2])
        else:
            run(home, instance, "daily_pipeline", *tickers[:2])
            assert home.lake.partitions("clean.equity_bars") == tickers[:2]
    assert len(times) == asked


def test_a_ticker_that_fails_is_named_and_the_others_are_made(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = ("raw.equity_bars", "raw.corporate_actions")
    with entered(tmp_path / "home", market.specs) as home, runs.instance_of(home) as instance:
        tickers, _ = runs.register_tickers(home, instance)
        chosen, broken = tickers[:5], tickers[3]
        error = SourceMalformed("the price was 'n/a'", where=f"{broken}.csv, line 7")
        with monkeypatch.context() as patch:
            patch.setattr(
                "quant_platform.pipeline.sources.open_source",
                lambda *given, **named: BrokenSource(open_source(*given, **named), broken, error, []),
            )
            with pytest.raises(runs.RunFailed) as failure:
                run(home, instance, "daily_pipeline", *chosen)
        message = str(failure.value)
        assert "Traceback" not in message
        assert f"1 of 5 partitions of {', '.join(tables)} could not be made" in message
        assert f"{broken}=source_malformed: the price was 'n/a'" in message
        assert f"{broken}.csv, line 7" in message
        others = {ticker for ticker in chosen if ticker != broken}
        for name in tables:
            assert set(home.lake.partitions(name)) == others
            assert instance.get_materialized_partitions(key_of(name)) == others
        before = versions(home, *tables)
        run(home, instance, "daily_pipeline", *chosen)
        after = versions(home, *tables)
        assert {where: after[where] for where in before} == before
        expected = hashes(market.home, *tables, "clean.equity_bars")
        found = hashes(home, *tables, "clean.equity_bars")
        assert found == {(name, ticker): expected[name, ticker] for name, ticker in expected if ticker in chosen}


class Recording:
    """A source that notes whose bars it was asked for, and cannot read those of some tickers."""

    def __init__(self, source: Any, torn: set[str], asked: list[str]) -> None:
        self._source, self._torn, self._asked = source, torn, asked

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def bars(self, ticker: str, *period: Any, **named: Any) -> pl.DataFrame:
        self._asked.append(ticker)
        if ticker in self._torn:
            raise SourceMalformed("torn", where=f"{ticker}.csv")
        frame: pl.DataFrame = self._source.bars(ticker, *period, **named)
        return frame


@pytest.mark.long
def test_a_run_goes_on_without_the_tickers_that_fail(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with entered(tmp_path / "home", market.specs) as home, runs.instance_of(home) as instance:
        tickers, _ = runs.register_tickers(home, instance)
        chosen, torn, asked = tickers[:6], {tickers[1], tickers[4]}, list[str]()
        monkeypatch.setattr(
            "quant_platform.pipeline.sources.open_source",
            lambda *given, **named: Recording(open_source(*given, **named), torn, asked),
        )
        with pytest.raises(runs.RunFailed, match="2 of 6 partitions"):
            run(home, instance, "ticker_graph", *chosen, may_leave_out=1)
        assert home.lake.partitions("replay.candidates") == []
        asked.clear()
        with pytest.raises(runs.TickersLeftOut) as failure:
            run(home, instance, "ticker_graph", *chosen, may_leave_out=2, refresh=True)
        message = str(failure.value)
        assert "2 of 6 tickers of the job ticker_graph could not be made; the others were" in message
        assert all(f"{ticker}=source_malformed: torn" in message for ticker in torn)
        # Each was fetched once: the pieces that go on find what the first run made.
        assert sorted(asked) == sorted(chosen)
        good = set(chosen) - torn
        for name in TICKER_TABLES:
            if "fundamentals" not in name:
                assert set(home.lake.partitions(name)) == good
                assert instance.get_materialized_partitions(key_of(name)) == good
        expected = hashes(market.home, *TICKER_TABLES)
        found = hashes(home, *TICKER_TABLES)
        assert found == {where: expected[where] for where in found}


@pytest.mark.long
def test_a_run_that_is_killed_leaves_whole_files_and_a_second_run_completes(market: Market, tmp_path: Path) -> None:
    wanted = random.Random(20260205).randrange(5, 3 * NAMES)
    folder = tmp_path / "home"
    command = [
        sys.executable,
        "-c",
        "from quant_platform.cli import main; main()",
        "run",
        "ticker_graph",
        "--in-process",
    ]
    environment = os.environ | {"QUANT_HOME": str(folder), "QUANT_SPECS": str(market.specs)}
    declare(folder, market.specs)
    log = tmp_path / "log"
    with log.open("w") as handle:
        process = subprocess.Popen(command, env=environment, stdout=handle, stderr=handle, start_new_session=True)
    try:
        while len(list(folder.glob("lake/*/*/*/*.parquet"))) < wanted:
            assert process.poll() is None, log.read_text(encoding="utf-8")
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    with entered(folder, market.specs) as home, runs.instance_of(home) as instance:
        made = hashes(home, *TICKER_TABLES)
        assert wanted <= len(made) < len(TICKER_TABLES) * NAMES
        assert harm(home.lake) == []
        kept = versions(home, *TICKER_TABLES)
        run(home, instance, "ticker_graph", *tickers_of(home))
        assert hashes(home, *TICKER_TABLES) == hashes(market.home, *TICKER_TABLES)
        after = versions(home, *TICKER_TABLES)
        # A ticker with some of its tables written when the process died is made again, all of them.
        again = {ticker for name, ticker in kept if after[name, ticker] != kept[name, ticker]}
        assert len(again) <= LocalFiles.writers
