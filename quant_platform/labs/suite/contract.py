"""The signal contract: what a submitted signal has to say, checked row by row with stable codes.

Required columns are ``security_id, date_sig, date_avail, signal``; ``avail_hour, region, universe, signal_name,
version`` may stand beside them, and others are left out and named. A row that breaks a rule is kept out and stands in
``rejects`` with the code of the first rule it broke; nothing is repaired, filled or clipped.

| code | the row |
|---|---|
| ``signal_type_invalid`` | holds a text that is no date, no number or no hour |
| ``signal_missing`` | lacks a required value |
| ``signal_not_finite`` | has an infinite signal |
| ``signal_duplicate`` | shares security and ``date_sig`` with another; all of them are kept out |
| ``signal_available_early`` | was available before ``date_sig`` |
| ``signal_future_dated`` | is dated after today, or available after the next session |
| ``signal_no_session`` | has a ``date_sig`` on which the exchange did not trade |
| ``signal_security_unknown`` | is of a security that the data does not have |

Dates, not rows, are reported with ``signal_thin_coverage``, ``signal_missing_by_date`` and ``signal_constant_date``.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from quant_platform.contracts.errors import (
    SignalColumnsMissing,
    SignalEmpty,
    SignalInvalid,
    SignalNameInvalid,
)
from quant_platform.contracts.ordering import sorted_by
from quant_platform.labs.suite.reading import read_signal_file
from quant_platform.labs.suite.sessions import SessionClock
from quant_platform.labs.suite.texts import dates_of, numbers_of, stripped
from quant_platform.specification.suite import ContractSpec

REQUIRED = ("security_id", "date_sig", "date_avail", "signal")
OPTIONAL = ("avail_hour", "region", "universe", "signal_name", "version")
REJECT_CODES = (
    "signal_type_invalid",
    "signal_missing",
    "signal_not_finite",
    "signal_duplicate",
    "signal_available_early",
    "signal_future_dated",
    "signal_no_session",
    "signal_security_unknown",
)
NOTE_CODES = ("signal_thin_coverage", "signal_missing_by_date", "signal_constant_date", "signal_columns_ignored")
GOOD_SCHEMA = {
    "security_id": pl.String,
    "date_sig": pl.Date,
    "date_avail": pl.Date,
    "avail_hour": pl.Float64,
    "signal": pl.Float64,
}
REJECT_SCHEMA = {
    "row": pl.Int64,
    "code": pl.String,
    "security_id": pl.String,
    "date_sig": pl.String,
    "date_avail": pl.String,
    "signal": pl.String,
    "detail": pl.String,
}
SUMMARY_SCHEMA = {
    "code": pl.String,
    "kind": pl.String,
    "count": pl.Int64,
    "of": pl.Int64,
    "unit": pl.String,
    "examples": pl.String,
    "cause": pl.String,
    "action": pl.String,
}
_PER_DAY = {"ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
# Comparing a name with every known one takes a millisecond; more strangers than this are of another universe.
_COMPARED_NAMES = 50
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_\-]{0,63}")
_CAUSES = {
    "signal_type_invalid": (
        "another date format or a number written with separators",
        "write dates as 2024-01-31 and numbers as 1234.5",
    ),
    "signal_missing": ("names without a value were kept as rows", "leave such rows out"),
    "signal_not_finite": ("a division by zero before the signal was written", "leave such rows out"),
    "signal_duplicate": ("two runs were stacked, or one row per share class", "write one row per security and date"),
    "signal_available_early": ("the two dates were exchanged", "date_avail is never before date_sig"),
    "signal_future_dated": ("month and day were exchanged, or the clock was wrong", "check the format of the dates"),
    "signal_no_session": ("calendar days instead of sessions, or month ends", "date_sig is the session it has seen"),
    "signal_security_unknown": ("another identifier or another universe", "use the tickers of the snapshot"),
    "signal_thin_coverage": ("the signal exists for part of the universe", "the dates make no portfolio"),
    "signal_missing_by_date": ("an input of the signal was missing", "check the dates"),
    "signal_constant_date": ("a default filled in for every name", "the dates have no order to trade on"),
    "signal_columns_ignored": ("the file says more than the contract", "nothing; they were not read"),
}


@dataclass(frozen=True)
class Validated:
    """A signal after its checks.

    Attributes
    ----------
    good
        ``security_id, date_sig, date_avail, avail_hour, signal``, sorted by date and security.
    rejects
        One line per row kept out: position in the file from 0, code, the values as they were written, detail.
    summary
        One line per code that occurred: how many of how many, five examples, cause and action.
    name, region, universe, version
        What the file says of itself; None where it does not.
    rows
        Rows of the file.
    """

    good: pl.DataFrame
    rejects: pl.DataFrame
    summary: pl.DataFrame
    name: str | None
    region: str | None
    universe: str | None
    version: str | None
    rows: int

    @property
    def clean(self) -> bool:
        """Whether every row was taken."""
        return self.rejects.height == 0

    def message(self) -> str:
        """Everything that was found, as text, with examples per code."""
        dates = self.good["date_sig"].n_unique()
        lines = [
            f"{self.good.height:,} of {self.rows:,} rows were taken: "
            f"{self.good['security_id'].n_unique():,} securities, {dates:,} dates"
            + (", {} to {}".format(*self.good["date_sig"].sort().gather([0, -1]).to_list()) if dates else "")
        ]
        for row in self.summary.iter_rows(named=True):
            lines.append(f"{row['code']}: {row['count']:,} of {row['of']:,} {row['unit']}")
            lines.extend(f"    {example}" for example in row["examples"].splitlines())
            lines.append(f"  likely cause: {row['cause']}")
            lines.append(f"  next: {row['action']}")
        return "\n".join(lines)

    def require_rows(self) -> Validated:
        """Return the result itself.

        Raises
        ------
        SignalEmpty
            When no row was taken; the message says why, code by code.
        """
        if self.good.height:
            return self
        raise SignalEmpty(
            "no row satisfies the contract\n" + self.message(),
            how_many=f"{self.rejects.height} of {self.rows} rows were kept out",
        )

    def _repr_html_(self) -> str:
        return f"<pre>{escape(self.message())}</pre>"


def safe_signal_name(name: str) -> str:
    """Return a name that may be that of a signal: it is a partition key, a tag and a heading.

    Raises
    ------
    SignalNameInvalid
        Unless it is a letter, then up to 63 letters, digits, ``_`` or ``-``.
    """
    if not _NAME.fullmatch(name):
        raise SignalNameInvalid(
            f"{name[:80]!r} cannot be the name of a signal",
            action="use a letter, then up to 63 letters, digits, _ or -",
        )
    return name


def validate(
    source: pl.DataFrame | Path | str | Any,
    clock: SessionClock,
    securities: Collection[str],
    *,
    contract: ContractSpec,
    today: date,
) -> Validated:
    """Check a signal against the contract; nothing is stored.

    Parameters
    ----------
    source
        A file, a Polars or pandas frame, or an Arrow table.
    clock
        Sessions of the exchange.
    securities
        Every security the data knows, delisted ones included.
    contract
        Bounds.
    today
        Nothing may be dated later.

    Returns
    -------
    Validated

    Raises
    ------
    SignalUnreadable, SignalTooLarge, SignalEmpty, SignalColumnsMissing, SignalNameInvalid
        Where there is nothing to judge row by row.

    Notes
    -----
    **What it does not catch**: a signal computed with hindsight, which `audit` looks for; a security that was renamed;
    values in another unit than last week.
    """
    frame, where = _frame(source, contract)
    frame = _presentable(_columns(frame, where))
    ignored = [name for name in frame.columns if name not in (*REQUIRED, *OPTIONAL)]
    raw = frame.select(name for name in (*REQUIRED, *OPTIONAL) if name in frame.columns).with_row_index("row")
    typed = _typed(raw)
    broken = _broken(typed, clock, set(securities), today)
    if broken.height:
        kept = np.ones(typed.height, dtype=np.bool_)
        kept[broken["row"].to_numpy()] = False
        good = typed.filter(pl.Series(kept))
    else:
        good = typed
    good = sorted_by(good.select(*GOOD_SCHEMA), ["date_sig", "security_id"])
    rejects = _rejects(raw, broken)
    summary = pl.DataFrame(
        [*_reject_lines(rejects, frame.height, contract), *_note_lines(typed, good, ignored, contract)],
        schema=SUMMARY_SCHEMA,
        orient="row",
    )
    said = {name: _one_value(frame, name, where) for name in ("signal_name", "region", "universe", "version")}
    if said["signal_name"] is not None:
        safe_signal_name(said["signal_name"])
    return Validated(
        good, rejects, summary, said["signal_name"], said["region"], said["universe"], said["version"], frame.height
    )


def _frame(source: Any, contract: ContractSpec) -> tuple[pl.DataFrame, str]:
    if isinstance(source, (str, Path)):
        return read_signal_file(Path(source), contract), Path(source).name
    if isinstance(source, pl.DataFrame):
        frame = source
    elif hasattr(source, "__arrow_c_stream__"):
        frame = pl.DataFrame(source)
    else:
        raise SignalInvalid(
            f"a signal cannot be made of a {type(source).__name__}",
            action="give a path, a Polars or pandas frame, or an Arrow table",
        )
    if frame.height == 0:
        raise SignalEmpty("the frame has no row")
    return frame, "the frame"


def _columns(frame: pl.DataFrame, where: str) -> pl.DataFrame:
    lowered = [name.strip().lower() for name in frame.columns]
    twice = sorted({name for name in lowered if lowered.count(name) > 1})
    # Readers mark a repeated column by a suffix of their own.
    twice += [name for name in lowered if name.removesuffix("_duplicated_0") != name and name[:-13] in REQUIRED]
    if twice:
        raise SignalColumnsMissing(f"the column {twice[0]!r} stands twice", where=where, action="keep one of them")
    renamed = frame.rename(dict(zip(frame.columns, lowered, strict=True)))
    missing = [name for name in REQUIRED if name not in renamed.columns]
    if missing:
        hints = {name: get_close_matches(name, lowered, n=1, cutoff=0.5) for name in missing}
        close = "; ".join(f"{name}: is it {found[0]!r}?" for name, found in hints.items() if found)
        raise SignalColumnsMissing(
            f"required columns are absent: {', '.join(missing)}",
            where=where,
            how_many=f"{len(missing)} of {len(REQUIRED)} columns",
            cause=close or f"the file has {', '.join(lowered[:8])}",
            action="name the columns security_id, date_sig, date_avail, signal",
        )
    return renamed


def _presentable(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with stamps that no calendar has as the numbers they are, which the rules then find to be no dates."""
    return frame.with_columns(
        frame[name].to_physical().cast(pl.String)
        for name, dtype in frame.schema.items()
        if (dtype == pl.Date and _beyond(frame[name], 1))
        or (isinstance(dtype, pl.Datetime) and _beyond(frame[name], _PER_DAY[dtype.time_unit]))
    )


def _beyond(stamps: pl.Series, per_day: int) -> bool:
    first, last = ((day - date(1970, 1, 1)).days * per_day for day in (date(1700, 1, 1), date(2199, 12, 31)))
    return not stamps.to_physical().is_between(first, last).fill_null(True).all()


def _typed(raw: pl.DataFrame) -> pl.DataFrame:
    """Columns with their types; ``bad_<name>`` where something stood there that could not be read."""
    unknown = pl.repeat(None, raw.height, dtype=pl.Float64, eager=True)
    hour = raw["avail_hour"] if "avail_hour" in raw.columns else unknown
    dates = {name: dates_of(raw[name]) for name in ("date_sig", "date_avail")}
    signal, bad_signal = numbers_of(raw["signal"])
    hours, bad_hour = numbers_of(hour)
    bad_hour = bad_hour | ((hours < 0.0) | (hours > 24.0) | hours.is_nan()).fill_null(False)
    security = raw["security_id"]
    if security.dtype.is_float() or security.dtype.is_nested() or security.dtype == pl.Boolean:
        bad_security, names = security.is_not_null(), pl.Series("security_id", [None] * raw.height, pl.String)
    else:
        names = stripped(security.cast(pl.String, strict=False))
        names = names.set(names == "", None) if (names == "").any() else names
        bad_security = pl.Series(np.zeros(raw.height, dtype=np.bool_))
    return pl.DataFrame(
        [
            raw["row"].cast(pl.Int64),
            names.alias("security_id"),
            dates["date_sig"][0].alias("date_sig"),
            dates["date_avail"][0].alias("date_avail"),
            hours.alias("avail_hour"),
            signal.alias("signal"),
            bad_security.alias("bad_security_id"),
            dates["date_sig"][1].alias("bad_date_sig"),
            dates["date_avail"][1].alias("bad_date_avail"),
            bad_signal.alias("bad_signal"),
            bad_hour.alias("bad_avail_hour"),
        ]
    )


def _broken(typed: pl.DataFrame, clock: SessionClock, known: set[str], today: date) -> pl.DataFrame:
    """Rows that broke a rule, in the order of the file: ``row``, ``code`` of the first, ``detail`` of what it is about.

    Every rule is asked of all rows, and only of those that broke one which came first and how to say it.
    """
    rows = clock.rows(typed["date_sig"].fill_null(date(1900, 1, 1)).to_numpy())
    future = np.searchsorted(clock.days, np.datetime64(today), side="right")
    horizon = clock.days[min(int(future), len(clock.days) - 1)].item()
    names = typed["security_id"].unique().drop_nulls()
    of_name = typed["security_id"].cast(pl.Enum(names.sort())).to_physical().cast(pl.Int64)
    duplicate = _duplicated(of_name, typed["date_sig"].to_physical().cast(pl.Int64))
    strangers = [name for name in names.to_list() if name not in known]
    sorted_known = sorted(known)
    close = {}
    for place, name in enumerate(sorted(strangers)):
        alike = get_close_matches(name.upper(), sorted_known, n=1) if place < _COMPARED_NAMES else []
        close[name] = f"closest known is {alike[0]}" if alike else "nothing alike is known"
    unknown = typed["security_id"].is_in(strangers).fill_null(False) if strangers else pl.lit(value=False)
    bad = pl.concat_list(
        pl.when(pl.col(f"bad_{name}")).then(pl.lit(name)) for name in (*REQUIRED, "avail_hour")
    ).list.drop_nulls()
    missing = pl.concat_list(
        pl.when(pl.col(name).is_null() | (pl.col(name).is_nan() if name == "signal" else False)).then(pl.lit(name))
        for name in REQUIRED
    ).list.drop_nulls()
    early = pl.col("date_avail") < pl.col("date_sig")
    ahead = (pl.col("date_sig") > today) | (pl.col("date_avail") > max(horizon, today))
    amiss = (
        pl.any_horizontal(f"bad_{name}" for name in (*REQUIRED, "avail_hour"))
        | pl.any_horizontal(pl.col(name).is_null() for name in REQUIRED)
        | ~pl.col("signal").is_finite()
        | pl.col("duplicate")
        | early
        | ahead
        | (pl.col("session_row") < 0)
        | pl.col("unknown")
    )
    marked = typed.with_columns(duplicate.alias("duplicate"), pl.Series("session_row", rows), unknown.alias("unknown"))
    frame = marked.filter(amiss.fill_null(value=True)).with_columns(bad.alias("bad"), missing.alias("missing"))
    code = (
        pl.when(pl.col("bad").list.len() > 0)
        .then(pl.lit("signal_type_invalid"))
        .when(pl.col("missing").list.len() > 0)
        .then(pl.lit("signal_missing"))
        .when(pl.col("signal").is_infinite())
        .then(pl.lit("signal_not_finite"))
        .when(pl.col("duplicate"))
        .then(pl.lit("signal_duplicate"))
        .when(early)
        .then(pl.lit("signal_available_early"))
        .when(ahead)
        .then(pl.lit("signal_future_dated"))
        .when(pl.col("session_row") < 0)
        .then(pl.lit("signal_no_session"))
        .when(pl.col("unknown"))
        .then(pl.lit("signal_security_unknown"))
    )
    detail = (
        pl.when(code == "signal_type_invalid")
        .then(pl.col("bad").list.join(", ") + pl.lit(" could not be read"))
        .when(code == "signal_missing")
        .then(pl.col("missing").list.join(", ") + pl.lit(" is missing"))
        .when(code == "signal_no_session")
        .then(pl.col("date_sig").dt.strftime("%A is no session"))
        .when(code == "signal_security_unknown")
        .then(pl.col("security_id").replace_strict(close, default=None, return_dtype=pl.String))
        .otherwise(pl.lit(""))
    )
    return frame.select("row", code.alias("code"), detail.alias("detail")).filter(pl.col("code").is_not_null())


def _duplicated(names: pl.Series, days: pl.Series) -> pl.Series:
    """Where a name and a day stand together more than once."""
    # As one integer: comparing pairs of a text and a day costs ten times as much.
    keys = names * 2**32 + days
    if not keys.null_count():
        # Nearly every file is in order, and in an order without a tie nothing stands twice.
        for ordered in (days * 2**32 + names, keys):
            values = ordered.to_numpy()
            if (values[1:] > values[:-1]).all():
                return pl.Series(np.zeros(len(values), dtype=np.bool_))
    return keys.is_duplicated() & keys.is_not_null()


def _rejects(raw: pl.DataFrame, broken: pl.DataFrame) -> pl.DataFrame:
    written = raw[broken["row"]].select(pl.col("row").cast(pl.Int64), *(pl.col(name) for name in REQUIRED))
    shown = written.hstack(broken.select("code", "detail"))
    return shown.select(
        pl.col(name).cast(dtype) if not shown.schema[name].is_nested() else pl.lit("(nested)").alias(name)
        for name, dtype in REJECT_SCHEMA.items()
    )


def _reject_lines(rejects: pl.DataFrame, rows: int, contract: ContractSpec) -> list[tuple[Any, ...]]:
    lines = []
    for code in REJECT_CODES:
        mine = rejects.filter(pl.col("code") == code)
        if mine.height:
            examples = [
                f"row {row['row']}: {row['security_id']}, date_sig {row['date_sig']}, date_avail {row['date_avail']}, "
                f"signal {row['signal']}" + (f" ({row['detail']})" if row["detail"] else "")
                for row in mine.head(contract.shown_rows).iter_rows(named=True)
            ]
            lines.append((code, "reject", mine.height, rows, "rows", _joined(examples), *_CAUSES[code]))
    return lines


def _note_lines(
    typed: pl.DataFrame, good: pl.DataFrame, ignored: list[str], contract: ContractSpec
) -> list[tuple[Any, ...]]:
    by_date = (
        good.group_by("date_sig")
        .agg(pl.len().alias("names"), (pl.col("signal").max() == pl.col("signal").min()).alias("constant"))
        .sort("date_sig")
    )
    missing = (
        typed.filter(pl.col("date_sig").is_not_null())
        .group_by("date_sig")
        .agg((pl.col("signal").is_null() | pl.col("signal").is_nan()).mean().alias("share"), pl.len().alias("names"))
        .filter(pl.col("share") > contract.missing_share)
        .sort("date_sig")
    )
    thin = by_date.filter(pl.col("names") < contract.thin_names)
    constant = by_date.filter(pl.col("constant") & (pl.col("names") > 1))
    found = (
        ("signal_thin_coverage", thin, "{date_sig}: {names} names"),
        ("signal_missing_by_date", missing, "{date_sig}: {share:.0%} of {names} rows"),
        ("signal_constant_date", constant, "{date_sig}: one value for {names} names"),
    )
    lines: list[tuple[Any, ...]] = []
    for code, frame, sentence in found:
        if frame.height:
            examples = [sentence.format(**row) for row in frame.head(contract.shown_rows).iter_rows(named=True)]
            lines.append(
                (
                    code,
                    "note",
                    frame.height,
                    max(by_date.height, frame.height),
                    "dates",
                    _joined(examples),
                    *_CAUSES[code],
                )
            )
    if ignored:
        names = [name[:60] for name in ignored[: contract.shown_rows]]
        total = len(ignored) + len(REQUIRED)
        lines.append(
            (
                "signal_columns_ignored",
                "note",
                len(ignored),
                total,
                "columns",
                _joined(names),
                *_CAUSES["signal_columns_ignored"],
            )
        )
    return lines


def _joined(examples: list[str]) -> str:
    """One example per line, whatever line breaks the file has planted in its values."""
    return "\n".join(" ".join(example.split()) for example in examples)


def _one_value(frame: pl.DataFrame, name: str, where: str) -> str | None:
    if name not in frame.columns or frame.schema[name].is_nested():
        return None
    values = frame[name].cast(pl.String).drop_nulls().str.strip_chars().unique()
    values = values.filter(values != "")
    if values.len() > 1:
        raise SignalNameInvalid(
            f"the column {name!r} holds {values.len()} values, one is needed",
            where=where,
            rows=pl.DataFrame({name: values.sort().head(5)}),
            action="submit one signal per file",
        )
    return values.item() if values.len() else None
