"""Parts of a suite that are told by a few numbers: scales, cliffs, capacity, looks, and the inner fit of a fold."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from quant_platform.labs.suite import audit
from quant_platform.labs.suite.audit import _cliff
from quant_platform.labs.suite.capacity import _crossing, _holdings, break_even_bps
from quant_platform.labs.suite.composite import date_moments, fit_fold
from quant_platform.labs.suite.experiments import Opening, Registration, look_rows
from quant_platform.labs.suite.kernels import leg_weight_rows, median_distance_rows
from quant_platform.labs.suite.ranking import rank_panel
from quant_platform.labs.suite.scales import whole_sample_scale
from quant_platform.labs.suite.summary import SUMMARY_SCHEMA, _line
from quant_platform.labs.suite.uniqueness import pearson
from quant_platform.specification.suite import ExperimentSpec, load_suite
from quant_platform_tests.labs.suite.test_composite import SPEC
from quant_platform_tests.labs.suite.worlds import make_panel

SPECS = load_suite(Path("specs"))
NOW, BEFORE = datetime(2026, 3, 2, 9, tzinfo=UTC), datetime(2026, 2, 2, 9, tzinfo=UTC)


def raw(seed: int = 1) -> np.ndarray:
    """Values of forty names over two hundred dates, of different mean and spread, some of them missing."""
    rng = np.random.default_rng(seed)
    values = rng.normal(rng.normal(5.0, 1.0, 40), rng.uniform(1.0, 3.0, 40), (200, 40))
    values[rng.random(values.shape) < 0.05] = np.nan
    return values


def ranks(values: np.ndarray) -> np.ndarray:
    """Rank of each value among all dates of its name, from 1."""
    order = np.argsort(np.argsort(np.where(np.isnan(values), np.inf, values), axis=0), axis=0) + 1.0
    return np.where(np.isnan(values), np.nan, order)


def min_max(values: np.ndarray) -> np.ndarray:
    low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    return (values - low) / (high - low)


FITTED = {
    "demeaned": (
        lambda v: 3.0 * (v - np.nanmean(v, axis=0)),
        "the mean over the whole sample is zero for 40 of 40 names",
    ),
    "z": (
        lambda v: (v - np.nanmean(v, axis=0)) / np.nanstd(v, axis=0),
        "the mean over the whole sample is zero for 40 of 40 names, and the standard deviation one",
    ),
    "divided": (lambda v: v / np.nanstd(v, axis=0), "the standard deviation over the whole sample is the same"),
    "divided as a sample": (
        lambda v: v / np.nanstd(v, axis=0, ddof=1),
        "the standard deviation over the whole sample is the same",
    ),
    "robust": (lambda v: v - np.nanmedian(v, axis=0), "the median over the whole sample is zero for 40 of 40 names"),
    "min-max": (min_max, "the smallest and the largest value are the same two numbers for 40 of 40 names"),
    # Next to a number this large the tolerance is less than the last digit.
    "min-max far away": (
        lambda v: min_max(v) * 1e-3 + 1e9,
        "the smallest and the largest value are the same two numbers for 40 of 40 names",
    ),
    "rank": (
        lambda v: ranks(v) / (1.0 + (~np.isnan(v)).sum(axis=0)),
        "the sorted values have equal steps, as ranks over all dates have, for 40 of 40 names",
    ),
    "quintile": (
        lambda v: np.arange(1.0, 41.0) * np.ceil(5.0 * ranks(v) / (~np.isnan(v)).sum(axis=0)),
        "a few values are taken equally often, as quantiles over all dates are, for 40 of 40 names",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FITTED)
def test_a_scale_that_was_fitted_to_all_dates_leaves_its_mark(name: str) -> None:
    make, said = FITTED[name]
    assert (whole_sample_scale(make(raw()), SPECS.audit) or "").startswith(said)


@pytest.mark.parametrize(
    "make",
    [
        lambda v: v,
        lambda v: np.sign(v - 5.0),
        lambda v: np.where(np.isnan(v), np.nan, np.arange(200.0)[:, np.newaxis]),
        lambda v: np.zeros_like(v),
        lambda v: np.where(np.arange(200)[:, np.newaxis] < SPECS.audit.scale_min_dates - 12, min_max(v), np.nan),
    ],
    ids=["raw", "sign", "counter", "constant", "too few dates"],
)
def test_what_is_made_day_by_day_has_none(make) -> None:
    assert whole_sample_scale(make(raw()), SPECS.audit) is None


def test_a_mark_on_half_of_the_names_is_enough_where_chance_does_not_set_it() -> None:
    values = raw()
    values[:, :20] -= np.nanmean(values[:, :20], axis=0)
    assert (whole_sample_scale(values, SPECS.audit) or "").startswith(
        "the mean over the whole sample is zero for 20 of 40"
    )
    values[:, 0] += 1.0
    assert whole_sample_scale(values, SPECS.audit) is None


def profile(*ics: float) -> pl.DataFrame:
    bars = SPECS.audit.max_bars + 2
    filled = [*ics, *[0.0] * (bars - len(ics))]
    return pl.DataFrame({"bar": range(bars), "ic": filled, "standard_error": [0.001] * bars})


@pytest.mark.parametrize(
    ("ics", "bar"),
    [
        ((0.02, 0.05, 0.001), 1),
        # What is openly seen says nothing, so the next bar follows nothing.
        ((0.0, 0.05, 0.001), None),
        ((0.0, 0.0, 0.05, 0.001), None),
        ((-0.05, 0.05, 0.001), None),
        ((0.20, 0.05, 0.001), None),
        ((0.05, 0.03, 0.011), None),
        ((0.0, 0.13, 0.001), 1),
        ((0.05, 0.05, 0.05, -0.05), 2),
        ((0.05, math.nan, 0.05, 0.001), None),
    ],
)
def test_the_last_bar_that_was_seen(ics: tuple[float, ...], bar: int | None) -> None:
    """Ratios of specs/suite/audit.yaml: implausible 0.12, collapse below 0.34, as seen from 0.4 on."""
    found = _cliff(profile(*ics), SPECS.audit)
    assert [one.code for one in found] == ([] if bar is None else ["look_ahead_cliff"])
    if bar is not None:
        assert found[0].bars == bar


@pytest.mark.parametrize(
    ("ratios", "capital"),
    [
        # Between 10 and 100: (1 - 0.7) / (1 - 0.5) = 0.6 of the way, in the log.
        ((2.0, 1.0, 0.5), 10.0**1.6),
        ((2.0, 1.0, 0.9), math.inf),
        ((0.6, 0.5, 0.4), 0.0),
        ((2.0, math.nan, 0.5), 0.0),
        ((2.0, 0.7, 0.5), 10.0),
    ],
)
def test_where_capacity_ends(ratios: tuple[float, ...], capital: float) -> None:
    curve = pl.DataFrame({"capital": [1.0, 10.0, 100.0], "sharpe_net": list(ratios)})
    assert _crossing(curve, 0.7) == pytest.approx(capital)


def test_what_is_held_by_hand() -> None:
    """Rows 2 and 7 of 8 are looked at: names 2 and 1, largest share 0.5 x 1e6 / 2e6 = 0.25."""
    panel = make_panel(1, names=3, sessions=8, industries=1)
    adv = np.full((8, 3), 4e6)
    adv[2], adv[7] = (2e6, 5e6, 1.0), (1.0, 9e6, 1.0)
    cap = np.full((8, 3), 1e9)
    cap[2, 1] = 3e9
    held = np.zeros((8, 3))
    held[2:, 0], held[2:7, 1], held[7, :] = 0.5, -0.5, (0.0, 0.9, 0.0)
    book = made_book(held)
    found = _holdings(book, replace(panel, adv=adv, market_cap=cap), 1e6)
    assert found == {
        "names": pytest.approx(1.5),
        "median_adv": 5e6,
        "median_market_cap": 1e9,
        "largest_position_over_adv": pytest.approx(0.25),
    }
    unknown = _holdings(book, replace(panel, adv=np.full((8, 3), np.nan), market_cap=None), 1e6)
    assert unknown["names"] == 1.5
    assert all(math.isnan(value) for name, value in unknown.items() if name != "names")
    assert all(math.isnan(value) for value in _holdings(made_book(np.zeros((8, 3))), panel, 1e6).values())


def made_book(held: np.ndarray):
    """A book of which only what is held, earned and traded counts: from row 2 on 0.3 bps a unit."""
    from quant_platform.labs.suite.book import Book

    rows = len(held)
    nothing, none = np.zeros(rows), np.zeros(rows, dtype=np.int64)
    gross, traded = np.full(rows, 99.0), np.full(rows, 99.0)
    gross[2:], traded[2:] = 6e-5, 2.0
    return Book(
        first=2, gross=gross, linear_cost=nothing, unit_impact_cost=nothing, traded=traded, long=nothing, short=nothing,
        names_long=none, names_short=none, unpriced=none, untradable=none, unfunded=none, ended_unknown=none,
        by_cap=np.zeros((rows, 1, 3)), by_industry=np.zeros((rows, 1, 3)), capital=1e6, held=held,
    )  # fmt: skip


def test_break_even_is_what_a_traded_unit_earned() -> None:
    book = made_book(np.zeros((8, 3)))
    assert break_even_bps(book) == pytest.approx(0.3)
    assert math.isnan(break_even_bps(replace(book, traded=np.zeros(8))))
    assert math.isnan(break_even_bps(replace(book, first=8)))


@pytest.mark.parametrize(
    ("opened_on", "who"), [("2026-02-02-US-v1", "opener"), ("2026-01-01-US-v1", "reader"), (None, "reader")]
)
def test_a_look_is_that_of_who_opened_this_snapshot(opened_on: str | None, who: str) -> None:
    opening = Opening(BEFORE, "opener", opened_on, date(2025, 12, 31)) if opened_on else None
    registration = Registration(
        ExperimentSpec.model_construct(name="e"), "h", BEFORE, "opener", date(2025, 1, 2), 1, opening
    )
    sessions = np.array(["2024-01-02", "2024-01-03", "2025-12-31"], dtype="datetime64[D]")
    given = {"signal": "s", "signal_hash": "x", "snapshot_id": "2026-02-02-US-v1", "preset": "STANDARD"}
    row = look_rows(
        **given, sessions=sessions, registration=registration, looked_at=NOW, looked_by="reader"
    ).to_dicts()[0]
    assert (row["looked_by"], row["looked_at"]) == (who, BEFORE if who == "opener" else NOW)
    assert (row["date_from"], row["date_to"]) == (date(2024, 1, 2), date(2025, 12, 31))
    assert (row["experiment"], row["experiment_hash"]) == ("e", "h")
    alone = look_rows(**given, sessions=sessions, registration=None, looked_at=NOW, looked_by="reader").to_dicts()[0]
    assert (alone["looked_by"], alone["experiment"], alone["experiment_hash"]) == ("reader", "", "")
    assert alone["look_id"] != row["look_id"]


def test_a_fold_is_chosen_and_scaled_as_on_the_stacked_rows() -> None:
    """Penalty, correlation and slope of the inner folds, by least squares on all names of all dates stacked."""
    rng = np.random.default_rng(4)
    dates, names = 130, 25
    scores = rng.standard_normal((dates, names, 3))
    returns = 0.2 * scores[..., 0] - 0.1 * scores[..., 1] + rng.standard_normal((dates, names))
    usable = np.ones((dates, names), dtype=bool)
    usable[60:63, 5:] = False
    moments = date_moments(scores, usable, returns, 10)
    fold = fit_fold(SPEC, moments, 120, 130)
    gap = SPEC.horizon_sessions + SPEC.purge_sessions
    stop = 120 - gap
    x = scores - scores.mean(axis=1, keepdims=True)
    y = returns - returns.mean(axis=1, keepdims=True)
    good = [t for t in range(dates) if t not in (60, 61, 62)]

    def weights(until: int, penalty: float) -> np.ndarray:
        rows = [t for t in good if t < until]
        stacked, told = x[rows].reshape(-1, 3), y[rows].reshape(-1)
        found = np.linalg.solve(stacked.T @ stacked / len(told) + penalty * np.eye(3), stacked.T @ told / len(told))
        return found / np.sqrt(np.mean([(x[t] @ found) ** 2 for t in rows]))

    edges = [round(stop * k / (SPEC.inner_folds + 1)) for k in range(SPEC.inner_folds + 2)]
    inner = {}
    for penalty in SPEC.penalties:
        found, along, size = [], 0.0, 0.0
        for first, last in pairwise(edges[1:]):
            w = weights(first - gap, penalty)
            for t in (t for t in good if first <= t < last):
                score = x[t] @ w
                found.append(float(np.mean(score * y[t]) / np.sqrt(np.mean(score**2) * np.mean(y[t] ** 2))))
                along, size = along + float(np.mean(score * y[t])), size + float(np.mean(score**2))
        inner[penalty] = (float(np.mean(found)), along / size)
    best = max(inner, key=lambda one: (inner[one][0], one))
    assert (fold.first, fold.stop, fold.train_stop, fold.train_dates) == (120, 130, stop, stop - 3)
    assert fold.penalty == best
    assert fold.inner_correlation == pytest.approx(inner[best][0], rel=1e-9)
    assert fold.slope == pytest.approx(inner[best][1], rel=1e-9)
    np.testing.assert_allclose(fold.weights, weights(stop, best), rtol=1e-9)


def test_the_distance_from_the_median_of_the_row() -> None:
    values = np.array(
        [
            [1.0, 5.0, 2.0, 9.0],
            [1.0, 5.0, np.nan, 9.0],
            [3.0, 3.0, 7.0, np.nan],
            [np.nan, 4.0, np.nan, 6.0],
            [8.0, np.nan, np.nan, np.nan],
        ]
    )
    found = np.full(values.shape, -1.0)
    ranked = rank_panel(values)
    median_distance_rows(values, ranked.doubled, ranked.counts, found)
    np.testing.assert_allclose(found, np.abs(values - np.nanmedian(values, axis=1, keepdims=True)))


@pytest.mark.parametrize(
    ("ics", "error", "bar"),
    [
        ((0.20, 0.20, 0.001), 0.001, 2),
        ((0.20, 0.20, 0.001), 0.03, None),  # a fall of 0.2 is less than six errors of 0.042
        ((0.20, 0.20, 0.10), 0.001, None),
        ((-0.20, 0.001), 0.001, 1),
        ((0.11, 0.001), 0.001, None),
        ((0.20, 0.20, 0.20, 0.20, 0.20, 0.20), 0.001, None),
    ],
)
def test_the_last_size_that_was_seen(
    ics: tuple[float, ...], error: float, bar: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled = [*ics, *[0.0] * (audit._SHADOW_BARS + 1 - len(ics))]
    found = pl.DataFrame({"ic": filled, "standard_error": [error] * len(filled)})
    monkeypatch.setattr(audit, "_profile", lambda *_: found)
    panel = make_panel(1, names=3, sessions=8, industries=1)
    said = audit._shadow(panel.next_ranked, panel, SPECS.audit, 2)
    assert [one.bars for one in said] == ([] if bar is None else [bar])


@pytest.mark.parametrize(
    ("ics", "left", "error", "bar"),
    [
        ((0.05, 0.20, 0.15), 0.02, 0.001, 2),
        ((-0.05, -0.20, -0.15), -0.02, 0.001, 2),
        ((0.05, 0.20, 0.15), 0.07, 0.001, None),
        ((0.05, 0.20, 0.15), -0.20, 0.001, 2),
        ((0.05, 0.11, 0.10), 0.0, 0.001, None),
        ((0.05, 0.20, 0.15), 0.02, 0.03, None),  # 0.18 is less than six errors of 0.042
        ((0.05, 0.20, 0.15), math.nan, 0.001, None),
        ((0.5, math.nan, math.nan), 0.0, 0.001, None),
    ],
)
def test_a_leak_of_many_bars_fades(ics: tuple[float, ...], left: float, error: float, bar: int | None) -> None:
    """Bar 0 is the day of the signal itself, which it may know."""
    bars = [0.9, *ics, *[math.nan] * (SPECS.audit.max_bars - len(ics)), left]
    if ics[0] == 0.5:
        bars[1] = math.nan
    frame = pl.DataFrame({"bar": range(len(bars)), "ic": bars, "standard_error": [error] * len(bars)})
    assert [one.bars for one in audit._fade(frame, SPECS.audit)] == ([] if bar is None else [bar])


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([1.0, 2.0, 4.0], [1.0, 3.0, 2.0], 3.0 / math.sqrt(84.0)),
        ([1.0, 2.0], [1.0, 3.0], math.nan),
        ([2.0, 2.0, 2.0], [1.0, 3.0, 2.0], math.nan),
        ([1.0, 3.0, 2.0], [2.0, 2.0, 2.0], math.nan),
    ],
)
def test_a_correlation_needs_three_days_and_variation(first, second, expected) -> None:
    """Deviations -4/3, -1/3, 5/3 and -1, 1, 0: 1 over the root of 42/9 times 2 is 3 over the root of 84."""
    assert pearson(np.array(first), np.array(second)) == pytest.approx(expected, nan_ok=True)


def test_a_line_of_the_summary_by_hand() -> None:
    """Rows 1 to 4: gross 2, -1, 3, 0 % and net 1, -2, 2, 0 %; a year has 100 rows, all of the gross is 8 %."""
    gross = np.array([9.0, 0.02, -0.01, 0.03, 0.0])
    net = np.array([9.0, 0.01, -0.02, 0.02, 0.0])
    rows = np.array([False, True, True, True, True])
    line = _line("v", 100, 0.95, 0.08, "year", "2020", gross, net, np.array([9.0, 1.0, 0.5, 0.5, 0.0]), rows)
    found = dict(zip(SUMMARY_SCHEMA, line, strict=True))
    # The net less 0.25 is 0.75, -2.25, 1.75, -0.25, squares 8.75; the gross less 1 is 1, -2, 2, -1, squares 10.
    sd, sd_gross = math.sqrt(8.75 / 3.0) / 100.0, math.sqrt(10.0 / 3.0) / 100.0
    assert (found["variant"], found["slice_kind"], found["slice"], found["sessions"]) == ("v", "year", "2020", 4)
    assert found["ann_return_gross"] == pytest.approx(1.0)
    assert found["ann_return_net"] == pytest.approx(0.25)
    assert found["ann_volatility"] == pytest.approx(sd * 10.0)
    assert found["sharpe_gross"] == pytest.approx(0.01 / sd_gross * 10.0)
    assert found["sharpe_net"] == pytest.approx(0.0025 / sd * 10.0)
    # From the peak of 1.01 to 1.01 x 0.98; what follows is above that.
    assert found["max_drawdown_net"] == pytest.approx(-0.02)
    assert found["positive_days"] == 0.5
    assert found["turnover"] == pytest.approx(0.5)
    assert found["ann_cost"] == pytest.approx(0.75)
    assert found["share_of_gross"] == pytest.approx(0.5)
    none = np.zeros(5, dtype=bool)
    line = _line("v", 100, 0.95, 0.0, "year", "2021", gross, net, None, none)
    nothing = dict(zip(SUMMARY_SCHEMA, line, strict=True))
    assert nothing["sessions"] == 0
    assert nothing["turnover"] is None
    assert all(
        math.isnan(nothing[name]) for name in ("ann_return_gross", "ann_cost", "share_of_gross", "positive_days")
    )


def test_a_name_of_no_size_is_in_no_leg() -> None:
    """Two names a leg are needed: of three there, one has size 0, then two have, then none is positive but one."""
    groups = np.array([[0, 0, 0, 1, 1, 1]] * 3, dtype=np.int16)
    base = np.array(
        [[1.0, 3.0, 0.0, 2.0, 2.0, 0.0], [1.0, 0.0, 0.0, 2.0, 2.0, 1.0], [1.0, 3.0, 1.0, np.nan, -2.0, 1.0]]
    )
    weights, valid = np.full((3, 6), 9.0), np.zeros(3, dtype=np.bool_)
    leg_weight_rows(groups, 1, base, True, 2, weights, valid)
    assert valid.tolist() == [True, False, False]
    np.testing.assert_allclose(weights[0], [-0.25, -0.75, 0.0, 0.5, 0.5, 0.0])
    np.testing.assert_array_equal(weights[1:], 0.0)
