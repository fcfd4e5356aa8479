"""The command line: exit codes, and errors that say in one paragraph what to do, with nothing else harmed."""

from __future__ import annotations

import csv
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
import yaml

from quant_platform import __version__
from quant_platform.cli import main
from quant_platform.cli.market import declare_home
from quant_platform.lake import check
from quant_platform.market.calendar import sessions
from quant_platform_tests.homes import NAMES, SHIPPED, Market, copied, declare, entered, files, harm, write_specs

QUANT = [sys.executable, "-c", "from quant_platform.cli import main; main()"]


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def plain(self) -> str:
        """Standard error in one line, whatever the width of the terminal made of it."""
        return " ".join(self.err.split())


class Command(Protocol):
    def __call__(self, *arguments: object) -> Ended: ...


@pytest.fixture
def quant(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    def call(*arguments: object) -> Ended:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["quant", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        said = capsys.readouterr()
        return Ended(code, said.out, said.err)

    return call


@pytest.fixture
def inside(market: Market, monkeypatch: pytest.MonkeyPatch) -> Market:
    """The environment of the materialised market."""
    monkeypatch.setenv("QUANT_HOME", str(market.home.settings.home))
    monkeypatch.setenv("QUANT_SPECS", str(market.specs))
    monkeypatch.setenv("DAGSTER_HOME", str(market.home.settings.home / "dagster"))
    return market


@pytest.fixture
def own(market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with the market's lake that a test may harm, with specs of its own."""
    folder = copied(market.home.settings.home, tmp_path / "home")
    monkeypatch.setenv("QUANT_HOME", str(folder))
    monkeypatch.setenv("QUANT_SPECS", str(write_specs(tmp_path / "specs")))
    monkeypatch.setenv("DAGSTER_HOME", str(folder / "dagster"))
    return folder


def is_one_paragraph(ended: Ended, code: str) -> None:
    assert ended.code == 1
    assert ended.err.startswith(f"{code}: ")
    assert "Traceback" not in ended.err + ended.out
    assert "\n\n" not in ended.err.strip()


def test_the_version_is_printed(quant: Command) -> None:
    assert quant("--version") == Ended(0, f"quant_platform {__version__}\n", "")


COMMANDS = ["demo", "import", "run", "up", "sql", "doctor", "docs", "results"]
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


def test_a_step_without_its_inputs_names_the_job_that_makes_them(own: Path, quant: Command) -> None:
    shutil.rmtree(own / "lake" / "replay" / "qualified")
    ended = quant("run", "weekly_report", "--from", "2019-12-30", "--in-process")
    is_one_paragraph(ended, "run_failed")
    assert "none of the partitions of replay.qualified that this step reads has been made" in ended.plain
    assert "`quant run weekly_cross_section`" in ended.plain
    assert "partition=2018-01-01 partition=2018-01-08" in ended.plain


def test_run_knows_its_jobs_and_partitions(own: Path, quant: Command) -> None:
    before = files(own / "lake")
    unknown = quant("run", "weekly_replai")
    is_one_paragraph(unknown, "run_failed")
    assert "weekly_replay" in unknown.plain
    missing = quant("run", "weekly_replay", "--from", "SIM0O1")
    is_one_paragraph(missing, "partition_missing")
    assert "did you mean 'SIM0" in missing.plain
    turned = quant("run", "weekly_replay", "--from", "SIM005", "--to", "SIM001")
    is_one_paragraph(turned, "partition_missing")
    assert "turn them round: --from SIM001 --to SIM005" in turned.plain
    resumed = quant("run", "weekly_replay", "--resume", "0b6c1f9e")
    is_one_paragraph(resumed, "run_failed")
    assert "there is no run '0b6c1f9e' to resume" in resumed.plain
    assert quant("run", "everything", "--from", "SIM001").code == 2
    assert files(own / "lake") == before


def test_up_says_that_its_port_is_taken(own: Path, quant: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = quant("up", "--port", taken.getsockname()[1])
    is_one_paragraph(ended, "settings_invalid")
    assert "choose another with --port" in ended.plain


def test_run_makes_one_partition_and_says_so(own: Path, quant: Command) -> None:
    before = files(own / "lake")
    arguments = ("run", "weekly_replay", "--from", "SIM001", "--to", "SIM001", "--refresh", "--in-process")
    ended = quant(*arguments)
    assert ended.code == 0, ended.err
    assert "weekly_replay: 1 partitions" in ended.out
    added = set(files(own / "lake")) - set(before)
    assert [path.split("/")[:3] for path in added] == [["replay", "candidates", "ticker=SIM001"]]
    assert (own / "quant.duckdb").is_file()


BAD_SPECS: list[tuple[str, str, str, tuple[str, ...]]] = [
    ("activation.yaml", "min_rr: 1.2", "min_rrr: 1.2", ("min_rrr", "did you mean 'min_rr'", "activation.yaml:2")),
    ("features/equity.yaml", "lag(close,21)/lag(close,252)", "lag(close,-21)/lag(close,252)", ("-21",)),
    ("features/equity.yaml", "lag(close,21)/lag(close,252)", "lead(close,21)", ("lead",)),
    ("cleaning/equity.yaml", "max_power: 3", "max_power: three", ("max_power", "three")),
    ("schedules.yaml", "freshness_days: 4", "freshness_days: [4", ("schedules.yaml",)),
]


@pytest.mark.parametrize(("file", "good", "bad", "said"), BAD_SPECS, ids=[row[2] for row in BAD_SPECS])
def test_a_bad_spec_stops_a_run_before_it_starts(
    file: str, good: str, bad: str, said: tuple[str, ...], own: Path, quant: Command
) -> None:
    path = Path(os.environ["QUANT_SPECS"]) / file
    text = path.read_text(encoding="utf-8")
    assert text.count(good) == 1
    path.write_text(text.replace(good, bad), encoding="utf-8")
    before = files(own)
    ended = quant("run", "everything")
    assert ended.code == 1
    is_one_paragraph(ended, ended.err.split(":")[0])
    assert ended.err.startswith(("spec_invalid", "expression_invalid"))
    for word in (file, *said):
        assert word in ended.plain
    assert files(own) == before
    found = quant("doctor")
    assert found.code == 3
    assert file in found.out


def test_debug_shows_the_traceback(own: Path, quant: Command) -> None:
    path = Path(os.environ["QUANT_SPECS"]) / "activation.yaml"
    path.write_text("min_rr: nothing\n", encoding="utf-8")
    with pytest.raises(ValueError, match="activation"):
        quant("--debug", "run", "everything")


def test_a_bug_ends_in_one_line(own: Path, quant: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def burst(*_: object) -> None:
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr("quant_platform.cli.lake.check", burst)
    ended = quant("lake", "check")
    assert ended.code == 1
    assert (
        ended.err == "unexpected: ZeroDivisionError: division by zero; `quant --debug ...` shows where it comes from\n"
    )
    with pytest.raises(ZeroDivisionError):
        quant("--debug", "lake", "check")


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


def test_a_home_that_holds_another_market_is_not_mixed(own: Path, quant: Command, tmp_path: Path) -> None:
    data = csv_folder(tmp_path / "data", {"AAA": bar_lines()})
    lake = files(own / "lake")
    is_one_paragraph(quant("import", "csv_folder", data), "home_mixed")
    (own / "home.yaml").write_text(
        yaml.safe_dump(
            {
                "source": "csv_folder",
                "universe": "csv_folder",
                "locations": {"data": str(tmp_path / "elsewhere")},
                "first_session": date(2018, 1, 2),
            }
        )
    )
    ended = quant("import", "csv_folder", data)
    is_one_paragraph(ended, "home_mixed")
    assert f"from data={tmp_path / 'elsewhere'}; " in ended.plain
    assert f"from data={data} was about to be imported" in ended.plain
    other = yaml.safe_dump({"source": "lean", "universe": "lean", "first_session": date(2018, 1, 2)})
    (own / "home.yaml").write_text(other, encoding="utf-8")
    is_one_paragraph(quant("import", "csv_folder", data), "home_mixed")
    is_one_paragraph(quant("demo"), "home_mixed")
    assert (own / "home.yaml").read_text(encoding="utf-8") == other
    (own / "home.yaml").unlink()
    is_one_paragraph(quant("import", "csv_folder", data), "home_mixed")
    assert files(own / "lake") == lake


def test_equities_are_imported_beside_perpetuals_and_not_beside_what_declares_nothing(
    quant: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = csv_folder(tmp_path / "data", {"AAA": bar_lines()})
    home = tmp_path / "home"
    (home / "lake").mkdir(parents=True)
    monkeypatch.setenv("QUANT_SPECS", str(SHIPPED))
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    ended = quant("import", "csv_folder", data, "--home", home)
    is_one_paragraph(ended, "home_mixed")
    assert "this home holds the simulated market" in ended.plain
    shutil.copyfile(SHIPPED / "perps.yaml", home / "perps.yaml")
    declare_home(home, "csv_folder", "csv_folder", {"data": data}, SHIPPED)
    assert yaml.safe_load((home / "home.yaml").read_text())["source"] == "csv_folder"


HEADER = "date,open,high,low,close,volume"


def bar_lines(seed: int = 1, count: int = 300) -> list[str]:
    random = np.random.default_rng(seed)
    price, lines = 50.0, []
    for day in sessions("XNYS", date(2018, 1, 2), date(2019, 12, 31))[:count]:
        opened, price = price, price * (1 + random.normal(0, 0.02))
        high, low = max(opened, price) * 1.01, min(opened, price) * 0.99
        lines.append(f"{day},{opened:.4f},{high:.4f},{low:.4f},{price:.4f},{random.integers(1000, 9999)}")
    return lines


def csv_folder(folder: Path, bars: dict[str, list[str]], header: str = HEADER) -> Path:
    (folder / "bars").mkdir(parents=True)
    (folder / "actions.csv").write_text(
        "ticker,ex_date,kind,value\nAAA,2018-06-01,cash_dividend,0.25\n", encoding="utf-8"
    )
    for name, lines in bars.items():
        (folder / "bars" / f"{name}.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return folder


def replaced(position: int, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "bars" / "BBB.csv"
        lines = path.read_text(encoding="utf-8").splitlines()
        lines[position] = lines[position].replace(old, new) if old else new
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    return change


def another_file(name: str, text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "bars" / name).write_text(text, encoding="utf-8")

    return change


MALFORMED: dict[str, tuple[Callable[[Path], None], str]] = {
    "wrong columns": (replaced(0, "close", "last"), "close"),
    "text in a price": (replaced(5, "", "2018-01-08,1,2,1,n/a,100"), "n/a"),
    "duplicate keys": (replaced(5, "", bar_lines()[3]), "2018-01-05"),
    "dates in the future": (replaced(5, "", "2999-01-04,1,2,1,1.5,100"), "2999-01-04"),
    "an empty file": (another_file("BBB.csv", ""), "BBB.csv"),
    "a header alone": (another_file("BBB.csv", HEADER + "\n"), "BBB.csv"),
    "a ticker that climbs": (another_file("..%2F..%2Fx.csv", "\n".join([HEADER, *bar_lines()])), ""),
}


def test_a_malformed_file_of_all_tickers_is_one_error_before_anything_is_written(
    quant: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = csv_folder(tmp_path / "data", {"AAA": bar_lines(), "BBB": bar_lines()})
    with (data / "actions.csv").open("a", encoding="utf-8") as file:
        file.write("BBB,2018-13-01,split,2\n")
    monkeypatch.setenv("QUANT_SPECS", str(SHIPPED))
    ended = quant("import", "csv_folder", data, "--home", tmp_path / "home")
    is_one_paragraph(ended, "source_malformed")
    assert "actions.csv, line 3" in ended.plain
    assert "2018-13-01" in ended.plain
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("kind", [kind for kind in MALFORMED if kind != "a ticker that climbs"])
def test_a_malformed_file_is_one_clear_error(
    kind: str, quant: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harm, said = MALFORMED[kind]
    data = csv_folder(tmp_path / "data", {"AAA": bar_lines(), "BBB": bar_lines()})
    harm(data)
    before = files(data)
    monkeypatch.setenv("QUANT_SPECS", str(SHIPPED))
    home = tmp_path / "home"
    monkeypatch.setenv("QUANT_HOME", str(home))
    ended = quant("import", "csv_folder", data, "--home", home)
    is_one_paragraph(ended, "source_malformed")
    assert "BBB.csv" in ended.plain
    assert said in ended.plain
    assert not (home / "lake").exists()
    assert not (home / "home.yaml").exists()
    assert files(data) == before
    assert list(tmp_path.parent.glob("x*")) == []


def test_the_mistakes_of_an_import_leave_no_home_behind(
    quant: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = csv_folder(tmp_path / "data", {"AAA": bar_lines()})
    home = tmp_path / "home"
    monkeypatch.setenv("QUANT_SPECS", str(SHIPPED))
    monkeypatch.setenv("QUANT_HOME", str(home))
    is_one_paragraph(quant("import", "csv_folder", tmp_path / "nowhere"), "settings_invalid")
    is_one_paragraph(quant("import", "csv_foldr", data), "spec_invalid")
    is_one_paragraph(quant("import", "csv_folder", data, "--universe", "nothing"), "spec_invalid")
    assert quant("import", "csv_folder", data, "--location", "nonsense").code == 2
    assert not home.exists()


def test_a_folder_of_csv_files_is_imported(quant: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = csv_folder(tmp_path / "data", {name: bar_lines(k) for k, name in enumerate(("AAA", "BBB"))})
    monkeypatch.setenv("QUANT_SPECS", str(SHIPPED))
    monkeypatch.setenv("QUANT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home" / "dagster"))
    ended = quant("import", "csv_folder", data, "--only-raw", "--home", tmp_path / "home")
    assert ended.code == 0, ended.err
    assert "SIMULATED" not in ended.out
    with entered(tmp_path / "home", SHIPPED) as home:
        accounting = (
            home.lake.read("clean.equity_accounting") if home.lake.partitions("clean.equity_accounting") else None
        )
        assert accounting is None
        assert home.lake.partitions("clean.equity_bars") == ["AAA", "BBB"]
        assert home.lake.read("raw.equity_bars").height == 600
        assert home.lake.read("clean.equity_bars").height == 600
        assert check(home.lake) == []


def test_a_full_disk_is_one_clear_error_and_the_old_versions_stand(market: Market, tmp_path: Path) -> None:
    home = copied(market.home.settings.home, tmp_path / "home")
    before = files(home / "lake")
    command = ["run", "weekly_replay", "--refresh", "--in-process", "--from", "SIM000", "--to", "SIM001"]

    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    done = subprocess.run(
        [*QUANT, *command],
        env=os.environ | {"QUANT_HOME": str(home), "QUANT_SPECS": str(market.specs)},
        capture_output=True,
        text=True,
        preexec_fn=small_files,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) < 15
    assert {name: what for name, what in files(home / "lake").items() if name in before} == before
    with entered(home, market.specs) as opened:
        assert harm(opened.lake) == []


@pytest.mark.slow
def test_an_interrupt_ends_the_run_and_says_so(market: Market, tmp_path: Path) -> None:
    home = tmp_path / "home"
    declare(home, market.specs)
    environment = os.environ | {"QUANT_HOME": str(home), "QUANT_SPECS": str(market.specs)}
    command = [*QUANT, "run", "ticker_graph", "--in-process"]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while len(list(home.glob("lake/raw/*/*/*.parquet"))) < 6:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    shown, said = process.communicate(timeout=60)
    assert process.returncode == 130, shown + said
    assert said.startswith("interrupted: what was written is whole")
    assert "Traceback" not in said
    with entered(home, market.specs) as opened:
        assert harm(opened.lake) == []


@pytest.mark.real_data
def test_files_of_a_vendor_are_imported(
    shared_data: Path, quant: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = tmp_path / "sample"
    sample.mkdir()
    for path in sorted((shared_data / "us_sp500_daily_2000_2015" / "raw_sample").glob("*.us.txt"))[:3]:
        shutil.copy(path, sample)
    specs = write_specs(tmp_path / "specs")
    spec = yaml.safe_load((SHIPPED / "sources" / "csv_folder.yaml").read_text(encoding="utf-8"))
    spec["adjustment"] = "split_dividend"
    del spec["files"]["actions"]
    columns = {name: name.capitalize() for name in ("open", "high", "low", "close", "volume")}
    spec["files"]["bars"].update(
        path="*.us.txt",
        columns={"session": "Date", **columns},
        ignored_columns=["OpenInt"],
        on_duplicate_key="quarantine",
    )
    (specs / "sources" / "vendor.yaml").write_text(yaml.safe_dump(spec | {"name": "vendor"}), encoding="utf-8")
    monkeypatch.setenv("QUANT_SPECS", str(specs))
    monkeypatch.setenv("QUANT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home" / "dagster"))
    ended = quant("import", "vendor", sample, "--only-raw")
    assert ended.code == 0, ended.err
    lines = sum(len(path.read_text().splitlines()) - 1 for path in sample.glob("*.us.txt"))
    with entered(tmp_path / "home", specs) as home:
        assert home.lake.read("raw.equity_bars").height == lines
        clean, kept_out = home.lake.read("clean.equity_bars"), home.lake.read("clean.equity_quarantine")
        assert clean["missing_reason"].is_null().sum() + kept_out.height == lines
