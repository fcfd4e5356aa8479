"""Filling a home from files, and what keeps it from being filled with the wrong ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
import yaml

from quant_platform.cli.declare import Declaration, declared_home
from quant_platform.contracts.errors import SettingsError
from quant_platform.lake import check
from quant_platform.market.calendar import sessions
from quant_platform_tests.cli.commands import Command, is_one_paragraph
from quant_platform_tests.homes import LAST, SHIPPED, entered, files, write_specs


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
    (home / "lake" / "a.parquet").touch()
    monkeypatch.setenv("QUANT_SPECS", str(SHIPPED))
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    ended = quant("import", "csv_folder", data, "--home", home)
    is_one_paragraph(ended, "home_mixed")
    assert "this home holds the simulated market" in ended.plain
    shutil.copyfile(SHIPPED / "perps.yaml", home / "perps.yaml")
    with declared_home(home, "csv_folder", "csv_folder", {"data": data}, SHIPPED).in_force():
        pass
    assert yaml.safe_load((home / "home.yaml").read_text())["source"] == "csv_folder"


@pytest.mark.long
def test_an_import_whose_rows_are_mostly_kept_out_names_them_and_fails(
    quant: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forty Saturdays among 300 sessions: 40 of 340 rows, 11.76 %, and the limit is 5 %."""
    saturdays = sorted({day + timedelta(days=5 - day.weekday()) for day in sessions("XNYS", date(2018, 1, 2), LAST)})
    lines = [*bar_lines(), *(f"{day},50,51,49,50.5,1000" for day in saturdays[:40])]
    data = csv_folder(tmp_path / "data", {"AAA": lines})
    home = tmp_path / "home"
    monkeypatch.setenv("QUANT_SPECS", str(write_specs(tmp_path / "specs")))
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    ended = quant("import", "csv_folder", data, "--home", home, "--only-raw")
    is_one_paragraph(ended, "audit_failed")
    said = " ".join(ended.out.split())
    assert "340 rows delivered, 40 kept out (11.76%)" in said
    assert "rows_kept_out: 40 of 340: rows kept out by the rule not_a_session, 11.76% of all (AAA)" in said
    assert "no factor will be judged: 1 names on a session; a cross-section needs 20" in said


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
    "text in a price": (replaced(5, "", "2018-01-08,1,2,1,dear,100"), "dear"),
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


def says(home: Path) -> dict[str, object]:
    content: dict[str, object] = yaml.safe_load((home / "home.yaml").read_text(encoding="utf-8"))
    return content


@pytest.fixture
def shipped_specs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QUANT_SPECS", str(SHIPPED))
    monkeypatch.setenv("QUANT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def declared(home: Path, data: Path, *, live: bool = False) -> Declaration:
    found = declared_home(home, "csv_folder", "csv_folder", {"data": data}, SHIPPED, live=live)
    with found.in_force():
        pass
    return found


def test_a_folder_that_grew_moves_the_span_and_says_so(tmp_path: Path) -> None:
    data, home = csv_folder(tmp_path / "data", {"AAA": bar_lines(count=100)}), tmp_path / "home"
    first = declared(home, data)
    assert says(home)["last_session"] == date(2018, 5, 24)
    assert "ends there" in first.sentences[0]
    assert "--live" in first.sentences[0]
    (data / "bars" / "AAA.csv").write_text("\n".join([HEADER, *bar_lines(count=110)]) + "\n", encoding="utf-8")
    second = declared(home, data)
    assert says(home)["last_session"] == date(2018, 6, 8)
    assert "the folder has changed: the market reached from 2018-01-02 to 2018-05-24, now" in second.sentences[0]


def test_a_live_market_has_no_last_date_and_stays_live(tmp_path: Path) -> None:
    data, home = csv_folder(tmp_path / "data", {"AAA": bar_lines()}), tmp_path / "home"
    assert "goes on" in declared(home, data, live=True).sentences[0]
    assert says(home)["last_session"] is None
    declared(home, data)
    assert says(home)["last_session"] is None


def test_a_refused_import_leaves_the_home_as_it_was(
    shipped_specs: Path, quant: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = csv_folder(tmp_path / "data", {"AAA": bar_lines()})

    def refuse(*_arguments: object, **_options: object) -> None:
        raise SettingsError("no run today")

    monkeypatch.setattr("quant_platform.cli.market.run_everything", refuse)
    is_one_paragraph(quant("import", "csv_folder", data), "settings_invalid")
    assert not (shipped_specs / "home.yaml").exists()
    declared(shipped_specs, data)
    before = (shipped_specs / "home.yaml").read_text(encoding="utf-8")
    is_one_paragraph(quant("import", "csv_folder", data, "--live"), "settings_invalid")
    assert (shipped_specs / "home.yaml").read_text(encoding="utf-8") == before


def test_actions_of_another_spelling_stop_an_import(shipped_specs: Path, quant: Command, tmp_path: Path) -> None:
    data = csv_folder(tmp_path / "data", {"AAA": bar_lines()})
    (data / "actions.csv").write_text("ticker,ex_date,kind,value\nAAA.US,2018-06-01,split,2\n", encoding="utf-8")
    ended = quant("import", "csv_folder", data)
    is_one_paragraph(ended, "source_malformed")
    assert "AAA.US (AAA?)" in ended.plain
    assert not shipped_specs.exists()


def test_a_universe_names_what_the_source_has(tmp_path: Path, quant: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    specs = write_specs(tmp_path / "specs")
    monkeypatch.setenv("QUANT_SPECS", str(specs))
    data = csv_folder(tmp_path / "data", {"AAA": bar_lines()})
    file = specs / "universe" / "csv_folder.yaml"
    for tickers, message in (("[AAA, AAB]", "AAB (AAA?)"), ("[AAA, ON]", 'quote it: "ON"')):
        file.write_text(f"name: csv_folder\ndescription: x\nexchange: XNYS\ntickers: {tickers}\n", encoding="utf-8")
        ended = quant("import", "csv_folder", data, "--home", tmp_path / "home")
        is_one_paragraph(ended, "spec_invalid")
        assert message in ended.plain
    file.write_text("name: csv_folder\ndescription: x\nexchange: XLON\ntickers: source\n", encoding="utf-8")
    ended = quant("import", "csv_folder", data, "--home", tmp_path / "home")
    assert "the universe is of XLON, the source of XNYS" in ended.plain
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    "command",
    [["run"], ["sql", "select 1"], ["lake", "check"], ["snapshot", "list"], ["results", "page.md", "--title", "x"]],
)
def test_a_home_that_does_not_exist_is_refused_with_the_one_that_was_meant(
    command: list[str], quant: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUANT_SPECS", str(SHIPPED))
    monkeypatch.setenv("QUANT_HOME", str(tmp_path / "unused"))
    (tmp_path / "data-real" / "lake").mkdir(parents=True)
    ended = quant(*command, "--home", tmp_path / "data-rael")
    is_one_paragraph(ended, "settings_invalid")
    assert f"did you mean --home {tmp_path / 'data-real'}?" in ended.plain
    assert not (tmp_path / "data-rael").exists()


def test_init_writes_two_specs_that_import(quant: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    specs = write_specs(tmp_path / "specs")
    monkeypatch.setenv("QUANT_SPECS", str(specs))
    monkeypatch.setenv("QUANT_HOME", str(tmp_path / "unused"))
    data = csv_folder(tmp_path / "My Bars", {"AAA": bar_lines(), "BBB": bar_lines(2)})
    is_one_paragraph(quant("init", data), "settings_invalid")
    assert not (specs / "sources" / "my_bars.yaml").exists()
    ended = quant("init", data, "--adjustment", "none")
    assert ended.code == 0, ended.err
    assert "2 tickers; AAA has 300 bars from 2018-01-02" in ended.out
    found = declared_home(tmp_path / "home", "my_bars", "my_bars", {"data": data}, specs)
    assert found.content["first_session"] == date(2018, 1, 2)
    is_one_paragraph(quant("init", data, "--adjustment", "none"), "settings_invalid")
    assert quant("init", data, "--adjustment", "perhaps", "--force").code == 2
