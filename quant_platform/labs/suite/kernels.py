"""Compiled loops of the suite: one pass over ``[date, name]`` each, on ranks that were taken once.

Ranks are doubled average ranks as integers (2 is the lowest of a date without ties), 0 where a name has none: sums
over them are exact, and a later cross-section ranks again by counting instead of sorting.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quant_platform.contracts.compiled import compiled

Floats = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]
Ints = npt.NDArray[np.int32]
Codes = npt.NDArray[np.int16]
Bools = npt.NDArray[np.bool_]


@compiled
def shifted_ic_rows(
    signal: Ints, signal_counts: Longs, returns: Ints, return_counts: Longs, shifts: Longs, min_names: int, ic: Floats
) -> None:
    """Write Spearman's correlation of ``signal[t]`` with ``returns[t + shifts[k]]`` into ``ic[K, T]``, NaN without one.

    Where every name has both, the ranks are those of the pairs; else both sides are ranked again within the pairs. All
    shifts of a date follow each other, so that the rows they share come from the processor's cache.
    """
    dates, names = signal.shape
    of_signal = np.zeros(2 * names + 3, dtype=np.int64)
    of_return = np.zeros(2 * names + 3, dtype=np.int64)
    all_returns = np.zeros(dates, dtype=np.int64)
    for date in range(dates):
        total = np.int64(0)
        for name in range(names):
            b = np.int64(returns[date, name])
            total += b * b
        all_returns[date] = total
    for date in range(dates):
        all_signals = np.int64(0)
        for name in range(names):
            a = np.int64(signal[date, name])
            all_signals += a * a
        for k in range(shifts.shape[0]):
            ic[k, date] = np.nan
            other = date + shifts[k]
            if other < 0 or other >= dates:
                continue
            # A missing rank is 0 and adds nothing to a product.
            cross = np.int64(0)
            for name in range(names):
                cross += np.int64(signal[date, name]) * np.int64(returns[other, name])
            pairs = np.int64(names)
            signal_squares = all_signals
            return_squares = all_returns[other]
            if signal_counts[date] != names or return_counts[other] != names:
                pairs = np.int64(0)
                for name in range(names):
                    pairs += (signal[date, name] > 0) & (returns[other, name] > 0)
            if pairs < min_names:
                continue
            if pairs != signal_counts[date] or pairs != return_counts[other]:
                of_signal[:] = 0
                of_return[:] = 0
                for name in range(names):
                    a = np.int64(signal[date, name])
                    b = np.int64(returns[other, name])
                    if a > 0 and b > 0:
                        of_signal[a] += 1
                        of_return[b] += 1
                signal_below = np.int64(0)
                return_below = np.int64(0)
                for place in range(2 * names + 3):
                    size = of_signal[place]
                    of_signal[place] = 2 * signal_below + size + 1
                    signal_below += size
                    size = of_return[place]
                    of_return[place] = 2 * return_below + size + 1
                    return_below += size
                cross = np.int64(0)
                signal_squares = np.int64(0)
                return_squares = np.int64(0)
                for name in range(names):
                    a = np.int64(signal[date, name])
                    b = np.int64(returns[other, name])
                    if a > 0 and b > 0:
                        a = of_signal[a]
                        b = of_return[b]
                        cross += a * b
                        signal_squares += a * a
                        return_squares += b * b
            centre = pairs * (pairs + 1) * (pairs + 1)
            spread = float(signal_squares - centre) * float(return_squares - centre)
            if spread > 0.0:
                ic[k, date] = min(1.0, max(-1.0, float(cross - centre) / np.sqrt(spread)))


@compiled
def rank_again_rows(ranks: Ints, kept: Bools, again: Ints, counts: Longs) -> None:
    """Write the doubled ranks of ``kept[T, N]`` names among themselves into ``again[T, N]``, 0 for the others."""
    dates, names = ranks.shape
    histogram = np.zeros(2 * names + 3, dtype=np.int64)
    for date in range(dates):
        histogram[:] = 0
        count = np.int64(0)
        for name in range(names):
            rank = ranks[date, name] * np.int32(kept[date, name])
            count += rank > 0
            histogram[rank] += 1
        counts[date] = count
        below = np.int64(0)
        for rank in range(1, 2 * names + 3):
            size = histogram[rank]
            histogram[rank] = 2 * below + size + 1
            below += size
        histogram[0] = 0
        for name in range(names):
            again[date, name] = histogram[ranks[date, name] * np.int32(kept[date, name])]


@compiled
def centred_rank_rows(ranks: Ints, counts: Longs, centred: Floats) -> None:
    """Write ranks as numbers between -1/2 and 1/2 into ``centred[T, N]``, NaN without a rank."""
    dates, names = ranks.shape
    for date in range(dates):
        n = np.float64(max(counts[date], 1))
        middle = 0.5 * (n + 1.0)
        for name in range(names):
            rank = ranks[date, name]
            centred[date, name] = (0.5 * rank - middle) / n if rank > 0 else np.nan


@compiled
def median_distance_rows(values: Floats, ranks: Ints, counts: Longs, distance: Floats) -> None:
    """Write the distance of each value from the median of its row into ``distance[T, N]``, found by the row's ranks."""
    dates, names = values.shape
    histogram = np.zeros(2 * names + 3, dtype=np.int64)
    for date in range(dates):
        histogram[:] = 0
        for name in range(names):
            histogram[ranks[date, name]] += 1
        low_place, high_place = (counts[date] - 1) // 2, counts[date] // 2
        low_rank, high_rank = 0, 0
        below = np.int64(0)
        for rank in range(1, 2 * names + 3):
            if below <= low_place:
                low_rank = rank
            if below <= high_place:
                high_rank = rank
            else:
                break
            below += histogram[rank]
        low, high = np.nan, np.nan
        for name in range(names):
            if ranks[date, name] == low_rank:
                low = values[date, name]
            if ranks[date, name] == high_rank:
                high = values[date, name]
        median = (low + high) / 2.0
        for name in range(names):
            distance[date, name] = abs(values[date, name] - median)


@compiled
def group_rows(ranks: Ints, counts: Longs, bounds_milli: Longs, groups: Codes) -> None:
    """Write the group of each name, 0 for the lowest, -1 without a rank, into ``groups[T, N]``.

    ``bounds_milli`` are ascending percentiles times 1,000. A name belongs above a bound if it ranks above the name at
    place ``floor((n - 1) q)`` of its date: the linear quantile, closed on the right, without rounding.
    """
    dates, names = ranks.shape
    bounds = bounds_milli.shape[0]
    histogram = np.zeros(2 * names + 3, dtype=np.int64)
    group_of = np.empty(2 * names + 3, dtype=np.int16)
    group_of[0] = -1
    for date in range(dates):
        n = counts[date]
        if n == 0:
            groups[date, :] = -1
            continue
        histogram[:] = 0
        for name in range(names):
            histogram[ranks[date, name]] += 1
        bound = 0
        below = np.int64(0)
        for rank in range(1, 2 * names + 3):
            group_of[rank] = bound
            below += histogram[rank]
            while bound < bounds and below > ((n - 1) * bounds_milli[bound]) // 100_000:
                bound += 1
        for name in range(names):
            groups[date, name] = group_of[ranks[date, name]]


@compiled
def leg_weight_rows(
    groups: Codes, top: int, base: Floats, use_base: bool, min_names: int, weights: Floats, valid: Bools
) -> None:
    """Write weights of the two outer groups, +1 and -1 in sum, into ``weights[T, N]``.

    ``base[T, N]`` says how a leg is divided if ``use_base``; a name whose base is missing or not positive is left out.
    ``valid[T]`` is False where a leg has fewer than ``min_names``, and its weights are zero.
    """
    dates, names = groups.shape
    for date in range(dates):
        valid[date] = False
        low_total, high_total = 0.0, 0.0
        low_count, high_count = 0, 0
        if not use_base:
            for name in range(names):
                low_count += groups[date, name] == 0
                high_count += groups[date, name] == top
            enough = low_count >= min_names and high_count >= min_names
            valid[date] = enough
            low = -1.0 / low_count if enough else 0.0
            high = 1.0 / high_count if enough else 0.0
            for name in range(names):
                group = groups[date, name]
                weights[date, name] = low if group == 0 else high if group == top else 0.0
            continue
        for name in range(names):
            weights[date, name] = 0.0
            group = groups[date, name]
            if group != 0 and group != top:
                continue
            size = base[date, name]
            if not size > 0.0:
                continue
            if group == 0:
                low_total += size
                low_count += 1
            else:
                high_total += size
                high_count += 1
        if low_count < min_names or high_count < min_names:
            continue
        valid[date] = True
        for name in range(names):
            group = groups[date, name]
            if group != 0 and group != top:
                continue
            size = base[date, name]
            if size > 0.0:
                weights[date, name] = -size / low_total if group == 0 else size / high_total


@compiled
def book_rows(
    targets: Floats,
    valid: Bools,
    lag: int,
    max_age: int,
    returns: Floats,
    tradable: Bools,
    last: Longs,
    linear_rate: Floats,
    impact_rate: Floats,
    first_bucket: Codes,
    second_bucket: Codes,
    totals: Floats,
    by_first: Floats,
    by_second: Floats,
    counted: Longs,
    held: Floats,
    keep_held: bool,
    end_loss: float,
) -> None:
    """Carry one book through time; per row of capital 1 the columns below are added up.

    Per row, for every name:

    1. The position of the row before earns the row's return; a missing return earns nothing and is counted.
    2. A name past its last row was paid out with that return: its position is gone, and nothing is traded. Where that
       return is missing, who was long pays ``end_loss`` of the position, as part of the linear cost.
    3. A tradable name goes to its target; what is traded costs ``linear_rate`` times the traded notional and
       ``impact_rate`` times the traded notional to the power 3/2. A name that cannot be traded keeps what it has.

    The target is that of ``lag`` rows before if a portfolio was formed then; without one, positions are left to drift
    for ``max_age`` rows from the last one and are then closed.

    ``totals[T, 6]``: gross, linear cost, unit impact cost, traded, long, short. ``by_first[T, B, 3]`` and
    ``by_second[T, B, 3]``: gross, linear and unit impact cost by bucket. ``counted[T, 5]``: names long, names short,
    held without a price, wanted but not tradable, held into an end of which nobody says what it paid. ``held[T, N]``:
    position after trading, if ``keep_held``. The first bucket of each kind is "unknown": code 0 of ``first_bucket``,
    code -1 of ``second_bucket``. Rates are ``[T, N]``; an axis along which a rate is the same may have the length 1.
    """
    dates, names = targets.shape
    linear_names, impact_names = linear_rate.shape[1] > 1, impact_rate.shape[1] > 1
    linear_dates, impact_dates = linear_rate.shape[0] > 1, impact_rate.shape[0] > 1
    position = np.zeros(names)
    concerned = np.empty(names + 1, dtype=np.int64)
    age = max_age + 1
    for date in range(dates):
        source = date - lag
        formed = source >= 0 and valid[source]
        if formed:
            age = 0
        else:
            age += 1
        expired = age > max_age
        # Names that hold or want something, listed without a branch that nobody could predict.
        many = 0
        if formed:
            for name in range(names):
                concerned[many] = name
                many += (position[name] != 0.0) | (targets[source, name] != 0.0)
        else:
            for name in range(names):
                concerned[many] = name
                many += position[name] != 0.0
        gross, linear_sum, impact_sum, traded_sum, long, short = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for k in range(many):
            name = concerned[k]
            target = targets[source, name] if formed else 0.0
            before = position[name]
            a = first_bucket[date, name]
            b = second_bucket[date, name] + 1
            if before != 0.0:
                earned = returns[date, name]
                if earned == earned:
                    gain = before * earned
                    gross += gain
                    by_first[date, a, 0] += gain
                    by_second[date, b, 0] += gain
                    before += gain
                elif date > last[name]:
                    counted[date, 4] += 1
                    loss = max(before, 0.0) * end_loss
                    linear_sum += loss
                    by_first[date, a, 1] += loss
                    by_second[date, b, 1] += loss
                else:
                    counted[date, 2] += 1
            if date > last[name]:
                position[name] = 0.0
                continue
            after = before
            if formed or expired:
                if tradable[date, name]:
                    after = target
                elif target != before:
                    counted[date, 3] += 1
            traded = abs(after - before)
            if traded > 0.0:
                linear = traded * linear_rate[date if linear_dates else 0, name if linear_names else 0]
                impact = (
                    traded * np.sqrt(traded) * impact_rate[date if impact_dates else 0, name if impact_names else 0]
                )
                linear_sum += linear
                impact_sum += impact
                traded_sum += traded
                by_first[date, a, 1] += linear
                by_first[date, a, 2] += impact
                by_second[date, b, 1] += linear
                by_second[date, b, 2] += impact
            position[name] = after
            if after > 0.0:
                long += after
                counted[date, 0] += 1
            elif after < 0.0:
                short -= after
                counted[date, 1] += 1
            if keep_held:
                held[date, name] = after
        totals[date, 0] = gross
        totals[date, 1] = linear_sum
        totals[date, 2] = impact_sum
        totals[date, 3] = traded_sum
        totals[date, 4] = long
        totals[date, 5] = short


@compiled
def group_mean_rows(
    groups: Codes, forward: Floats, n_groups: int, min_names: int, means: Floats, counts: Longs
) -> None:
    """Write mean forward returns and counts per group and date; NaN on dates with fewer than ``min_names`` pairs."""
    dates, names = groups.shape
    for date in range(dates):
        total = 0
        for group in range(n_groups):
            means[date, group] = 0.0
            counts[date, group] = 0
        for name in range(names):
            group = groups[date, name]
            value = forward[date, name]
            if group >= 0 and value == value:
                means[date, group] += value
                counts[date, group] += 1
                total += 1
        for group in range(n_groups):
            if counts[date, group] == 0 or total < min_names:
                means[date, group] = np.nan
            else:
                means[date, group] /= counts[date, group]


@compiled
def forward_return_rows(
    returns: Floats, tradable: Bools, last: Longs, horizons: Longs, start: int, forward: Floats
) -> None:
    """Write the compound return of rows ``t + 1 .. t + h`` of names tradable at t into ``forward[H, D, N]``.

    ``t = start + d``. NaN for a window past the end, and for one whose last row has no return although the name is
    still listed. A name that is paid out inside the window earns what it earned until then; NaN where nobody says what
    it was paid. ``horizons`` ascend: a longer window goes on where a shorter one ended.
    """
    dates, names = returns.shape
    compound = np.empty(names)
    told = np.empty(names, dtype=np.bool_)
    for name in range(names):
        end = min(last[name] + 1, dates - 1)
        told[name] = returns[end, name] == returns[end, name]
    for d in range(forward.shape[1]):
        date = start + d
        compound[:] = 1.0
        row = date
        for k in range(horizons.shape[0]):
            end = date + horizons[k]
            if end >= dates:
                forward[k, d, :] = np.nan
                continue
            while row < end:
                row += 1
                for name in range(names):
                    value = returns[row, name]
                    compound[name] *= 1.0 + value if value == value else 1.0
            for name in range(names):
                value = returns[end, name]
                known = tradable[date, name] & ((value == value) | ((end > last[name]) & told[name]))
                forward[k, d, name] = compound[name] - 1.0 if known else np.nan


@compiled
def demean_rows(values: Floats, codes: Codes, n_codes: int, out: Floats) -> None:
    """Subtract from each value the mean of its code on its date; NaN for a code below zero. ``[K, T, N]``.

    A name alone in its code is its own mean; what rounding leaves of it, at most 1e-12 of the largest finite value of
    the date, becomes zero.
    """
    panels, dates, names = values.shape
    total = np.zeros(n_codes)
    count = np.zeros(n_codes, dtype=np.int64)
    for panel in range(panels):
        for date in range(dates):
            total[:] = 0.0
            count[:] = 0
            largest = 0.0
            for name in range(names):
                value = values[panel, date, name]
                size = abs(value)
                if size < np.inf and size > largest:
                    largest = size
                code = codes[date, name]
                if code >= 0 and value == value:
                    total[code] += value
                    count[code] += 1
            nothing = 1e-12 * largest
            for name in range(names):
                value = values[panel, date, name]
                code = codes[date, name]
                left = np.nan
                if code >= 0 and value == value:
                    left = value - total[code] / count[code]
                    if abs(left) <= nothing:
                        left = 0.0
                out[panel, date, name] = left
