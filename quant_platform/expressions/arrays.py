"""Arrays to compute in, taken again as soon as they are given back.

A pass makes a thousand columns and keeps a fifth of them. Memory that is new to the process costs more than the
arithmetic that fills it: the system clears it page by page at its first touch, and no cache holds it. So what is given
back is taken next, the last one first, and new arrays are cut from blocks of which the system's large pages cover
nearly all.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

# What lies before the first large page of a block and behind its last one is cleared in hundreds of small ones, each
# with an interrupt of its own; in a block of this size that is one page in sixteen. What is not touched costs nothing.
_BLOCK_BYTES = 2**25
_MOST = 64  # arrays to a block, where they are short
_LINE = 8  # numbers to a line of the cache: each array begins on one of its own


class Arrays:
    """Arrays of float64 of one length, for one thread.

    Parameters
    ----------
    rows
        Length of each, in bars.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._given: list[Numbers] = []
        self._new: list[Numbers] = []

    def take(self) -> Numbers:
        """An array of any content, shape (bars,)."""
        return self._given.pop() if self._given else self._cut()

    def zeros(self) -> Numbers:
        """An array of zeros, shape (bars,)."""
        if not self._given:
            return self._cut()
        array = self._given.pop()
        array.fill(0.0)
        return array

    def give(self, array: Numbers) -> None:
        """Return an array that nobody reads any more; one that cannot be written into is left alone."""
        if array.flags.writeable and array.flags.c_contiguous:
            self._given.append(array)

    def _cut(self) -> Numbers:
        """An array that nobody has had; the system clears it when it is touched."""
        if not self._new:
            length = max(_LINE, -(-self.rows // _LINE) * _LINE)
            block = np.zeros((min(_MOST, max(1, _BLOCK_BYTES // (8 * length))), length))
            self._new.extend(row[: self.rows] for row in block[::-1])
        return self._new.pop()
