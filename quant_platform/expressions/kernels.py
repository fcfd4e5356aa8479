"""Compiled loops over one column, oldest bar first; NaN (or code -1) is missing.

Sums and moments use the two-stacks scheme of van Herk (1992): the column is cut into blocks of the window's
length, and each window is a suffix of one block joined with a prefix of the next. Nothing is ever subtracted, so no
error builds up along the column, the cost does not depend on the window, and the variance of constant values is
exactly zero. Moments are updated after Welford (1962) and joined after Chan, Golub and LeVeque (1983, eq. 2.1).
Results for the same window differ with the place of the blocks by rounding only, at most about ``window * 1e-16`` of
the magnitude of its values. ``phase`` is the first row's place within its block: a caller who counts rows from a fixed
point gets the same bits wherever the data start.

Ranks and quantiles are in :mod:`.order_kernels`.

Shapes: every array has one entry per bar; results are float64 of the same length, written into an array that is given
and may hold anything, NaN where fewer than ``required`` values are present.

References
----------
van Herk, M. (1992), Pattern Recognition Letters 13(7), 517-521.
Chan, T., Golub, G., LeVeque, R. (1983), The American Statistician 37(3), 242-247.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quant_platform.contracts.compiled import compiled

Numbers = npt.NDArray[np.float64]
Conditions = npt.NDArray[np.bool_]


@compiled
def drop_infinite(x: Numbers) -> Numbers:
    """Make what is infinite missing, in place."""
    infinite = 0
    for i in range(x.size):
        infinite += abs(x[i]) == np.inf
    if infinite > 0:
        for i in range(x.size):
            if abs(x[i]) == np.inf:
                x[i] = np.nan
    return x


@compiled
def window_sum(x: Numbers, n: int, required: int, phase: int, out: Numbers) -> Numbers:
    """Sum of the present values among the last ``n``; made as :func:`window_mean` is."""
    tail_count, next_count = np.zeros(n + 1, dtype=np.int64), np.zeros(n + 1, dtype=np.int64)
    tail_sum, next_sum = np.zeros(n + 1), np.zeros(n + 1)
    for start in range(-phase, x.size, n):
        count = back_count = 0
        total = back_total = 0.0
        for k in range(n):
            i = start + k
            if 0 <= i < x.size:
                if not np.isnan(x[i]):
                    count += 1
                    total += x[i]
                out[i] = total + tail_sum[k + 1] if count + tail_count[k + 1] >= required else np.nan
            back = n - 1 - k
            i = start + back
            if 0 <= i < x.size and not np.isnan(x[i]):
                back_count += 1
                back_total += x[i]
            next_count[back] = back_count
            next_sum[back] = back_total
        tail_count, next_count = next_count, tail_count
        tail_sum, next_sum = next_sum, tail_sum
    return out


@compiled
def window_extreme(x: Numbers, n: int, required: int, sign: float, out: Numbers) -> Numbers:
    """Largest present value among the last ``n`` where ``sign`` is 1, the smallest where it is -1."""
    tail_count = np.zeros(n + 1, dtype=np.int64)
    tail_max = np.full(n + 1, -np.inf)
    for start in range(0, x.size, n):
        stop = min(start + n, x.size)
        count = 0
        largest = -np.inf
        for i in range(start, stop):
            value = sign * x[i]
            count += value == value
            largest = value if value > largest else largest
            k = i - start + 1
            tail = tail_max[k]
            whole = tail if tail > largest else largest
            out[i] = sign * whole if count + tail_count[k] >= required else np.nan
        if stop - start < n:
            break
        count = 0
        largest = -np.inf
        for k in range(n - 1, -1, -1):
            value = sign * x[start + k]
            count += value == value
            largest = value if value > largest else largest
            tail_count[k] = count
            tail_max[k] = largest
    return out


@compiled
def window_mean(x: Numbers, n: int, required: int, phase: int, out: Numbers) -> Numbers:
    """Mean of the present values among the last ``n``.

    A mean waits for its own last step. The prefix and the suffix of a block are therefore made side by side, so that
    the processor divides for one while the other waits.
    """
    tail_count, next_count = np.zeros(n + 1), np.zeros(n + 1)
    tail_mean, next_mean = np.zeros(n + 1), np.zeros(n + 1)
    for start in range(-phase, x.size, n):
        count = back_count = 0.0
        mean = back_mean = 0.0
        for k in range(n):
            i = start + k
            if 0 <= i < x.size:
                if not np.isnan(x[i]):
                    count += 1.0
                    mean += (x[i] - mean) / count
                tail = tail_count[k + 1]
                joined = count + tail
                if joined < required:
                    out[i] = np.nan
                elif tail == 0.0:
                    out[i] = mean
                elif count == 0.0:
                    out[i] = tail_mean[k + 1]
                else:
                    out[i] = tail_mean[k + 1] + (mean - tail_mean[k + 1]) * (count / joined)
            back = n - 1 - k
            i = start + back
            if 0 <= i < x.size and not np.isnan(x[i]):
                back_count += 1.0
                back_mean += (x[i] - back_mean) / back_count
            next_count[back] = back_count
            next_mean[back] = back_mean
        tail_count, next_count = next_count, tail_count
        tail_mean, next_mean = next_mean, tail_mean
    return out


@compiled
def window_deviation(x: Numbers, n: int, required: int, phase: int, out: Numbers) -> Numbers:
    """Sample standard deviation of the present values among the last ``n``; made as :func:`window_mean` is."""
    tail_count, next_count = np.zeros(n + 1), np.zeros(n + 1)
    tail_mean, next_mean = np.zeros(n + 1), np.zeros(n + 1)
    tail_square, next_square = np.zeros(n + 1), np.zeros(n + 1)
    for start in range(-phase, x.size, n):
        count = back_count = 0.0
        mean = back_mean = 0.0
        square = back_square = 0.0
        for k in range(n):
            i = start + k
            if 0 <= i < x.size:
                if not np.isnan(x[i]):
                    count += 1.0
                    delta = x[i] - mean
                    mean += delta / count
                    square += delta * (x[i] - mean)
                tail = tail_count[k + 1]
                joined = count + tail
                if joined < required or joined < 2.0:
                    out[i] = np.nan
                else:
                    whole = square
                    if count == 0.0:
                        whole = tail_square[k + 1]
                    elif tail > 0.0:
                        delta = mean - tail_mean[k + 1]
                        whole = square + tail_square[k + 1] + delta * delta * (count * (tail / joined))
                    out[i] = np.sqrt(whole / (joined - 1.0))
            back = n - 1 - k
            i = start + back
            if 0 <= i < x.size and not np.isnan(x[i]):
                back_count += 1.0
                delta = x[i] - back_mean
                back_mean += delta / back_count
                back_square += delta * (x[i] - back_mean)
            next_count[back] = back_count
            next_mean[back] = back_mean
            next_square[back] = back_square
        tail_count, next_count = next_count, tail_count
        tail_mean, next_mean = next_mean, tail_mean
        tail_square, next_square = next_square, tail_square
    return out


@compiled
def window_products(
    x: Numbers, y: Numbers, n: int, required: int, phase: int, xx: Numbers, yy: Numbers, xy: Numbers
) -> None:
    """Centred sums of x squared, y squared and x times y over the bars of the last ``n`` where both are present.

    Made as :func:`window_mean` is, into ``xx``, ``yy`` and ``xy``.
    """
    tail_count, next_count = np.zeros(n + 1), np.zeros(n + 1)
    tails, nexts = np.zeros((n + 1, 5)), np.zeros((n + 1, 5))
    for start in range(-phase, x.size, n):
        count = back_count = 0.0
        mean_x = mean_y = sum_xx = sum_yy = sum_xy = 0.0
        back_x = back_y = back_xx = back_yy = back_xy = 0.0
        for k in range(n):
            i = start + k
            if 0 <= i < x.size:
                if not (np.isnan(x[i]) or np.isnan(y[i])):
                    count += 1.0
                    delta_x = x[i] - mean_x
                    delta_y = y[i] - mean_y
                    mean_x += delta_x / count
                    mean_y += delta_y / count
                    sum_xx += delta_x * (x[i] - mean_x)
                    sum_yy += delta_y * (y[i] - mean_y)
                    sum_xy += delta_x * (y[i] - mean_y)
                joined = count + tail_count[k + 1]
                if joined < required:
                    xx[i] = yy[i] = xy[i] = np.nan
                elif tail_count[k + 1] == 0.0:
                    xx[i], yy[i], xy[i] = sum_xx, sum_yy, sum_xy
                else:
                    tail = tails[k + 1]
                    weight = count * (tail_count[k + 1] / joined)
                    gap_x = (mean_x - tail[0]) if count > 0.0 else 0.0
                    gap_y = (mean_y - tail[1]) if count > 0.0 else 0.0
                    xx[i] = sum_xx + tail[2] + gap_x * gap_x * weight
                    yy[i] = sum_yy + tail[3] + gap_y * gap_y * weight
                    xy[i] = sum_xy + tail[4] + gap_x * gap_y * weight
            back = n - 1 - k
            i = start + back
            if 0 <= i < x.size and not (np.isnan(x[i]) or np.isnan(y[i])):
                back_count += 1.0
                delta_x = x[i] - back_x
                delta_y = y[i] - back_y
                back_x += delta_x / back_count
                back_y += delta_y / back_count
                back_xx += delta_x * (x[i] - back_x)
                back_yy += delta_y * (y[i] - back_y)
                back_xy += delta_x * (y[i] - back_y)
            next_count[back] = back_count
            own = nexts[back]
            own[0], own[1], own[2], own[3], own[4] = back_x, back_y, back_xx, back_yy, back_xy
        tail_count, next_count = next_count, tail_count
        tails, nexts = nexts, tails


@compiled
def lagged_median(x: Numbers, count: int, step: int, required: int, out: Numbers) -> Numbers:
    """Median of the present values at the lags ``step``, ``2 step``, ... ``count step``.

    The values of each clock bar are kept in order; from one row to the next of the same bar one comes and one goes. The
    rows of one day are taken together, place by place, so that many clock bars are done by one instruction.
    Of equal values the newest stands first, so the one that goes is the last of its equals.
    """
    bars = max(1, min(step, x.size))
    # Behind the present values infinity stands: it moves nothing when it comes or goes.
    ordered = np.full((count + 1, bars), np.inf)
    filled = np.zeros(bars, dtype=np.int64)
    new, old, before = np.empty(bars), np.empty(bars), np.empty(bars)
    for first in range(0, x.size, bars):
        some = min(bars, x.size - first)
        gone = first - count * step
        for bar in range(some):
            many = filled[bar]
            half = many // 2
            if many < required:
                out[first + bar] = np.nan
            elif many % 2 == 1:
                out[first + bar] = ordered[half, bar]
            else:
                low = ordered[half - 1, bar]
                out[first + bar] = low + (ordered[half, bar] - low) * 0.5
            value = x[first + bar]
            last = x[gone + bar] if gone >= 0 else np.nan
            filled[bar] += (value == value) - (last == last)
            new[bar] = value if value == value else np.inf
            old[bar] = last if last == last else np.inf
            before[bar] = -np.inf
        for place in range(count):
            here, above = ordered[place], ordered[place + 1]
            for bar in range(some):
                left = here[bar] if above[bar] <= old[bar] else above[bar]
                moved = new[bar] if before[bar] < new[bar] else before[bar]
                before[bar] = left
                here[bar] = left if left < new[bar] else moved
    return out


@compiled
def streak(c: Conditions, cap: int, out: Numbers) -> Numbers:
    """Length of the run of true that ends at each bar, no more than ``cap``."""
    length = 0
    for i in range(c.size):
        length = min(length + 1, cap) if c[i] else 0
        out[i] = length
    return out


@compiled
def any_of_last(c: Conditions, n: int) -> Conditions:
    """Whether the condition held on any of the last ``n`` bars."""
    out = np.empty(c.size, dtype=np.bool_)
    since = n
    for i in range(c.size):
        since = 0 if c[i] else since + 1
        out[i] = since < n
    return out


@compiled
def count_of_last(c: Conditions, n: int, required: int, out: Numbers) -> Numbers:
    """On how many of the last ``n`` bars the condition held; missing on the first ``required - 1``."""
    count = 0
    for i in range(c.size):
        count += c[i]
        if i >= n:
            count -= c[i - n]
        out[i] = count if i >= required - 1 else np.nan
    return out


@compiled
def past_value(x: Numbers, c: Conditions, k: int, n: int, out: Numbers) -> Numbers:
    """Value on the ``k``-th last bar before the current one on which ``c`` held, if it is one of the last ``n``."""
    held = np.full(k, -n - 1, dtype=np.int64)
    count = 0
    for i in range(x.size):
        place = held[count % k]
        out[i] = x[place] if i - place <= n and place >= 0 else np.nan
        if c[i]:
            held[count % k] = i
            count += 1
    return out
