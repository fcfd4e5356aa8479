"""Perpetuals as a panel of days in UTC: funding is in the returns, and only symbols with a bar are there.

Funding that nobody knows is in no return. Its hours are counted, and both sides are charged for them as a cost of
holding (`costs.cost_rates`): what is not known is not free, neither to who is long nor to who is short.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.expressions import Formula, Kind, Plan, compile_plan
from quant_platform.labs.suite.build import evaluated_signals
from quant_platform.labs.suite.own_panel import OwnFrames
from quant_platform.labs.suite.panel import Panel, SignalPanel
from quant_platform.specification.suite import BaselinesFile, SuiteSpec

DAY_COLUMNS = ("close", "ret", "quote_volume", "funding", "basis", "open_interest", "taker_imbalance")
_LAST_BAR = 23 * 60 + 55
_BARS_PER_DAY, _BARS_PER_HOUR = 288, 12


def perp_days(market: pl.DataFrame) -> pl.DataFrame:
    """One row per symbol and day in UTC.

    Parameters
    ----------
    market
        ``clean.market_5m`` of any number of symbols and months; the open columns may be absent.

    Returns
    -------
    polars.DataFrame
        ``ticker, session`` and ``close`` (of the bar that ends at midnight), ``ret`` (to that close from the close of
        the day before, known funding paid by a long taken off), ``funding_unknown_hours`` (of those since the close
        before), ``quote_volume`` (traded over the day), ``funding`` (sum of the rates settled in the day; null where
        any of them may be missing), ``basis`` (close over the spot close, less 1), ``open_interest`` (the last that was
        known), ``taker_imbalance`` (taker buys less taker sells over volume), sorted; what the source lacks is null
        throughout.

    Notes
    -----
    **Timing.** Everything in a row was known at 24:00 of its day. A rate that settles at 00:00 is paid by who holds the
    position from the day before: it belongs to the day that begins, at the price of the bar that opens then, or at the
    last close where that bar has no price.

    **Missing values.** A day without its last bar has no row: nobody could trade at its end. The return after such a
    day holds the whole move and all funding since the last close. Value traded and taker flow are those of the bars
    that are there. A bar that is not there, that has no known rate, or at which a rate settles that is not known, is
    five minutes of unknown funding, as in `engine.costs.paid_funding`.
    """
    absent = [
        name
        for name in ("quote_volume", "funding_rate", "funding_settle", "spot_close", "oi", "volume", "taker_buy_volume")
        if name not in market.columns
    ]
    bars = market.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in absent).with_columns(
        pl.col("symbol").cast(pl.String).alias("ticker"),
        pl.col("bar").dt.date().alias("session"),
        (pl.col("bar").dt.hour().cast(pl.Int32) * 60 + pl.col("bar").dt.minute()).alias("minute"),
        pl.when(pl.col("funding_settle") == 1.0).then("funding_rate").otherwise(None).fill_nan(None).alias("rate"),
        pl.col("open", "close").fill_nan(None),
    )
    # Held positions are marked at the last close while there is no price.
    mark = pl.coalesce("open", pl.col("close").forward_fill().shift(1).over("ticker"))
    rate_known = pl.col("funding_rate").is_finite() | (pl.col("funding_settle") == 0.0)
    charged = bars.sort("ticker", "bar").with_columns(
        # Nothing, where no rate settles; and where one does that is not known, the bar is counted among the unknown.
        (pl.col("rate") * mark).fill_null(0.0).alias("paid"),
        (pl.col("funding_settle").is_finite() & rate_known).fill_null(value=False).alias("rate_known"),
    )
    known = pl.col("volume").is_finite() & pl.col("taker_buy_volume").is_finite()
    flow = pl.when(known).then(2.0 * pl.col("taker_buy_volume") - pl.col("volume"))
    last = pl.col("minute") == _LAST_BAR
    days = (
        charged.group_by("ticker", "session", maintain_order=True)
        .agg(
            pl.col("close").filter(last).first(),
            pl.col("spot_close").filter(last).first().fill_nan(None).alias("spot"),
            pl.col("oi").filter(last).first().fill_nan(None).alias("open_interest"),
            pl.col("paid").sum(),
            pl.col("rate").sum().alias("funding"),
            pl.col("rate").count().alias("settled"),
            pl.col("rate_known").sum().cast(pl.Int64).alias("known"),
            pl.col("quote_volume").fill_nan(None).sum().alias("quote_volume"),
            pl.col("quote_volume").fill_nan(None).count().alias("valued"),
            flow.sum().alias("flow"),
            pl.when(known).then("volume").sum().alias("traded"),
        )
        .with_columns(pl.col("paid").cum_sum().over("ticker"), pl.col("known").cum_sum().over("ticker").alias("so_far"))
        .drop_nulls("close")
    )
    before, paid_before = pl.col("close").shift(1).over("ticker"), pl.col("paid").shift(1).over("ticker")
    passed = pl.col("session").diff().over("ticker").dt.total_days() * _BARS_PER_DAY
    unknown = passed - pl.col("so_far").diff().over("ticker")
    whole = (pl.col("settled") > 0) & (pl.col("known") == _BARS_PER_DAY)
    return days.select(
        "ticker",
        "session",
        "close",
        ((pl.col("close") - (pl.col("paid") - paid_before)) / before - 1.0).alias("ret"),
        pl.when(pl.col("valued") > 0).then("quote_volume").alias("quote_volume"),
        (unknown / _BARS_PER_HOUR).alias("funding_unknown_hours"),
        pl.when(whole).then("funding").alias("funding"),
        (pl.col("close") / pl.col("spot") - 1.0).alias("basis"),
        "open_interest",
        pl.when(pl.col("traded") > 0.0).then(pl.col("flow") / pl.col("traded")).alias("taker_imbalance"),
    ).sort("ticker", "session")


def perp_frames(days: pl.DataFrame, spec: SuiteSpec) -> OwnFrames:
    """The days as a panel is made of them; average traded value is trailing, over at least half of its window."""
    window = spec.history.adv
    adv = pl.col("quote_volume").rolling_mean(window, min_samples=window // 2).over("ticker")
    nothing = pl.lit(None, dtype=pl.Float64)
    return OwnFrames(
        returns=days.select(
            "ticker",
            "session",
            "ret",
            nothing.alias("ret_open_to_close"),
            nothing.alias("ret_open_to_open"),
            "funding_unknown_hours",
        ),
        descriptors=days.select("ticker", "session", adv.alias("adv")),
        risk=pl.DataFrame(schema={"ticker": pl.String, "session": pl.Date}),
        dates=None,
        descriptors_age=0,
        risk_age=0,
    )


def perp_baseline_plan(file: BaselinesFile) -> Plan:
    """Check the expressions of the baselines; raises ExpressionError."""
    return compile_plan(
        {name: Formula(one.expression) for name, one in file.baselines.items()},
        dict.fromkeys(DAY_COLUMNS, Kind.NUMBER),
        {name: Formula(text) for name, text in file.definitions.items()},
    )


def perp_baseline_signals(
    days: pl.DataFrame, panel: Panel, file: BaselinesFile
) -> tuple[list[SignalPanel], Mapping[str, str]]:
    """Compute the baselines of perpetuals on the rows of a panel.

    Parameters
    ----------
    days
        From `perp_days`.
    panel
        The rows.
    file
        The baselines, over the columns `DAY_COLUMNS`.

    Returns
    -------
    tuple
        The signals that have values, and by name of the others the cause why they have none.

    Raises
    ------
    SchemaViolation
        When there is no day.

    Notes
    -----
    **Timing.** A value stands on the day whose end it has seen, and is traded at the end of the next one.
    **Missing values.** Days without a row between the first and the last of a symbol are rows without a number.
    """
    if days.height == 0:
        raise SchemaViolation("there is no day to compute a baseline of", where="clean.market_5m")
    spans = days.group_by("ticker", maintain_order=True).agg(
        pl.date_range(pl.col("session").min(), pl.col("session").max()).alias("session")
    )
    full = spans.explode("session").join(days, on=["ticker", "session"], how="left", maintain_order="left")
    return evaluated_signals(perp_baseline_plan(file), full, panel)
