from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from quant_platform.contracts.errors import ExpressionError, SchemaViolation
from quant_platform.contracts.schemas.clean import CleanEquityBars
from quant_platform.labs.equity.features.equity import COLUMNS, compute_equity_features, factor_names, feature_plan
from quant_platform.specification.features import FeatureSet, FeatureSpec, load_equity_features
from quant_platform_tests.labs.equity.features.bars import simulated_bars

SPECS = Path(__file__).resolve().parents[4] / "specs"
FEATURES = load_equity_features(SPECS)
ADJUSTED = ("open", "high", "low", "close")


def _numbers(frame: pl.DataFrame, name: str) -> np.ndarray:
    return frame[name].fill_null(float("nan")).to_numpy()


def _same(left: pl.DataFrame, right: pl.DataFrame, name: str, tolerance: float = 1e-9) -> None:
    np.testing.assert_allclose(_numbers(left, name), _numbers(right, name), rtol=tolerance, atol=1e-12)


def test_the_seven_factors() -> None:
    assert factor_names(FEATURES) == [
        "momentum_12_1",
        "momentum_6_1",
        "momentum_3_1",
        "reversal_1m",
        "price_to_sma_200",
        "high_52w_proximity",
        "low_volatility_126",
    ]


def test_memory_of_each_feature() -> None:
    memory = feature_plan(FEATURES).memory
    assert memory["momentum_12_1"] == 252
    assert memory["high_52w_proximity"] == 251
    assert memory["volatility_126"] == memory["low_volatility_126"] == 126
    assert memory["rsi_14"] == memory["atr_14_pct"] == 14


def test_columns_are_those_of_the_clean_bars_but_for_the_adjustment_factor() -> None:
    numeric = {name for name, column in CleanEquityBars.columns().items() if column.dtype == pl.Float64}
    assert set(COLUMNS) == numeric - {"adjustment_factor"}


def test_values_against_pandas() -> None:
    """The same definitions in another library, on bars without gaps."""
    bars = simulated_bars(31, gap_share=0.0)
    result = compute_equity_features(bars, FEATURES)
    close = pd.Series(bars["close"].to_numpy())
    high, low = pd.Series(bars["high"].to_numpy()), pd.Series(bars["low"].to_numpy())
    change = close.diff()
    ranges = pd.concat([high - low, (high - close.shift(1)).abs(), (low - close.shift(1)).abs()], axis=1)
    true_range = ranges.max(axis=1, skipna=False)
    gains, losses = change.clip(lower=0).rolling(14).mean(), (-change).clip(lower=0).rolling(14).mean()
    volatility = np.log(close).diff().rolling(126, min_periods=114).std() * np.sqrt(252)
    expected = {
        "momentum_12_1": close.shift(21) / close.shift(252) - 1,
        "momentum_6_1": close.shift(21) / close.shift(126) - 1,
        "momentum_3_1": close.shift(21) / close.shift(63) - 1,
        "reversal_1m": 1 - close / close.shift(21),
        "price_to_sma_200": close / close.rolling(200, min_periods=180).mean(),
        "high_52w_proximity": close / close.rolling(252, min_periods=227).max(),
        "volatility_126": volatility,
        "low_volatility_126": -volatility,
        "atr_14_pct": true_range.rolling(14, min_periods=13).mean() / close,
        "rsi_14": 100 - 100 / (1 + gains / losses),
        "sma_20_to_close": close.rolling(20, min_periods=18).mean() / close,
        "sma_50_to_close": close.rolling(50, min_periods=45).mean() / close,
        "sma_200_to_close": close.rolling(200, min_periods=180).mean() / close,
        "dollar_volume_20": pd.Series(bars["dollar_volume"].to_numpy()).rolling(20, min_periods=18).mean(),
    }
    assert set(expected) == set(FEATURES.features)
    for name, values in expected.items():
        wanted = values.to_numpy().copy()
        if name == "rsi_14":
            # Thirteen of the first fourteen changes are enough here; pandas above asks for all of them.
            wanted[13] = _numbers(result, name)[13]
        np.testing.assert_allclose(_numbers(result, name), wanted, rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("name", list(FEATURES.features))
def test_no_later_action_can_change_a_feature(name: str) -> None:
    """A later dividend scales adjusted prices of the whole past; a later split scales shares as well."""
    bars = simulated_bars(32)
    base = compute_equity_features(bars, FEATURES)
    dividend = bars.with_columns(pl.col(ADJUSTED) * 0.937)
    _same(base, compute_equity_features(dividend, FEATURES), name)
    split = bars.with_columns(pl.col(ADJUSTED) / 7, volume=pl.col("volume") * 7)
    _same(base, compute_equity_features(split, FEATURES), name)


@pytest.mark.parametrize("name", list(FEATURES.features))
def test_history_adjusted_for_a_split_that_came_later_says_the_same(name: str) -> None:
    """As known before a 4:1 split of row 500, and as known after it: features of the rows before it agree."""
    after = simulated_bars(33)
    before = after.head(500).with_columns(pl.col(ADJUSTED) * 4, volume=pl.col("volume") / 4)
    _same(compute_equity_features(before, FEATURES), compute_equity_features(after, FEATURES).head(500), name)


def test_leaking_features_would_be_caught_by_the_scale_tests() -> None:
    """Price levels, and adjusted over unadjusted prices, tell which actions come later."""
    bars = simulated_bars(34)
    for expression in ("close", "close/close_unadjusted", "sma(volume,20)"):
        leak = FeatureSet({"leak": FeatureSpec(expression=expression, description="", unit="")}, {}, {})
        split = bars.with_columns(pl.col(ADJUSTED) / 7, volume=pl.col("volume") * 7)
        with pytest.raises(AssertionError, match="Not equal to tolerance"):
            _same(compute_equity_features(bars, leak), compute_equity_features(split, leak), "leak")


def test_missing_sessions_are_missing_and_not_carried() -> None:
    prices = ["open", "high", "low", "close", "volume", "close_unadjusted", "dollar_volume"]
    missing = pl.int_range(pl.len()).is_in([400])
    bars = simulated_bars(35, gap_share=0.0).with_columns(
        pl.when(missing).then(float("nan")).otherwise(pl.col(prices)).name.keep()
    )
    result = compute_equity_features(bars, FEATURES)
    assert result["momentum_12_1"].is_null().arg_true().to_list() == [*range(252), 421, 652]
    assert result["reversal_1m"].is_null().arg_true().to_list() == [*range(21), 400, 421]
    assert result["price_to_sma_200"].is_null().arg_true().to_list() == [*range(179), 400]
    # Twenty sessions may lack two, so one gap costs the mean of dollars nothing.
    assert result["dollar_volume_20"].is_null().arg_true().to_list() == list(range(17))


def test_too_many_missing_sessions_silence_a_window() -> None:
    bars = simulated_bars(36, rows=60, gap_share=0.0).with_columns(
        dollar_volume=pl.when(pl.int_range(pl.len()).is_in([30, 31, 32])).then(None).otherwise(pl.col("dollar_volume"))
    )
    silent = compute_equity_features(bars, FEATURES)["dollar_volume_20"].is_null().arg_true().to_list()
    assert silent == [*range(17), *range(32, 50)]


def test_one_row_per_bar_in_the_same_order() -> None:
    bars = simulated_bars(37, rows=30)
    result = compute_equity_features(bars, FEATURES, feature_plan(FEATURES))
    assert result.columns == ["ticker", "session", *FEATURES.features]
    assert result.select("ticker", "session").equals(bars.select("ticker", "session"))
    assert set(result.schema.dtypes()[2:]) == {pl.Float64}
    assert result["momentum_12_1"].null_count() == 30


def test_an_empty_ticker_is_an_empty_table() -> None:
    result = compute_equity_features(simulated_bars(38, rows=5).clear(), FEATURES)
    assert result.height == 0
    assert result.width == 2 + len(FEATURES.features)


def test_wrong_bars_are_refused() -> None:
    bars = simulated_bars(39, rows=10)
    with pytest.raises(SchemaViolation, match="several tickers"):
        compute_equity_features(pl.concat([bars, simulated_bars(40, rows=10, ticker="B")]), FEATURES)
    with pytest.raises(SchemaViolation, match=r"not in strictly rising order(.|\n)*9 of 10 rows"):
        compute_equity_features(bars.reverse(), FEATURES)
    with pytest.raises(SchemaViolation, match="1 of 10 rows"):
        compute_equity_features(bars[[0, 1, 2, 2, 3, 4, 5, 6, 7, 8]], FEATURES)
    with pytest.raises(SchemaViolation, match=r"absent: dollar_volume(.|\n)*1 of 14 features"):
        compute_equity_features(bars.drop("dollar_volume"), FEATURES)


def test_an_expression_error_points_into_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "features"
    folder.mkdir()
    (folder / "equity.yaml").write_text(
        "features:\n  trend:\n    description: d\n    unit: u\n    expression: 'sma(clse, 20)'\n", encoding="utf-8"
    )
    with pytest.raises(ExpressionError) as caught:
        feature_plan(load_equity_features(tmp_path))
    assert caught.value.where == f"{folder / 'equity.yaml'}:5:22\n    sma(clse, 20)\n        ^^^^"
    assert "did you mean 'close'?" in str(caught.value)


@pytest.mark.real_data
@pytest.mark.parametrize("ticker", ["aapl", "xom", "ge"])
def test_real_bars_of_sp500_members(shared_data: Path, ticker: str) -> None:
    """On real prices: list arithmetic for three features, plausible ranges for the others, memory alone suffices."""
    path = shared_data / "us_sp500_daily_2000_2015" / "sp500_members_daily.parquet"
    raw = pl.scan_parquet(path).filter(pl.col("ticker") == ticker).sort("Date").collect()
    bars = raw.select(
        "ticker",
        session="Date",
        open="Open",
        high="High",
        low="Low",
        close="Close",
        volume=pl.col("Volume").cast(pl.Float64),
        close_unadjusted="Close",
        dollar_volume=pl.col("Close") * pl.col("Volume"),
    )
    result = compute_equity_features(bars, FEATURES)
    closes = bars["close"].to_list()
    rows = [300, 1500, len(closes) - 1]
    for row in rows:
        assert result["momentum_12_1"][row] == pytest.approx(closes[row - 21] / closes[row - 252] - 1, rel=1e-12)
        assert result["high_52w_proximity"][row] == pytest.approx(closes[row] / max(closes[row - 251 : row + 1]))
        assert result["sma_50_to_close"][row] == pytest.approx(sum(closes[row - 49 : row + 1]) / 50 / closes[row])
        window = compute_equity_features(bars[row - 252 : row + 1], FEATURES).row(-1)[2:]
        assert window == pytest.approx(result.row(row)[2:], rel=1e-9)
    assert result["rsi_14"].drop_nulls().is_between(0, 100).all()
    assert result["high_52w_proximity"].drop_nulls().is_between(0, 1).all()
    assert result["volatility_126"].drop_nulls().is_between(0.02, 2).all()
    assert result["atr_14_pct"].drop_nulls().is_between(0.001, 0.3).all()
    assert result.drop_nulls().height == len(closes) - 252
