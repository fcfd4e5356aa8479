"""A strategy file as what the engine takes."""

from __future__ import annotations

from collections.abc import Mapping

from quant_platform.contracts.errors import SpecError
from quant_platform.engine.bars import Bars
from quant_platform.engine.config import Costs, EngineConfig, Sizing
from quant_platform.engine.decisions import Decisions
from quant_platform.engine.layout import Bools
from quant_platform.specification.strategies import SignalDecisions, StrategySpec, TopDecisions
from quant_platform.strategies.ranking import top
from quant_platform.strategies.signals import signals


def engine_config(spec: StrategySpec) -> EngineConfig:
    """Fill, costs, sizing and limits of a strategy file."""
    options = spec.model_dump(exclude={"description", "costs", "sizing", "risk", "decisions", "gone_after_bars"})
    risk = {f"{name}_limit": getattr(spec.risk, name) for name in ("symbol", "portfolio", "new_exposure")}
    risk |= {f"kill_{name}": getattr(spec.risk, name) for name in ("drawdown", "daily_loss")}
    stated = {name: value for name, value in risk.items() if value is not None}
    costs, sizing = Costs(**spec.costs.model_dump()), Sizing(**spec.sizing.model_dump())
    return EngineConfig(costs=costs, sizing=sizing, **options, **stated)


def trading_bars(spec: StrategySpec, bars: Bars, recoveries: Mapping[str, float] | None = None) -> Bars:
    """The bars with the end of every name that went, as a strategy counts it; see :meth:`Bars.with_ends`."""
    return bars if spec.gone_after_bars is None else bars.with_ends(spec.gone_after_bars, recoveries)


def decide(spec: StrategySpec, bars: Bars, members: Bools | None = None) -> Decisions:
    """Make the decisions that a strategy file states by rule.

    Parameters
    ----------
    spec
        The strategy.
    bars
        The market.
    members
        Who may be held on which bar, shape of the bars; None for everybody.

    Raises
    ------
    SpecError
        When it states none that bars alone decide.
    """
    match spec.decisions:
        case SignalDecisions():
            return signals(bars, spec.decisions)
        case TopDecisions():
            return top(bars, spec.decisions, members)
    stated = "none" if spec.decisions is None else f"those of {spec.decisions.kind}"
    raise SpecError(
        f"the strategy states no decisions that bars alone make, but {stated}",
        where="decisions",
        action="hand over a file of decisions, or state decisions of kind signals or top",
    )
