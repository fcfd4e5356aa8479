"""Decisions of a parity case: made once, frozen, and known by the hash of their content."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from quant_platform.contracts.errors import PlatformError
from quant_platform.engine.backtest import Bars, Orders
from quant_platform.engine.decisions import ACTIONS
from quant_platform.engine.layout import ORDER_ASSET, ORDER_BAR, ORDER_SIGNAL
from quant_platform.lake.content_hash import content_hash

COLUMNS: dict[str, pl.DataType] = {
    "bar": pl.Int64(),
    "asset": pl.String(),
    "action": pl.String(),
    "quantity": pl.Float64(),
    "stop": pl.Float64(),
    "target": pl.Float64(),
    "trail": pl.Float64(),
    "time_bars": pl.Int64(),
}
_LEVELS = ("stop", "target", "trail")


class ParityDecisionsInvalid(PlatformError, ValueError):
    """A table of decisions holds rows that no framework should be handed."""

    code = "parity_decisions_invalid"


@dataclass(frozen=True, eq=False)
class DecisionTable:
    """What to do, decided with the close of a bar; every size is stated, so that no adapter computes one.

    Attributes
    ----------
    frame
        Columns ``bar`` (whose close decided), ``asset``, ``action`` (a word of the engine's ``ACTIONS``), ``quantity``
        (units; signed for ``trade``, null for exits), ``stop``, ``target``, ``trail`` (fractions of the entry price),
        ``time_bars``; sorted by bar, asset and action.
    content_hash
        SHA-256 of the frame's content; the same rows in another file have the same hash.

    Raises
    ------
    ParityDecisionsInvalid
        When columns are not those, rows are not sorted or occur twice, an action is not known, an entry states no
        positive quantity, or a level is not positive.
    """

    frame: pl.DataFrame
    content_hash: str = field(init=False)

    def __post_init__(self) -> None:
        if self.frame.schema != pl.Schema(COLUMNS):
            raise ParityDecisionsInvalid(
                f"columns were {dict(self.frame.schema)}", where="decisions", action=f"the columns are {dict(COLUMNS)}"
            )
        frame, entry = self.frame, pl.col("action").is_in(["long_entry", "short_entry"])
        key = ("bar", "asset", "action")
        trade = pl.col("action") == "trade"
        stated = pl.col("quantity").is_not_null() & pl.col("quantity").is_finite()
        levels = [pl.col(name).is_not_null() & ~(pl.col(name) > 0.0) for name in _LEVELS]
        checks = (
            ("an action is not known", ~pl.col("action").is_in(ACTIONS)),
            ("an entry states no positive quantity", entry & ~(stated & (pl.col("quantity") > 0.0))),
            ("a trade states no quantity", trade & ~(stated & (pl.col("quantity") != 0.0))),
            ("a level is not positive", pl.any_horizontal(levels)),
            ("a bar is negative", pl.col("bar") < 0),
            ("a holding time is below one bar", pl.col("time_bars").is_not_null() & ~(pl.col("time_bars") > 0)),
            ("a decision occurs twice", pl.struct(key).is_duplicated()),
        )
        for what, wrong in checks:
            found = frame.with_row_index("row").filter(wrong.fill_null(True))
            if found.height:
                raise ParityDecisionsInvalid(
                    what, where="decisions", how_many=f"{found.height} of {frame.height} rows",
                    rows=found.select("row", *key, "quantity"),
                )  # fmt: skip
        if not frame.select(key).equals(frame.select(key).sort(key)):
            raise ParityDecisionsInvalid(
                "decisions are not sorted by bar, asset and action", where="decisions",
                action="DecisionTable.of sorts them",
            )  # fmt: skip
        object.__setattr__(self, "content_hash", content_hash(frame))

    @classmethod
    def of(cls, rows: pl.DataFrame) -> DecisionTable:
        """Take rows with some of the columns in any order; what is not given is null."""
        missing = [pl.lit(None, dtype=kind).alias(name) for name, kind in COLUMNS.items() if name not in rows.columns]
        frame = rows.with_columns(missing).select(pl.col(name).cast(kind) for name, kind in COLUMNS.items())
        return cls(frame.sort("bar", "asset", "action"))

    def require_fits(self, bars: Bars) -> None:
        """Refuse decisions for assets or bars that do not exist.

        Raises
        ------
        ParityDecisionsInvalid
            With the first rows.
        """
        wrong = ~pl.col("asset").is_in(list(bars.assets)) | (pl.col("bar") >= bars.shape[0])
        found = self.frame.filter(wrong)
        if found.height:
            raise ParityDecisionsInvalid(
                "decisions name assets or bars that do not exist", where="decisions",
                how_many=f"{found.height} of {self.frame.height} rows", rows=found.select("bar", "asset", "action"),
                action=f"the bars hold {bars.shape[0]} bars of {', '.join(bars.assets[:5])}"
                + (" and more" if len(bars.assets) > 5 else ""),
            )  # fmt: skip

    def as_orders(self, bars: Bars, *, trigger_at_close: bool = False) -> Orders:
        """Hand them to the engine: the signals of one bar and asset become one order, whose levels are the entry's."""
        self.require_fits(bars)
        frame = self.frame
        position = {name: column for column, name in enumerate(bars.assets)}
        quantity = frame["quantity"].fill_null(np.nan).to_numpy()
        each = Orders.build(
            frame["bar"].to_numpy(),
            np.array([position[name] for name in frame["asset"].to_list()], dtype=np.int64),
            frame["action"].to_list(),
            quantity=quantity,
            # Zero is the engine's word for "no time exit".
            time_bars=frame["time_bars"].fill_null(0).to_numpy(),
            trigger_at_close=trigger_at_close,
            **{name: frame[name].fill_null(np.nan).to_numpy() for name in _LEVELS},
        )
        return _merged(each)


def _merged(each: Orders) -> Orders:
    """One order of several signals that one bar gives one asset; trades stay apart."""
    numbers, places = each.numbers, each.places
    signal = places[:, ORDER_SIGNAL] != 0
    same = np.zeros(len(places), dtype=bool)
    if len(places) > 1:
        pair = places[:, [ORDER_BAR, ORDER_ASSET]]
        same[1:] = np.all(pair[1:] == pair[:-1], axis=1) & signal[1:] & signal[:-1]
    if not same.any():
        return each
    group = np.cumsum(~same) - 1
    kept = np.flatnonzero(~same)
    merged_places, merged_numbers = places[kept].copy(), numbers[kept].copy()
    bits = np.zeros(kept.size, dtype=np.int64)
    np.bitwise_or.at(bits, group, places[:, ORDER_SIGNAL])
    merged_places[:, ORDER_SIGNAL] = bits
    # Only entries state anything; a bar's second entry finds the first one's row filled and leaves it.
    for row in np.flatnonzero(same):
        target = group[row]
        empty = np.isnan(merged_numbers[target])
        merged_numbers[target, empty] = numbers[row, empty]
        merged_places[target, ORDER_SIGNAL + 1 :] |= places[row, ORDER_SIGNAL + 1 :]
    return Orders(merged_numbers, merged_places)
