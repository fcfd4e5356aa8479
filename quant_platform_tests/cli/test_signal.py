"""From a file of signals to a registered one: what is said, what is stored, what is refused."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from quant_platform.market.calendar import sessions
from quant_platform_tests.cli.commands import Command, is_one_paragraph
from quant_platform_tests.homes import files

DAYS = sessions("XNYS", date(2018, 3, 1), date(2018, 3, 30))


def write_signal(folder: Path, tickers: list[str], name: str = "good.csv") -> tuple[Path, int]:
    """A clean signal of some names over the sessions of a month, and its number of rows."""
    lines = ["security_id,date_sig,date_avail,signal"]
    lines += [f"{ticker},{day},{day},{k}.5" for day in DAYS for k, ticker in enumerate(tickers)]
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path, len(lines) - 1


@pytest.fixture
def tickers(own: Path) -> list[str]:
    return sorted(path.name.removeprefix("ticker=") for path in (own / "lake/clean/equity_bars").iterdir())


def test_a_clean_file_is_valid_and_nothing_is_stored(
    quant: Command, own: Path, tickers: list[str], tmp_path: Path
) -> None:
    path, rows = write_signal(tmp_path, tickers)
    ended = quant("signal", "validate", path, "--home", own)
    assert ended.code == 0
    assert ended.out.startswith(f"{rows:,} of {rows:,} rows were taken: 20 securities, {len(DAYS)} dates")
    assert not (own / "signals").exists()


def test_a_broken_file_is_told_everything_at_once_and_stores_nothing(
    quant: Command, own: Path, tickers: list[str], tmp_path: Path
) -> None:
    path, rows = write_signal(tmp_path, tickers, "broken.csv")
    with path.open("a", encoding="utf-8") as file:
        file.write("NOBODY,2018-03-01,2018-03-01,1\n")
        file.write(f"{tickers[0]},2018-03-03,2018-03-05,1\n")  # a Saturday
        file.write(f"{tickers[0]},2018-04-03,2018-04-02,1\n")
        file.write(f"{tickers[0]},2018-04-04,2018-04-04,inf\n")
    for command in ("validate", "submit"):
        ended = quant("signal", command, path, "--home", own)
        assert ended.code == 3
        assert ended.out.startswith(f"{rows:,} of {rows + 4:,} rows were taken")
        for code in (
            "signal_security_unknown",
            "signal_no_session",
            "signal_available_early",
            "signal_not_finite",
        ):
            assert f"{code}: 1 of {rows + 4:,} rows" in ended.out
    assert "nothing was registered" in ended.out
    assert not (own / "signals").exists()
    ended = quant("signal", "submit", path, "--name", "partly", "--leave-out", "--home", own)
    assert ended.code == 0
    assert pl.read_parquet(own / "signals/partly/signal.parquet").height == rows
    assert pl.read_parquet(own / "signals/partly/rejects.parquet")["row"].to_list() == [
        rows,
        rows + 1,
        rows + 2,
        rows + 3,
    ]


def test_a_registered_signal_says_who_and_never_changes(
    quant: Command, own: Path, tickers: list[str], tmp_path: Path
) -> None:
    path, rows = write_signal(tmp_path, tickers)
    ended = quant("signal", "submit", path, "--name", "mine", "--author", "Ada", "--version", "3", "--home", own)
    assert ended.code == 0
    assert "registered as mine by Ada" in ended.out
    before = files(own / "signals")
    again = quant("signal", "submit", path, "--name", "mine", "--author", "Bob", "--home", own)
    assert "registered as mine by Ada" in again.out
    other, _ = write_signal(tmp_path, tickers[:-1], "other.csv")
    refused = quant("signal", "submit", other, "--name", "mine", "--home", own)
    is_one_paragraph(refused, "signal_taken")
    assert "--name mine_v2" in refused.plain
    assert files(own / "signals") == before
    (said,) = json.loads(quant("signal", "list", "--json", "--home", own).out)
    assert {key: said[key] for key in ("name", "author", "rows", "rejected", "securities", "version", "region")} == {
        "name": "mine",
        "author": "Ada",
        "rows": rows,
        "rejected": 0,
        "securities": 20,
        "version": "3",
        "region": "",
    }
    assert (said["first_date"], said["last_date"]) == ("2018-03-01", "2018-03-29")
    assert "mine" in quant("signal", "list", "--home", own).out


def test_without_a_name_or_a_file_it_is_refused_with_a_sentence(
    quant: Command, own: Path, tickers: list[str], tmp_path: Path
) -> None:
    path, _ = write_signal(tmp_path, tickers)
    is_one_paragraph(quant("signal", "submit", path, "--home", own), "signal_name_invalid")
    is_one_paragraph(quant("signal", "submit", path, "--name", "../x", "--home", own), "signal_name_invalid")
    is_one_paragraph(quant("signal", "validate", tmp_path / "none.csv", "--home", own), "signal_unreadable")
    assert not (own / "signals").exists()
    ended = quant("signal", "submit", path, "--name", "nobodys", "--home", own)
    assert "by unknown" in ended.out


def test_nobody_edits_a_registered_signal_unseen(quant: Command, own: Path, tickers: list[str], tmp_path: Path) -> None:
    from quant_platform.contracts.errors import SignalChanged
    from quant_platform.pipeline.home import Home
    from quant_platform.pipeline.submissions import registered_rows
    from quant_platform.specification.settings import Settings

    path, rows = write_signal(tmp_path, tickers)
    quant("signal", "submit", path, "--name", "mine", "--home", own)
    home = Home(Settings(home=own))
    assert registered_rows(home, "mine")[1].good.height == rows
    stored = own / "signals/mine/signal.parquet"
    pl.read_parquet(stored).with_columns(pl.col("signal") * 2).write_parquet(stored)
    with pytest.raises(SignalChanged, match="signal_changed: the file is not what was registered"):
        registered_rows(home, "mine")
