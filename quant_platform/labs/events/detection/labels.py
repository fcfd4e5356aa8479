"""The states of one symbol as columns of words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.contracts.schemas.events import STATE_COLUMNS
from quant_platform.expressions import Evaluation
from quant_platform.labs.events.detection.clocks import clock_labels
from quant_platform.labs.events.detection.grid import BAR_US, Stamps
from quant_platform.labs.events.detection.onsets import Rows, window_after
from quant_platform.labs.events.detection.plan import EventPlan, part
from quant_platform.labs.events.detection.states import Codes, at_cadence, band_labels, rule_labels
from quant_platform.specification.states import AfterEventState, BandState, ClockState, RuleState

Conditions = npt.NDArray[np.bool_]

_NOT_KNOWN = pl.Series([None], dtype=pl.String)


@dataclass(frozen=True)
class Fired:
    """Rows of the accepted onsets of an event, and per bar whether that can be said."""

    rows: Rows
    known: Conditions

    @property
    def accepted(self) -> Conditions:
        """Per bar whether an onset was accepted; made anew, for to keep it costs more than to make it."""
        found = np.zeros_like(self.known)
        found[self.rows] = True
        return found


@dataclass(frozen=True)
class Absent:
    """Columns that are null on some rows, where they are not available, with those rows."""

    columns: Mapping[str, Conditions]
    rows: int

    def any_of(self, reads: frozenset[str]) -> bool:
        """Whether one of the columns is null anywhere."""
        return not reads.isdisjoint(self.columns)

    def on(self, reads: frozenset[str]) -> Conditions:
        """Rows on which one of the columns is null."""
        found = np.zeros(self.rows, dtype=np.bool_)
        for name in reads & self.columns.keys():
            found |= self.columns[name]
        return found


def state_columns(
    plan: EventPlan, result: Evaluation, absent: Absent, fired: Mapping[str, Fired | None], bars: Stamps
) -> pl.DataFrame:
    """Label every bar.

    Parameters
    ----------
    plan
        The compiled specs.
    result
        Values of its expressions.
    absent
        Columns that are null on some rows.
    fired
        Accepted onsets by event, None where it is not available.
    bars
        Open times of the bars.

    Returns
    -------
    polars.DataFrame
        One String column per state, null where the label is not known.
    """
    return pl.DataFrame(
        [_labelled(name, *_codes(plan, name, result, absent, fired, bars), absent.rows) for name in STATE_COLUMNS]
    )


def _codes(
    plan: EventPlan,
    name: str,
    result: Evaluation,
    absent: Absent,
    fired: Mapping[str, Fired | None],
    bars: Stamps,
) -> tuple[Codes | None, Sequence[str]]:
    """Label numbers per bar, None when a column is absent, and the labels."""
    state = plan.lab.states[name]
    if isinstance(state, ClockState):
        labels = (*(span.label for span in state.spans), state.weekend_label)
        return clock_labels(bars + BAR_US, state), labels
    if isinstance(state, AfterEventState):
        return _after_events(plan, state, result, fired), (state.other, state.label)
    codes, labels = _plain_codes(plan, name, state, result)
    if codes is not None:
        codes = at_cadence(codes, int(bars[0]) // BAR_US if bars.size else 0, state.cadence_bars)
        if absent.any_of(plan.state_columns[name]):
            codes = np.where(absent.on(plan.state_columns[name]), -1, codes)
    return codes, labels


def _plain_codes(
    plan: EventPlan, name: str, state: BandState | RuleState, result: Evaluation
) -> tuple[Codes | None, tuple[str, ...]]:
    if isinstance(state, BandState):
        values = result.values.get(part(name, "expression"))
        if values is None:
            return None, state.labels
        number = values.astype(np.float64, copy=False)
        memory = plan.lab.hysteresis_memory_bars
        return band_labels(number, np.array(state.edges), state.hysteresis, memory), state.labels
    labels = tuple(state.rules)
    held = [
        values.astype(np.bool_, copy=False) for p in labels if (values := result.values.get(part(name, p))) is not None
    ]
    return (rule_labels(held) if len(held) == len(labels) else None), labels


def _after_events(
    plan: EventPlan,
    state: AfterEventState,
    result: Evaluation,
    fired: Mapping[str, Fired | None],
) -> Codes | None:
    """1 inside a window, 0 outside, -1 until the events that are available can be judged."""
    inside: Conditions | None = None
    known: Conditions | None = None
    for name in state.events:
        found = fired.get(name)
        if found is None:
            continue
        ends = result.values.get(part(name, "exit"))
        stops = np.zeros(found.known.size, dtype=np.bool_) if ends is None else ends.astype(np.bool_, copy=False)
        window = window_after(found.accepted, stops, plan.lab.events[name].max_active_bars)
        inside = window if inside is None else inside | window
        known = found.known if known is None else known & found.known
    if inside is None or known is None:
        return None
    return np.where(inside, 1, np.where(known, 0, -1)).astype(np.int64)


def _labelled(name: str, codes: Codes | None, labels: Sequence[str], rows: int) -> pl.Series:
    if codes is None:
        return pl.Series(name, [None], pl.String).new_from_index(0, rows)
    # The label of what is not known is taken away afterwards: to gather nulls costs twice as much.
    words = pl.Series(name, labels, pl.String).gather(pl.Series(np.maximum(codes, 0).astype(np.uint32)))
    return words.zip_with(pl.Series(codes >= 0), _NOT_KNOWN)
