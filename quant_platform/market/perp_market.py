"""One row per bar of a perpetual with everything that was known at its close.

1. Bars come as they are cleaned. Spot joins on the bar: both are known at its close.
2. Funding: each settlement becomes usable on one bar, the first that opens at or after it (stamps within the tolerance
   of a bar's open are taken to be that open) and closes at or after it was known (`_funding_events`).
3. Open interest: usable on the first bar that closes its lag after the stamp, and after it was known.
4. Of two usable values the one with the newer stamp counts; of two versions of one stamp the one known later. So a
   restated value replaces the old one from the bar on whose close it was known, and never before.
5. Liquidations and book are sums and means over the bar itself; a version known after the bar's close was not known.

A column that the source lacks is absent; the value traded may be approximated from the typical price where the spec
allows it, and is then marked. A value that should be there and is not is NaN, never zero.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TypeGuard

import polars as pl

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.specification.perp_market import MarketSpec

BAR = timedelta(minutes=5)
_KEY = ("symbol", "month", "bar")
_PRICES = ("open", "high", "low", "close")
_FLOWS = ("volume", "quote_volume", "trades", "taker_buy_volume")
_LIQUIDATIONS = ("liq_long_usd", "liq_short_usd")
_BOOK = ("spread_bps", "bid_depth_usd", "ask_depth_usd")


def market_5m(
    perp: pl.DataFrame,
    *,
    spec: MarketSpec,
    spot: pl.DataFrame | None = None,
    funding: pl.DataFrame | None = None,
    open_interest: pl.DataFrame | None = None,
    liquidations: pl.DataFrame | None = None,
    book: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Join everything that is known of one symbol to its bars.

    Parameters
    ----------
    perp
        ``clean.perp_bars_5m`` of one symbol, one or more months; its rows are the rows of the result.
    spec
        ``specs/market/perp.yaml``.
    spot
        ``clean.spot_bars_5m``.
    funding, open_interest, liquidations, book
        The raw tables. Funding and open interest are carried, so give the month before as well: then a month joined
        alone equals the same month out of a longer run.

    Returns
    -------
    pl.DataFrame
        ``clean.market_5m``, sorted by bar: key, prices, and those of `MARKET_COLUMNS` that the inputs have.

    Raises
    ------
    SchemaViolation
        For rows of several symbols, or two values of one stamp that were known at the same time.

    Notes
    -----
    **Timing.** All of a row is known at the close of its bar, ``bar`` + 5 minutes.

    **Missing values.** NaN: a missing bar, a bar without a spot bar, a rate or open interest that is too old or was
    not known yet, a bar without liquidations or book. ``funding_settle`` is NaN where no rate is known.
    """
    if perp.height and perp["symbol"].n_unique() != 1:
        raise SchemaViolation(
            f"the bars are of {perp['symbol'].n_unique()} symbols", where="market_5m", action="join one at a time"
        )
    rows = perp.sort("bar").select(*_KEY, *_PRICES, *_FLOWS)
    symbol = rows["symbol"][0] if rows.height else ""
    for name, other in {
        "spot": spot,
        "funding": funding,
        "open_interest": open_interest,
        "liquidations": liquidations,
        "book": book,
    }.items():
        _refuse_others(name, other, symbol)
    if _has(spot):
        rows = rows.join(
            spot.select("bar", pl.col("close").alias("spot_close")), on="bar", how="left", maintain_order="left"
        )
    if _has(funding):
        rows = _with_funding(rows, funding, spec)
    if _has(open_interest):
        rows = _with_open_interest(rows, open_interest, spec)
    if _has(liquidations):
        rows = _with_bar_values(rows, liquidations, _LIQUIDATIONS)
    if _has(book):
        rows = _with_bar_values(rows, book, _BOOK)
    absent = [name for name in (*_FLOWS, *_BOOK) if name in rows.columns and _lacks(name, perp, book)]
    if spec.quote_volume_from_typical_price and "quote_volume" in absent and "volume" not in absent:
        typical = pl.sum_horizontal("high", "low", "close", ignore_nulls=False) / 3.0
        rows = rows.with_columns(quote_volume=typical * pl.col("volume"), quote_volume_is_proxy=pl.lit(1.0))
        absent.remove("quote_volume")
    measured = [name for name in rows.columns if name not in _KEY and name not in absent]
    return rows.select(*_KEY, *(pl.col(name).cast(pl.Float64).fill_null(float("nan")) for name in measured))


def _has(frame: pl.DataFrame | None) -> TypeGuard[pl.DataFrame]:
    return frame is not None and frame.height > 0


def _lacks(name: str, perp: pl.DataFrame, book: pl.DataFrame | None) -> bool:
    """Whether the source never gives a column: null throughout, where a missing value is NaN."""
    origin = perp if name in _FLOWS else book
    return origin is not None and origin[name].null_count() == origin.height


def _refuse_others(name: str, frame: pl.DataFrame | None, symbol: str) -> None:
    if frame is None or not symbol:
        return
    others = frame.filter(pl.col("symbol") != symbol)
    if others.height:
        raise SchemaViolation(
            f"the {name} rows are not all of {symbol}",
            where="market_5m",
            how_many=f"{others.height} of {frame.height} rows",
            rows=others.head(5),
        )


def _with_funding(rows: pl.DataFrame, funding: pl.DataFrame, spec: MarketSpec) -> pl.DataFrame:
    events = _funding_events(funding, spec)
    joined = rows.join_asof(events, left_on="bar", right_on="usable", strategy="backward", coalesce=False)
    age = (pl.col("bar") - pl.col("settled")).dt.total_seconds()
    fresh = (age <= pl.col("interval") * 3600.0 * spec.funding_max_age_intervals).fill_null(False)
    settles = (pl.col("bar") == pl.col("usable")) & pl.col("is_new")
    return joined.with_columns(
        pl.when(fresh).then(pl.col("rate")).alias("funding_rate"),
        pl.when(fresh).then(settles.cast(pl.Float64)).alias("funding_settle"),
        pl.when(fresh).then(pl.col("interval")).alias("funding_interval_hours"),
    ).drop("usable", "settled", "rate", "interval", "is_new")


def _funding_events(funding: pl.DataFrame, spec: MarketSpec) -> pl.DataFrame:
    """From which bar each rate counts: ``usable, settled, rate, interval, is_new``, sorted, one per bar."""
    known = funding.select(
        _snapped("settle_time", spec).alias("settled"),
        "known_at",
        pl.col("funding_rate").alias("rate"),
        pl.col("interval_hours").alias("interval"),
    ).unique(maintain_order=True)
    _refuse_contradictions(known, "settled", "rate", "raw.funding")
    known = known.join(_intervals(known, spec), on="settled", how="left").with_columns(
        pl.coalesce("interval", "inferred").alias("interval")
    )
    opens = _ceiling(pl.col("settled"))
    closes = _ceiling(pl.col("known_at")) - BAR
    events = _newest(known.with_columns(pl.max_horizontal(opens, closes).alias("usable")), "settled")
    return events.with_columns((pl.col("settled") > pl.col("settled").shift(1)).fill_null(True).alias("is_new")).select(
        "usable", "settled", "rate", "interval", "is_new"
    )


def _intervals(known: pl.DataFrame, spec: MarketSpec) -> pl.DataFrame:
    """Hours since the settlement before, where that is an interval a venue uses; else the one of the rate before."""
    settled = known.select("settled").unique().sort("settled")
    hours = settled["settled"].diff().dt.total_seconds() / 3600.0
    allowed = hours.is_in(list(spec.funding_intervals_hours))
    inferred = pl.select(pl.when(allowed).then(hours)).to_series().forward_fill()
    return settled.with_columns(inferred.fill_null(spec.funding_default_interval_hours).alias("inferred"))


def _with_open_interest(rows: pl.DataFrame, open_interest: pl.DataFrame, spec: MarketSpec) -> pl.DataFrame:
    known = open_interest.select(
        _snapped("stamp", spec).alias("stamp"), "known_at", pl.col("open_interest").alias("oi")
    ).unique(maintain_order=True)
    _refuse_contradictions(known, "stamp", "oi", "raw.open_interest")
    lag = BAR * spec.open_interest_lag_bars
    usable = _ceiling(pl.max_horizontal(pl.col("stamp") + lag, pl.col("known_at"))) - BAR
    events = _newest(known.with_columns(usable.alias("usable")), "stamp").select("usable", "stamp", "oi")
    joined = rows.join_asof(events, left_on="bar", right_on="usable", strategy="backward", coalesce=False)
    fresh = pl.col("bar") + BAR - pl.col("stamp") <= timedelta(minutes=spec.open_interest_max_age_minutes)
    return joined.with_columns(pl.when(fresh).then(pl.col("oi")).alias("oi")).drop("usable", "stamp")


def _newest(known: pl.DataFrame, stamp: str) -> pl.DataFrame:
    """Rows that were the newest when they became usable, the last one per bar."""
    ordered = known.sort("usable", stamp, "known_at")
    return ordered.filter(pl.col(stamp) >= pl.col(stamp).cum_max()).unique("usable", keep="last", maintain_order=True)


def _with_bar_values(rows: pl.DataFrame, values: pl.DataFrame, columns: tuple[str, ...]) -> pl.DataFrame:
    known = (
        values.filter(pl.col("known_at") <= pl.col("bar") + BAR)
        .sort("bar", "known_at")
        .unique("bar", keep="last", maintain_order=True)
        .select("bar", *columns)
    )
    return rows.join(known, on="bar", how="left", maintain_order="left")


def _snapped(column: str, spec: MarketSpec) -> pl.Expr:
    """A stamp within the tolerance of a bar's open becomes that open."""
    stamp = pl.col(column)
    nearest = (stamp + BAR / 2).dt.truncate("5m")
    near = (stamp - nearest).abs() <= timedelta(seconds=spec.stamp_tolerance_seconds)
    return pl.when(near).then(nearest).otherwise(stamp)


def _ceiling(stamp: pl.Expr) -> pl.Expr:
    """The first open of a bar at or after a stamp."""
    floor = stamp.dt.truncate("5m")
    return pl.when(floor == stamp).then(floor).otherwise(floor + BAR)


def _refuse_contradictions(known: pl.DataFrame, stamp: str, value: str, table: str) -> None:
    repeated = known.filter(pl.struct(stamp, "known_at").is_duplicated())
    if repeated.height:
        raise SchemaViolation(
            "there are two values of one stamp that were known at the same time",
            where=f"{table}, columns {stamp}, known_at",
            how_many=f"{repeated.height} of {known.height} rows",
            rows=repeated.select(stamp, "known_at", value),
            cause="overlapping downloads that disagree",
            action="give the later download a later known_at, or remove one of them",
        )
