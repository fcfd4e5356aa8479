"""Tables of decisions: what they become, and every kind of bad row with its code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from quant_platform.engine.backtest import run
from quant_platform.engine.decision_table import DecisionsInvalid, from_table, read_decisions
from quant_platform.engine.decisions import Orders, Weights
from quant_platform_tests.engine.cases import config, flat_bars, shown

BARS = flat_bars({3: (100, 101, 96, 98)}, assets=2)


def test_orders_from_csv_trade_as_those_built(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("date,asset,action,quantity,stop\n1970-01-02,A0,long_entry,100,0.03\n1970-01-05,A1,trade,-5,\n")
    found = run(BARS, read_decisions(path, BARS), config())
    assert shown(found) == [(2, 100, 100), (3, -100, 97), (5, -5, 100)]


def test_weights_from_parquet_close_what_they_do_not_name(tmp_path: Path) -> None:
    path = tmp_path / "weights.parquet"
    days = pl.Series([1, 1, 4], dtype=pl.Int32).cast(pl.Date)
    pl.DataFrame({"date": days, "asset": ["A0", "A1", "A1"], "weight": [0.5, 0.25, 0.25]}).write_parquet(path)
    found = read_decisions(path, BARS)
    assert isinstance(found, Weights)
    assert found.bars.tolist() == [1, 4]
    np.testing.assert_array_equal(found.weights, [[0.5, 0.25], [0.0, 0.25]])


@pytest.mark.parametrize("bar", range(9))
def test_a_date_is_the_bar_of_its_stamp_the_first_and_the_last_too(bar: int) -> None:
    frame = pl.DataFrame({"date": [f"1970-01-0{1 + bar}"], "asset": ["A1"], "action": ["long_entry"]})
    found = from_table(frame, BARS)
    assert isinstance(found, Orders)
    assert found.places[0, :2].tolist() == [bar, 1]


@pytest.mark.parametrize(("action", "quantity"), [("long_entry", 0.05), ("short_entry", 1e-9), ("trade", -0.05)])
def test_a_quantity_may_be_as_small_as_it_likes(action: str, quantity: float) -> None:
    frame = pl.DataFrame({"date": ["1970-01-02"], "asset": ["A1"], "action": [action], "quantity": [quantity]})
    found = from_table(frame, BARS)
    assert isinstance(found, Orders)
    assert found.numbers[0, 0] == quantity


def test_times_of_day_and_bars_held() -> None:
    frame = pl.DataFrame(
        {"date": ["1970-01-02T00:00:00"], "asset": ["A1"], "action": ["short_entry"], "time_bars": [2]}
    )
    found = from_table(frame, BARS)
    assert isinstance(found, Orders)
    assert found.places.tolist() == [[1, 1, 4, 2, 0]]
    assert np.isnan(found.numbers).all()


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"asset": "ZZ"}, "asset_unknown"),
        ({"date": "1980-01-01"}, "date_unknown"),
        ({"date": "soon"}, "date_unknown"),
        ({"date_fill": "1970-01-02"}, "look_ahead"),
        ({"action": "buy"}, "action_unknown"),
        ({"action": "trade", "quantity": None}, "quantity_missing"),
        ({"action": "trade", "quantity": 0.0}, "quantity_missing"),
        ({"quantity": -1.0}, "quantity_missing"),
        ({"stop": 0.0}, "level_invalid"),
        ({"target_price": -3.0}, "level_invalid"),
        ({"stop": "tight"}, "number_unreadable"),
        ({"time_bars": 2.5}, "time_invalid"),
        ({"time_bars": 0}, "time_invalid"),
        ({"stop": 5.0}, "level_unreachable"),
        ({"action": "trade", "trail": 1.0}, "level_unreachable"),
    ],
)
def test_every_bad_row_has_a_code_and_its_line(row: dict[str, object], code: str) -> None:
    good = {"asset": "A0", "date": "1970-01-02", "date_fill": "1970-01-03", "action": "long_entry", "quantity": 1.0,
            "stop": 0.1, "target_price": 110.0}  # fmt: skip
    # A column with a word in it is a column of texts, as a CSV reads it.
    given = pl.DataFrame([good, good | row], infer_schema_length=None, strict=False)
    if isinstance(row.get("stop"), str):
        given = given.with_columns(stop=pl.Series(["0.1", "tight"]))
    with pytest.raises(DecisionsInvalid, match=f"{code} in 1 rows") as error:
        from_table(given, BARS)
    assert error.value.how_many == "1 of 2 rows"
    assert (error.value.rows[0]["code"], error.value.rows[0]["line"]) == (code, 3)
    assert code in error.value.action


@pytest.mark.parametrize(
    ("weights", "code"),
    [
        ([0.5, None], "weight_missing in 1"),
        ([0.5, float("inf")], "weight_missing in 1"),
        ([50.0, -50.0], "weight_in_percent in 2"),
    ],
)
def test_bad_weights(weights: list[float | None], code: str) -> None:
    frame = pl.DataFrame({"asset": ["A0", "A1"], "date": ["1970-01-02"] * 2, "weight": weights})
    with pytest.raises(DecisionsInvalid, match=code):
        from_table(frame, BARS)


def test_two_weights_of_one_asset_and_date() -> None:
    frame = pl.DataFrame({"asset": ["A0", "A0"], "date": ["1970-01-02"] * 2, "weight": [0.1, 0.2]})
    with pytest.raises(DecisionsInvalid, match="duplicate in 2"):
        from_table(frame, BARS)


@pytest.mark.parametrize(
    ("columns", "message"),
    [(["asset", "weight"], "missing: date"), (["asset", "date"], "missing: weight"),
     (["asset", "date", "weight", "wight"], "not known: wight")],
)  # fmt: skip
def test_columns(columns: list[str], message: str) -> None:
    with pytest.raises(DecisionsInvalid, match=message):
        from_table(pl.DataFrame({name: ["A0"] for name in columns}), BARS)


def test_a_short_position_may_have_a_stop_at_twice_its_price() -> None:
    frame = pl.DataFrame({"asset": ["A0"], "date": ["1970-01-02"], "action": ["short_entry"], "stop": [1.5]})
    assert isinstance(from_table(frame, BARS), Orders)


@pytest.mark.parametrize(
    "dates", [pl.Series([19700102]), pl.Series([86_400_000_000_000]), pl.Series([1.0]), pl.Series([True])]
)
def test_numbers_are_no_dates(dates: pl.Series) -> None:
    frame = pl.DataFrame({"asset": ["A0"], "date": dates, "weight": [0.5]})
    with pytest.raises(DecisionsInvalid, match="date_unknown in 1"):
        from_table(frame, BARS)


def test_a_truth_is_no_number() -> None:
    frame = pl.DataFrame({"asset": ["A0"], "date": ["1970-01-02"], "action": ["trade"], "quantity": [True]})
    with pytest.raises(DecisionsInvalid, match="number_unreadable in 1"):
        from_table(frame, BARS)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.csv", b"", "cannot be read"),
        ("x.parquet", b"PAR1" + b"x" * 40, "cannot be read"),
        ("x.parquet", b"\x80\x04\x95", "cannot be read"),
        ("x.csv", b"asset,date,action\n", "holds no decision"),
        ("x.csv", b"asset;date;action\nA0;1970-01-02;long_entry\n", "another separator than a comma"),
        ("x.csv", b"Asset, Date,Action\nA0,1970-01-02,long_entry\n", "in lower case, without blanks"),
    ],
)
def test_files_that_are_none(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DecisionsInvalid, match=said):
        read_decisions(path, BARS)


@pytest.mark.parametrize("weight", [10.0, -10.0, 0.05, 0.0])
def test_a_weight_may_be_ten_times_equity_and_no_more(weight: float) -> None:
    frame = pl.DataFrame({"asset": ["A0"], "date": ["1970-01-02"], "weight": [weight]})
    found = from_table(frame, BARS)
    assert isinstance(found, Weights)
    assert found.weights.tolist() == [[weight, 0.0]]
    with pytest.raises(DecisionsInvalid, match="weight_in_percent in 1"):
        from_table(frame.with_columns(weight=pl.lit(10.5)), BARS)


def ordered(**columns: object) -> pl.DataFrame:
    return pl.DataFrame({"asset": ["A0"], "date": ["1970-01-02"], "action": ["long_entry"]}).with_columns(
        **{name: pl.lit(value) for name, value in columns.items()}
    )


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ({"stop": 0.999}, None),
        ({"stop": 1.0}, "level_unreachable"),
        ({"stop": 1.05}, "level_unreachable"),
        ({"trail": 1.0}, "level_unreachable"),
        ({"stop": 0.05, "target": 0.05, "trail": 0.05, "stop_price": 0.05, "target_price": 0.05}, None),
        ({"target": 5.0}, None),
        ({"stop": float("inf")}, "level_invalid"),
        ({"action": "trade", "quantity": 0.05, "stop": 1.0}, "level_unreachable"),
        ({"action": "trade", "quantity": -0.05, "stop": 1.0}, None),
        ({"action": "long_exit", "stop": 1.0}, None),
        ({"quantity": float("inf")}, "quantity_missing"),
        ({"quantity": 0.0}, "quantity_missing"),
        ({"action": "trade", "quantity": float("-inf")}, "quantity_missing"),
        ({"time_bars": 1}, None),
        ({"time_bars": float("inf")}, "time_invalid"),
        ({"time_bars": -1}, "time_invalid"),
        ({"date_fill": "1970-01-01"}, "look_ahead"),
        ({"date_fill": "1970-01-03"}, None),
    ],
)
def test_numbers_at_the_end_of_their_range(columns: dict[str, object], code: str | None) -> None:
    if code is None:
        found = from_table(ordered(**columns), BARS)
        assert isinstance(found, Orders)
        assert found.places[0, 3] == columns.get("time_bars", 0)
    else:
        with pytest.raises(DecisionsInvalid, match=f"{code} in 1 rows") as error:
            from_table(ordered(**columns), BARS)
        assert error.value.rows[0]["code"] == code


def test_each_column_is_read_into_its_own_place() -> None:
    given = {"quantity": 1.0, "stop": 0.2, "target": 0.3, "trail": 0.4, "stop_price": 50.0, "target_price": 160.0}
    found = from_table(ordered(**given, time_bars=7), BARS)
    assert isinstance(found, Orders)
    assert found.numbers.tolist() == [list(given.values())]
    assert found.places.tolist() == [[1, 0, 1, 7, 0]]


def test_a_row_with_two_faults_is_one_row() -> None:
    frame = pl.concat([ordered(stop=0.0, quantity=-1.0), ordered(stop=0.1, quantity=1.0)])
    with pytest.raises(DecisionsInvalid, match="quantity_missing in 1 rows; level_invalid in 1 rows") as error:
        from_table(frame, BARS)
    assert error.value.how_many == "1 of 2 rows"
    assert [row["line"] for row in error.value.rows] == [2, 2]


@pytest.mark.parametrize(
    "dates",
    [
        pl.Series(["1970-01-02", "1970-01-03 00:00:00"]),
        pl.Series(["1970-01-02", "1970-01-03"], dtype=pl.Categorical),
        pl.Series([1, 2], dtype=pl.Int32).cast(pl.Date),
        pl.Series([86_400_000, 2 * 86_400_000]).cast(pl.Datetime("ms")),
    ],
)
def test_dates_may_be_written_in_several_ways(dates: pl.Series) -> None:
    frame = pl.DataFrame({"asset": ["A0", "A0"], "date": dates, "action": ["long_entry", "long_exit"]})
    found = from_table(frame, BARS)
    assert isinstance(found, Orders)
    assert found.places[:, 0].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("columns", "cause"),
    [(["asset;date"], "separator"), (["asset", "weight"], ""), (["ASSET", "date "], "lower case"), (["x", "y"], "")],
)
def test_the_likely_cause_of_a_column_that_is_missing(columns: list[str], cause: str) -> None:
    with pytest.raises(DecisionsInvalid, match="columns are missing") as error:
        from_table(pl.DataFrame({name: ["A0"] for name in columns}), BARS)
    assert cause in error.value.cause
    assert bool(cause) == bool(error.value.cause)
