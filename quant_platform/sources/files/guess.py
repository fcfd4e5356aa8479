"""What a folder of bars looks like: layout, separator, header, columns, dates, decimals, out of the files themselves.

A guess is only made where the files decide it: a date format must fit every date that was looked at, and where two fit
(day and month exchanged) the one whose dates are sessions. A number tells its decimal sign by any value that can be
read in one way only; where none can (12,345 throughout), the reading that is taken and the other one are both said.
What no file can say (whether prices are adjusted) is not guessed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import polars as pl

from quant_platform.contracts.errors import SourceMalformed, SourceNotFound
from quant_platform.market.calendar import calendar
from quant_platform.sources.files.dates import to_dates
from quant_platform.sources.files.text import LINE, parse_csv, plain_text, unpacked, yfinance_header
from quant_platform.specification.sources import DATE_NUMBERS, PRICE_COLUMNS, TextTable

_TEXT = (".csv", ".txt", ".tsv", ".csv.gz", ".txt.gz", ".csv.bz2", ".csv.xz", ".csv.zip", ".txt.zip")
_DATA = (*_TEXT, ".parquet")
_SEPARATORS = (",", ";", "\t", "|")
_LOOKED_AT = 2000

_NAMES: dict[str, tuple[str, ...]] = {
    # A PERMNO stays with its company; the ticker beside it may have been another's.
    "ticker": ("permno", "ticker", "symbol", "ric", "isin", "instrument", "code", "act_symbol", "secid"),
    "session": (
        *("date", "dates", "session", "day", "timestamp", "datetime", "time", "datum", "dt", "index", "window_start"),
        *("t", "price", "unnamed: 0", ""),
    ),
    "open": ("open", "o", "openprc", "px_open", "open_price", "first", "eröffnung", "erster"),
    "high": ("high", "h", "askhi", "px_high", "high_price", "hoch", "tageshoch"),
    "low": ("low", "l", "bidlo", "px_low", "low_price", "tief", "tagestief"),
    "close": ("close", "c", "close/last", "last", "prc", "px_last", "close_price", "schluss", "schlusskurs", "price"),
    # Where a German file has both, Stück are shares and Volumen is money.
    "volume": (
        *("volume", "vol", "vol.", "v", "px_volume", "shares", "stück", "stücke", "stuecke", "stueck", "volumen"),
        "turnover",
    ),
}
_MAY_BE_MONEY = ("volumen", "turnover")
# Of a file of several names, where a company's name could stand as well.
_NAME_COLUMNS = ("name", "stock", "security", "company", "asset")
_SPLITS = (
    *("stock splits", "stock_splits", "split", "splits", "splitfactor", "split_factor", "split factor", "split ratio"),
    *("split_coefficient", "split coefficient", "splitcoefficient", "split_ratio"),
)
_DIVIDENDS = (
    *("dividends", "dividend", "divcash", "cash_dividend", "div_cash", "ex-dividend", "cash dividend"),
    *("dividend_amount", "dividend amount", "dividendamount"),
)
_NUMBER = r"(\d[\d.,]*|[.,]\d+)"
_ADJUSTS = re.compile(r"adj|split|divid|cfac|facpr|factor")
_FORMATS = (
    "%Y-%m-%d",
    "%Y%m%d",
    "%d.%m.%Y",
    "%d.%m.%y",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%m/%d/%y",
    "%d/%m/%y",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%Y-%d-%m",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%d %b %Y",
    "%a, %d %b %Y",
    "%d%m%Y",
    "%m%d%Y",
    "%y%m%d",
)
_CLOCKS = ("", " %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p")
_BETWEEN_THOUSANDS = {"'": "'", " ": "[ \u00a0\u202f\u2009]", "_": "_"}


@dataclass(frozen=True)
class Guess:
    """What a folder holds.

    Attributes
    ----------
    layout
        ``file_per_ticker`` or ``long_file``.
    path
        The pattern or path of ``bars.path``.
    columns
        Our name to the vendor's.
    style
        Keys of the section ``bars`` that differ from their defaults.
    split, dividend
        Columns of corporate actions beside the bars.
    actions
        A file that looks like corporate actions, relative to the folder.
    files
        How many files of bars there are.
    open_questions
        What the files do not decide, in words.
    """

    layout: str
    path: str
    columns: dict[str, str]
    style: dict[str, object]
    split: str | None = None
    dividend: str | None = None
    actions: str | None = None
    files: int = 1
    open_questions: tuple[str, ...] = field(default=())


def guess_folder(folder: Path, exchange: str) -> Guess:
    """Look at a folder and say how a source spec would read it.

    Raises
    ------
    SourceNotFound
        When it holds no CSV or Parquet file.
    SourceMalformed
        When the first file has no columns that could be a date and prices, or dates in no known format.
    """
    found = _data_files(folder)
    actions = next((path for path in found if re.search(r"action|split|dividend", path.name, re.I)), None)
    bars = [
        path for path in found if path != actions and not re.search(r"member|constituent|fundament", path.name, re.I)
    ]
    if not bars:
        raise SourceNotFound(
            "the folder holds no table of bars",
            where=str(folder),
            cause=f"none of its files ends with {', '.join(_DATA)}",
            action="give the folder that holds the files",
        )
    groups = Counter((path.parent, _suffix(path)) for path in bars)
    (parent, suffix), count = groups.most_common(1)[0]
    members = sorted(path for path in bars if (path.parent, _suffix(path)) == (parent, suffix))
    first = members[0]
    frame, style = _read(first, suffix)
    columns = _columns(frame)
    per_ticker = count > 1 or "ticker" not in columns
    if per_ticker:
        columns.pop("ticker", None)
    needed = [name for name in ("session", *PRICE_COLUMNS) if name not in columns]
    if needed:
        raise SourceMalformed(
            f"no column looks like {', '.join(needed)}",
            where=str(first),
            cause=f"its columns are {', '.join(name for name in frame.columns if name != LINE)}",
            action="copy specs/sources/csv_folder.yaml and write the names yourself",
        )
    questions: list[str] = []
    style |= _numbers_written(frame, columns, style, questions)
    style |= _dates_written(frame, columns["session"], exchange, str(first), questions)
    relative = parent.relative_to(folder).as_posix()
    name = _pattern([path.name for path in members], suffix) if per_ticker else first.name
    plain = {_bare(text): text for text in frame.columns}
    split = next((plain[text] for text in _SPLITS if text in plain), None)
    dividend = next((plain[text] for text in _DIVIDENDS if text in plain), None)
    questions += _said_of(frame, columns, (split, dividend))
    return Guess(
        layout="file_per_ticker" if per_ticker else "long_file",
        path=name if relative == "." else f"{relative}/{name}",
        columns=columns,
        style=style,
        split=split,
        dividend=dividend,
        actions=None if actions is None else actions.relative_to(folder).as_posix(),
        files=count,
        open_questions=tuple(questions),
    )


def _data_files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path.name.lower().endswith(_DATA) and not path.name.startswith(".")
    )


def _suffix(path: Path) -> str:
    return next((suffix for suffix in sorted(_DATA, key=len, reverse=True) if path.name.lower().endswith(suffix)), "")


def _pattern(names: Sequence[str], suffix: str) -> str:
    """File names with the part that changes as ``*``; what all share belongs to the pattern up to a sign of its own."""
    if len(names) == 1:
        return f"*{suffix}"
    stems = [name[: len(name) - len(suffix)] for name in names]
    head = re.sub(r"[^_\-. ]*$", "", _shared_start(stems))
    tails = _shared_start([stem[::-1] for stem in stems])[::-1]
    mark = re.search(r"[_\-. ]", tails)
    return f"{head}*{tails[mark.start() :] if mark else ''}{suffix}"


def _shared_start(texts: Sequence[str]) -> str:
    """The characters with which all texts begin."""
    low, high = min(texts), max(texts)
    same = next((k for k, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))
    return low[:same]


def _read(path: Path, suffix: str) -> tuple[pl.DataFrame, dict[str, object]]:
    """The first rows of a file, and how it is written."""
    if suffix == ".parquet":
        try:
            return pl.scan_parquet(path).head(_LOOKED_AT).collect(), {}
        except (pl.exceptions.PolarsError, OSError) as error:
            raise SourceMalformed(
                f"the file is not readable Parquet: {str(error).splitlines()[0]}", where=str(path)
            ) from error
    content = unpacked(path)
    style: dict[str, object] = {}
    text = _decoded(content, style)
    if "\n" not in text:
        text = text.replace("\r", "\n")
    lines = [line for line in text.splitlines()[:50] if line.strip()]
    if lines and lines[0].lower().startswith("sep="):
        lines = lines[1:]
    separator = max(_SEPARATORS, key=lambda sign: min((line.count(sign) for line in lines[-20:]), default=0))
    if separator != ",":
        style["separator"] = separator
    _, tickers = yfinance_header([line.encode() for line in lines[:3]], separator)
    header = 0 if tickers else next((k for k, line in enumerate(lines[:20]) if _is_header(line.split(separator))), 0)
    if header:
        style["header_line"] = text.splitlines().index(lines[header]) + 1
    kept = "\n".join(text.splitlines()[: _LOOKED_AT + 20])
    table = parse_csv(kept.encode(), str(path), TextTable.model_validate(style | {"encoding": "utf-8"}))
    return table.frame, style


def _decoded(content: bytes, style: dict[str, object]) -> str:
    for encoding in ("utf-8-sig", "utf-16", "cp1252", "latin-1"):
        if encoding == "utf-16" and content[:2] not in (b"\xff\xfe", b"\xfe\xff"):
            continue
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding not in ("utf-8-sig", "utf-16"):
            style["encoding"] = encoding
        return text
    return content.decode("latin-1")


def _is_header(fields: Sequence[str]) -> bool:
    plain = {_bare(text) for text in fields}
    return sum(bool(plain & set(names)) for names in _NAMES.values()) >= 3


def _bare(text: str) -> str:
    return re.sub(r"^\d+\. ", "", text.strip().strip('"<>').strip().lower())


def _columns(frame: pl.DataFrame) -> dict[str, str]:
    """Our names to the vendor's; a file of closes alone gives its close to every price."""
    plain = {_bare(name): name for name in reversed(frame.columns) if name != LINE}
    found: dict[str, str] = {}
    for ours, names in _NAMES.items():
        chosen = next((plain[name] for name in names if name in plain and plain[name] not in found.values()), None)
        if chosen is not None:
            found[ours] = chosen
    if "close" in found:
        for price in ("open", "high", "low"):
            found.setdefault(price, found["close"])
    named = next((plain[name] for name in _NAME_COLUMNS if name in plain), None)
    if "ticker" not in found and named is not None and "session" in found:
        # Where a date stands more than once, something else tells the rows apart.
        dates = frame[found["session"]]
        if dates.n_unique() < dates.len() and not frame.select(found["session"], named).is_duplicated().any():
            found["ticker"] = named
    return found


def _said_of(frame: pl.DataFrame, columns: dict[str, str], taken: Sequence[str | None]) -> list[str]:
    """What a person should look at: a volume that may be money, adjustments that are not read, negative prices."""
    said = []
    if _bare(columns["volume"]) in _MAY_BE_MONEY:
        said.append(f"{columns['volume']!r} is read as shares: is it money?")
    spare = [name for name in frame.columns if name not in (LINE, *columns.values(), *taken)]
    adjusting = [name for name in spare if _ADJUSTS.search(_bare(name))]
    if adjusting:
        said.append(
            f"not read, and perhaps they say how prices are adjusted: {', '.join(adjusting)}; prices are those of "
            f"{columns['close']!r}"
        )
    below = frame[columns["close"]].cast(pl.String).str.strip_chars().str.starts_with("-").sum()
    if below:
        said.append(
            f"{below} closes are below zero: CRSP marks so the middle of bid and ask of a day without a trade, and "
            "such rows are kept out"
        )
    return said


def _numbers_written(
    frame: pl.DataFrame, columns: dict[str, str], style: dict[str, object], questions: list[str]
) -> dict[str, object]:
    prices = [columns[name] for name in ("open", "high", "low", "close")]
    texts = [frame[name] for name in dict.fromkeys([*prices, columns["volume"]]) if frame[name].dtype == pl.String]
    if not texts:
        return {}
    text = pl.concat([series.alias("x") for series in texts]).drop_nulls().str.strip_chars()
    found: dict[str, object] = {}
    signs = "".join(sorted({sign for sign in "$\u20ac\u00a3\u00a5" if text.str.contains(sign, literal=True).any()}))
    if signs:
        found["number_signs"] = signs
    for sign, written in _BETWEEN_THOUSANDS.items():
        if text.str.contains(rf"\d{written}\d{{3}}([{sign}.,]|\D|$)").any():
            found["thousands"] = sign
            text = text.str.replace_all(written, "")
    number = text.str.extract(_NUMBER, 1).drop_nulls()
    shares = frame[columns["volume"]]
    whole = shares.drop_nulls().str.strip_chars() if shares.dtype == pl.String else pl.Series([], dtype=pl.String)
    decimal = _decimal_sign(number, whole.filter(whole.str.contains(r"\d$")).str.extract(_NUMBER, 1).drop_nulls())
    if decimal is None:
        # Every number with a sign has three digits behind it. Where fields are separated by something else than a
        # comma, people write decimals with one.
        comma = number.str.contains(",", literal=True).any()
        decimal = "," if comma and style.get("separator", ",") != "," else "."
        shown = number.filter(number.str.contains(r"[.,]"))
        if shown.len():
            read = float(str(shown[0]).replace(",", "." if decimal == "," else ""))
            other = float(re.sub(r"[.,]", "", str(shown[0]))) if decimal in str(shown[0]) else read / 1000.0
            questions.append(f"{shown[0]} is read as {read:g}; if it is {other:g}, correct decimal and thousands")
    if decimal == ",":
        found["decimal"] = ","
    between = "." if decimal == "," else ","
    if number.str.contains(between, literal=True).any():
        found["thousands"] = between
    return found


def _decimal_sign(number: pl.Series, shares: pl.Series) -> str | None:
    """The decimal sign of numbers, by those that can be read in one way only; None where there are none.

    ``1.234,5``: the last of two. ``1.234.567``: what repeats stands between thousands. ``0,345``, ``1234,567``,
    ``12,34``: what has no three digits behind it, or no one to three before it, is no sign of thousands. ``545.800``
    shares are whole, so that the sign is one of thousands.
    """
    votes = {}
    for sign, other in ((".", ","), (",", ".")):
        dot, comma = re.escape(sign), re.escape(other)
        last_of_two = number.str.contains(rf"{comma}.*{dot}\d*$")
        other_repeats = number.str.contains(rf"{comma}\d+{comma}") & ~number.str.contains(rf"{dot}.*{comma}")
        single = number.str.contains(rf"^\d*{dot}\d*$")
        thousands = number.str.contains(rf"^[1-9]\d{{0,2}}{dot}\d{{3}}$")
        votes[sign] = int((last_of_two | other_repeats | (single & ~thousands)).sum())
        votes[sign] += int(shares.str.contains(rf"^[1-9]\d{{0,2}}{comma}\d{{3}}$").sum())
    if not any(votes.values()):
        return None if number.str.contains(r"[.,]").any() else "."
    return max(votes, key=lambda sign: votes[sign])


def _dates_written(
    frame: pl.DataFrame, column: str, exchange: str, where: str, questions: list[str]
) -> dict[str, object]:
    raw = frame[column]
    if raw.dtype.is_temporal():
        return {}
    text = plain_text(raw.cast(pl.String), TextTable()).drop_nulls()
    sample = text.to_frame("date")
    if text.str.contains(r"^[+-]?\d+(\.0*)?([eE]\+?\d+)?$").all():
        tried = [*DATE_NUMBERS, *(pattern for pattern in _FORMATS if re.fullmatch(r"(%[a-zA-Z])+", pattern))]
    else:
        timed = text.str.contains(":", literal=True).any()
        # ISO 8601 is read by the plain format, with its time as without.
        tried = ["%Y-%m-%d", *(form + clock for form in _FORMATS for clock in _CLOCKS if (":" in clock) == timed)]
    fitting = []
    for pattern in dict.fromkeys(tried):
        dates = _read_as(sample, pattern, exchange)
        if dates is not None and (pattern not in DATE_NUMBERS or _sessions_among(dates, exchange) > 0.5):
            fitting.append((pattern, _sessions_among(dates, exchange)))
    if not fitting:
        raise _unknown_dates(text, where, column)
    best = max(fitting, key=lambda item: item[1])
    rivals = [pattern for pattern, share in fitting if pattern != best[0] and share >= best[1] - 0.05]
    if rivals:
        questions.append(f"the dates also read as {', '.join(rivals)}: look at the first rows and choose")
    return {} if best[0] == "%Y-%m-%d" else {"date_format": best[0]}


def _read_as(sample: pl.DataFrame, pattern: str, exchange: str) -> pl.Series | None:
    """The dates as an import would read them with a format; None where it would refuse them.

    Nor where they fall together: counted in too small a unit, every date is the first of 1970.
    """
    try:
        dates = to_dates(sample, "date", "", TextTable(date_format=pattern), exchange=exchange)["date"]
    except SourceMalformed:
        return None
    return dates if dates.n_unique() > 0.9 * sample["date"].n_unique() else None


def _unknown_dates(text: pl.Series, where: str, column: str) -> SourceMalformed:
    """The error for dates that no format fits, with those that the nearest one leaves over."""
    nearest = max(_FORMATS, key=lambda pattern: text.str.to_date(pattern, strict=False).count())
    parsed = text.str.to_date(nearest, strict=False)
    left = text.filter(parsed.is_null())
    most = parsed.count() > 0.5 * text.len()
    return SourceMalformed(
        f"most dates are {nearest!r}, and some are not" if most else "the dates have no known format",
        where=f"{where}, column {column!r}",
        how_many=f"{left.len()} of {text.len()} rows looked at" if most else "",
        rows=[{"value": value} for value in left.head(3)],
        cause="a line of the vendor below the data, or rows of another file" if most else "",
        action="remove these rows" if most else "copy specs/sources/csv_folder.yaml and write date_format yourself",
    )


def _sessions_among(dates: pl.Series, exchange: str) -> float:
    """Share of dates that are sessions of the exchange and not in the future."""
    days = pl.Series(calendar(exchange).days).cast(pl.Date)
    past = dates <= date.today()
    good = dates.is_in(days.implode()) & past
    return int(good.sum()) / max(1, good.len())
