from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from quant_platform.contracts.tables import table
from quant_platform.labs.equity.replay.candidates import replay_ticker
from quant_platform.labs.equity.setups.live import evaluate_open_setups, scan
from quant_platform_tests.labs.equity.setups.twin import (
    activation_spec,
    random_bars,
    replay_spec,
    setup_spec,
    week_ends,
)

OPEN_GATE = activation_spec(min_rr=None, min_confidence=None, min_momentum_percentile=None)
MARKET = {name: random_bars(seed, 200, ticker=name) for seed, name in enumerate(("AAA", "BBB", "CCC"), 20)}
SESSIONS = MARKET["AAA"]["session"].to_list()
ENDS = week_ends(SESSIONS)


def scan_on(day: date, market: dict[str, pl.DataFrame] | None = None) -> pl.DataFrame:
    return scan(day, market or MARKET, setup_spec(), replay_spec(), OPEN_GATE, sessions=SESSIONS)


def test_the_scan_of_a_week_end_is_the_replay_of_that_day() -> None:
    replayed = pl.concat(
        replay_ticker(bars, setup_spec(), replay_spec(), signal_sessions=ENDS, sessions=SESSIONS)
        for bars in MARKET.values()
    )
    columns = ["ticker", "direction", "entry_reference", "stop", "target", "target_2", "rr", "target_probability"]
    for day in ENDS[8::6]:
        cut = {name: bars.filter(pl.col("session") <= day) for name, bars in MARKET.items()}
        found = scan_on(day, cut)
        table("live.scan").schema.validate(found)
        expected = replayed.filter(pl.col("date_sig") == day)
        assert found.height > 0
        assert found.select(columns).equals(expected.select(columns))
        assert scan_on(day).equals(found)


def test_the_percentile_is_attached_and_the_gate_applied() -> None:
    day = next(day for day in ENDS if set(scan_on(day)["direction"]) == {"long", "short"})
    momentum = pl.DataFrame({"ticker": ["AAA", "BBB"], "percentile": [95.0, 10.0]})
    gate = activation_spec(min_rr=None, min_confidence=None)
    found = scan(day, MARKET, setup_spec(), replay_spec(), gate, sessions=SESSIONS, momentum=momentum)
    expected = {("AAA", "long"): 95.0, ("AAA", "short"): 5.0, ("BBB", "long"): 10.0, ("BBB", "short"): 90.0}
    for row in found.to_dicts():
        percentile = expected.get((row["ticker"], row["direction"]))
        assert row["momentum_percentile"] == percentile
        assert row["qualified"] is (percentile is None or percentile >= 80.0)


def test_open_setups_end_as_the_replay_says() -> None:
    day = ENDS[-12]
    scans = scan_on(day)
    replayed = pl.concat(
        replay_ticker(bars, setup_spec(), replay_spec(), signal_sessions=[day], sessions=SESSIONS)
        for bars in MARKET.values()
    )
    start = SESSIONS.index(day)
    seen = []
    for session in SESSIONS[start : start + 35]:
        state = evaluate_open_setups(session, scans, MARKET, replay_spec(), sessions=SESSIONS)
        table("live.outcomes").schema.validate(state)
        seen.append(state.filter(pl.col("outcome") != "pending"))
        if session == day:
            assert state.height == 0
    ended = pl.concat(seen).sort("ticker", "direction")
    expected = replayed.sort("ticker", "direction")
    assert ended.height == expected.height > 0
    for name in ("outcome", "date_entry", "date_exit", "bars_held"):
        assert ended[name].to_list() == expected[name].to_list()
    for name in ("realised_r", "mae_r", "mfe_r"):
        assert ended[name].drop_nulls().to_list() == pytest.approx(expected[name].drop_nulls().to_list())


def test_levels_follow_a_later_adjustment_of_the_prices() -> None:
    """A 2:1 split after the scan halves the adjusted past; R is the same."""
    day = ENDS[-12]
    scans = scan_on(day)
    later = SESSIONS[SESSIONS.index(day) + 10]
    halved = {name: bars.with_columns(pl.col("open", "high", "low", "close") * 0.5) for name, bars in MARKET.items()}
    before = evaluate_open_setups(later, scans, MARKET, replay_spec(), sessions=SESSIONS)
    after = evaluate_open_setups(later, scans, halved, replay_spec(), sessions=SESSIONS)
    assert before.height > 0
    assert after["realised_r"].to_list() == pytest.approx(before["realised_r"].to_list())
    assert after["entry_price"].to_list() == pytest.approx((before["entry_price"] * 0.5).to_list())


def test_nothing_to_scan_and_nothing_open() -> None:
    day = ENDS[-1]
    empty = scan(day, {}, setup_spec(), replay_spec(), OPEN_GATE, sessions=SESSIONS)
    table("live.scan").schema.validate(empty)
    none = evaluate_open_setups(day, empty, MARKET, replay_spec(), sessions=SESSIONS)
    table("live.outcomes").schema.validate(none)
    assert (empty.height, none.height) == (0, 0)
