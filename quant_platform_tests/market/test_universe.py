from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.market.calendar import session_array
from quant_platform.market.universe import members_on, membership, survivorship, universe_mask

DAYS = session_array("XNYS", date(2020, 1, 2), date(2020, 1, 9))  # 2, 3, 6, 7, 8, 9


def securities() -> pl.DataFrame:
    return pl.DataFrame(
        [
            ("A", "u", date(2019, 1, 2), date(2020, 1, 3)),
            ("A", "u", date(2020, 1, 8), None),
            ("B", "u", date(2020, 1, 6), date(2020, 1, 7)),
            ("GONE", "u", date(2010, 1, 4), date(2020, 1, 6)),
            ("B", "other", date(2010, 1, 4), None),
        ],
        schema={"ticker": pl.String, "universe": pl.String, "start_date": pl.Date, "end_date": pl.Date},
        orient="row",
    )


def bars() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "ticker": ["A"] * 6 + ["B"] * 3,
            "session": [*DAYS.tolist(), *DAYS[2:5].tolist()],
            "close": [1.0, np.nan, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0],
        }
    )


def test_membership_includes_both_ends_and_a_return() -> None:
    member = membership(securities(), "u", DAYS, ["A", "B"])
    assert member.tolist() == [
        [True, False],
        [True, False],
        [False, True],
        [False, True],
        [True, False],
        [True, False],
    ]


def test_a_session_without_a_price_is_not_listed() -> None:
    mask = universe_mask(securities(), "u", DAYS, ["A", "B"], bars())
    assert mask.listed[:, 0].tolist() == [True, False, True, True, True, True]
    assert mask.tradable[:, 0].tolist() == [True, False, False, False, True, True]
    assert mask.tradable[:, 1].tolist() == [False, False, True, True, False, False]
    assert mask.long().filter(pl.col("member") & pl.col("listed")).height == int(mask.tradable.sum())


def test_members_without_bars_count_as_missing() -> None:
    mask = universe_mask(securities(), "u", DAYS, ["A", "B"], bars())
    found = survivorship(securities(), "u", mask)
    assert found["members"].to_list() == [2, 2, 2, 1, 1, 1]
    assert found["with_bars"].to_list() == [1, 0, 1, 1, 1, 1]
    assert found["share_missing"].to_list() == [0.5, 1.0, 0.5, 0.0, 0.0, 0.0]


def test_members_on_a_day() -> None:
    assert members_on(securities(), "u", date(2020, 1, 6)) == ["B", "GONE"]


def test_later_intervals_do_not_change_the_past() -> None:
    whole = membership(securities(), "u", DAYS, ["A", "B"])
    known = membership(securities().filter(pl.col("start_date") <= date(2020, 1, 3)), "u", DAYS[:2], ["A", "B"])
    assert (whole[:2] == known).all()


def test_an_unknown_universe_names_those_there_are() -> None:
    with pytest.raises(SchemaViolation, match="it has other, u"):
        membership(securities(), "sp500", DAYS, ["A"])
