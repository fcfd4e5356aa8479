"""Compiled kernels that work row by row over ``[date, name]`` panels.

All of them rest on :func:`sort_row`. They live in one module because numba's disk cache watches the file of a kernel,
not the files of the kernels it calls. Callers use the typed, checked functions of ``ranks`` and ``quantile_spread``.

How a row is sorted (one date, a few hundred to a few thousand names):

1. Each usable double becomes a signed 64-bit integer that sorts like the double; minus zero becomes zero.
2. The bits in which the row's integers differ are found; three counting passes of 8 bits, from low to high, sort by
   the top 24 of them. That settles nearly everything.
3. An insertion pass finishes. If it has to move more than four places per name, the row is one of those where
   24 bits say little, and eight counting passes over all 64 bits sort it instead: the cost stays linear.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quant_platform.contracts.compiled import compiled

Floats = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]
Ints = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]

LOWEST = np.int64(-(2**63))
ALL_BUT_SIGN = np.int64(2**63 - 1)


@compiled
def sort_row(
    values: Floats,
    mask: Bools,
    usable: Bools,
    sorted_keys: Longs,
    sorted_names: Longs,
    spare_keys: Longs,
    spare_names: Longs,
    histogram: Longs,
) -> int:
    """Sort the names of one row that are in the mask and not NaN; return how many they are.

    ``usable[N]``, ``sorted_keys[N]`` and ``sorted_names[N]`` are written; ``spare_*[2, N]`` and ``histogram[3, 256]``
    are scratch. Equal values have equal keys.
    """
    names = values.shape[0]
    bits = values.view(np.int64)
    keys, other_keys = spare_keys[0], spare_keys[1]
    order, other_order = spare_names[0], spare_names[1]
    count = 0
    differing = np.int64(0)
    first = np.int64(0)
    for name in range(names):
        value = values[name]
        pattern = bits[name]
        if value == 0.0:
            pattern = np.int64(0)
        key = pattern ^ ((pattern >> 63) & ALL_BUT_SIGN)
        keep = mask[name] and value == value
        usable[name] = keep
        keys[count] = key
        order[count] = name
        if count == 0:
            first = key
        # No branch on ``keep``: missing values are unpredictable, and a mispredicted branch costs more than this.
        differing |= (key ^ first) & -np.int64(keep)
        count += keep
    if count == 0:
        return 0

    shift = 0
    if differing != 0:
        while differing >= 0:
            differing <<= 1
            shift += 1

    histogram[:] = 0
    for j in range(count):
        aligned = (keys[j] ^ LOWEST) << shift
        histogram[0, np.uint8(aligned >> 40)] += 1
        histogram[1, np.uint8(aligned >> 48)] += 1
        histogram[2, np.uint8(aligned >> 56)] += 1
    for digit in range(3):
        before = 0
        for bucket in range(256):
            size = histogram[digit, bucket]
            histogram[digit, bucket] = before
            before += size
    for j in range(count):
        digit_value = np.uint8(((keys[j] ^ LOWEST) << shift) >> 40)
        place = histogram[0, digit_value]
        histogram[0, digit_value] = place + 1
        other_keys[place] = keys[j]
        other_order[place] = order[j]
    for j in range(count):
        digit_value = np.uint8(((other_keys[j] ^ LOWEST) << shift) >> 48)
        place = histogram[1, digit_value]
        histogram[1, digit_value] = place + 1
        keys[place] = other_keys[j]
        order[place] = other_order[j]
    for j in range(count):
        digit_value = np.uint8(((keys[j] ^ LOWEST) << shift) >> 56)
        place = histogram[2, digit_value]
        histogram[2, digit_value] = place + 1
        sorted_keys[place] = keys[j]
        sorted_names[place] = order[j]

    moves_left = 4 * count + 64
    for j in range(1, count):
        key = sorted_keys[j]
        if sorted_keys[j - 1] > key:
            item = sorted_names[j]
            place = j
            while place > 0 and sorted_keys[place - 1] > key:
                sorted_keys[place] = sorted_keys[place - 1]
                sorted_names[place] = sorted_names[place - 1]
                place -= 1
                moves_left -= 1
            sorted_keys[place] = key
            sorted_names[place] = item
            if moves_left < 0:
                break
    if moves_left >= 0:
        return count

    for digit in range(8):
        down = 8 * digit
        histogram[0, :] = 0
        for j in range(count):
            histogram[0, ((sorted_keys[j] ^ LOWEST) >> down) & 255] += 1
        before = 0
        for bucket in range(256):
            size = histogram[0, bucket]
            histogram[0, bucket] = before
            before += size
        for j in range(count):
            bucket = ((sorted_keys[j] ^ LOWEST) >> down) & 255
            place = histogram[0, bucket]
            histogram[0, bucket] = place + 1
            keys[place] = sorted_keys[j]
            order[place] = sorted_names[j]
        for j in range(count):
            sorted_keys[j] = keys[j]
            sorted_names[j] = order[j]
    return count


@compiled
def average_rank_rows(values: Floats, mask: Bools, ranks: Floats, counts: Longs) -> None:
    """Write 1-based average ranks into ``ranks[T, N]`` (NaN where unusable), how many there are into ``counts[T]``."""
    dates, names = values.shape
    usable = np.empty(names, dtype=np.bool_)
    keys = np.empty(names + 1, dtype=np.int64)
    order = np.empty(names + 1, dtype=np.int64)
    spare_keys = np.empty((2, names + 1), dtype=np.int64)
    spare_order = np.empty((2, names + 1), dtype=np.int64)
    histogram = np.empty((3, 256), dtype=np.int64)
    for date in range(dates):
        count = sort_row(values[date], mask[date], usable, keys, order, spare_keys, spare_order, histogram)
        counts[date] = count
        ranks[date, :] = np.nan
        low = 0
        while low < count:
            high = low
            while high + 1 < count and keys[high + 1] == keys[low]:
                high += 1
            for j in range(low, high + 1):
                ranks[date, order[j]] = 0.5 * (low + high) + 1.0
            low = high + 1


@compiled
def doubled_rank_rows(values: Floats, mask: Bools, ranks: Ints, counts: Longs) -> None:
    """Write twice the average ranks, integers from 2 on, into ``ranks[T, N]``: 0 where unusable; counts as above."""
    dates, names = values.shape
    usable = np.empty(names, dtype=np.bool_)
    keys = np.empty(names + 1, dtype=np.int64)
    order = np.empty(names + 1, dtype=np.int64)
    spare_keys = np.empty((2, names + 1), dtype=np.int64)
    spare_order = np.empty((2, names + 1), dtype=np.int64)
    histogram = np.empty((3, 256), dtype=np.int64)
    for date in range(dates):
        count = sort_row(values[date], mask[date], usable, keys, order, spare_keys, spare_order, histogram)
        counts[date] = count
        ranks[date, :] = 0
        low = 0
        while low < count:
            high = low + 1
            while high < count and keys[high] == keys[low]:
                high += 1
            for j in range(low, high):
                ranks[date, order[j]] = low + high + 1
            low = high


@compiled
def rank_ic_rows(signals: Floats, forwards: Floats, mask: Bools, min_names: int, ic: Floats) -> None:
    """Write the Spearman correlation of every signal with every forward return into ``ic[K, H, T]``.

    Each row of each panel is sorted once; the ranks within the pairs usable in both follow from a linear walk.
    Ranks are kept doubled, so that average ranks are integers and all sums are exact.
    """
    n_signals, dates, names = signals.shape
    n_forwards = forwards.shape[0]
    usable = np.empty((n_signals + n_forwards, names), dtype=np.bool_)
    keys = np.empty((n_signals + n_forwards, names + 1), dtype=np.int64)
    order = np.empty((n_signals + n_forwards, names + 1), dtype=np.int64)
    counts = np.empty(n_signals + n_forwards, dtype=np.int64)
    spare_keys = np.empty((2, names + 1), dtype=np.int64)
    spare_order = np.empty((2, names + 1), dtype=np.int64)
    histogram = np.empty((3, 256), dtype=np.int64)
    pair_keys, pair_names = spare_keys[0], spare_order[0]
    doubled_rank = np.empty(names, dtype=np.int64)
    for date in range(dates):
        for panel in range(n_signals + n_forwards):
            row = signals[panel, date] if panel < n_signals else forwards[panel - n_signals, date]
            counts[panel] = sort_row(
                row, mask[date], usable[panel], keys[panel], order[panel], spare_keys, spare_order, histogram
            )
        for signal in range(n_signals):
            for horizon in range(n_forwards):
                forward = n_signals + horizon
                pairs = 0
                for j in range(counts[signal]):
                    name = order[signal, j]
                    pair_keys[pairs] = keys[signal, j]
                    pair_names[pairs] = name
                    pairs += usable[forward, name]
                if pairs < min_names:
                    ic[signal, horizon, date] = np.nan
                    continue
                signal_ties = 0.0
                low = 0
                while low < pairs:
                    high = low
                    while high + 1 < pairs and pair_keys[high + 1] == pair_keys[low]:
                        high += 1
                    for j in range(low, high + 1):
                        doubled_rank[pair_names[j]] = low + high + 2
                    size = float(high - low + 1)
                    signal_ties += size * size * size - size
                    low = high + 1

                pairs = 0
                for j in range(counts[forward]):
                    name = order[forward, j]
                    pair_keys[pairs] = keys[forward, j]
                    pair_names[pairs] = name
                    pairs += usable[signal, name]
                forward_ties = 0.0
                cross = np.int64(0)
                low = 0
                while low < pairs:
                    high = low
                    partner = doubled_rank[pair_names[low]]
                    while high + 1 < pairs and pair_keys[high + 1] == pair_keys[low]:
                        high += 1
                        partner += doubled_rank[pair_names[high]]
                    cross += (low + high + 2) * partner
                    size = float(high - low + 1)
                    forward_ties += size * size * size - size
                    low = high + 1

                n = float(pairs)
                spread_signal = n * n * n - n - signal_ties
                spread_forward = n * n * n - n - forward_ties
                if spread_signal <= 0.0 or spread_forward <= 0.0:
                    ic[signal, horizon, date] = np.nan
                    continue
                covariance = 3.0 * float(cross - pairs * (pairs + 1) * (pairs + 1))
                correlation = covariance / np.sqrt(spread_signal * spread_forward)
                ic[signal, horizon, date] = min(1.0, max(-1.0, correlation))


@compiled
def quantile_mean_rows(
    signal: Floats,
    forward: Floats,
    mask: Bools,
    quantiles: int,
    min_names: int,
    means: Floats,
    counts: Longs,
    spread: Floats,
) -> None:
    """Write mean forward returns per signal quantile ``means[T, Q]``, ``counts[T, Q]`` and ``spread[T]``."""
    dates, names = signal.shape
    usable = np.empty(names, dtype=np.bool_)
    keys = np.empty(names + 1, dtype=np.int64)
    order = np.empty(names + 1, dtype=np.int64)
    spare_keys = np.empty((2, names + 1), dtype=np.int64)
    spare_order = np.empty((2, names + 1), dtype=np.int64)
    histogram = np.empty((3, 256), dtype=np.int64)
    paired = np.empty(names, dtype=np.bool_)
    for date in range(dates):
        counts[date, :] = 0
        means[date, :] = np.nan
        spread[date] = np.nan
        for name in range(names):
            paired[name] = mask[date, name] and forward[date, name] == forward[date, name]
        n = sort_row(signal[date], paired, usable, keys, order, spare_keys, spare_order, histogram)
        if n < min_names or n == 0:
            continue
        quantile = 0
        total = 0.0
        for j in range(n):
            # Strictly above the q-th edge: ties with the edge name stay in the lower quantile (right-closed).
            while quantile + 1 < quantiles and keys[j] > keys[((n - 1) * (quantile + 1)) // quantiles]:
                if counts[date, quantile] > 0:
                    means[date, quantile] = total / counts[date, quantile]
                quantile += 1
                total = 0.0
            total += forward[date, order[j]]
            counts[date, quantile] += 1
        means[date, quantile] = total / counts[date, quantile]

        low_edge = keys[(n - 1) // quantiles]
        high_edge = keys[((n - 1) * (quantiles - 1)) // quantiles]
        largest = keys[n - 1]
        if keys[0] == largest:
            continue
        top_is_tied = high_edge == largest
        bottom_is_everything = low_edge == largest
        top, bottom, top_count, bottom_count = 0.0, 0.0, 0, 0
        for j in range(n):
            key = keys[j]
            if key > high_edge or (top_is_tied and key == largest):
                top += forward[date, order[j]]
                top_count += 1
            elif key <= low_edge or bottom_is_everything:
                bottom += forward[date, order[j]]
                bottom_count += 1
        spread[date] = top / top_count - bottom / bottom_count
