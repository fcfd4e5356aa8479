from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts.errors import ExperimentChanged, LookAheadFound, NotAvailable
from quant_platform.contracts.tables import table
from quant_platform.labs.suite.backtest import Workbench, run_variants
from quant_platform.labs.suite.capacity import break_even_bps, capacity
from quant_platform.labs.suite.experiments import (
    LOOK_SCHEMA,
    Opening,
    Registration,
    development_panel,
    experiment_hash,
    holdout_row,
    holdout_start,
    judge_experiment,
    look_rows,
    looks_at,
    merge_looks,
    register,
)
from quant_platform.labs.suite.frames import suite_frames
from quant_platform.labs.suite.panel import dense_signal
from quant_platform.labs.suite.trials import merge_ledger, select, trial_rows
from quant_platform.labs.suite.uniqueness import PartialIC
from quant_platform.labs.suite.verdict import judge as judge_rules
from quant_platform.specification.suite import BacktestConfig, Criterion, ExperimentSpec
from quant_platform.statistics.sharpe import deflated_sharpe
from quant_platform.statistics.sharpe_interval import sharpe_estimate
from quant_platform_tests.labs.suite.truth import (
    NOW,
    REDUCED,
    SPECS,
    STANDARD,
    clone_world,
    judge,
    null_world,
    planted_world,
)
from quant_platform_tests.labs.suite.worlds import make_panel, planted_edge, slow_signal, without

SEEDS = (1, 2, 3)


@pytest.mark.parametrize("seed", SEEDS)
def test_noise_is_red_and_the_reasons_say_why(seed):
    found = null_world(seed, REDUCED)
    assert found.verdict.colour == "red"
    assert any("net Sharpe ratio" in text for text in found.verdict.because)
    assert found.verdict.next_colour == "yellow"
    assert found.verdict.to_next


@pytest.mark.parametrize("seed", SEEDS)
def test_a_planted_signal_is_not_red_for_the_right_reason(seed):
    found = planted_world(seed, REDUCED)
    assert found.verdict.colour in ("green", "yellow")
    assert found.partial.p < 0.05
    assert found.partial.share > 0.5
    assert found.break_even_bps > SPECS.costs.naive_bps


@pytest.mark.parametrize("seed", SEEDS)
def test_a_clone_is_red_as_a_clone(seed):
    found = clone_world(seed, REDUCED)
    assert found.verdict.colour == "red"
    assert any(reason.code == "baseline_clone" and reason.met for reason in found.verdict.reasons)
    assert any("a clone: PnL correlation" in text and "momentum_12_1" in text for text in found.verdict.because)


def test_a_peeking_signal_is_stopped_and_red_where_it_is_looked_at_all_the_same():
    panel = make_panel(1, names=100, sessions=600)
    peek = np.full(panel.shape, np.nan)
    peek[:-2] = panel.returns[2:]
    with pytest.raises(LookAheadFound, match="2 bars after date_sig"):
        judge(panel, dense_signal("peek", peek))
    found = judge(panel, dense_signal("peek", peek), allow_look_ahead=True)
    assert found.results[found.reference].overall("sharpe_net") > 10
    assert found.verdict.colour == "red"
    assert "collapses under one more bar of lag" in found.verdict.because[0]


def test_what_a_suite_found_fits_its_tables():
    found = planted_world(1, REDUCED)
    frames = suite_frames(found)
    for name, frame in frames.items():
        table(name).schema.validate(frame)
        assert (frame["signal"] == "planted").all()
        assert (frame["snapshot_id"] == "2020-01-01-SIM-v1").all()
    assert frames["suite.results"].filter(pl.col("slice_kind") == "overall").height == 6
    assert frames["suite.daily"]["variant"].n_unique() == 6
    assert frames["suite.trials"].height == 6
    assert set(frames["suite.verdict"]["verdict"]) == {found.verdict.colour}
    decay = frames["suite.diagnostics"].filter(
        (pl.col("measure") == "ic_decay") & (pl.col("variant") == found.reference)
    )
    assert decay.height == SPECS.suite.ic_decay_lags + 1
    assert decay["at"].sort().to_list() == [float(lag) for lag in range(decay.height)]
    # Only what is measured at something says at what.
    measured_at = ("ic_", "capacity_", "audit_ic")
    somewhere = pl.any_horizontal(pl.col("measure").str.starts_with(start) for start in measured_at)
    assert set(frames["suite.diagnostics"].filter(~somewhere)["at"]) == {0.0}
    assert found.best in found.results


def test_the_same_suite_gives_the_same_rows():
    first, second = suite_frames(planted_world(2, REDUCED)), suite_frames(planted_world(2, REDUCED))
    assert all(first[name].equals(second[name]) for name in first)


def test_without_industries_the_variants_are_missing_with_their_cause_and_never_green():
    score = slow_signal(3, names=100, sessions=600, half_life=60.0)
    panel = make_panel(3, names=100, sessions=600, edge=planted_edge(score, 0.0015))
    found = judge(without(panel, "industry", "the securities have no sectors"), dense_signal("planted", score))
    assert list(found.results) == ["lag0_residoff", "lag1_residoff", "lag2_residoff"]
    assert found.not_available["lag0_residindustry"] == "industry: the securities have no sectors"
    assert found.verdict.colour == "yellow"
    assert any("industry residuals are not available" in text for text in found.verdict.because)


def test_few_names_are_refused_with_a_sentence():
    panel = make_panel(1, names=8, sessions=300)
    with pytest.raises(NotAvailable, match="a cross-section of 8 names carries no IC"):
        judge(panel, dense_signal("s", slow_signal(1, names=8, sessions=300)))


# The rules, one by one, on results that hold nothing but the numbers they read.
def result(
    sharpe: float, *, lag: int = 0, residualize: str = "off", turnover: float = 0.3, small: float = 0.4
) -> object:
    rng = np.random.default_rng(1)
    net = rng.normal(0.0, 0.01, 1000)
    net += sharpe / math.sqrt(252) * net.std(ddof=1) - net.mean()
    numbers = {"sharpe_net": sharpe, "turnover": turnover}
    summary = pl.DataFrame(
        {"slice_kind": ["cap", "cap"], "slice": ["small", "large"], "share_of_gross": [small, 1.0 - small]}
    )
    return SimpleNamespace(
        config=BacktestConfig(lag=lag, residualize=residualize),
        overall=numbers.__getitem__,
        summary=summary,
        daily=pl.DataFrame({"net": net}),
        book=SimpleNamespace(first=0, gross=net + 1e-4, cost=np.full(1000, 1e-4)),
    )


def apply(
    sharpe: float = 1.6,
    *,
    lagged: float = 1.2,
    industry: float = 1.1,
    correlation: float = 0.2,
    partial_p: float = 0.001,
    partial_share: float = 0.9,
    probability: float = 0.97,
    **options: object,
) -> object:
    reference = result(sharpe, **options)
    others = [reference, result(lagged, lag=1), result(industry, residualize="industry")]
    selection = SimpleNamespace(
        deflated=SimpleNamespace(probability=probability, benchmark=0.02),
        trials=6,
        effective_trials=2.0,
        estimate=sharpe_estimate(reference.daily["net"].to_numpy()),
    )
    correlations = pl.DataFrame({"baseline": ["size", "value"], "pnl_correlation": [correlation, 0.01]})
    partial = PartialIC(0.02, 4.0, partial_p, 4.0, partial_p, 0.02, partial_share, 500, ("size", "value"))
    return judge_rules(reference, others, selection, correlations, partial, SPECS.verdict, periods_per_year=252)


RULES = [
    ({}, "green", None),
    ({"sharpe": 1.0}, "yellow", "sharpe"),
    ({"sharpe": 1.0001}, "green", None),
    ({"probability": 0.949}, "yellow", "significant_after_deflation"),
    ({"probability": math.nan}, "yellow", "significant_after_deflation"),
    ({"lagged": 0.5}, "yellow", "survives_lag"),
    ({"industry": 0.5}, "yellow", "survives_industry"),
    ({"correlation": 0.7}, "yellow", "unlike_baselines"),
    ({"correlation": -0.7}, "yellow", "unlike_baselines"),
    ({"turnover": 1.01}, "yellow", "high_turnover"),
    ({"small": 0.71}, "yellow", "small_cap_concentration"),
    ({"sharpe": 0.5}, "yellow", "sharpe"),
    ({"sharpe": 0.4999}, "red", "sharpe_too_low"),
    ({"sharpe": math.nan}, "red", "sharpe_too_low"),
    ({"lagged": 0.0}, "red", "dies_with_lag"),
    ({"lagged": 0.0001}, "yellow", "survives_lag"),
    ({"correlation": 0.7, "partial_p": 0.06}, "red", "baseline_clone"),
    ({"correlation": -0.9, "partial_share": 0.2}, "red", "baseline_clone"),
    ({"correlation": 0.9, "partial_p": math.nan}, "red", "baseline_clone"),
    ({"correlation": 0.69, "partial_p": 0.9}, "green", None),
]


@pytest.mark.parametrize(("changes", "colour", "code"), RULES)
def test_each_rule_at_its_threshold(changes, colour, code):
    found = apply(**changes)
    assert found.colour == colour
    if code is None:
        assert found.next_colour is None
        assert found.to_next == ()
    else:
        assert any(text.startswith(f"{code}: ") for text in found.to_next)
    assert found.to_frame().height == len(found.reasons)


def test_distances_are_what_is_missing():
    reasons = {reason.code: reason for reason in apply(sharpe=0.8, lagged=0.3, correlation=0.75).reasons}
    assert reasons["sharpe"].distance == pytest.approx(0.2)
    assert reasons["survives_lag"].distance == pytest.approx(0.2)
    assert reasons["unlike_baselines"].distance == pytest.approx(0.05)
    assert reasons["sharpe_too_low"].distance == pytest.approx(-0.3)


def test_what_would_change_the_verdict():
    found = apply(sharpe=1.6, probability=0.9)
    costs = [text for text in found.what_would_change if "times these costs" in text]
    # Net is 1.6 at one times costs of 1 bp a day and falls by 1 bp / sd x root 252 per multiple.
    sd = result(1.6).daily["net"].std()
    multiples = [1.0 + (1.6 - bound) * sd / (1e-4 * math.sqrt(252)) for bound in (1.0, 0.5)]
    assert costs == [
        f"the net Sharpe ratio is 1 (green) at {multiples[0]:.2f} times these costs",
        f"the net Sharpe ratio is 0.5 (red) at {multiples[1]:.2f} times these costs",
    ]
    # z of .95 over z of .9, squared, times as long.
    assert any(
        f"{1 / 252 + 999 / 252 * (1.644854 / 1.281552) ** 2:.1f} years of data" in t for t in found.what_would_change
    )


@cache
def variants(seed: int = 5) -> tuple[Workbench, dict, object]:
    score = slow_signal(seed, names=100, sessions=600, half_life=60.0)
    panel = make_panel(seed, names=100, sessions=600, edge=planted_edge(score, 0.0006))
    bench = Workbench(panel, SPECS.suite, SPECS.costs)
    prepared = bench.prepare(dense_signal("planted", score))
    return bench, run_variants(prepared, STANDARD.configs(), bench), prepared


def test_the_ledger_counts_each_evaluation_once_and_deflation_reads_it():
    _, results, _ = variants()
    made = trial_rows(results.values(), signal_hash="a", evaluated_at=NOW)
    later = trial_rows(results.values(), signal_hash="a", evaluated_at=datetime(2026, 2, 1, tzinfo=UTC))
    merged = merge_ledger(made, later)
    assert merged.equals(made)
    assert merge_ledger(made, trial_rows(results.values(), signal_hash="b", evaluated_at=NOW)).height == 12
    reference = results["lag0_residoff"]
    options = {"confidence": 0.95, "blocks": 12, "periods_per_year": 252}
    few = select(reference, results.values(), made, **options)
    assert few.trials == 6
    others = [made.with_columns(pl.col("trial_id") + str(k), pl.col("sharpe_net") * 0.1 * k) for k in range(50)]
    many = select(reference, results.values(), pl.concat([made, *others]), **options)
    assert many.trials == 306
    assert many.deflated.probability < few.deflated.probability
    # By hand: the benchmark of the effective trials, on the variance that was stated.
    net = reference.book.net[reference.book.first :]
    first = max(r.book.first for r in results.values())
    matrix = np.corrcoef(np.array([r.book.net[first:] for r in results.values()]))
    rho = matrix[~np.eye(6, dtype=bool)].mean()
    assert few.effective_trials == pytest.approx(rho + (1 - rho) * 6, rel=1e-9)
    estimate = sharpe_estimate(net)
    expected = deflated_sharpe(
        estimate.ratio,
        net.size,
        n_trials=few.effective_trials,
        trial_variance=max(made["sharpe_net"].var(), 1 / net.size),
        skewness=estimate.skewness,
        kurtosis=estimate.kurtosis,
    )
    assert few.deflated.probability == pytest.approx(expected.probability, rel=1e-12)


def test_break_even_and_capacity():
    bench, results, prepared = variants()
    book = results["lag0_residoff"].book
    rows = slice(book.first, None)
    cost = break_even_bps(book)
    assert (book.gross[rows] - 1e-4 * cost * book.traded[rows]).mean() == pytest.approx(0.0, abs=1e-15)
    found = capacity(prepared, BacktestConfig(), SPECS.suite, floor=0.5)
    ratios = found.curve["sharpe_net"].to_list()
    assert ratios == sorted(ratios, reverse=True)
    # Every capital of the curve is what a run at that capital gives.
    for capital in (1e6, 1e8):
        config = BacktestConfig(tc_model="impact", capital=capital)
        alone = run_variants(prepared, [config], bench)[config.variant].overall("sharpe_net")
        assert found.curve.filter(pl.col("capital") == capital)["sharpe_net"].item() == pytest.approx(alone, rel=1e-12)
    assert found.curve["sharpe_net"][0] > 0.5 > found.curve["sharpe_net"][-1]
    assert found.curve["capital"][0] < found.capital < found.curve["capital"][-1]
    assert found.holdings["names"] == pytest.approx(20.0)


EXPERIMENT = ExperimentSpec(
    name="planted_works",
    signal="planted",
    author="tester",
    registered_on=date(2026, 1, 5),
    hypothesis="The planted score predicts returns.",
    expected_sign=1,
    variants=(BacktestConfig(), BacktestConfig(lag=1)),
    criteria=(Criterion(metric="sharpe_net", above=0.5), Criterion(metric="ic_mean", above=0.0)),
    holdout_share=0.2,
)


def test_a_registration_is_frozen():
    made = register(EXPERIMENT, {})
    assert register(EXPERIMENT, {"planted_works": made}) == made
    changed = EXPERIMENT.model_copy(update={"expected_sign": -1})
    assert experiment_hash(changed) != made
    with pytest.raises(ExperimentChanged, match="registered before and says something else now"):
        register(changed, {"planted_works": made})


def registration(panel, *, sign=1, opened=True):
    opening = Opening(NOW, "tester", panel.snapshot_id, panel.sessions[-1].item()) if opened else None
    stated = EXPERIMENT.model_copy(update={"expected_sign": sign})
    return Registration(stated, experiment_hash(stated), NOW, "tester", panel.sessions[480].item(), 1, opening)


def test_criteria_are_measured_on_the_locked_sessions_alone():
    bench, _, prepared = variants()
    panel = bench.panel
    assert holdout_start(panel.sessions, 0.2) == panel.sessions[480].item()
    results = run_variants(prepared, EXPERIMENT.variants, bench)
    found = judge_experiment(registration(panel), results, panel)
    assert found.criteria.height == 4
    book = results["lag0_residoff"].book
    value = one_criterion(found, "sharpe_net")
    net = book.gross[480:] - book.cost[480:]
    assert value == pytest.approx(net.mean() / net.std(ddof=1) * math.sqrt(252), rel=1e-12)
    ic = results["lag0_residoff"].first_ic[480:-1]
    assert one_criterion(found, "ic_mean") == pytest.approx(np.nanmean(ic), rel=1e-12)
    assert value > 0.5
    assert found.state == "registered, met on the locked holdout"
    assert judge_experiment(None, results, panel).state == "not registered"
    locked = judge_experiment(registration(panel, opened=False), results, panel)
    assert (locked.state, locked.criteria.height) == ("registered, still locked", 0)


def test_a_book_held_the_other_way_round_pays_the_same_costs():
    bench, _, prepared = variants()
    results = run_variants(prepared, EXPERIMENT.variants, bench)
    found = judge_experiment(registration(bench.panel, sign=-1), results, bench.panel)
    book = results["lag0_residoff"].book
    net = -book.gross[480:] - book.cost[480:]
    assert one_criterion(found, "sharpe_net") == pytest.approx(net.mean() / net.std(ddof=1) * math.sqrt(252), rel=1e-12)
    assert found.state == "registered, not met"


def test_a_variant_that_the_data_cannot_carry_has_met_nothing():
    bench, _, prepared = variants()
    results = run_variants(prepared, EXPERIMENT.variants[1:], bench)
    found = judge_experiment(registration(bench.panel), results, bench.panel)
    assert found.state == "registered, not met"
    assert math.isnan(one_criterion(found, "sharpe_net"))


def one_criterion(found, metric):
    return found.criteria.filter((pl.col("metric") == metric) & pl.col("decides"))["value"].item()


def test_looks_count_once_each_by_anybody_on_the_sessions_they_have_seen():
    days = np.arange("2020-01-01", "2020-04-10", dtype="datetime64[D]")

    def look(signal, first, last, who, preset="QUICK"):
        return look_rows(
            signal=signal,
            signal_hash=f"hash of {signal}",
            snapshot_id="2020-04-10-US-v1",
            preset=preset,
            sessions=days[first:last],
            registration=None,
            looked_at=NOW,
            looked_by=who,
        )

    looks = pl.DataFrame(schema=LOOK_SCHEMA)
    for made in (
        look("one", 0, 100, "ada"),
        look("one", 0, 100, "bob"),  # the same suite made again is no new look
        look("one", 0, 100, "ada", "DEEP"),
        look("two", 0, 80, "bob"),
        look("three", 0, 79, "bob"),
    ):
        looks = merge_looks(looks, made)
    assert looks.height == 4
    found = looks_at(looks, date(2020, 3, 20), date(2020, 4, 9))
    # The first of these sessions is row 79: the panel of "two" holds it as its last, that of "three" ends before.
    assert (found.count, found.signals, found.people) == (3, 2, 2)
    assert "2020-03-20 to 2020-04-09 were looked at 3 times, with 2 signals, by 2 people" in found.sentence
    nobody = looks_at(looks, date(2021, 1, 1), date(2021, 2, 1))
    assert "were looked at never, with 0 signals, by 0 people" in nobody.sentence


def test_a_registered_criterion_that_is_not_met_is_red():
    panel = make_panel(1, names=REDUCED.names, sessions=REDUCED.sessions)
    stated = EXPERIMENT.model_copy(update={"criteria": (Criterion(metric="sharpe_net", above=99.0),)})
    opening = Opening(NOW, "tester", panel.snapshot_id, panel.sessions[-1].item())
    wrong = Registration(stated, experiment_hash(stated), NOW, "tester", panel.sessions[480].item(), 1, opening)
    found = planted_world(1, REDUCED, registration=wrong)
    assert (found.verdict.colour, found.outcome.state) == ("red", "registered, not met")
    (reason,) = [one for one in found.verdict.reasons if one.code == "registered_not_met"]
    assert [one for one in found.verdict.reasons if one.colour == "red" and one.met] == [reason]
    assert found.verdict.because == (reason.text,)
    assert set(suite_frames(found)["suite.verdict"]["registration"]) == {"registered, not met"}
    assert suite_frames(found)["suite.experiments"].height == 2


def test_the_development_panel_holds_nothing_of_the_locked_part():
    score = slow_signal(6, names=60, sessions=400)
    panel = make_panel(6, names=60, sessions=400, holes=True)
    first = holdout_start(panel.sessions, 0.25)
    stop = holdout_row(panel, first)
    assert stop == 300
    rng = np.random.default_rng(6)
    garbage = panel.returns.copy()
    garbage[stop:] = rng.standard_normal(garbage[stop:].shape)
    configs = [BacktestConfig(mincos=3), BacktestConfig(mincos=3, residualize="all")]

    def books(market):
        made = development_panel(market, first)
        bench = Workbench(made, SPECS.suite, SPECS.costs)
        return run_variants(dense_signal("s", score[:stop]), configs, bench)

    plain, changed = books(panel), books(replace(panel, returns=garbage))
    whole = run_variants(dense_signal("s", score), configs, Workbench(panel, SPECS.suite, SPECS.costs))
    for name in plain:
        np.testing.assert_array_equal(plain[name].book.net, changed[name].book.net)
        np.testing.assert_allclose(plain[name].book.net, whole[name].book.net[:stop], atol=1e-15)
