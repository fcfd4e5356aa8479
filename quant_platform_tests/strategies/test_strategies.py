"""Decision makers beside slow twins that know no expression language, and every shipped strategy on small bars."""

from __future__ import annotations

import re
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts.errors import ExpressionError, SchemaViolation, SpecError
from quant_platform.engine.backtest import run
from quant_platform.engine.bars import Bars
from quant_platform.engine.config import Costs, EngineConfig
from quant_platform.engine.identities import verify
from quant_platform.labs.equity.setups import kernel
from quant_platform.labs.equity.setups.decisions import setup_orders
from quant_platform.specification.loading import load_spec
from quant_platform.specification.strategies import SetupDecisions, SignalDecisions, StrategySpec, TopDecisions
from quant_platform.strategies.configuration import decide, engine_config
from quant_platform.strategies.ranking import rebalances, top
from quant_platform.strategies.signals import Crossover, crossover, signals
from quant_platform_tests.engine.cases import flat_bars

SHIPPED = sorted((Path(__file__).resolve().parents[2] / "specs" / "strategies").glob("*.yaml"))
START = date(2018, 1, 1)


def walk(seed: int, sessions: int, assets: int) -> Bars:
    """Random walks on weekdays; every seventh asset begins later."""
    rng = np.random.default_rng(seed)
    close = 50.0 * np.exp(np.cumsum(rng.normal(2e-4, 0.02, (sessions, assets)), axis=0))
    open_ = close * np.exp(rng.normal(0.0, 0.004, close.shape))
    high, low = np.maximum(open_, close) * 1.003, np.minimum(open_, close) * 0.997
    for array in (open_, high, low, close):
        array[: sessions // 3, ::7] = np.nan
    weekdays = [day for k in range(2 * sessions) if (day := START + timedelta(days=k)).weekday() < 5][:sessions]
    stamps = np.array(weekdays, dtype="datetime64[ns]").astype(np.int64)
    return Bars(tuple(f"N{k:03d}" for k in range(assets)), stamps, open_, high, low, close)


def means(values: np.ndarray, window: int) -> np.ndarray:
    return np.array(
        [np.mean(values[t - window + 1 : t + 1]) if t + 1 >= window else np.nan for t in range(len(values))]
    )


def test_a_crossover_enters_on_the_first_close_above_and_leaves_below() -> None:
    bars = walk(3, 200, 3)
    found = crossover(bars, 3, 8)
    for a in (1, 2):
        fast, slow = means(bars.close[:, a], 3), means(bars.close[:, a], 8)
        above = fast > slow
        first = above & ~np.concatenate([[False], above[:-1]])
        np.testing.assert_array_equal(found.long_entry[:, a], first)
        np.testing.assert_array_equal(found.long_exit[:, a], fast < slow)
    assert found.short_entry is None


def test_both_sides_of_a_crossover_are_always_in_the_market() -> None:
    bars = walk(4, 300, 2)
    config = EngineConfig(costs=Costs.zero(), leverage=np.inf)
    result = run(bars, crossover(bars, 5, 15, both_sides=True), config)
    verify(result)
    held = result.exposures["held"].to_numpy()
    first = int(result.fills["bar"].min())
    assert held[first + 20 :].min() >= 1
    reasons = set(result.trades.filter(pl.col("exit_bar").is_not_null())["exit_reason"].cast(pl.String).to_list())
    assert reasons == {"reversal"}


@pytest.mark.parametrize(("fast", "slow"), [(5, 5), (9, 3), (0, 4)])
def test_a_crossover_of_windows_in_the_wrong_order_is_refused(fast: int, slow: int) -> None:
    with pytest.raises(SpecError, match="fast must be below slow"):
        Crossover(fast, slow)


def chosen_by_hand(bars: Bars, at: int, count: int, members: np.ndarray) -> list[int]:
    """Momentum from 252 to 21 sessions ago, sorted in plain Python."""
    scores = []
    for a in range(len(bars.assets)):
        near, far, now = bars.close[at - 21, a], bars.close[at - 252, a] if at >= 252 else np.nan, bars.close[at, a]
        if not np.isnan([near, far, now]).any() and members[at, a]:
            scores.append((-(near / far - 1.0), a))
    return sorted(a for _, a in sorted(scores)[:count])


def momentum(**more: object) -> TopDecisions:
    return TopDecisions.model_validate(
        {"kind": "top", "score": "lag(close,21)/lag(close,252)-1", "count": 20, "rebalance": "month"} | more
    )


def test_momentum_top_20_holds_20_names_and_those_with_the_highest_scores() -> None:
    bars = walk(5, 900, 70)
    members = np.random.default_rng(6).random((1, 70)) < 0.7
    members = np.broadcast_to(members, bars.shape)
    weights = top(bars, momentum(), members)
    for row, at in enumerate(weights.bars):
        held = np.flatnonzero(weights.weights[row]).tolist()
        assert held == chosen_by_hand(bars, int(at), 20, members)
        np.testing.assert_array_equal(weights.weights[row, held], 1.0 / 20.0)
    result = run(bars, weights, EngineConfig(costs=Costs(0.001, 0.0005), units="whole", cash_buffer=0.005))
    verify(result)
    after = result.exposures.filter(pl.col("bar") > int(weights.bars[0]))
    assert after["held"].unique().to_list() == [20]
    assert after["gross"].max() <= 1.0


def test_the_lowest_are_sold_short_in_parts_of_the_same_size() -> None:
    bars = walk(8, 300, 9)
    weights = top(bars, momentum(score="close", count=2, lowest=1, rebalance=50, gross=1.5))
    row = int(np.flatnonzero(weights.bars == 250)[0])
    order = np.argsort(bars.close[250])
    expected = np.zeros(9)
    expected[order[-2:]], expected[order[0]] = 0.5, -0.5
    np.testing.assert_array_equal(weights.weights[row], expected)


def test_the_first_bar_of_each_week_and_month_decides() -> None:
    bars = walk(9, 400, 1)
    days = [START + timedelta(days=int(d)) for d in (bars.stamps - bars.stamps[0]) // 86_400_000_000_000]
    for unit, key in (("week", lambda d: d.isocalendar()[:2]), ("month", lambda d: (d.year, d.month))):
        seen: set[object] = set()
        expected = [k for k, d in enumerate(days) if key(d) not in seen and not seen.add(key(d))]
        assert rebalances(bars, unit).tolist() == expected
    assert rebalances(bars, 150).tolist() == [0, 150, 300]


def test_a_ranking_that_nobody_satisfies_says_so() -> None:
    bars = walk(9, 100, 2)
    with pytest.raises(SpecError, match=re.escape("the score is known on no rebalance")):
        top(bars, momentum())
    with pytest.raises(SpecError, match="this expression is a condition"):
        top(bars, momentum(score="close>1"))
    with pytest.raises(SpecError, match="members of shape"):
        top(bars, momentum(score="close"), np.ones((3, 2), dtype=np.bool_))


def test_expressions_of_signals_are_checked() -> None:
    bars = walk(9, 100, 2)
    with pytest.raises(SpecError, match="this expression is a number"):
        signals(bars, SignalDecisions(kind="signals", long_entry="close-open"))
    with pytest.raises(ExpressionError):
        signals(bars, SignalDecisions(kind="signals", long_entry="close>tomorrow"))
    with pytest.raises(SpecError, match="names volume and the bars have none"):
        signals(bars, SignalDecisions(kind="signals", long_entry="volume>3"))
    with pytest.raises(ValueError, match="never enters"):
        SignalDecisions(kind="signals", long_exit="close>3")


@pytest.mark.parametrize("file", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_strategy_trades(file: Path) -> None:
    spec = load_spec(file, StrategySpec)
    bars = walk(11, 600, 30)
    if spec.decisions is None or isinstance(spec.decisions, SetupDecisions):
        with pytest.raises(SpecError, match="states no decisions that bars alone make"):
            decide(spec, bars)
        return
    result = run(bars, decide(spec, bars), engine_config(spec))
    verify(result)
    assert result.metrics.trades > 20
    assert result.metrics.commission > 0.0


def test_risk_of_a_strategy_file_reaches_the_engine() -> None:
    spec = load_spec(SHIPPED[0].with_name("crossover.yaml"), StrategySpec)
    config = engine_config(spec)
    assert (config.symbol_limit, config.kill_drawdown) == (spec.risk.symbol, spec.risk.drawdown)
    assert (config.portfolio_limit, config.kill_daily_loss) == (np.inf, np.inf)


def test_a_setup_alone_ends_as_in_the_replay() -> None:
    """One setup, one account: the engine leaves when, where and why the replay does."""
    rng = np.random.default_rng(17)
    spec = load_spec(SHIPPED[0].with_name("setups.yaml"), StrategySpec)
    config = EngineConfig(
        costs=Costs.zero(), units="fractional", exits_from=spec.exits_from, sizing=engine_config(spec).sizing
    )
    seen = set()
    for _ in range(60):
        bars = walk(int(rng.integers(1 << 30)), 60, 2)
        open_, high, low, close = (
            np.ascontiguousarray(getattr(bars, n)[:, 1]) for n in ("open", "high", "low", "close")
        )
        at, side = int(rng.integers(5, 40)), float(rng.choice([-1.0, 1.0]))
        stop, target = (
            close[at] * (1.0 - side * rng.uniform(0.005, 0.08)),
            close[at] * (1.0 + side * rng.uniform(0.005, 0.12)),
        )
        numbers, states = kernel.replay_setups(
            open_, high, low, close, np.arange(60), np.array([at]), np.array([side]),
            np.array([[stop, target, abs(close[at] - stop)]]), 10, 59, 5, np.array([-0.3]),
        )  # fmt: skip
        frame = pl.DataFrame(
            {
                "ticker": [bars.assets[1]],
                "date_sig": pl.Series([int(bars.stamps[at])]).cast(pl.Datetime("ns")).cast(pl.Date),
                "direction": ["long" if side > 0 else "short"],
                "stop": [stop],
                "target": [target],
            }
        )
        made = setup_orders(frame, bars, 10)
        result = run(bars, made.orders, config)
        verify(result)
        outcome = int(states[0, kernel.OUTCOME])
        seen.add(outcome)
        if outcome == kernel.NO_ENTRY:
            assert result.fills.is_empty()
            assert result.counts["void"] == 1
            continue
        trade = result.trades.row(0, named=True)
        reason = {kernel.STOP: "stop", kernel.TARGET: "target", kernel.TIMEOUT: "time"}[outcome]
        assert trade["exit_reason"] == reason
        assert trade["entry_price"] == pytest.approx(numbers[0, kernel.ENTRY_PRICE], rel=1e-12)
        assert trade["exit_price"] == pytest.approx(numbers[0, kernel.EXIT_PRICE], rel=1e-12)
        assert trade["exit_bar"] == states[0, kernel.RESOLVED_POSITION]
    assert seen >= {kernel.STOP, kernel.TARGET, kernel.TIMEOUT, kernel.NO_ENTRY}


def test_setups_of_both_directions_at_one_close_are_neither() -> None:
    bars = flat_bars(assets=2)
    days = pl.Series([2, 2, 3], dtype=pl.Int32).cast(pl.Date)
    rows = pl.DataFrame(
        {
            "ticker": ["A0", "A0", "A1"],
            "date_sig": days,
            "direction": ["long", "short", "short"],
            "stop": [90.0, 110.0, 110.0],
            "target": [120.0, 80.0, 80.0],
        }
    )
    made = setup_orders(rows, bars, 5)
    assert made.conflicting == 2
    assert made.orders.places.tolist() == [[3, 1, 4, 5, 2]]
    with pytest.raises(SchemaViolation, match="outside the bars"):
        setup_orders(rows.with_columns(ticker=pl.lit("ZZ")), bars, 5)
