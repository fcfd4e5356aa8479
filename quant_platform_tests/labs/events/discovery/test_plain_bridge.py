"""Every number of the bridge, and each of its bars, on a market whose outcomes are written down."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any

import polars as pl
import pytest
from scipy import stats

from quant_platform.contracts.schemas.discovery import DiscoveryHypotheses
from quant_platform.labs.events.discovery.bridge import _verdict, bridge
from quant_platform.specification.discovery import DiscoverySpecs, ErrorsSpec
from quant_platform_tests.labs.events.discovery.plain_market import (
    VALIDATION,
    A,
    B,
    clustered,
    events,
    market,
    mean,
    of,
)
from quant_platform_tests.labs.events.discovery.report_frames import bridged, frame, judged
from quant_platform_tests.labs.events.discovery.worlds import START, event_spec, specs

SIDES = {"continuation": 1, "mean_reversion": -1, "exhaustion_reversal": -1}


def barred(**bars: float) -> DiscoverySpecs:
    made = specs([event_spec("E", horizons_bars=(3,))])
    bridge_bars = made.gates.bridge.model_copy(update={"min_trades": 3, "min_edge_over_cost": 0.1, **bars})
    return replace(made, gates=made.gates.model_copy(update={"bridge": bridge_bars}))


def survivor(template: str = "continuation", **changes: Any) -> dict[str, Any]:
    given = {"event_id": "E", "horizon_bars": 3, "ontology_hash": "0" * 64, "track": "standard", **changes}
    return judged(template=template, side=SIDES[template], effect_bps=20.0, **given)


SURVIVORS = [
    survivor(),
    survivor("mean_reversion", counted=False),
    survivor("exhaustion_reversal", symbol=B, test="target_stop"),
    survivor(symbol=A),
    survivor(symbol=A, dimension="vol_regime", state="high"),
    survivor(dimension="vol_regime", state="low"),
    survivor(symbol=B, track="fallback_only"),
    survivor(symbol=B, dimension="vol_regime", state="low", track="none"),
]


def looked_at(*rows: dict[str, Any], given: DiscoverySpecs | None = None, **options: Any) -> pl.DataFrame:
    return bridge(frame(DiscoveryHypotheses, rows), events(), market(), given or barred(), **options)


@cache
def found() -> dict[tuple[str, str, str], dict[str, Any]]:
    return {(row["template"], row["symbol"], row["state"]): row for row in looked_at(*SURVIVORS).to_dicts()}


def test_only_survivors_are_looked_at() -> None:
    assert len(found()) == 7
    assert ("continuation", B, "low") not in found()


@pytest.mark.parametrize(
    ("template", "symbol", "state"),
    [
        ("continuation", "ALL", "ALL"),
        ("mean_reversion", "ALL", "ALL"),
        ("continuation", A, "ALL"),
        ("continuation", "ALL", "low"),
        ("continuation", B, "ALL"),
        ("exhaustion_reversal", B, "ALL"),
    ],
)
def test_the_trades_of_validation_make_every_number(template: str, symbol: str, state: str) -> None:
    row, own, side = found()[template, symbol, state], of(VALIDATION, symbol, state), SIDES[template]
    effect, cost = side * mean(own, lambda t: t.gross), mean(own, lambda t: t.cost)
    funding = side * mean(own, lambda t: t.funding)
    net, error, days = clustered(own, lambda t: side * (t.gross - t.funding) - t.cost)
    assert (row["n_trades"], row["n_days"], row["window"]) == (len(own), days, "validation")
    assert (row["window_start"], row["window_end"]) == (START + timedelta(days=13), START + timedelta(days=16))
    for name, expected in {
        "gross_bps": effect,
        "cost_bps": cost,
        "funding_bps": funding,
        "net_bps": net,
        "stressed_bps": effect - 1.5 * cost - funding,
        "edge_over_cost": (effect - funding) / cost,
        "in_sample_bps": 20.0,
        "out_over_in": effect / 20.0,
        "standard_error_bps": error,
        "t": net / error,
        "p_one_sided": float(stats.t.sf(net / error, days - 1)),
    }.items():
        assert row[name] == pytest.approx(expected, rel=1e-8), name
    assert funding != 0.0 or symbol == B


def test_too_few_trades_have_a_mean_and_no_p() -> None:
    """A on high-volatility days: 13 alone, of 13 to 15."""
    row, own = found()["continuation", A, "high"], of(VALIDATION, A, "high")
    assert (row["n_trades"], row["verdict"], row["reasons"]) == (len(own), "insufficient", ["1 trades, 3 are needed"])
    assert row["gross_bps"] == pytest.approx(own[0].gross)
    assert [row[name] for name in ("t", "standard_error_bps", "p_one_sided", "p_adjusted")] == [None] * 4


def test_as_many_trades_as_are_needed_are_enough() -> None:
    """Six trades in three days."""
    for least, verdict in ((6, False), (7, True)):
        [row] = looked_at(survivor(), given=barred(min_trades=least)).to_dicts()
        assert (row["verdict"] == "insufficient") is verdict
        assert (row["p_one_sided"] is None) is verdict
        assert (row["p_adjusted"] is None) is verdict


def test_p_is_adjusted_over_the_standard_cells_with_enough_trades_each_once() -> None:
    """Two templates read one cell: of the four cells that are left, the smaller p of the two stands for it."""
    raw = {key: row["p_one_sided"] for key, row in found().items()}
    groups = {
        "ALL": min(raw["continuation", "ALL", "ALL"], raw["mean_reversion", "ALL", "ALL"]),
        A: raw["continuation", A, "ALL"],
        "low": raw["continuation", "ALL", "low"],
        B: raw["exhaustion_reversal", B, "ALL"],
    }
    expected = dict(zip(groups, stats.false_discovery_control(list(groups.values())), strict=True))
    for key, name in {
        ("continuation", "ALL", "ALL"): "ALL",
        ("mean_reversion", "ALL", "ALL"): "ALL",
        ("continuation", A, "ALL"): A,
        ("continuation", "ALL", "low"): "low",
        ("exhaustion_reversal", B, "ALL"): B,
    }.items():
        assert found()[key]["p_adjusted"] == pytest.approx(expected[name], rel=1e-9)
    weaker = found()["continuation", B, "ALL"]
    assert (weaker["p_adjusted"], weaker["verdict"]) == (None, "fail")
    assert weaker["reasons"][0] == "passed the weaker bar only: looked at outside the family, never promoted"


def test_the_test_window_is_the_last_days_after_another_embargo() -> None:
    [row] = looked_at(survivor(symbol=A), window="test").to_dicts()
    assert (row["window"], row["n_trades"]) == ("test", 3)
    assert (row["window_start"], row["window_end"]) == (START + timedelta(days=17), START + timedelta(days=20))
    assert row["gross_bps"] == pytest.approx(mean(of(range(17, 20), A), lambda t: t.gross), rel=1e-8)


def test_without_an_effect_in_training_there_is_no_share_of_it() -> None:
    for effect, shown in ((None, None), (0.0, 0.0)):
        [row] = looked_at(survivor() | {"effect_bps": effect}).to_dicts()
        assert (row["in_sample_bps"], row["out_over_in"]) == (shown, None)


def test_a_state_that_validation_has_not_seen_has_no_trades() -> None:
    [row] = looked_at(survivor(dimension="vol_regime", state="shock")).to_dicts()
    assert (row["n_trades"], row["n_days"], row["verdict"]) == (0, 0, "insufficient")
    assert [row[name] for name in ("gross_bps", "cost_bps", "funding_bps", "net_bps", "edge_over_cost")] == [None] * 5


def test_horizons_above_a_day_are_clustered_by_the_weeks_of_the_calendar() -> None:
    """Day 13 is a Sunday: two weeks, and so one degree of freedom, whose Student is Cauchy's."""
    weekly, daily = (
        replace(barred(), discovery=barred().discovery.model_copy(update={"errors": errors(bars)})) for bars in (2, 3)
    )
    [row] = looked_at(survivor(), given=weekly).to_dicts()
    own = of(VALIDATION)
    net = [t.gross - t.funding - t.cost for t in own]
    centre = sum(net) / 6
    sums = [sum(x - centre for x, t in zip(net, own, strict=True) if (t.day == 13) is first) for first in (True, False)]
    error = (2 * sum(x * x for x in sums)) ** 0.5 / 6
    assert (row["standard_error_bps"], row["n_days"]) == (pytest.approx(error, rel=1e-8), 3)
    assert row["p_one_sided"] == pytest.approx(0.5 - math.atan(centre / error) / math.pi, rel=1e-8)
    [row] = looked_at(survivor(), given=daily).to_dicts()
    assert row["standard_error_bps"] == pytest.approx(found()["continuation", "ALL", "ALL"]["standard_error_bps"])


def errors(week_above_bars: int) -> ErrorsSpec:
    return barred().discovery.errors.model_copy(update={"week_above_bars": week_above_bars})


@pytest.mark.parametrize(("fee", "edge"), [(0.0, None), (0.025, True)])
def test_what_costs_nothing_has_no_edge_in_units_of_its_cost(fee: float, edge: bool | None) -> None:
    made = barred()
    cost = made.discovery.cost.model_copy(update={"fee_bps": fee, "order_usd": 0.0})
    free = replace(made, discovery=made.discovery.model_copy(update={"cost": cost}))
    panel = market()
    panel.columns["spread_bps"][:] = 0.0
    [row] = bridge(frame(DiscoveryHypotheses, [survivor(symbol=B)]), events(), panel, free).to_dicts()
    gross = mean(of(VALIDATION, B), lambda t: t.gross)
    assert row["cost_bps"] == pytest.approx(2.0 * fee)
    assert row["edge_over_cost"] == (pytest.approx(gross / (2.0 * fee)) if edge else None)


NEEDED = {"min_trades": 20, "min_edge_over_cost": 2.0, "level": 0.05}
PASSES = {"n_trades": 20, "edge_over_cost": 2.0, "stressed_bps": 0.05, "p_adjusted": 0.05, "track": "standard"}


@pytest.mark.parametrize(
    ("changes", "verdict", "reasons"),
    [
        ({}, "pass", []),
        ({"n_trades": 19}, "insufficient", ["19 trades, 20 are needed"]),
        ({"edge_over_cost": 1.99}, "fail", ["1.99 times its cost, 2.00 are needed"]),
        ({"edge_over_cost": None}, "fail", ["nan times its cost, 2.00 are needed"]),
        ({"stressed_bps": 0.0}, "fail", ["0.00 bps at stressed cost, more than 0.00 is needed"]),
        ({"stressed_bps": -1.0}, "fail", ["-1.00 bps at stressed cost, more than 0.00 is needed"]),
        ({"p_adjusted": 0.051}, "fail", ["p 0.051 over the standard cells, 0.05 or less is needed"]),
        ({"p_adjusted": None}, "fail", ["p nan over the standard cells, 0.05 or less is needed"]),
        (
            {"edge_over_cost": 0.5, "stressed_bps": -2.0, "p_adjusted": 0.2},
            "fail",
            [
                "0.50 times its cost, 2.00 are needed",
                "-2.00 bps at stressed cost, more than 0.00 is needed",
                "p 0.2 over the standard cells, 0.05 or less is needed",
            ],
        ),
        (
            {"track": "fallback_only", "p_adjusted": None},
            "fail",
            ["passed the weaker bar only: looked at outside the family, never promoted"],
        ),
    ],
)
def test_what_equals_its_bar_passes_and_what_does_not_says_why(
    changes: dict[str, Any], verdict: str, reasons: list[str]
) -> None:
    row = _verdict(bridged(judged()) | PASSES | changes, barred(**NEEDED))
    assert (row["verdict"], row["reasons"]) == (verdict, reasons)
