"""Sorting by integers gives what Polars gives, and what is in order is told to be."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts import ordering
from quant_platform.contracts.ordering import sorted_by, strictly_ascending, surely_ascending


def _frame(rows: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    days = [date(1960, 1, 1) + timedelta(days=int(k)) for k in rng.integers(0, 300, rows)]
    return pl.DataFrame(
        {
            "name": pl.Series([f"N{k}" for k in rng.integers(0, 40, rows)], dtype=pl.String),
            "day": pl.Series(days, dtype=pl.Date),
            "number": rng.integers(-5, 90_000, rows),
            "kind": pl.Series(rng.choice(["b", "a"], rows), dtype=pl.Enum(["b", "a"])),
            "place": np.arange(rows),
        }
    )


@pytest.mark.parametrize("keys", [["name", "day"], ["day", "name"], ["kind", "number"], ["number"], ["name"]])
def test_sorting_is_that_of_polars(monkeypatch: pytest.MonkeyPatch, keys: list[str]) -> None:
    monkeypatch.setattr(ordering, "_FEW_ROWS", 0)
    frame = _frame(3_000, 5)
    assert sorted_by(frame, keys).equals(frame.sort(keys, maintain_order=True))
    # A key that hardly repeats, one with a missing value and one of floats go the way of Polars.
    unlike = frame.with_columns(pl.col("place").cast(pl.String), (pl.col("number") / 7.0))
    hole = frame.with_columns(pl.when(pl.col("place") == 9).then(None).otherwise(pl.col("name")).alias("name"))
    for other, by in ((unlike, ["place", "number"]), (unlike, ["number"]), (hole, ["name", "day"])):
        assert sorted_by(other, by).equals(other.sort(by, maintain_order=True))


def test_a_key_of_one_text_decides_nothing_and_one_with_a_hole_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "_FEW_ROWS", 0)
    whole = _frame(900, 7).with_columns(one=pl.lit("mine"))
    assert sorted_by(whole, ["one", "name", "day"]).equals(whole.sort("one", "name", "day", maintain_order=True))
    assert sorted_by(whole, ["name", "one"]).equals(whole.sort("name", maintain_order=True))
    ends = whole.with_columns(one=pl.when(pl.col("place") == 400).then(pl.lit("other")).otherwise(pl.lit("mine")))
    hole = whole.with_columns(one=pl.when(pl.col("place") == 400).then(None).otherwise(pl.lit("mine")))
    for frame, row in ((ends, -1), (hole, 0)):
        found = sorted_by(frame, ["one", "name", "day"])
        assert found["place"][row] == 400
        assert found.equals(frame.sort("one", "name", "day", maintain_order=True))


def test_what_is_in_order_is_returned_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "_FEW_ROWS", 0)
    frame = _frame(500, 6).sort("name", "place")
    assert sorted_by(frame, ["name", "place"]) is frame


def test_strictly_ascending() -> None:
    frame = pl.DataFrame({"a": ["x", "x", "y"], "b": [1, 2, 0]})
    assert strictly_ascending(frame, ["a", "b"])
    assert not strictly_ascending(frame, ["b", "a"])
    assert not strictly_ascending(frame, ["a"])
    assert not strictly_ascending(pl.concat([frame, frame.tail(1)]), ["a", "b"])
    assert not strictly_ascending(frame, [])
    assert strictly_ascending(frame.head(1), ["a"])
    hole = pl.DataFrame({"a": [None, "x", "y"], "b": [1, 2, 3]})
    assert not strictly_ascending(hole, ["a", "b"])
    assert not strictly_ascending(frame.with_columns(pl.col("a").cast(pl.Categorical)), ["a", "b"])
    assert strictly_ascending(frame.with_columns(pl.col("a").cast(pl.Enum(["x", "y"]))), ["a", "b"])
    assert not strictly_ascending(frame.with_columns(pl.col("a").cast(pl.Enum(["y", "x"]))), ["a", "b"])


@pytest.mark.parametrize("keys", [["ticker", "day"], ["ticker", "day", "kind"], ["number"], ["at", "number"], ["day"]])
@pytest.mark.parametrize("seed", range(4))
def test_few_rows_are_told_as_many_are(keys: list[str], seed: int) -> None:
    """One ticker's rows in order, then with two exchanged, one twice and one missing: the sorted rows tell the same."""
    rows = 12
    day = pl.Series([date(2024, 1, 1) + timedelta(days=k // 2) for k in range(rows)], dtype=pl.Date)
    kind = pl.Series(["long", "short"] * (rows // 2), dtype=pl.Enum(["long", "short"]))
    frame = pl.DataFrame({"ticker": ["A"] * rows, "day": day, "kind": kind, "number": range(rows)})
    frame = frame.with_columns(pl.col("day").cast(pl.Datetime("us", "UTC")).alias("at"))
    places = np.random.default_rng(seed).permutation(rows)[:2]
    order = np.arange(rows)
    order[places] = places[::-1]
    for other in (frame, frame[order], frame[[*range(rows), int(places[0])]].sort(keys), frame.clear()):
        tuples = other.select(keys).rows()
        expected = all(tuples[k] < tuples[k + 1] for k in range(len(tuples) - 1))
        assert surely_ascending(other, keys) is expected
        assert strictly_ascending(other, keys) is expected
    hole = frame.with_columns(pl.when(pl.col("number") == places[0]).then(None).otherwise("number").alias("number"))
    assert not surely_ascending(hole, ["number"])


def test_few_rows_of_differing_texts_are_not_asked() -> None:
    frame = pl.DataFrame({"a": ["x", "y"], "b": [1, 2]})
    assert strictly_ascending(frame, ["a", "b"])
    assert not surely_ascending(frame, ["a", "b"])


def test_no_rows_are_in_order() -> None:
    empty = _frame(3, 1).clear()
    assert strictly_ascending(empty, ["name"])
    assert sorted_by(empty, ["name"]).equals(empty)
