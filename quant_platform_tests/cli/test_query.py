"""Looking: queries, the doctor, checks, snapshots, pages of results."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from quant_platform import __version__
from quant_platform_tests.cli.commands import Command, Ended, is_one_paragraph
from quant_platform_tests.homes import NAMES, SHIPPED, Market, files, write_specs


def test_the_version_is_printed(quant: Command) -> None:
    assert quant("--version") == Ended(0, f"quant_platform {__version__}\n", "")


COMMANDS = ["demo", "init", "import", "import-perps", "run", "up", "sql", "doctor", "docs", "results"]
COMMANDS += ["lake check", "lake vacuum", "lake refresh"]
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
    "statement",
    [
        "create table x as select 1",
        "create temp table x as select 1",
        "copy (select 1) to '{target}'",
        "explain analyze copy (select 1) to '{target}'",
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
    ended = quant("sql", statement.format(target=target))
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
    ("command", "code"),
    [
        (["lake", "check"], "settings_invalid: there is no lake yet"),
        (["results", "page.md", "--title", "Mine"], "settings_invalid: this home holds no table"),
        (["snapshot", "create", "US"], "snapshot_invalid: there is nothing to snapshot"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_a_home_that_is_not_there_is_not_taken_for_a_sound_one(
    command: list[str], code: str, own: Path, quant: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = quant(*command, "--home", tmp_path / "mistyped")
    is_one_paragraph(ended, code.partition(":")[0])
    assert code in ended.plain
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


def test_doctor_says_what_is_there(inside: Market, quant: Command) -> None:
    ended = quant("doctor")
    assert ended.code == 0, ended.out
    assert f"source simulated: {NAMES} tickers" in ended.out


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


def test_lake_check_names_a_torn_file_and_leaves_it(own: Path, quant: Command) -> None:
    assert quant("lake", "check").code == 0
    torn = max((own / "lake/replay/candidates/ticker=SIM002").glob("*.parquet"))
    half = torn.read_bytes()[:100]
    torn.unlink()  # the name is shared with the market, its content must not be touched
    torn.write_bytes(half)
    ended = quant("lake", "check")
    assert ended.code == 3
    assert torn.name in ended.out.replace("\n", "")
    assert torn.read_bytes() == half


def test_snapshots_are_made_listed_verified_and_exported(own: Path, quant: Command, tmp_path: Path) -> None:
    created = quant("snapshot", "create", "US", "--table", "clean.equity_bars")
    assert created.code == 0, created.err
    name = created.out.strip()
    assert name.endswith("-US-v1")
    assert name in quant("snapshot", "list").out
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
