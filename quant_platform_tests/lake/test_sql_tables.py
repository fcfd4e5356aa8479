"""A file of SQL becomes a table: what it says of itself, and each way in which it can be wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from quant_platform.contracts.errors import SpecError
from quant_platform.lake.sql_tables import sql_tables
from quant_platform_tests.homes import SHIPPED

HEADER = "-- description: Something.\n-- partition: {partition}\n-- key: [{key}]\n"
GOOD = "select ticker, session as day, close from clean.equity_bars where close > 1"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sql") / "specs"
    shutil.copytree(SHIPPED, folder)
    return folder


@pytest.fixture
def specs(shipped: Path) -> Path:
    shutil.rmtree(shipped / "sql", ignore_errors=True)
    (shipped / "sql").mkdir()
    return shipped


def write(specs: Path, query: str, name: str = "mine.closes", partition: str = "day", key: str = "day, ticker") -> Path:
    path = specs / "sql" / f"{name}.sql"
    path.write_text(HEADER.format(partition=partition, key=key) + query, encoding="utf-8")
    return path


def test_no_file_is_no_table(specs: Path) -> None:
    assert sql_tables(specs) == ()


def test_columns_types_descriptions_and_where_they_come_from(specs: Path) -> None:
    write(
        specs,
        "with bars as (select * from clean.equity_bars), "
        "high as (select ticker, session, momentum_12_1 as momentum from features.equity) "
        "select b.ticker, b.session as day, close / open - 1 as move, momentum, count(*) over () as n "
        "from bars b join high using (ticker, session);\n",
    )
    (found,) = sql_tables(specs)
    assert found.table.dimensions == ("day",)
    assert found.table.primary_key == ("ticker", "day")
    assert found.reads == ("clean.equity_bars", "features.equity")
    assert dict(found.table.schema.create_empty().schema) == {
        "ticker": pl.String(),
        "day": pl.Date(),
        "move": pl.Float64(),
        "momentum": pl.Float64(),
        "n": pl.Int64(),
    }
    assert found.lineage == {
        "ticker": (("clean.equity_bars", "ticker"),),
        "day": (("clean.equity_bars", "session"),),
        "move": (("clean.equity_bars", "close"), ("clean.equity_bars", "open")),
        "momentum": (("features.equity", "momentum_12_1"),),
        "n": (),
    }
    columns = found.table.schema.columns()
    assert columns["ticker"].description == "Upper-case ticker, the partition key."
    assert columns["move"].description == "Made of clean.equity_bars.close, clean.equity_bars.open."
    assert not columns["day"].nullable
    assert columns["move"].nullable


def test_a_table_may_read_another_and_comes_after_it(specs: Path) -> None:
    write(specs, "select day, count(*) as n from mine.closes group by day", "mine.a_count", key="day")
    write(specs, GOOD)
    assert [found.table.name for found in sql_tables(specs)] == ["mine.closes", "mine.a_count"]


def test_an_edited_file_is_read_again(specs: Path) -> None:
    write(specs, GOOD)
    (before,) = sql_tables(specs)
    write(specs, GOOD + " and open > 1")
    (after,) = sql_tables(specs)
    assert before.query != after.query
    (again,) = sql_tables(specs)
    assert again is after


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("select ticker, session as day from clean.equity_barz", "did you mean clean.equity_bars"),
        ("select ticker, session as day, clos from clean.equity_bars", 'DuckDB does not understand[\\s\\S]*"clos"'),
        ("select * from read_parquet('/etc/*')", "there is no table"),
        ("select * from 'other.csv'", "there is no table"),
        ("select * from quant.clean.equity_bars", "there is no table"),
        ("select 1 as day, 'a' as ticker", "reads no table"),
        (f"{GOOD}; drop view clean.equity_bars", "not one query"),
        ("copy clean.equity_bars to 'x.csv'", "not one query"),
        ("select ticker, session as day, from from clean.equity_bars where", "not SQL|not one query|not understand"),
        ("select ticker, current_date as day from clean.equity_bars", "another answer each time"),
        ("select ticker, session as day, random() as x from clean.equity_bars", "another answer each time"),
        ("select ticker, session as day, getenv('HOME') as x from clean.equity_bars", "another answer each time"),
        ("select ticker, session as day, sum(source_row) as x from raw.equity_bars group by all", "cast"),
        ("select ticker, session from clean.equity_bars", "names 'day', and the query has no such column"),
        ("select ticker, day from mine.closes", "reads itself"),
        ("", "has no query"),
    ],
)
def test_a_query_that_is_no_table(specs: Path, query: str, message: str) -> None:
    path = write(specs, query)
    with pytest.raises(SpecError, match=message) as error:
        sql_tables(specs)
    assert error.value.where.startswith(str(path))
    assert error.value.action


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD, "has no header"),
        (f"-- descriptoin: x\n-- key: [day]\n{GOOD}", "unknown key 'descriptoin'; did you mean 'description'"),
        (f"-- description: x\n-- key: day\n{GOOD}", "key: "),
        (f"-- description: x\n-- key: [dya]\n{GOOD}", "did you mean day"),
        (f"-- description: x\n-- partition: wek\n-- key: [day]\n{GOOD}", "nothing is partitioned by wek"),
        (f"-- description: x\n-- key: [day]\n-- columns: {{clos: x}}\n{GOOD}", "did you mean close"),
    ],
)
def test_a_header_that_is_wrong(specs: Path, text: str, message: str) -> None:
    path = specs / "sql" / "mine.closes.sql"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError, match=message):
        sql_tables(specs)


def test_the_line_of_a_wrong_header_is_that_of_the_file(specs: Path) -> None:
    path = specs / "sql" / "mine.closes.sql"
    path.write_text(f"-- description: x\n-- kee: [day]\n{GOOD}", encoding="utf-8")
    with pytest.raises(SpecError) as error:
        sql_tables(specs)
    assert "closes.sql:2" in str(error.value)


@pytest.mark.parametrize("name", ["closes", "Mine.closes", "mine.closes.too", "mine.2nd"])
def test_a_name_that_is_none(specs: Path, name: str) -> None:
    write(specs, GOOD, name)
    with pytest.raises(SpecError, match="no name of a table"):
        sql_tables(specs)


def test_a_name_that_is_taken_and_a_circle(specs: Path) -> None:
    path = write(specs, GOOD, "clean.equity_bars")
    with pytest.raises(SpecError, match=r"there is a table clean\.equity_bars already"):
        sql_tables(specs)
    path.unlink()
    write(specs, "select ticker, day from mine.b", "mine.a")
    write(specs, "select ticker, day from mine.a", "mine.b")
    with pytest.raises(SpecError, match=r"circle: mine\.a, mine\.b"):
        sql_tables(specs)
