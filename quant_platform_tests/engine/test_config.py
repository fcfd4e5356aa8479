"""Every number of a configuration at the ends of its range: what is allowed, and what is just beyond it."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import pytest

from quant_platform.engine.config import LIMITS, SWITCHES, BacktestInvalid, Costs, EngineConfig, Sizing
from quant_platform_tests.engine.cases import config

NUMBERS = [field.name for field in fields(Costs) if field.name not in ("slip_targets", "impact_window_bars")]
SHARES = ("commission_rate", "half_spread", "unknown_half_spread", "unknown_recovery")


def costs(**given: Any) -> Costs:
    return Costs(**{"commission_rate": 0.0, "half_spread": 0.0, **given})


@pytest.mark.parametrize("name", NUMBERS)
def test_a_cost_may_be_nothing_or_little_and_is_a_number(name: str) -> None:
    for value in (0.0, 0.05):
        assert getattr(costs(**{name: value}), name) == value
    for wrong in (-0.01, math.inf, math.nan):
        with pytest.raises(BacktestInvalid, match=f"{name} was {wrong}"):
            costs(**{name: wrong})


@pytest.mark.parametrize("name", NUMBERS)
def test_a_share_of_the_price_is_at_most_all_of_it_and_money_may_be_more(name: str) -> None:
    assert getattr(costs(**{name: 1.0}), name) == 1.0
    if name in SHARES:
        with pytest.raises(BacktestInvalid, match=f"{name} was 1.05, a fraction of the price"):
            costs(**{name: 1.05})
    else:
        assert getattr(costs(**{name: 1.05}), name) == 1.05


def test_a_window_of_impact_has_two_bars_at_least() -> None:
    assert costs(impact_window_bars=2).impact_window_bars == 2
    with pytest.raises(BacktestInvalid, match="at least 2"):
        costs(impact_window_bars=1)


@pytest.mark.parametrize(
    ("given", "has"), [({}, False), ({"volatility_share": 0.05}, True), ({"impact_coefficient": 0.05}, True),
                       ({"volatility_share": 0.05, "impact_coefficient": 0.05}, True)],
)  # fmt: skip
def test_either_part_of_impact_makes_one(given: dict[str, float], has: bool) -> None:
    assert costs(**given).has_impact is has


@pytest.mark.parametrize(
    ("name", "allowed", "refused"),
    [
        ("initial_cash", (0.05, 1e12), (0.0, -1.0, math.inf, math.nan)),
        ("leverage", (0.05, math.inf), (0.0, -1.0, math.nan)),
        ("participation", (None, 0.05, 1.0), (0.0, -0.5, 1.05, math.nan)),
        ("tolerance", (0.0, 0.05, 0.999), (-0.01, 1.0, 1.05, math.nan)),
        ("cash_buffer", (0.0, 0.05, 0.999), (-0.01, 1.0, 1.05, math.nan)),
        ("periods_per_year", (0.05, 105_120.0), (0.0, -1.0, math.inf, math.nan)),
        *((name, (0.0, 0.05, math.inf), (-0.01, math.nan)) for name in (*LIMITS, *SWITCHES)),
    ],
)
def test_what_a_configuration_allows_and_refuses(name: str, allowed: Any, refused: Any) -> None:
    for value in allowed:
        assert getattr(config(**{name: value}), name) == value
    for wrong in refused:
        with pytest.raises(BacktestInvalid, match=f"{name} was {wrong}") as error:
            config(**{name: wrong})
        assert error.value.where == f"EngineConfig.{name}"


def test_a_size_is_positive_and_finite() -> None:
    assert Sizing("units", 0.05).value == 0.05
    for wrong in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(BacktestInvalid, match=f"value was {wrong}"):
            Sizing("units", wrong)


def test_free_is_free() -> None:
    free = Costs.zero()
    assert (free.commission_rate, free.half_spread, free.has_impact) == (0.0, 0.0, False)
    assert EngineConfig(free).costs == costs()
