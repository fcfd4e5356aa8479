from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats

from quant_platform.contracts.errors import NotAvailable, SignalEmpty
from quant_platform.labs.suite.api import run_backtest
from quant_platform.labs.suite.backtest import Workbench, available, run_variants
from quant_platform.labs.suite.book import Targets, overlap, run_book, target_weights
from quant_platform.labs.suite.costs import cost_rates
from quant_platform.labs.suite.panel import Panel, dense_signal
from quant_platform.labs.suite.ranking import rank_panel, shifted_ic
from quant_platform.labs.suite.residual import residualise
from quant_platform.specification.suite import BacktestConfig, load_preset, load_suite
from quant_platform.statistics import ewc_test, nonoverlapping_test
from quant_platform_tests.labs.suite import twins
from quant_platform_tests.labs.suite.worlds import make_panel, planted_edge, slow_signal, without

SPECS = load_suite(Path("specs"))
LOOSE = SPECS.suite.model_copy(update={"min_names": 5, "bootstrap_draws": 100})
EXACT = {"rtol": 0.0, "atol": 1e-12}


def ragged(seed: int, names: int = 40, sessions: int = 120) -> tuple[np.ndarray, object]:
    """A signal with ties and holes on a market with late listings, delistings and missing prices."""
    rng = np.random.default_rng([seed, 3])
    values = np.round(rng.standard_normal((sessions, names)), 1)
    values[rng.random(values.shape) < 0.1] = np.nan
    values[50:58] = np.nan
    return values, make_panel(seed, names=names, sessions=sessions, industries=3, holes=True)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("shift", [0, 1, 7])
def test_ic_of_shifted_ranks_is_spearmans(seed, shift):
    values, panel = ragged(seed)
    inside = np.where(panel.universe, values, np.nan)
    found = shifted_ic(rank_panel(inside), panel.next_ranked, shift, min_names=5)
    following = twins.forward(panel, 1)
    expected = [
        twins.spearman(inside[t], following[t + shift], 5) if t + shift < len(inside) else math.nan
        for t in range(len(inside))
    ]
    np.testing.assert_allclose(found, expected, **EXACT)
    assert np.isfinite(found).sum() > 80


def unsaid(panel: Panel) -> Panel:
    """Nobody says what every other name that is gone paid."""
    returns = panel.returns.copy()
    gone = np.flatnonzero(panel.last < panel.shape[0] - 1)[::2]
    returns[panel.last[gone] + 1, gone] = np.nan
    return replace(panel, returns=returns)


@pytest.mark.parametrize("horizon", [1, 5, 21])
@pytest.mark.parametrize("unknown", [False, True])
def test_forward_returns_over_holes_and_delistings(horizon, unknown):
    _, panel = ragged(4)
    if unknown:
        stated, panel = panel, unsaid(panel)
        assert panel.ends == (4, 2)
        assert np.isfinite(panel.forward(horizon)).sum() < np.isfinite(stated.forward(horizon)).sum()
    np.testing.assert_allclose(panel.forward(horizon), twins.forward(panel, horizon), **EXACT)


@pytest.mark.parametrize("fractile", [(10.0, 90.0), (20.0, 80.0), (33.333, 66.667), (50.0, 50.001)])
def test_targets_are_numpys_quantiles(fractile):
    values, panel = ragged(5)
    inside = np.where(panel.universe, values, np.nan)
    made = target_weights(rank_panel(inside), inside, panel, weight="equal", fractile=fractile, mincos=2)
    weights, formed = twins.targets(values, panel, fractile, 2)
    np.testing.assert_array_equal(made.formed, formed)
    np.testing.assert_allclose(made.weights, weights, **EXACT)
    assert formed.sum() > 50


@pytest.mark.parametrize("weight", ["value", "signal", "risk"])
def test_weights_inside_a_leg(weight):
    values, panel = ragged(6)
    rng = np.random.default_rng(6)
    panel = replace(
        panel, volatility=np.where(rng.random(panel.shape) < 0.1, np.nan, rng.uniform(0.01, 0.05, panel.shape))
    )
    inside = np.where(panel.universe, values, np.nan)
    with np.errstate(invalid="ignore"):
        base = {
            "value": panel.market_cap,
            "risk": 1.0 / panel.volatility,
            "signal": np.abs(
                inside - np.array([[np.nanmedian(r) if np.isfinite(r).any() else np.nan] for r in inside])
            ),
        }[weight]
    made = target_weights(rank_panel(inside), inside, panel, weight=weight, fractile=(20.0, 80.0), mincos=2)
    weights, formed = twins.targets(values, panel, (20.0, 80.0), 2, np.nan_to_num(base))
    np.testing.assert_array_equal(made.formed, formed)
    np.testing.assert_allclose(made.weights, weights, **EXACT)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("lag", [0, 1, 3])
@pytest.mark.parametrize("from_open", [False, True])
@pytest.mark.parametrize("max_age", [2, 31])
def test_the_book_is_the_slow_books(seed, lag, from_open, max_age):
    values, panel = ragged(seed)
    inside = np.where(panel.universe, values, np.nan)
    made = target_weights(rank_panel(inside), inside, panel, weight="equal", fractile=(20.0, 80.0), mincos=2)
    rates = cost_rates("impact", panel, SPECS.costs)
    plain = cost_rates("naive", panel, SPECS.costs)
    found = run_book(
        made,
        panel,
        replace(plain, impact=rates.impact),
        lag=lag,
        capital=1e7,
        from_open=from_open,
        max_age=max_age,
        keep_held=True,
    )
    returns = panel.open_returns if from_open else panel.returns
    slow = twins.book(
        made.weights,
        made.formed,
        panel,
        returns,
        lag=lag,
        max_age=max_age,
        linear_bps=SPECS.costs.naive_bps,
        impact=rates.impact,
        capital=1e7,
    )
    np.testing.assert_allclose(found.gross, slow["gross"], **EXACT)
    np.testing.assert_allclose(found.cost, slow["cost"], **EXACT)
    np.testing.assert_allclose(found.traded, slow["traded"], **EXACT)
    np.testing.assert_allclose(found.long, slow["long"], **EXACT)
    np.testing.assert_allclose(found.short, slow["short"], **EXACT)
    # Accounting identities: buckets add up, exposure is what is held, nothing is earned before the first trade.
    np.testing.assert_allclose(found.by_cap[:, :, 0].sum(axis=1), found.gross, **EXACT)
    np.testing.assert_allclose(found.net_of(found.by_industry).sum(axis=1), found.net, **EXACT)
    np.testing.assert_allclose(np.where(found.held > 0, found.held, 0).sum(axis=1), found.long, **EXACT)
    np.testing.assert_allclose(found.net_at(1e7), found.net, **EXACT)
    assert not found.gross[: found.first + 1].any()
    assert found.unpriced.sum() > 0


def test_a_book_by_hand():
    """Two names, three days: +1 in A and -1 in B, then reversed; 10 bps on what is traded."""
    panel = make_panel(1, names=2, sessions=4, industries=1)
    returns = np.array([[0.0, 0.0], [0.10, -0.05], [0.02, 0.04], [0.0, 0.01]])
    panel = replace(panel, returns=returns, cap_bucket=np.ones((4, 2), dtype=np.int16))
    values = np.array([[2.0, 1.0], [2.0, 1.0], [1.0, 2.0], [1.0, 2.0]])
    made = target_weights(rank_panel(values), values, panel, weight="equal", fractile=(50.0, 50.001), mincos=1)
    rates = cost_rates("naive", panel, SPECS.costs.model_copy(update={"naive_bps": 10.0}))
    found = run_book(made, panel, rates, lag=0, capital=1.0, max_age=31)
    # Day 0 buys 1 A and sells 1 B. Day 1 earns .10 + .05 and trims A by .10, adds .05 to the short that fell to .95.
    # Day 2 earns .02 - .04; A is 1.02 and goes to -1, B is -1.04 and goes to +1: 2.02 + 2.04. Day 3 earns .01.
    np.testing.assert_allclose(found.gross, [0.0, 0.15, -0.02, 0.01], **EXACT)
    np.testing.assert_allclose(found.traded, [2.0, 0.15, 4.06, 0.01], **EXACT)
    np.testing.assert_allclose(found.cost, [0.002, 0.00015, 0.00406, 0.00001], **EXACT)


@pytest.mark.parametrize("model", ["naive", "spread", "impact"])
def test_an_end_that_nobody_states_costs_who_is_long(model):
    """A is gone after day 1, at 1.1; of it 0.6 is recovered. Long of 1.1 pays 0.44 on day 2, short of it nothing."""
    panel = make_panel(1, names=2, sessions=4, industries=1)
    returns = np.array([[0.0, 0.0], [0.10, 0.0], [np.nan, 0.0], [np.nan, 0.0]])
    priced = np.array([[True, True], [True, True], [False, True], [False, True]])
    panel = replace(panel, returns=returns, priced=priced, universe=priced, last=np.array([1, 4]))
    costs = SPECS.costs.model_copy(
        update={"naive_bps": 0.0, "fee_bps": 0.0, "min_half_spread_bps": 0.0, "max_half_spread_bps": 0.0}
        | {"impact_coefficient": 0.0, "unknown_recovery": 0.6}
    )
    rates = cost_rates(model, panel, costs)
    for side, due in ((1.0, 0.44), (-1.0, 0.0)):
        weights = np.array([[side, -side], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
        made = Targets(weights, np.array([True, False, False, False]))
        found = run_book(made, panel, rates, lag=0, capital=1e6, max_age=31)
        np.testing.assert_allclose(found.gross, [0.0, 0.1 * side, 0.0, 0.0], **EXACT)
        np.testing.assert_allclose(found.cost, [0.0, 0.0, due, 0.0], **EXACT)
        assert (found.ended_unknown.tolist(), found.unpriced.tolist()) == ([0, 0, 1, 0], [0, 0, 0, 0])
        np.testing.assert_allclose(found.by_cap[:, :, 1].sum(axis=1), [0.0, 0.0, due, 0.0], **EXACT)
        np.testing.assert_allclose(found.by_industry[:, :, 1].sum(axis=1), [0.0, 0.0, due, 0.0], **EXACT)


def test_what_ends_unsaid_is_counted():
    values, panel = ragged(9)
    config = BacktestConfig(fractile=(40.0, 60.0), mincos=2)
    stated = run_backtest(dense_signal("s", values), config, Workbench(panel, LOOSE, SPECS.costs))
    found = run_backtest(dense_signal("s", values), config, Workbench(unsaid(panel), LOOSE, SPECS.costs))
    assert not {"names_gone", "positions_into_unknown_ends"} & stated.diagnostics.keys()
    assert (found.diagnostics["names_gone"], found.diagnostics["names_gone_unknown"]) == (4.0, 2.0)
    panel, later = unsaid(panel), np.vstack([np.full((1, 40), np.nan), values[:-1]])
    weights, formed = twins.targets(np.where(panel.universe, later, np.nan), panel, (40.0, 60.0), 2)
    slow = twins.book(
        weights, formed, panel, panel.returns, lag=0, max_age=31, linear_bps=SPECS.costs.naive_bps, end_loss=0.3
    )
    rows = np.isin(panel.sessions, found.daily["session"].to_numpy().astype("datetime64[D]"))
    np.testing.assert_allclose(found.daily["net"], (slow["gross"] - slow["cost"])[rows], rtol=0, atol=1e-11)
    assert found.diagnostics["positions_into_unknown_ends"] == slow["unsaid"].sum() > 0


def test_overlapping_portfolios_are_means_of_formed_ones():
    values, panel = ragged(7)
    inside = np.where(panel.universe, values, np.nan)
    made = target_weights(rank_panel(inside), inside, panel, weight="equal", fractile=(20.0, 80.0), mincos=2)
    rows = np.flatnonzero(made.formed)
    found = overlap(made, 5)
    for place in (0, 3, 4, 20, len(rows) - 1):
        expected = sum(made.weights[row] for row in rows[max(0, place - 4) : place + 1]) / 5.0
        np.testing.assert_allclose(found.weights[rows[place]], expected, **EXACT)


def test_residuals_are_those_of_least_squares():
    values, panel = ragged(8)
    inside = np.where(panel.universe, values, np.nan)
    styles = [
        np.where(np.random.default_rng(8).random(panel.shape) < 0.05, np.nan, x) for x in panel.exposures.values()
    ]
    panel = replace(panel, exposures=dict(zip(panel.exposures, styles, strict=True)))
    found = residualise(inside, panel, ["off", "industry", "factor", "all"], min_names=5)
    assert found["off"] is inside
    for t in range(0, 120, 7):
        if not np.isfinite(inside[t]).any():
            continue
        row, codes = [x[t] for x in styles], panel.industry[t]
        np.testing.assert_allclose(found["industry"][t], twins.dummies_residual(inside[t], codes, []), atol=1e-12)
        np.testing.assert_allclose(found["factor"][t], twins.dummies_residual(inside[t], np.empty(0), row), atol=1e-10)
        np.testing.assert_allclose(found["all"][t], twins.dummies_residual(inside[t], codes, row), atol=1e-10)


@pytest.mark.parametrize("residualize", ["off", "industry", "factor", "all"])
def test_a_variant_end_to_end_against_plain_formulas(residualize):
    score = slow_signal(2, names=60, sessions=300)
    panel = make_panel(2, names=60, sessions=300, edge=planted_edge(score, 0.001))
    config = BacktestConfig(residualize=residualize, mincos=3, lag=1)
    result = run_backtest(dense_signal("planted", score), config, Workbench(panel, LOOSE, SPECS.costs))
    traded_on = np.vstack([np.full((1, 60), np.nan), score[:-1]])
    styles = list(panel.exposures.values()) if residualize in ("factor", "all") else []
    used = traded_on
    if residualize != "off":
        used = np.array(
            [
                twins.dummies_residual(
                    traded_on[t],
                    panel.industry[t] if residualize in ("industry", "all") else np.empty(0),
                    [x[t] for x in styles],
                )
                if t
                else traded_on[t]
                for t in range(300)
            ]
        )
    weights, formed = twins.targets(used, panel, (10.0, 90.0), 3)
    slow = twins.book(weights, formed, panel, panel.returns, lag=1, max_age=31, linear_bps=SPECS.costs.naive_bps)
    net = (slow["gross"] - slow["cost"])[2:]
    assert result.daily["session"][0] == panel.sessions[2].item()
    np.testing.assert_allclose(result.daily["net"].to_numpy(), net, rtol=0, atol=1e-11)
    assert result.overall("sharpe_net") == pytest.approx(net.mean() / net.std(ddof=1) * math.sqrt(252), rel=1e-9)
    value = np.cumprod(1 + net)
    peak = np.maximum.accumulate(np.concatenate([[1.0], value]))[1:]
    assert result.overall("max_drawdown_net") == pytest.approx((value / peak - 1).min(), abs=1e-11)
    assert result.overall("turnover") == pytest.approx(slow["traded"][2:].mean(), abs=1e-11)
    ic = np.array([twins.spearman(used[t], panel.returns[t + 2], 5) for t in range(1, 298)])
    assert result.ic["mean"][0] == pytest.approx(ic.mean(), abs=1e-10)
    assert result.ic["t_ewc"][0] == pytest.approx(ewc_test(result.first_ic).t, abs=1e-12)
    assert result.ic["t_nonoverlapping"][0] == pytest.approx(nonoverlapping_test(result.first_ic, 1).t, abs=1e-12)


def test_slices_add_up_and_say_when():
    score = slow_signal(3, names=80, sessions=600)
    panel = make_panel(3, names=80, sessions=600, edge=planted_edge(score, 0.0008))
    result = run_backtest(
        dense_signal("planted", score), BacktestConfig(mincos=3), Workbench(panel, LOOSE, SPECS.costs)
    )
    table, total = result.summary, result.overall("ann_return_net")
    for kind in ("cap", "industry"):
        parts = table.filter(pl.col("slice_kind") == kind)
        assert parts["ann_return_net"].sum() == pytest.approx(total, abs=1e-10)
        assert parts["share_of_gross"].sum() == pytest.approx(1.0, abs=1e-10)
    for kind in ("year", "regime"):
        parts = table.filter(pl.col("slice_kind") == kind)
        assert parts["sessions"].sum() == result.daily.height
        weighted = (parts["ann_return_net"] * parts["sessions"]).sum() / result.daily.height
        assert weighted == pytest.approx(total, abs=1e-10)
    assert set(table.filter(pl.col("slice_kind") == "year")["slice"]) == {"2012", "2013", "2014"}


def test_fractiles_of_a_planted_signal_rise():
    score = slow_signal(4, names=100, sessions=500)
    panel = make_panel(4, names=100, sessions=500, edge=planted_edge(score, 0.002))
    result = run_backtest(dense_signal("planted", score), BacktestConfig(), Workbench(panel, SPECS.suite, SPECS.costs))
    found = result.fractiles
    assert found.monotonicity.p_flat < 0.05
    assert found.trend_t > 5
    assert found.spread_mean_bps == pytest.approx(found.table["mean_bps"][9] - found.table["mean_bps"][0], abs=1e-9)
    following = twins.forward(panel, 1)
    traded_on = np.vstack([np.full((1, 100), np.nan), score[:-1]])
    top = []
    for t in range(1, 499):
        edge = np.percentile(traded_on[t], 90)
        top.append(following[t, traded_on[t] > edge].mean())
    assert found.table["mean_bps"][9] == pytest.approx(1e4 * np.mean(top), abs=1e-8)


def test_no_setting_trades_on_the_bar_that_was_seen():
    """A signal that is the return of its own bar, and of the bar after, earns nothing that it has seen."""
    panel = make_panel(5, names=100, sessions=400)
    bench = Workbench(panel, SPECS.suite, SPECS.costs.model_copy(update={"naive_bps": 0.0}))
    for ahead in (0, 1):
        seen = np.full(panel.shape, np.nan)
        seen[: 400 - ahead] = panel.returns[ahead:]
        for config in (BacktestConfig(), BacktestConfig(lag=1)):
            result = run_backtest(dense_signal("seen", seen), config, bench)
            assert abs(result.overall("sharpe_gross")) < 3.5
    two = np.full(panel.shape, np.nan)
    two[:398] = panel.returns[2:]
    assert run_backtest(dense_signal("two ahead", two), BacktestConfig(), bench).overall("sharpe_gross") > 30


def test_lags_shift_and_do_not_rank_again():
    score = slow_signal(6, names=60, sessions=200)
    panel = make_panel(6, names=60, sessions=200)
    bench = Workbench(panel, LOOSE, SPECS.costs)
    lagged = run_backtest(dense_signal("s", score), BacktestConfig(lag=2, mincos=3), bench)
    moved = np.vstack([np.full((2, 60), np.nan), score[:-2]])
    plain = run_backtest(dense_signal("s", moved), BacktestConfig(mincos=3), bench)
    np.testing.assert_allclose(lagged.book.net, plain.book.net, **EXACT)


def test_what_the_panel_cannot_carry_is_named_and_never_computed_as_something_else():
    score = slow_signal(7, names=60, sessions=120)
    panel = without(make_panel(7, names=60, sessions=120), "industry", "the securities have no sectors")
    configs = load_preset(Path("specs"), "STANDARD").configs()
    kept, causes = available(configs, panel)
    assert [c.variant for c in kept] == ["lag0_residoff", "lag1_residoff", "lag2_residoff"]
    assert set(causes.values()) == {"industry: the securities have no sectors"}
    with pytest.raises(NotAvailable, match="industry is not available: the securities have no sectors"):
        run_variants(dense_signal("s", score), configs, Workbench(panel, LOOSE, SPECS.costs))
    with pytest.raises(NotAvailable, match="market_cap"):
        run_backtest(
            dense_signal("s", score),
            BacktestConfig(weight="value", mincos=3),
            Workbench(without(panel, "market_cap", "no shares"), LOOSE, SPECS.costs),
        )


def test_a_signal_without_enough_names_says_so():
    panel = make_panel(8, names=60, sessions=120)
    few = np.full(panel.shape, np.nan)
    few[:, :12] = slow_signal(8, names=12, sessions=120)
    with pytest.raises(SignalEmpty, match=r"(?s)at most 12 names on a date, 10 in each leg are needed \(mincos\)"):
        run_backtest(dense_signal("few", few), BacktestConfig(), Workbench(panel, LOOSE, SPECS.costs))


def test_costs_are_never_free_and_grow_as_they_should():
    panel = make_panel(9, names=50, sessions=60)
    holes = replace(panel, adv=np.where(np.arange(50) < 5, np.nan, panel.adv))
    spread, impact = (cost_rates(model, holes, SPECS.costs) for model in ("spread", "impact"))
    assert (spread.linear[:, :5] == (SPECS.costs.fee_bps + SPECS.costs.max_half_spread_bps) * 1e-4).all()
    assert (impact.impact[1:, :5] >= impact.impact[1:, 5:].max(axis=1, keepdims=True)).all()
    assert (impact.impact > 0).all()
    row = impact.impact[10, 7] / (0.02 / math.sqrt(panel.adv[9, 7]))
    assert row == pytest.approx(SPECS.costs.impact_coefficient, rel=1e-12)
    reference = replace(panel, adv=np.full(panel.shape, SPECS.costs.reference_adv))
    expected = (SPECS.costs.fee_bps + SPECS.costs.half_spread_bps) * 1e-4
    assert cost_rates("spread", reference, SPECS.costs).linear[5, 5] == pytest.approx(expected, rel=1e-12)
    with pytest.raises(NotAvailable, match="needs traded values"):
        cost_rates("impact", replace(panel, adv=np.full(panel.shape, np.nan)), SPECS.costs)


def test_config_survives_json_and_refuses_nonsense():
    config = BacktestConfig(lag=2, residualize="all", tc_model="impact", weight="risk", fractile=(20, 80.5), holding=5)
    assert BacktestConfig.model_validate_json(config.model_dump_json()) == config
    assert config.variant == "lag2_residall_impact_riskweight_fractile20to80.5_holding5"
    for wrong in ({"lag": -1}, {"fractile": (90, 10)}, {"fractile": (10.00001, 90)}, {"unknown": 1}, {"mincos": 0}):
        with pytest.raises(ValueError):
            BacktestConfig.model_validate(wrong)


def test_holding_trades_less():
    score = np.random.default_rng(10).standard_normal((300, 80))
    bench = Workbench(make_panel(10, names=80, sessions=300), LOOSE, SPECS.costs)
    one, ten = (
        run_backtest(dense_signal("s", score), BacktestConfig(mincos=3, holding=h), bench).overall("turnover")
        for h in (1, 10)
    )
    # A tenth of the book changes hands instead of all of it, and drift is traded back.
    assert ten < 0.2 * one


def test_the_sharpe_interval_covers():
    """Between 93 and 97 of a hundred intervals hold the true ratio of fat-tailed returns."""
    rng = np.random.default_rng(11)
    from quant_platform.statistics.sharpe_interval import sharpe_estimate

    true = 0.05
    inside = 0
    for _ in range(2000):
        draws = rng.standard_t(6, 500) / math.sqrt(6 / 4) + true
        found = sharpe_estimate(draws)
        inside += found.low <= true <= found.high
    assert stats.binomtest(inside, 2000, 0.95).pvalue > 0.001
