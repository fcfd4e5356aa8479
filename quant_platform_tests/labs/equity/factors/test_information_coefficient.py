"""The factor study against plain Python and SciPy, one rebalance at a time."""

from __future__ import annotations

import math
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from quant_platform.contracts.tables import table
from quant_platform.labs.equity.factors.information_coefficient import TABLE, row_correlation, study_universe
from quant_platform.specification.factors import FactorSpec
from quant_platform.specification.loading import load_spec
from quant_platform_tests.market.builders import SPECS, actions

SESSIONS, NAMES, HORIZON, LAG = 260, 26, 30, 1
DEAD, SILENT = "N00", "N01"
DIED, STOPPED = 150, 200
LEFT = "N03"
LEFT_AT = 120


def factor_spec(**changes: Any) -> FactorSpec:
    shipped = load_spec(SPECS / "factors" / "equity.yaml", FactorSpec)
    return shipped.model_copy(update={"decay_horizons_sessions": (5, 30), "bootstrap_draws": 200, **changes})


def days() -> list[date]:
    found, day = [], date(2020, 1, 6)
    while len(found) < SESSIONS:
        if day.weekday() < 5:
            found.append(day)
        day += timedelta(days=1)
    return found


class World:
    """Closes and two signals with holes; one name dies by an action, one just stops, one leaves the universe."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.days = days()
        self.tickers = [f"N{k:02}" for k in range(NAMES)]
        self.close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, (SESSIONS, NAMES)), axis=0))
        self.close[rng.random(self.close.shape) < 0.01] = np.nan
        self.close[DIED, 0] = self.close[STOPPED, 1] = 40.0
        self.close[DIED + 1 :, 0] = np.nan
        self.close[STOPPED + 1 :, 1] = np.nan
        # Its bars end, but not long enough ago to say that it is gone.
        self.close[-9:, 2] = np.nan
        self.signal = rng.normal(size=self.close.shape)
        self.signal[rng.random(self.close.shape) < 0.02] = np.nan

    def long(self, **columns: np.ndarray[Any, Any]) -> pl.DataFrame:
        return pl.DataFrame(
            {
                "ticker": np.tile(self.tickers, SESSIONS),
                "session": pl.Series(np.repeat(np.array(self.days, "datetime64[D]"), NAMES), dtype=pl.Date),
                **{name: values.ravel() for name, values in columns.items()},
            }
        )

    def securities(self) -> pl.DataFrame:
        rows = [(t, "u", self.days[0], self.days[LEFT_AT] if t == LEFT else None) for t in self.tickers]
        schema = {"ticker": pl.String, "universe": pl.String, "start_date": pl.Date, "end_date": pl.Date}
        return pl.DataFrame(rows, schema=schema, orient="row")

    def study(self, spec: FactorSpec | None = None, factors: tuple[str, ...] = ("one",)) -> pl.DataFrame:
        return study_universe(
            factors,
            features=self.long(one=self.signal, other=-(self.signal**3)),
            bars=self.long(close=self.close),
            actions=actions([(self.days[DIED], "delisting", -0.4)], ticker=DEAD),
            securities=self.securities(),
            universe="u",
            spec=spec or factor_spec(),
            spec_hash="hash",
        )

    def pairs(self, t: int) -> tuple[list[float], list[float], int, int]:
        """Signals and returns of one rebalance, from the definitions, how many names died, and how many fell silent."""
        signals, returns, died, untold = [], [], 0, 0
        for k, ticker in enumerate(self.tickers):
            value, entry, leave = self.signal[t, k], self.close[t + LAG, k], self.close[t + LAG + HORIZON, k]
            last = {DEAD: DIED, SILENT: STOPPED}.get(ticker, SESSIONS)
            gone = t + LAG <= last < t + LAG + HORIZON
            if gone:
                # Nobody says what came after the last bar of the silent name: its window is left out and counted.
                leave = self.close[last, k] * 0.6 if ticker == DEAD else math.nan
                untold += ticker == SILENT and not (np.isnan(value) or np.isnan(entry))
            if (ticker == LEFT and t > LEFT_AT) or np.isnan(value) or np.isnan(entry) or np.isnan(leave):
                continue
            signals.append(float(value))
            returns.append(float(leave / entry - 1))
            died += gone
        return signals, returns, died, untold


@pytest.fixture(scope="module")
def world() -> World:
    return World(5)


@pytest.fixture(scope="module")
def rows(world: World) -> pl.DataFrame:
    return world.study()


def rebalances(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("kind") == "rebalance")


def test_the_rows_are_those_of_the_table(rows: pl.DataFrame) -> None:
    table(TABLE).schema.validate(rows)
    assert rows.filter(pl.col("kind") == "summary")["horizon_sessions"].to_list() == [5, 30]
    assert rebalances(rows)["horizon_sessions"].unique().to_list() == [30]


def test_every_rebalance_is_a_friday_whose_window_has_ended(world: World, rows: pl.DataFrame) -> None:
    fridays = [t for t, day in enumerate(world.days) if day.weekday() == 4 and t + LAG + HORIZON < SESSIONS]
    assert rebalances(rows)["date_sig"].to_list() == [world.days[t] for t in fridays]


def test_each_rebalance_is_what_its_definition_says(world: World, rows: pl.DataFrame) -> None:
    died_in_all = 0
    for row in rebalances(rows).iter_rows(named=True):
        signals, returns, died, untold = world.pairs(world.days.index(row["date_sig"]))
        n = len(signals)
        logs = np.log1p(returns)
        percentile = (stats.rankdata(signals) - 0.5) / n
        assert (row["n_names"], row["n_delisted"], row["n_unknown_end"]) == (n, died, untold)
        assert row["ic"] == pytest.approx(stats.spearmanr(signals, returns).statistic, abs=1e-12)
        assert row["ic_log"] == pytest.approx(np.corrcoef(percentile, logs)[0, 1], abs=1e-12)
        order = np.argsort(signals)
        # Edges at places floor((n - 1) j / 5), closed on the right: the bottom has one name more than the place.
        low, high = order[: (n - 1) // 5 + 1], order[4 * (n - 1) // 5 + 1 :]
        assert row["spread"] == pytest.approx(np.mean(np.take(returns, high)) - np.mean(np.take(returns, low)))
        assert row["log_spread"] == pytest.approx(logs[high].mean() - logs[low].mean())
        died_in_all += died
    assert died_in_all > 5


def test_the_summary_is_that_of_the_rebalances(rows: pl.DataFrame) -> None:
    own = rebalances(rows)
    ic = own["ic"].to_numpy()
    (line,) = rows.filter(pl.col("kind") == "summary", pl.col("horizon_sessions") == 30).to_dicts()
    assert (line["n_weeks"], line["n_independent"]) == (ic.size, ic.size // 6)
    assert line["date_sig"] == own["date_sig"].max()
    assert line["ic"] == pytest.approx(ic.mean())
    assert line["ic_sd"] == pytest.approx(ic.std(ddof=1))
    assert line["icir"] == pytest.approx(ic.mean() / ic.std(ddof=1))
    by_phase = [stats.ttest_1samp(ic[k::6], 0.0).statistic for k in range(6)]
    assert line["t_nonoverlapping"] == pytest.approx(np.mean(by_phase))
    assert line["spread"] == pytest.approx(own["spread"].mean())
    assert line["spread_low"] < line["spread"] < line["spread_high"]
    assert line["n_names"] == pytest.approx(own["n_names"].mean())
    assert line["n_delisted"] == own["n_delisted"].sum()


def test_few_windows_are_not_reliable_and_the_reason_is_given(rows: pl.DataFrame) -> None:
    line = rows.filter(pl.col("kind") == "summary", pl.col("horizon_sessions") == 30).row(0, named=True)
    assert line["reliable"] is False
    assert line["unreliable_because"] == f"{line['n_independent']} independent windows, 12 are needed"


def test_a_thin_cross_section_has_no_ic_and_no_row(world: World) -> None:
    all_names = [len(world.pairs(t)[0]) for t in range(4, SESSIONS - LAG - HORIZON, 5)]
    least = sorted(all_names)[len(all_names) // 2]
    found = rebalances(world.study(factor_spec(min_names=least)))
    assert found.height == sum(n >= least for n in all_names)
    assert 0 < found.height < len(all_names)


def test_a_factor_without_any_value_leaves_no_row(world: World) -> None:
    silent = World(5)
    silent.signal[:] = np.nan
    assert silent.study().height == 0


def test_a_factor_does_not_depend_on_the_factors_beside_it(world: World, rows: pl.DataFrame) -> None:
    both = world.study(factors=("other", "one"))
    assert both.filter(pl.col("factor") == "one").equals(rows)
    # The other is a falling function of the first, so its ranks are the reverse.
    other = both.filter(pl.col("factor") == "other", pl.col("kind") == "rebalance")["ic"]
    np.testing.assert_allclose(other.to_numpy(), -rebalances(rows)["ic"].to_numpy(), atol=1e-12)


def test_row_correlation_is_pearsons_over_known_pairs() -> None:
    rng = np.random.default_rng(2)
    left, right = rng.normal(size=(4, 30)), rng.normal(size=(4, 30))
    left[1, :5], right[1, 3:9] = math.nan, math.nan
    left[2] = 1.0
    right[3, 5:] = math.nan
    found = row_correlation(left, right, min_names=10)
    assert found[0] == pytest.approx(np.corrcoef(left[0], right[0])[0, 1])
    assert found[1] == pytest.approx(np.corrcoef(left[1, 9:], right[1, 9:])[0, 1])
    assert np.isnan(found[2:]).all()


def test_bars_of_another_company_under_a_dead_ticker_change_nothing(rows: pl.DataFrame) -> None:
    reused = World(5)
    reused.close[DIED + 20 :, 0] = 75.0
    assert reused.study().equals(rows)
