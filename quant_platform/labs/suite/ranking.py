"""Cross-sections ranked once, and what follows from ranks: ICs at any shift, groups, autocorrelation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quant_platform.labs.suite.kernels import centred_rank_rows, group_rows, rank_again_rows, shifted_ic_rows
from quant_platform.statistics.row_kernels import doubled_rank_rows

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int16]
Bools = npt.NDArray[np.bool_]

# Numbers of a block of rows: 256 KiB of float64.
_BLOCK = 2**15


@dataclass(frozen=True)
class Ranked:
    """A panel's doubled average ranks by date.

    Attributes
    ----------
    doubled
        ``[T, N]`` int32, twice the average rank; 0 where a name has none.
    counts
        ``[T]`` names ranked.
    """

    doubled: Ints
    counts: Longs

    def groups(self, percentiles: Sequence[float]) -> Codes:
        """Return the group of each name between percentiles of its date, 0 lowest, -1 without a rank."""
        groups = np.empty(self.doubled.shape, dtype=np.int16)
        milli = np.array([round(value * 1000) for value in percentiles], dtype=np.int64)
        group_rows(self.doubled, self.counts, milli, groups)
        return groups

    def centred(self) -> Floats:
        """Return ranks as numbers between -1/2 and 1/2, NaN without a rank."""
        centred = np.empty(self.doubled.shape)
        centred_rank_rows(self.doubled, self.counts, centred)
        return centred

    def rows(self, some: slice) -> Ranked:
        """Return some rows, as views."""
        return Ranked(self.doubled[some], self.counts[some])

    def among(self, kept: Bools) -> Ranked:
        """Return the ranks of the names of a mask among themselves; nothing is sorted again."""
        again = Ranked(np.empty_like(self.doubled), np.empty_like(self.counts))
        rank_again_rows(self.doubled, kept, again.doubled, again.counts)
        return again


def rank_panel(values: Floats, mask: Bools | None = None) -> Ranked:
    """Rank each date of a panel ``[T, N]`` over its mask; NaN has no rank, ties share theirs."""
    panel = np.require(values, np.float64, ["C", "W"])
    allowed = np.ones(panel.shape, dtype=np.bool_) if mask is None else np.require(mask, np.bool_, ["C", "W"])
    ranked = Ranked(np.empty(panel.shape, dtype=np.int32), np.empty(panel.shape[0], dtype=np.int64))
    doubled_rank_rows(panel, allowed, ranked.doubled, ranked.counts)
    return ranked


def shifted_ics(signal: Ranked, returns: Ranked, shifts: Sequence[int], *, min_names: int) -> Floats:
    """Rank ICs of each date with the returns so many rows later, ``[K, T]`` for K shifts, NaN where there is none.

    A pair counts if the name has a rank on both sides; where some have only one, both sides are ranked again within
    the pairs, so that the result is Spearman's correlation of the pairs.
    """
    ic = np.empty((len(shifts), signal.doubled.shape[0]))
    later = np.array(shifts, dtype=np.int64)
    shifted_ic_rows(signal.doubled, signal.counts, returns.doubled, returns.counts, later, min_names, ic)
    return ic


def shifted_ic(signal: Ranked, returns: Ranked, shift: int, *, min_names: int) -> Floats:
    """Return :func:`shifted_ics` of one shift, ``[T]``."""
    ic: Floats = shifted_ics(signal, returns, [shift], min_names=min_names)[0]
    return ic


def row_blocks(dates: int, names: int) -> Iterator[slice]:
    """Blocks of rows whose numbers stay in the processor's cache while several passes go over them."""
    step = max(1, _BLOCK // max(names, 1))
    for first in range(0, dates, step):
        yield slice(first, min(first + step, dates))
