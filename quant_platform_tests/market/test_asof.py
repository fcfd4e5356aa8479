from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.market.asof import fundamentals_as_of, join_as_of

STAMP = pl.Datetime("us", "UTC")
START = datetime(2020, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def left(hours: list[int], ticker: str = "A") -> pl.DataFrame:
    at = [START + timedelta(hours=h) for h in hours]
    return pl.DataFrame({"ticker": [ticker] * len(hours), "at": at}, schema={"ticker": pl.String, "at": STAMP})


def right(rows: list[tuple[int, float | None]], ticker: str = "A") -> pl.DataFrame:
    return pl.DataFrame(
        [(ticker, START + timedelta(hours=h), value) for h, value in rows],
        schema={"ticker": pl.String, "known_at": STAMP, "value": pl.Float64},
        orient="row",
    )


def values(hours: list[int], rows: list[tuple[int, float | None]], max_age: timedelta = DAY) -> list[float | None]:
    return join_as_of(left(hours), right(rows), at="at", max_age=max_age)["value"].to_list()


def test_the_newest_value_known_at_the_time() -> None:
    assert values([0, 1, 2, 3, 4], [(1, 10.0), (3, 30.0)]) == [None, 10.0, 10.0, 30.0, 30.0]


def test_the_future_and_the_nearest_are_never_attached() -> None:
    assert values([9], [(10, 1.0)]) == [None]
    assert values([9], [(0, 1.0), (10, 2.0)]) == [1.0]


def test_an_old_value_is_not_attached() -> None:
    assert values([24, 25], [(0, 1.0)]) == [1.0, None]


def test_a_withdrawn_value_hides_the_one_before() -> None:
    assert values([5], [(0, 1.0), (3, None)]) == [None]


def test_rows_keep_their_order_and_other_tickers_do_not_mix() -> None:
    both = pl.concat([left([5, 1]), left([3], "B")])
    found = join_as_of(both, right([(0, 1.0)]), at="at", max_age=DAY)
    assert found["ticker"].to_list() == ["A", "A", "B"]
    assert found["value"].to_list() == [1.0, 1.0, None]
    assert found["at"].to_list() == both["at"].to_list()


@settings(max_examples=60, deadline=None)
@given(
    at=st.lists(st.integers(0, 100), max_size=20),
    known=st.dictionaries(st.integers(0, 100), st.floats(-5, 5), max_size=20),
    age=st.integers(1, 60),
)
def test_it_agrees_with_a_loop(at: list[int], known: dict[int, float], age: int) -> None:
    def plain(hour: int) -> float | None:
        seen = [k for k in known if hour - age <= k <= hour]
        return known[max(seen)] if seen else None

    assert values(at, list(known.items()), timedelta(hours=age)) == [plain(hour) for hour in at]


def test_what_is_published_after_the_close_is_known_the_next_day() -> None:
    # The close of 2020-01-02 in New York was 21:00 UTC.
    published = [datetime(2020, 1, 2, 20, 59, tzinfo=UTC), datetime(2020, 1, 2, 21, 1, tzinfo=UTC)]
    fundamentals = pl.DataFrame(
        {"ticker": ["A", "A"], "metric": ["eps", "eps"], "known_at": published, "value": [1.0, 2.0]},
        schema_overrides={"known_at": STAMP},
    )
    bars = pl.DataFrame({"ticker": ["A", "A"], "session": [date(2020, 1, 2), date(2020, 1, 3)]})
    found = fundamentals_as_of(fundamentals, bars, exchange="XNYS", metrics=["eps"], max_age=timedelta(days=90))
    assert found.to_dicts() == [
        {"ticker": "A", "session": date(2020, 1, 2), "eps": 1.0},
        {"ticker": "A", "session": date(2020, 1, 3), "eps": 2.0},
    ]


def test_refusals() -> None:
    with pytest.raises(SchemaViolation, match="not positive"):
        values([1], [(0, 1.0)], timedelta(0))
    with pytest.raises(SchemaViolation, match="known at the same time"):
        values([1], [(0, 1.0), (0, 2.0)])
    with pytest.raises(SchemaViolation, match="lacks the columns known_at"):
        join_as_of(left([1]), right([]).drop("known_at"), at="at", max_age=DAY)
    with pytest.raises(SchemaViolation, match="not a UTC time"):
        join_as_of(left([1]).with_columns(pl.col("at").dt.date()), right([]), at="at", max_age=DAY)
