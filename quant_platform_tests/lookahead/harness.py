"""Does a computation see the future? Run it on worlds that differ only after a cut and compare what it said before.

A *component* is any function from a frame to a frame whose rows carry a time: a feature, a setup, a rank, a gate, a
state. Its output at time t may depend on rows up to t only. The checks:

1. :func:`truncation`: on data that end at the cut, every row up to the cut is what it was on the full data; rows that
   appear or disappear count.
2. :func:`future_perturbation`: the rows after the cut become garbage, missing, or another world's; rows up to the cut
   stay. This finds code that treats short frames in a special way, which truncation cannot.
3. :func:`start`: with ``memory`` rows before it and no more, the value at t is the one of the full history.
4. :func:`availability`: an input that is only known ``d`` rows after its stamp must not be seen
   earlier, column by column.

5. :func:`partitions`: computed part by part, each with ``memory`` rows before it, all rows are those of one pass.

Cuts at random hit a component that repaints a few rows only now and then; :func:`choose_cuts` therefore also cuts at,
and one to ``after`` rows after, the times when the component itself fires or jumps.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

Frame = pl.DataFrame


@dataclass(frozen=True)
class Component:
    """A computation under test.

    Parameters
    ----------
    name
        Shown in the test's id.
    function
        The computation. It gets a frame as ``world`` makes it, possibly cut, and returns rows with ``keys``.
    world
        Makes input of a given seed. All seeds have the same times.
    time
        Name of the time column, in the input and in the output.
    keys
        Columns that identify an output row; ``time`` alone, or with a ticker.
    memory
        Rows (distinct times) before t that the value at t may depend on; None where it is not declared.
    delays
        Input column to the number of rows after its stamp at which it becomes known; 0 where not named.
    tolerance
        Relative difference that still counts as equal: sums may round differently with the start of the data.
    most_cuts
        For a computation that takes long: how many of the chosen cuts are visited, drawn at random; None for all.
    """

    name: str
    function: Callable[[Frame], Frame]
    world: Callable[[int], Frame]
    time: str
    keys: tuple[str, ...] = ()
    memory: int | None = None
    delays: Mapping[str, int] = field(default_factory=dict)
    tolerance: float = 1e-9
    most_cuts: int | None = None


@dataclass(frozen=True)
class Violation:
    """Output up to ``cut`` that changed although nothing up to the cut did."""

    check: str
    cut: Any
    rows: Frame

    def __str__(self) -> str:
        return f"{self.check} at {self.cut}: {self.rows.height} rows changed, first {self.rows.head(2).to_dicts()}"


def times_of(component: Component, frame: Frame) -> pl.Series:
    """Distinct times of a frame, rising."""
    return frame[component.time].unique().sort()


def choose_cuts(
    component: Component, frame: Frame, output: Frame, *, random: int = 8, own: int = 6, after: int = 3, seed: int = 1
) -> list[Any]:
    """Times at which to cut: some at random, and around the component's own changes.

    Parameters
    ----------
    random
        Number of random cuts.
    own
        Number of the component's own changes to visit: largest jumps, appearances, disappearances and firings.
    after
        Cuts are also made at 1 to this many times after each of them.
    """
    times = times_of(component, frame).to_list()
    rng = np.random.default_rng(seed)
    cuts = set(rng.choice(len(times) - 1, size=min(random, len(times) - 1), replace=False).tolist())
    position = {time: index for index, time in enumerate(times)}
    for time in _own_changes(component, output, own, rng):
        cuts.update(position[time] + step for step in range(after + 1))
    chosen = [times[index] for index in sorted(cuts) if index < len(times) - 1]
    if component.most_cuts is None or len(chosen) <= component.most_cuts:
        return chosen
    drawn = rng.choice(len(chosen), size=component.most_cuts, replace=False)
    return [chosen[index] for index in sorted(drawn.tolist())]


def _own_changes(component: Component, output: Frame, own: int, rng: np.random.Generator) -> list[Any]:
    values = [name for name in output.columns if name not in (component.time, *component.keys)]
    found: list[Any] = []
    if not times_of(component, output).len():
        return found
    groups = [key for key in component.keys if key != component.time]
    for name in values:
        column = pl.col(name)
        now = (
            column.cast(pl.Float64)
            if output.schema[name].is_numeric() or output.schema[name] == pl.Boolean
            else column.hash()
        )
        before = now.shift(1).over(groups) if groups else now.shift(1)
        jump = (now.cast(pl.Float64) - before.cast(pl.Float64)).abs()
        change = pl.when(now.is_null() != before.is_null()).then(float("inf")).otherwise(jump)
        moved = (
            output.sort(component.time).select(component.time, change=change).drop_nulls().filter(pl.col("change") > 0)
        )
        largest = moved.sort("change", descending=True).head(own // 2)[component.time].to_list()
        others = moved[component.time].unique().sort().to_list()
        drawn = rng.choice(len(others), size=min(own - own // 2, len(others)), replace=False) if others else []
        found += largest + [others[index] for index in drawn]
    return found or times_of(component, output).to_list()[:own]


def truncation(component: Component, frame: Frame, cuts: Sequence[Any]) -> Iterator[Violation]:
    """Compare with the output on data that end at each cut."""
    full = component.function(frame)
    for cut in cuts:
        part = component.function(frame.filter(pl.col(component.time) <= cut))
        yield from _compare(component, "truncation", cut, full, part)


def future_perturbation(
    component: Component, frame: Frame, cuts: Sequence[Any], *, seed: int = 2
) -> Iterator[Violation]:
    """Compare with the output on data whose rows after each cut are garbage, missing, or of another world."""
    full = component.function(frame)
    rng = np.random.default_rng(seed)
    other = component.world(seed + 1000)
    for cut in cuts:
        past = frame.filter(pl.col(component.time) <= cut)
        future = frame.filter(pl.col(component.time) > cut)
        futures = {
            "garbage future": _garbage(component, future, rng),
            "missing future": future.with_columns(
                pl.lit(None, dtype=kind).alias(name) for name, kind in _inputs(component, future)
            ),
            "other future": other.filter(pl.col(component.time) > cut).select(frame.columns),
        }
        for check, changed in futures.items():
            output = component.function(pl.concat([past, changed]))
            yield from _compare(component, check, cut, full, output)


def start(component: Component, frame: Frame, cuts: Sequence[Any]) -> Iterator[Violation]:
    """Compare the value at each cut with the one computed from ``memory`` earlier times and the cut itself."""
    if component.memory is None:
        return
    times = times_of(component, frame).to_list()
    full = component.function(frame)
    for cut in cuts:
        first = times.index(cut) - component.memory
        if first < 0:
            continue
        part = component.function(frame.filter(pl.col(component.time).is_between(times[first], cut)))
        at_cut = pl.col(component.time) == cut
        yield from _compare(component, "start", cut, full.filter(at_cut), part.filter(at_cut))


def partitions(component: Component, frame: Frame, parts: int = 4) -> Iterator[Violation]:
    """Compute the frame in consecutive parts, each with ``memory`` earlier times, and compare with one pass."""
    if component.memory is None:
        return
    times = times_of(component, frame).to_list()
    edges = np.linspace(0, len(times), parts + 1).astype(int).tolist()
    full = component.function(frame)
    for first, stop in itertools.pairwise(edges):
        warm = times[max(0, first - component.memory)]
        own = pl.col(component.time).is_between(times[first], times[stop - 1])
        part = component.function(frame.filter(pl.col(component.time).is_between(warm, times[stop - 1])))
        yield from _compare(component, "partitions", times[stop - 1], full.filter(own), part.filter(own))


def availability(component: Component, frame: Frame, cuts: Sequence[Any], *, seed: int = 3) -> Iterator[Violation]:
    """Change one input from one row after each cut on: with a delay of d, output up to d rows later must not move."""
    times = times_of(component, frame).to_list()
    full = component.function(frame)
    rng = np.random.default_rng(seed)
    for name, _ in _inputs(component, frame):
        delay = component.delays.get(name, 0)
        for cut in cuts:
            later = pl.col(component.time) > cut
            garbage = _garbage(component, frame, rng)[name]
            changed = frame.with_columns(pl.when(later).then(garbage).otherwise(pl.col(name)).alias(name))
            until = times[min(times.index(cut) + delay, len(times) - 1)]
            yield from _compare(component, f"availability of {name}", until, full, component.function(changed))


def violations(
    component: Component, *, seed: int = 11, random: int = 8, own: int = 6, after: int = 3
) -> list[Violation]:
    """Run every check on a world of the given seed."""
    frame = component.world(seed)
    cuts = choose_cuts(component, frame, component.function(frame), random=random, own=own, after=after)
    few = cuts[:: max(1, len(cuts) // 6)]
    return [
        *truncation(component, frame, cuts),
        *future_perturbation(component, frame, few),
        *start(component, frame, cuts),
        *partitions(component, frame),
        *availability(component, frame, few),
    ]


def _inputs(component: Component, frame: Frame) -> list[tuple[str, pl.DataType]]:
    return [
        (name, kind)
        for name, kind in frame.schema.items()
        if name != component.time and name not in component.keys and (kind.is_numeric() or kind == pl.Boolean)
    ]


def _garbage(component: Component, frame: Frame, rng: np.random.Generator) -> Frame:
    """Numbers far from anything plausible, of both signs, and random conditions."""
    columns = []
    for name, kind in _inputs(component, frame):
        if kind == pl.Boolean:
            values = pl.Series(name, rng.random(frame.height) < 0.5)
        else:
            values = pl.Series(name, rng.normal(0, 1e4, frame.height)).cast(kind)
        columns.append(values)
    return frame.with_columns(columns)


def _compare(component: Component, check: str, cut: Any, full: Frame, other: Frame) -> Iterator[Violation]:
    keys = list(component.keys or (component.time,))
    values = [name for name in full.columns if name not in keys]
    left = full.filter(pl.col(component.time) <= cut).with_columns(there=pl.lit(True))
    right = other.filter(pl.col(component.time) <= cut).with_columns(there=pl.lit(True))
    # Equal to the bit, which is the usual case; the join below finds what differs.
    if left.equals(right):
        return
    both = left.join(right, on=keys, how="full", suffix="_other", coalesce=True)
    differs = pl.col("there").is_null() | pl.col("there_other").is_null()
    for name in values:
        differs = differs | _differs(name, full.schema[name], component.tolerance)
    changed = both.filter(differs)
    if changed.height:
        yield Violation(check, cut, changed.sort(keys))


def _differs(name: str, kind: pl.DataType, tolerance: float) -> pl.Expr:
    now, other = pl.col(name), pl.col(f"{name}_other")
    if not kind.is_float():
        return now.ne_missing(other)
    now, other = now.fill_nan(None), other.fill_nan(None)
    gap = (now - other).abs() > tolerance * pl.max_horizontal(now.abs(), other.abs(), pl.lit(1e-6))
    return (now.is_null() != other.is_null()) | gap.fill_null(False)
