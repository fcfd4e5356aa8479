"""Compiled loops over the order of a column: its ranks, and quantiles of moving windows.

A column is sorted once: every present value has a place of its own in the sorted column. A window is then a set of
places, kept as one bit each: 64 to a word, so that the set of a year of five-minute bars fits into the nearest cache. A
quantile stands on one of the places and moves to the next or the previous bit, as far as the two values that come and
go have moved it: about two steps a bar whatever the window is (the moving cursor of Juhola, Katajainen and Raita 1991).
Order statistics are exact: the value at a place is the value.

Results and what is needed on the way are written into arrays that are given and may hold anything.

References
----------
Juhola, M., Katajainen, J., Raita, T. (1991), IEEE Transactions on Signal Processing 39(1), 204-208.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quant_platform.contracts import bits
from quant_platform.contracts.compiled import compiled, compiled_with

Numbers = npt.NDArray[np.float64]
Places = npt.NDArray[np.int32]
Words = npt.NDArray[np.int64]

# These kernels hold the machine code of another module.
_compiled = compiled_with(bits)

_DIGITS, _DIGIT_BITS = 3, 10  # of a value, which a column is sorted by
_ROW_BITS = 63 - _DIGITS * _DIGIT_BITS


def sorted_places(x: Numbers, places: Places, ordered: Numbers, keys: Words, spare: Words) -> tuple[Places, Numbers]:
    """Place of each value in the sorted column, -1 where it is missing, and the sorted present values.

    Parameters
    ----------
    x
        One value per bar; NaN is missing.
    places, ordered
        Where the result is written; of the second as many values as are present.
    keys, spare
        One number per bar each, to work in.

    Notes
    -----
    Zero and minus zero are equal, and zero. Which of several equal values comes first is not said.

    The upper bits of each value, counted from the smallest, and its row are packed into one number; these are sorted by
    three digits of the value, the lowest first, which reads and writes them in order. Values that agree in those digits
    are then put right among themselves. Where very many do, numpy finds the order.
    """
    size = _packed(x, keys, spare)
    if _unpacked(x, _by_digits(keys[:size], spare), places, ordered):
        return places, ordered[:size]
    rows = np.flatnonzero(~np.isnan(x))
    order = np.argsort(x[rows])
    places[:] = -1
    places[rows[order]] = np.arange(size, dtype=np.int32)
    np.add(x[rows[order]], 0.0, out=ordered[:size])
    return places, ordered[:size]


@compiled
def _packed(x: Numbers, keys: Words, rows: Words) -> int:
    """The upper bits of each present value, in ascending order, with its row in the lower bits; how many there are."""
    patterns = x.view(np.int64)
    size = 0
    smallest, largest = 0x7FFFFFFFFFFFFFFF, -0x7FFFFFFFFFFFFFFF
    for i in range(x.size):
        if not np.isnan(x[i]):
            key = patterns[i] if x[i] != 0.0 else 0
            # Below zero the other bits count down.
            key ^= 0x7FFFFFFFFFFFFFFF & (key >> 63)
            smallest = min(smallest, key)
            largest = max(largest, key)
            keys[size] = key
            rows[size] = i
            size += 1
    # The difference may not fit into a signed number.
    width = np.uint64(largest) - np.uint64(smallest)
    shift = np.uint64(0)
    while (width >> shift) >> np.uint64(_DIGITS * _DIGIT_BITS) != np.uint64(0):
        shift += np.uint64(1)
    for k in range(size):
        key = np.int64((np.uint64(keys[k]) - np.uint64(smallest)) >> shift)
        keys[k] = (key << _ROW_BITS) | rows[k]
    return size


@compiled
def _by_digits(keys: Words, spare: Words) -> Words:
    """Sort packed keys by their digits, from one array into the other and back; the one that holds them at last."""
    counts = np.zeros((_DIGITS, 1 << _DIGIT_BITS), dtype=np.int64)
    last = (1 << _DIGIT_BITS) - 1
    for k in range(keys.size):
        key = keys[k] >> _ROW_BITS
        for digit in range(_DIGITS):
            counts[digit, (key >> (digit * _DIGIT_BITS)) & last] += 1
    given, taken = keys, spare[: keys.size]
    for digit in range(_DIGITS):
        where = counts[digit]
        shift = _ROW_BITS + digit * _DIGIT_BITS
        begin = 0
        for value in range(where.size):
            begin, where[value] = begin + where[value], begin
        for k in range(given.size):
            value = (given[k] >> shift) & last
            taken[where[value]] = given[k]
            where[value] += 1
        given, taken = taken, given
    return given


@compiled
def _unpacked(x: Numbers, keys: Words, places: Places, ordered: Numbers) -> bool:
    """Places and sorted values of sorted keys; false when too many values agree in their upper bits to be put right."""
    if keys.size < x.size:
        places[:] = -1
    mask = (1 << _ROW_BITS) - 1
    # Two loops: what the first reads and writes anywhere in the columns need not wait for the comparisons.
    for k in range(keys.size):
        row = keys[k] & mask
        ordered[k] = x[row] + 0.0
        places[row] = k
    moves = 0
    for k in range(1, keys.size):
        value = ordered[k]
        if ordered[k - 1] <= value:
            continue
        row = keys[k] & mask
        at = k
        while at > 0 and ordered[at - 1] > value:
            ordered[at] = ordered[at - 1]
            keys[at] = keys[at - 1]
            places[keys[at] & mask] = at
            at -= 1
            moves += 1
        if moves > 8 * keys.size:
            return False
        ordered[at] = value
        keys[at] = row
        places[row] = at
    return True


@_compiled
def _after(words: Words, place: int) -> int:
    """The next place of the set after one; there must be one."""
    word = (place + 1) >> 6
    left = words[word] & (-1 << ((place + 1) & 63))
    while left == 0:
        word += 1
        left = words[word]
    return (word << 6) + bits.first_bit(left)


@_compiled
def _before(words: Words, place: int) -> int:
    """The last place of the set before one; there must be one."""
    word = place >> 6
    left = words[word] & ((1 << (place & 63)) - 1)
    while left == 0:
        word -= 1
        left = words[word]
    return (word << 6) + bits.last_bit(left)


@_compiled
def window_quantile(places: Places, ordered: Numbers, p: float, n: int, required: int, out: Numbers) -> Numbers:
    """Quantile of the last ``n`` values, linear between order statistics (Hyndman and Fan 1996, type 7)."""
    words = np.zeros((ordered.size >> 6) + 2, dtype=np.int64)
    # The cursor has ``at`` places of the set before it; ``upper`` is the next one after it, or ``end``. It is kept:
    # many rows interpolate between the same two places as the row before, and need no search.
    # What is looked up is unsigned: a negative number would count from the end, and to ask for that costs each time.
    end = ordered.size
    count, at = 0, 0
    cursor, upper = end, end
    counted, lower, part = 0, 0, 0.0
    for i in range(places.size):
        new = int(places[i])
        if new >= 0:
            words[np.uint64(new >> 6)] |= 1 << (new & 63)
            count += 1
            if count == 1:
                cursor, upper, at = new, end, 0
            # Numbers that are added and joined, and no branches: half of the guesses would be wrong.
            at += new < cursor
            if (new > cursor) & (new < upper):
                upper = new
        old = int(places[np.uint64(i - n)]) if i >= n else -1
        if old >= 0:
            words[np.uint64(old >> 6)] &= ~(1 << (old & 63))
            count -= 1
            at -= old < cursor
            if old == upper:
                upper = _after(words, upper) if at + 1 < count else end
            elif old == cursor and count > 0:
                if at < count:
                    cursor = upper
                    upper = _after(words, cursor) if at + 1 < count else end
                else:
                    cursor, upper = _before(words, cursor), end
                    at -= 1
        if count < required:
            out[i] = np.nan
            continue
        if count != counted:
            counted = count
            position = (count - 1) * p
            lower = int(position)
            part = position - lower
        while at < lower:
            cursor = upper
            at += 1
            upper = _after(words, cursor) if at + 1 < count else end
        while at > lower:
            cursor, upper = _before(words, cursor), cursor
            at -= 1
        value = ordered[np.uint64(cursor)]
        if part > 0.0:
            value += (ordered[np.uint64(upper)] - value) * part
        out[i] = value
    return out


@compiled
def _counted(tree: Places, levels: int, place: int, one: int) -> None:
    """Count a place that comes (1) or goes (-1) in its word and in everything above it."""
    node = (1 << levels) + (place >> 6)
    for _ in range(levels):
        tree[node] += one
        node >>= 1


@_compiled
def _before_place(words: Words, tree: Places, levels: int, place: int) -> int:
    """How many places of the set come before one."""
    word = place >> 6
    count = bits.bit_count(words[word] & ((1 << (place & 63)) - 1))
    node = (1 << levels) + word
    for _ in range(levels):
        # What is left of a right child comes before it. No branch: half of the guesses would be wrong.
        count += tree[node - 1] * (node & 1)
        node >>= 1
    return count


@compiled
def _equals(ordered: Numbers) -> tuple[Places, Places]:
    """Where the values begin and end that are equal to that of a place."""
    size = ordered.size
    first = np.empty(size, dtype=np.int32)
    end = np.empty(size, dtype=np.int32)
    for place in range(size):
        first[place] = first[place - 1] if place > 0 and ordered[place] == ordered[place - 1] else place
    for place in range(size - 1, -1, -1):
        tied = place + 1 < size and ordered[place] == ordered[place + 1]
        end[place] = end[place + 1] if tied else place + 1
    return first, end


@_compiled
def window_rank(places: Places, ordered: Numbers, n: int, required: int, shift: float, out: Numbers) -> Numbers:
    """(Average-tie rank of the current value among the last ``n`` - ``shift``) / count.

    The members of each word are counted in a tree of pairs, pairs of pairs and so on, as values come and go. A rank is
    the sum of what the tree counts left of a word, and of the bits of that word.
    """
    size = ordered.size
    words = np.zeros((size >> 6) + 2, dtype=np.int64)
    levels = 0
    while 1 << levels < words.size:
        levels += 1
    tree = np.zeros(2 << levels, dtype=np.int32)
    tied = False
    for place in range(1, size):
        tied |= ordered[place] == ordered[place - 1]
    first, end = _equals(ordered if tied else ordered[:0])
    count = 0
    for i in range(places.size):
        new = places[i]
        if new >= 0:
            words[new >> 6] |= 1 << (new & 63)
            _counted(tree, levels, new, 1)
            count += 1
        if i >= n and places[i - n] >= 0:
            old = places[i - n]
            words[old >> 6] &= ~(1 << (old & 63))
            _counted(tree, levels, old, -1)
            count -= 1
        if new < 0 or count < required:
            out[i] = np.nan
            continue
        below = _before_place(words, tree, levels, first[new] if tied else new)
        ties = 1
        if tied and end[new] - first[new] > 1:
            ties = _before_place(words, tree, levels, end[new]) - below
        out[i] = (below + 0.5 * (ties + 1) - shift) / count
    return out
