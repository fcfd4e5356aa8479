"""Cross-sections ranked once, and what follows from ranks: ICs at any shift, groups, autocorrelation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quant_platform.labs.suite.kernels import group_rows, shifted_ic_rows
from quant_platform.statistics.row_kernels import average_rank_rows

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int16]
Bools = npt.NDArray[np.bool_]


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
        n = np.maximum(self.counts, 1)[:, np.newaxis]
        result: Floats = np.where(self.doubled > 0, (0.5 * self.doubled - 0.5 * (n + 1)) / n, np.nan)
        return result


def rank_panel(values: Floats, mask: Bools | None = None) -> Ranked:
    """Rank each date of a panel ``[T, N]`` over its mask; NaN has no rank, ties share theirs."""
    panel = np.require(values, np.float64, ["C", "W"])
    allowed = np.ones(panel.shape, dtype=np.bool_) if mask is None else np.require(mask, np.bool_, ["C", "W"])
    ranks = np.empty(panel.shape)
    counts = np.empty(panel.shape[0], dtype=np.int64)
    average_rank_rows(panel, allowed, ranks, counts)
    # The lowest rank is 2 when doubled: 0 says that there is none.
    return Ranked(np.where(np.isnan(ranks), 0.0, 2.0 * ranks).astype(np.int32), counts)


def shifted_ic(signal: Ranked, returns: Ranked, shift: int, *, min_names: int) -> Floats:
    """Rank IC of each date with the returns ``shift`` rows later, ``[T]``, NaN where there is none.

    A pair counts if the name has a rank on both sides; where some have only one, both sides are ranked again within
    the pairs, so that the result is Spearman's correlation of the pairs.
    """
    ic = np.empty(signal.doubled.shape[0])
    shifted_ic_rows(signal.doubled, signal.counts, returns.doubled, returns.counts, shift, min_names, ic)
    return ic
