"""State labels per bar from the results of their expressions; codes, and -1 where a label is not known.

All labels have a finite memory, so they do not depend on where the history starts:

* a band label in the margin of an edge comes from the last number outside every margin, at most ``memory_bars`` back;
  when there is none, from the plain band of the oldest known number among those bars;
* a cadence takes the label of the last bar that opens at a multiple of it, counted from 1970;
* a window after an event is as long as the event says.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from quant_platform.contracts.compiled import compiled

Codes = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]


@compiled
def _band(x: float, edges: Numbers) -> int:
    code = 0
    while code < edges.size and x >= edges[code]:
        code += 1
    return code


@compiled
def _next(code: int, x: float, edges: Numbers, margin: float) -> int:
    while code < edges.size and x >= edges[code] + margin:
        code += 1
    while code > 0 and x < edges[code - 1] - margin:
        code -= 1
    return code


@compiled
def _in_margin(x: float, edges: Numbers, margin: float) -> bool:
    inside = False
    for edge in edges:
        if edge - margin <= x < edge + margin:
            inside = True
    return inside


@compiled
def band_labels(x: Numbers, edges: Numbers, margin: float, memory_bars: int) -> Codes:
    """Band of each number, which must leave the margin of an edge before the label changes.

    Parameters
    ----------
    x
        The number per bar, shape (bars,); NaN is missing and has label -1.
    edges
        Rising edges; a number on an edge is above it.
    margin
        Half the width of the zone around an edge in which the label stays.
    memory_bars
        How far back the label of a number in a margin looks.
    """
    out = np.full(x.size, -1, dtype=np.int64)
    code = -1
    sure = -1
    # Most numbers are in the band of the last one that was outside every margin, between its margins.
    band, low, high = -1, np.inf, -np.inf
    for i in range(x.size):
        if low <= x[i] < high:
            code = band
            sure = i
            out[i] = code
        elif np.isnan(x[i]):
            continue
        elif not _in_margin(x[i], edges, margin):
            code = band = _band(x[i], edges)
            low = edges[band - 1] + margin if band > 0 else -np.inf
            high = edges[band] - margin if band < edges.size else np.inf
            sure = i
            out[i] = code
        elif sure >= 0 and i - sure <= memory_bars:
            code = _next(code, x[i], edges, margin)
            out[i] = code
        else:
            own = -1
            for j in range(max(0, i - memory_bars), i + 1):
                if not np.isnan(x[j]):
                    own = _band(x[j], edges) if own < 0 else _next(own, x[j], edges, margin)
            out[i] = own
    return out


def rule_labels(conditions: Sequence[npt.NDArray[np.bool_]]) -> Codes:
    """Number of the first condition that holds on each bar."""
    codes = np.full(conditions[0].size, -1, dtype=np.int64)
    for code in range(len(conditions) - 1, -1, -1):
        codes[conditions[code]] = code
    return codes


def at_cadence(codes: Codes, first_bar: int, cadence_bars: int) -> Codes:
    """Label of the last bar whose number is a multiple of the cadence.

    Parameters
    ----------
    codes
        Labels per bar, shape (bars,).
    first_bar
        Number of the first row, counted in bars from 1970.
    cadence_bars
        Distance of the bars whose label counts.
    """
    if cadence_bars == 1:
        return codes
    return _held(codes, first_bar % cadence_bars, cadence_bars)


@compiled
def _held(codes: Codes, phase: int, cadence_bars: int) -> Codes:
    out = np.empty_like(codes)
    code = -1
    for i in range(codes.size):
        if (i + phase) % cadence_bars == 0:
            code = codes[i]
        out[i] = code
    return out
