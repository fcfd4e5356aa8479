from __future__ import annotations

import datetime as dt
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import polars as pl
import pytest

from quant_platform.contracts.errors import (
    CatalogueUnavailable,
    CorruptFile,
    PartitionMissing,
    SchemaViolation,
    StorageFailed,
)
from quant_platform.contracts.tables import Table
from quant_platform.lake import (
    CatalogueKeeper,
    Lake,
    build_catalogue,
    catalogue,
    connect,
    inventory,
    open_catalogue,
    views,
)
from quant_platform.lake.inventory import InventoryRow
from quant_platform.lake.views import duckdb_type
from quant_platform_tests.lake.frames import BARS, FEATURES, TEST_TABLES, bars, features, provenance, securities
from quant_platform_tests.lake.objects import on_every_store

MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
def path(lake: Lake) -> Path:
    return lake.root.parent / "quant.duckdb"


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with open_catalogue(path) as connection:
        return connection.execute(query).fetchall()


@on_every_store
def test_views_show_the_current_versions(lake: Lake, path: Path) -> None:
    lake.write_many(BARS, {"A": bars("A", [1.0, 2.0]), "B": bars("B", [3.0])}, provenance())
    lake.write(BARS, "A", bars("A", [5.0]), provenance())
    build_catalogue(lake, path)
    assert rows(path, "SELECT ticker, close FROM clean.equity_bars ORDER BY 1") == [("A", 5.0), ("B", 3.0)]


def test_plain_duckdb_opens_it_from_any_folder(lake: Lake, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.write(BARS, "A", bars("A", [1.0]), provenance())
    build_catalogue(lake, path)
    monkeypatch.chdir("/")
    with duckdb.connect(str(path), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM clean.equity_bars").fetchall() == [(1,)]


def test_every_table_is_there_with_its_types_even_without_rows(lake: Lake, path: Path) -> None:
    build_catalogue(lake, path)
    with open_catalogue(path) as connection:
        for name, table in TEST_TABLES.items():
            found = {row[0]: row[1] for row in connection.execute(f"DESCRIBE {name}").fetchall()}
            declared = table.schema.create_empty().schema
            assert list(found) == declared.names()
            assert found == {column: duckdb_type(dtype) for column, dtype in declared.items()}
            assert connection.execute(f"SELECT count(*) FROM {name}").fetchall() == [(0,)]


def test_types_with_rows_are_those_of_the_empty_view(lake: Lake, path: Path) -> None:
    build_catalogue(lake, path)
    before = {name: rows(path, f"DESCRIBE {name}") for name in (BARS, "raw.securities", "test.tags")}
    lake.write(BARS, "A", bars("A", [1.0]), provenance())
    lake.write("raw.securities", None, securities("A"), provenance())
    lake.write("test.tags", None, pl.DataFrame({"name": ["a"], "tags": [["x", "y"]], "flag": [True]}), provenance())
    build_catalogue(lake, path)
    assert {name: rows(path, f"DESCRIBE {name}") for name in before} == before
    assert rows(path, "FROM test.tags") == [("a", ["x", "y"], True)]


def test_a_stamp_in_utc_is_read_as_that_moment(lake: Lake, path: Path) -> None:
    stamp = dt.datetime(2020, 1, 1, 21, tzinfo=dt.UTC)
    frame = pl.DataFrame(
        {
            "ticker": ["A"],
            "metric": ["m"],
            "known_at": pl.Series([stamp], dtype=pl.Datetime("us", "UTC")),
            "value": [1.0],
            "unit": ["USD"],
            "source": ["s"],
        }
    )
    lake.write("raw.fundamentals", "A", frame, provenance())
    build_catalogue(lake, path)
    assert rows(path, "SELECT epoch(known_at) FROM raw.fundamentals") == [(1577912400.0,)]


def test_an_empty_partition_beside_a_full_one(lake: Lake, path: Path) -> None:
    lake.write_many(BARS, {"A": bars("A", []), "B": bars("B", [3.0])}, provenance())
    build_catalogue(lake, path)
    assert rows(path, "SELECT ticker FROM clean.equity_bars") == [("B",)]


def test_comments_come_from_the_registry(lake: Lake, path: Path) -> None:
    lake.write(FEATURES, "A", features("A", 1, momentum=1.0), provenance())
    build_catalogue(lake, path)
    views = dict(
        rows(path, "SELECT schema_name || '.' || view_name, comment FROM duckdb_views() WHERE comment IS NOT NULL")
    )
    assert set(views) == set(TEST_TABLES)
    assert views[BARS].startswith("One row per exchange session")
    assert views[FEATURES].startswith("SIMULATED. Key columns of")
    columns = dict(
        rows(
            path,
            "SELECT column_name, comment FROM duckdb_columns() WHERE schema_name = 'features'",
        )
    )
    assert columns["ticker"] == "Upper-case ticker, the partition key."
    assert columns["momentum"] == "Declared by a spec file of the table."
    uncommented = "SELECT table_name, column_name FROM duckdb_columns() WHERE comment IS NULL AND NOT internal"
    assert rows(path, uncommented) == []


def test_the_table_of_partitions(lake: Lake, path: Path) -> None:
    bar = lake.write(BARS, "A", bars("A", [1.0, 2.0]), provenance("7"))
    lake.write("raw.securities", None, securities("A"), provenance())
    lake.write(
        "test.symbol_months",
        ("B/T", "2020-01"),
        pl.DataFrame({"symbol": ["B/T"], "month": ["2020-01"], "value": [1.0]}),
        provenance(),
    )
    build_catalogue(lake, path)
    found = rows(
        path,
        "SELECT table_name, key, version, rows, created_at, asset, code_version, ontology_hash, run_id, simulated, "
        "path, content_hash FROM lake.partitions ORDER BY table_name",
    )
    assert found[0] == (
        BARS, "A", bar.name, 2, bar.created_at.replace(tzinfo=None), "an_asset", "7", "onto", "run-1", True,
        f"lake/clean/equity_bars/ticker=A/{bar.path.name}", bar.content_hash,
    )  # fmt: skip
    assert [row[:2] for row in found[1:]] == [("raw.securities", None), ("test.symbol_months", "B%2FT/2020-01")]


def test_open_columns_that_differ_between_files(lake: Lake, path: Path) -> None:
    lake.write(FEATURES, "A", features("A", 1, momentum=1.0), provenance())
    lake.write(FEATURES, "B", features("B", 1, size=2.0), provenance())
    build_catalogue(lake, path)
    found = rows(path, "SELECT ticker, momentum, size FROM features.equity ORDER BY 1")
    assert found == [("A", 1.0, None), ("B", None, 2.0)]


def test_a_file_of_an_earlier_schema(lake: Lake, path: Path) -> None:
    lake.write(BARS, "B", bars("B", [2.0]), provenance())
    version = lake.write(BARS, "A", bars("A", [1.0]), provenance())
    footer = pl.read_parquet_metadata(version.path)
    bars("A", [1.0]).drop("high").with_columns(pl.col("volume").cast(pl.Int32)).write_parquet(
        version.path, metadata={"quant_platform": footer["quant_platform"]}
    )
    build_catalogue(lake, path)
    found = rows(path, "SELECT ticker, high, volume FROM clean.equity_bars ORDER BY 1")
    assert found == [("A", None, 1000.0), ("B", 2.0, 1000.0)]


@on_every_store
def test_a_home_can_be_moved(lake: Lake, path: Path, tmp_path: Path) -> None:
    query = "SELECT ticker, close FROM clean.equity_bars ORDER BY 1"
    lake.write_many(BARS, {"A": bars("A", [1.0]), "[B]*": bars("[B]*", [2.0])}, provenance())
    build_catalogue(lake, path)
    views_before = rows(path, "SELECT sql FROM duckdb_views() WHERE NOT internal")
    assert not [sql for (sql,) in views_before if str(tmp_path) in str(sql)], "no view names a folder of this machine"
    moved = tmp_path / "it's [else]where*"
    path.parent.rename(moved)
    assert rows(moved / path.name, query) == [("A", 1.0), ("[B]*", 2.0)]
    with duckdb.connect(str(moved / path.name), read_only=True) as connection:
        with pytest.raises(duckdb.IOException, match="No files found"):
            connection.execute(query)
        connection.execute("SET VARIABLE quant_home = ?", [f"{tmp_path}/it's [[]else]where[*]"])
        assert connection.execute(query).fetchall() == [("A", 1.0), ("[B]*", 2.0)]
    there = Lake(moved / "lake", TEST_TABLES)
    there.write(BARS, "A", bars("A", [3.0]), provenance())
    assert CatalogueKeeper(there, moved / path.name, dt.timedelta(0)).refresh(), "it follows, in the new place"
    with duckdb.connect(str(moved / path.name), read_only=True) as connection:
        assert connection.execute(query).fetchall() == [("A", 3.0), ("[B]*", 2.0)]


def test_a_reader_with_the_old_catalogue_goes_on_and_a_new_one_sees_the_new(lake: Lake, path: Path) -> None:
    query = "SELECT close FROM clean.equity_bars"
    lake.write(BARS, "A", bars("A", [1.0]), provenance())
    build_catalogue(lake, path)
    with open_catalogue(path) as old:
        assert old.execute(query).fetchall() == [(1.0,)]
        lake.write(BARS, "A", bars("A", [2.0]), provenance())
        build_catalogue(lake, path)
        assert old.execute(query).fetchall() == [(1.0,)]
        with open_catalogue(path) as new:
            assert new.execute(query).fetchall() == [(2.0,)]
        assert old.execute(query).fetchall() == [(1.0,)]


def test_the_catalogue_is_read_only_and_says_when_it_is_not_there(lake: Lake, path: Path) -> None:
    with pytest.raises(PartitionMissing, match="there is no catalogue"):
        open_catalogue(path)
    build_catalogue(lake, path)
    with open_catalogue(path) as connection, pytest.raises(duckdb.Error, match="read-only"):
        connection.execute("DROP VIEW clean.equity_bars")


@pytest.mark.parametrize(
    "statement",
    [
        "FROM read_csv('{outside}')",
        "COPY (SELECT 1) TO '{outside}'",
        "ATTACH '{outside}' AS other",
        "SET threads = 1",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "INSTALL httpfs",
        "LOAD httpfs",
        "FROM query",
    ],
)
def test_what_is_opened_is_closed_to_the_world(statement: str, lake: Lake, path: Path, tmp_path: Path) -> None:
    lake.write(BARS, "A", bars("A", [1.0]), provenance())
    build_catalogue(lake, path)
    outside = tmp_path / "outside.csv"
    outside.write_text("a\n1\n", encoding="utf-8")
    query = pl.DataFrame({"a": [1]})  # DuckDB would take a frame of this name for a table
    with open_catalogue(path) as connection:
        assert connection.execute("SELECT close FROM clean.equity_bars").fetchall() == [(1.0,)]
        with pytest.raises(duckdb.Error):
            connection.execute(statement.format(outside=outside))
    assert outside.read_text(encoding="utf-8") == "a\n1\n"
    assert query.height == 1


def test_a_file_that_is_no_catalogue_is_named_with_the_way_out(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"hello" * 1_000)
    with pytest.raises(CatalogueUnavailable, match="quant lake refresh") as caught:
        open_catalogue(path)
    assert str(path) in str(caught.value)


EVERYTHING_IT_SAYS = (
    "FROM lake.partitions",
    "SELECT schema_name, view_name, comment, sql FROM duckdb_views() WHERE NOT internal ORDER BY ALL",
    "SELECT schema_name, table_name, column_name, data_type, comment FROM duckdb_columns() WHERE NOT internal "
    "ORDER BY ALL",
)


def test_a_catalogue_that_followed_says_what_one_made_from_nothing_says(
    lake: Lake, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.write_many(BARS, {"A": bars("A", [1.0]), "B": bars("B", [3.0])}, provenance())
    lake.write("raw.securities", None, securities("A"), provenance())
    build_catalogue(lake, path)
    made, create = [], views._create_view

    def noted(connection: duckdb.DuckDBPyConnection, table: Table, files: Sequence[InventoryRow]) -> None:
        made.append(table.name)
        create(connection, table, files)

    monkeypatch.setattr(views, "_create_view", noted)
    lake.write(BARS, "A", bars("A", [5.0]), provenance())
    lake.write(FEATURES, "A", features("A", 2, momentum=1.0), replace(provenance(), simulated=True))
    assert CatalogueKeeper(lake, path, dt.timedelta(0)).refresh()
    followed = [rows(path, query) for query in EVERYTHING_IT_SAYS]
    assert sorted(made) == sorted([BARS, FEATURES])
    assert rows(path, "SELECT ticker, close FROM clean.equity_bars ORDER BY 1") == [("A", 5.0), ("B", 3.0)]
    assert CatalogueKeeper(lake, path).refresh(force=True)
    assert len(made) == 2 + len(TEST_TABLES)
    assert [rows(path, query) for query in EVERYTHING_IT_SAYS] == followed


def test_a_catalogue_of_other_tables_is_made_from_nothing(lake: Lake, path: Path) -> None:
    lake.write(BARS, "A", bars("A", [1.0]), provenance())
    only_bars = Lake(lake.root, {BARS: lake.tables[BARS]})
    at_once = dt.timedelta(0)
    assert CatalogueKeeper(only_bars, path, at_once).refresh()
    assert CatalogueKeeper(lake, path, at_once).refresh()
    assert rows(path, f"SELECT count(*) FROM {FEATURES}") == [(0,)]
    assert CatalogueKeeper(only_bars, path, at_once).refresh()
    assert rows(path, "SELECT count(*) FROM duckdb_views() WHERE NOT internal") == [(1,)]


@on_every_store
def test_a_second_build_does_not_read_known_footers(lake: Lake, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.write_many(BARS, {"A": bars("A", [1.0]), "B": bars("B", [1.0])}, provenance())
    build_catalogue(lake, path)
    new = lake.write(BARS, "A", bars("A", [2.0]), provenance())
    real, read = inventory.inventory_row, []
    monkeypatch.setattr(inventory, "inventory_row", lambda *a: (read.append(a[2]), real(*a))[1])
    build_catalogue(lake, path)
    assert read == [new.path]
    assert rows(path, "SELECT sum(close) FROM clean.equity_bars") == [(3.0,)]


def test_an_unreadable_catalogue_is_replaced(lake: Lake, path: Path) -> None:
    lake.write(BARS, "A", bars("A", [1.0]), provenance())
    path.write_bytes(b"not a database" * 1000)
    build_catalogue(lake, path)
    assert rows(path, "SELECT close FROM clean.equity_bars") == [(1.0,)]


def test_a_torn_file_is_named_and_the_old_catalogue_stays(lake: Lake, path: Path) -> None:
    lake.write(BARS, "A", bars("A", [1.0]), provenance())
    build_catalogue(lake, path)
    before = path.read_bytes()
    torn = lake.write(BARS, "B", bars("B", [1.0]), provenance())
    torn.path.write_bytes(torn.path.read_bytes()[:-1])
    with pytest.raises(CorruptFile, match="ticker=B"):
        build_catalogue(lake, path)
    assert path.read_bytes() == before
    assert sorted(child.name for child in path.parent.iterdir()) == ["lake", "quant.duckdb", "quant.duckdb.lock"]


def test_a_full_disk_leaves_the_old_catalogue(lake: Lake, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_catalogue(lake, path)
    before = path.read_bytes()

    def refuse(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        with pytest.raises(StorageFailed, match="No space left"):
            build_catalogue(lake, path)
    assert path.read_bytes() == before
    assert sorted(child.name for child in path.parent.iterdir()) == ["quant.duckdb", "quant.duckdb.lock"]


def test_what_a_killed_builder_left_is_removed(lake: Lake, path: Path) -> None:
    path.parent.mkdir(parents=True)
    left = path.with_name(".quant.duckdb.building-1-aa")
    left.write_bytes(b"half")
    build_catalogue(lake, path)
    assert not left.exists()


def test_the_keeper_builds_once_per_debounce(lake: Lake, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = CatalogueKeeper(lake, path, debounce=MINUTE)
    assert keeper.refresh()
    assert not keeper.refresh()
    assert keeper.refresh(force=True)
    # On a busy machine it may have been dear to make.
    monkeypatch.setitem(catalogue._TOOK, path, 0.1)
    old = time.time() - 61
    os.utime(path, (old, old))
    assert keeper.refresh()
    ahead = time.time() + 3600
    os.utime(path, (ahead, ahead))
    assert keeper.refresh(), "a catalogue from the future says nothing about freshness"


def test_a_catalogue_that_is_dear_to_make_stays_fresh_for_longer(
    lake: Lake, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = CatalogueKeeper(lake, path, debounce=MINUTE)
    assert keeper.refresh()
    monkeypatch.setitem(catalogue._TOOK, path, 3.0)
    for age, again in ((149, False), (151, True)):
        old = time.time() - age
        os.utime(path, (old, old))
        assert keeper.refresh() == again, "3 s are 2 % of 150"
    lake.write(BARS, "Z", bars("Z", [1.0]), provenance())
    keeper.follow()
    assert catalogue.known_rows(path).keys() >= {row.path for row in inventory.inventory(lake)}


def test_the_keeper_reads_its_pace_from_the_specs(lake: Lake, path: Path) -> None:
    assert CatalogueKeeper(lake, path).debounce > dt.timedelta(0)


def test_of_many_keepers_one_builds(lake: Lake, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    building, go_on, real = threading.Event(), threading.Event(), catalogue._build

    def slow(*arguments: object) -> None:
        building.set()
        assert go_on.wait(10)
        real(*arguments)

    monkeypatch.setattr(catalogue, "_build", slow)
    results: list[bool] = []
    first = threading.Thread(target=lambda: results.append(CatalogueKeeper(lake, path, MINUTE).refresh()))
    first.start()
    assert building.wait(10)
    assert not CatalogueKeeper(lake, path, MINUTE).refresh(), "does not wait for the one at work"
    second = threading.Thread(target=lambda: results.append(CatalogueKeeper(lake, path, MINUTE).refresh(force=True)))
    second.start()
    go_on.set()
    first.join(10)
    second.join(10)
    assert results == [True, True], "force waits and builds"


@on_every_store
def test_connect_sees_what_is_current_without_a_file(lake: Lake, path: Path) -> None:
    plain = Lake(lake.root)
    plain.write(BARS, "A", bars("A", [1.0]), provenance())
    with connect(lake.root.parent) as connection:
        assert connection.execute("SELECT close FROM clean.equity_bars").fetchall() == [(1.0,)]
    assert not path.exists()
    build_catalogue(plain, path)
    plain.write(BARS, "A", bars("A", [2.0]), provenance())
    with connect(lake.root.parent) as connection:
        assert connection.execute("SELECT close FROM clean.equity_bars").fetchall() == [(2.0,)]


def test_connect_finds_the_home_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANT_HOME", str(tmp_path / "elsewhere"))
    Lake(tmp_path / "elsewhere" / "lake").write(BARS, "A", bars("A", [7.0]), provenance())
    with connect() as connection:
        assert connection.execute("SELECT close FROM clean.equity_bars").fetchall() == [(7.0,)]


@pytest.mark.parametrize("name", ["it's [x]*", "ünï cødé"])
def test_any_folder_name_holds_a_catalogue(tmp_path: Path, name: str) -> None:
    lake = Lake(tmp_path / name / "lake")
    lake.write_many(BARS, {"A": bars("A", [1.0]), "[B]*'": bars("[B]*'", [2.0])}, provenance())
    lake.write(FEATURES, "A", features("A", 1, **{'odd "name"': 1.0}), provenance())
    path = tmp_path / name / "quant.duckdb"
    build_catalogue(lake, path)
    assert rows(path, "SELECT ticker FROM clean.equity_bars ORDER BY close") == [("A",), ("[B]*'",)]
    assert rows(path, 'SELECT "odd ""name""" FROM features.equity') == [(1.0,)]


def test_types_of_the_catalogue() -> None:
    assert duckdb_type(pl.List(pl.Struct({"a": pl.Int8, "b": pl.Datetime("ns")}))) == (
        'STRUCT("a" TINYINT, "b" TIMESTAMP_NS)[]'
    )
    with pytest.raises(SchemaViolation, match="no counterpart"):
        duckdb_type(pl.Object())
