"""Ranks that are taken once: what follows from them, and blocks of rows that change nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from quant_platform.labs.suite import ranking
from quant_platform.labs.suite.backtest import Workbench
from quant_platform.labs.suite.costs import cost_rates
from quant_platform.labs.suite.panel import dense_signal
from quant_platform.labs.suite.ranking import rank_panel, shifted_ics
from quant_platform.labs.suite.uniqueness import partial_ic
from quant_platform.specification.suite import load_suite
from quant_platform.statistics import cross_section
from quant_platform.statistics.cross_section import cross_sectional_residuals
from quant_platform.statistics.overlap import cosines
from quant_platform_tests.labs.suite import twins
from quant_platform_tests.labs.suite.worlds import make_panel

SPECS = load_suite(Path("specs"))


def ragged(seed: int, names: int = 30, sessions: int = 90) -> tuple[np.ndarray, object]:
    """Values with ties and holes, on a market with late listings, delistings and missing prices."""
    rng = np.random.default_rng([seed, 5])
    values = np.round(rng.standard_normal((sessions, names)), 1)
    values[rng.random(values.shape) < 0.1] = np.nan
    values[40:44] = np.nan
    return values, make_panel(seed, names=names, sessions=sessions, industries=3, holes=True)


def ranks(values: np.ndarray) -> np.ndarray:
    """Average ranks of each row by scipy, NaN where there is no value."""
    return stats.rankdata(values, axis=1, nan_policy="omit")


def test_doubled_ranks_are_scipys():
    values, panel = ragged(1)
    inside = np.where(panel.universe, values, np.nan)
    found = rank_panel(values, panel.universe)
    np.testing.assert_array_equal(found.doubled, np.nan_to_num(2.0 * ranks(inside)))
    np.testing.assert_array_equal(found.counts, (~np.isnan(inside)).sum(axis=1))


def test_ranks_among_some_names_are_those_of_their_values():
    values, _ = ragged(2)
    kept = np.random.default_rng(2).random(values.shape) < 0.7
    expected = ranks(np.where(kept, values, np.nan))
    found = rank_panel(values).among(kept)
    np.testing.assert_array_equal(found.doubled, np.nan_to_num(2.0 * expected))
    count = np.maximum((~np.isnan(expected)).sum(axis=1, keepdims=True), 1)
    np.testing.assert_allclose(found.centred(), (expected - (count + 1) / 2) / count, rtol=1e-15)


def test_sizes_of_moves_are_distances_from_the_median():
    _, panel = ragged(3)
    returns = panel.returns.copy()
    returns[10] = np.nan
    returns[11, 1:] = np.nan
    returns[12, 2:] = np.nan
    seen = ~np.isnan(returns).all(axis=1)
    size = np.full(returns.shape, np.nan)
    size[seen] = np.abs(returns[seen] - np.nanmedian(returns[seen], axis=1, keepdims=True))
    found = replace(panel, returns=returns).move_ranked
    np.testing.assert_array_equal(found.doubled, np.nan_to_num(2.0 * ranks(size)))


def test_many_shifts_are_each_spearmans():
    values, panel = ragged(4)
    shifts = [-1, 0, 3, 200]
    found = shifted_ics(rank_panel(values), panel.return_ranked, shifts, min_names=5)
    for k, shift in enumerate(shifts):
        for t in range(len(values)):
            inside = 0 <= t + shift < len(values)
            expected = twins.spearman(values[t], panel.returns[t + shift], 5) if inside else np.nan
            assert found[k, t] == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_horizons_that_go_on_are_those_computed_alone():
    _, panel = ragged(5)
    horizons = [21, 1, 5, 200]
    for horizon, found in zip(horizons, panel.forward_ranked(horizons), strict=True):
        expected = np.nan_to_num(2.0 * ranks(twins.forward(panel, horizon)))
        np.testing.assert_array_equal(found.doubled, expected)
    assert (panel.forward_ranked([200])[0].doubled == 0).all()


def test_blocks_of_rows_change_no_bit(monkeypatch):
    values, panel = ragged(6)
    gaps = replace(panel, adv=np.where(np.arange(30) < 4, np.nan, panel.adv))
    regressors = np.random.default_rng(6).standard_normal((2, *values.shape))

    def everything() -> list[np.ndarray]:
        bench = Workbench(replace(gaps), SPECS.suite, SPECS.costs)
        known = {"one": bench.prepare(dense_signal("one", np.roll(values, 3, axis=1)))}
        left = partial_ic(bench.prepare(dense_signal("mine", values)), known)
        rates = [cost_rates(model, gaps, SPECS.costs) for model in ("spread", "impact")]
        return [
            np.array([left.mean, left.t, left.ic, left.share]),
            *(part for found in rates for part in (found.linear, found.impact)),
            *(found.doubled for found in gaps.forward_ranked([2, 7])),
            cross_sectional_residuals(values[np.newaxis], regressors, min_names=5),
        ]

    whole = everything()
    for module in (ranking, cross_section):
        monkeypatch.setattr(module, "_BLOCK", 1)
    for once, again in zip(whole, everything(), strict=True):
        assert once.tobytes() == again.tobytes()
    assert np.isfinite(whole[0]).all()


def test_cosines_are_kept_and_cannot_be_changed():
    table = cosines(4, 10)
    assert table is cosines(4, 10)
    assert table[1, 2] == np.cos(np.pi * 2 * 2.5 / 10)
    with pytest.raises(ValueError, match="read-only"):
        table[0, 0] = 0.0
