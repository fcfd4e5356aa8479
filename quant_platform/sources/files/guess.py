"""What a folder of bars looks like: layout, separator, header, columns, dates, decimals, out of the files themselves.

A guess is only made where the files decide it: a date format must fit every date that was looked at, and where two fit
(day and month exchanged) the one whose dates are sessions. What no file can say (whether prices are adjusted) is not
guessed.
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
from quant_platform.sources.files.text import LINE, parse_csv, plain_text, unpacked
from quant_platform.specification.sources import PRICE_COLUMNS, TextTable

_TEXT = (".csv", ".txt", ".tsv", ".csv.gz", ".txt.gz", ".csv.bz2", ".csv.xz")
_DATA = (*_TEXT, ".parquet")
_SEPARATORS = (",", ";", "\t", "|")
_LOOKED_AT = 2000

_NAMES: dict[str, tuple[str, ...]] = {
    "ticker": ("ticker", "symbol", "permno", "ric", "isin", "instrument", "code", "act_symbol", "secid"),
    "session": ("date", "session", "day", "timestamp", "datetime", "time", "datum", "dt", "index", "price"),
    "open": ("open", "o", "openprc", "px_open", "open_price", "first", "eröffnung", "erster"),
    "high": ("high", "h", "askhi", "px_high", "high_price", "hoch", "tageshoch"),
    "low": ("low", "l", "bidlo", "px_low", "low_price", "tief", "tagestief"),
    "close": ("close", "c", "close/last", "last", "prc", "px_last", "close_price", "schluss", "schlusskurs", "price"),
    "volume": ("volume", "vol", "vol.", "v", "px_volume", "shares", "volumen", "stück", "turnover"),
}
_SPLITS = ("stock splits", "split", "splits", "splitfactor", "split_factor", "split ratio")
_DIVIDENDS = ("dividends", "dividend", "divcash", "cash_dividend", "div_cash", "ex-dividend")
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
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%d %b %Y",
)


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
    style |= _numbers_written(frame, columns, style)
    style |= _dates_written(frame, columns["session"], exchange, str(first), questions)
    relative = parent.relative_to(folder).as_posix()
    name = _pattern([path.name for path in members], suffix) if per_ticker else first.name
    plain = {text.strip().lower(): text for text in frame.columns}
    return Guess(
        layout="file_per_ticker" if per_ticker else "long_file",
        path=name if relative == "." else f"{relative}/{name}",
        columns=columns,
        style=style,
        split=next((plain[text] for text in _SPLITS if text in plain), None),
        dividend=next((plain[text] for text in _DIVIDENDS if text in plain), None),
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
    lines = [line for line in text.splitlines()[:50] if line.strip()]
    if lines and lines[0].lower().startswith("sep="):
        lines = lines[1:]
    separator = max(_SEPARATORS, key=lambda sign: min((line.count(sign) for line in lines[-20:]), default=0))
    if separator != ",":
        style["separator"] = separator
    header = next((k for k, line in enumerate(lines[:20]) if _is_header(line.split(separator))), 0)
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
    return text.strip().strip('"<>').strip().lower()


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
    return found


def _numbers_written(frame: pl.DataFrame, columns: dict[str, str], style: dict[str, object]) -> dict[str, object]:
    prices = [columns[name] for name in ("open", "high", "low", "close")]
    texts = [frame[name] for name in dict.fromkeys([*prices, columns["volume"]]) if frame[name].dtype == pl.String]
    if not texts:
        return {}
    text = pl.concat([series.alias("x") for series in texts]).drop_nulls().str.strip_chars()
    found: dict[str, object] = {}
    signs = "".join(sorted({sign for sign in "$\u20ac\u00a3\u00a5" if text.str.contains(sign, literal=True).any()}))
    if signs:
        found["number_signs"] = signs
    comma_last = text.str.contains(r"^\D*\d[\d.' ]*,\d+\D*$") & ~text.str.contains(r"^\D*\d{1,3}(,\d{3})+\D*$")
    if style.get("separator", ",") != "," and comma_last.any():
        found["decimal"] = ","
        for sign in (".", "'", " "):
            if text.str.contains(rf"\d[{sign}]\d{{3}}([{sign},]|$)").any():
                found["thousands"] = sign
        return found
    for sign in (",", "'", " "):
        if text.str.contains(rf"\d[{sign}]\d{{3}}([{sign}.]|\D|$)").any():
            found["thousands"] = sign
    return found


def _dates_written(
    frame: pl.DataFrame, column: str, exchange: str, where: str, questions: list[str]
) -> dict[str, object]:
    raw = frame[column]
    if raw.dtype.is_temporal():
        return {}
    text = plain_text(raw.cast(pl.String), TextTable()).drop_nulls()
    if text.str.contains(r"^\d{4}-\d{2}-\d{2}([T ].*)?$").all():
        return {}
    if text.str.contains(r"^\d{9,19}$").all():
        digits = len(str(text[0]))
        return {"date_format": {9: "epoch_s", 10: "epoch_s", 12: "epoch_ms", 13: "epoch_ms"}.get(digits, "epoch_us")}
    fitting = []
    for pattern in _FORMATS:
        for whole in (pattern, f"{pattern} %H:%M:%S", f"{pattern} %H:%M"):
            parsed = (
                text.str.to_datetime(whole, strict=False) if "%H" in whole else text.str.to_date(whole, strict=False)
            )
            if not parsed.is_null().any() and _year(parsed) >= 1800:
                fitting.append((whole, _sessions_among(parsed.dt.date(), exchange)))
                break
    if not fitting:
        raise SourceMalformed(
            "the dates have no known format",
            where=f"{where}, column {column!r}",
            rows=[{"value": value} for value in text.head(3)],
            action="copy specs/sources/csv_folder.yaml and write date_format yourself",
        )
    best = max(fitting, key=lambda item: item[1])
    rivals = [pattern for pattern, share in fitting if pattern != best[0] and share >= best[1] - 0.05]
    if rivals:
        questions.append(f"the dates also read as {', '.join(rivals)}: look at the first rows and choose")
    return {} if best[0] == "%Y-%m-%d" else {"date_format": best[0]}


def _year(parsed: pl.Series) -> int:
    first = parsed.min()
    return first.year if isinstance(first, date) else 0


def _sessions_among(dates: pl.Series, exchange: str) -> float:
    """Share of dates that are sessions of the exchange and not in the future."""
    days = pl.Series(calendar(exchange).days).cast(pl.Date)
    past = dates <= date.today()
    good = dates.is_in(days.implode()) & past
    return int(good.sum()) / max(1, good.len())
