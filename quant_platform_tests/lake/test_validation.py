from __future__ import annotations

import datetime as dt

import dataframely as dy
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.lake import Lake
from quant_platform.lake.validation import keeps_all_rules, validated
from quant_platform_tests.lake.frames import BARS, FEATURES, TEST_TABLES, bars, features, provenance

TABLE = TEST_TABLES[BARS]
GOOD = bars("A", [1.0] * 8)


def refusal(frame: pl.DataFrame, table_name: str = BARS) -> SchemaViolation:
    with pytest.raises(SchemaViolation) as caught:
        validated(TEST_TABLES[table_name], "A", frame)
    return caught.value


def test_a_good_frame_comes_back_in_file_order() -> None:
    shuffled = GOOD.select(reversed(GOOD.columns)).reverse()
    assert validated(TABLE, "A", shuffled).equals(GOOD)


def test_a_broken_rule_names_rule_column_count_and_five_rows() -> None:
    error = refusal(GOOD.with_columns(adjustment_factor=pl.Series([1.0, *[-1.0] * 7])))
    assert str(error) == (
        "schema_violation: rows broke rule 'min' of column 'adjustment_factor' for 7 of 8 rows\n"
        "  where: clean.equity_bars, partition 'A'\n"
        "  how many: 7 of 8 rows\n"
        "  first rows:\n"
        + "".join(f"    ticker=A, session=2020-01-{day:02d}, adjustment_factor=-1.0\n" for day in range(7, 12))
        + "  next: correct the computation that made them, or the rule in CleanEquityBars"
    )


def test_a_repeated_key_and_a_null_are_both_reported() -> None:
    error = refusal(pl.concat([GOOD, GOOD[:1]]).with_columns(adjustment_factor=pl.lit(None, dtype=pl.Float64)))
    assert "rule 'nullability' of column 'adjustment_factor' for 9 of 9 rows" in str(error)
    assert "rule 'primary_key' for 2 of 9 rows" in str(error)
    assert "likely cause: rows repeat the primary key (ticker, session)" in str(error)


def test_missing_columns() -> None:
    error = refusal(GOOD.drop("open", "close"))
    assert error.what == "columns are missing: open, close"
    assert error.how_many == "2 of 12 columns"


def test_undeclared_columns_are_not_dropped_in_silence() -> None:
    assert refusal(GOOD.with_columns(extra=pl.lit(1.0))).what == "columns are not declared: extra"


def test_wrong_types_say_both_types_without_a_query_plan() -> None:
    error = refusal(GOOD.with_columns(open=pl.lit("x"), missing_reason=pl.lit("halt")))
    assert "open was String, declared Float64" in error.what
    assert "missing_reason was String, declared Enum" in error.what
    assert "plan" not in str(error).lower()
    assert "\n\n" not in str(error)


def test_open_columns_are_kept_and_have_to_be_numbers() -> None:
    frame = features("A", 3, momentum=1.0, size=2.0)
    assert validated(TEST_TABLES[FEATURES], "A", frame).columns == ["ticker", "session", "momentum", "size"]
    error = refusal(frame.with_columns(size=pl.lit("big")), FEATURES)
    assert error.what == ("columns have another type than declared: size was String, open columns are Float64")


def test_rows_of_another_partition_are_refused() -> None:
    error = refusal(pl.concat([GOOD, bars("B", [1.0, 1.0])]))
    assert error.what == "column 'ticker' holds other values than the partition key 'A'"
    assert error.how_many == "2 of 10 rows"
    assert [row["ticker"] for row in error.rows] == ["B", "B"]


def test_a_date_column_is_compared_as_iso_text(lake: Lake) -> None:
    schema = TEST_TABLES["signals.momentum_rank"].schema
    frame = schema.create_empty()
    monday = pl.DataFrame(
        {
            "week": [dt.date(2020, 1, 6)],
            "ticker": ["A"],
            "date_sig": [dt.date(2020, 1, 10)],
            "date_avail": [dt.date(2020, 1, 13)],
            "momentum_12_1": [0.1],
            "rank": [1.0],
            "percentile": [50.0],
            "universe_size": [1],
        }
    ).cast(frame.schema)
    assert lake.write("signals.momentum_rank", "2020-01-06", monday, provenance()).rows == 1
    with pytest.raises(SchemaViolation, match="column 'week' holds other values"):
        lake.write("signals.momentum_rank", "2020-01-13", monday, provenance())


def test_every_table_takes_its_own_empty_frame(lake: Lake) -> None:
    for name, table in TEST_TABLES.items():
        key = tuple(f"k{i}" for i in range(len(table.dimensions))) or None
        key = key[0] if key is not None and len(key) == 1 else key
        lake.write(name, key, table.schema.create_empty(), provenance())
        assert lake.read(name).schema == table.schema.create_empty().schema
        assert lake.partitions(name) == [key]


class Ruled(dy.Schema):
    """Every kind of rule: of a column, of the key, of a row and of a group."""

    name = dy.String(primary_key=True, max_length=2)
    value = dy.Float64(nullable=True, min=0.0)

    @dy.rule()
    def not_seven(self) -> pl.Expr:
        return pl.col("value") != 7.0

    @dy.rule()
    def few(self) -> pl.Expr:
        return pl.len().over("name") < 3


@given(
    st.lists(
        st.tuples(st.none() | st.sampled_from(["a", "b", "ccc"]), st.none() | st.sampled_from([-1.0, 1.0, 7.0])),
        max_size=4,
    )
)
def test_the_rules_are_those_of_the_schema(rows: list[tuple[str | None, float | None]]) -> None:
    frame = pl.DataFrame(rows, schema={"name": pl.String, "value": pl.Float64}, orient="row")
    assert keeps_all_rules(Ruled, frame) == Ruled.is_valid(frame)


class Limited(dy.Schema):
    """Every kind of limit on every kind of column, with and without missing values."""

    open_number = dy.Float64(nullable=True, allow_nan=True, allow_inf=True, max=5.0)
    number = dy.Float64(nullable=True, min_exclusive=0.0, max=5.0)
    whole = dy.Int64(nullable=True, min=0, max_exclusive=3)
    day = dy.Date(nullable=True, min=dt.date(2020, 1, 2))
    text = dy.String(nullable=True, regex="^a")
    chosen = dy.Int8(is_in=[1, 2])
    several = dy.List(dy.Float64(min=0.0), nullable=True)
    flag = dy.Bool()


def some(*values: object) -> st.SearchStrategy[object]:
    return st.none() | st.sampled_from(values)


@given(
    st.lists(
        st.tuples(
            some(1.0, 6.0, float("nan"), float("inf"), float("-inf")),
            some(0.0, 1.0, 5.0, 6.0, float("nan"), float("inf")),
            some(-1, 0, 2, 3),
            some(dt.date(2020, 1, 1), dt.date(2020, 1, 2)),
            some("a", "b"),
            some(1, 3),
            some([1.0], [-1.0], [None], []),
            some(True),
        ),
        max_size=3,
    )
)
def test_limits_are_seen_without_expressions_as_the_schema_sees_them(rows: list[tuple[object, ...]]) -> None:
    frame = pl.DataFrame(rows, schema=Limited.create_empty().schema, orient="row")
    for columns in ([name] for name in frame.columns):
        alone = frame.select(columns)
        schema = type("Alone", (dy.Schema,), {name: Limited.columns()[name] for name in columns})
        assert keeps_all_rules(schema, alone) == schema.is_valid(alone)
    assert keeps_all_rules(Limited, frame) == Limited.is_valid(frame)


@pytest.mark.parametrize("key", ["A", "2020-01-01"])
def test_one_row_of_another_partition_among_many_is_refused(key: str, lake: Lake) -> None:
    mixed = pl.concat([bars("A", [1.0] * 3), bars("B", [1.0])])
    with pytest.raises(SchemaViolation, match="column 'ticker' holds other values"):
        lake.write(BARS, key, mixed, provenance())


def test_no_rule_of_the_house_is_about_a_group_of_rows() -> None:
    """Many partitions are held against the rules at once: what holds for all rows has to hold for some of them."""
    for registered in TEST_TABLES.values():
        rules = registered.schema._validation_rules(with_cast=False)
        assert {type(rule).__name__ for rule in rules.values()} <= {"Rule"}, registered.name
