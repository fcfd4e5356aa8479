"""Rows in the order of a key, told and made by integers: comparing texts costs most of what sorting a table costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.contracts.columns import is_constant

# Below this an expression costs more than Polars' own sort.
_FEW_ROWS = 50_000
# Texts that hardly repeat are sorted as texts.
_ROWS_PER_TEXT = 4


def strictly_ascending(frame: pl.DataFrame, keys: Sequence[str]) -> bool:
    """Whether every row comes after the one before it by the key: the frame is sorted, and no key occurs twice.

    Parameters
    ----------
    frame
        Any rows.
    keys
        Columns of the key, the first decides first.

    Returns
    -------
    bool
        False also where a key is missing, or has a type whose order is not that of its values.
    """
    if not keys or any(isinstance(frame.schema[name], pl.Categorical) for name in keys):
        return False
    if frame.height < 2:
        return True
    found = _ascending_numbers(frame, keys)
    if found is not None:
        return found
    pairs = [(pl.col(name).slice(1), pl.col(name).slice(0, pl.len() - 1)) for name in reversed(keys)]
    later, earlier = pairs[0]
    after = later > earlier
    for here, before in pairs[1:]:
        after = (here > before) | ((here == before) & after)
    return frame.select(after.fill_null(value=False).all()).item() is True


def surely_ascending(frame: pl.DataFrame, keys: Sequence[str]) -> bool:
    """Whether `strictly_ascending` for certain; few rows with texts that differ are not asked, but sorted sooner."""
    if frame.height >= _FEW_ROWS:
        return strictly_ascending(frame, keys)
    return frame.height < 2 or (bool(keys) and _ascending_numbers(frame, keys) is True)


def _ascending_numbers(frame: pl.DataFrame, keys: Sequence[str]) -> bool | None:
    """The same told by arrays, which costs a small frame a tenth; None where a key needs an expression."""
    ties: npt.NDArray[np.bool_] | None = None
    for name in keys:
        values = _numbers(frame[name])
        if values is None:
            if is_constant(frame[name]):
                continue
            return None
        later, earlier = values[1:], values[:-1]
        falls = later < earlier
        if (falls if ties is None else falls & ties).any():
            return False
        same = later == earlier
        ties = same if ties is None else ties & same
    return ties is not None and not ties.any()


def _numbers(series: pl.Series) -> npt.NDArray[np.int64] | None:
    """Integers in the order of the values, without a copy where they are stored so; None for other types or nulls."""
    if series.null_count():
        return None
    if isinstance(series.dtype, pl.Enum):
        return series.to_physical().to_numpy()
    if series.dtype.is_integer():
        return series.to_numpy()
    if series.dtype == pl.Date or isinstance(series.dtype, pl.Datetime):
        return series.to_numpy().view(np.int64)
    return None


def sorted_by(frame: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """``frame.sort(keys)``; rows of equal keys keep their order.

    Parameters
    ----------
    frame
        Any rows.
    keys
        Columns of the key, the first decides first.

    Notes
    -----
    One that is in order is returned as it is. A large frame is sorted by the places of its texts and days among each
    other, key by key from the last, each pass stable. **Missing values** are left to Polars, which puts them first.
    """
    if surely_ascending(frame, keys):
        return frame
    if frame.height < _FEW_ROWS:
        return frame.sort(keys, maintain_order=True)
    order: npt.NDArray[np.int64] | None = None
    for name in reversed(keys):
        if is_constant(frame[name]):
            continue
        codes = _codes(frame[name])
        if codes is None:
            return frame.sort(keys, maintain_order=True)
        if order is not None:
            codes = codes[order]
        if (codes[1:] >= codes[:-1]).all():
            continue
        places = np.argsort(codes, kind="stable")
        order = places if order is None else order[places]
    return frame if order is None else frame[order]


def _codes(series: pl.Series) -> npt.NDArray[np.uint16] | npt.NDArray[np.int64] | None:
    """Integers in the order of the values, of 16 bits where they fit, which NumPy sorts in linear time."""
    if series.null_count():
        return None
    if series.dtype == pl.String:
        texts = series.unique()
        if texts.len() * _ROWS_PER_TEXT > series.len():
            return None
        values = series.cast(pl.Enum(texts.sort())).to_physical().to_numpy().astype(np.int64)
    elif series.dtype.is_integer() or series.dtype == pl.Date or isinstance(series.dtype, pl.Enum):
        values = series.to_physical().to_numpy().astype(np.int64)
    else:
        return None
    values -= values.min(initial=0)
    return values.astype(np.uint16) if values.max(initial=0) < 2**16 else values
