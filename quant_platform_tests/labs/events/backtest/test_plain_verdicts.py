"""What decides about money after discovery: choice, folds, promotion, acceptance, capital; each at its bar."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from quant_platform.labs.events.backtest.acceptance import accept
from quant_platform.labs.events.backtest.allocation import _targets, shares
from quant_platform.labs.events.backtest.attribution import attribution
from quant_platform.labs.events.backtest.promotions import correlated, promote, ratios, regime_share
from quant_platform.labs.events.backtest.robustness import (
    bootstrapped,
    by_state,
    keep_at_random,
    perturbed,
    scaled_thresholds,
    summary,
)
from quant_platform.labs.events.backtest.strategies import choose, why_not
from quant_platform.labs.events.backtest.walk_forward import positive_folds, walk_forward
from quant_platform_tests.labs.events.backtest.test_judging import SPEC, START, entries, evidence, good, trades
from quant_platform_tests.labs.events.discovery.report_frames import judged
from quant_platform_tests.labs.events.discovery.worlds import event_spec, specs

SPECS = specs([event_spec("E")])


def document(name: str, edge: float, **changes: Any) -> str:
    made = {
        "blueprint_id": name, "template": "continuation", "side": 1, "symbols": ["A", "B"],
        "rule": {"event_id": "E", "state": {}}, "exit": {"horizon_bars": 12}, "evidence": {"edge_over_cost": edge},
    }  # fmt: skip
    return json.dumps(made | changes)


def hypothesis(event: str, t: float | None, **changes: Any) -> dict[str, Any]:
    return judged(event_id=event, **changes) | {"t": t, "gates_failed": ["gate_economic"]} | changes


def test_blueprints_are_run_by_their_edge_and_refused_cells_by_their_t() -> None:
    documents = [
        document("b", 3.0),
        document("a", 3.0),
        document("least", 2.0),
        document("most", 5.0, side=-1, rule={"event_id": "E", "state": {"vol_regime": "low"}}),
        document("two_legs", 9.0, template="convergence"),
        document("size", 9.5, template="convexity_capture"),
        document("filter", 9.7, template="only_if_trend"),
    ]
    refused = [
        hypothesis("LOW", 1.0),
        hypothesis("HIGH", 4.0, symbol="B", dimension="vol_regime", state="low", template="mean_reversion", side=-1),
        hypothesis("MID", 2.0),
        hypothesis("PASSED", 9.0, track="standard"),
        hypothesis("MIRROR", 9.0, counted=False),
        hypothesis("SMALL", 9.0, tested=False),
        hypothesis("LEGS", 9.0, template="convergence"),
        hypothesis("NONE", None),
    ]
    spec = SPEC.strategies.model_copy(update={"max_blueprints": 3, "refused_beside": 2})
    chosen = choose(pl.DataFrame({"document": documents}), pl.DataFrame(refused), SPECS, spec, ("A", "B"))
    assert [one.strategy_id for one in chosen.run] == [
        "most", "a", "b", "REFUSED-HIGH-mean_reversion-12-B-vol_regime=low", "REFUSED-MID-continuation-12-ALL-ALL",
    ]  # fmt: skip
    legs = "it trades two instruments, and the market of this lab holds the perpetual only"
    sizes = "its outcome has no direction to trade"
    reasons = [(one.strategy_id, reason) for one, reason in chosen.not_run]
    assert reasons == [
        ("filter", sizes), ("size", sizes), ("two_legs", legs), ("least", "beyond the first 3 blueprints"),
    ]  # fmt: skip
    most, high, mid = chosen.run[0], chosen.run[3], chosen.run[4]
    assert (most.side, most.dimension, most.state, most.symbols) == (-1, "vol_regime", "low", ("A", "B"))
    assert (high.side, high.symbols, high.status, high.refusals) == (-1, ("B",), "refused", ("gate_economic",))
    assert (mid.symbols, mid.dimension, mid.horizon_bars) == (("A", "B"), "ALL", 12)
    assert why_not(SPECS.templates["overshoot_repair"]) == ""


def test_of_two_refused_cells_alike_the_first_by_name_is_taken() -> None:
    rows = [hypothesis("Z", 2.0), hypothesis("Y", 2.0)]
    spec = SPEC.strategies.model_copy(update={"refused_alone": 1})
    none = pl.DataFrame(schema={"document": pl.String})
    assert [one.event_id for one in choose(none, pl.DataFrame(rows), SPECS, spec, ("A",)).run] == ["Y"]


WALK = SPEC.walk_forward.model_copy(
    update={"folds": 1, "first_train_share": 0.5, "min_train_trades": 3, "embargo_days": 2, "rolling_days": 4}
)


def folded(days: list[float], net: list[float], *, hours: float = 24.0, **changes: int) -> dict[str, dict[str, Any]]:
    spec = WALK.model_copy(update=changes)
    found = walk_forward({1: trades(days, net, hold_hours=hours)}, START, 20, spec)
    return {row["scheme"]: row for row in found.rows.iter_rows(named=True)}


def test_training_begins_and_ends_on_its_days() -> None:
    """Ten days of training less an embargo of two; the rolling one is the four days before that."""
    found = folded([float(day) for day in range(20)], [float(day) for day in range(20)])
    anchored, rolling = found["anchored"], found["rolling"]
    assert (anchored["train_start"], anchored["train_end"]) == (START, START + timedelta(days=8))
    assert (rolling["train_start"], rolling["train_end"]) == (START + timedelta(days=4), START + timedelta(days=8))
    assert (anchored["test_start"], anchored["test_end"]) == (START + timedelta(days=10), START + timedelta(days=20))
    # A trade of a day that ends as training does counts: entries on days 0 to 7, and on days 4 to 7.
    assert (anchored["n_train"], anchored["train_net_bps"]) == (8, 3.5)
    assert (rolling["n_train"], rolling["train_net_bps"]) == (4, 5.5)
    assert (anchored["n_test"], anchored["test_net_bps"], anchored["test_pnl"]) == (10, 14.5, 145.0)
    assert anchored["degradation_bps"] == 3.5 - 14.5


def test_a_side_is_learnt_from_enough_trades_that_earned_something() -> None:
    three = [0.0, 1.0, 2.0, 12.0]
    assert folded(three, [1.0, 1.0, 1.0, 7.0])["anchored"]["side"] == 1
    assert folded(three, [1.0, 1.0, 1.0, 7.0], min_train_trades=4)["anchored"]["side"] == 0
    nothing = folded(three, [1.0, -1.0, 0.0, 7.0])["anchored"]
    assert (nothing["side"], nothing["n_train"], nothing["n_test"], nothing["test_pnl"]) == (0, 0, 0, 0.0)
    assert (nothing["train_net_bps"], nothing["test_net_bps"], nothing["degradation_bps"]) == (None, None, None)


def test_a_fold_earned_where_its_sum_is_above_zero() -> None:
    rows = pl.DataFrame(
        {
            "scheme": ["anchored"] * 4 + ["rolling"],
            "n_test": [3, 1, 2, 0, 9],
            "test_pnl": [5.0, 0.0, -1.0, 0.0, 100.0],
        }
    )
    assert positive_folds(rows) == 0.25


PROMISING = SPEC.promotion.model_copy(update={"min_psr": 0.5, "min_dsr": 0.4})


def test_every_bar_of_a_promotion_at_its_value_and_a_hair_beyond() -> None:
    base = evidence("A", good(1))
    measured = ratios(base.returns, 5, 1.0 / 119)
    share = regime_share(base.trades)
    assert share == 0.6
    for bar, at, beyond, words in (
        ("min_trades", 150, 151, "150 trades, 151 are needed"),
        ("min_psr", measured.psr, measured.psr + 1e-9, "probabilistic Sharpe ratio"),
        ("min_dsr", measured.dsr, measured.dsr + 1e-9, "deflated Sharpe ratio"),
        ("max_regime_share", share, share - 1e-9, "60% of the result from one volatility regime, 60% at most"),
        ("min_positive_folds", 0.8, 0.8 + 1e-9, "80% of the folds earned"),
    ):
        [row] = promote([base], 5, PROMISING.model_copy(update={bar: at}))
        assert (row["promoted"], row["reasons"]) == (True, []), bar
        [row] = promote([base], 5, PROMISING.model_copy(update={bar: beyond}))
        assert not row["promoted"]
        assert [words in reason for reason in row["reasons"]] == [True], bar


def test_the_row_of_a_promotion_holds_what_it_was_judged_on() -> None:
    returns = np.r_[np.full(30, np.nan), good(1)]
    [row] = promote([evidence("A", returns, total_return=0.25, max_drawdown=0.125)], 5, PROMISING)
    daily = good(1)
    sharpe = float(np.mean(daily) / np.std(daily, ddof=1) * math.sqrt(365.0))
    assert (row["n_days"], row["n_trades"], row["n_trials"], row["was_run"]) == (120, 150, 5, True)
    assert row["sharpe"] == pytest.approx(sharpe)
    assert (row["total_return"], row["max_drawdown"], row["positive_folds"]) == (0.25, 0.125, 0.8)
    assert (row["regime_share"], row["largest_correlation"]) == (0.6, None)
    assert row["dsr"] < row["psr"]


def test_the_best_is_promoted_first_and_what_moves_like_it_is_not() -> None:
    leader, copy = evidence("Z", good(1)), evidence("A", 0.5 * good(1) - 0.0005)
    rows = promote([copy, leader], 1, PROMISING)
    assert [(row["strategy_id"], row["promoted"]) for row in rows] == [("Z", True), ("A", False)]
    assert rows[1]["largest_correlation"] == pytest.approx(1.0)
    kept = promote([copy, leader], 1, PROMISING.model_copy(update={"max_pnl_correlation": 1.0 + 1e-9}))
    assert [row["promoted"] for row in kept] == [True, True]


def test_correlation_is_of_the_days_that_both_have_and_move_on() -> None:
    first = np.array([0.01, -0.02, 0.03, np.nan, 0.05])
    second = np.array([0.02, -0.01, np.nan, 0.07, 0.04])
    a, b = np.array([0.01, -0.02, 0.05]), np.array([0.02, -0.01, 0.04])
    expected = ((a - a.mean()) * (b - b.mean())).sum() / math.sqrt(
        ((a - a.mean()) ** 2).sum() * ((b - b.mean()) ** 2).sum()
    )
    assert correlated(first, second) == pytest.approx(expected)
    assert math.isnan(correlated(first[:3], second[:3]))
    assert math.isnan(correlated(first, np.full(5, 0.01)))


def test_the_regime_that_earned_most_is_a_share_of_the_whole() -> None:
    parts = [trades([0], [50.0]), trades([1], [-30.0], regime="low"), trades([2], [20.0], regime="mid")]
    unknown = trades([3], [10.0]).with_columns(vol_regime=pl.lit(None, pl.String))
    assert regime_share(pl.concat([*parts, unknown])) == pytest.approx(50.0 / 50.0)
    assert math.isnan(regime_share(pl.concat([trades([0], [5.0]), trades([1], [-5.0])])))


def test_a_check_of_the_market_is_of_its_quantile_and_accepts_at_its_bound() -> None:
    ladder = np.arange(1.0, 22.0)
    spec = SPEC.acceptance.model_copy(
        update={"quantile": 0.95, "max_spread_bps": 20.0, "min_depth_orders": 2.0, "max_unknown_share": 0.1}
    )
    n = 21
    given = entries(
        spread_bps=ladder, depth_usd=1e4 * ladder, impact_bps=np.full(n, 2.0), participation=np.full(n, 0.001),
        order_usd=np.full(n, 1e4),
    )  # fmt: skip
    spread, depth, impact, _ = accept(given, spec)
    # Of 1 to 21 the 95 % quantile is 20, and the 5 % quantile 2.
    assert (spread["judged"], spread["median"], spread["accepted"]) == (20.0, 11.0, True)
    assert (depth["judged"], depth["median"], depth["accepted"]) == (pytest.approx(2.0), 11.0, True)
    assert depth["reason"] == "5% quantile 2 orders, at least 2"
    assert spread["reason"] == "95% quantile 20 bps, at most 20"
    assert (impact["n"], impact["n_unknown"], impact["bound"], impact["judged"]) == (21, 0, 5.0, 2.0)
    tight = spec.model_copy(update={"max_spread_bps": 19.99, "min_depth_orders": 2.01})
    assert [row["accepted"] for row in accept(given, tight)] == [False, False, True, True]
    two = replace(
        given, spread_bps=np.r_[ladder[:-2], np.nan, np.nan], impact_bps=np.r_[ladder[:-3], np.full(3, np.nan)]
    )
    spread, _, impact, _ = accept(two, spec)
    assert (spread["n_unknown"], "judged" in spread) == (2, True)
    assert (impact["accepted"], impact["reason"], impact["median"]) == (False, "not known at 3 of 21 entries", 9.5)


def test_capital_needs_enough_days_and_moves() -> None:
    spec = SPEC.allocation.model_copy(update={"min_days": 4, "max_share": 0.9})
    one, two = np.array([0.01, -0.01, 0.01, -0.01]), np.array([0.03, -0.03, 0.03, -0.03])
    found = shares([one, two], spec)
    # Deviations as one to three: three quarters and one.
    assert [share for share, _ in found] == pytest.approx([0.75, 0.25])
    deviation = 0.01 * math.sqrt(4 / 3) * math.sqrt(365.0)
    assert [volatility for _, volatility in found] == pytest.approx([deviation, 3.0 * deviation])
    assert shares([one[:3], two], spec) == [(0.0, 0.0), (0.9, pytest.approx(3.0 * deviation))]
    assert shares([one[:3]], spec) == [(0.0, 0.0)]


def test_every_part_of_a_result_has_its_sign() -> None:
    frame = trades([0, 1], [10.0, -4.0]).with_columns(
        symbol=pl.Series(["A", "B"]), side=pl.Series(["long", "short"]), segment=pl.Series(["train", "test"]),
        price_pnl=pl.Series([16.0, 1.0]), commission=pl.Series([1.0, 2.0]), spread=pl.Series([2.0, 1.0]),
        impact=pl.Series([0.5, 1.0]), funding=pl.Series([2.5, 1.0]),
    )  # fmt: skip
    rows = attribution(frame, "E")
    parts = dict(rows.filter(dimension="cost_part").select("value", "pnl").iter_rows())
    assert parts == {"price": 17.0, "commission": -3.0, "spread": -3.0, "impact": -1.5, "funding": -3.5}
    for dimension, expected in {
        "side": [("long", 1, 10.0), ("short", 1, -4.0)],
        "segment": [("test", 1, -4.0), ("train", 1, 10.0)],
        "event": [("E", 2, 6.0)],
        "hour": [("00", 2, 6.0)],
    }.items():
        assert rows.filter(dimension=dimension).select("value", "trades", "pnl").rows() == expected


def test_runs_of_changes_and_states_are_summed_or_say_why_there_are_none() -> None:
    frame = pl.concat([trades([1, 0], [-20.0, 50.0]), trades([2], [-10.0], regime="low")])
    row, missing = perturbed([("cost", "x", lambda: frame), ("threshold", "y", lambda: "none")], 100.0)
    assert (row["kind"], row["variant"], row["n"], row["net_bps"]) == ("cost", "x", 3, pytest.approx(20.0 / 3))
    # In the order of the exits: 150, 130, 120.
    assert (row["total_return"], row["max_drawdown"]) == (pytest.approx(0.2), pytest.approx(0.2))
    assert missing == {"kind": "threshold", "variant": "y", "n": 0, "not_available": "none"}
    none = summary("base", "z", frame.clear(), 100.0)
    assert (none["n"], none["net_bps"], none["total_return"], none["max_drawdown"]) == (0, None, 0.0, 0.0)
    labelled = frame.with_columns(funding_bucket=pl.lit(None, pl.String), trend_state=pl.lit("up"))
    found = {row["variant"]: (row["n"], row["net_bps"]) for row in by_state(labelled, 100.0)}
    assert found == {
        "vol_regime=high": (2, 15.0), "vol_regime=low": (1, -10.0), "funding_bucket=not known": (3, 20.0 / 3),
        "trend_state=up": (3, 20.0 / 3),
    }  # fmt: skip


def test_bootstrapped_ends_are_the_quantiles_of_its_level() -> None:
    """Of days that are a gain of a tenth or a loss of a half, a fall below the start counts from the start."""
    spec = SPEC.bootstrap.model_copy(update={"mean_block_days": 1.0, "draws": 4000})
    total, fall = bootstrapped(np.array([0.1, -0.5]), spec)
    # Two days drawn with replacement: 1.21 and 0.25 with a quarter each, 0.55 with a half.
    assert (total["low"], total["total_return"], total["high"]) == pytest.approx((-0.75, -0.45, 0.21))
    assert (fall["low"], fall["max_drawdown"], fall["high"]) == pytest.approx((0.0, 0.5, 0.75))
    assert (total["n"], total["max_drawdown"], fall["total_return"]) == (2, None, None)
    narrow = bootstrapped(np.array([0.1, -0.5]), spec.model_copy(update={"level": 0.4}))[0]
    assert (narrow["low"], narrow["high"]) == pytest.approx((-0.45, -0.45))


def test_a_threshold_of_a_half_is_a_lower_tail_and_bars_are_none() -> None:
    event = event_spec(
        "E", params={"q": 0.5, "bars": 3.0, "lookback": 9.0, "x": 2.0}, condition="(close>x)&(bars>lookback)",
        definitions={"d": "close-quantile(close,q,288)"},
    )  # fmt: skip
    found = scaled_thresholds(event, 0.9)
    assert found is not None
    assert found.params == pytest.approx({"q": 0.45, "bars": 3.0, "lookback": 9.0, "x": 1.8})
    assert keep_at_random(9, 0.1, 1).sum() == 8
    assert keep_at_random(4, 0.1, 1).all()


def test_a_position_is_weighed_by_the_equity_before_its_bar() -> None:
    """Half of the capital: 0.5 x 3 x 10 / 200 = 0.075; the last fill of a bar counts, a ruined account has none."""
    fills = pl.DataFrame(
        {
            "bar": [0, 2, 2, 2, 4],
            "asset": ["B", "A", "A", "B", "A"],
            "position": [1.0, 9.0, 3.0, -2.0, 1.0],
            "reference_price": [4.0, 10.0, 10.0, 5.0, 1.0],
        }
    )
    result = SimpleNamespace(
        fills=fills,
        equity=pl.DataFrame({"equity": [100.0, 200.0, 400.0, 0.0, 50.0]}),
        bars=SimpleNamespace(assets=("A", "B")),
    )
    found = _targets(result, 0.5)  # type: ignore[arg-type]  # only what is read of a result
    assert found.keys() == {0, 2, 4}
    assert found[0] == [(1, pytest.approx(0.02))]
    assert sorted(found[2]) == [(0, pytest.approx(0.075)), (1, pytest.approx(-0.025))]
    assert found[4] == [(0, 0.0)]
