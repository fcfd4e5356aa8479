"""Clean bars with their quarantine, and the universe mask."""

from __future__ import annotations

from datetime import timedelta
from functools import cache

import polars as pl

from quant_platform.market.cleaning import CleanResult, clean_bars
from quant_platform.market.universe import universe_mask
from quant_platform.specification.cleaning import CleaningSpec
from quant_platform_tests.labs.equity.features.bars import simulated_bars
from quant_platform_tests.lookahead.components_universe import TICKERS, UNIVERSE, securities_known, universe_bars
from quant_platform_tests.lookahead.harness import Component
from quant_platform_tests.market.builders import actions, cleaning_spec, raw_bars

ROWS = 260
PRICES = ("open", "high", "low", "close")
# Rows at which each fault is planted; a shifted row is there only where a test asks for it.
SHIFTED_ROWS = (70, 71)


def spoilt_bars(seed: int, *, shifted_rows: bool = False) -> pl.DataFrame:
    """Raw bars with every kind of vendor error, the worst of them several times."""
    whole = simulated_bars(seed, rows=ROWS, gap_share=0.0)
    rows: list[tuple[object, ...]] = []
    for k, (day, opened, high, low, close, volume) in enumerate(whole.select("session", *PRICES, "volume").iter_rows()):
        # Half the price and twice the shares between the split and the reverse split of `cleaned`.
        level = 0.5 if 100 <= k < 175 else 1.0
        opened, high, low, close, volume = opened * level, high * level, low * level, close * level, volume / level
        row = [day, opened, high, low, close, volume]
        if k in (30, 150):
            row[4] = close / 10
        elif k in (45, 180):
            row[1] = 0.0
        elif k == 60:
            row[2] = low * 0.99
        elif k in (75, 200):
            row[1:] = rows[-1][1:]
        elif k == 90:
            row[1:] = [close, close, close, close, 0.0]
        elif k == 105:
            row[3] = None
        elif k in (120, 121, 210):
            continue
        elif shifted_rows and k in SHIFTED_ROWS:
            row[1:5] = [10 * opened, 10 * high, 10 * low, 10 * close]
        rows.append(tuple(row))
        if k == 135:
            rows.append(tuple(row))
        elif k in (140, 220):
            rows.append((day, opened, high * 1.01, low, close * 1.002, volume))
        elif k == 165:
            saturday = day + timedelta(days=1)
            assert saturday.isoweekday() == 6
            rows.append((saturday, *row[1:]))
    return raw_bars(rows)


@cache
def _days() -> pl.Series:
    return simulated_bars(0, rows=ROWS)["session"]


def cleaned(frame: pl.DataFrame, spec: CleaningSpec) -> CleanResult:
    """Clean with the actions that had happened by the last row: two splits, three dividends."""
    day = _days()
    happened = actions(
        [
            (day[50], "cash_dividend", 0.4),
            (day[100], "split", 2.0),
            (day[125], "cash_dividend", 0.3),
            (day[175], "split", 0.5),
            (day[230], "cash_dividend", 0.5),
        ],
        ticker="AAA",
    ).filter(pl.col("ex_date") <= frame["session"].max())
    return clean_bars(frame, happened, spec, day.to_numpy())


def clean() -> list[Component]:
    """What the causal rules say, and the bars they leave.

    The one rule that needs later rows is switched off in its spec (:func:`causal_spec`); :func:`with_repair` has it.
    """
    return [quarantine(), bars()]


def quarantine() -> Component:
    """Rows kept out, with rule, observed and expected value."""

    def function(frame: pl.DataFrame) -> pl.DataFrame:
        found = cleaned(frame, causal_spec()).quarantine
        return found.select("session", "source_row", "rule", "column", "observed", "expected", *PRICES, "volume")

    keys = ("session", "source_row")
    return Component("quarantine", function, spoilt_bars, time="session", keys=keys, most_cuts=40)


def bars() -> Component:
    """The clean bars.

    An action scales the whole past, on purpose; what must not move is every ratio of adjusted prices, and what was
    traded on the day.
    """

    def function(frame: pl.DataFrame) -> pl.DataFrame:
        def before(name: str) -> pl.Expr:
            return pl.col(name).fill_nan(None).forward_fill().shift(1)

        return cleaned(frame, causal_spec()).bars.select(
            "session",
            "close_unadjusted",
            "dollar_volume",
            "missing_reason",
            *((pl.col(name) / before("close")).alias(f"{name}_to_close_before") for name in PRICES),
            (pl.col("volume") / before("volume")).alias("volume_to_volume_before"),
        )

    return Component("clean bars", function, spoilt_bars, time="session", most_cuts=40)


def causal_spec() -> CleaningSpec:
    """The rules in force without ``decimal_shift_row``: no jump of real prices is a power of ten to twelve digits."""
    spec = cleaning_spec()
    shift = spec.decimal_shift.model_copy(update={"close_tolerance": 1e-12})
    return spec.model_copy(update={"decimal_shift": shift})


def with_repair() -> Component:
    """The quarantine of all rules in force, on bars with a block of shifted rows: it must need later rows."""

    def function(frame: pl.DataFrame) -> pl.DataFrame:
        found = cleaned(frame, cleaning_spec()).quarantine
        return found.select("session", "source_row", "rule", pl.col("check_kind").cast(pl.String))

    def world(seed: int) -> pl.DataFrame:
        return spoilt_bars(seed, shifted_rows=True)

    return Component("quarantine with repair", function, world, time="session", keys=("session", "source_row"))


def mask() -> list[Component]:
    """Members and listed names of every session."""

    def function(frame: pl.DataFrame) -> pl.DataFrame:
        sessions = frame["session"].unique().sort().to_numpy()
        return universe_mask(securities_known(frame), UNIVERSE, sessions, TICKERS, frame).long()

    keys = ("session", "ticker")
    return [Component("universe mask", function, universe_bars, time="session", keys=keys, memory=0)]


def survivors_mask() -> Component:
    """A control: only names that never leave, the oldest mistake of equity research."""

    def function(frame: pl.DataFrame) -> pl.DataFrame:
        stayed = securities_known(frame).filter(pl.col("end_date").is_null())
        sessions = frame["session"].unique().sort().to_numpy()
        return universe_mask(stayed, UNIVERSE, sessions, TICKERS, frame).long()

    return Component("survivors only", function, universe_bars, time="session", keys=("session", "ticker"))
