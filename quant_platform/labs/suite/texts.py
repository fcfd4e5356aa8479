"""Days and numbers of a submitted column, whatever type the file gave it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

# Numbers of the day, year first or with dots: month and day cannot be confused in these.
_DATE_FORMATS = ("%Y-%m-%d", "%Y%m%d", "%Y/%m/%d", "%d.%m.%Y")
_MISSING_TEXTS = ("", "na", "nan", "n/a", "null", "none", "nil", "#n/a", "-")


def dates_of(series: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Days of a column, null where there is none, and where something stood that is no day."""
    if series.dtype == pl.Date:
        return series, pl.Series(np.zeros(len(series), dtype=np.bool_))
    if isinstance(series.dtype, pl.Datetime):
        # A time of day has a time zone that nobody stated; the hour belongs into avail_hour.
        timed = (series.dt.truncate("1d") != series).fill_null(False)
        return series.dt.date().set(timed, None), timed
    if series.dtype.is_integer():
        return dates_of(series.cast(pl.String))
    if series.dtype not in (pl.String, pl.Null) and not isinstance(series.dtype, (pl.Categorical, pl.Enum)):
        return pl.Series([None] * len(series), dtype=pl.Date), series.is_not_null()
    text = series.cast(pl.String)
    return _read(text, text.str.to_date(_DATE_FORMATS[0], strict=False, exact=True), _dates_of_texts)


def _read(
    text: pl.Series, found: pl.Series, read: Callable[[pl.Series], tuple[pl.Series, pl.Series]]
) -> tuple[pl.Series, pl.Series]:
    """Values of texts and whether one could not be read: ``found`` where it has one, else what ``read`` says.

    Nearly every text of a file is read by the first attempt, so that what else a text may be is asked of few.
    """
    open_texts = found.is_null() & text.is_not_null()
    if found.dtype.is_float():
        open_texts = open_texts | found.is_nan().fill_null(value=False)
    places = open_texts.arg_true()
    if not places.len():
        return found, pl.Series(np.zeros(text.len(), dtype=np.bool_))
    values, bad = read(text.gather(places))
    all_bad = np.zeros(text.len(), dtype=np.bool_)
    all_bad[places.to_numpy()] = bad.to_numpy()
    return found.scatter(places, values), pl.Series(all_bad)


def _dates_of_texts(texts: pl.Series) -> tuple[pl.Series, pl.Series]:
    text = texts.str.strip_chars()
    absent = text.is_null() | text.str.to_lowercase().is_in(_MISSING_TEXTS)
    frame = pl.DataFrame({"text": text.str.strip_suffix("T00:00:00").str.strip_suffix(" 00:00:00")})
    parsed = frame.select(
        pl.coalesce(pl.col("text").str.to_date(format, strict=False, exact=True) for format in _DATE_FORMATS)
    ).to_series()
    return parsed, parsed.is_null() & ~absent


def numbers_of(series: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Numbers of a column, null where there is none, and where something stood that is no number."""
    if series.dtype.is_numeric():
        return series.cast(pl.Float64), pl.Series(np.zeros(len(series), dtype=np.bool_))
    if series.dtype not in (pl.String, pl.Null) and not isinstance(series.dtype, (pl.Categorical, pl.Enum)):
        return pl.Series([None] * len(series), dtype=pl.Float64), series.is_not_null()
    text = series.cast(pl.String)
    return _read(text, text.cast(pl.Float64, strict=False), _numbers_of_texts)


def _numbers_of_texts(texts: pl.Series) -> tuple[pl.Series, pl.Series]:
    text = texts.str.strip_chars()
    absent = text.is_null() | text.str.to_lowercase().is_in(_MISSING_TEXTS)
    found = text.cast(pl.Float64, strict=False)
    return found.set(absent, None), found.is_null() & ~absent


def stripped(text: pl.Series) -> pl.Series:
    """Texts without white space around them; where none has any, the texts themselves."""
    names = text.unique()
    return text.str.strip_chars() if (names.str.strip_chars() != names).any() else text
