from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics.proportions import wilson_interval

KNOWN = json.loads((Path(__file__).parents[1] / "known_answers" / "statistics.json").read_text())


@pytest.mark.parametrize(("rate", "limits"), KNOWN["wilson"]["limits"].items())
def test_newcombe_table(rate, limits):
    successes, trials = map(int, rate.split("/"))
    interval = wilson_interval(successes, trials)
    assert (float(interval.low), float(interval.high)) == pytest.approx(limits, abs=5.1e-5)


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_equals_scipy_element_by_element(level):
    successes, trials = np.meshgrid(np.arange(0, 8), [7, 30, 1000])
    interval = wilson_interval(successes, trials, level=level)
    for place in np.ndindex(successes.shape):
        expected = binomtest(int(successes[place]), int(trials[place])).proportion_ci(level, method="wilson")
        assert interval.low[place] == pytest.approx(expected.low, abs=1e-12)
        assert interval.high[place] == pytest.approx(expected.high, abs=1e-12)


def test_no_trial_says_nothing():
    interval = wilson_interval(0, 0)
    assert math.isnan(interval.rate)
    assert (interval.low, interval.high) == (0.0, 1.0)


@pytest.mark.parametrize(("successes", "trials"), [(3, 2), (-1, 4), (np.nan, 4), (1, np.inf)])
def test_impossible_counts_are_refused(successes, trials):
    with pytest.raises(StatisticError, match=r"counts do not form a rate[\s\S]*1 of 2 pairs[\s\S]*trials="):
        wilson_interval([successes, 1], [trials, 4])
