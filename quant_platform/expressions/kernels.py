"""Compiled loops over one column, oldest bar first; NaN (or code -1) is missing.

Sums and moments use the two-stacks scheme of van Herk (1992): the column is cut into blocks of the window's
length, and each window is a suffix of one block joined with a prefix of the next. Nothing is ever subtracted, so no
error builds up along the column, the cost does not depend on the window, and the variance of constant values is
exactly zero. Moments are updated after Welford (1962) and joined after Chan, Golub and LeVeque (1983, eq. 2.1).
Results for the same window differ with the place of the blocks by rounding only, at most about ``window * 1e-16`` of
the magnitude of its values. ``phase`` is the first row's place within its block: a caller who counts rows from a fixed
point gets the same bits wherever the data start.

Ranks and quantiles are in :mod:`.order_kernels`.

Shapes: every array has one entry per bar; results are float64 of the same length, NaN where fewer than ``required``
values are present.

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


@compiled
def window_sum(x: Numbers, n: int, required: int, phase: int = 0) -> Numbers:
    """Sum of the present values among the last ``n``."""
    out = np.full(x.size, np.nan)
    tail_count = np.zeros(n + 1, dtype=np.int64)
    tail_sum = np.zeros(n + 1)
    for start in range(-phase, x.size, n):
        stop = min(start + n, x.size)
        count = 0
        total = 0.0
        for i in range(max(start, 0), stop):
            if not np.isnan(x[i]):
                count += 1
                total += x[i]
            k = i - start + 1
            if count + tail_count[k] >= required:
                out[i] = total + tail_sum[k]
        count = 0
        total = 0.0
        if stop - start == n:
            for k in range(n - 1, -1, -1):
                if start + k >= 0 and not np.isnan(x[start + k]):
                    count += 1
                    total += x[start + k]
                tail_count[k] = count
                tail_sum[k] = total
    return out


@compiled
def window_maximum(x: Numbers, n: int, required: int) -> Numbers:
    """Largest present value among the last ``n``."""
    out = np.full(x.size, np.nan)
    tail_count = np.zeros(n + 1, dtype=np.int64)
    tail_max = np.full(n + 1, -np.inf)
    for start in range(0, x.size, n):
        stop = min(start + n, x.size)
        count = 0
        largest = -np.inf
        for i in range(start, stop):
            if not np.isnan(x[i]):
                count += 1
                largest = max(largest, x[i])
            k = i - start + 1
            if count + tail_count[k] >= required:
                out[i] = max(largest, tail_max[k])
        count = 0
        largest = -np.inf
        if stop - start == n:
            for k in range(n - 1, -1, -1):
                if not np.isnan(x[start + k]):
                    count += 1
                    largest = max(largest, x[start + k])
                tail_count[k] = count
                tail_max[k] = largest
    return out


@compiled
def window_moments(x: Numbers, n: int, required: int, phase: int = 0) -> tuple[Numbers, Numbers]:
    """Mean and sample standard deviation of the present values among the last ``n``."""
    means = np.full(x.size, np.nan)
    deviations = np.full(x.size, np.nan)
    tail_count = np.zeros(n + 1, dtype=np.int64)
    tail_mean = np.zeros(n + 1)
    tail_square = np.zeros(n + 1)
    for start in range(-phase, x.size, n):
        stop = min(start + n, x.size)
        count = 0
        mean = 0.0
        square = 0.0
        for i in range(max(start, 0), stop):
            if not np.isnan(x[i]):
                count += 1
                delta = x[i] - mean
                mean += delta / count
                square += delta * (x[i] - mean)
            k = i - start + 1
            joined = count + tail_count[k]
            if joined < required:
                continue
            if tail_count[k] == 0:
                joined_mean = mean
                joined_square = square
            elif count == 0:
                joined_mean = tail_mean[k]
                joined_square = tail_square[k]
            else:
                delta = mean - tail_mean[k]
                joined_mean = tail_mean[k] + delta * (count / joined)
                joined_square = square + tail_square[k] + delta * delta * (count * (tail_count[k] / joined))
            means[i] = joined_mean
            if joined > 1:
                deviations[i] = np.sqrt(joined_square / (joined - 1))
        count = 0
        mean = 0.0
        square = 0.0
        if stop - start == n:
            for k in range(n - 1, -1, -1):
                value = x[start + k] if start + k >= 0 else np.nan
                if not np.isnan(value):
                    count += 1
                    delta = value - mean
                    mean += delta / count
                    square += delta * (value - mean)
                tail_count[k] = count
                tail_mean[k] = mean
                tail_square[k] = square
    return means, deviations


@compiled
def window_products(x: Numbers, y: Numbers, n: int, required: int, phase: int = 0) -> tuple[Numbers, Numbers, Numbers]:
    """Centred sums of x squared, y squared and x times y over the bars of the last ``n`` where both are present."""
    xx = np.full(x.size, np.nan)
    yy = np.full(x.size, np.nan)
    xy = np.full(x.size, np.nan)
    tail_count = np.zeros(n + 1, dtype=np.int64)
    tail = np.zeros((n + 1, 5))
    for start in range(-phase, x.size, n):
        stop = min(start + n, x.size)
        count = 0
        mean_x = mean_y = sum_xx = sum_yy = sum_xy = 0.0
        for i in range(max(start, 0), stop):
            if not (np.isnan(x[i]) or np.isnan(y[i])):
                count += 1
                delta_x = x[i] - mean_x
                delta_y = y[i] - mean_y
                mean_x += delta_x / count
                mean_y += delta_y / count
                sum_xx += delta_x * (x[i] - mean_x)
                sum_yy += delta_y * (y[i] - mean_y)
                sum_xy += delta_x * (y[i] - mean_y)
            k = i - start + 1
            joined = count + tail_count[k]
            if joined < required:
                continue
            if tail_count[k] == 0:
                xx[i], yy[i], xy[i] = sum_xx, sum_yy, sum_xy
                continue
            weight = count * (tail_count[k] / joined)
            gap_x = (mean_x - tail[k, 0]) if count > 0 else 0.0
            gap_y = (mean_y - tail[k, 1]) if count > 0 else 0.0
            xx[i] = sum_xx + tail[k, 2] + gap_x * gap_x * weight
            yy[i] = sum_yy + tail[k, 3] + gap_y * gap_y * weight
            xy[i] = sum_xy + tail[k, 4] + gap_x * gap_y * weight
        count = 0
        mean_x = mean_y = sum_xx = sum_yy = sum_xy = 0.0
        if stop - start == n:
            for k in range(n - 1, -1, -1):
                a = x[start + k] if start + k >= 0 else np.nan
                b = y[start + k] if start + k >= 0 else np.nan
                if not (np.isnan(a) or np.isnan(b)):
                    count += 1
                    delta_x = a - mean_x
                    delta_y = b - mean_y
                    mean_x += delta_x / count
                    mean_y += delta_y / count
                    sum_xx += delta_x * (a - mean_x)
                    sum_yy += delta_y * (b - mean_y)
                    sum_xy += delta_x * (b - mean_y)
                tail_count[k] = count
                tail[k, 0] = mean_x
                tail[k, 1] = mean_y
                tail[k, 2] = sum_xx
                tail[k, 3] = sum_yy
                tail[k, 4] = sum_xy
    return xx, yy, xy


@compiled
def lagged_median(x: Numbers, count: int, step: int, required: int) -> Numbers:
    """Median of the present values at the lags ``step``, ``2 step``, ... ``count step``.

    The values of each clock bar are kept in order; from one row to the next of the same bar one comes and one goes.
    """
    out = np.full(x.size, np.nan)
    bars = min(step, x.size)
    samples = np.empty((bars, count))
    filled = np.zeros(bars, dtype=np.int64)
    for i in range(x.size):
        sample = samples[i % step]
        many = filled[i % step]
        if many >= required:
            half = many // 2
            if many % 2 == 1:
                out[i] = sample[half]
            else:
                out[i] = sample[half - 1] + (sample[half] - sample[half - 1]) * 0.5
        new = x[i]
        place = many
        if i >= count * step and not np.isnan(x[i - count * step]):
            old = x[i - count * step]
            place = many - 1
            # Of equal values the oldest stands last.
            while sample[place] != old:
                place -= 1
            if np.isnan(new):
                filled[i % step] = many - 1
                for k in range(place, many - 1):
                    sample[k] = sample[k + 1]
                continue
            while place < many - 1 and sample[place + 1] < new:
                sample[place] = sample[place + 1]
                place += 1
        elif np.isnan(new):
            continue
        else:
            filled[i % step] = many + 1
        while place > 0 and sample[place - 1] >= new:
            sample[place] = sample[place - 1]
            place -= 1
        sample[place] = new
    return out


@compiled
def streak(c: npt.NDArray[np.bool_], cap: int) -> Numbers:
    """Length of the run of true that ends at each bar, no more than ``cap``."""
    out = np.zeros(c.size)
    length = 0
    for i in range(c.size):
        length = min(length + 1, cap) if c[i] else 0
        out[i] = length
    return out


@compiled
def past_value(x: Numbers, c: npt.NDArray[np.bool_], k: int, n: int) -> Numbers:
    """Value on the ``k``-th last bar before the current one on which ``c`` held, if it is one of the last ``n``."""
    out = np.full(x.size, np.nan)
    held = np.full(k, -n - 1, dtype=np.int64)
    count = 0
    for i in range(x.size):
        place = held[count % k]
        if i - place <= n and place >= 0:
            out[i] = x[place]
        if c[i]:
            held[count % k] = i
            count += 1
    return out
