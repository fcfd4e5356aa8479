"""Returns, payments, industries and folds as arrays: the parts that a panel and a composite are made of, by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from quant_platform.labs.suite.backtest import Workbench
from quant_platform.labs.suite.build import _industries, _market_caps, _pay_out, _returns, contract_rows
from quant_platform.labs.suite.composite import (
    Fold,
    _folds,
    _inner_blocks,
    _models,
    carried,
    date_moments,
    member_scores,
    orthogonalised,
    ridge,
    scaled,
)
from quant_platform.labs.suite.derived import Grid
from quant_platform.labs.suite.kernels import book_rows, centred_rank_rows, group_rows
from quant_platform.labs.suite.panel import dense_signal
from quant_platform.labs.suite.ranking import rank_panel, row_blocks, shifted_ics
from quant_platform.labs.suite.residual import residualise
from quant_platform.labs.suite.uniqueness import partial_ic
from quant_platform.specification.suite import CompositeMember, CompositeSpec, load_suite
from quant_platform_tests.labs.suite.worlds import make_panel, slow_signal

SPECS = load_suite(Path("specs"))
NAN = math.nan


def same(*values: float) -> Any:
    return pytest.approx(list(values), nan_ok=True)


def test_a_return_is_over_the_last_price_and_none_without_one() -> None:
    price = np.array([[NAN], [2.0], [NAN], [3.0], [6.0]])
    returns, carried_on = _returns(price, np.isfinite(price))
    assert returns[:, 0].tolist() == same(NAN, NAN, NAN, 0.5, 1.0)
    assert carried_on[:, 0].tolist() == same(NAN, 2.0, 2.0, 3.0, 6.0)


def test_a_payment_stands_on_the_row_after_the_last_price_at_the_close_and_at_the_open() -> None:
    """The last close is 4, the last open 5, and 25 % of the close is lost: 3 for who bought at 5 is -40 %."""
    returns, opens = np.full((4, 3), NAN), np.full((4, 3), NAN)
    close, opened = np.full((4, 3), 4.0), np.full((4, 3), 5.0)
    _pay_out(returns, opens, np.array([1, 3, 2]), np.array([-0.25, -0.9, NAN]), close, opened)
    assert returns[:, 0].tolist() == same(NAN, NAN, -0.25, NAN)
    assert opens[2, 0] == pytest.approx(-0.4)
    # Whose last price is on the last row has no row to be paid on; of the third nobody says what it was.
    assert np.isnan(returns[:, 1:]).all()


def test_an_industry_holds_from_its_first_day_to_its_last() -> None:
    days = np.arange("2024-01-01", "2024-01-06", dtype="datetime64[D]")
    securities = pl.DataFrame(
        {
            "universe": ["u", "u", "u", "other", "u", "u"],
            "ticker": ["A", "A", "B", "B", "C", "Z"],
            "start_date": [date(2023, 1, 1), date(2024, 1, 4), date(2024, 1, 2), date(2023, 1, 1), date(2023, 1, 1),
                           date(2023, 1, 1)],
            "end_date": [date(2024, 1, 2), None, date(2024, 1, 3), None, None, None],
            "sector": ["Energy", "Banks", "Banks", "Energy", None, "Energy"],
        }
    )  # fmt: skip
    missing: dict[str, str] = {}
    codes, names = _industries(securities, "u", Grid(days, ("A", "B", "C")), missing)
    assert (names, missing) == (("Banks", "Energy"), {})
    assert codes[:, 0].tolist() == [1, 1, -1, 0, 0]
    assert codes[:, 1].tolist() == [-1, 0, 0, -1, -1]
    assert codes[:, 2].tolist() == [-1] * 5
    none, names = _industries(securities, "nobody", Grid(days, ("A",)), missing)
    assert (names, missing) == ((), {"industry": "the data have no sectors"})
    assert none[:, 0].tolist() == [-1] * 5


def test_cap_buckets_are_of_the_universe_and_a_cap_of_nothing_is_unknown() -> None:
    """Of ten caps the five lowest are small, the three after them mid and the last two large."""
    days = np.array(["2024-01-01"], dtype="datetime64[D]")
    names = tuple(f"N{k:02d}" for k in range(12))
    known = pl.DataFrame(
        {"ticker": names, "session": [date(2024, 1, 1)] * 12, "market_cap": [float(k) for k in range(12)]}
    )
    inside = np.ones((1, 12), dtype=np.bool_)
    inside[0, 11] = False
    missing: dict[str, str] = {}
    cap, bucket = _market_caps(known, Grid(days, names), inside, SPECS.suite, missing)
    assert cap is not None
    assert cap[0].tolist() == same(NAN, *(float(k) for k in range(1, 12)))
    assert bucket[0].tolist() == [0, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 0]
    none = known.with_columns(market_cap=pl.lit(0.0))
    assert _market_caps(none, Grid(days, names), inside, SPECS.suite, missing)[0] is None
    assert missing == {"market_cap": "the data have no market caps and no shares outstanding"}


def test_rows_of_the_contract_are_available_from_the_session_after() -> None:
    panel = make_panel(1, names=2, sessions=3)
    values = np.array([[1.0, NAN], [NAN, NAN], [NAN, 2.0]])
    rows = contract_rows(dense_signal("s", values), panel).rows()
    following = panel.clock.days[panel.clock.rows(panel.sessions[-1:])[0] + 1].item()
    assert rows == [
        ("N0000", panel.sessions[0].item(), panel.sessions[1].item(), None, 1.0),
        ("N0001", panel.sessions[2].item(), following, None, 2.0),
    ]


# Composites.
def spec_of(**changes: Any) -> CompositeSpec:
    made = {
        "name": "c", "description": "of a test", "author": "tester", "members": (CompositeMember(signal="a"),),
        "horizon_sessions": 2, "first_train_sessions": 40, "fold_sessions": 15, "purge_sessions": 1, "inner_folds": 2,
        "penalties": (0.5, 1.0),
    }  # fmt: skip
    return CompositeSpec.model_construct(**(made | changes))


def test_scores_are_centred_ranks_of_the_names_that_were_there_the_row_before() -> None:
    """Of three names ranks are -1/3, 0 and 1/3, times root 12; a name that was not in the universe has none."""
    panel = make_panel(1, names=4, sessions=3)
    universe = np.ones((3, 4), dtype=np.bool_)
    universe[0, 3] = False
    values = np.array([[5.0, 1.0, 3.0, 9.0], [1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0]])
    member = CompositeMember(signal="a")
    scores, present = member_scores(
        spec_of(members=(member,)), [dense_signal("a", values)], replace(panel, universe=universe), SPECS.suite
    )
    root = math.sqrt(12.0)
    assert scores[0, :, 0].tolist() == [0.0] * 4, "nothing was seen before the first row"
    assert scores[1, :, 0].tolist() == same(root / 3.0, -root / 3.0, 0.0, 0.0)
    assert present[1, :, 0].tolist() == [True, True, True, False]
    # Of four: -3/8, -1/8, 1/8 and 3/8.
    assert scores[2, :, 0].tolist() == same(*(root * k / 8.0 for k in (-3, -1, 1, 3)))


def test_a_residual_has_unit_variance_over_the_names_that_have_the_member() -> None:
    """The second member less its slope on the first; what is a copy of the first is nothing."""
    first, second = np.array([1.0, -1.0, 1.0, -1.0]), np.array([3.0, 1.0, -1.0, 0.0])
    scores = np.stack([first, second, 2.0 * first], axis=1)[np.newaxis]
    present = np.ones(scores.shape, dtype=np.bool_)
    present[0, 3, 1] = False
    made = orthogonalised(scores, present)[0]
    assert made[:, 0].tolist() == same(1.0, -1.0, 1.0, -1.0)
    # The slope is (3 - 1 - 1 - 0) / 4 = 1/4; without the fourth name the residuals are 2.75, 1.25 and -1.25.
    left = np.array([2.75, 1.25, -1.25, 0.0])
    assert made[:, 1].tolist() == pytest.approx((left * math.sqrt(3.0 / (left @ left))).tolist())
    assert made[:, 2].tolist() == [0.0] * 4
    # A residual of a hundred-thousandth of a score is kept, one a tenth of that is rounding.
    for tilt, kept in ((1.1e-5, True), (0.9e-5, False)):
        near = np.stack([first, first + tilt * np.array([1.0, 1.0, -1.0, -1.0]) / 1.0], axis=1)[np.newaxis]
        found = orthogonalised(near, np.ones(near.shape, dtype=np.bool_))[0, :, 1]
        assert bool(found.any()) is kept


def test_moments_are_of_the_names_that_have_a_score_and_a_return() -> None:
    """Scores 1, 2, 3 and returns 1, 3, 5: variances 2/3 and 8/3, covariance 4/3; two names of three are too few."""
    scores = np.array([[[1.0], [2.0], [3.0], [9.0]], [[1.0], [2.0], [3.0], [9.0]]])
    returns = np.array([[1.0, 3.0, 5.0, NAN], [1.0, 3.0, NAN, NAN]])
    found = date_moments(scores, np.ones((2, 4), dtype=np.bool_), returns, 3)
    assert (found.scores[:, 0, 0].tolist(), found.returns[:, 0].tolist()) == (same(2 / 3, 0.0), same(4 / 3, 0.0))
    assert (found.variance.tolist(), found.usable.tolist()) == (same(8 / 3, 0.0), [True, False])
    products, targets, dates = found.between(0, 2)
    assert (products.tolist(), targets.tolist(), dates) == ([same(2 / 3)], same(4 / 3), 1)
    # (2/3 + 1/3) w = 4/3; scaled so that w^2 times 2/3 is one.
    assert ridge(found, 0, 2, 1.0 / 3.0).tolist() == same(4.0 / 3.0)
    assert scaled(found, 2, 1.0 / 3.0).tolist() == same(math.sqrt(1.5))
    assert ridge(found, 1, 2, 1.0).tolist() == scaled(found, 0, 1.0).tolist() == [0.0]


def test_inner_blocks_are_equal_parts_of_training_after_the_first() -> None:
    assert _inner_blocks(30, 2) == [(10, 20), (20, 30)]
    assert _inner_blocks(10, 3) == [(2, 5), (5, 8), (8, 10)]


def moments(rows: int) -> Any:
    rng = np.random.default_rng(1)
    scores = rng.standard_normal((rows, 30, 1))
    return date_moments(scores, np.ones((rows, 30), dtype=np.bool_), 0.5 * scores[..., 0], 10)


def test_folds_follow_each_other_to_the_last_row_and_train_before_their_gap() -> None:
    """From row 40 on every 15; what is learnt ends with the two rows of the horizon and one of purge before."""
    found = _folds(spec_of(), moments(65), 65)
    assert [(fold.first, fold.stop, fold.train_stop) for fold in found] == [(40, 55, 37), (55, 65, 52)]
    assert [fold.train_dates for fold in found] == [37, 52]
    for fold in found:
        # Returns are half of the score: every penalty says the same, and the larger one is taken.
        assert (fold.penalty, fold.inner_correlation) == (1.0, pytest.approx(1.0))
        # A score of unit variance over all rows of training has half of the deviation of the scores as its slope.
        assert fold.slope == pytest.approx(0.5, rel=0.1)
        assert not fold.abstains


def test_a_model_says_what_it_saw_and_what_it_scores() -> None:
    panel = make_panel(1, names=2, sessions=6)
    day = panel.sessions.tolist()
    folds = [
        Fold(3, 5, 2, 2, 0.5, np.array([0.25, -0.75]), 0.01, 0.2),
        Fold(5, 6, 0, 0, 1.0, np.array([0.0, 0.0]), 0.0, -math.inf),
    ]
    assert _models(("a", "b"), folds, panel).rows() == [
        (0, "a", 0, day[0], day[1], 2, day[3], day[4], 0.5, 0.25, 0.01, 0.2, False),
        (0, "b", 1, day[0], day[1], 2, day[3], day[4], 0.5, -0.75, 0.01, 0.2, False),
        (1, "a", 0, day[0], day[0], 0, day[5], day[5], 1.0, 0.0, 0.0, None, True),
        (1, "b", 1, day[0], day[0], 0, day[5], day[5], 1.0, 0.0, 0.0, None, True),
    ]


def test_what_is_carried_ends_after_its_rows() -> None:
    values = np.array([[NAN], [1.0], [NAN], [NAN], [2.0], [NAN]])
    assert carried(values, 1)[:, 0].tolist() == same(NAN, 1.0, 1.0, NAN, 2.0, 2.0)
    assert carried(values, 0)[:, 0].tolist() == same(NAN, 1.0, NAN, NAN, 2.0, NAN)


# Ranks.
def test_blocks_of_rows_cover_all_of_them_once() -> None:
    assert list(row_blocks(5, 2**14)) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert list(row_blocks(3, 2**16)) == [slice(0, 1), slice(1, 2), slice(2, 3)]
    assert list(row_blocks(4, 0)) == [slice(0, 4)]


def test_groups_lie_above_the_linear_quantile_and_ties_stay_together() -> None:
    """Six names, bounds at 20 and 80 %: places floor(5 x 0.2) = 1 and 4: above the second, and above the fifth."""
    ranks = rank_panel(np.array([[6.0, 1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 1.0, 1.0, 3.0, 3.0, NAN], [NAN] * 6]))
    groups = np.empty((3, 6), dtype=np.int16)
    group_rows(ranks.doubled, ranks.counts, np.array([20_000, 80_000]), groups)
    assert groups[0].tolist() == [2, 0, 0, 1, 1, 1]
    # Of five places 0 and 3 decide: the three alike are the lowest, the two alike lie in the middle.
    assert groups[1].tolist() == [0, 0, 0, 1, 1, -1]
    assert groups[2].tolist() == [-1] * 6
    centred = np.empty((3, 6))
    centred_rank_rows(ranks.doubled, ranks.counts, centred)
    assert centred[1].tolist() == same(-0.2, -0.2, -0.2, 0.3, 0.3, NAN)
    assert np.isnan(centred[2]).all()


def test_pairs_are_ranked_among_themselves_and_counted() -> None:
    """Of 1, 2, 3, 4 and 9 against 1, 4, nothing, 2 and 3 the ranks are 1, 2, 3, 4 and 1, 4, 2, 3: 1 - 6 x 6 / 60."""
    signal = rank_panel(np.array([[1.0, 2.0, 3.0, 4.0, 9.0], [1.0, 1.0, 1.0, 1.0, 1.0]]))
    returns = rank_panel(np.array([[1.0, 4.0, NAN, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0, 5.0]]))
    assert shifted_ics(signal, returns, [0], min_names=4)[0].tolist() == same(0.4, NAN)
    assert shifted_ics(signal, returns, [0], min_names=5)[0].tolist() == same(NAN, NAN)
    assert shifted_ics(signal, returns, [1, -1], min_names=5).tolist() == [same(1.0, NAN), same(NAN, NAN)]


def test_a_residual_of_an_industry_is_its_difference_from_the_mean() -> None:
    panel = make_panel(1, names=4, sessions=1)
    panel = replace(panel, industry=np.array([[0, 0, 1, -1]]))
    values = np.array([[1.0, 4.0, 9.0, 2.0]])
    found = residualise(values, panel, ["off", "industry"], min_names=2)
    assert found["off"] is values
    assert found["industry"][0].tolist() == same(-1.5, 1.5, 0.0, NAN)


def test_of_a_signal_that_is_a_baseline_nothing_is_left() -> None:
    panel = make_panel(3, names=40, sessions=80)
    bench = Workbench(panel, SPECS.suite, SPECS.costs)
    score = slow_signal(3, names=40, sessions=80)
    mine = bench.prepare(dense_signal("mine", score))
    copy = {"copy": bench.prepare(dense_signal("copy", np.exp(score)))}
    left = partial_ic(mine, copy)
    assert (left.n, left.share, left.baselines) == (0, 0.0, ("copy",))
    assert math.isnan(left.mean)
    assert math.isfinite(left.ic)
    empty = {"empty": bench.prepare(dense_signal("empty", np.full(panel.shape, NAN)))}
    nothing = partial_ic(mine, empty)
    assert (nothing.n, nothing.baselines) == (0, ())
    assert math.isnan(nothing.ic)
    other = {**empty, "other": bench.prepare(dense_signal("other", slow_signal(4, names=40, sessions=80)))}
    real = partial_ic(mine, other)
    assert (real.n, real.baselines) == (78, ("other",))
    assert real.share == pytest.approx(real.mean / real.ic)


def test_a_book_in_two_rows_by_every_column() -> None:
    """Long 0.5 of A and 0.5 of B, short 1 of C at the first row; then B has no price, C is gone and A is trimmed.

    Rates of 1 % linear and 2 % a power of 3/2. The second row: A earns 10 % and is 0.55, B says nothing, and C, whose
    end nobody states, costs a short nothing. Targets are 0.4 of A and nothing of B, which cannot be sold.
    """
    targets = np.array([[0.5, 0.5, -1.0], [0.4, 0.0, 0.0]])
    totals, counted, held = np.zeros((2, 6)), np.zeros((2, 5), dtype=np.int64), np.zeros((2, 3))
    by_first, by_second = np.zeros((2, 2, 3)), np.zeros((2, 2, 3))
    returns = np.array([[0.0, 0.0, 0.0], [0.1, NAN, NAN]])
    tradable = np.array([[True, True, True], [True, False, False]])
    first = np.array([[0, 1, 1], [0, 1, 1]], dtype=np.int16)
    second = np.array([[-1, 0, 0], [-1, 0, 0]], dtype=np.int16)
    book_rows(
        targets, np.array([True, True]), 0, 9, returns, tradable, np.array([2, 2, 0]), np.full((1, 1), 0.01),
        np.full((1, 1), 0.02), first, second, totals, by_first, by_second, counted, held, True, 0.3,
    )  # fmt: skip
    power = 2.0 * 0.5**1.5 + 1.0
    assert totals[0].tolist() == same(0.0, 0.02, 0.02 * power, 2.0, 1.0, 1.0)
    assert totals[1].tolist() == same(0.05, 0.0015, 0.02 * 0.15**1.5, 0.15, 0.9, 0.0)
    assert counted.tolist() == [[2, 1, 0, 0, 0], [2, 0, 1, 1, 1]]
    assert held.tolist() == [same(0.5, 0.5, -1.0), same(0.4, 0.5, 0.0)]
    assert by_first[1].tolist() == [same(0.05, 0.0015, 0.02 * 0.15**1.5), same(0.0, 0.0, 0.0)]
    assert by_second[0].tolist() == [same(0.0, 0.005, 0.02 * 0.5**1.5), same(0.0, 0.015, 0.02 * (0.5**1.5 + 1.0))]
