from __future__ import annotations

import math
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from quant_platform.labs.equity.setups.bars import traded_bars
from quant_platform.labs.equity.setups.setups import find_setups
from quant_platform.specification.loading import load_spec
from quant_platform.specification.setups import ProbabilityOffset, SetupSpec
from quant_platform_tests.labs.equity.setups.twin import random_bars, setup_spec, week_ends, weekdays

SPECS = Path(__file__).resolve().parents[4] / "specs"

# Half-ranges are 1 except where a pivot is made, so with closes that step by at most 1 every number is by hand.
#        bar: 0    1    2    3    4    5    6    7    8    9   10   11   12
CLOSES = [100, 101, 102, 103, 102, 101, 100, 99, 98, 99, 100, 101, 101.5]


def golden_bars() -> pl.DataFrame:
    n = len(CLOSES)
    return pl.DataFrame(
        {
            "ticker": ["AAA"] * n,
            "session": weekdays(date(2021, 3, 1), n),
            "open": [float(c) for c in CLOSES],
            "high": [c + 1.0 for c in CLOSES],
            "low": [c - 1.0 for c in CLOSES],
            "close": [float(c) for c in CLOSES],
            "volume": [200.0 if i == 8 else 100.0 for i in range(n)],
        }
    )


def test_a_setup_computed_by_hand() -> None:
    """High pivot 104 at bar 3, low pivot 97 at bar 8 (k = 2); at bar 12 the close is 101.5.

    True ranges of the last four bars are 2, 2, 2, 2: ATR 2, buffer 0.5, cluster width 1. Long: stop 96.5, R 5, target
    104, reward 2.5, rr 0.5. Short: stop 104.5, R 3, target 97, reward 4.5, rr 1.5. Touches 1 of 2; ages 9 and 4 bars
    with half-life 9: 0.5 and 2^(-4/9); volume of bar 8 is 200 over the mean (3 x 100 + 200) / 4 = 125 of its four
    bars: 1.6, of bar 3 100 / 100 = 1.
    """
    weights = setup_spec().confidence.model_copy(update={"touches_full": 2, "recency_half_life_bars": 9.0})
    spec = setup_spec(
        lookback_bars=12, minimum_history_bars=6, atr_window_bars=4, volatility_window_bars=4, volume_window_bars=4,
        confidence=weights,
    )  # fmt: skip
    bars = golden_bars()
    sessions = bars["session"].to_list()
    frame = find_setups(traded_bars(bars, sessions), [sessions[12]], spec, 30).frame()
    long, short = frame.to_dicts()
    assert (long["direction"], long["stop"], long["target"], long["rr"]) == ("long", 96.5, 104.0, 0.5)
    assert (short["direction"], short["stop"], short["target"], short["rr"]) == ("short", 104.5, 97.0, 1.5)
    assert long["atr"] == 2.0
    assert long["target_2"] is None
    assert long["stop_distance_bps"] == pytest.approx(5.0 / 101.5 * 1e4)
    steps = [math.log(99 / 98), math.log(100 / 99), math.log(101 / 100), math.log(101.5 / 101)]
    assert long["volatility_daily"] == pytest.approx(math.sqrt(sum(s * s for s in steps) / 4))
    resistance = 0.4 * 0.5 + 0.4 * 0.5 + 0.2 * 0.5
    support = 0.4 * 0.5 + 0.4 * 2 ** (-4 / 9) + 0.2 * 0.8
    assert long["confidence"] == short["confidence"] == pytest.approx(50 * (resistance + support))
    assert long["conflict"] is True
    assert long["date_avail"] is None


@pytest.mark.parametrize(("last_bar", "known"), [(9, False), (10, True)])
def test_a_pivot_does_not_exist_before_its_confirmation(last_bar: int, known: bool) -> None:
    """The low of bar 8 needs bars 9 and 10."""
    bars = golden_bars()
    sessions = bars["session"].to_list()
    spec = setup_spec(lookback_bars=12, minimum_history_bars=6, atr_window_bars=4, volatility_window_bars=4)
    found = find_setups(traded_bars(bars, sessions), [sessions[last_bar]], spec, 30).frame()
    assert (found.height > 0) is known


def test_a_suspect_low_is_no_pivot_and_has_no_true_range() -> None:
    """Without the low of bar 8 (97) the level is that of bar 7 (98); the other three ranges of 2 make the ATR."""
    bars = golden_bars()
    sessions = bars["session"].to_list()
    spec = setup_spec(lookback_bars=12, minimum_history_bars=6, atr_window_bars=4, volatility_window_bars=4)
    at = pl.col("session")
    gone = bars.with_columns(pl.when(at == sessions[8]).then(float("nan")).otherwise("low").alias("low"))
    assert find_setups(traded_bars(gone, sessions), [sessions[12]], spec, 30).frame()["stop"][0] == 97.5
    wild = bars.with_columns(
        pl.when(at == sessions[10]).then(float("nan")).otherwise("low").alias("low"),
        pl.when(at == sessions[10]).then(500.0).otherwise("high").alias("high"),
    )
    found = find_setups(traded_bars(wild, sessions), [sessions[12]], spec, 30).frame()
    assert found.height > 0
    assert found["atr"].unique().to_list() == [2.0]


def test_a_pivot_is_forgotten_after_the_lookback() -> None:
    bars = golden_bars()
    sessions = bars["session"].to_list()
    spec = setup_spec(minimum_history_bars=6, atr_window_bars=4, volatility_window_bars=4)
    for lookback, count in ((10, 2), (9, 0)):  # at bar 12, the high of bar 3 is 9 bars old
        changed = spec.model_copy(update={"lookback_bars": lookback})
        assert find_setups(traded_bars(bars, sessions), [sessions[12]], changed, 30).frame().height == count


def test_pivots_within_half_an_atr_are_one_level_and_the_next_is_the_second_target() -> None:
    """Highs 104, 104.8 and 107 above a close of 101.5 with ATR 2: levels 104.4 and 107."""
    bars = golden_bars()
    lead = weekdays(date(2021, 2, 1), 20)[-10:]
    highs = [102.0, 102.5, 107.0, 102.5, 102.0, 102.5, 104.8, 102.5, 102.0, 101.5]
    before = pl.DataFrame(
        {
            "ticker": ["AAA"] * 10,
            "session": lead,
            "open": [100.5] * 10,
            "high": highs,
            "low": [100.0 + 0.01 * i for i in range(10)],
            "close": [101.0] * 10,
            "volume": [100.0] * 10,
        }
    )
    both = pl.concat([before, bars]).sort("session")
    assert both["session"].is_unique().all()
    sessions = both["session"].to_list()
    spec = setup_spec(lookback_bars=40, minimum_history_bars=6, atr_window_bars=4, volatility_window_bars=4)
    long = find_setups(traded_bars(both, sessions), [sessions[-1]], spec, 30).frame().to_dicts()[0]
    assert long["target"] == pytest.approx(104.4)
    assert long["target_2"] == 107.0


def test_without_an_offset_the_bet_is_fair_and_with_one_it_is_not() -> None:
    bars = random_bars(3, 300)
    sessions = bars["session"].to_list()
    traded = traded_bars(bars, sessions)
    ends = week_ends(sessions)
    fair = find_setups(traded, ends, setup_spec(), 30).frame()
    assert (fair["expected_value_r"] == 0.0).all()
    total = fair["target_probability"] + fair["stop_probability"] + fair["timeout_probability"]
    assert (total - 1.0).abs().max() < 1e-12
    offset = ProbabilityOffset(intercept=0.2, log_rr=0.3, confidence=0.4, short=-0.1)
    edge = find_setups(traded, ends, setup_spec(probability_offset=offset), 30).frame()
    for before, after in zip(fair.to_dicts(), edge.to_dicts(), strict=True):
        p, s, o = before["target_probability"], before["stop_probability"], before["timeout_probability"]
        shift = 0.2 + 0.3 * math.log(before["rr"]) + 0.4 * before["confidence"] / 100
        shift -= 0.1 if before["direction"] == "short" else 0.0
        q = 1 / (1 + math.exp(-(math.log(p / (1 - p)) + shift)))
        rest = (1 - q) / (1 - p)
        assert after["target_probability"] == pytest.approx(q, rel=1e-10)
        assert after["stop_probability"] == pytest.approx(s * rest, rel=1e-10)
        # The mean mark at time-out follows from the fair bet: p rr - s + o m = 0.
        if o > 1e-6:
            mark = (s - p * before["rr"]) / o
            expected = q * before["rr"] - s * rest + o * rest * mark
            assert after["expected_value_r"] == pytest.approx(expected, abs=1e-9)
        assert after["rr"] == before["rr"]


def test_floors_of_validity() -> None:
    bars = random_bars(4, 300)
    sessions = bars["session"].to_list()
    traded, ends = traded_bars(bars, sessions), week_ends(sessions)
    every = find_setups(traded, ends, setup_spec(), 30).frame()
    fewer = find_setups(traded, ends, setup_spec(minimum_rr=1.0, minimum_stop_atr=1.0), 30).frame()
    risk = (pl.col("entry_reference") - pl.col("stop")).abs()
    expected = every.filter((pl.col("rr") >= 1.0) & (risk >= pl.col("atr")))
    assert 0 < fewer.height < every.height
    assert fewer.drop("conflict").equals(expected.drop("conflict"))
    both = fewer.group_by("date_sig").len().filter(pl.col("len") == 2)["date_sig"]
    assert fewer["conflict"].equals(fewer["date_sig"].is_in(both.implode()))


def test_the_spec_in_force_loads_and_refuses_nonsense() -> None:
    spec = load_spec(SPECS / "setups" / "equity.yaml", SetupSpec)
    assert (spec.cluster_atr, spec.stop_buffer_atr, spec.atr_window_bars) == (0.5, 0.25, 14)
    assert spec.probability_offset == ProbabilityOffset()
    content = spec.model_dump()
    for change, message in (
        ({"minimum_history_bars": 20}, "less than the windows need"),
        ({"lookback_bars": 20}, "must exceed"),
        ({"confidence": {**content["confidence"], "touches": 0.5}}, "must be 1"),
        ({"confidence": {**content["confidence"], "touches": 0.0, "recency": 0.0, "volume": 1.0}}, "needs a weight"),
    ):
        with pytest.raises(ValueError, match=message):
            SetupSpec.model_validate({**content, **change})
