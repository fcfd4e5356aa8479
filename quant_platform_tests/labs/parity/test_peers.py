"""The frameworks themselves, where they are installed: one small case each, beside what `make parity` runs."""

from __future__ import annotations

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
