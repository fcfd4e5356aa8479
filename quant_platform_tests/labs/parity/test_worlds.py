"""Bars of parity cases, written by hand and read from a folder."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts.errors import SourceNotFound
from quant_platform.labs.parity.worlds import BITCOIN_FILE, MEMBERS_FILE, bars_of, bitcoin, members, random_bars


def day_of(stamp):
    return np.datetime64(int(stamp), "ns").astype("datetime64[D]").item()


def test_a_long_case_begins_earlier():
    assert day_of(random_bars(1, 2500, 1).stamps[0]) == date(2010, 1, 4)
    assert day_of(random_bars(1, 2501, 1).stamps[0]) == date(1995, 1, 3)


def test_a_missing_bar_has_no_price_and_no_volume():
    line = (10.0, 12.0, 9.0, 11.0)
    bars = bars_of([line, None], [line, line], volume=[5.0, 7.0])
    assert bars.assets == ("A", "B")
    assert (bars.open[0, 0], bars.high[0, 0], bars.low[0, 0], bars.close[0, 0]) == line
    assert np.isnan([bars.open[1, 0], bars.high[1, 0], bars.low[1, 0], bars.close[1, 0], bars.volume[1, 0]]).all()
    assert (bars.volume[0, 0], bars.volume[1, 1]) == (5.0, 7.0)


@pytest.fixture
def bitcoin_folder(tmp_path):
    """Four bars of five minutes, the last of them first in the file."""
    rows = [
        (1.0, 4.0, 0.5, 2.0, 10.0),
        (2.0, 3.0, 1.5, 2.5, 20.0),
        (2.5, 2.75, 2.25, 2.5, 5.0),
        (2.5, 6.0, 2.0, 5.0, 1.0),
    ]
    frame = pl.DataFrame(rows, schema=["open", "high", "low", "close", "volume"], orient="row").with_columns(
        date=pl.Series([datetime(2024, 1, 1) + timedelta(minutes=5 * k) for k in range(4)]).dt.replace_time_zone("UTC")
    )
    path = tmp_path / BITCOIN_FILE
    path.parent.mkdir()
    frame.reverse().write_parquet(path)
    return tmp_path


def test_bars_of_five_minutes_are_the_last_ones_of_the_file(bitcoin_folder):
    bars = bitcoin(bitcoin_folder, minutes=5, bars=3)
    assert bars.assets == ("BTC",)
    assert bars.close[:, 0].tolist() == [2.5, 2.5, 5.0]


def test_longer_bars_are_put_together(bitcoin_folder):
    bars = bitcoin(bitcoin_folder, minutes=10, bars=9)
    assert bars.open[:, 0].tolist() == [1.0, 2.5]
    assert bars.high[:, 0].tolist() == [4.0, 6.0]
    assert bars.low[:, 0].tolist() == [0.5, 2.0]
    assert bars.close[:, 0].tolist() == [2.5, 5.0]
    assert bars.volume[:, 0].tolist() == [30.0, 6.0]


def test_a_session_without_a_bar_is_a_session_and_a_bar_holds_its_prices(tmp_path):
    path = tmp_path / MEMBERS_FILE
    path.parent.mkdir()
    first, last = date(2005, 1, 3), date(2005, 1, 5)
    rows = [
        ("aaa", first, 10.0, 10.5, 9.5, 10.0, 100.0),
        # The close is above the high and the open below the low, as in some sources.
        ("aaa", last, 9.0, 10.0, 9.25, 11.0, 300.0),
        ("bbb", first, 1.0, 1.0, 1.0, 1.0, 1.0),
        ("aaa", date(2005, 1, 6), 1.0, 1.0, 1.0, 1.0, 1.0),
    ]
    names = ["ticker", "Date", "Open", "High", "Low", "Close", "Volume"]
    pl.DataFrame(rows, schema=names, orient="row").write_parquet(path)
    bars = members(tmp_path, ("AAA",), first, last)
    assert [day_of(stamp) for stamp in bars.stamps] == [first, date(2005, 1, 4), last]
    assert np.isnan(bars.close[1, 0])
    assert (bars.high[2, 0], bars.low[2, 0], bars.volume[2, 0]) == (11.0, 9.0, 300.0)


def test_a_folder_without_the_file_is_refused(tmp_path):
    with pytest.raises(SourceNotFound, match="has no binance_um_5m_2023_2024"):
        bitcoin(tmp_path, minutes=5, bars=3)
