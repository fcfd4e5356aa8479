"""Dated fundamentals beside the bars: what was known of a company at each close, in the shares of the day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from quant_platform.market.asof import fundamentals_as_of

BOOK, SHARES = "book_value_per_share", "shares_outstanding"
STATED_PRICE, STATED_CAP = "price", "market_capitalisation"
BAR_COLUMNS = ("open", "high", "low", "close", "volume", "close_unadjusted", "dollar_volume")


@dataclass(frozen=True)
class MarketTables:
    """What a panel is made of.

    Attributes
    ----------
    bars
        ``clean.equity_bars`` of every ticker.
    actions
        ``raw.corporate_actions``; delistings are read from it.
    fundamentals
        ``raw.fundamentals``; book value per share, shares outstanding, and price and market cap as their vendor states
        them are read from it.
    securities
        ``raw.securities``: membership intervals, and the sector that held during each.
    """

    bars: pl.DataFrame
    actions: pl.DataFrame
    fundamentals: pl.DataFrame
    securities: pl.DataFrame


def published(tables: MarketTables, exchange: str, max_age_days: int) -> pl.DataFrame:
    """Bars with ``book_value_per_share`` and ``market_cap`` as known at each close, in the shares of the day.

    Null where nothing was known, or it was older than ``max_age_days``.

    Notes
    -----
    **Units.** Where the vendor states a price beside a value per share, the value is taken per unit of that price and
    put on the last close of the bars at its publication: prices that were adjusted backwards for splits after it have
    other shares than the value. A price that is stated as unknown makes the value unknown. A market cap has no such
    unit; shares outstanding are the stated cap over that close for a ticker whose vendor states no shares.
    """
    bars = tables.bars.select("ticker", "session", *BAR_COLUMNS).sort("ticker", "session")
    final = (pl.col("volume") * pl.col("close_unadjusted") / pl.col("dollar_volume")).fill_nan(None)
    scale = bars.select(
        "ticker",
        "session",
        final.forward_fill().backward_fill().over("ticker").alias("factor"),
        pl.col("close_unadjusted").fill_nan(None).forward_fill().over("ticker").alias("last_close"),
    )
    stated = _in_units_of_the_bars(tables.fundamentals, scale)
    known = fundamentals_as_of(
        stated, bars, exchange=exchange, metrics=[BOOK, SHARES], max_age=timedelta(days=max_age_days)
    )
    return (
        bars.join(scale, on=["ticker", "session"], how="left", maintain_order="left")
        .join(known, on=["ticker", "session"], how="left", maintain_order="left")
        .with_columns(
            (pl.col(BOOK) * pl.col("factor")).alias(BOOK),
            (pl.col(SHARES) / pl.col("factor") * pl.col("close_unadjusted")).alias("market_cap"),
        )
        .drop("factor", "last_close", SHARES)
    )


def _in_units_of_the_bars(fundamentals: pl.DataFrame, scale: pl.DataFrame) -> pl.DataFrame:
    """Book values and shares as ``ticker, metric, known_at, value``, restated to the shares of the end of the data."""
    placed = (
        fundamentals.filter(pl.col("metric").is_in([BOOK, SHARES, STATED_PRICE, STATED_CAP]))
        .with_columns(pl.col("known_at").dt.date().alias("day"))
        .sort("day")
        .join_asof(
            scale.sort("session"),
            left_on="day",
            right_on="session",
            by="ticker",
            strategy="backward",
            check_sortedness=False,
        )
    )

    def of(metric: str) -> pl.DataFrame:
        return placed.filter(pl.col("metric") == metric)

    prices = of(STATED_PRICE).select("ticker", "known_at", pl.col("value").alias("price"), pl.lit(True).alias("priced"))
    books = (
        of(BOOK)
        .join(prices, on=["ticker", "known_at"], how="left")
        .with_columns(
            pl.when(pl.col("priced"))
            .then(pl.col("value") / pl.col("price") * pl.col("last_close"))
            .otherwise("value")
            .alias("value")
        )
    )
    shares = of(SHARES)
    derived = (
        of(STATED_CAP)
        .join(shares.select("ticker").unique(), on="ticker", how="anti")
        .with_columns(pl.lit(SHARES).alias("metric"), pl.col("value") / pl.col("last_close"))
    )
    # Restated to the shares of the end of the data, and by the caller to those of the day: only the ratio remains.
    return pl.concat(
        [
            books.select("ticker", "metric", "known_at", pl.col("value") / pl.col("factor")),
            *(
                frame.select("ticker", "metric", "known_at", pl.col("value") * pl.col("factor"))
                for frame in (shares, derived)
            ),
        ]
    )
