"""Decisions as a table of a person: read, checked row by row, and fitted to the bars."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from quant_platform.contracts.errors import PlatformError
from quant_platform.contracts.schemas.backtest import ACTIONS, DecisionOrders, DecisionWeights
from quant_platform.engine.bars import Bars
from quant_platform.engine.decisions import Orders, Weights

_LEVELS = ("stop", "target", "trail", "stop_price", "target_price")
# Nobody gives a broker ten times the account for one name; 50 is fifty per cent.
LARGEST_WEIGHT = 10.0
_PROBLEMS = {
    "asset_unknown": "name assets as the bars do",
    "date_unknown": "date each decision with a bar whose close it has seen, as 2024-01-31 or 2024-01-31 14:30:00",
    "look_ahead": "a decision is filled after the close that made it; leave date_fill out, or date it later",
    "action_unknown": f"use one of {', '.join(ACTIONS)}",
    "quantity_missing": "state a signed quantity that is not zero for trade, and a positive one or none for signals",
    "level_invalid": "state levels as positive fractions or prices",
    "level_unreachable": "a stop or trail of a long position is a fraction below 1: 0.05 for five per cent",
    "number_unreadable": "write plain numbers; leave a cell empty where nothing is stated",
    "time_invalid": "state whole bars to hold, at least 1",
    "weight_missing": "state a finite weight",
    "weight_in_percent": f"a weight is a fraction of equity, at most {LARGEST_WEIGHT:g}: 0.5 for fifty per cent",
    "duplicate": "keep one weight of an asset and date",
}


class DecisionsInvalid(PlatformError, ValueError):
    """A table of decisions holds rows that cannot be traded."""

    code = "decisions_invalid"


def read_decisions(path: Path, bars: Bars) -> Orders | Weights:
    """Read a CSV or Parquet file of orders (with a column ``action``) or of weights (with a column ``weight``).

    Parameters
    ----------
    path
        The file; its columns are those of ``DecisionOrders`` or ``DecisionWeights``, optional ones may be left out. A
        further column ``date_fill`` is compared with ``date`` and not used otherwise.
    bars
        What the decisions are traded on.

    Raises
    ------
    DecisionsInvalid
        With every kind of bad row, its count and the first five rows with their line in the file.

    Notes
    -----
    **Timing.** ``date`` is the bar whose close made the decision. An asset that a rebalance does not name gets a weight
    of zero.
    """
    try:
        frame = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path, infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        raise DecisionsInvalid(
            f"the file cannot be read: {' '.join(str(error).split())[:200]}",
            where=str(path),
            cause="an empty or broken file, or another format than its name says",
            action="write a CSV file with commas, or Parquet with the suffix .parquet",
        ) from error
    if frame.is_empty():
        raise DecisionsInvalid(
            "the file holds no decision", where=str(path), cause="a header alone", action="write a row per decision"
        )
    return from_table(frame, bars, where=str(path))


def from_table(frame: pl.DataFrame, bars: Bars, *, where: str = "decisions") -> Orders | Weights:
    """Turn a table into decisions; see :func:`read_decisions`."""
    orders = "action" in frame.columns
    schema = DecisionOrders if orders else DecisionWeights
    needed = ("asset", "date", "action") if orders else ("asset", "date", "weight")
    absent = [name for name in needed if name not in frame.columns]
    unknown = [name for name in frame.columns if name not in (*schema.column_names(), "date_fill")]
    if absent or unknown:
        raise DecisionsInvalid(
            f"columns are missing: {', '.join(absent)}" if absent else f"columns are not known: {', '.join(unknown)}",
            where=f"{where}, columns {', '.join(frame.columns)[:200]!r}",
            cause=_likely_cause(frame.columns, needed) if absent else "",
            action=f"the columns are {', '.join(schema.column_names())}; weights need weight, orders need action",
        )
    # Line 1 of a CSV holds the names.
    rows = frame.with_row_index("line", offset=2).with_columns(_stamp(frame, "date").alias("stamp"))
    for name in schema.column_names():
        if name not in rows.columns:
            rows = rows.with_columns(pl.lit(None, dtype=pl.Float64).alias(name))
    numeric = [name for name in ("quantity", *_LEVELS, "time_bars", "weight") if name in rows.columns]
    numbers = rows.select(pl.col(name).cast(pl.Float64, strict=False) for name in numeric)
    # A text that is no number must not pass for an empty cell: it may have been meant as a stop.
    unreadable = np.zeros(rows.height, dtype=np.bool_)
    for name in numeric:
        truth = rows[name].dtype == pl.Boolean
        unreadable |= (rows[name].is_not_null() & (numbers[name].is_null() | truth)).to_numpy()
    rows = rows.with_columns(numbers[name].fill_null(float("nan")) for name in numeric)
    place = np.searchsorted(bars.stamps, rows["stamp"].fill_null(-1).to_numpy())
    known_bar = bars.stamps[np.minimum(place, len(bars.stamps) - 1)] == rows["stamp"].fill_null(-1).to_numpy()
    positions = {name: column for column, name in enumerate(bars.assets)}
    asset = np.array([positions.get(str(name), -1) for name in rows["asset"].to_list()], dtype=np.int64)
    problems = [("asset_unknown", asset < 0), ("date_unknown", ~known_bar), ("number_unreadable", unreadable)]
    if "date_fill" in frame.columns:
        filled = _stamp(frame, "date_fill").fill_null(np.iinfo(np.int64).max)
        problems.append(("look_ahead", (filled <= rows["stamp"].fill_null(-1)).to_numpy()))
    if not orders:
        weight = rows["weight"].to_numpy()
        problems += [
            ("weight_missing", ~np.isfinite(weight)),
            ("weight_in_percent", np.isfinite(weight) & (np.abs(weight) > LARGEST_WEIGHT)),
            ("duplicate", rows.select(pl.struct("asset", "stamp").is_duplicated()).to_series().to_numpy()),
        ]
        _refuse(rows, problems, where)
        at, row = np.unique(place, return_inverse=True)
        weights = np.zeros((at.size, len(bars.assets)))
        weights[row, asset] = weight
        return Weights(at, weights)
    quantity = rows["quantity"].to_numpy()
    action = rows["action"].cast(pl.String).fill_null("").to_numpy()
    trade = action == "trade"
    sized = np.where(trade, np.isfinite(quantity) & (quantity != 0.0), np.isnan(quantity) | (quantity > 0.0))
    levels, held = rows.select(*_LEVELS).to_numpy(), rows["time_bars"].to_numpy()
    # Nothing falls by more than all of it, so that such a stop protects nobody.
    beyond = np.fmax(rows["stop"].to_numpy(), rows["trail"].to_numpy()) >= 1.0
    long = (action == "long_entry") | (trade & (quantity > 0.0))
    problems += [
        ("action_unknown", ~np.isin(action, ACTIONS)),
        ("quantity_missing", ~sized | np.isinf(quantity)),
        ("level_invalid", np.any(~np.isnan(levels) & ~((levels > 0.0) & np.isfinite(levels)), axis=1)),
        ("level_unreachable", beyond & long),
        ("time_invalid", ~np.isnan(held) & ~((held >= 1.0) & np.isfinite(held) & (held == np.floor(held)))),
    ]
    _refuse(rows, problems, where)
    return Orders.build(
        place,
        asset,
        action,
        quantity=quantity,
        # An order that states no horizon has none, which its layout writes as zero bars.
        time_bars=np.where(np.isnan(held), 0.0, held).astype(np.int64),
        **{name: rows[name].to_numpy() for name in _LEVELS},
    )


def _likely_cause(columns: list[str], needed: tuple[str, ...]) -> str:
    """Why columns are not found, where their names say it."""
    if len(columns) == 1:
        return "another separator than a comma, or another encoding than UTF-8"
    plain = {name.strip().lower() for name in columns}
    return "names are written in lower case, without blanks" if plain >= set(needed[:2]) else ""


def _stamp(frame: pl.DataFrame, name: str) -> pl.Series:
    """Nanoseconds since 1970; null where a text is no date, and for whole numbers, which say no unit."""
    column = frame[name]
    if column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Time):
        return pl.Series(name, [None] * len(column), dtype=pl.Int64)
    if isinstance(column.dtype, (pl.Categorical, pl.Enum)):
        column = column.cast(pl.String)
    if column.dtype == pl.String:
        whole = column.str.to_datetime("%Y-%m-%d", time_unit="ns", strict=False)
        timed = column.str.replace("T", " ").str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="ns", strict=False)
        column = whole.fill_null(timed) if whole.null_count() else whole
    return column.cast(pl.Datetime("ns")).to_physical()


def _refuse(rows: pl.DataFrame, problems: list[tuple[str, np.ndarray]], where: str) -> None:
    found = [(code, np.flatnonzero(wrong)) for code, wrong in problems if wrong.any()]
    if not found:
        return
    shown = [c for c in ("line", "asset", "date", "action", "quantity", "weight") if c in rows.columns]
    first = [{"code": code} | {name: rows[name][int(k)] for name in shown} for code, lines in found for k in lines[:5]]
    bad = np.unique(np.concatenate([lines for _, lines in found]))
    raise DecisionsInvalid(
        "; ".join(f"{code} in {len(lines)} rows" for code, lines in found),
        where=where,
        how_many=f"{bad.size} of {rows.height} rows",
        rows=first,
        action="; ".join(f"{code}: {_PROBLEMS[code]}" for code, _ in found),
    )
