"""Fills of a venue: imported files, and in simulated homes what a simulated venue gave.

It gives to the paper orders of equities, and to the five-minute trades of the strategies on perpetuals that the event
lab promoted.

An import writes one immutable file below ``<home>/fills``; ``ops.fills`` is what all of them hold together.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from quant_platform.contracts.errors import FillsInvalid
from quant_platform.engine.cost_law import square_root_impact
from quant_platform.labs.operations.fills import JSON_LINES, STORED, Expected, ReadFills, check_fills, read_fills
from quant_platform.labs.operations.frames import columns, session_of
from quant_platform.lake.atomic import atomic_bytes
from quant_platform.lake.content_hash import content_hash
from quant_platform.market.calendar import calendar
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.stage import FrameStage
from quant_platform.specification import clock
from quant_platform.specification.home import AssetClass
from quant_platform.specification.operations import ROUTING, VENUE, RoutingSpec, VenueSpec

WINDOW_SESSIONS = 20
SIMULATED = "simulated"
PERPETUAL: AssetClass = "CRYPTO_PERPETUAL"
COMPOSITE = "COMPOSITE"


def fills_folder(home: Home) -> Path:
    """Where imported fills of a home are."""
    return home.settings.home / "fills"


def imported(home: Home) -> pl.DataFrame:
    """Every imported fill, with the name of its file.

    Raises
    ------
    FillsInvalid
        When a stored file is damaged.
    """
    parts = []
    for path in sorted(fills_folder(home).glob("*.parquet")):
        try:
            frame = pl.read_parquet(path)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise FillsInvalid(
                "a stored file of fills is damaged",
                where=str(path),
                action="take the file away and import the broker's file again",
            ) from error
        parts.append(frame.select(list(STORED)).with_columns(source=pl.lit(path.stem)))
    empty = pl.DataFrame(schema={**STORED, "source": pl.String})
    return pl.concat([empty, *parts]).unique("fill_id", keep="first", maintain_order=True)


def import_fills(home: Home, path: Path) -> ReadFills:
    """Check a broker's file and store what is new of it; importing it twice changes nothing.

    Raises
    ------
    FillsInvalid
        With the rule that its rows break; nothing is stored then.
    """
    classes, exchange = classes_of(home), calendar(home.suite_exchange) if home.has_bars else None
    account = home.load(ROUTING, RoutingSpec).account.currency
    closes = home.lake.scan("clean.equity_bars", missing="ignore").select("ticker", "session", close="close_unadjusted")
    expected = Expected(
        classes=classes,
        currencies={name: home.perps.currency if kind == PERPETUAL else account for name, kind in classes.items()},
        sessions=frozenset() if exchange is None else frozenset(exchange.days.tolist()),
        zone="UTC" if exchange is None else exchange.time_zone,
        now=clock.now(),
        known=imported(home),
        closes=closes.collect(),
    )
    first_line = 1 if path.suffix.lower() in JSON_LINES else 2
    read = check_fills(read_fills(path), expected, str(path), first_line=first_line)
    if read.new.height:
        folder = fills_folder(home)
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / f"{content_hash(read.new)[:16]}.parquet"
        buffer = _parquet(read.new)
        atomic_bytes(target, buffer)
    return read


def classes_of(home: Home) -> dict[str, AssetClass]:
    """Asset class of every name that has clean bars, and of every perpetual of the home."""
    found: dict[str, AssetClass] = {}
    if home.has_bars:
        found = {str(key): home.universe.class_of(str(key)) for key in home.lake.partitions("clean.equity_bars")}
    return found | dict.fromkeys(home.perps.symbols, PERPETUAL) if home.has_perps else found


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def liquidity(bars: pl.LazyFrame) -> pl.LazyFrame:
    """Volatility and volume a day over the sessions before each: ``ticker, session, volatility_daily, volume_daily``.

    **Timing.** The session itself does not enter. **Missing values.** With less than half of the window known it is
    null.
    """
    priced = bars.filter(pl.col("missing_reason").is_null(), pl.col("close").is_not_nan()).sort("ticker", "session")
    half = WINDOW_SESSIONS // 2
    step = (pl.col("close") / pl.col("close").shift(1)).log()
    # Units of the session's own price, so that a split between window and fill changes nothing.
    volume = pl.col("dollar_volume").fill_nan(None).rolling_mean(WINDOW_SESSIONS, min_samples=half).shift(1)
    return priced.select(
        "ticker",
        "session",
        volatility_daily=(step**2).rolling_mean(WINDOW_SESSIONS, min_samples=half).sqrt().shift(1).over("ticker"),
        volume_daily=(volume / pl.col("close_unadjusted")).over("ticker"),
    )


def venue_fills(
    executions: pl.DataFrame, known: pl.DataFrame, opens: Sequence[object], spec: VenueSpec
) -> pl.DataFrame:
    """What a simulated venue gave to paper executions, by a law that is not the engine's.

    Parameters
    ----------
    executions
        Rows of ``ops.executions``.
    known
        Volatility and volume by ticker and session; where either is missing, the impact is ``unknown_impact_bps``.
    opens
        Opening times of sessions, UTC: fills there pay ``open_extra_bps``.
    spec
        The law. The noise of a fill depends on its id and the seed alone.
    """
    found = executions.join(known, left_on=["ticker", "day"], right_on=["ticker", "session"], how="left").sort(
        "execution_id"
    )
    side = np.where(found["side"].cast(pl.String).to_numpy() == "buy", 1.0, -1.0)
    volatility, volume = (found[name].fill_null(math.nan).to_numpy() for name in ("volatility_daily", "volume_daily"))
    with np.errstate(divide="ignore", invalid="ignore"):
        size = square_root_impact(spec.impact_coefficient, volatility, found["quantity"].to_numpy(), volume)
    size = np.where(np.isfinite(size), size, 1e-4 * spec.unknown_impact_bps)
    early = found["executed_at"].is_in(list(opens)).to_numpy()
    noise = np.array([_noise(str(name), spec.seed) for name in found["execution_id"]])
    paid = 1e-4 * (spec.half_spread_bps + spec.noise_bps * noise + np.where(early, spec.open_extra_bps, 0.0)) + size
    return found.select(
        pl.concat_str(pl.lit(f"{spec.law}/"), "execution_id").alias("fill_id"),
        "ticker",
        pl.col("side").cast(pl.String),
        "quantity",
        price=pl.col("mid") * pl.Series(1.0 + side * paid, dtype=pl.Float64),
        mid="mid",
        fees=pl.col("mid") * pl.col("quantity") * spec.fee_rate,
        currency="currency",
        executed_at="executed_at",
        order_id="order_id",
        law=pl.lit(spec.law),
        source=pl.lit(SIMULATED),
    )


def _noise(name: str, seed: int) -> float:
    digest = hashlib.sha256(f"{seed}|{name}".encode()).digest()
    return float(np.random.default_rng(int.from_bytes(digest[:8], "big")).standard_normal())


def daily_perpetuals(bars: pl.LazyFrame) -> pl.LazyFrame:
    """Five-minute bars of perpetuals as UTC days, in the columns that :func:`liquidity` reads.

    A day of whose bars no volume is known has none, null; of the others it is that of the bars that are known.
    """
    priced = bars.filter(pl.col("close").is_not_nan(), pl.col("close").is_not_null())
    by_day = priced.group_by(pl.col("symbol").alias("ticker"), pl.col("bar").dt.date().alias("session")).agg(
        close=pl.col("close").sort_by("bar").last(),
        dollar_volume=pl.when(pl.col("volume").is_finite().any()).then(
            (pl.col("close") * pl.col("volume").fill_nan(None)).sum()
        ),
    )
    return by_day.with_columns(close_unadjusted="close", missing_reason=pl.lit(None, dtype=pl.String))


def promoted_executions(home: Home) -> pl.DataFrame:
    """Five-minute trades of what the newest cutoff of the event lab promoted, in columns that a venue reads."""
    cutoffs = [str(key) for key in home.lake.partitions("backtest.fills")]
    traded = home.lake.read("backtest.fills", cutoffs[-1:]).filter(pl.col("strategy_id") == COMPOSITE)
    place = pl.concat_str("cutoff", "strategy_id", "number", separator="/")
    return traded.select(
        execution_id=place,
        order_id=place,
        ticker="symbol",
        day=pl.col("bar").dt.date(),
        side=pl.when(pl.col("quantity") > 0.0).then(pl.lit("buy")).otherwise(pl.lit("sell")),
        quantity=pl.col("quantity").abs(),
        mid="reference_price",
        currency=pl.lit(home.perps.currency),
        executed_at="bar",
    )


def fills(home: Home, keys: Sequence[str]) -> pl.DataFrame:
    """Every fill that is known, with what the cost model needs of its name at the time."""
    del keys
    found, classes = imported(home), classes_of(home)
    equities = liquidity(home.lake.scan("clean.equity_bars")).collect()
    given = []
    if home.simulated:
        venue = home.load(VENUE, VenueSpec)
        if home.has_bars:
            paper = home.lake.read("ops.executions").filter(pl.col("reason") != "delisted")
            opens = pl.Series(calendar(home.universe.exchange).opens).dt.replace_time_zone("UTC").to_list()
            given.append(venue_fills(paper, equities, opens, venue))
        if home.has_perps:
            promoted = promoted_executions(home)
            given.append(venue_fills(promoted, _perpetual_liquidity(home, promoted), [], venue))
    found = pl.concat([found, *(rows.select(found.columns) for rows in given)])
    known = pl.concat([equities, _perpetual_liquidity(home, found)])
    zone = calendar(home.universe.exchange).time_zone if home.has_bars else "UTC"
    local, kind = pl.col("executed_at").dt.convert_time_zone(zone).dt.date(), pl.col("asset_class")
    return (
        found.with_columns(asset_class=pl.col("ticker").replace_strict(classes, return_dtype=pl.String))
        .with_columns(session=pl.when(kind == PERPETUAL).then(pl.col("executed_at").dt.date()).otherwise(local))
        .join(known, on=["ticker", "session"], how="left")
        .with_columns(pl.col("side").cast(pl.Enum(["buy", "sell"])))
        .select(list(columns("ops.fills")))
    )


def _perpetual_liquidity(home: Home, rows: pl.DataFrame) -> pl.DataFrame:
    """What :func:`liquidity` says of the perpetuals among some rows."""
    symbols = set(rows["ticker"].to_list()).intersection(home.perps.symbols) if home.has_perps else set()
    keys = [key for key in home.lake.partitions("clean.perp_bars_5m") if isinstance(key, tuple) and key[0] in symbols]
    return liquidity(daily_perpetuals(home.lake.scan("clean.perp_bars_5m", keys))).collect()


def within(fills_: pl.DataFrame, since: date, until: date) -> pl.DataFrame:
    """Fills of some days, both included."""
    return fills_.filter(session_of(fills_).is_between(since, until))


FILLS = FrameStage(
    outputs=("ops.fills",),
    compute=fills,
    specs=(VENUE, "universe/{universe}.yaml"),
    kinds=("polars", "parquet"),
    # A home holds equities, perpetuals or both.
    deps=("ops.executions", "clean.equity_bars", "clean.perp_bars_5m", "backtest.fills"),
)
