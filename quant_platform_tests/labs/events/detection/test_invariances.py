"""What must not matter, does not: units, mirrors, silence."""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl
import pytest

from quant_platform.labs.events.detection.compute import compute_events
from quant_platform_tests.labs.events.detection.worlds import lab, market, one_symbol

CALENDAR = {
    "SESSION_OPEN_EVENT",
    "SESSION_CLOSE_EVENT",
    "FUNDING_TIMESTAMP_EVENT",
    "SCHEDULED_NEWS_WINDOW_EVENT",
}
PRICES = ("open", "high", "low", "close", "spot_close")
VOLUMES = ("volume", "taker_buy_volume", "oi")
USD = ("quote_volume", "liq_long_usd", "liq_short_usd", "bid_depth_usd", "ask_depth_usd")
# The modelled cost is that of 100,000 USD, so the scale of quote volume matters to it.
ABSOLUTE = {"SLIPPAGE_SPIKE_EVENT"}


def fired(world: dict[str, pl.DataFrame]) -> dict[str, list[tuple[str, int, float]]]:
    found: dict[str, list[tuple[str, int, float]]] = {name: [] for name in lab().active}
    for symbol, own in compute_events(world, lab()).symbols.items():
        for name in lab().active:
            rows = np.flatnonzero((own.flags[name] == 1.0).fill_null(False).to_numpy())
            found[name] += [(symbol, int(i), own.flags[f"{name}__direction"][int(i)]) for i in rows]
    return found


@cache
def base() -> dict[str, list[tuple[str, int, float]]]:
    return fired(market(6, rows=16_000))


def test_units_of_price_and_volume_do_not_matter() -> None:
    world = market(6, rows=16_000)
    for name, frame in world.items():
        # Powers of two keep every bit of a floating-point number.
        world[name] = frame.with_columns(
            *(pl.col(column) * 1024 for column in PRICES),
            *(pl.col(column) / 4096 for column in VOLUMES),
            *(pl.col(column) / 4 for column in USD),
        )
    found = fired(world)
    for name in lab().active.keys() - ABSOLUTE:
        assert len(found[name]) == pytest.approx(len(base()[name]), abs=1), name
        assert len(set(found[name]) ^ set(base()[name])) <= 2, name


def test_a_mirrored_market_has_the_same_events_with_the_other_sign() -> None:
    world = market(6, rows=16_000)
    for name, frame in world.items():
        world[name] = frame.with_columns(
            open=1e4 / pl.col("open"),
            close=1e4 / pl.col("close"),
            spot_close=1e4 / pl.col("spot_close"),
            high=1e4 / pl.col("low"),
            low=1e4 / pl.col("high"),
            taker_buy_volume=pl.col("volume") - pl.col("taker_buy_volume"),
            funding_rate=-pl.col("funding_rate"),
            liq_long_usd=pl.col("liq_short_usd"),
            liq_short_usd=pl.col("liq_long_usd"),
        )
    found = fired(world)
    swapped = {"OI_SPIKE_POSITIVE": "OI_SPIKE_NEGATIVE", "OI_SPIKE_NEGATIVE": "OI_SPIKE_POSITIVE"}
    # The volume-weighted price is an arithmetic mean, which has no mirror.
    for name in lab().active.keys() - {"OVERSHOOT_AFTER_SHOCK"}:
        mirrored = {(symbol, bar, -direction) for symbol, bar, direction in found[swapped.get(name, name)]}
        own = set(base()[name])
        assert len(mirrored ^ own) <= max(2, 0.02 * len(own)), name


def test_constant_markets_are_silent_but_for_the_calendar() -> None:
    frame = one_symbol(1, rows=12_000, gap_share=0.0)
    numbers = [name for name in frame.columns if name not in ("symbol", "month", "bar", "funding_settle")]
    world = {"BTCUSDT": frame.with_columns(pl.lit(frame[name][5]).alias(name) for name in numbers)}
    world["ETHUSDT"] = world["BTCUSDT"].with_columns(symbol=pl.lit("ETHUSDT"))
    found = {name for name, rows in fired(world).items() if rows}
    assert found == CALENDAR


def test_no_data_no_events() -> None:
    frame = one_symbol(1, rows=12_000)
    numbers = [name for name in frame.columns if name not in ("symbol", "month", "bar")]
    world = {"BTCUSDT": frame.with_columns(pl.lit(float("nan")).alias(name) for name in numbers)}
    assert not any(fired(world).values())


def test_nothing_fires_inside_a_hole() -> None:
    frame = one_symbol(1, rows=12_000)
    hole = pl.int_range(pl.len()).is_between(11_000, 11_600)
    numbers = [name for name in frame.columns if name not in ("symbol", "month", "bar")]
    world = {"BTCUSDT": frame.with_columns(pl.when(hole).then(float("nan")).otherwise(n).alias(n) for n in numbers)}
    inside = {name for name, rows in fired(world).items() for _, bar, _ in rows if 11_000 <= bar <= 11_600}
    assert inside == set()
