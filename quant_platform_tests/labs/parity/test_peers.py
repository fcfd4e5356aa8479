"""The frameworks themselves, where they are installed: one small case each, beside what `make parity` runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quant_platform.labs.parity.cases import case_named
from quant_platform.labs.parity.environments import FRAMEWORKS, environment
from quant_platform.labs.parity.study import prepare, study_many, trade


@pytest.mark.long
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_framework_agrees_on_small_cases(framework):
    if not environment(framework).installed:
        pytest.skip(f"{framework} has no environment: quant parity install {framework}")
    # VectorBT compiles anew for callbacks, for most of a minute: one case without them.
    names = ["last_bar"] if framework == "vectorbt" else ["open_over_target_with_stop", "exit_decided_and_stop"]
    cases = [prepare(case_named(name)) for name in names]
    outcomes = study_many([(one, trade(one)) for one in cases], framework, timeout_seconds=300.0)
    assert [(found.outcome, found.said) for found in outcomes] == [("agrees", "")] * len(cases)


@pytest.mark.long
@pytest.mark.parametrize("framework", ["backtrader", "zipline"])
def test_a_bar_of_unknown_volume_fills_nothing_where_volume_limits_a_fill(framework):
    if not environment(framework).installed:
        pytest.skip(f"{framework} has no environment: quant parity install {framework}")
    whole = case_named("participation")

    def bars(_):
        known = whole.bars(None)
        volume = np.array(known.volume)
        volume[3] = np.nan
        return replace(known, volume=volume)

    case = prepare(replace(whole, bars=bars))
    (found,) = study_many([(case, trade(case))], framework, timeout_seconds=300.0)
    assert found.outcome == "agrees"
    # 400 a bar and a tenth of it: 40, nothing on the bar that is not known, 40, and the rest.
    assert found.execution.fills.select("bar", "quantity").rows() == [(2, 40.0), (4, 40.0), (5, 20.0)]
