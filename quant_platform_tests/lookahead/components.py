"""The components that are tested for look-ahead.

To add some, write a function that returns them and put it into ``COMPONENTS``: a feature needs nothing, it is
found in the specs.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from quant_platform.expressions import evaluate_frame
from quant_platform.labs.equity.features.equity import feature_plan
from quant_platform.specification.features import load_equity_features
from quant_platform_tests.labs.equity.features.bars import simulated_bars
from quant_platform_tests.lookahead import components_events, components_factors, components_market, components_signals
from quant_platform_tests.lookahead.harness import Component
from quant_platform_tests.market.builders import SPECS


def equity_features() -> list[Component]:
    """Each feature of ``specs/features/equity*.yaml``, with the memory that was derived from its expression."""
    plan = feature_plan(load_equity_features(SPECS))

    def component(name: str) -> Component:
        def function(frame: pl.DataFrame) -> pl.DataFrame:
            return frame.select("session").hstack(evaluate_frame(plan, frame, [name])[0])

        return Component(name, function, simulated_bars, time="session", memory=plan.memory[name])

    return [component(name) for name in plan.outputs]


COMPONENTS: list[Callable[[], list[Component]]] = [
    equity_features,
    components_market.clean,
    components_market.mask,
    components_signals.setups,
    components_signals.outcomes,
    components_signals.ranks,
    components_signals.gate,
    components_factors.study,
    components_events.context,
]
