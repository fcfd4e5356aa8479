"""The stages of the symbol-month tables: raw perpetuals and spot, clean five-minute bars, the joined market."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from quant_platform.contracts.tables import table
from quant_platform.lake import Key
from quant_platform.market.perp_cleaning import clean_perp_bars
from quant_platform.market.perp_facts import clean_all_facts
from quant_platform.market.perp_market import market_5m
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.months import SymbolMonth, month_before
from quant_platform.pipeline.sources import perp_source_of
from quant_platform.pipeline.stage import Frames, Stage
from quant_platform.specification.perp_market import MarketSpec, PerpCleaningSpec

# Funding and open interest are carried over a month's end; two months cover any age that specs/market allows.
CARRIED = ("clean.funding", "clean.open_interest")


def fetch(home: Home, key: SymbolMonth, *, refresh: bool) -> Frames:
    """Everything the source has of a symbol in a month; an empty table says that it lacks it."""
    del refresh
    symbol, month = key
    source = perp_source_of(home)
    if month not in source.months(symbol):
        return {name: table(name).schema.create_empty() for name in RAW}
    return {
        "raw.perp_bars": source.bars(symbol, month),
        "raw.spot_bars": source.spot_bars(symbol, month),
        "raw.funding": source.funding(symbol, month),
        "raw.open_interest": source.open_interest(symbol, month),
        "raw.liquidations": source.liquidations(symbol, month),
        "raw.book": source.book(symbol, month),
    }


def clean(home: Home, key: SymbolMonth, *, refresh: bool) -> Frames:
    """Bars on the full five-minute grid of the month, and the rows kept out of them."""
    del refresh
    symbol, month = key
    spec = home.load("cleaning/perp.yaml", PerpCleaningSpec)
    months = perp_source_of(home).months(symbol)
    if month not in months:
        return {name: table(name).schema.create_empty() for name in CLEAN_PERPS.outputs}
    bars, quarantine = {}, []
    for market, name in (("perp", "raw.perp_bars"), ("spot", "raw.spot_bars")):
        raw = home.lake.read(name, [key])
        first, last = _listed(raw, month == months[0], month == months[-1])
        found = clean_perp_bars(
            raw, spec, market="perp" if market == "perp" else "spot", listed_from=first, listed_to=last
        )
        bars[market] = found.bars
        quarantine.append(found.quarantine)
    return {
        "clean.perp_bars_5m": bars["perp"],
        "clean.spot_bars_5m": bars["spot"],
        "clean.perp_quarantine": pl.concat(quarantine),
    }


def clean_facts(home: Home, key: SymbolMonth, *, refresh: bool) -> Frames:
    """Rows of funding, open interest, liquidations and book that can be, and those kept out."""
    del refresh
    spec = home.load("cleaning/perp.yaml", PerpCleaningSpec)
    facts, kept_out = clean_all_facts(lambda fact: home.lake.read(f"raw.{fact}", [key]), spec.facts)
    return {**{f"clean.{fact}": rows for fact, rows in facts.items()}, "clean.perp_fact_quarantine": kept_out}


def _listed(raw: pl.DataFrame, is_first: bool, is_last: bool) -> tuple[datetime | None, datetime | None]:
    """Where the grid of a symbol's first and last month begins and ends."""
    if raw.is_empty():
        return None, None
    first, last = raw["open_time"].min(), raw["open_time"].max()
    length = timedelta(seconds=int(raw["interval_seconds"][0]))
    begins = first if is_first and isinstance(first, datetime) else None
    ends = last + length if is_last and isinstance(last, datetime) else None
    return begins, ends


def carried_from(home: Home, key: SymbolMonth) -> list[tuple[str, Key]]:
    """Partitions of the month before that the market of a month carries over."""
    del home
    symbol, month = key
    return [(name, (symbol, month_before(month))) for name in CARRIED]


def market(home: Home, key: SymbolMonth, *, refresh: bool) -> Frames:
    """One row per bar with everything that was known at its close."""
    del refresh
    symbol, month = key
    with_before: list[Key] = [(symbol, month_before(month)), key]

    def read(name: str, *, carried: bool = False) -> pl.DataFrame:
        return home.lake.read(name, with_before if carried else [key], missing="ignore")

    joined = market_5m(
        read("clean.perp_bars_5m"),
        spec=home.load("market/perp.yaml", MarketSpec),
        spot=read("clean.spot_bars_5m"),
        funding=read("clean.funding", carried=True),
        open_interest=read("clean.open_interest", carried=True),
        liquidations=read("clean.liquidations"),
        book=read("clean.book"),
    )
    return {"clean.market_5m": joined}


RAW = ("raw.perp_bars", "raw.spot_bars", "raw.funding", "raw.open_interest", "raw.liquidations", "raw.book")
FACTS = ("clean.funding", "clean.open_interest", "clean.liquidations", "clean.book")

RAW_PERPS = Stage(
    outputs=RAW, compute=fetch, specs=("sources/{perps}.yaml",), kinds=("{perps}", "parquet"), always=True
)
CLEAN_PERPS = Stage(
    outputs=("clean.perp_bars_5m", "clean.spot_bars_5m", "clean.perp_quarantine"),
    inputs=("raw.perp_bars", "raw.spot_bars"),
    compute=clean,
    specs=("cleaning/perp.yaml",),
    kinds=("numpy", "parquet"),
)
CLEAN_FACTS = Stage(
    outputs=(*FACTS, "clean.perp_fact_quarantine"),
    inputs=RAW[2:],
    compute=clean_facts,
    specs=("cleaning/perp.yaml",),
    kinds=("numpy", "parquet"),
)
MARKET = Stage(
    outputs=("clean.market_5m",),
    inputs=("clean.perp_bars_5m", "clean.spot_bars_5m", *FACTS),
    neighbours_of=carried_from,
    compute=market,
    specs=("market/perp.yaml",),
    kinds=("polars", "parquet"),
)
STAGES = (RAW_PERPS, CLEAN_PERPS, CLEAN_FACTS, MARKET)
