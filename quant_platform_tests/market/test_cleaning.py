from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.contracts.schemas.clean import CleanEquityBars, CleanEquityQuarantine, CleanEquitySuspects
from quant_platform.market.calendar import session_array
from quant_platform.market.cleaning import CleanResult, clean_bars
from quant_platform.market.rules import RULES, among_sessions
from quant_platform_tests.market.builders import Bar, actions, cleaning_spec, flat, raw_bars

CALENDAR = session_array("XNYS", date(2019, 1, 2), date(2020, 12, 31))
DAYS: list[date] = session_array("XNYS", date(2020, 1, 2), date(2020, 2, 14)).tolist()


def clean(rows: list[Bar], known: pl.DataFrame | None = None, **options: str) -> CleanResult:
    raw = raw_bars(rows, **options)
    result = clean_bars(raw, actions() if known is None else known, cleaning_spec(), CALENDAR)
    CleanEquityBars.validate(result.bars)
    CleanEquityQuarantine.validate(result.quarantine)
    CleanEquitySuspects.validate(result.suspects)
    # The accounting every test relies on, in its own words.
    in_clean = result.bars.filter(pl.col("close").is_not_nan()).height
    assert in_clean + result.quarantine.height == raw.height
    assert result.counts["delivered"] == raw.height
    return result


def swapped(rows: list[Bar], k: int, **prices: float | None) -> list[Bar]:
    names = ("session", "open", "high", "low", "close", "volume")
    row = dict(zip(names, rows[k], strict=True)) | prices
    return [*rows[:k], tuple(row[name] for name in names), *rows[k + 1 :]]


def only_reason(result: CleanResult) -> dict[str, object]:
    assert result.quarantine.height == 1
    return result.quarantine.row(0, named=True)


def test_good_rows_pass_unchanged() -> None:
    rows = flat(DAYS)
    result = clean(rows)
    assert result.quarantine.height == 0
    assert result.bars["session"].to_list() == DAYS
    assert result.bars["close"].to_list() == [row[4] for row in rows]
    assert result.bars["missing_reason"].null_count() == len(DAYS)


def test_a_hole_is_nan_with_its_reason_and_is_not_filled() -> None:
    rows = flat(DAYS)
    result = clean([*rows[:5], *rows[6:]])
    hole = result.bars.row(5, named=True)
    assert hole["session"] == DAYS[5]
    assert hole["missing_reason"] == "vendor_hole"
    assert all(math.isnan(hole[name]) for name in ("open", "high", "low", "close", "volume", "dollar_volume"))
    assert result.counts["missing_sessions"] == 1


@pytest.mark.parametrize(
    ("rule", "changes", "column", "observed"),
    [
        ("missing_value", {"low": None}, "low", None),
        ("non_positive", {"open": 0.0}, "open", 0.0),
        ("non_positive", {"low": -1.0}, "low", -1.0),
        ("non_positive", {"volume": -5.0}, "volume", -5.0),
        ("ohlc_inconsistent", {"high": 99.5}, "high", 99.5),
        ("ohlc_inconsistent", {"low": 100.3}, "low", 100.3),
        ("decimal_shift", {"close": 1.0012}, "close", 1.0012),
        ("decimal_shift", {"open": 10.0, "close": 9.96}, "open", 10.0),
        ("no_trade", {"open": 100.0, "high": 100.0, "low": 100.0, "close": 100.0, "volume": 0.0}, "volume", 0.0),
    ],
)
def test_each_rule_catches_its_row_alone(
    rule: str, changes: dict[str, float], column: str, observed: float | None
) -> None:
    found = only_reason(clean(swapped(flat(DAYS), 7, **changes)))
    assert (found["rule"], found["column"], found["source_row"], found["session"]) == (rule, column, 7, DAYS[7])
    assert found["check_kind"] == "causal"
    assert found["observed"] == observed or (observed is None and math.isnan(float(str(found["observed"]))))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"low": 9.95}, {"low": 99.5}),
        ({"high": 1005.0}, {"high": 100.5}),
        ({"open": 10.0, "low": 9.95}, {"open": 100.0, "low": 99.5}),
        ({"low": 0.995}, {"low": 99.5}),
    ],
)
def test_a_shifted_field_beside_a_good_close_is_missing_and_the_row_stays(
    changes: dict[str, float], expected: dict[str, float]
) -> None:
    rows = flat(DAYS)
    result = clean(swapped(rows, 7, **changes))
    assert result.quarantine.height == 0
    bar = result.bars.row(7, named=True)
    assert bar["close"] == rows[7][4]
    assert bar["suspect"] == ",".join(expected)
    assert all(math.isnan(bar[name]) for name in expected)
    found = {row["column"]: row for row in result.suspects.to_dicts()}
    assert {name: row["observed"] for name, row in found.items()} == changes
    assert {name: row["expected"] for name, row in found.items()} == pytest.approx(expected)
    assert {row["rule"] for row in found.values()} == {"decimal_shift"}
    assert result.counts["suspect_fields"] == len(expected)


def test_a_shifted_price_states_where_it_should_have_stood() -> None:
    found = only_reason(clean(swapped(flat(DAYS), 7, close=1.0012)))
    assert found["expected"] == pytest.approx(100.12)


def test_the_quarantined_session_is_nan_with_that_reason() -> None:
    result = clean(swapped(flat(DAYS), 7, open=0.0))
    assert result.bars["missing_reason"].to_list()[7] == "quarantined"
    assert math.isnan(result.bars["close"][7])


def test_a_row_on_a_sunday_is_kept_out_and_makes_no_session() -> None:
    rows = flat([*DAYS[:3], date(2020, 1, 5), *DAYS[3:]])
    result = clean(rows)
    assert only_reason(result)["rule"] == "not_a_session"
    assert result.bars["session"].to_list() == DAYS


def test_exact_duplicates_keep_the_first() -> None:
    rows = flat(DAYS)
    result = clean([*rows, rows[4]])
    assert only_reason(result)["source_row"] == len(DAYS)
    assert result.bars["missing_reason"].null_count() == len(DAYS)


def test_conflicting_duplicates_keep_none() -> None:
    rows = flat(DAYS)
    other = (DAYS[4], 101.0, 103.0, 100.0, 102.0, 900.0)
    result = clean([*rows, other])
    assert result.quarantine["rule"].to_list() == ["duplicate_key", "duplicate_key"]
    assert result.bars["missing_reason"].to_list()[4] == "quarantined"


def test_a_duplicate_of_which_one_is_broken_keeps_the_other() -> None:
    rows = flat(DAYS)
    result = clean([*rows, (DAYS[4], 0.0, 103.0, 100.0, 102.0, 900.0)])
    assert only_reason(result)["rule"] == "non_positive"
    assert result.bars["close"][4] == rows[4][4]


def test_a_repeated_row_is_stale() -> None:
    rows = flat(DAYS)
    result = clean([*rows[:6], (DAYS[6], *rows[5][1:]), *rows[7:]])
    assert (only_reason(result)["rule"], only_reason(result)["source_row"]) == ("stale", 6)


@pytest.mark.parametrize("step", [0.0, 1.0])
def test_an_illiquid_name_at_one_price_stays(step: float) -> None:
    rows: list[Bar] = [(day, 5.0, 5.0, 5.0, 5.0, 500.0 + step * k) for k, day in enumerate(DAYS)]
    assert clean(rows).quarantine.height == 0


def test_zero_volume_beside_a_range_keeps_the_price_and_loses_the_volume() -> None:
    result = clean(swapped(flat(DAYS), 7, volume=0.0))
    assert result.quarantine.height == 0
    assert math.isnan(result.bars["volume"][7])
    assert math.isnan(result.bars["dollar_volume"][7])
    assert result.counts["volume_missing"] == 1


@pytest.mark.parametrize("length", [1, 3, 5])
def test_whole_rows_at_a_tenth_that_come_back_are_a_repair_time_finding(length: int) -> None:
    rows = flat(DAYS)
    for k in range(10, 10 + length):
        day, opened, high, low, close, volume = rows[k]
        rows[k] = (day, opened / 10, high / 10, low / 10, close / 10, volume)
    result = clean(rows)
    assert result.quarantine["rule"].to_list() == ["decimal_shift_row"] * length
    assert result.quarantine["check_kind"].unique().to_list() == ["repair_time"]
    assert result.quarantine["expected"][0] == pytest.approx(flat(DAYS)[10][4])


def crash(factor: float, days: int = len(DAYS)) -> list[Bar]:
    before, after = flat(DAYS[:15]), flat(DAYS[15:days], 100.0 * factor)
    return [*before, *after]


@pytest.mark.parametrize("factor", [0.5, 0.1, 0.01, 2.0, 10.0])
def test_a_gap_that_does_not_come_back_stays(factor: float) -> None:
    assert clean(crash(factor)).quarantine.height == 0


@pytest.mark.parametrize("factor", [0.4, 0.1])
def test_the_day_of_a_crash_within_the_session_stays(factor: float) -> None:
    rows = crash(factor)
    day, _, _, low, close, volume = rows[15]
    rows[15] = (day, 99.0, 100.0, low, close, volume)
    assert clean(rows).quarantine.height == 0


def test_a_crash_that_recovers_by_half_stays() -> None:
    rows = flat(DAYS)
    rows[15:17] = flat(DAYS[15:17], 40.0)
    rows[17:] = flat(DAYS[17:], 70.0)
    assert clean(rows).quarantine.height == 0


def test_a_reverse_split_in_unadjusted_bars_is_not_a_shift() -> None:
    rows = [*flat(DAYS[:15], 2.0), *flat(DAYS[15:18], 20.0), *flat(DAYS[18:], 2.0)]
    known = actions([(DAYS[15], "split", 0.1), (DAYS[18], "split", 10.0)])
    result = clean(rows, known)
    assert result.quarantine.height == 0
    closes = result.bars["close"].to_numpy()
    assert closes.max() / closes.min() < 1.05


def test_what_comes_later_does_not_change_a_causal_verdict() -> None:
    rows = swapped(swapped(flat(DAYS), 5, low=9.9), 12, high=99.0)
    whole = clean(rows).quarantine
    for cut in range(1, len(rows) + 1):
        part = clean(rows[:cut]).quarantine
        assert part.equals(whole.filter(pl.col("source_row") < cut))


def test_adjustment_is_applied_and_the_unadjusted_numbers_are_kept() -> None:
    rows = [*flat(DAYS[:10], 100.0), *flat(DAYS[10:], 50.0)]
    result = clean(rows, actions([(DAYS[10], "split", 2.0)]))
    bars = result.bars
    assert bars["close"].to_list()[:10] == pytest.approx([row[4] / 2 for row in rows[:10]])
    assert bars["volume"].to_list()[:10] == [2 * (1000.0 + k) for k in range(10)]
    assert bars["close_unadjusted"].to_list() == [row[4] for row in rows]
    assert bars["dollar_volume"][0] == pytest.approx(rows[0][4] * rows[0][5])
    assert bars["adjustment_factor"].to_list() == [0.5] * 10 + [1.0] * (len(DAYS) - 10)


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows = swapped(flat(DAYS), 5, low=9.9)
    raw = raw_bars(rows)
    forward = clean_bars(raw, actions(), cleaning_spec(), CALENDAR)
    backward = clean_bars(raw.reverse(), actions(), cleaning_spec(), CALENDAR)
    assert forward.bars.equals(backward.bars, null_equal=True)
    assert forward.quarantine.equals(backward.quarantine)


@pytest.mark.parametrize("sessions", [DAYS, DAYS[3:4], [*DAYS[:5], DAYS[4], *DAYS[5:]], []])
def test_a_stamp_is_a_session_where_the_exchange_trades(sessions: list[date]) -> None:
    stamps = [None, *(date(2019, 12, 30) + timedelta(days=k) for k in range(60)), None, DAYS[0]]
    found = among_sessions(np.array(stamps, "datetime64[D]"), np.array(sessions, "datetime64[D]"))
    assert found.tolist() == [stamp in set(sessions) for stamp in stamps]


def test_no_rows_give_empty_tables_with_the_right_schema() -> None:
    result = clean([])
    assert result.bars.height == 0
    assert sum(result.counts[rule.name] for rule in RULES) == 0


def test_rows_of_two_tickers_are_refused() -> None:
    both = pl.concat([raw_bars(flat(DAYS)), raw_bars(flat(DAYS), ticker="BBB")])
    with pytest.raises(SchemaViolation, match="2 different values of ticker"):
        clean_bars(both, actions(), cleaning_spec(), CALENDAR)


def test_every_row_is_accounted_for_whatever_the_rows_are() -> None:
    random = np.random.default_rng(20)
    for _ in range(50):
        days = random.choice(np.arange(np.datetime64("2020-01-01"), np.datetime64("2020-03-01")), 80)
        prices = np.exp(random.normal(3, 1.2, (80, 4)))
        prices[random.random((80, 4)) < 0.05] = 0.0
        rows = [
            (day, *(None if random.random() < 0.02 else float(p) for p in row), float(random.integers(0, 3)))
            for day, row in zip(days.tolist(), prices, strict=True)
        ]
        clean(rows)
