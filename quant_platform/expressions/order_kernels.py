"""Compiled loops over the order of a column: its ranks, and quantiles of moving windows.

A column is sorted once, by a radix sort over the bits of its values (Knuth 1998, 5.2.5): every present value has a place
of its own in the sorted column. A window is then a set of places, kept as one bit each: 64 to a word, so that the set of
a year of five-minute bars fits into the nearest cache. A quantile stands on one of the places and moves to the next or
the previous bit, as far as the two values that come and go have moved it: about two steps a bar whatever the window is
(the moving cursor of Juhola, Katajainen and Raita 1991). Order statistics are exact: the value at a place is the value.

References
----------
Knuth, D. (1998), The Art of Computer Programming 3, 2nd ed., section 5.2.5.
Juhola, M., Katajainen, J., Raita, T. (1991), IEEE Transactions on Signal Processing 39(1), 204-208.
Leiserson, C., Prokop, H., Randall, K. (1998), Using de Bruijn sequences to index a 1 in a computer word, MIT.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quant_platform.contracts.compiled import compiled

Numbers = npt.NDArray[np.float64]
Places = npt.NDArray[np.int32]
Words = npt.NDArray[np.int64]

_DIGIT = 11
_DIGITS = 6
_SEQUENCE = 0x03F79D71B4CB0A89
# Place of the only bit of a word, by the top six bits of its product with the sequence.
_BIT = np.zeros(64, dtype=np.int64)
for _k in range(64):
    _BIT[((_SEQUENCE << _k) & (2**64 - 1)) >> 58] = _k


@compiled
def sorted_places(x: Numbers) -> tuple[Places, Numbers]:
    """Place of each value in the sorted column, -1 where it is missing, and the sorted present values.

    Equal values have the places of their order in the column; zero and minus zero are equal.
    """
    places = np.full(x.size, -1, dtype=np.int32)
    rows = np.empty(x.size, dtype=np.int32)
    keys = np.empty(x.size, dtype=np.int64)
    bits = x.view(np.int64)
    size = 0
    counts = np.zeros((_DIGITS, 1 << _DIGIT), dtype=np.int64)
    mask = (1 << _DIGIT) - 1
    for i in range(x.size):
        if not np.isnan(x[i]):
            # Ascending as 64 bits without a sign: the sign turned, and all bits of what is below zero.
            key = bits[i] if x[i] != 0.0 else 0
            key = ~key if key < 0 else key ^ (-1 << 63)
            rows[size] = i
            keys[size] = key
            size += 1
            for digit in range(_DIGITS):
                counts[digit, (key >> (digit * _DIGIT)) & mask] += 1
    other_rows = np.empty(size, dtype=np.int32)
    other_keys = np.empty(size, dtype=np.int64)
    rows, keys = rows[:size], keys[:size]
    for digit in range(_DIGITS):
        start = 0
        shared = False
        for value in range(1 << _DIGIT):
            here = counts[digit, value]
            shared = shared or (here == size)
            counts[digit, value] = start
            start += here
        if shared:
            continue
        shift = digit * _DIGIT
        for k in range(size):
            value = (keys[k] >> shift) & mask
            at = counts[digit, value]
            counts[digit, value] = at + 1
            other_rows[at] = rows[k]
            other_keys[at] = keys[k]
        rows, other_rows = other_rows, rows
        keys, other_keys = other_keys, keys
    ordered = np.empty(size)
    for k in range(size):
        places[rows[k]] = k
        ordered[k] = x[rows[k]]
    return places, ordered


@compiled
def _after(words: Words, place: int) -> int:
    """The next place of the set after one; there must be one."""
    word = (place + 1) >> 6
    left = words[word] & (-1 << ((place + 1) & 63))
    while left == 0:
        word += 1
        left = words[word]
    return (word << 6) + _BIT[(((left & -left) * _SEQUENCE) >> 58) & 63]


@compiled
def _before(words: Words, place: int) -> int:
    """The last place of the set before one; there must be one."""
    word = place >> 6
    left = words[word] & ((1 << (place & 63)) - 1)
    while left == 0:
        word -= 1
        left = words[word]
    if left < 0:
        return (word << 6) + 63
    left |= left >> 1
    left |= left >> 2
    left |= left >> 4
    left |= left >> 8
    left |= left >> 16
    left |= left >> 32
    left ^= left >> 1
    return (word << 6) + _BIT[((left * _SEQUENCE) >> 58) & 63]


@compiled
def window_quantile(places: Places, ordered: Numbers, p: float, n: int, required: int) -> Numbers:
    """Quantile of the last ``n`` values, linear between order statistics (Hyndman and Fan 1996, type 7)."""
    out = np.full(places.size, np.nan)
    words = np.zeros((ordered.size >> 6) + 2, dtype=np.int64)
    count = 0
    cursor = -1
    at = 0
    for i in range(places.size):
        new = places[i]
        if new >= 0:
            words[new >> 6] |= 1 << (new & 63)
            count += 1
            if count == 1:
                cursor = new
                at = 0
            elif new < cursor:
                at += 1
        if i >= n and places[i - n] >= 0:
            old = places[i - n]
            words[old >> 6] &= ~(1 << (old & 63))
            count -= 1
            if old < cursor:
                at -= 1
            elif old == cursor and count > 0:
                if at < count:
                    cursor = _after(words, cursor)
                else:
                    cursor = _before(words, cursor)
                    at -= 1
        if count < required:
            continue
        position = (count - 1) * p
        lower = int(position)
        part = position - lower
        while at < lower:
            cursor = _after(words, cursor)
            at += 1
        while at > lower:
            cursor = _before(words, cursor)
            at -= 1
        value = ordered[cursor]
        if part > 0.0:
            value += (ordered[_after(words, cursor)] - value) * part
        out[i] = value
    return out
