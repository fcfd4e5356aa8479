"""Errors a vendor might make, planted as the spec counts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from quant_platform.contracts.errors import SpecError
from quant_platform.specification.sources import VendorErrorKind, VendorErrors

_PRICES = ("open", "high", "low", "close")

# A planted error keeps away from both ends: the first bars of a name have no past to be judged by, and a shifted row
# needs later ones to be told from a crash.
_MARGIN_BARS = 10


@dataclass(frozen=True)
class PlantedError:
    """One error at one bar of one name, both counted from 0."""

    kind: VendorErrorKind
    name: int
    bar: int


def plan(
    errors: tuple[VendorErrors, ...], lengths: Sequence[int], random: np.random.Generator
) -> tuple[PlantedError, ...]:
    """Choose a bar and a name of its own for each error.

    Raises
    ------
    SpecError
        When there are more errors than names with enough bars.
    """
    kinds = [each.kind for each in errors for _ in range(each.count)]
    possible = np.flatnonzero(np.asarray(lengths) > 2 * _MARGIN_BARS)
    if len(kinds) > len(possible):
        raise SpecError(
            f"{len(kinds)} vendor errors are to be planted, each in another name",
            where="simulated.vendor_errors in the source spec",
            how_many=f"{len(possible)} of {len(lengths)} names have more than {2 * _MARGIN_BARS} bars",
            action="plant fewer, or simulate more names",
        )
    names = random.permutation(possible)[: len(kinds)]
    bars = [int(random.integers(_MARGIN_BARS, lengths[name] - _MARGIN_BARS)) for name in names]
    return tuple(PlantedError(kind, int(name), bar) for kind, name, bar in zip(kinds, names, bars, strict=True))


def spoil(bars: pl.DataFrame, error: PlantedError) -> pl.DataFrame:
    """Plant one error into the bars of its name; the frame is sorted by session."""
    before, row, after = bars[: error.bar], bars[error.bar : error.bar + 1], bars[error.bar + 1 :]
    if error.kind == "missing_session":
        return pl.concat([before, after])
    if error.kind == "duplicate_row":
        return pl.concat([before, row, row, after])
    if error.kind == "decimal_shift":
        spoilt = row.with_columns(pl.col("close") / 10)
    elif error.kind == "decimal_shift_row":
        spoilt = row.with_columns(pl.col(name) * 10 for name in _PRICES)
    elif error.kind == "non_positive":
        spoilt = row.with_columns(pl.lit(0.0).alias("open"))
    elif error.kind == "ohlc_inconsistent":
        spoilt = row.with_columns((pl.col("low") * 0.99).alias("high"))
    else:
        spoilt = before[-1:].with_columns(pl.lit(row["session"][0], dtype=pl.Date).alias("session"))
    return pl.concat([before, spoilt, after])
