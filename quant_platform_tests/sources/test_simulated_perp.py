from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.signal import lfilter

from quant_platform.contracts.errors import SourceNotFound, SpecError
from quant_platform.contracts.schemas import perp
from quant_platform.sources.perp_protocol import PerpSource
from quant_platform.sources.simulated_perp import SimulatedPerpMarket, SimulatedPerpSource, simulate
from quant_platform.sources.simulated_perp.draws import MECHANISMS, _unit_process
from quant_platform.specification.loading import load_spec
from quant_platform.specification.perp_sources import PerpSourceSpec, PerpWorld, SimulatedPerpSpec
from quant_platform_tests.sources.builders import SPECS

Floats = NDArray[np.float64]


def shipped() -> PerpSourceSpec:
    return load_spec(SPECS / "simulated_perp.yaml", PerpSourceSpec)


def section(**changes: Any) -> SimulatedPerpSpec:
    found = shipped().simulated_perp
    assert found is not None
    return found.model_copy(update=changes)


def market(**changes: Any) -> SimulatedPerpMarket:
    return simulate.__wrapped__(section(**changes))


@pytest.fixture(scope="module")
def null() -> SimulatedPerpMarket:
    return market(world="null")


@pytest.fixture(scope="module")
def planted() -> SimulatedPerpMarket:
    return market(world="planted_strong")


def returns(bars: pl.DataFrame) -> Floats:
    return np.log(bars["close"].to_numpy() / bars["open"].to_numpy())


def mu(found: SimulatedPerpMarket, symbol: str) -> Floats:
    return found.oracle.filter(pl.col("symbol") == symbol)["mu"].to_numpy()


def autocorrelation(values: Floats, lag: int) -> float:
    return float(np.corrcoef(values[:-lag], values[lag:])[0, 1])


TABLES = {
    "bars": perp.RawPerpBars,
    "spot_bars": perp.RawSpotBars,
    "funding": perp.RawFunding,
    "open_interest": perp.RawOpenInterest,
    "liquidations": perp.RawLiquidations,
    "book": perp.RawBook,
}


@pytest.mark.parametrize("kind", TABLES)
def test_every_table_has_its_schema_and_lies_in_its_month(kind: str) -> None:
    source = SimulatedPerpSource(shipped())
    assert isinstance(source, PerpSource)
    assert source.simulated
    assert source.symbols() == ["SIM01USDT", "SIM02USDT", "SIM03USDT", "SIM04USDT"]
    for symbol in source.symbols():
        months = source.months(symbol)
        assert months == [f"2024-0{m}" for m in range(1, 7)]
        frames = [getattr(source, kind)(symbol, month) for month in months]
        for month, frame in zip(months, frames, strict=True):
            TABLES[kind].validate(frame)
            assert frame["month"].unique().to_list() == [month]
        assert sum(frame.height for frame in frames) == getattr(source.market, kind)[symbol].height


def test_what_is_not_there_is_not_found() -> None:
    source = SimulatedPerpSource(shipped())
    with pytest.raises(SourceNotFound, match="no symbol 'BTCUSDT'"):
        source.months("BTCUSDT")
    with pytest.raises(SourceNotFound, match=r"no month '2025-01'[\s\S]*2024-01 to 2024-06"):
        source.bars("SIM01USDT", "2025-01")
    with pytest.raises(SpecError, match="no section"):
        SimulatedPerpSource(shipped().model_copy(update={"simulated_perp": None})).symbols()


def test_bars_are_complete_consistent_and_open_at_the_close_before(null: SimulatedPerpMarket) -> None:
    for symbol, bars in null.bars.items():
        assert bars.height == 182 * 288
        assert set(bars["open_time"].diff().drop_nulls()) == {timedelta(minutes=5)}
        values = {name: bars[name].to_numpy() for name in ("open", "high", "low", "close", "volume")}
        np.testing.assert_allclose(values["open"][1:], values["close"][:-1], rtol=1e-12)
        assert (values["high"] >= np.maximum(values["open"], values["close"])).all()
        assert (values["low"] <= np.minimum(values["open"], values["close"])).all()
        assert (values["low"] > 0).all()
        bought = bars["taker_buy_volume"].to_numpy()
        assert ((bought > 0) & (bought < values["volume"])).all()
        price = bars["quote_volume"].to_numpy() / values["volume"]
        assert ((price >= values["low"]) & (price <= values["high"])).all()
        assert null.spot_bars[symbol]["quote_volume"].null_count() == bars.height


def test_the_same_spec_gives_the_same_bits_whatever_ran_before(null: SimulatedPerpMarket) -> None:
    again = market(world="null")
    other = market(world="null", seed=1)
    for symbol in null.bars:
        assert null.bars[symbol].equals(again.bars[symbol])
        assert not null.bars[symbol].equals(other.bars[symbol])
    assert simulate(section()) is simulate(section())


def test_the_first_day_is_the_one_that_was_published(null: SimulatedPerpMarket) -> None:
    # A change of this hash changes every simulated result: it must be meant, and said in the change log. Nine digits,
    # so that the last bits of an exponential do not count.
    day = null.bars["SIM01USDT"].head(288)["close"].to_numpy()
    digest = hashlib.sha256(",".join(f"{value:.9g}" for value in day).encode()).hexdigest()
    assert digest == "b27c9ce4ebab2a4ff1111d19eb12f7c76492891d489fafa531e885bc9b74b278"


def test_a_mechanism_moves_no_other(null: SimulatedPerpMarket) -> None:
    assert len(set(MECHANISMS)) == len(MECHANISMS)
    flow = section().book_flow.model_copy(update={"taker_noise": 0.1})
    changed = market(world="null", book_flow=flow)
    for symbol in null.bars:
        rest = null.bars[symbol].drop("taker_buy_volume")
        assert rest.equals(changed.bars[symbol].drop("taker_buy_volume"))
        assert not null.bars[symbol].equals(changed.bars[symbol])
        assert null.book[symbol].equals(changed.book[symbol])


def test_the_null_world_is_a_martingale(null: SimulatedPerpMarket) -> None:
    assert (null.oracle["mu"] == 0.0).all()
    predictors = []
    for symbol, bars in null.bars.items():
        change = returns(bars)
        book = null.book[symbol]
        interest = null.open_interest[symbol]["open_interest"].to_numpy()
        past = {
            "return": change,
            "lean": null.spot_bars[symbol]["close"].to_numpy() / bars["close"].to_numpy() - 1.0,
            "taker": (bars["taker_buy_volume"] / bars["volume"]).to_numpy() - 0.5,
            "liquidations": (
                null.liquidations[symbol]["liq_long_usd"] - null.liquidations[symbol]["liq_short_usd"]
            ).to_numpy(),
            "spread": book["spread_bps"].to_numpy(),
            "interest": np.append(np.diff(np.log(interest), prepend=np.log(interest[0])), 0.0)[: len(change)],
        }
        # Signs are free of the fat tails in which a few bars would decide.
        for known in past.values():
            signed = np.sign(known[:-1] - np.median(known[:-1])) * np.sign(change[1:])
            predictors.append(signed.mean() * np.sqrt(len(signed)))
    # Predictors of a symbol and symbols themselves depend on each other; 3.6 is Bonferroni's bound for 24 of them.
    assert np.abs(predictors).max() < 3.6
    assert len(predictors) == 24


def test_the_planted_drift_is_exactly_the_expected_return(planted: SimulatedPerpMarket) -> None:
    slopes, errors = [], []
    for symbol, bars in planted.bars.items():
        drift, change = mu(planted, symbol), returns(bars)
        on = drift != 0.0
        assert 0.01 < on.mean() < 0.20
        slope = (change[on] * drift[on]).sum() / (drift[on] ** 2).sum()
        residual = change[on] - drift[on]
        slopes.append(slope)
        errors.append(np.sqrt((residual**2 * drift[on] ** 2).sum()) / (drift[on] ** 2).sum())
    weights = 1.0 / np.square(errors)
    pooled, error = (weights * slopes).sum() / weights.sum(), 1.0 / np.sqrt(weights.sum())
    assert abs(pooled - 1.0) < 3.0 * error
    assert error < 0.25


def expected_drift(found: SimulatedPerpMarket, symbol: str, world: PerpWorld) -> Floats:
    """A plain twin of the plants of liquidations and funding, from the raw tables alone."""
    bars = found.bars[symbol]
    close = bars["close"].to_numpy()
    interest = found.open_interest[symbol]["open_interest"].to_numpy()
    longs = found.liquidations[symbol]["liq_long_usd"].to_numpy()
    shorts = found.liquidations[symbol]["liq_short_usd"].to_numpy()
    stamps = bars["open_time"].to_list()
    settled = {
        row["settle_time"].replace(microsecond=0): row["funding_rate"] * 1e4
        for row in found.funding[symbol].iter_rows(named=True)
    }
    drift = np.zeros(len(close))
    reversal, fade = world.liquidation_reversal, world.funding_fade
    reversal_end, fade_end, reversal_side, fade_side = -1, -1, 0.0, 0.0
    for t in range(len(close)):
        rate = settled.get(stamps[t], 0.0)
        if abs(rate) > fade.threshold:
            fade_end, fade_side = t + fade.bars, -np.sign(rate)
        if t < reversal_end:
            drift[t] += reversal_side * reversal.total_bps / reversal.bars
        if t < fade_end:
            drift[t] += fade_side * fade.total_bps / fade.bars
        if t < len(interest) and (longs[t] + shorts[t]) / (interest[t] * close[t]) > reversal.threshold:
            reversal_end, reversal_side = t + 1 + reversal.bars, 1.0 if longs[t] > 0 else -1.0
    return drift / 1e4


def test_the_oracle_is_what_the_triggers_in_the_tables_say(planted: SimulatedPerpMarket) -> None:
    world = section().planted_strong
    jump = world.jump_continuation.total_bps / world.jump_continuation.bars / 1e4
    for symbol in planted.bars:
        rest = mu(planted, symbol) - expected_drift(planted, symbol, world)
        # What the tables cannot show is the size of a shock in its own sigma: the rest is that plant, on or off. The
        # first windows may still come from the burn-in.
        rest = rest[48:-1]
        steps = rest / jump
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-9)
        assert set(np.round(steps)) == {-1.0, 0.0, 1.0}
        change = returns(planted.bars[symbol])[47:-2]
        starts = np.flatnonzero((np.abs(rest) > jump / 2) & (np.abs(np.append(0.0, rest[:-1])) < jump / 2))
        assert len(starts) > 50
        assert (np.sign(change[starts]) == np.sign(rest[starts])).mean() > 0.99


def test_the_weaker_world_is_weaker_and_triggered_alike() -> None:
    weak = market(world="planted", months=2)
    total = 0.0
    for symbol in weak.bars:
        rest = mu(weak, symbol) - expected_drift(weak, symbol, section().planted)
        total += float(np.abs(rest[48:-1]).max())
    assert total == pytest.approx(4 * 20.0 / 6.0 / 1e4)


def test_funding_is_the_exchange_formula_of_the_basis(null: SimulatedPerpMarket) -> None:
    for symbol, bars in null.bars.items():
        basis = (bars["close"] / null.spot_bars[symbol]["close"] - 1.0).to_numpy() * 1e4
        funding = null.funding[symbol]
        assert funding.height == 182 * 3
        for k in range(1, funding.height):
            premium = basis[(k - 1) * 96 : k * 96].mean()
            rate = premium + min(max(1.0 - premium, -5.0), 5.0)
            assert funding["funding_rate"][k] * 1e4 == pytest.approx(min(max(rate, -30.0), 30.0), abs=1e-4)
        late = funding["settle_time"].dt.epoch("ms").to_numpy() % (8 * 3_600_000)
        assert late.min() == 0
        assert 25 <= late.max() <= 29
        assert (funding["known_at"] == funding["settle_time"]).all()
    hourly = section().carry.model_copy(update={"interval_hours": 1})
    found = market(world="null", months=1, carry=hourly).funding["SIM01USDT"]
    assert found.height == 31 * 24
    assert stats.mode(found["funding_rate"].to_numpy()).mode == 0.0000125


def test_open_interest_is_published_a_bar_after_its_stamp(null: SimulatedPerpMarket) -> None:
    for frame in null.open_interest.values():
        assert set(frame["known_at"] - frame["stamp"]) == {timedelta(minutes=5)}
        assert frame["stamp"].min() == datetime(2024, 1, 1, 0, 5, tzinfo=UTC)
        assert frame["stamp"].max() == datetime(2024, 6, 30, 23, 55, tzinfo=UTC)


def test_liquidations_hit_the_side_that_lost(null: SimulatedPerpMarket) -> None:
    for symbol, bars in null.bars.items():
        three = np.convolve(returns(bars), np.ones(3))[2:-2]
        forced = null.liquidations[symbol][2:]
        assert (three[forced["liq_long_usd"].to_numpy() > 0] < 0).all()
        assert (three[forced["liq_short_usd"].to_numpy() > 0] > 0).all()
        assert (forced["liq_long_usd"] * forced["liq_short_usd"] == 0).all()


def test_the_stylised_facts_of_perpetuals_hold(null: SimulatedPerpMarket) -> None:
    panel = []
    for symbol, bars in null.bars.items():
        change = returns(bars)
        size = np.abs(change)
        daily = change.reshape(-1, 288).sum(axis=1)
        tail = np.sort(size)[::-1][: len(size) // 200]
        assert 10.0 < stats.kurtosis(change) < 120.0
        assert stats.kurtosis(daily) < 6.0
        assert 2.4 < 1.0 / np.mean(np.log(tail / tail[-1])) < 3.8
        assert abs(autocorrelation(change, 1)) < 0.02
        slow = [autocorrelation(size, lag) for lag in (1, 12, 72, 288, 2016)]
        bounds = ((0.25, 0.45), (0.25, 0.40), (0.12, 0.25), (0.09, 0.22), (0.02, 0.10))
        assert all(low < value < high for value, (low, high) in zip(slow, bounds, strict=True))
        assert -0.06 < np.corrcoef(change[:-1], size[1:])[0, 1] < 0.01
        assert 0.024 < daily.std() < 0.048
        share = (bars["taker_buy_volume"] / bars["volume"]).to_numpy()
        assert 0.24 < np.corrcoef(share, change)[0, 1] < 0.34
        assert 0.4 < np.corrcoef(np.log(bars["volume"].to_numpy()), np.log(size + 1e-6))[0, 1] < 0.7
        rate = null.funding[symbol]["funding_rate"].to_numpy()
        assert stats.mode(rate).mode == 0.0001
        assert 0.3 < (rate == 0.0001).mean() < 0.7
        liquidated = null.liquidations[symbol]["liq_long_usd"].sum() + null.liquidations[symbol]["liq_short_usd"].sum()
        assert 3e-4 < liquidated / bars["quote_volume"].sum() < 12e-4
        panel.append(change)
    correlations = np.corrcoef(panel)[np.triu_indices(len(panel), 1)]
    assert ((correlations > 0.40) & (correlations < 0.65)).all()


def test_prices_move_like_the_high_and_low_say(null: SimulatedPerpMarket) -> None:
    # Parkinson (1980): the mean squared log range of a Brownian motion is 4 ln 2 times its variance.
    for bars in null.bars.values():
        log_range = np.log(bars["high"].to_numpy() / bars["low"].to_numpy())
        ratio = (log_range**2).mean() / (4.0 * np.log(2.0)) / (returns(bars) ** 2).mean()
        # Jumps move the close and not the bridge around it, so the range says less than the return.
        assert 0.75 < ratio < 1.02


def test_a_start_within_a_month_is_refused() -> None:
    section_dict = section().model_dump() | {"start": "2024-01-02"}
    with pytest.raises(ValueError, match="first day of a month"):
        SimulatedPerpSpec.model_validate(section_dict)


@pytest.mark.parametrize("half_life", [0.5, 20.0, 30_000.0])
def test_what_lingers_is_the_filter_of_scipy_to_the_bit(half_life: float) -> None:
    steps = np.random.default_rng(8).normal(size=(5_000, 3))
    kept = 0.5 ** (1.0 / half_life)
    scaled = np.concatenate([steps[:1], steps[1:] * np.sqrt(1.0 - kept**2)])
    assert np.array_equal(_unit_process(half_life, steps), lfilter([1.0], [1.0, -kept], scaled, axis=0))
