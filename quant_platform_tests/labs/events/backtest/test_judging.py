"""Folds, perturbations, acceptance, promotion, allocation and drift, each against numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from quant_platform.labs.events.backtest.acceptance import Entries, accept
from quant_platform.labs.events.backtest.allocation import shares
from quant_platform.labs.events.backtest.attribution import attribution
from quant_platform.labs.events.backtest.drift import drift_rows
from quant_platform.labs.events.backtest.promotions import Evidence, promote, ratios, regime_share
from quant_platform.labs.events.backtest.robustness import bootstrapped, keep_at_random, scaled_thresholds, summary
from quant_platform.labs.events.backtest.walk_forward import positive_folds, walk_forward
from quant_platform.labs.events.discovery.segments import Segment
from quant_platform.specification.event_backtest import EventBacktestSpec
from quant_platform.specification.event_lab import load_event_lab
from quant_platform.specification.loading import load_spec
from quant_platform_tests.labs.events.discovery.worlds import event_spec, panel

SPECS = Path(__file__).resolve().parents[4] / "specs"
SPEC = load_spec(SPECS / "backtest.yaml", EventBacktestSpec)
START = datetime(2024, 1, 1, tzinfo=UTC)


def trades(days: list[float], net: list[float], *, hold_hours: float = 1.0, regime: str = "high") -> pl.DataFrame:
    """A trade a day in the list, of that many bps and as much money."""
    entry = [START + timedelta(days=d) for d in days]
    return pl.DataFrame(
        {
            "entry_bar": pl.Series(entry, dtype=pl.Datetime("us", "UTC")),
            "exit_bar": pl.Series([e + timedelta(hours=hold_hours) for e in entry], dtype=pl.Datetime("us", "UTC")),
            "net_bps": net,
            "net_pnl": net,
            "vol_regime": [regime] * len(days),
        },
        schema_overrides={"net_bps": pl.Float64, "net_pnl": pl.Float64},
    )


def test_folds_choose_the_side_that_earned_and_keep_what_it_traded() -> None:
    """Own side earns 10 in the first half and loses 20 in the second; the other side earns the opposite."""
    spec = SPEC.walk_forward.model_copy(
        update={"folds": 2, "first_train_share": 0.4, "rolling_days": 20, "embargo_days": 1, "min_train_trades": 5}
    )
    days = [float(d) for d in range(100)]
    own = trades(days, [10.0] * 50 + [-20.0] * 50)
    found = walk_forward({1: own, -1: trades(days, [-10.0] * 50 + [20.0] * 50)}, START, 100, spec)
    rows = {(row["scheme"], row["fold"]): row for row in found.rows.iter_rows(named=True)}
    # Test windows begin on days 40 and 70; training ends a day before.
    first, second = rows["anchored", 0], rows["anchored", 1]
    assert (first["side"], first["n_train"], first["train_net_bps"]) == (1, 39, 10.0)
    assert (first["n_test"], first["test_net_bps"]) == (30, (10 * 10.0 - 20 * 20.0) / 30)
    # Days 0 to 68: 50 trades of +10 and 19 of -20; the other side earned 19 of 20 less 50 of 10: still the own.
    assert second["train_net_bps"] == pytest.approx((500.0 - 380.0) / 69)
    assert (second["side"], second["n_test"], second["test_pnl"]) == (1, 30, -600.0)
    assert second["degradation_bps"] == pytest.approx(120.0 / 69 + 20.0)
    # The last 20 days before day 69 hold one +10 and 19 of -20: rolling turns round.
    assert (rows["rolling", 1]["side"], rows["rolling", 1]["test_net_bps"]) == (-1, 20.0)
    assert found.trades["rolling"].filter(pl.col("fold") == 1)["net_bps"].to_list() == [20.0] * 30
    assert positive_folds(found.rows) == 0.0


def test_what_reaches_into_the_embargo_does_not_train_and_losing_sides_do_not_trade() -> None:
    spec = SPEC.walk_forward.model_copy(update={"folds": 2, "first_train_share": 0.5, "min_train_trades": 2})
    days = [float(d) for d in range(20)]
    long_held = walk_forward({1: trades(days, [5.0] * 20, hold_hours=48.0)}, START, 20, spec)
    # The window begins on day 10, training ends on day 9: entries up to day 7 had ended.
    assert long_held.rows["n_train"][0] == 8
    lost = walk_forward({1: trades(days, [-5.0] * 20)}, START, 20, spec)
    assert lost.rows["side"].to_list() == [0] * 4
    assert lost.rows["n_test"].to_list() == [0] * 4
    assert positive_folds(lost.rows) is None
    few = walk_forward({1: trades(days[:1], [5.0])}, START, 20, spec)
    assert set(few.rows["side"]) == {0}


def test_a_summary_counts_closed_trades_and_their_deepest_fall() -> None:
    frame = trades([0, 1, 2, 3], [100.0, -50.0, -30.0, 60.0])
    open_one = frame.tail(1).with_columns(exit_bar=pl.lit(None, pl.Datetime("us", "UTC")), net_pnl=pl.lit(1e6))
    row = summary("base", "x", pl.concat([frame, open_one]), 900.0)
    assert (row["n"], row["net_bps"]) == (4, 20.0)
    assert row["total_return"] == pytest.approx(80.0 / 900.0)
    assert row["max_drawdown"] == pytest.approx(80.0 / 1000.0)


def test_a_bootstrap_of_equal_days_has_no_width_and_of_luck_holds_zero() -> None:
    flat = {row["variant"]: row for row in bootstrapped(np.full(50, 0.01), SPEC.bootstrap)}
    assert flat["total_return"]["low"] == pytest.approx(1.01**50 - 1.0)
    assert flat["total_return"]["high"] == flat["total_return"]["low"]
    assert flat["max_drawdown"]["high"] == 0.0
    rng = np.random.default_rng(3)
    luck = {row["variant"]: row for row in bootstrapped(rng.normal(0.0, 0.01, 200), SPEC.bootstrap)}
    assert luck["total_return"]["low"] < 0.0 < luck["total_return"]["high"]
    assert 0.0 < luck["max_drawdown"]["low"] < luck["max_drawdown"]["high"] < 1.0
    assert bootstrapped(np.array([np.nan, 0.1]), SPEC.bootstrap)[0]["not_available"] == "fewer than two days"


def test_thresholds_are_scaled_quantiles_by_their_tail_and_counts_not_at_all() -> None:
    event = event_spec(
        "E", params={"share": 0.01, "q": 0.99, "low": 0.02, "hold": 6.0},
        condition="(close>=share)&(run(close>1)==hold)",
        definitions={"d": "close-pq(close,q,288)", "e": "close-pq(abs(close-1),low,288)"},
    )  # fmt: skip
    found = scaled_thresholds(event, 1.1)
    assert found is not None
    assert found.params == pytest.approx({"share": 0.011, "q": 0.989, "low": 0.022, "hold": 6.0})
    assert scaled_thresholds(event_spec("E"), 1.1) is None


def test_every_event_of_the_registry_can_be_rethresholded() -> None:
    for event in load_event_lab(SPECS).active.values():
        for factor in SPEC.perturbations.threshold_factors:
            found = scaled_thresholds(event, factor)
            if found is not None:
                quantiles = {n: v for n, v in found.params.items() if 0.0 < event.params[n] < 1.0 and n.endswith("q")}
                assert all(0.0 < value < 1.0 for value in quantiles.values()), event.id


def test_a_tenth_is_dropped_and_the_same_tenth_again() -> None:
    kept = keep_at_random(200, 0.1, 7)
    assert kept.sum() == 180
    np.testing.assert_array_equal(kept, keep_at_random(200, 0.1, 7))
    assert not np.array_equal(kept, keep_at_random(200, 0.1, 8))


def entries(**changes: object) -> Entries:
    n = 40
    base = Entries(np.full(n, 1.0), np.full(n, 1e6), np.full(n, 2.0), np.full(n, 0.001), np.full(n, 1e4))
    return replace(base, **changes)


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({}, []),
        ({"spread_bps": np.r_[np.full(37, 1.0), np.full(3, 50.0)]}, ["spread"]),
        ({"spread_bps": np.r_[np.full(39, 1.0), 50.0]}, []),
        ({"depth_usd": np.r_[np.full(37, 1e6), np.full(3, 4e4)]}, ["depth"]),
        ({"depth_usd": np.full(40, np.nan)}, ["depth"]),
        ({"depth_usd": np.r_[np.full(37, 1e6), np.full(3, np.nan)]}, ["depth"]),
        ({"impact_bps": np.full(40, 9.0), "participation": np.full(40, 0.5)}, ["impact", "participation"]),
    ],
)
def test_bounds_of_the_market(changes: dict[str, object], refused: list[str]) -> None:
    rows = accept(entries(**changes), SPEC.acceptance)
    assert [row["check"] for row in rows if not row["accepted"]] == refused


def test_nothing_entered_is_nothing_accepted() -> None:
    none = Entries(*(np.zeros(0) for _ in range(5)))
    assert [row["accepted"] for row in accept(none, SPEC.acceptance)] == [False] * 4


def evidence(name: str, returns: np.ndarray, **changes: object) -> Evidence:
    one = Evidence(
        name,
        "blueprint",
        returns,
        150,
        pl.concat([trades([0], [6.0]), trades([1], [4.0], regime="low")]),
        0.8,
        (),
        0.1,
        0.2,
    )
    return replace(one, **changes)


def good(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.004, 0.01, 120)


def test_what_is_promoted_and_every_reason_against() -> None:
    strong, twin = good(1), good(1) + 1e-5 * np.random.default_rng(9).normal(size=120)
    found = [
        evidence("A", strong),
        evidence("B", twin),
        evidence("C", good(2), n_trades=99),
        evidence("D", good(3), status="refused"),
        evidence("E", np.random.default_rng(4).normal(-0.001, 0.01, 120)),
        evidence("F", good(5), trades=trades([0, 1], [6.0, 4.0])),
        evidence("G", good(6), positive_folds=0.4),
        evidence("H", good(7), refused_checks=("depth not known",)),
        evidence("I", np.full(120, np.nan), positive_folds=None),
    ]
    rows = {row["strategy_id"]: row for row in promote(found, 1, SPEC.promotion)}
    assert sum(bool(rows[name]["promoted"]) for name in ("A", "B")) == 1
    loser = next(rows[name] for name in ("A", "B") if not rows[name]["promoted"])
    assert "correlation 1.00 with one promoted before" in loser["reasons"][0]
    for name, words in (
        ("C", "99 trades, 100 are needed"), ("D", "discovery refused the cell"), ("E", "probabilistic Sharpe ratio"),
        ("F", "100% of the result from one volatility regime"), ("G", "40% of the folds earned"),
        ("H", "market refused: depth not known"), ("I", "not known"),
    ):  # fmt: skip
        assert any(words in reason for reason in rows[name]["reasons"]), (name, rows[name]["reasons"])
    assert [len(rows[name]["reasons"]) for name in ("C", "D", "F", "G", "H")] == [1] * 5


def test_more_trials_deflate() -> None:
    few, many = ratios(good(1), 1, 1.0 / 119), ratios(good(1), 500, 1.0 / 119)
    assert few.dsr == pytest.approx(few.psr)
    assert many.dsr < few.dsr
    assert few.sharpe == pytest.approx(np.mean(good(1)) / np.std(good(1), ddof=1) * 365**0.5)


def test_regimes() -> None:
    both = pl.concat([trades([0], [30.0]), trades([1], [-10.0], regime="low")])
    assert regime_share(both) == pytest.approx(1.5)
    assert np.isnan(regime_share(trades([0], [-1.0])))


def test_capital_follows_one_over_volatility_up_to_the_cap() -> None:
    rng = np.random.default_rng(0)
    calm, wild = rng.normal(0.0, 0.01, 400), rng.normal(0.0, 0.03, 400)
    still, short = np.zeros(400), np.r_[np.full(395, np.nan), rng.normal(0.0, 0.01, 5)]
    found = shares([calm, wild, still, short], SPEC.allocation)
    assert found[0][0] == SPEC.allocation.max_share
    part = (1 / wild.std(ddof=1)) / (1 / calm.std(ddof=1) + 1 / wild.std(ddof=1))
    assert found[1][0] == pytest.approx(part)
    assert [share for share, _ in found[2:]] == [0.0, 0.0]
    assert found[1][1] == pytest.approx(wild.std(ddof=1) * 365**0.5)


def test_every_dimension_adds_up() -> None:
    frame = trades([0, 1, 1.5], [10.0, -4.0, 3.0]).with_columns(
        symbol=pl.Series(["A", "B", "A"]), side=pl.Series(["long", "short", "short"]), segment=pl.lit("train"),
        price_pnl=pl.col("net_pnl") + 4.0, commission=pl.lit(1.0), spread=pl.lit(2.0), impact=pl.lit(1.5),
        funding=pl.lit(-0.5),
    )  # fmt: skip
    rows = attribution(frame, "E")
    sums = dict(rows.group_by("dimension").agg(pl.col("pnl").sum()).iter_rows())
    assert sums == pytest.approx(dict.fromkeys(("symbol", "side", "event", "hour", "segment", "cost_part"), 9.0))
    assert dict(rows.filter(dimension="symbol").select("value", "pnl").iter_rows()) == {"A": 13.0, "B": -4.0}
    assert dict(rows.filter(dimension="hour").select("value", "trades").iter_rows()) == {"00": 2, "12": 1}
    assert rows.filter(dimension="cost_part", value="funding")["pnl"].to_list() == [1.5]


def test_a_feature_that_moves_raises_an_alarm_and_one_that_is_missing_says_so() -> None:
    moved = panel(4, days=120)
    rng = np.random.default_rng(1)
    moved.columns["rv12"][0] = rng.normal(size=moved.periods)
    moved.columns["rv12"][0, 80 * 288 :] += 3.0
    moved.columns["spread_bps"][:] = np.nan
    rows = drift_rows(moved, Segment("train", 0, 80), "2024-04", SPEC.drift)
    first = rows.filter(symbol="AAAUSDT", feature="rv12").row(0, named=True)
    assert first["alarm"]
    assert (first["n_reference"], first["n_current"]) == (80, 40)
    assert "holds no values" in rows.filter(symbol="AAAUSDT", feature="spread_bps")["not_available"][0]
