"""Queries that are none, ask for what is not there, or try to get out of the lake."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from quant_platform_tests.doors.trial import Input, Place

# HOME and OUT are put in: the home, and a file outside of it.
BROKEN: Sequence[str] = (
    "",
    " ",
    ";",
    "-- nothing",
    "/* nothing */",
    "selct 1",
    "select",
    "select 1 +",
    "select (1",
    "select 'a",
    "select * from",
    "from nowhere",
    "from raw.nothing",
    "from nothing.securities",
    "select nothing from raw.securities",
    "select ticker, count(*) from raw.securities",
    "select 1; select 2",
    "select cast('a' as int)",
    "select 1/0::int; drop table x",
    "select '2024-13-01'::date",
    "select no_such_function(1)",
    "select " + "(" * 5_000 + "1" + ")" * 5_000,
    "select " + "-" * 5_000 + "1 from nowhere",
    "select " + "9" * 5_000 + "::int",
    "select \x00",
    "select '\udcff'",
    "from read_csv('/etc/passwd')",
    "from read_text('/etc/passwd')",
    "from read_blob('/etc/passwd')",
    "from '/etc/passwd'",
    "from read_parquet('OUT')",
    "from glob('/etc/*')",
    "from glob('HOME/../*')",
    "from read_text('HOME/home.yaml')",
    "from read_text('HOME/lake/../home.yaml')",
    "from sniff_csv('/etc/passwd')",
    "from read_json('/etc/passwd')",
    "from read_csv('http://127.0.0.1:9/x.csv')",
    "from 'https://127.0.0.1:9/x.parquet'",
    "from 's3://bucket/x.parquet'",
    "copy raw.securities to 'OUT'",
    "copy (select 1) to 'OUT' (format parquet)",
    "copy (select 1) to 'HOME/lake/raw/x.parquet'",
    "explain analyze copy (select 1) to 'OUT'",
    "explain/**/analyze copy (select 1) to 'OUT'",
    "explain/**/analyze/**/copy (select 1) to 'HOME/lake/raw/x.parquet'",
    "EXPLAIN -- \n ANALYZE -- \n COPY (select 1) to 'HOME/lake/x.csv'",
    "explain (analyze) copy (select 1) to 'HOME/lake/x.csv'",
    "explain (analyze, format json) copy (select 1) to 'HOME/lake/x.csv'",
    "explain analyze explain analyze copy (select 1) to 'HOME/lake/x.csv'",
    "explain analyze create table memory.x as select 1",
    "explain analyze insert into raw.securities select * from raw.securities",
    "export database 'OUT'",
    "import database '/etc'",
    "attach 'OUT' as other",
    "attach 'HOME/lake/x.duckdb' as other",
    "attach ':memory:' as other",
    "detach quant",
    "use memory",
    "install httpfs",
    "load httpfs",
    "force install httpfs from 'http://127.0.0.1:9'",
    "set threads = 1",
    "set enable_external_access = true",
    "set allowed_directories = ['/']",
    "reset lock_configuration",
    "pragma threads = 1",
    "pragma enable_external_access = true",
    "call enable_logging(storage='file', storage_config={'path': 'OUT'})",
    "select * from enable_logging(storage='file', storage_config={'path': 'OUT'})",
    "checkpoint",
    "vacuum",
    "create table x as select 1",
    "create temp table x as select 1",
    "create or replace view raw.securities as select 1",
    "create macro f(x) as x",
    "create secret s (type s3)",
    "drop view raw.securities",
    "alter view raw.securities rename to x",
    "delete from lake.partitions",
    "update lake.partitions set rows = 0",
    "insert into lake.partitions select * from lake.partitions",
    "with gone as (delete from lake.partitions returning *) from gone",
    "truncate lake.partitions",
    "begin transaction",
    "prepare a as select 1",
    "prepare a as copy (select 1) to 'OUT'; execute a",
    "execute a",
    "select 1; copy (select 1) to 'OUT'",
    "pivot lake.partitions on table_name using sum(rows); copy (select 1) to 'OUT'",
    "from query('copy (select 1) to ''OUT''')",
    "from duckdb_no_such()",
)


def inputs() -> Iterator[Input]:
    """Broken and hostile queries, by argument; a few from standard input."""
    for position, text in enumerate(BROKEN):
        shown = text if len(text) < 60 else f"{text[:50]}... ({len(text)} characters)"
        # A NUL or a lone surrogate cannot be an argument of a process, but comes through a pipe.
        piped = position % 6 == 0 or "\x00" in text
        yield Input(
            "sql",
            repr(shown),
            lambda place, text=text, piped=piped: ["sql", "-" if piped else _filled(text, place)],
            standard_input=text if piped else "",
        )


def _filled(text: str, place: Place) -> str:
    return text.replace("HOME", str(place.home)).replace("OUT", str(place.scratch / "out"))
