"""The replay of setups and the labels of events give, to the bit, what they gave before they called the one law.

The digests were made by the code of the two labs as it stood before (commit 7f4f9f5), on bars of whole quarters, so
that no rounding of a library enters.
"""

from __future__ import annotations

import hashlib

import numpy as np

from quant_platform.engine import barriers
from quant_platform.labs.equity.setups.kernel import replay_setups
from quant_platform.labs.events.discovery.label_kernels import walk_to_target_or_stop

REPLAYED = "84f910fa9807dc6520b2ac8e03eb1b6f4ab82b00644d80a811f1e6109f02ed09"
LABELLED = "7dad471f2498975c223ddb354715acdf89b16db5cc7cbbf2447c26ee02526848"


def quarters(seed: int, bars: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Open, high, low and close in quarters, with gaps."""
    rng = np.random.default_rng(seed)
    close = 400 + np.cumsum(rng.integers(-6, 7, bars))
    open_ = np.concatenate([close[:1], close[:-1]]) + rng.integers(-3, 4, bars)
    high = np.maximum(open_, close) + rng.integers(0, 5, bars)
    low = np.minimum(open_, close) - rng.integers(0, 5, bars)
    return tuple(np.ascontiguousarray(x, dtype=np.float64) / 4.0 for x in (open_, high, low, close))  # type: ignore[return-value]  # four


def digest(*arrays: np.ndarray) -> str:
    """SHA-256 of the bits."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def replayed() -> str:
    parts = []
    for seed in range(40):
        open_, high, low, close = quarters(seed, 300)
        rng = np.random.default_rng([seed, 1])
        position = np.flatnonzero(rng.random(340) < 0.9)[:300].astype(np.int64)
        n = position.size
        bars = np.sort(rng.choice(n, 80, replace=False)).astype(np.int64)
        direction = np.where(rng.random(80) < 0.5, 1.0, -1.0)
        reference = close[:n][bars]
        stop = reference - direction * rng.integers(1, 40, 80) / 4.0
        target = reference + direction * rng.integers(1, 60, 80) / 4.0
        levels = np.column_stack([stop, target, np.abs(reference - stop)])
        results, states = replay_setups(
            open_[:n], high[:n], low[:n], close[:n], position, bars, direction, levels, 15,
            int(position[-1]) + int(rng.integers(0, 12)), 5, np.full(80, -0.25),
        )  # fmt: skip
        parts += [results, states]
    return digest(*parts)


def labelled() -> str:
    parts = []
    for seed in range(40):
        open_, _, _, close = quarters(seed, 500)
        rng = np.random.default_rng([seed, 2])
        open_[rng.random(500) < 0.03] = np.nan
        close[rng.random(500) < 0.03] = np.nan
        for position in (1.0, -1.0):
            target = close + position * rng.integers(-4, 40, 500) / 4.0
            stop = close - position * rng.integers(-2, 30, 500) / 4.0
            target[rng.random(500) < 0.2] = np.nan
            outcome, exits = np.empty(500), np.empty(500, dtype=np.int64)
            walk_to_target_or_stop(open_, close, target, stop, position, 1, 12, outcome, exits)
            parts += [outcome, exits]
    return digest(*parts)


def test_the_replay_of_setups_is_the_same_to_the_bit() -> None:
    assert replayed() == REPLAYED


def test_the_labels_of_events_are_the_same_to_the_bit() -> None:
    assert labelled() == LABELLED


def test_what_prices_do_to_a_position_bought_at_100_with_a_stop_at_97_and_a_target_at_105() -> None:
    for price, expected in (
        (96.0, barriers.STOPPED), (97.0, barriers.STOPPED), (97.1, barriers.NOTHING), (104.9, barriers.NOTHING),
        (105.0, barriers.REACHED), (106.0, barriers.REACHED), (np.nan, barriers.NOTHING),
    ):  # fmt: skip
        assert barriers.judge(price, 97.0, 105.0) == expected
    for low, high, expected in (
        (97.0, 105.0, barriers.STOPPED), (97.5, 105.0, barriers.REACHED), (97.5, 104.0, barriers.NOTHING),
        (96.0, 104.0, barriers.STOPPED), (np.nan, np.nan, barriers.NOTHING),
    ):  # fmt: skip
        assert barriers.judge_extremes(low, high, 97.0, 105.0) == expected
    assert barriers.judge_extremes(1.0, 200.0, np.nan, np.nan) == barriers.NOTHING
    assert barriers.judge(200.0, np.nan, np.nan) == barriers.NOTHING


def test_horizons_and_excursions() -> None:
    assert (barriers.last_bar_inside(7, 3), barriers.first_bar_after(7, 3)) == (9, 10)
    assert barriers.excursions_at_exit(99.0, 103.0, 97.0, np.nan) == (97.0, 103.0)
    assert barriers.excursions_at_exit(99.0, 103.0, 105.0, 98.0) == (98.0, 105.0)
    assert barriers.excursions_at_exit(99.0, 103.0, 101.0, 100.0) == (99.0, 103.0)
    assert barriers.trailing_stop(110.0, 1.0, 0.04) == 110.0 * 0.96
    assert barriers.trailing_stop(-90.0, -1.0, 0.04) == -90.0 * 1.04
