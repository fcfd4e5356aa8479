from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quant_platform.contracts.tables import table
from quant_platform.labs.equity.replay.candidates import replay_ticker
from quant_platform_tests.labs.equity.setups.twin import (
    outcome,
    random_bars,
    replay_spec,
    setup_spec,
    setups_on_cut_frame,
    week_ends,
    weekdays,
)

SETUP_COLUMNS = [
    "ticker", "date_sig", "direction", "entry_reference", "stop", "target", "target_2", "atr", "rr",
    "stop_distance_bps", "volatility_daily", "target_probability", "stop_probability", "timeout_probability",
    "expected_value_r", "confidence", "conflict",
]  # fmt: skip


def candidates_of(bars: pl.DataFrame, sessions: list[date] | None = None, **changes: Any) -> pl.DataFrame:
    market = bars["session"].to_list() if sessions is None else sessions
    spec, replay = changes.pop("spec", setup_spec()), changes.pop("replay", replay_spec())
    return replay_ticker(bars, spec, replay, signal_sessions=week_ends(market), sessions=market, **changes)


def assert_same(fast: dict[str, Any], slow: dict[str, Any]) -> None:
    for name, expected in slow.items():
        if isinstance(expected, float):
            assert fast[name] == pytest.approx(expected, rel=1e-12, abs=1e-13), name
        else:
            assert fast[name] == expected, name


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10**6),
    missing=st.sampled_from([0.0, 0.1]),
    grid=st.sampled_from([None, 0.5]),
    ended_before=st.sampled_from([0, 2, 12]),
)
def test_the_kernel_is_the_twin_that_recomputes_every_week_from_a_cut_frame(
    seed: int, missing: float, grid: float | None, ended_before: int
) -> None:
    bars = random_bars(seed, 150, missing=missing, grid=grid)
    sessions = bars["session"].to_list()
    bars = bars.head(bars.height - ended_before)
    spec, replay = setup_spec(), replay_spec(horizon_sessions=15)
    fast = candidates_of(bars, sessions, spec=spec, replay=replay)
    slow = []
    for day in week_ends(sessions):
        cut = bars.filter(pl.col("session") <= day)
        if cut["session"].max() == day:
            slow += setups_on_cut_frame(cut, day, spec, replay.horizon_sessions)
    assert fast.height == len(slow) > 0
    for row, expected in zip(fast.to_dicts(), slow, strict=True):
        assert_same(row, expected)
        assert_same(row, outcome(bars, sessions, expected, replay))
        if row["gross_r"] is not None:
            assert row["realised_r"] == pytest.approx(row["gross_r"] - 10.0 / row["stop_distance_bps"], rel=1e-12)


def test_the_table_has_its_schema() -> None:
    table("replay.candidates").schema.validate(candidates_of(random_bars(1)))


@pytest.mark.parametrize("offset", [-1, 0, 1, 5])
def test_bars_after_the_signal_change_no_setup_column(offset: int) -> None:
    """Cut at random sessions, and around the confirmation of pivots; both what is there and what is not must stay."""
    bars = random_bars(7, 220)
    full = candidates_of(bars)
    signals = full["date_sig"].unique().sort().to_list()
    sessions = bars["session"].to_list()
    rng = np.random.default_rng(3)
    for day in rng.choice(np.array(signals, dtype=object), 8, replace=False):
        end = sessions.index(day) + max(offset, 0) + 1
        known = full.filter(pl.col("date_sig") <= sessions[end - 1]).select(SETUP_COLUMNS)
        cut = candidates_of(bars.head(end), sessions[:end]).select(SETUP_COLUMNS)
        # A running week does not signal in the cut frame.
        known = known.filter(pl.col("date_sig").is_in(week_ends(sessions[:end])))
        assert cut.equals(known)
        garbage = bars.with_columns(
            pl.when(pl.col("session") > sessions[end - 1]).then(pl.col(name) * 3.7).otherwise(pl.col(name)).alias(name)
            for name in ("open", "high", "low", "close", "volume")
        )
        perturbed = candidates_of(garbage).filter(pl.col("date_sig") <= sessions[end - 1]).select(SETUP_COLUMNS)
        assert perturbed.equals(full.filter(pl.col("date_sig") <= sessions[end - 1]).select(SETUP_COLUMNS))


def test_a_kernel_that_reads_one_bar_ahead_is_caught_by_the_same_cut() -> None:
    """Negative control: closes shifted by one session, as a leaking feature would have them."""
    bars = random_bars(7, 220)
    sessions = bars["session"].to_list()

    def leaking(frame: pl.DataFrame, market: list[date]) -> pl.DataFrame:
        ahead = frame.with_columns(pl.col("close").shift(-1).fill_null(pl.col("close")))
        return candidates_of(ahead, market).select(SETUP_COLUMNS)

    full, end = leaking(bars, sessions), sessions.index(candidates_of(bars)["date_sig"][-20]) + 1
    known = full.filter(pl.col("date_sig") <= sessions[end - 1])
    assert not leaking(bars.head(end), sessions[:end]).equals(known)


def test_outcomes_that_were_resolved_stay_as_they_were() -> None:
    bars = random_bars(11, 200)
    sessions = bars["session"].to_list()
    full = candidates_of(bars)
    cut = candidates_of(bars.head(150), sessions[:150])
    resolved = cut.filter(pl.col("resolved_at").is_not_null())
    assert resolved.height > 20
    again = full.join(resolved.select("date_sig", "direction"), on=["date_sig", "direction"])
    assert again.equals(resolved)
    assert full.filter(pl.col("resolved_at") <= sessions[149]).height == resolved.height


def test_scaling_all_prices_changes_prices_only() -> None:
    bars = random_bars(5)
    twice = bars.with_columns(pl.col("open", "high", "low", "close") * 4.0)
    plain, scaled = candidates_of(bars), candidates_of(twice)
    ratios = ["rr", "target_probability", "confidence", "realised_r", "mae_r", "outcome", "resolved_at"]
    assert plain.height > 20
    assert plain.select(ratios).equals(scaled.select(ratios))
    assert (plain["stop"] * 4.0).equals(scaled["stop"])


def test_prices_around_an_axis_swap_long_and_short() -> None:
    """Mirror image of the prices: the long of one world is the short of the other, level by level, bar by bar."""
    bars = random_bars(8)
    axis = 200.0
    mirrored = bars.with_columns(
        open=axis - pl.col("open"), high=axis - pl.col("low"), low=axis - pl.col("high"), close=axis - pl.col("close")
    )
    swap = {"long": "short", "short": "long"}
    plain = {(row["date_sig"], row["direction"]): row for row in candidates_of(bars).to_dicts()}
    other = candidates_of(mirrored).to_dicts()
    assert len(plain) == len(other) > 20
    for row in other:
        twin = plain[row["date_sig"], swap[row["direction"]]]
        assert row["outcome"] == twin["outcome"]
        assert axis - row["stop"] == pytest.approx(twin["stop"])
        for name in ("rr", "gross_r", "mae_r", "mfe_r", "confidence"):
            assert row[name] == pytest.approx(twin[name], abs=1e-9), name


def test_without_volume_the_confidence_rests_on_touches_and_recency() -> None:
    bars = random_bars(5).with_columns(volume=pl.lit(None, dtype=pl.Float64))
    with_volume, without = candidates_of(random_bars(5)), candidates_of(bars)
    assert without["confidence"].is_not_nan().all()
    assert without["stop"].equals(with_volume["stop"])
    assert not without["confidence"].equals(with_volume["confidence"])


def test_short_histories_and_dead_prices_have_no_setup() -> None:
    assert candidates_of(random_bars(1, 24)).height == 0
    assert candidates_of(random_bars(1, 5)).height == 0
    assert candidates_of(random_bars(1).head(0), weekdays(date(2020, 1, 6), 30)).height == 0
    flat = random_bars(1).with_columns(pl.lit(10.0).alias(name) for name in ("open", "high", "low", "close"))
    assert candidates_of(flat).height == 0


def test_an_unknown_session_and_a_second_ticker_are_refused() -> None:
    bars = random_bars(1, 60)
    sessions = bars["session"].to_list()
    with pytest.raises(ValueError, match=r"not sessions of the market[\s\S]*1 of 60"):
        candidates_of(bars, sessions[:30] + sessions[31:])
    with pytest.raises(ValueError, match="bars of one ticker"):
        candidates_of(pl.concat([bars, random_bars(1, 60, ticker="BBB")]), sessions)
    with pytest.raises(ValueError, match="not strictly ascending"):
        candidates_of(bars.reverse(), sessions)


def test_bars_after_the_last_session_are_not_looked_at() -> None:
    bars = random_bars(9)
    sessions = bars["session"].to_list()[:180]
    assert candidates_of(bars, sessions).equals(candidates_of(bars.head(180), sessions))
    assert candidates_of(bars, sessions).height > 20
