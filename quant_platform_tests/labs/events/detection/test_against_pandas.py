"""All 60 features and 57 events against the same texts evaluated by pandas, column by column."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import polars as pl
import pytest

from quant_platform.labs.events.detection.compute import SymbolEvents, compute_symbol
from quant_platform.labs.events.detection.context import market_context
from quant_platform_tests.labs.events.detection import pandas_twin
from quant_platform_tests.labs.events.detection.worlds import lab, market, plan

EVENTS = sorted(lab().active)


@cache
def ours() -> tuple[SymbolEvents, dict[str, pd.Series]]:
    world = market(5, rows=30_000)
    context = market_context(world, lab().context)["ETHUSDT"]
    columns = {
        name: pd.Series(frame[name].to_numpy())
        for frame in (world["ETHUSDT"], context)
        for name in frame.columns
        if name not in ("symbol", "month", "bar")
    }
    columns["funding_settle"] = columns["funding_settle"] == 1.0
    return compute_symbol(world["ETHUSDT"], context, plan()), columns


@cache
def theirs() -> dict[str, pd.Series]:
    return pandas_twin.features(lab(), ours()[1])


@pytest.mark.parametrize("name", list(lab().features.features))
def test_feature_is_what_pandas_computes(name: str) -> None:
    mine = ours()[0].features[name].to_numpy()
    expected = theirs()[name].to_numpy(dtype=float)
    scale = np.nanmax(np.abs(expected))
    np.testing.assert_array_equal(np.isnan(mine), np.isnan(expected))
    assert np.isfinite(mine).any()
    np.testing.assert_allclose(mine, expected, rtol=1e-6, atol=1e-9 * scale)


@pytest.mark.parametrize("name", EVENTS)
def test_event_fires_where_pandas_says(name: str) -> None:
    flags = ours()[0].flags
    rows, direction, intensity = pandas_twin.accepted(lab(), name, {**ours()[1], **theirs()})
    memory = plan().event_memory[name]
    expected = [row for row in rows if row >= memory]
    fired = np.flatnonzero((flags[name] == 1.0).fill_null(False).to_numpy()).tolist()
    assert fired == expected
    assert flags[name].null_count() == memory
    assert flags[f"{name}__direction"].drop_nulls().to_list() == direction[expected].tolist()
    np.testing.assert_allclose(flags[f"{name}__intensity"].drop_nulls().to_numpy(), intensity[expected], rtol=1e-6)


def test_most_events_fire_in_this_world() -> None:
    """A comparison of silences would prove nothing."""
    silent = [name for name in EVENTS if not (ours()[0].flags[name] == 1.0).any()]
    assert set(silent) <= {"FEE_REGIME_CHANGE_EVENT"}, silent


def test_tables_have_the_declared_columns() -> None:
    found = ours()[0]
    assert found.flags.width == 3 + 3 * 57
    assert found.features.width == 3 + 60
    assert found.states.schema["vol_regime"] == pl.String
