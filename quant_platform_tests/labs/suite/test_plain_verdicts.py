"""Verdicts, tables, locked parts, audits and scales: each number of a rule, each column of a table, at its value."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from quant_platform.labs.suite import audit
from quant_platform.labs.suite.contract import validate
from quant_platform.labs.suite.experiments import (
    Looks,
    Opening,
    Registration,
    development_panel,
    holdout_row,
    holdout_start,
    judge_experiment,
)
from quant_platform.labs.suite.frames import (
    dates_frame,
    exposures_frame,
    panel_of_frames,
    returns_frame,
    sessions_frame,
    suite_frames,
)
from quant_platform.labs.suite.panel import SignalPanel, dense_signal, signal_panel
from quant_platform.labs.suite.perpetuals import perp_frames
from quant_platform.labs.suite.scales import _equal_buckets, _equal_steps, whole_sample_scale
from quant_platform.labs.suite.sessions import session_clock
from quant_platform.labs.suite.suite import SuiteResult
from quant_platform.labs.suite.uniqueness import PartialIC
from quant_platform.labs.suite.verdict import judge, reference_of
from quant_platform.specification.suite import BacktestConfig, Criterion, ExperimentSpec
from quant_platform.statistics.sharpe_interval import sharpe_estimate
from quant_platform_tests.labs.suite.test_suite import apply, result
from quant_platform_tests.labs.suite.truth import REDUCED, SPECS, planted_world
from quant_platform_tests.labs.suite.worlds import make_panel, slow_signal

NAN = math.nan


def same(*values: float) -> Any:
    return pytest.approx(list(values), nan_ok=True)


@pytest.mark.parametrize(
    ("changes", "code", "value", "threshold", "distance"),
    [
        ({"sharpe": 0.8}, "sharpe", 0.8, 1.0, 0.2),
        ({"sharpe": 0.8}, "sharpe_too_low", 0.8, 0.5, -0.3),
        ({"lagged": 0.2}, "dies_with_lag", 0.2, 0.0, -0.2),
        ({"lagged": 0.2}, "survives_lag", 0.2, 0.5, 0.3),
        ({"industry": 0.2}, "survives_industry", 0.2, 0.5, 0.3),
        ({"probability": 0.9}, "significant_after_deflation", 0.9, 0.95, 0.05),
        ({"correlation": -0.8}, "unlike_baselines", 0.8, 0.7, 0.1),
        ({"correlation": -0.8}, "baseline_clone", 0.8, 0.7, 0.1),
        ({"turnover": 1.5}, "high_turnover", 1.5, 1.0, 0.5),
        ({"small": 0.9}, "small_cap_concentration", 0.9, 0.7, 0.2),
        ({}, "sample_too_short", 1000.0, 252.0, -748.0),
    ],
)
def test_a_rule_says_what_it_measured_what_it_asks_and_how_far_that_is(
    changes: dict[str, float], code: str, value: float, threshold: float, distance: float
) -> None:
    [reason] = [one for one in apply(**changes).reasons if one.code == code]
    assert (reason.value, reason.threshold, reason.distance) == pytest.approx((value, threshold, distance))


def test_a_sample_of_a_year_is_long_enough_and_one_a_day_shorter_is_red() -> None:
    for days, colour in ((252, "green"), (251, "red")):
        made = result(1.6)
        made.daily = made.daily.head(days)
        others = [made, result(1.2, lag=1), result(1.1, residualize="industry")]
        selection = SimpleNamespace(
            deflated=SimpleNamespace(probability=0.97, benchmark=0.02), trials=6, effective_trials=2.0,
            estimate=sharpe_estimate(made.daily["net"].to_numpy()),
        )  # fmt: skip
        found = judge(made, others, selection, BASELINES, PARTIAL, SPECS.verdict, periods_per_year=252)  # type: ignore[arg-type]  # only what the rules read
        assert found.colour == colour
        if colour == "red":
            assert found.because == ("251 sessions of PnL, 252 are needed",)
            assert found.to_next == ("sample_too_short: 1 away (251 sessions of PnL, 252 are needed)",)


BASELINES = pl.DataFrame({"baseline": ["size", "value"], "pnl_correlation": [0.1, 0.2]})
PARTIAL = PartialIC(0.02, 4.0, 0.001, 4.0, 0.001, 0.02, 0.9, 500, ("size", "value"))


@pytest.mark.parametrize(
    ("p", "share", "clone"),
    [(0.01, 0.25, False), (0.0101, 0.25, True), (0.01, 0.2499, True), (NAN, NAN, True)],
)
def test_a_signal_like_a_baseline_is_a_clone_unless_enough_is_left(p: float, share: float, clone: bool) -> None:
    found = apply(correlation=0.75, partial_p=p, partial_share=share)
    [reason] = [one for one in found.reasons if one.code == "baseline_clone"]
    assert reason.met is clone
    assert ("a clone: " in reason.text) is clone
    assert "PnL correlation +0.75 with size, partial IC +0.0200 (p " in reason.text


def ruled(correlations: pl.DataFrame, **options: Any) -> Any:
    made = result(1.6)
    selection = SimpleNamespace(
        deflated=SimpleNamespace(probability=0.97, benchmark=0.02), trials=6, effective_trials=2.0,
        estimate=sharpe_estimate(made.daily["net"].to_numpy()),
    )  # fmt: skip
    others = [made, result(1.2, lag=1)]
    return judge(made, others, selection, correlations, PARTIAL, SPECS.verdict, periods_per_year=252, **options)  # type: ignore[arg-type]


def test_what_is_not_there_is_said_and_satisfies_nothing() -> None:
    none = pl.DataFrame(schema={"baseline": pl.String, "pnl_correlation": pl.Float64})
    found = {one.code: one for one in ruled(none).reasons}
    assert (found["baseline_clone"].text, found["baseline_clone"].met) == ("no baseline could be computed", False)
    assert (found["unlike_baselines"].text, found["unlike_baselines"].met) == ("no baseline could be computed", False)
    words = "industry residuals are not available (not computed by this preset), above 0.5 is asked"
    assert (found["survives_industry"].text, found["survives_industry"].met) == (words, False)
    cause = {one.code: one for one in ruled(BASELINES, not_available=["open: none", "industry: no sectors"]).reasons}
    assert cause["survives_industry"].text.startswith("industry residuals are not available (industry: no sectors)")
    nan = pl.DataFrame({"baseline": ["size", "value"], "pnl_correlation": [NAN, -0.3]})
    closest = {one.code: one for one in ruled(nan).reasons}
    assert closest["unlike_baselines"].text == "largest PnL correlation -0.30 (value), below 0.7 is asked"
    assert ruled(nan).to_next == (f"survives_industry: {words}",), "without a number there is no distance"
    seen = ruled(BASELINES, look_ahead=["it has seen the next bar"])
    assert (seen.colour, seen.because, seen.next_colour) == ("red", ("it has seen the next bar",), "yellow")
    assert seen.reasons[0].code == "look_ahead"


def test_criteria_of_a_locked_part_decide_first() -> None:
    criteria = pl.DataFrame(
        {"metric": ["sharpe_net", "ic_mean"], "value": [0.4, 0.03], "above": [0.5, 0.01], "met": [False, True]}
    )
    found = ruled(BASELINES, holdout=criteria)
    assert found.colour == "red"
    first, second = found.reasons[:2]
    assert first.text == "sharpe_net 0.4 on the locked holdout, above 0.5 was stated beforehand"
    assert (first.value, first.threshold, first.distance, first.met) == pytest.approx((0.4, 0.5, 0.1, True))
    assert (second.met, second.distance) == (False, pytest.approx(-0.02))
    assert found.to_frame()["code"].to_list()[:2] == ["registered_not_met"] * 2


def test_the_smallest_cap_bucket_is_the_first_that_is_known_of_two() -> None:
    made = result(1.6)
    for slices, share in (
        ([("cap", "unknown", 0.9), ("cap", "small", 0.2), ("cap", "large", 0.1)], 0.2),
        ([("year", "2020", 0.9), ("cap", "small", 0.8)], NAN),
    ):
        made.summary = pl.DataFrame(slices, schema=["slice_kind", "slice", "share_of_gross"], orient="row")
        found = judge(
            made, [made], SimpleNamespace(  # type: ignore[arg-type]  # only what the rules read
                deflated=SimpleNamespace(probability=0.97, benchmark=0.02), trials=6, effective_trials=2.0,
                estimate=sharpe_estimate(made.daily["net"].to_numpy()),
            ), BASELINES, PARTIAL, SPECS.verdict, periods_per_year=252,
        )  # fmt: skip
        [reason] = [one for one in found.reasons if one.code == "small_cap_concentration"]
        assert reason.value == pytest.approx(share, nan_ok=True)
        words = "20% of the gross profit is earned in the smallest cap bucket, above 70% is concentrated"
        assert reason.text == (words if share == share else "market caps are not available")


def test_the_variant_that_is_judged_is_the_first_that_the_rules_name() -> None:
    lagged, plain, other = BacktestConfig(lag=1), BacktestConfig(), BacktestConfig(weight="risk")
    assert reference_of([lagged, other, plain], SPECS.verdict) == other
    industry = BacktestConfig(residualize="industry")
    assert reference_of([lagged, industry], SPECS.verdict) == lagged, "the first, where none is named"


def test_costs_that_would_turn_a_rule_are_a_multiple_or_none() -> None:
    """Mean gross 2, cost 1 a day with a deviation that costs do not change: from 0 down to any ratio."""
    found = apply(sharpe=0.6, lagged=0.6, industry=0.6).what_would_change
    sd = result(0.6).daily["net"].std()
    # Free of cost it is 0.6 and 1 bp of the deviation times root 252; green, at 1, is not reached without a bp more.
    free = 0.6 + 1e-4 * math.sqrt(252) / sd
    assert 0.6 < free < 1.0
    assert found[0] == "no cost, not even none, brings the net Sharpe ratio to 1 (green)"
    multiple = 1.0 + 0.1 * sd / (1e-4 * math.sqrt(252))
    assert found[1] == f"the net Sharpe ratio is 0.5 (red) at {multiple:.2f} times these costs"
    assert 1.5 < multiple < 1.7


# Tables.
@cache
def suite() -> SuiteResult:
    return planted_world(1, REDUCED)


def test_every_measure_of_a_suite_stands_in_its_row() -> None:
    found = suite()
    rows = suite_frames(found)["suite.diagnostics"]
    whole = {
        (measure, at): value
        for measure, at, value in rows.filter(variant="").select("measure", "at", "value").iter_rows()
    }
    selection, partial, capacity = found.selection, found.partial, found.capacity
    assert capacity is not None
    expected: dict[tuple[str, float], float | None] = {
        ("deflated_probability", 0.0): selection.deflated.probability,
        ("deflated_benchmark", 0.0): selection.deflated.benchmark,
        ("trials", 0.0): 6.0,
        ("effective_trials", 0.0): selection.effective_trials,
        ("minimum_track_record_years", 0.0): selection.minimum_years,
        ("overfitting_probability", 0.0): selection.overfitting.probability,
        ("break_even_bps", 0.0): found.break_even_bps,
        ("partial_ic", 0.0): partial.mean,
        ("partial_ic_p", 0.0): partial.p,
        ("partial_ic_share", 0.0): partial.share,
        ("capacity_capital", 0.5): capacity.capital,
    }
    expected |= {(f"held_{name}", 0.0): value for name, value in capacity.holdings.items()}
    for row in capacity.curve.to_dicts():
        for name in ("sharpe_net", "ann_return_net", "ann_cost"):
            expected[f"capacity_{name}", row["capital"]] = row[name]
    expected |= {("audit_ic", float(bar)): ic for bar, ic in found.audit.profile.select("bar", "ic").iter_rows()}
    assert whole == pytest.approx(
        {key: value if math.isfinite(value or 0.0) else None for key, value in expected.items()}
    )


def test_every_measure_of_a_variant_stands_in_its_row() -> None:
    found = suite()
    rows = suite_frames(found)["suite.diagnostics"]
    for name, one in found.results.items():
        mine = {
            (measure, at): value
            for measure, at, value in rows.filter(variant=name).select("measure", "at", "value").iter_rows()
        }
        assert one.fractiles is not None
        assert one.ic_decay is not None
        order = one.fractiles.monotonicity
        expected = {(measure, 0.0): value for measure, value in one.diagnostics.items()}
        expected |= {
            ("fractile_spread_bps", 0.0): one.fractiles.spread_mean_bps,
            ("fractile_spread_t", 0.0): one.fractiles.spread_t,
            ("fractile_trend_t", 0.0): one.fractiles.trend_t,
            ("fractile_trend_p", 0.0): one.fractiles.trend_p,
            ("monotonicity_p_broken", 0.0): order.p_broken,
            ("monotonicity_p_flat", 0.0): order.p_flat,
            ("monotonicity_rising_steps", 0.0): float(order.rising_steps),
        }
        for row in one.ic.to_dicts():
            for measure in (
                "mean",
                "sd",
                "icir",
                "n",
                "n_independent",
                "t_nonoverlapping",
                "p_nonoverlapping",
                "t_ewc",
            ):
                expected[f"ic_{measure}", float(row["horizon_sessions"])] = float(row[measure])
        expected |= {("ic_decay", float(lag)): mean for lag, mean in one.ic_decay.select("lag", "mean").iter_rows()}
        assert mine == pytest.approx({key: value if math.isfinite(value) else None for key, value in expected.items()})


def test_the_dates_of_a_session_say_which_return_it_can_earn() -> None:
    """Monday 1 July 2024, and the Wednesday before the holiday, which closes at 13:00 in New York."""
    days = np.array(["2024-07-01", "2024-07-03"], dtype="datetime64[D]")
    rows = sessions_frame(days, session_clock("XNYS")).to_dicts()
    assert [(row["session"], row["date_openret"], row["date_ret"]) for row in rows] == [
        (date(2024, 7, 1), date(2024, 7, 2), date(2024, 7, 3)), (date(2024, 7, 3), date(2024, 7, 5), date(2024, 7, 8)),
    ]  # fmt: skip
    assert [row["closes_at"] for row in rows] == [
        datetime(2024, 7, 1, 20, tzinfo=UTC), datetime(2024, 7, 3, 17, tzinfo=UTC),
    ]  # fmt: skip
    assert {row["opens_at"].hour for row in rows} == {13}
    assert {row["exchange"] for row in rows} == {"XNYS"}
    last = sessions_frame(session_clock("XNYS").days[-1:], session_clock("XNYS")).row(0, named=True)
    assert last["date_ret"] == last["date_openret"] == last["session"], "beyond the calendar there is no later one"


def listed() -> Any:
    """Three names over five sessions: the first whole, the second listed on row 1 and gone after row 2, one never."""
    panel = make_panel(1, names=3, sessions=5, industries=2)
    priced = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=np.bool_)
    returns = np.where(priced, 0.01, NAN)
    returns[3, 1] = -0.5
    return replace(
        panel, priced=priced, universe=priced, returns=returns, last=np.array([5, 2, 5]),
        cap_bucket=np.array([[1, 0, 2]] * 5), industry=np.array([[1, -1, 0]] * 5),
        exposures={"size": np.full((5, 3), 0.25)}, intraday=None, market_cap=None,
        not_available={"market_cap": "none"}, funding_unknown_hours=np.full((5, 3), 4.0),
    )  # fmt: skip


def test_a_name_has_rows_from_its_first_price_to_its_payment() -> None:
    rows = returns_frame(listed())
    sessions = listed().sessions
    years = {str(day)[:4] for day in sessions}
    assert set(rows["year"]) == years
    own = {name: rows.filter(ticker=name) for name in listed().tickers}
    assert [frame.height for frame in own.values()] == [5, 3, 0]
    second = own["N0001"].to_dicts()
    assert [row["session"] for row in second] == sessions[1:4].tolist()
    assert [row["paid_out"] for row in second] == [False, False, True]
    assert [row["priced"] for row in second] == [True, True, False]
    assert [row["ret"] for row in second] == [0.01, 0.01, -0.5]
    assert [row["cap_bucket"] for row in second] == [None] * 3
    assert set(own["N0000"]["cap_bucket"]) == {"small"}
    assert (second[0]["ret_open_to_close"], second[0]["market_cap"]) == (None, None)
    assert second[0]["funding_unknown_hours"] == 4.0
    assert second[0]["ret_open_to_open"] is not None
    exposures = exposures_frame(listed())
    assert exposures.filter(ticker="N0000")["industry"].to_list() == ["industry_1"] * 5
    assert exposures.filter(ticker="N0001")["industry"].null_count() == 3
    assert (set(exposures["size"]), exposures["beta"].null_count()) == ({0.25}, 8)


def test_a_panel_of_its_tables_is_as_it_was_without_the_name_that_never_traded() -> None:
    made, panel = listed(), None
    frames = returns_frame(made), exposures_frame(made), dates_frame(made)
    panel = panel_of_frames(*frames, SPECS.suite, snapshot_id="x", simulated=True)
    assert panel.tickers == ("N0000", "N0001")
    assert panel.last.tolist() == [5, 2]
    np.testing.assert_array_equal(panel.returns, made.returns[:, :2])
    np.testing.assert_array_equal(panel.priced, made.priced[:, :2])
    assert panel.cap_bucket[1].tolist() == [1, 0]
    assert panel.industries == ("industry_1",)
    assert panel.industry[1].tolist() == [0, -1]
    assert panel.funding_unknown_hours is not None
    assert (panel.periods_per_year, panel.snapshot_id, panel.simulated) == (252, "x", True)
    assert panel.not_available["market_cap"] == "the data have no market caps and no shares outstanding"
    assert panel.not_available["exposure beta"] == "its inputs are not among the data"
    assert "exposures" not in panel.not_available
    before = frames[0].drop("funding_unknown_hours")
    assert (
        panel_of_frames(before, *frames[1:], SPECS.suite, snapshot_id="", simulated=True).funding_unknown_hours is None
    )


# The locked part of an experiment.
@pytest.mark.parametrize(
    ("sessions", "share", "row"), [(10, 0.2, 8), (10, 0.25, 8), (10, 0.26, 7), (10, 0.01, 9), (3, 0.5, 1)]
)
def test_the_locked_part_is_the_last_share_of_the_sessions_and_one_at_least(
    sessions: int, share: float, row: int
) -> None:
    """A quarter of ten are two and a half, which rounds to the even two."""
    days = np.arange("2024-01-01", "2024-01-31", dtype="datetime64[D]")[:sessions]
    assert holdout_start(days, share) == days[row].item()


def test_a_panel_is_cut_before_its_locked_part() -> None:
    panel = make_panel(1, names=3, sessions=6)
    panel = replace(panel, last=np.array([2, 3, 6]), funding_unknown_hours=np.ones((6, 3)))
    first = panel.sessions[3].item()
    assert (holdout_row(panel, first), holdout_row(panel, date(2099, 1, 1))) == (3, 6)
    made = development_panel(panel, first)
    # Who is gone on the first locked row is still there as far as anybody knows.
    assert made.last.tolist() == [2, 3, 3]
    for name in ("returns", "open_returns", "priced", "universe", "adv", "volatility", "market_cap", "cap_bucket"):
        np.testing.assert_array_equal(getattr(made, name), getattr(panel, name)[:3])
    assert made.exposures["beta"].shape == made.industry.shape == (3, 3)
    assert made.funding_unknown_hours is not None
    assert made.intraday is None


def test_a_locked_part_is_measured_from_its_first_session_to_the_one_it_was_opened_on() -> None:
    """Rows 2 to 4 of 6: gross 3, -1 and 4 per cent, costs of one; ICs of rows 2 and 3."""
    panel = make_panel(1, names=3, sessions=6)
    config = BacktestConfig()
    book = SimpleNamespace(
        first=1,
        gross=0.01 * np.array([9.0, 9.0, 3.0, -1.0, 4.0, 9.0]),
        cost=0.01 * np.array([9.0, 9.0, 1.0, 1.0, 1.0, 9.0]),
    )
    results: Any = {config.variant: SimpleNamespace(book=book, first_ic=np.array([9.0, 9.0, 0.1, 0.3, 9.0, 9.0]))}
    metrics = ("sharpe_net", "sharpe_gross", "ann_return_net", "ic_mean")

    def measured(sign: int, above: float = 0.0, first: int = 2, begun: int = 1) -> dict[str, Any]:
        book.first = begun
        stated = ExperimentSpec(
            name="e", signal="s", author="a", registered_on=date(2026, 1, 5), hypothesis="The score predicts returns.",
            expected_sign=sign, variants=(config,), holdout_share=0.2,
            criteria=tuple(Criterion(metric=metric, above=above) for metric in metrics),
        )  # fmt: skip
        opening = Opening(datetime(2026, 1, 5, tzinfo=UTC), "a", "x", panel.sessions[4].item())
        frozen = Registration(stated, "h", opening.opened_at, "a", panel.sessions[first].item(), 1, opening)
        return {row["metric"]: row for row in judge_experiment(frozen, results, panel).criteria.to_dicts()}

    net, gross = 0.01 * np.array([2.0, -2.0, 3.0]), 0.01 * np.array([3.0, -1.0, 4.0])
    found = measured(1)
    year = math.sqrt(252.0)
    assert found["sharpe_net"]["value"] == pytest.approx(net.mean() / net.std(ddof=1) * year)
    assert found["sharpe_gross"]["value"] == pytest.approx(gross.mean() / gross.std(ddof=1) * year)
    assert found["ann_return_net"]["value"] == pytest.approx(0.01 * 252)
    assert found["ic_mean"]["value"] == pytest.approx(0.2)
    assert [row["met"] for row in found.values()] == [True] * 4
    turned = measured(-1)
    assert turned["ann_return_net"]["value"] == pytest.approx(-0.03 * 252)
    assert turned["ic_mean"]["value"] == pytest.approx(-0.2)
    assert [row["met"] for row in turned.values()] == [False] * 4
    exact = measured(1, above=found["ic_mean"]["value"])
    assert not exact["ic_mean"]["met"], "above is above"
    # A book that begins later has nothing to say of the sessions before.
    assert measured(1, begun=3)["ann_return_net"]["value"] == pytest.approx(0.005 * 252)
    none = measured(1, first=5)
    assert math.isnan(none["ann_return_net"]["value"])
    assert math.isnan(none["ic_mean"]["value"])


@pytest.mark.parametrize(
    ("count", "signals", "people", "words"),
    [
        (0, 0, 0, "never, with 0 signals, by 0 people"),
        (1, 1, 1, "once, with 1 signal, by 1 person"),
        (2, 2, 1, "twice, with 2 signals, by 1 person"),
        (3, 1, 2, "3 times, with 1 signal, by 2 people"),
    ],
)
def test_looks_are_said_in_words(count: int, signals: int, people: int, words: str) -> None:
    looks = Looks(date(2024, 1, 2), date(2024, 2, 1), count, signals, people)
    assert looks.sentence == f"the sessions 2024-01-02 to 2024-02-01 were looked at {words}"


# The audit.
def test_a_restatement_is_a_value_beyond_rounding_on_a_date_of_before() -> None:
    """Ten values; the last row of the first version is row 2, and of later rows nothing is said."""
    panel = make_panel(1, names=4, sessions=5)
    first = np.full((5, 4), NAN)
    first[0], first[2] = (1.0, 2.0, 4.0, NAN), (1.0, 1.0, 1.0, 1.0)
    spec = SPECS.audit.model_copy(update={"restated_tolerance": 0.25, "restated_share": 0.3})

    def seen(second: np.ndarray, given: Any = spec) -> list[str]:
        return [one.message for one in audit.restatement(first, second, panel, given)]

    assert seen(first) == []
    later = first.copy()
    later[1], later[4] = 7.0, 7.0
    assert seen(later) == [], "row 1 had no value before, row 4 is new"
    rounded = first.copy()
    rounded[0, 0], rounded[0, 2] = 0.75, 3.0
    assert seen(rounded) == [], "a quarter of the larger one is rounding here"
    changed = first.copy()
    changed[0, :3] = (0.7, NAN, 5.5)
    tickers, day = panel.tickers, panel.sessions[0]
    assert seen(changed) == [
        f"3 of 7 values (42.9%) of old dates differ between two versions: {tickers[0]} on {day}: 1, then 0.7; "
        f"{tickers[1]} on {day}: 2, then nan; {tickers[2]} on {day}: 4, then 5.5"
    ]
    two = first.copy()
    two[0, 0], two[0, 3] = 9.0, 9.0
    # Two of eight are a quarter, which is not more than 0.3; nor more than a quarter.
    assert seen(two) == []
    assert seen(two, spec.model_copy(update={"restated_share": 0.25})) == []
    assert len(seen(two, spec.model_copy(update={"restated_share": 0.2}))) == 1
    assert audit.restatement(np.full((5, 4), NAN), first, panel, spec) == []


def test_a_proof_names_the_row_that_moved_and_how_far_it_had_looked() -> None:
    """Each value is the close two rows later: the first that moves lies two rows before the cut and one after it."""
    bars = pl.DataFrame({"close": np.arange(10.0), "name": ["x"] * 10})

    def ahead(frame: pl.DataFrame) -> pl.Series:
        return frame.select(pl.col("close").shift(-2).fill_null(np.nan)).to_series()

    found = audit.prove_by_perturbation(ahead, bars, [5, 9], rng=np.random.default_rng(1))
    # After the last row there is nothing to replace or cut off.
    [only] = found
    assert (only.code, only.bars) == ("look_ahead_proven", 1)
    assert only.message.startswith("with everything after row 5 replaced, the value of row 4 went from 6 to ")

    def mean(frame: pl.DataFrame) -> np.ndarray:
        """Knows how many rows there are, and nothing of what stands in them."""
        return np.full(frame.height, float(frame.height))

    [cut] = audit.prove_by_perturbation(mean, bars, [7], rng=np.random.default_rng(1))
    assert cut.message == "with everything after row 7 cut off, the value of row 0 went from 10 to 8"
    assert cut.bars == 7


def test_a_finding_is_raised_with_its_number_and_all_of_them_in_the_plural() -> None:
    one = audit.Audit((audit.AuditFinding("look_ahead_scale", "a"),), pl.DataFrame())
    two = audit.Audit((audit.AuditFinding("x", "a"), audit.AuditFinding("y", "b")), pl.DataFrame())
    for found, words in ((one, "1 finding"), (two, "2 findings")):
        with pytest.raises(Exception, match=f"(?s)a.*{words}\n"):
            found.require_passed("s")
    assert audit.Audit((), pl.DataFrame()).passed


# Scales.
def test_equal_steps_may_differ_by_less_than_a_third() -> None:
    """Twenty-one values at least, of steps that differ by at most 0.3 of their mean."""
    steps = np.ones(24)
    steps[::2], steps[1::2] = 1.29, 0.71
    wide = steps.copy()
    wide[0], wide[1] = 1.32, 0.68
    for given, equal in ((steps, True), (wide, False)):
        assert _equal_steps(np.append(0.0, np.cumsum(given))[:, np.newaxis], 0.0).tolist() == [equal]
    assert _equal_steps(np.arange(21.0)[:, np.newaxis], 0.0).tolist() == [True]
    assert _equal_steps(np.arange(20.0)[:, np.newaxis], 0.0).tolist() == [False]
    assert _equal_steps(np.zeros((25, 1)), 0.0).tolist() == [False]


@pytest.mark.parametrize(
    ("sizes", "seen"),
    [
        ((10, 10), True),
        ((10, 9), False),
        ((11, 10), True),
        ((12, 10), False),
        ((10,), False),
        ((10,) * 20, True),
        ((10,) * 21, False),
    ],
)
def test_buckets_are_up_to_twenty_values_of_ten_dates_and_one_more(sizes: tuple[int, ...], seen: bool) -> None:
    column = np.concatenate([np.full(size, float(k)) for k, size in enumerate(sizes)] + [np.array([NAN])])
    assert _equal_buckets(column[:, np.newaxis], 0.0).tolist() == [seen]


def test_a_mean_of_zero_is_one_of_a_hundred_thousandth_and_its_deviation_is_told() -> None:
    """Sixty dates; a mean of 0.99e-5 deviations is zero, one of 1.01e-5 is not. Half of the names are enough."""
    rng = np.random.default_rng(3)
    base = rng.normal(0.0, 1.0, (60, 4))
    base = (base - base.mean(axis=0)) / base.std(axis=0)
    words = "the mean over the whole sample is zero for 4 of 4 names"
    assert whole_sample_scale(base, SPECS.audit) == f"{words}, and the standard deviation one"
    assert whole_sample_scale(base * 1.002, SPECS.audit) == words
    assert whole_sample_scale(base * 1.0005, SPECS.audit) == f"{words}, and the standard deviation one"
    assert whole_sample_scale(3.0 * (base + 0.99e-5), SPECS.audit) == words
    spread = base * np.array([1.0, 2.0, 3.0, 4.0])
    assert whole_sample_scale(spread * (1.0 + 0.0) + 1.01e-5 * np.array([1.0, 2.0, 3.0, 4.0]), SPECS.audit) is None
    half = spread + np.array([0.0, 0.0, 1.0, 1.0])
    assert (whole_sample_scale(half, SPECS.audit) or "").startswith("the mean over the whole sample is zero for 2 of 4")
    assert whole_sample_scale(spread + np.array([0.0, 1.0, 1.0, 1.0]), SPECS.audit) is None
    assert whole_sample_scale(base[:59], SPECS.audit) is None, "sixty dates are needed"
    assert whole_sample_scale(np.full((60, 4), NAN), SPECS.audit) is None


def test_of_many_names_every_second_is_looked_at() -> None:
    """Of 202 names 101 are: those at even places have a mean of zero, the others have not."""
    rng = np.random.default_rng(4)
    values = rng.normal(5.0, 1.0, (60, 202))
    values[:, ::2] -= values[:, ::2].mean(axis=0)
    assert (whole_sample_scale(values, SPECS.audit) or "").startswith(
        "the mean over the whole sample is zero for 101 of 101 names"
    )
    found = whole_sample_scale(values[:, :200], SPECS.audit)
    assert (found or "").startswith("the mean over the whole sample is zero for 100 of 200 names")


# The contract.
def submitted(**changes: Any) -> Any:
    days = [date(2024, 1, 2), date(2024, 1, 3)]
    rows = [
        {"security_id": name, "date_sig": day, "date_avail": day, "signal": float(k)}
        for day in days
        for k, name in enumerate(("A", "B", "C"))
    ]
    frame = pl.DataFrame(rows).with_columns(**changes)
    return validate(frame, session_clock("XNYS"), {"A", "B", "C"}, contract=SPECS.contract, today=date(2024, 6, 3))


def test_hours_are_those_of_a_day_its_end_included() -> None:
    for hour, taken in ((0.0, 6), (24.0, 6), (24.01, 0), (-0.01, 0), (NAN, 0), (None, 6)):
        assert submitted(avail_hour=pl.lit(hour, dtype=pl.Float64)).good.height == taken, hour


def test_what_was_taken_is_said_with_its_names_and_dates() -> None:
    found = submitted()
    assert found.message().splitlines()[0] == (
        "6 of 6 rows were taken: 3 securities, 2 dates, 2024-01-02 to 2024-01-03"
    )
    assert (found.rows, found.clean) == (6, True)
    broken = submitted(signal=pl.when(pl.col("security_id") == "A").then(None).otherwise("signal"))
    lines = broken.message().splitlines()
    assert lines[0].startswith("4 of 6 rows were taken: 2 securities, 2 dates")
    assert "signal_missing: 2 of 6 rows" in lines
    assert "    row 0: A, date_sig 2024-01-02, date_avail 2024-01-02, signal None (signal is missing)" in lines
    assert broken.rejects["row"].to_list() == [0, 3]
    none = submitted(signal=pl.lit(None, dtype=pl.Float64))
    assert none.message().splitlines()[0] == "0 of 6 rows were taken: 0 securities, 0 dates"


# Signals on their rows.
def test_a_signal_of_the_platform_is_traded_a_row_after_it() -> None:
    values = np.array([[1.0, NAN], [2.0, 3.0], [NAN, 4.0]])
    made = dense_signal("s", values)
    assert made.at_close.tolist() == [same(NAN, NAN), same(1.0, NAN), same(2.0, 3.0)]
    assert made.at_open is made.at_close
    assert made.by_date is values
    assert (made.rows, made.outside, made.superseded) == (4, 1, 0), "the last row has none after it"


def test_of_two_values_for_one_row_the_later_date_wins_and_strangers_are_counted() -> None:
    panel = make_panel(1, names=3, sessions=5)
    days = panel.sessions
    rows = pl.DataFrame(
        {
            "security_id": ["N0000", "N0000", "N0001", "N0002", "ZZZ"],
            "date_sig": days[[1, 0, 0, 4, 0]],
            "date_avail": days[[1, 2, 0, 4, 0]],
            "signal": [5.0, 9.0, 7.0, 8.0, 1.0],
        }
    )
    made: SignalPanel = signal_panel(rows, panel, name="s")
    # Both values of the first name can be traded on row 2: the one that has seen row 1 is the later.
    assert np.argwhere(np.isfinite(made.at_close)).tolist() == [[1, 1], [2, 0]]
    assert (made.at_close[2, 0], made.at_close[1, 1]) == (5.0, 7.0)
    assert (made.rows, made.outside, made.superseded) == (5, 2, 1)
    assert np.isfinite(made.by_date).sum() == 4


def test_a_market_return_is_of_the_names_that_were_there_the_row_before() -> None:
    panel = make_panel(1, names=3, sessions=3)
    returns = np.array([[1.0, 1.0, 1.0], [0.1, 0.3, NAN], [0.2, 0.4, 0.9]])
    universe = np.array([[True, True, True], [True, False, True], [False, False, False]])
    made = replace(panel, returns=returns, universe=universe)
    assert made.market_return().tolist() == same(NAN, 0.2, 0.55)
    gone = replace(panel, returns=returns, last=np.array([0, 2, 3]))
    assert gone.ends == (1, 0), "who is gone with the last row but one has no row to be paid on"
    unsaid = replace(panel, returns=returns, last=np.array([3, 3, 0]))
    assert unsaid.ends == (1, 1)


def test_the_share_of_returns_with_unknown_funding() -> None:
    panel = make_panel(1, names=2, sessions=2)
    priced = np.array([[True, True], [True, False]])
    made = replace(panel, priced=priced, returns=np.zeros((2, 2)))
    assert made.funding_unknown_share is None
    hours = np.array([[0.0, 0.5], [0.0, 9.0]])
    assert replace(made, funding_unknown_hours=hours).funding_unknown_share == pytest.approx(1.0 / 3.0)
    nobody = replace(made, funding_unknown_hours=hours, priced=np.zeros((2, 2), dtype=np.bool_))
    assert nobody.funding_unknown_share == 0.0


def test_a_slow_score_is_what_the_audit_calls_honest() -> None:
    """The profile begins with the bar before the date, and every mean comes with its count and error."""
    panel = make_panel(1, names=30, sessions=60)
    found = audit.audit_signal(
        dense_signal("s", slow_signal(1, names=30, sessions=60)), panel, SPECS.audit, min_names=20
    )
    assert found.profile["bar"].to_list() == list(range(-1, SPECS.audit.max_bars + 2))
    counts = dict(found.profile.select("bar", "n").iter_rows())
    # Sixty rows less the bars that lie outside; on the last row nothing was seen of the next.
    assert (counts[-1], counts[0], counts[1], counts[5]) == (59, 60, 59, 55)


def notes(frame: pl.DataFrame, **contract: Any) -> dict[str, tuple[int, int, str, str]]:
    """What is said of whole dates and of columns: count, of how many, unit, examples."""
    found = validate(
        frame, session_clock("XNYS"), {f"N{k:03d}" for k in range(200)},
        contract=SPECS.contract.model_copy(update=contract), today=date(2024, 6, 3),
    )  # fmt: skip
    rows = found.summary.filter(pl.col("kind") == "note")
    return {code: tuple(rest) for code, *rest in rows.select("code", "count", "of", "unit", "examples").iter_rows()}


def dated(*days: tuple[str, int, int]) -> pl.DataFrame:
    """Day, rows with a value of their own, and rows without one."""
    return pl.DataFrame(
        [
            {"security_id": f"N{k:03d}", "date_sig": day, "date_avail": day, "signal": float(k) if k < valued else None}
            for day, valued, without in days
            for k in range(valued + without)
        ]
    )


def test_a_date_is_thin_below_its_names_and_missing_above_its_share() -> None:
    frame = dated(("2024-01-02", 5, 0), ("2024-01-03", 4, 0), ("2024-01-04", 5, 5), ("2024-01-05", 5, 6),
                  ("2024-01-08", 0, 6))  # fmt: skip
    found = notes(frame, thin_names=5, missing_share=0.5)
    assert found == {
        "signal_thin_coverage": (1, 4, "dates", "2024-01-03: 4 names"),
        "signal_missing_by_date": (2, 4, "dates", "2024-01-05: 55% of 11 rows\n2024-01-08: 100% of 6 rows"),
    }
    # Where more dates lack values than have any, the count is of those.
    none = notes(dated(("2024-01-02", 0, 3), ("2024-01-03", 0, 3)), thin_names=1, missing_share=0.5)
    assert none["signal_missing_by_date"][:2] == (2, 2)


def test_a_date_is_constant_where_two_names_say_the_same() -> None:
    alike = dated(("2024-01-02", 2, 0), ("2024-01-03", 1, 0)).with_columns(signal=pl.lit(7.0))
    assert notes(alike, thin_names=1) == {"signal_constant_date": (1, 2, "dates", "2024-01-02: one value for 2 names")}


def test_columns_that_were_not_read_are_named_up_to_sixty_letters() -> None:
    frame = dated(("2024-01-02", 3, 0)).with_columns(pl.lit(1).alias("x" * 70), pl.lit(1).alias("y"))
    assert notes(frame, thin_names=1) == {"signal_columns_ignored": (2, 6, "columns", f"{'x' * 60}\ny")}


def test_of_fifty_strangers_the_closest_known_is_named_and_of_more_none() -> None:
    frame = dated(("2024-01-02", 51, 0)).with_columns(security_id=pl.col("security_id") + "X")
    found = validate(
        frame, session_clock("XNYS"), {f"N{k:03d}" for k in range(51)}, contract=SPECS.contract, today=date(2024, 6, 3)
    )
    details = dict(found.rejects.select("security_id", "detail").iter_rows())
    assert details["N049X"].startswith("closest known is N")
    assert details["N050X"] == "nothing alike is known"


@pytest.mark.parametrize(
    ("day", "code"),
    [
        (date(1700, 1, 1), "signal_no_session"),
        (date(1699, 12, 31), "signal_type_invalid"),
        (date(2199, 12, 31), "signal_future_dated"),
        (date(2200, 1, 1), "signal_type_invalid"),
    ],
)
def test_dates_between_1700_and_2199_are_dates(day: date, code: str) -> None:
    frame = dated(("2024-01-02", 3, 0)).with_columns(pl.lit(day).alias("date_sig"), pl.lit(day).alias("date_avail"))
    for typed in (frame, frame.with_columns(pl.col("date_sig", "date_avail").cast(pl.Datetime("us")))):
        found = validate(typed, session_clock("XNYS"), {"N000"}, contract=SPECS.contract, today=date(2024, 6, 3))
        assert set(found.rejects["code"]) == {code}


def test_traded_value_of_perpetuals_is_a_mean_over_half_of_its_window_at_least() -> None:
    spec = SPECS.suite.model_copy(update={"history": SPECS.suite.history.model_copy(update={"adv": 4})})
    days = pl.DataFrame(
        {
            "ticker": ["A"] * 5 + ["B"], "session": [date(2024, 1, k) for k in (1, 2, 3, 4, 5, 1)],
            "quote_volume": [1.0, 3.0, None, 8.0, 10.0, 7.0], "ret": [0.0] * 6, "funding_unknown_hours": [0.0] * 6,
        }
    )  # fmt: skip
    made = perp_frames(days, spec)
    assert made.descriptors["adv"].to_list() == [None, 2.0, 2.0, 4.0, 7.0, None]
    assert made.returns.columns[-1] == "funding_unknown_hours"
    assert made.returns.select("ret_open_to_close", "ret_open_to_open").null_count().row(0) == (6, 6)
    assert (made.dates, made.descriptors_age, made.risk_age, made.risk.height) == (None, 0, 0, 0)
