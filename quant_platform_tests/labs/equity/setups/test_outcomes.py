"""Outcomes computed by hand: entry reference 100, stop 96, target 108, R = 4, cost 10 bps = 0.025 R."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest

from quant_platform.labs.equity.setups.bars import traded_bars
from quant_platform.labs.equity.setups.outcomes import follow
from quant_platform_tests.labs.equity.setups.twin import replay_spec, weekdays

NAN = float("nan")
GONE = (NAN, NAN, NAN, NAN)
SIGNAL = (100.0, 101.0, 99.0, 100.0)
QUIET = (100.0, 101.0, 99.0, 100.0)


def run(
    *later: tuple[float, float, float, float],
    direction: int = 1,
    sessions: int | None = None,
    horizon: int = 4,
    delisting_return: float | None = None,
) -> dict[str, Any]:
    """Signal on the first session, then the given (open, high, low, close); a short is the mirror image around 100."""
    rows = [SIGNAL, *later]
    if direction < 0:
        rows = [(200 - o, 200 - low, 200 - h, 200 - c) for o, h, low, c in rows]
    days = weekdays(date(2021, 3, 1), max(len(rows), sessions or 0))
    bars = pl.DataFrame(
        {
            "ticker": ["AAA"] * len(rows),
            "session": days[: len(rows)],
            **{name: [row[i] for row in rows] for i, name in enumerate(("open", "high", "low", "close"))},
            "volume": [1.0] * len(rows),
        }
    )
    stop, target = (96.0, 108.0) if direction > 0 else (104.0, 92.0)
    outcomes = follow(
        traded_bars(bars, days),
        np.array([0]),
        np.array([float(direction)]),
        np.array([[stop, target, 4.0]]),
        np.array([100.0]),
        replay_spec(horizon_sessions=horizon),
        delisting_return,
    )
    row = outcomes.frame().to_dicts()[0]
    return {"days": days, **row}


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize(
    ("later", "outcome", "gross_r", "bars_held", "mae_r", "mfe_r"),
    [
        # Stop touched on the second bar: loss of 1 R from an entry at 100.
        ([QUIET, (99.0, 100.0, 95.5, 97.0)], "stop", -1.0, 2, -1.0, 0.25),
        # Entry at 101, so the same stop costs (96 - 101) / 4; the high of 102 on the entry bar is the best seen.
        ([(101.0, 102.0, 100.0, 101.0), (99.0, 100.0, 95.5, 97.0)], "stop", -1.25, 2, -1.25, 0.25),
        # A gap through the stop fills at the open: (94 - 100) / 4.
        ([QUIET, (94.0, 95.0, 93.0, 94.0)], "stop", -1.5, 2, -1.5, 0.25),
        # Target touched on the third bar.
        ([QUIET, QUIET, (103.0, 108.5, 102.0, 107.0)], "target", 2.0, 3, -0.25, 2.0),
        # A gap beyond the target fills at the open: (110 - 100) / 4.
        ([QUIET, (110.0, 111.0, 109.0, 110.0)], "target", 2.5, 2, -0.25, 2.5),
        # One bar holds both: stop first, and what it did above is not credited.
        ([(100.0, 109.0, 95.0, 107.0)], "stop", -1.0, 1, -1.0, 0.0),
        # Target on the entry bar; the low of 98 may have come before it.
        ([(100.0, 108.0, 98.0, 107.0)], "target", 2.0, 1, -0.5, 2.0),
        # Neither within four sessions: the close of the fourth, (103 - 100) / 4.
        ([QUIET, QUIET, QUIET, (102.0, 104.0, 98.0, 103.0), (95.0, 95.0, 95.0, 95.0)], "timeout", 0.75, 4, -0.5, 1.0),
        # A session without a bar counts in the horizon: the fourth session ends it.
        ([QUIET, GONE, QUIET, (102.0, 104.0, 98.0, 103.0), (120.0,) * 4], "timeout", 0.75, 4, -0.5, 1.0),
        # The last session of the horizon has no bar: marked at the close before it.
        ([QUIET, QUIET, (102.0, 104.0, 98.0, 103.0), GONE, QUIET], "timeout", 0.75, 3, -0.5, 1.0),
        # A suspect low fills no stop: the open of 99 and the close of 97 are what is known to have traded.
        ([QUIET, (99.0, 100.0, NAN, 97.0), QUIET, (102.0, 104.0, 98.0, 103.0)], "timeout", 0.75, 4, -0.75, 1.0),
        # Its close does.
        ([QUIET, (99.0, 100.0, NAN, 95.0)], "stop", -1.0, 2, -1.0, 0.25),
        # A suspect high fills no target.
        ([QUIET, (101.0, NAN, 99.0, 102.0), QUIET, (102.0, 104.0, 98.0, 103.0)], "timeout", 0.75, 4, -0.5, 1.0),
        # A suspect open with a low below the stop: filled at the stop, not at the open.
        ([QUIET, (NAN, 100.0, 95.5, 97.0)], "stop", -1.0, 2, -1.0, 0.25),
        # The stop is exactly touched.
        ([(100.0, 101.0, 96.0, 100.0)], "stop", -1.0, 1, -1.0, 0.0),
    ],
)  # fmt: skip
def test_hand_computed(
    direction: int,
    later: list[tuple[float, float, float, float]],
    outcome: str,
    gross_r: float,
    bars_held: int,
    mae_r: float,
    mfe_r: float,
) -> None:
    row = run(*later, direction=direction)
    assert row["outcome"] == outcome
    assert row["gross_r"] == pytest.approx(gross_r, abs=1e-12)
    assert row["realised_r"] == pytest.approx(gross_r - 0.025, abs=1e-12)
    assert row["bars_held"] == bars_held
    assert row["mae_r"] == pytest.approx(mae_r, abs=1e-12)
    assert row["mfe_r"] == pytest.approx(mfe_r, abs=1e-12)
    assert row["date_entry"] == row["days"][1]
    assert row["date_exit"] == row["days"][bars_held]
    assert row["resolved_at"] == (row["days"][4] if outcome == "timeout" else row["days"][bars_held])
    assert row["exit_price"] == pytest.approx(row["entry_price"] + direction * 4.0 * gross_r)


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize(
    "first", [(96.0, 97.0, 95.0, 96.5), (95.0, 97.0, 95.0, 96.5), (108.0, 109.0, 107.0, 108.0), GONE]
)
def test_no_entry_at_or_beyond_a_barrier_or_without_a_bar(
    direction: int, first: tuple[float, float, float, float]
) -> None:
    row = run(first, QUIET, direction=direction)
    assert row["outcome"] == "no_entry"
    assert row["resolved_at"] == row["days"][1]
    assert {row[name] for name in ("date_entry", "entry_price", "gross_r", "realised_r", "bars_held", "mae_r")} == {
        None
    }


def test_pending_before_the_entry_and_inside_the_horizon() -> None:
    before = run()
    assert (before["outcome"], before["date_entry"], before["resolved_at"]) == ("pending", None, None)
    inside = run(QUIET, (100.0, 103.0, 99.5, 102.0))
    assert (inside["outcome"], inside["resolved_at"]) == ("pending", None)
    assert inside["realised_r"] == pytest.approx(0.5 - 0.025)
    assert inside["bars_held"] == 2


@pytest.mark.parametrize(
    ("delisting_return", "gross_r", "mae_r"), [(None, 0.5, -0.25), (0.0, 0.5, -0.25), (-0.3, -7.15, -7.15)]
)
def test_a_ticker_that_ends_inside_the_horizon(delisting_return: float | None, gross_r: float, mae_r: float) -> None:
    """Last close 102 of day 2; it counts as gone five sessions later. (102 x 0.7 - 100) / 4 = -7.15."""
    bars = (QUIET, (100.0, 103.0, 99.5, 102.0))
    known = run(*bars, sessions=8, delisting_return=delisting_return)
    assert known["outcome"] == "delisted"
    assert known["gross_r"] == pytest.approx(gross_r)
    assert known["mae_r"] == pytest.approx(mae_r)
    assert known["date_exit"] == known["days"][2]
    assert known["resolved_at"] == known["days"][7]
    assert run(*bars, sessions=7, delisting_return=delisting_return)["outcome"] == "pending"


@pytest.mark.parametrize(("direction", "gross_r"), [(1, -7.15), (-1, -0.5)])
def test_what_nobody_said_of_a_delisting_is_taken_at_its_worse(
    direction: int, gross_r: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long loses 30 % of the last close of 102, (71.4 - 100) / 4; a short from 100 is left with its mark at 102."""
    stated = replay_spec(horizon_sessions=4, unknown_delisting_loss=0.3)
    monkeypatch.setattr("quant_platform_tests.labs.equity.setups.test_outcomes.replay_spec", lambda **_: stated)
    mirrored = (100.0, 100.5, 97.0, 98.0) if direction < 0 else (100.0, 103.0, 99.5, 102.0)
    row = run(QUIET, mirrored, sessions=8, direction=direction)
    assert row["outcome"] == "delisted"
    assert row["gross_r"] == pytest.approx(gross_r)


def test_a_delisting_hurts_the_long_and_feeds_the_short() -> None:
    """A short from 100 whose name ends at 98 and then loses 30 %: (100 - 68.6) / 4 = 7.85."""
    row = run(QUIET, (100.0, 103.0, 99.5, 102.0), sessions=8, direction=-1, delisting_return=-0.3)
    assert row["gross_r"] == pytest.approx(7.85)


def test_a_ticker_that_ends_after_the_horizon_times_out() -> None:
    assert run(QUIET, QUIET, QUIET, QUIET, sessions=20)["outcome"] == "timeout"


def test_a_ticker_that_ends_on_the_signal_day_was_never_entered() -> None:
    assert run(sessions=3)["outcome"] == "no_entry"


@pytest.mark.parametrize("direction", [1, -1])
def test_a_suspect_open_is_no_price_to_enter_at(direction: int) -> None:
    assert run((NAN, 101.0, 99.0, 100.0), QUIET, direction=direction)["outcome"] == "no_entry"
