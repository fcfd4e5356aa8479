"""Looking: queries, the doctor, checks, snapshots, pages of results."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from quant_platform import __version__
from quant_platform.cli.query import show
from quant_platform_tests.cli.commands import Command, Ended, is_one_paragraph
from quant_platform_tests.homes import NAMES, SHIPPED, Market, files, write_specs


def test_the_version_is_printed(quant: Command) -> None:
    assert quant("--version") == Ended(0, f"quant_platform {__version__}\n", "")


COMMANDS = ["demo", "init", "import", "import-perps", "run", "up", "sql", "doctor", "docs", "results"]
COMMANDS += ["lake check", "lake vacuum", "lake refresh"]
COMMANDS += ["runs", "compare"]
COMMANDS += ["snapshot create", "snapshot list", "snapshot verify", "snapshot export"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, quant: Command) -> None:
    ended = quant(*command.split(), "--help")
    assert ended.code == 0
    assert f"quant {command}" in ended.out
    assert quant(*command.split(), "--no-such-option").code == 2


def test_sql_prints_csv_json_and_tables(inside: Market, quant: Command) -> None:
    question = "select ticker, count(*) as bars from clean.equity_bars group by ticker order by ticker limit 2"
    counted = [inside.home.lake.read("clean.equity_bars", [ticker]).height for ticker in ("SIM000", "SIM001")]
    ended = quant("sql", question, "--output", "csv")
    assert ended == Ended(0, f"ticker,bars\nSIM000,{counted[0]}\nSIM001,{counted[1]}\n", "")
    rows = json.loads(quant("sql", question, "--output", "json").out)
    assert rows == [{"ticker": "SIM000", "bars": counted[0]}, {"ticker": "SIM001", "bars": counted[1]}]
    shown = quant("sql", question, "--limit", "1").out
    assert "SIM000" in shown
    assert "SIM001" not in shown
    assert "1 more rows" in shown


def test_csv_has_lists_as_json(inside: Market, quant: Command) -> None:
    question = "select ['a', null] as x, {'day': date '2024-01-02'} as y, null::int[] as z, 1 as n"
    ended = quant("sql", "--output", "csv", question)
    assert ended.code == 0
    heading, row = csv.reader(ended.out.splitlines())
    assert heading == ["x", "y", "z", "n"]
    assert row == ['["a", null]', '{"day": "2024-01-02"}', "", "1"]
    assert quant("sql", "--output", "csv", "select [1] as x where false").out == "x\n"


def test_a_piped_table_is_not_cut(inside: Market, quant: Command) -> None:
    shown = quant("sql", "from replay.hit_rate limit 1").out
    assert "expectancy_high" in shown
    assert "…" not in shown


def test_text_is_shown_as_it_is(inside: Market, quant: Command) -> None:
    assert ":x: [red]no[/red]" in quant("sql", "select ':x: [red]no[/red]' as a").out


@pytest.mark.parametrize(
    "question",
    [
        "describe replay.hit_rate",
        "show all tables",
        "explain select 1",
        "with a as (select 1 as one) from a",
        'pivot replay.hit_rate on "group" using sum(n) group by as_of_week',
        "summarize live.scan",
    ],
)
def test_every_kind_of_question_is_answered(question: str, inside: Market, quant: Command) -> None:
    ended = quant("sql", question)
    assert ended.code == 0
    assert ended.out


@pytest.mark.parametrize(
    "question",
    [
        "explain select 1",
        "explain analyze select 1",
        "explain (analyze, format json) select 1",
        "explain (select 1)",
        "explain /* why */ analyze -- slow\n from raw.securities",
    ],
)
def test_every_form_of_explain_is_a_question(question: str, inside: Market, quant: Command) -> None:
    assert quant("sql", question).code == 0


@pytest.mark.parametrize(
    "question",
    [
        "from read_csv('{secret}')",
        "from read_text('{secret}')",
        "from '{secret}'",
        "from glob('{folder}/*')",
        "from read_text('{lake}/../home.yaml')",
        "from read_text('{lake}/../../secret.csv')",
        "from sniff_csv('{secret}')",
        "select * from enable_logging(storage='file', storage_config={{'path': '{folder}/log'}})",
    ],
)
def test_a_query_reads_the_lake_and_no_other_file(
    question: str, inside: Market, quant: Command, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a,b\n1,hunter2\n", encoding="utf-8")
    lake = inside.home.settings.lake
    ended = quant("sql", question.format(secret=secret, folder=tmp_path, lake=lake))
    is_one_paragraph(ended, "query_failed")
    assert "hunter2" not in ended.out + ended.err
    assert list(tmp_path.iterdir()) == [secret]


def test_a_query_does_not_see_the_variables_around_it(inside: Market, quant: Command) -> None:
    """DuckDB takes the name of a Python variable for a table where it may."""
    assert quant("sql", "from text").code == 1
    assert quant("sql", "from connection").code == 1


def test_a_catalogue_that_somebody_holds_is_said_at_once(own: Path, quant: Command) -> None:
    quant("lake", "refresh")
    holds = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); c.execute('create table mine as select 1'); "
    holds += "print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", holds, str(own / "quant.duckdb")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    started = time.monotonic()
    ended = quant("sql", "select 1")
    seconds = time.monotonic() - started
    holder.communicate("", timeout=30)
    is_one_paragraph(ended, "catalogue_unavailable")
    assert f"PID {holder.pid}" in ended.plain
    assert "duckdb -readonly" in ended.plain
    assert seconds < 10
    assert quant("sql", "select 1").code == 0


def test_a_catalogue_that_is_none_says_how_it_is_made(own: Path, quant: Command) -> None:
    (own / "quant.duckdb").write_bytes(b"hello" * 1_000)
    ended = quant("sql", "select 1")
    is_one_paragraph(ended, "catalogue_unavailable")
    assert "quant lake refresh" in ended.plain


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("1e-7::double", "1e-07"),
        ("0.00012345::double", "0.000123"),
        ("-0.0123456::double", "-0.0123"),
        ("0.1::double", "0.1000"),
        ("2.5::double", "2.5000"),
        ("123456.789::double", "123456.7890"),
        ("1e20::double", "1e+20"),
        ("0::double", "0"),
        ("'nan'::double", "nan"),
        ("'-inf'::double", "-inf"),
        ("[1e-9::double, null]", "[1e-09, ]"),
        ("{'p': 3e-5::double}", "{p: 3e-05}"),
    ],
)
def test_a_number_that_is_not_zero_is_not_shown_as_zero(
    number: str, shown: str, inside: Market, quant: Command
) -> None:
    lines = quant("sql", f"select {number} as value").out.splitlines()
    assert lines[3].strip("│ ") == shown


def shown_on(width: int, rows: pl.DataFrame) -> list[str]:
    out = io.StringIO()
    show(rows, Console(file=out, width=width, force_terminal=True, color_system=None), limit=5)
    return out.getvalue().splitlines()


def test_wide_columns_of_text_fold_on_a_terminal() -> None:
    text = " ".join(f"word{k}" for k in range(40))
    lines = shown_on(80, pl.DataFrame({"name": ["A"], "text": [text], "n": [5]}))
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("┏")
    found = "".join(line.split("│")[2].strip().replace(" ", "") for line in lines if line.startswith("│"))
    assert found == text.replace(" ", "")


def test_what_does_not_fold_is_shown_one_column_per_line() -> None:
    lines = shown_on(60, pl.DataFrame({f"column_{k}": [123456.0 + k] for k in range(12)}))
    assert max(map(len, lines)) <= 60
    assert [line.split() for line in lines[1:]] == [[f"column_{k}", f"{123456 + k}.0000"] for k in range(12)]


@pytest.mark.parametrize(
    "statement",
    [
        "create table x as select 1",
        "create temp table x as select 1",
        "copy (select 1) to '{target}'",
        "explain analyze copy (select 1) to '{target}'",
        "explain/**/analyze copy (select 1) to '{target}'",
        "explain/**/analyze/**/copy (select 1) to '{lake}/x.parquet'",
        "EXPLAIN -- a\n(ANALYZE, FORMAT json) COPY (select 1) TO '{lake}/x.csv'",
        "explain analyze explain analyze copy (select 1) to '{lake}/x.csv'",
        "copy (select 1) to '{lake}/x.parquet'",
        "attach '{lake}/x.duckdb' as other",
        "use memory",
        "create table memory.x as select 1",
        "reset lock_configuration",
        "set enable_external_access = true",
        "pragma enable_external_access = true",
        "load httpfs",
        "export database '{target}'",
        "attach '{target}' as other",
        "drop view replay.hit_rate",
        "insert into replay.hit_rate select * from replay.hit_rate",
        "with gone as (delete from replay.hit_rate returning *) from gone",
        "set threads = 1",
        "install httpfs",
        "select 1; copy (select 1) to '{target}'",
        "prepare a as copy (select 1) to '{target}'; execute a",
        "",
    ],
)
def test_sql_writes_nothing(statement: str, inside: Market, quant: Command, tmp_path: Path) -> None:
    home, target = inside.home.settings.home, tmp_path / "written"
    before = files(home)
    ended = quant("sql", statement.format(target=target, lake=inside.home.settings.lake))
    is_one_paragraph(ended, "query_failed" if ended.err.startswith("query_failed") else "query_writes")
    assert not target.exists()
    assert files(home) == before


def test_an_unknown_table_is_an_error_with_a_way_on(inside: Market, quant: Command) -> None:
    ended = quant("sql", "from nope.nothing")
    is_one_paragraph(ended, "query_failed")
    assert "lake.partitions" in ended.plain


def test_sql_without_a_catalogue_says_how_to_make_one(own: Path, quant: Command) -> None:
    ended = quant("sql", "select 1")
    is_one_paragraph(ended, "settings_invalid")
    assert "quant demo" in ended.plain


@pytest.mark.parametrize(
    "command",
    [["lake", "check"], ["results", "page.md", "--title", "Mine"], ["snapshot", "create", "US"]],
    ids=lambda value: value[0],
)
def test_a_home_that_is_not_there_is_not_taken_for_a_sound_one(
    command: list[str], own: Path, quant: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = quant(*command, "--home", tmp_path / "mistyped")
    is_one_paragraph(ended, "settings_invalid")
    assert "there is no home here" in ended.plain
    assert str(tmp_path / "mistyped") in ended.err
    assert not (tmp_path / "page.md").exists()


def test_a_page_of_results_is_of_one_market(own: Path, quant: Command, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    absent = quant("results", page, "--title", "Mine", "--market", "perpetuals")
    is_one_paragraph(absent, "settings_invalid")
    assert "holds no perpetuals" in absent.plain
    shutil.copyfile(SHIPPED / "perps.yaml", own / "perps.yaml")
    either = quant("results", page, "--title", "Mine")
    is_one_paragraph(either, "settings_invalid")
    assert "--market equities, or --market perpetuals" in either.plain
    assert not page.exists()
    assert quant("results", page, "--title", "Mine", "--market", "equities").code == 0
    assert "qualified setups" in page.read_text(encoding="utf-8")


def test_two_weeks_are_compared(inside: Market, quant: Command) -> None:
    weeks = [str(key) for key in inside.home.lake.partitions("signals.momentum_rank")][-2:]
    said = json.loads(quant("compare", *weeks, "--json").out)
    assert (said["first"], said["second"]) == tuple(weeks)
    by_table = {row["table"]: row for row in said["tables"]}
    one, other = (
        {(r["ticker"]): r for r in inside.home.lake.read("signals.momentum_rank", [week]).to_dicts()} for week in weeks
    )
    ranks = by_table["signals.momentum_rank"]
    assert ranks["only_first"] == len(one.keys() - other.keys())
    assert ranks["only_second"] == len(other.keys() - one.keys())
    compared = [name for name in next(iter(one.values())) if name not in ("week", "ticker")]
    differ = {
        (ticker, name)
        for ticker in one.keys() & other.keys()
        for name in compared
        if one[ticker][name] != other[ticker][name]
    }
    assert {(cell["ticker"], cell["column"]) for cell in ranks["cells"]} == differ
    assert ranks["changed"] == len({ticker for ticker, _ in differ})
    shown = quant("compare", *weeks, "--table", "signals.momentum_rank", "--limit", "2")
    assert shown.code == 0
    assert "percentile" in shown.out or "rank" in shown.out
    unknown = quant("compare", weeks[0], "2019-12-31x")
    is_one_paragraph(unknown, "partition_missing")
    assert "there is no partition and no snapshot '2019-12-31x'" in unknown.plain


def test_runs_are_listed_with_ids_that_paste(inside: Market, quant: Command) -> None:
    listed = json.loads(quant("runs", "--limit", "100", "--json").out)
    assert {run["run"] for run in listed} >= set(inside.run_ids.values())
    assert {run["state"] for run in listed} == {"success"}
    shown = quant("runs", "--limit", "1").out
    assert listed[0]["run"] in shown


def test_doctor_says_what_is_there(inside: Market, quant: Command) -> None:
    ended = quant("doctor")
    assert ended.code == 0, ended.out
    assert f"source simulated: {NAMES} tickers" in ended.out
    listed = json.loads(quant("doctor", "--json").out)
    assert {"good": True, "finding": f"source simulated: {NAMES} tickers"} in listed


def test_doctor_and_run_say_that_a_home_is_a_file(
    tmp_path: Path, quant: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.write_text("mine")
    monkeypatch.setenv("QUANT_HOME", str(home))
    monkeypatch.setenv("QUANT_SPECS", str(write_specs(tmp_path / "specs")))
    for command in ("doctor", "demo"):
        ended = quant(command)
        assert ended.code in (1, 3)
        assert "Traceback" not in ended.err
        assert str(home) in (ended.err + ended.out).replace("\n", "")
    assert home.read_text() == "mine"


@pytest.mark.long
def test_lake_check_names_a_torn_file_and_leaves_it(own: Path, quant: Command) -> None:
    whole = quant("lake", "check", "--json")
    assert (whole.code, json.loads(whole.out)) == (0, [])
    torn = max((own / "lake/replay/candidates/ticker=SIM002").glob("*.parquet"))
    half = torn.read_bytes()[:100]
    torn.unlink()  # the name is shared with the market, its content must not be touched
    torn.write_bytes(half)
    ended = quant("lake", "check")
    assert ended.code == 3
    assert torn.name in ended.out.replace("\n", "")
    found = quant("lake", "check", "--json")
    assert found.code == 3
    assert [(one["kind"], one["path"]) for one in json.loads(found.out)] == [("torn", str(torn))]
    assert torn.read_bytes() == half


def test_snapshots_are_made_listed_verified_and_exported(own: Path, quant: Command, tmp_path: Path) -> None:
    created = quant("snapshot", "create", "US", "--table", "clean.equity_bars")
    assert created.code == 0, created.err
    name = created.out.strip()
    assert name.endswith("-US-v1")
    assert name in quant("snapshot", "list").out
    listed = json.loads(quant("snapshot", "list", "--json").out)
    assert [(one["snapshot_id"], list(one["tables"])) for one in listed] == [(name, ["clean.equity_bars"])]
    assert json.loads(quant("snapshot", "verify", name, "--json").out) == []
    assert quant("snapshot", "verify", name).code == 0
    assert quant("snapshot", "export", name, tmp_path / "copy").code == 0
    assert len(list((tmp_path / "copy").rglob("*.parquet"))) == NAMES
    changed = max((own / "lake/clean/equity_bars/ticker=SIM002").glob("*.parquet"))
    content = changed.read_bytes()
    changed.unlink()
    changed.write_bytes(content[:-1])
    ended = quant("snapshot", "verify", name)
    assert ended.code == 3
    assert changed.name in ended.out.replace("\n", "")
    is_one_paragraph(quant("snapshot", "verify", "2001-01-01-US-v9"), "snapshot_invalid")
