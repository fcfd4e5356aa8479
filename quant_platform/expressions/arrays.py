"""Arrays to compute in, taken again as soon as they are given back.

A pass makes a thousand columns and keeps a fifth of them. Memory that is new to the process costs more than the
arithmetic that fills it: the system clears it page by page at its first touch, and no cache holds it. So what is given
back is taken next, the last one first, and new arrays are cut from blocks large enough for the system's large pages.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

_BLOCK_BYTES = 2**23  # numpy asks for large pages from four MiB on
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
        self._free: list[Numbers] = []

    def take(self) -> Numbers:
        """An array of any content, shape (bars,)."""
        if not self._free:
            length = max(_LINE, -(-self.rows // _LINE) * _LINE)
            block = np.empty((min(_MOST, max(1, _BLOCK_BYTES // (8 * length))), length))
            self._free.extend(row[: self.rows] for row in block[::-1])
        return self._free.pop()

    def give(self, array: Numbers) -> None:
        """Return an array that nobody reads any more; one that cannot be written into is left alone."""
        if array.flags.writeable and array.flags.c_contiguous:
            self._free.append(array)
