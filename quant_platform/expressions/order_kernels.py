"""Compiled loops over the order of a column: its ranks, and quantiles of moving windows.

A column is sorted once: every present value has a place of its own in the sorted column. A window is then a set of
places, kept as one bit each: 64 to a word, so that the set of a year of five-minute bars fits into the nearest cache. A
quantile stands on one of the places and moves to the next or the previous bit, as far as the two values that come and
go have moved it: about two steps a bar whatever the window is (the moving cursor of Juhola, Katajainen and Raita 1991).
Order statistics are exact: the value at a place is the value.

References
----------
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

_SEQUENCE = 0x03F79D71B4CB0A89
# Place of the only bit of a word, by the top six bits of its product with the sequence.
_BIT = np.zeros(64, dtype=np.int64)
for _k in range(64):
    _BIT[((_SEQUENCE << _k) & (2**64 - 1)) >> 58] = _k


def sorted_places(x: Numbers) -> tuple[Places, Numbers]:
    """Place of each value in the sorted column, -1 where it is missing, and the sorted present values.

    Parameters
    ----------
    x
        One value per bar; NaN is missing.

    Notes
    -----
    Zero and minus zero are equal, and zero. Which of several equal values comes first is not said.

    Numpy sorts whole numbers with vector instructions, much faster than it finds an order. So the upper bits of each
    value and its row are packed into one number; values that agree in those bits, in about ten digits, are then put
    right among themselves. Where very many do, numpy finds the order.
    """
    width = max(1, int(x.size - 1).bit_length())
    keys = _packed(x, width)
    keys.sort()
    places, ordered, done = _unpacked(x, keys, width)
    if done:
        return places, ordered
    rows = np.flatnonzero(~np.isnan(x))
    order = np.argsort(x[rows])
    places[rows[order]] = np.arange(rows.size, dtype=np.int32)
    return places, np.asarray(x[rows[order]] + 0.0)


@compiled
def _packed(x: Numbers, width: int) -> Words:
    """The upper bits of each present value, in ascending order, with its row in the lowest ``width`` bits."""
    keys = np.empty(x.size, dtype=np.int64)
    bits = x.view(np.int64)
    size = 0
    for i in range(x.size):
        if not np.isnan(x[i]):
            key = bits[i] if x[i] != 0.0 else 0
            # Below zero the other bits count down.
            key = key ^ 0x7FFFFFFFFFFFFFFF if key < 0 else key
            keys[size] = ((key >> width) << width) | i
            size += 1
    return keys[:size]


@compiled
def _unpacked(x: Numbers, keys: Words, width: int) -> tuple[Places, Numbers, bool]:
    """Places and sorted values of sorted keys; false when too many values agree in their upper bits to be put right."""
    places = np.full(x.size, -1, dtype=np.int32)
    ordered = np.empty(keys.size)
    mask = (1 << width) - 1
    moves = 0
    for k in range(keys.size):
        row = keys[k] & mask
        value = x[row] + 0.0
        at = k
        while at > 0 and ordered[at - 1] > value:
            ordered[at] = ordered[at - 1]
            keys[at] = keys[at - 1]
            places[keys[at] & mask] = at
            at -= 1
            moves += 1
        if moves > 8 * keys.size:
            return places, ordered, False
        ordered[at] = value
        keys[at] = row
        places[row] = at
    return places, ordered, True


@compiled
def _after(words: Words, place: int) -> int:
    """The next place of the set after one; there must be one."""
    word = (place + 1) >> 6
    left = words[word] & (-1 << ((place + 1) & 63))
    while left == 0:
        word += 1
        left = words[word]
    bit: int = _BIT[(((left & -left) * _SEQUENCE) >> 58) & 63]
    return (word << 6) + bit


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
    bit: int = _BIT[((left * _SEQUENCE) >> 58) & 63]
    return (word << 6) + bit


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


@compiled
def _below(words: Words, in_word: Places, in_block: Places, place: int) -> int:
    """How many places of the set come before one."""
    word = place >> 6
    block = word >> 6
    count = 0
    for k in range(block):
        count += in_block[k]
    for k in range(block << 6, word):
        count += in_word[k]
    left = words[word] & ((1 << (place & 63)) - 1)
    while left != 0:
        left &= left - 1
        count += 1
    return count


@compiled
def window_rank(places: Places, ordered: Numbers, n: int, required: int, shift: float) -> Numbers:
    """(Average-tie rank of the current value among the last ``n`` - ``shift``) / count.

    Members of the set are counted per word and per 64 words, so that a rank is a sum of few numbers.
    """
    out = np.full(places.size, np.nan)
    size = ordered.size
    words = np.zeros((size >> 6) + 2, dtype=np.int64)
    in_word = np.zeros(words.size, dtype=np.int32)
    in_block = np.zeros((words.size >> 6) + 1, dtype=np.int32)
    # Where the values begin and end that are equal to that of a place.
    first = np.empty(size, dtype=np.int32)
    end = np.empty(size, dtype=np.int32)
    for place in range(size):
        first[place] = first[place - 1] if place > 0 and ordered[place] == ordered[place - 1] else place
    for place in range(size - 1, -1, -1):
        tied = place + 1 < size and ordered[place] == ordered[place + 1]
        end[place] = end[place + 1] if tied else place + 1
    count = 0
    for i in range(places.size):
        new = places[i]
        if new >= 0:
            words[new >> 6] |= 1 << (new & 63)
            in_word[new >> 6] += 1
            in_block[new >> 12] += 1
            count += 1
        if i >= n and places[i - n] >= 0:
            old = places[i - n]
            words[old >> 6] &= ~(1 << (old & 63))
            in_word[old >> 6] -= 1
            in_block[old >> 12] -= 1
            count -= 1
        if new < 0 or count < required:
            continue
        below = _below(words, in_word, in_block, first[new])
        ties = 1
        if end[new] - first[new] > 1:
            ties = _below(words, in_word, in_block, end[new]) - below
        out[i] = (below + 0.5 * (ties + 1) - shift) / count
    return out
