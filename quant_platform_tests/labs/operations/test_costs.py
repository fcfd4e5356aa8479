"""What fills teach about costs, against numbers by hand and worlds whose truth is known."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest
from scipy.stats import binom

from quant_platform.contracts.errors import CircularFit
from quant_platform.labs.operations.cost_tables import slippage_windows, transaction_costs
from quant_platform.labs.operations.costs import _freedom, fit_costs, percentile, round_trips
from quant_platform.pipeline.operations import imported_slippage
from quant_platform_tests.labs.operations.builders import EVIDENCE, ROUTING, fill, fills, routing

WEEK = date(2024, 3, 4)


def test_fills_of_the_own_law_are_refused() -> None:
    own = fills(fill(0), fill(1, law="modelled"))
    for call in (
        lambda: fit_costs(own, minimum=2, level=0.95),
        lambda: transaction_costs(WEEK, own, EVIDENCE, ROUTING),
        lambda: slippage_windows(WEEK, own, EVIDENCE),
    ):
        with pytest.raises(CircularFit, match=r"1 of 2 fills"):
            call()


def test_without_noise_the_parameters_are_the_ones_put_in() -> None:
    # Paid: 4 bps and 1.1 x 0.02 x sqrt(Q / 1e6).
    rows = [
        fill(k, quantity=float(q), side=side, price=10.0 * (1 + sign * (4e-4 + 1.1 * 0.02 * math.sqrt(q / 1e6))))
        for k, (q, side, sign) in enumerate([(100, "buy", 1), (400, "sell", -1), (900, "buy", 1), (2500, "sell", -1)])
    ]
    found = fit_costs(fills(*rows, fill(9, mid=None)), minimum=3, level=0.95)
    assert found.half_spread.value == pytest.approx(4e-4)
    assert found.impact_coefficient.value == pytest.approx(1.1)
    assert (found.half_spread.n, found.left_out) == (4, 1)


def test_the_freedom_is_that_of_the_full_matrices() -> None:
    rng = np.random.default_rng(4)
    design = np.column_stack([np.ones(15), np.exp(rng.normal(0, 1.5, 15))])
    inverse = np.linalg.inv(design.T @ design)
    hat = design @ inverse @ design.T
    kept = np.eye(15) - hat
    for column, found in enumerate(_freedom(design, inverse, np.diag(hat), np.diag(kept))):
        a = design @ inverse[:, column]
        columns = kept @ np.diag(a / np.sqrt(np.diag(kept)))
        values = np.linalg.eigvalsh(columns.T @ columns)
        assert found == pytest.approx(values.sum() ** 2 / (values**2).sum())
        assert found < 13


def test_orders_of_one_size_tell_the_parameters_not_apart() -> None:
    found = fit_costs(fills(*[fill(k) for k in range(30)]), minimum=20, level=0.95)
    assert math.isnan(found.half_spread.value)
    assert math.isnan(found.impact_coefficient.low)


def test_a_round_trip_by_hand() -> None:
    rows = [
        fill(0, quantity=100.0, price=10.01, fees=0.1),  # 1.0 of slippage, 0.1 of fees
        fill(1, side="sell", quantity=40.0, price=11.99, mid=12.0, fees=0.04),  # 0.4 and 0.04
        fill(2, side="sell", quantity=60.0, price=11.98, mid=12.0, fees=0.06),  # 1.2 and 0.06
        fill(3, side="sell", quantity=10.0),  # still open
    ]
    found = round_trips(fills(*rows))
    assert found["cost_bps"].to_list() == pytest.approx([1e4 * 2.8 / 1001.0])


def test_a_fill_through_zero_closes_one_trip_and_opens_the_next() -> None:
    rows = [
        fill(0, quantity=10.0, fees=0.0),
        fill(1, side="sell", quantity=30.0, price=9.99, fees=0.0),
        fill(2, quantity=20.0, fees=0.0),
    ]
    # Every unit pays 0.01 on each side.
    assert round_trips(fills(*rows))["cost_bps"].to_list() == pytest.approx([1e4 * 0.2 / 100.1, 1e4 * 0.4 / 199.8])


def test_a_trip_with_a_fill_without_middle_is_no_trip() -> None:
    assert round_trips(fills(fill(0, mid=None), fill(1, side="sell"))).is_empty()


def test_the_interval_of_a_median_needs_six_values() -> None:
    # With five the chance that all lie on one side is 2 / 32, more than 5 %.
    assert math.isnan(percentile([1.0, 2.0, 3.0, 4.0, 5.0], 0.5, 0.95).low)
    six = percentile([float(k) for k in range(1, 7)], 0.5, 0.95)
    assert (six.value, six.low, six.high) == (3.5, 1.0, 6.0)


@pytest.mark.parametrize("n", [6, 20, 57])
def test_the_limits_cover_as_the_binomial_says(n: int) -> None:
    found = percentile(np.arange(1.0, n + 1), 0.5, 0.95)
    low, high = int(found.low), int(found.high)
    # The interval from order statistic low to high holds the median where low <= Binomial(n, 1/2) < high.
    covered = binom.cdf(high - 1, n, 0.5) - binom.cdf(low - 1, n, 0.5)
    assert covered >= 0.95
    assert binom.cdf(high - 2, n, 0.5) - binom.cdf(low, n, 0.5) < 0.95


def test_a_group_with_few_trips_has_no_numbers() -> None:
    table = transaction_costs(WEEK, fills(fill(0), fill(1, side="sell")), EVIDENCE, ROUTING)
    by_measure = {row["measure"]: row for row in table.iter_rows(named=True)}
    assert by_measure["round_trip_p50"]["n"] == 1
    assert by_measure["round_trip_p50"]["value"] is None
    assert by_measure["half_spread"]["value"] is None
    assert by_measure["half_spread"]["modelled"] == pytest.approx(3.0)
    assert by_measure["fee"]["laws"] == ["venue"]


def test_groups_are_asset_classes_or_names() -> None:
    rows = [fill(k, ticker=ticker, asset_class=kind) for k, (ticker, kind) in enumerate(
        [("AAA", "US_EQUITY"), ("EURUSD", "FX"), ("GBPUSD", "FX"), ("BTCUSDT", "CRYPTO_PERPETUAL")])]  # fmt: skip
    by_class = transaction_costs(WEEK, fills(*rows), EVIDENCE, ROUTING)
    assert sorted(set(by_class["group"])) == ["CRYPTO_PERPETUAL", "FX", "US_EQUITY"]
    ticker = EVIDENCE.model_copy(update={"costs": EVIDENCE.costs.model_copy(update={"grouping": "ticker"})})
    assert sorted(set(transaction_costs(WEEK, fills(*rows), ticker, ROUTING)["group"])) == [
        "AAA", "BTCUSDT", "EURUSD", "GBPUSD"]  # fmt: skip


def test_each_class_stands_beside_what_is_assumed_of_it() -> None:
    rows = [fill(k, ticker=ticker, asset_class=kind) for k, (ticker, kind) in enumerate(
        [("AAA", "US_EQUITY"), ("EURUSD", "FX"), ("BTCUSDT", "CRYPTO_PERPETUAL")])]  # fmt: skip
    apart = routing(asset_classes__FX__costs={"half_spread": 0.00005})
    table = transaction_costs(WEEK, fills(*rows), EVIDENCE, apart).filter(pl.col("measure") == "half_spread")
    assert dict(table.select("group", "modelled").iter_rows()) == pytest.approx(
        {"US_EQUITY": 3.0, "FX": 0.5, "CRYPTO_PERPETUAL": 3.0}
    )


def test_what_is_modelled_of_a_session_is_the_sum_over_its_classes() -> None:
    rows = [fill(k, ticker=ticker, asset_class=kind, price=10.01, quantity=100.0) for k, (ticker, kind) in enumerate(
        [("AAA", "US_EQUITY"), ("EURUSD", "FX"), ("BTCUSDT", "CRYPTO_PERPETUAL")])]  # fmt: skip
    apart = routing(
        costs__impact_coefficient=0.0,
        asset_classes__FX__costs={"half_spread": 0.00005},
        asset_classes__CRYPTO_PERPETUAL__costs={"impact_coefficient": 1.0},
    )
    (found,) = imported_slippage(fills(*rows), apart).values()
    # Three times a hundred units that paid a cent; 3, 0.5 and 3 bps of 1000, and 0.02 sqrt(1e-4) of it.
    assert (found.realised, found.modelled, found.fills) == (pytest.approx(3.0), pytest.approx(0.65 + 0.2), 3)
    assert imported_slippage(fills(), apart) == {}


def test_an_hour_without_fills_is_empty_and_a_bad_one_is_proposed() -> None:
    rng = np.random.default_rng(5)
    rows = []
    for k in range(240):
        hour, session = (14 if k % 2 else 18), 4 + (k // 2) % 20
        paid = (30e-4 if hour == 14 else 5e-4) + 1e-4 * rng.standard_normal()
        stamp = datetime(2024, 3, session, hour, k % 60, tzinfo=UTC)
        rows.append(fill(k, price=10.0 * (1 + paid), executed_at=stamp))
    table = slippage_windows(WEEK, fills(*rows), EVIDENCE)
    assert table["hour"].to_list() == list(range(24))
    assert table.filter("proposed")["hour"].to_list() == [14]
    assert table.row(14, named=True)["mean_bps"] == pytest.approx(30.0, abs=0.5)
    assert table.row(14, named=True)["excess_bps"] == pytest.approx(25.0, abs=0.5)
    empty = table.row(3, named=True)
    assert (empty["n"], empty["mean_bps"], empty["low_bps"], empty["proposed"]) == (0, None, None, False)
