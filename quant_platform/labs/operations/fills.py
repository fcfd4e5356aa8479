"""The contract of fills: what a broker's file must say, and every way in which a row of it can be wrong."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl

from quant_platform.contracts.errors import FillsInvalid
from quant_platform.contracts.schemas.operations import MODELLED, SIDES
from quant_platform.contracts.schemas.raw import UTC_STAMP
from quant_platform.specification.home import AssetClass

REQUIRED = ("fill_id", "ticker", "side", "quantity", "price", "fees", "currency", "executed_at")
OPTIONAL = ("mid", "order_id", "law")
JSON_LINES = (".jsonl", ".ndjson")
_EXPORT = "export the fills again, as CSV with commas or as JSON lines, in UTF-8"
# Beyond this a stamp is not late by a clock that is a little off.
SKEW = timedelta(minutes=2)
# A fill further than this from its middle is in another unit or currency.
FARTHEST = 0.2
# No price of a session is so many times its close; a currency and its hundredth are.
FARTHEST_FROM_CLOSE = 5.0
EXCHANGE_TRADED: frozenset[AssetClass] = frozenset({"US_EQUITY", "EQUITY", "FUND"})
STORED: dict[str, pl.DataType | type[pl.DataType]] = {
    "fill_id": pl.String,
    "ticker": pl.String,
    "side": pl.String,
    "quantity": pl.Float64,
    "price": pl.Float64,
    "mid": pl.Float64,
    "fees": pl.Float64,
    "currency": pl.String,
    "executed_at": UTC_STAMP,
    "order_id": pl.String,
    "law": pl.String,
}


@dataclass(frozen=True)
class Expected:
    """What fills are held against.

    Attributes
    ----------
    classes
        Asset class of every name that is known.
    currencies
        By name, in what its fills are settled.
    sessions
        Days on which the exchange trades.
    zone
        IANA name of the time zone in which it does: a fill of its first hour in Sydney is of the day before in UTC.
    now
        With a time zone.
    known
        Fills that are stored already, columns of :data:`STORED`.
    closes
        ``ticker, session, close`` as traded, for prices that no middle stands beside; None where there are none.
    """

    classes: Mapping[str, AssetClass]
    currencies: Mapping[str, str]
    sessions: Collection[date]
    zone: str
    now: datetime
    known: pl.DataFrame
    closes: pl.DataFrame | None = None


@dataclass(frozen=True, eq=False)
class ReadFills:
    """What a file brings: ``new`` rows, and how many of its rows are stored already."""

    new: pl.DataFrame
    known: int


def read_fills(path: Path) -> pl.DataFrame:
    """Read a file of fills as text, CSV or JSON lines by its suffix; names of columns in lower case.

    Raises
    ------
    FillsInvalid
        When it is neither, is damaged, empty, or lacks a column.
    """
    suffix = path.suffix.lower()
    if suffix not in (".csv", *JSON_LINES):
        raise FillsInvalid(
            f"{suffix or 'no suffix'} is not the suffix of a file of fills",
            where=str(path),
            action="give a .csv or a .jsonl file",
        )
    content = path.read_bytes()
    if not content.strip():
        raise FillsInvalid("the file has no row", where=str(path), cause="it is empty", action="export the fills again")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise FillsInvalid("the file cannot be read", where=str(path), cause="it is no text in UTF-8", action=_EXPORT)
    try:
        if suffix == ".csv":
            frame = pl.read_csv(content, infer_schema=False)
        else:
            frame = pl.read_ndjson(content, infer_schema_length=None)
            nested = [name for name, dtype in frame.schema.items() if dtype.is_nested()]
            frame = frame.drop(nested).with_columns(pl.all().cast(pl.String))
    except pl.exceptions.PolarsError as error:
        said = " ".join(str(error).split())[:200]
        cause = "a row has more fields than the header" if "more fields than defined" in said else said
        raise FillsInvalid("the file cannot be read", where=str(path), cause=cause, action=_EXPORT) from error
    plain = [name.strip().lower() for name in frame.columns]
    twice = sorted({name for name in plain if plain.count(name) > 1})
    absent = [name for name in REQUIRED if name not in plain]
    if absent or twice:
        raise FillsInvalid(
            f"the file has no column {', '.join(absent)}" if absent else f"a column stands twice: {', '.join(twice)}",
            where=f"{path}: columns {', '.join(frame.columns)[:300]}",
            cause="the fields are parted by a semicolon or a tab" if len(plain) == 1 else "",
            action=f"it needs {', '.join(REQUIRED)}, parted by commas; {', '.join(OPTIONAL)} may be there",
        )
    if frame.is_empty():
        raise FillsInvalid("the file has no row", where=str(path), action="export the fills again")
    return frame.rename(dict(zip(frame.columns, plain, strict=True)))


def check_fills(raw: pl.DataFrame, expected: Expected, where: str, *, first_line: int = 2) -> ReadFills:
    """Hold fills against the contract, all or nothing.

    Parameters
    ----------
    raw
        What :func:`read_fills` gave.
    expected
        What they are held against.
    where
        The file, for messages.
    first_line
        Line of the first row: 2 below a header, 1 of JSON lines.

    Raises
    ------
    FillsInvalid
        With the first rule that rows break, how many, and the first five of them with their line.

    Notes
    -----
    Rules in order: a number or stamp that is none (a stamp needs its offset from UTC); side; quantity and price above
    zero; law (``modelled`` is what the engine itself assumes); name; currency; clock (a fill from the future, or on a
    day on which its exchange is closed); a price far from its middle; a price many times the close of its day, or a
    part of it; fees above the value; an id that stands twice, or is stored with other content. A row that is stored
    already with the same content is counted and left alone. What it does not catch: a broker's own mistakes that are
    plausible.
    """
    numbered = raw.with_row_index("line", offset=first_line)
    for name in OPTIONAL:
        if name not in numbered.columns:
            numbered = numbered.with_columns(pl.lit(None, dtype=pl.String).alias(name))
    text = numbered.with_columns(pl.col(pl.String).str.strip_chars().replace("", None))
    fills = text.select(
        "line",
        "fill_id",
        pl.col("ticker").str.to_uppercase(),
        pl.col("side").str.to_lowercase(),
        *(pl.col(name).cast(pl.Float64, strict=False) for name in ("quantity", "price", "mid", "fees")),
        pl.col("currency").str.to_uppercase(),
        _stamp(pl.col("executed_at")).alias("executed_at"),
        "order_id",
        pl.col("law").fill_null("venue"),
    )
    for name in ("quantity", "price", "fees", "mid"):
        wanting = fills[name].is_null() if name != "mid" else fills[name].is_null() & text[name].is_not_null()
        infinite = ~fills[name].is_finite().fill_null(value=True)
        _refuse(text, wanting | infinite, f"{name} is no number", where, "")
    _refuse(
        text, fills["executed_at"].is_null(), "executed_at is no time with an offset from UTC", where,
        "a time without its zone could be any; write 2026-03-02T14:30:05+00:00",
    )  # fmt: skip
    _refuse(text, fills["fill_id"].is_null(), "a fill has no id", where, "the broker's own id tells fills apart")
    _refuse(text, ~fills["side"].is_in(SIDES).fill_null(value=False), "side is neither buy nor sell", where, "")
    for name in ("quantity", "price"):
        _refuse(text, fills[name] <= 0.0, f"{name} is not above zero", where, "the side says the sign")
    _refuse(
        text, ~fills["law"].str.contains(r"^(venue|simulated[a-z0-9_]*)$"), "law is neither venue nor simulated...",
        where, f"fills of the law {MODELLED!r} were made by the cost model that they would teach",
    )  # fmt: skip
    _refuse(
        text, ~fills["ticker"].is_in(list(expected.classes)).fill_null(value=False), "a name is not in the universe",
        where, "the broker's symbols are not those of the home: map them first",
    )  # fmt: skip
    settled = fills["ticker"].replace_strict(expected.currencies, return_dtype=pl.String)
    _refuse(
        text, (fills["currency"] != settled).fill_null(value=True),
        f"the currency is not that in which the name is settled, {' or '.join(sorted(set(settled)))}", where,
        "prices and fees are in another currency: convert them first",
    )  # fmt: skip
    future = fills["executed_at"] > expected.now + SKEW
    _refuse(text, future, f"a fill is later than now, {expected.now.isoformat(timespec='minutes')}", where,
            "clock skew: the broker's clock or this one is off, or the zone is wrong")  # fmt: skip
    exchange = fills["ticker"].is_in([name for name, kind in expected.classes.items() if kind in EXCHANGE_TRADED])
    days = day_of(fills["executed_at"], exchange, expected.zone)
    _refuse(text, exchange & ~days.is_in(list(expected.sessions)), "a fill is of a day without a session", where,
            "clock skew: the zone of the stamps is wrong, or the name is of another exchange")  # fmt: skip
    far = ((fills["price"] / fills["mid"] - 1.0).abs() > FARTHEST).fill_null(value=False)
    _refuse(text, far, f"price and mid are more than {FARTHEST:.0%} apart", where,
            "one of them is in another unit or currency")  # fmt: skip
    _refuse(
        text, _far_from_close(fills.with_columns(session=days), expected.closes),
        f"a price is {FARTHEST_FROM_CLOSE:g} times and more away from the close of its day",
        where, "prices in another unit, such as pence, or another currency; or from before a split",
    )  # fmt: skip
    _refuse(
        text, fills["fees"].abs() > fills["quantity"] * fills["price"], "fees are more than the value", where,
        "fees are in another unit: cents, or another currency",
    )  # fmt: skip
    _refuse(text, fills["fill_id"].is_duplicated(), "a fill id stands twice in the file", where, "")
    fresh = fills.select(list(STORED))
    stored = expected.known.select(list(STORED))
    again = fresh.join(stored.select("fill_id"), on="fill_id", how="semi")
    same = again.join(stored, on=list(STORED), how="semi", nulls_equal=True)
    changed = again.join(same, on="fill_id", how="anti")
    _refuse(
        text, fills["fill_id"].is_in(changed["fill_id"].implode()), "a fill id is stored with other content", where,
        "fills are never changed; a correction of the broker needs an id of its own",
    )  # fmt: skip
    return ReadFills(fresh.join(stored.select("fill_id"), on="fill_id", how="anti"), same.height)


def day_of(executed_at: pl.Series, exchange_traded: pl.Series, time_zone: str) -> pl.Series:
    """Day of each fill: of the exchange's clocks for what is traded there, UTC for what trades around the clock."""
    local = executed_at.dt.convert_time_zone(time_zone).dt.date()
    return local.zip_with(exchange_traded.fill_null(value=False), executed_at.dt.date())


def _far_from_close(fills: pl.DataFrame, closes: pl.DataFrame | None) -> pl.Series:
    if closes is None:
        return pl.Series([False] * fills.height, dtype=pl.Boolean)
    beside = fills.join(closes, on=["ticker", "session"], how="left", maintain_order="left")
    ratio = beside["price"] / beside["close"]
    return ((ratio > FARTHEST_FROM_CLOSE) | (ratio < 1.0 / FARTHEST_FROM_CLOSE)).fill_null(value=False)


def _stamp(text: pl.Expr) -> pl.Expr:
    """Times with an offset, or Z; anything else is null."""
    with_offset = text.str.contains(r"(Z|[+-]\d{2}:?\d{2})$")
    normal = text.str.replace(r"Z$", "+00:00").str.replace(r" (\d{2}:)", "T$1")
    formats = [
        normal.str.to_datetime(form, strict=False, time_unit="us").dt.convert_time_zone("UTC")
        for form in ("%Y-%m-%dT%H:%M:%S%.f%:z", "%Y-%m-%dT%H:%M:%S%:z", "%Y-%m-%dT%H:%M%:z", "%Y-%m-%dT%H:%M:%S%z")
    ]
    return pl.when(with_offset).then(pl.coalesce(formats))


def _refuse(rows: pl.DataFrame, wrong: pl.Series, what: str, where: str, cause: str) -> None:
    broken = rows.filter(wrong.fill_null(value=False))
    if broken.is_empty():
        return
    raise FillsInvalid(
        what,
        where=where,
        how_many=f"{broken.height} of {rows.height} rows",
        rows=broken.select("line", *REQUIRED),
        cause=cause,
        action="correct the file and import it again; nothing of it was stored",
    )
