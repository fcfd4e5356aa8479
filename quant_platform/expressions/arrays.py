"""Arrays to compute in, taken again as soon as they are given back.

A pass makes a thousand columns and keeps a fifth of them. Memory that is new to the process costs more than the
arithmetic that fills it: the system clears it page by page at its first touch, and no cache holds it. So what is given
back is taken next, the last one first, and new arrays are cut from blocks of which the system's large pages cover
nearly all.

Before the first number of each array there is a margin of missing ones. What an array held some bars ago is therefore a
view that begins so many numbers earlier (:meth:`Arrays.lagged`), and no copy.
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
_MARGIN = 640  # numbers before each array, of two days of five-minute bars and more


class Arrays:
    """Arrays of float64 of one length, for one thread.

    Parameters
    ----------
    rows
        Length of each, in bars.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._margin = _lines(min(rows, _MARGIN))
        self._length = max(_LINE, self._margin + _lines(rows))
        self._blocks: dict[int, Numbers] = {}
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

    def lagged(self, array: npt.NDArray[np.generic], k: int) -> Numbers | None:
        """What an array from here, or a view of it, held ``k`` bars ago; None where there is no margin of ``k``.

        It is a part of the array, which may therefore not be given back before it, and cannot be written into.
        """
        block = self._blocks.get(id(array.base))
        if block is None:
            return None
        first = (_address(array) - _address(block)) // block.itemsize
        if k > first % self._length:
            return None
        view = block[first - k : first - k + self.rows]
        view.flags.writeable = False
        return view

    def _cut(self) -> Numbers:
        """An array that nobody has had; the system clears it when it is touched."""
        if not self._new:
            count = min(_MOST, max(1, _BLOCK_BYTES // (8 * self._length)))
            block = np.zeros(count * self._length)
            self._blocks[id(block)] = block
            self._new.extend(block.reshape(count, self._length)[::-1])
        whole = self._new.pop()
        whole[: self._margin] = np.nan
        return whole[self._margin : self._margin + self.rows]


def _lines(numbers: int) -> int:
    return -(-numbers // _LINE) * _LINE


def _address(array: npt.NDArray[np.generic]) -> int:
    return int(array.__array_interface__["data"][0])
