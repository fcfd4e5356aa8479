"""The event lab run end to end on two simulated perpetuals and three months: recorded, skipped, made again, refused."""

from __future__ import annotations

import json
import shutil
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from quant_platform.defs import runs
from quant_platform.defs.definitions import build_definitions
from quant_platform.defs.jobs import (
    EQUITY_JOBS,
    EVENT_JOBS,
    JOBS,
    OPERATIONS_JOBS,
    PARITY_JOBS,
    PERP_OPERATIONS_JOBS,
    SUITE_JOBS,
)
from quant_platform.pipeline.home import Home
from quant_platform.specification.settings import Settings
from quant_platform_tests.homes import (
    MONTHS,
    SYMBOLS,
    Market,
    copied,
    declare_perps,
    edit,
    entered,
    hashes,
    key_of,
    run,
    undeclared,
    versions,
    whole_graph,
    write_perp_specs,
)

SYMBOL_MONTH_JOBS = ("perp_graph", "event_graph")
SYMBOL_MONTH_TABLES = tuple(table for job in SYMBOL_MONTH_JOBS for table in JOBS[job].tables)
EVENT_TABLES = JOBS["event_study"].tables
CUTOFF_TABLES = (*JOBS["discovery"].tables, *JOBS["event_backtest"].tables)
TABLES = (*SYMBOL_MONTH_TABLES, *JOBS["perp_audit"].tables, *EVENT_TABLES, *CUTOFF_TABLES)
# Five-minute bars of January (31 days), February (29 in 2024) and March.
BARS = {"2024-01": 31 * 288, "2024-02": 29 * 288, "2024-03": 31 * 288}
ON_THE_GRID = ("clean.perp_bars_5m", "clean.spot_bars_5m", "clean.market_5m", *JOBS["event_graph"].tables)
CUTOFF = MONTHS[-1]
# In one worker, so that the market is made once.
pytestmark = [pytest.mark.long, pytest.mark.xdist_group("perps")]


@pytest.fixture(scope="module")
def perps(tmp_path_factory: pytest.TempPathFactory) -> Market:
    """Every job of the event lab, run in this process; nobody changes it."""
    folder = tmp_path_factory.mktemp("perps")
    specs = write_perp_specs(folder / "specs")
    return whole_graph(declare_perps(folder / "home", specs), specs)


@contextmanager
def working_copy(perps: Market, folder: Path, specs: Path | None = None) -> Iterator[tuple[Home, dg.DagsterInstance]]:
    """The same lake under another home, with a history of its own, and with other specs where they are given."""
    copied(perps.home.settings.home, folder)
    with entered(folder, specs or perps.specs) as home, runs.instance_of(home) as instance:
        yield home, instance


def shown_rows(perps: Market, name: str) -> dict[str, int]:
    """Row counts by partition as Dagster shows them."""
    with entered(perps.home.settings.home, perps.specs) as home, runs.instance_of(home) as instance:
        records = instance.fetch_materializations(key_of(name), limit=1000).records
    shown = {}
    for record in records:
        assert record.asset_materialization is not None
        shown[str(record.partition_key)] = record.asset_materialization.metadata["dagster/partition_row_count"].value
    return shown


def rows_of_newest(folder: Path) -> int:
    return int(pl.scan_parquet(max(folder.glob("*.parquet"))).select(pl.len()).collect().item())


def test_the_jobs_are_those_of_the_event_lab(perps: Market) -> None:
    assert tuple(perps.launches) == tuple(job.name for job in (*EVENT_JOBS, *PERP_OPERATIONS_JOBS) if job.whole)


def test_what_a_job_reads_is_what_its_stages_say(perps: Market) -> None:
    assert undeclared(perps) == {}


def test_no_order_of_rows_is_left_to_the_memory_of_a_process(perps: Market) -> None:
    assert perps.arbitrary == {}


@pytest.mark.parametrize("name", SYMBOL_MONTH_TABLES)
def test_every_symbol_month_shows_as_materialised_with_the_rows_of_its_file(name: str, perps: Market) -> None:
    lake = perps.home.settings.lake / name.replace(".", "/")
    counted = {
        f"{month}|{symbol}": rows_of_newest(lake / f"symbol={symbol}" / f"month={month}")
        for symbol in SYMBOLS
        for month in MONTHS
    }
    assert shown_rows(perps, name) == counted
    if name in ON_THE_GRID:
        assert counted == {f"{month}|{symbol}": bars for month, bars in BARS.items() for symbol in SYMBOLS}


@pytest.mark.parametrize("name", EVENT_TABLES)
def test_every_event_shows_as_materialised_with_the_rows_of_its_file(name: str, perps: Market) -> None:
    lake = perps.home.settings.lake / name.replace(".", "/")
    events = sorted(path.stem for path in (perps.specs / "events").glob("*.yaml"))
    assert len(events) == 57
    counted = {f"{CUTOFF}|{event}": rows_of_newest(lake / f"event={event}" / f"cutoff={CUTOFF}") for event in events}
    assert shown_rows(perps, name) == counted
    assert sum(counted.values()) > 1000


def test_accepted_events_are_the_flags_that_are_one(perps: Market) -> None:
    flags, events = perps.home.lake.read("events.event_flags"), perps.home.lake.read("events.events")
    fired = {name: flags.filter(pl.col(name) == 1.0).height for name in flags.columns if f"{name}__intensity" in flags}
    counted = dict(events.group_by("event_id").len().iter_rows())
    assert {name: count for name, count in fired.items() if count} == counted


def test_a_second_run_leaves_every_version_alone(perps: Market, tmp_path: Path) -> None:
    tables = (*SYMBOL_MONTH_TABLES, *EVENT_TABLES)
    with working_copy(perps, tmp_path / "home") as (home, instance):
        before = versions(home, *tables)
        for job in (*SYMBOL_MONTH_JOBS, "event_study"):
            run(home, instance, job, *perps.launches[job].keys)
        assert versions(home, *tables) == before
        assert len(before) == 6 * len(SYMBOL_MONTH_TABLES) + 57 * len(EVENT_TABLES)
        assert len(instance.get_materialized_partitions(key_of("discovery.candidates"))) == 57


def test_one_symbol_month_is_redone_alone_with_the_same_content(perps: Market, tmp_path: Path) -> None:
    symbol, month = SYMBOLS[1], MONTHS[1]
    with working_copy(perps, tmp_path / "home") as (home, instance):
        before, content = versions(home, *SYMBOL_MONTH_TABLES), hashes(home, *SYMBOL_MONTH_TABLES)
        for job in SYMBOL_MONTH_JOBS:
            run(home, instance, job, f"{month}|{symbol}", refresh=True)
        after = versions(home, *SYMBOL_MONTH_TABLES)
        assert {where for where in after if after[where] != before[where]} == {
            (name, (symbol, month)) for name in SYMBOL_MONTH_TABLES
        }
        assert hashes(home, *SYMBOL_MONTH_TABLES) == content


def test_a_month_that_the_source_lacks_is_empty_from_the_source_to_the_flags(perps: Market, tmp_path: Path) -> None:
    early = "2023-12"
    with working_copy(perps, tmp_path / "home") as (home, instance):
        edit(home.settings.home / "perps.yaml", lambda spec: spec.update(first_month=early))
        for job in SYMBOL_MONTH_JOBS:
            run(home, instance, job, f"{early}|{SYMBOLS[0]}")
        for name in SYMBOL_MONTH_TABLES:
            version = home.lake.current(name, (SYMBOLS[0], early))
            assert version is not None, name
            assert version.rows == 0, name


def test_an_edited_event_makes_what_was_built_on_it_stale(perps: Market, tmp_path: Path) -> None:
    specs = tmp_path / "specs"
    shutil.copytree(perps.specs, specs)
    edit(specs / "events" / "VOL_SHOCK.yaml", lambda event: event["params"].update(mult=2.5))
    shipped = code_versions(perps.home)
    with working_copy(perps, tmp_path / "home", specs) as (home, instance):
        edited = code_versions(home)
        assert {name for name in edited if edited[name] != shipped[name]} == {
            *JOBS["event_graph"].tables,
            *EVENT_TABLES,
            *CUTOFF_TABLES,
        }
        before = versions(home, *CUTOFF_TABLES)
        with pytest.raises(runs.RunFailed) as failure:
            run(home, instance, "discovery", CUTOFF)
        message = str(failure.value)
        assert "ontology_mismatch" in message
        assert "discovery__hypotheses" in message
        assert "where: events/VOL_SHOCK.yaml" in message
        assert "a spec was edited after the rows were made" in message
        assert "materialise the upstream assets again" in message
        assert versions(home, "discovery.hypotheses", "discovery.report") == {
            where: name for where, name in before.items() if where[0] in ("discovery.hypotheses", "discovery.report")
        }


def test_an_event_that_was_removed_does_not_stand_in_the_way(perps: Market, tmp_path: Path) -> None:
    kept = ("SESSION_OPEN_EVENT", "VOL_SHOCK")
    specs = tmp_path / "specs"
    shutil.copytree(perps.specs, specs)
    for path in (specs / "events").glob("*.yaml"):
        if path.stem not in kept:
            path.unlink()
    edit(specs / "states.yaml", lambda states: states["states"]["event_window"].update(events=["VOL_SHOCK"]))
    with working_copy(perps, tmp_path / "home", specs) as (home, instance):
        run(home, instance, "event_study", *(f"{CUTOFF}|{event}" for event in kept))
        run(home, instance, "discovery", CUTOFF)
        assert home.lake.current("discovery.candidates", ("ABSORPTION_EVENT", CUTOFF)) is not None
        assert set(home.lake.read("discovery.hypotheses", [CUTOFF])["event_id"]) == set(kept)
        # What was tried stays tried.
        before = set(perps.home.lake.read("discovery.trials", [CUTOFF])["trial_id"])
        after = home.lake.read("discovery.trials", [CUTOFF])
        assert before < set(after["trial_id"])
        assert set(after.filter(~pl.col("trial_id").is_in(before))["event_id"]) == set(kept)


def code_versions(home: Home) -> dict[str, str]:
    graph = build_definitions(home).resolve_asset_graph()
    return {".".join(node.key.path): str(node.code_version) for node in graph.asset_nodes}


def test_the_report_says_simulated_and_counts_what_the_tables_hold(perps: Market) -> None:
    folder = perps.home.settings.home / "reports" / "discovery"
    page = (folder / f"{CUTOFF}.html").read_text(encoding="utf-8")
    assert "SIMULATED" in page
    report = json.loads((folder / f"{CUTOFF}.json").read_text(encoding="utf-8"))
    assert report["simulated"] is True
    lines = (folder / f"{CUTOFF}.blueprints.jsonl").read_text(encoding="utf-8").splitlines()
    blueprints = perps.home.lake.read("discovery.blueprints")
    assert len(lines) == blueprints.height
    assert [json.loads(line)["blueprint_id"] for line in lines] == blueprints.get_column("blueprint_id").to_list()
    assert perps.home.lake.read("discovery.report").height == 1


def test_the_backtests_have_a_page_and_a_manifest_of_what_they_were_made_from(perps: Market) -> None:
    lake, home = perps.home.lake, perps.home.settings.home
    row = lake.read("backtest.report").row(0, named=True)
    assert "SIMULATED" in (home / row["html_path"]).read_text(encoding="utf-8")
    manifest = json.loads((home / row["manifest_path"]).read_text(encoding="utf-8"))
    assert manifest["inputs"]["discovery.blueprints"] == lake.version_name("discovery.blueprints", CUTOFF)
    assert manifest["rows"] == {name: lake.read(name).height for name in JOBS["event_backtest"].tables[:-1]}
    run_here = lake.read("backtest.promotions").filter("was_run")
    assert set(lake.read("backtest.trades")["strategy_id"]) <= set(run_here["strategy_id"])
    assert run_here.height > 0


def test_every_table_says_simulated(perps: Market) -> None:
    lake = perps.home.lake
    current = {name: [lake.current(name, key) for key in lake.partitions(name)] for name in TABLES}
    assert all(found for found in current.values())
    assert all(version and version.provenance.simulated for found in current.values() for version in found)


def test_every_check_of_every_run_passed(perps: Market) -> None:
    evaluated: dict[tuple[str, str], bool] = {}
    with entered(perps.home.settings.home, perps.specs) as home, runs.instance_of(home) as instance:
        for run_id in perps.run_ids.values():
            for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION):
                event = entry.get_dagster_event().asset_check_evaluation_data
                evaluated[event.asset_key.to_user_string(), event.check_name] = event.passed
    made = (*TABLES, *(name for job in PERP_OPERATIONS_JOBS for name in job.tables))
    assert set(evaluated) == {(name.replace(".", "/"), check) for name in made for check in ("schema", "key_unique")}
    assert [where for where, passed in evaluated.items() if not passed] == []


def test_what_the_partitions_of_a_step_share_is_made_once_and_let_go_after_it(tmp_path: Path) -> None:
    home = Home(Settings(home=tmp_path))
    made = [home.shared("prices", version, lambda: pl.Series([1.0])) for version in ("v1", "v1", "v2")]
    assert made[0] is made[1]
    assert made[1] is not made[2]
    assert Home(Settings(home=tmp_path)).shared("prices", "v2", lambda: None) is None
    opened = weakref.ref(home)
    del home
    assert opened() is None


def assets_of(folder: Path, specs: Path, *declared: str) -> set[str]:
    folder.mkdir()
    for name in declared:
        shutil.copyfile(specs / name, folder / name)
    return set(code_versions(Home(Settings(home=folder, specs=specs))))


def test_a_home_shows_the_assets_of_the_markets_it_holds(perps: Market, tmp_path: Path) -> None:
    equities = {table for job in (*EQUITY_JOBS, *SUITE_JOBS, *OPERATIONS_JOBS) for table in job.tables}
    # Parity cases bring their own bars.
    anywhere = {table for job in PARITY_JOBS for table in job.tables}
    everything = equities | set(TABLES) | anywhere
    # A suite judges signals of either market; what it reads of equities stands in the graph and cannot be made there.
    suite = {table for job in SUITE_JOBS for table in job.tables}
    only_seen = {"raw.securities", "clean.equity_bars", "clean.corporate_actions", "clean.fundamentals",
                 "ops.executions"}  # fmt: skip
    operations = {table for job in PERP_OPERATIONS_JOBS for table in job.tables}
    own = set(TABLES) | anywhere | suite | operations
    assert assets_of(tmp_path / "perps", perps.specs, "perps.yaml") == own | only_seen
    assert assets_of(tmp_path / "equities", perps.specs, "home.yaml") == equities | anywhere
    assert assets_of(tmp_path / "both", perps.specs, "home.yaml", "perps.yaml") == everything
    assert assets_of(tmp_path / "neither", perps.specs) == everything


def test_another_event_file_is_another_partition(perps: Market, tmp_path: Path) -> None:
    specs = tmp_path / "specs"
    shutil.copytree(perps.specs, specs)
    added = specs / "events" / "VOL_SHOCK_SHORT.yaml"
    shutil.copyfile(specs / "events" / "VOL_SHOCK.yaml", added)
    edit(added, lambda event: event.update(id="VOL_SHOCK_SHORT", cooldown_bars=6))
    with entered(declare_perps(tmp_path / "home", specs), specs) as home:
        graph = build_definitions(home).resolve_asset_graph()
    for name in EVENT_TABLES:
        scheme = graph.get(key_of(name)).partitions_def
        assert scheme is not None
        keys = set(scheme.get_partition_keys())
        assert len(keys) == 58 * len(MONTHS)
        assert {f"{month}|VOL_SHOCK_SHORT" for month in MONTHS} <= keys
    columns = graph.get(key_of("events.event_flags")).metadata["dagster/column_schema"].columns
    assert "VOL_SHOCK_SHORT" in {column.name for column in columns}
