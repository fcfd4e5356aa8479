"""What a person sees of a session: standard outputs as JSON in one versioned layout, with nothing invented.

Every output is an object of the same six keys: ``layout``, ``output``, ``day``, ``simulated``, ``content`` and
``empty_because``. Where there is nothing, the content is empty and ``empty_because`` says why.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl

from quant_platform.engine.drift import drift_alarm
from quant_platform.labs.operations.growth import Growth
from quant_platform.labs.operations.switches import Slippage
from quant_platform.specification.operations import AlertsSpec

LAYOUT = "quant_platform.operations/1"
OUTPUTS = ("dashboard", "executions", "skips", "trades", "open_positions", "costs", "windows", "sleeves",
           "promotions", "proposals", "growth", "alerts")  # fmt: skip
# A stability index over fewer values says nothing but noise.
FEWEST_FOR_DRIFT = 50


@dataclass(frozen=True)
class Alert:
    """Something that a person should know.

    Attributes
    ----------
    code
        kill_switch, stale, slippage, drift.
    subject
        What it is about; with code and day it makes an alert the same alert.
    text
        In words, with value and bound.
    """

    code: str
    subject: str
    text: str


def alerts(
    book: pl.DataFrame,
    sessions_behind: int,
    slippage: Mapping[date, Slippage],
    drift: Mapping[str, tuple[pl.Series, pl.Series]],
    spec: AlertsSpec,
) -> list[Alert]:
    """Alerts of a session.

    Parameters
    ----------
    book
        The row of ``ops.book`` of the session.
    sessions_behind
        Sessions by which the newest bar of the market lags.
    slippage
        Of imported fills, by session.
    drift
        By feature of the setups its reference and its recent values.
    spec
        The bounds.
    """
    found = []
    for row in book.iter_rows(named=True):
        for switch in row["switches"]:
            name = switch.split(":")[0]
            found.append(Alert("kill_switch", name, f"{switch}; no order is sent until `quant operations reset`"))
    if sessions_behind > spec.stale_sessions:
        text = f"the newest bar lags by {sessions_behind} sessions, {spec.stale_sessions} are allowed"
        found.append(Alert("stale", "bars", text))
    count = sum(one.fills for one in slippage.values())
    modelled = sum(one.modelled for one in slippage.values())
    if count >= spec.slippage_fills and modelled > 0.0:
        ratio = sum(one.realised for one in slippage.values()) / modelled
        if ratio > spec.slippage_ratio:
            text = f"{count} fills cost {ratio:.2f} times what is modelled, {spec.slippage_ratio:g} are allowed"
            found.append(Alert("slippage", "fills", text))
    for name, (reference, current) in sorted(drift.items()):
        if min(reference.len(), current.len()) < FEWEST_FOR_DRIFT:
            continue
        seen = drift_alarm(reference.to_numpy(), current.to_numpy(), confidence=spec.drift_level)
        if seen.raised:
            text = f"stability index {seen.index.value:.3f} of {name}, chance explains {seen.index.bound:.3f}"
            found.append(Alert("drift", name, text))
    return found


def output(name: str, day: date, simulated: bool, content: Any, empty_because: str | None) -> dict[str, Any]:
    """One output in the layout."""
    return {
        "layout": LAYOUT,
        "output": name,
        "day": day.isoformat(),
        "simulated": simulated,
        "content": content,
        "empty_because": empty_because,
    }


def rows_of(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON values: dates and times as ISO 8601, what is missing or without end as null."""
    return [{key: _value(value) for key, value in row.items()} for row in frame.iter_rows(named=True)]


def _value(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime | date):
        return value.isoformat()
    return [_value(one) for one in value] if isinstance(value, list) else value


def table_output(name: str, day: date, simulated: bool, frame: pl.DataFrame, why_empty: str) -> dict[str, Any]:
    """An output that is the rows of a table."""
    return output(name, day, simulated, rows_of(frame), why_empty if frame.is_empty() else None)


def summary(
    day: date,
    simulated: bool,
    book: pl.DataFrame,
    today: Mapping[str, pl.DataFrame],
    raised: Sequence[Alert],
    growing: Growth,
    proposals: pl.DataFrame,
) -> dict[str, Any]:
    """The first page: the account, what happened in the session, alerts, progress.

    Parameters
    ----------
    book
        Rows of ``ops.book`` up to the session.
    today
        Rows of the session of ``executions``, ``skips``, ``trades`` and ``orders``.
    raised, growing, proposals
        Alerts, progress, and the newest week's proposals.
    """
    if book.is_empty():
        return output(
            "dashboard", day, simulated, {}, "no session of the paper account is made yet: run operations_daily"
        )
    skips = today["skips"].group_by("code").len().sort("len", "code", descending=[True, False])
    content = {
        "account": rows_of(book.sort("day").tail(1))[0],
        "equity": [
            {"day": row["day"].isoformat(), "equity": row["equity"], "drawdown": row["drawdown"]}
            for row in book.sort("day").iter_rows(named=True)
        ],
        "counts": {name: frame.height for name, frame in today.items()},
        "skips_by_reason": dict(skips.iter_rows()),
        "alerts": [asdict(one) for one in raised],
        "growth": growing.as_dict(),
        "open_proposals": proposals.height,
    }
    return output("dashboard", day, simulated, content, None)


def as_json(made: Mapping[str, Any]) -> str:
    """Text of an output; equal content gives equal text."""
    return json.dumps(made, indent=1, sort_keys=True, allow_nan=False, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no place in an output")


def layout_schema() -> dict[str, Any]:
    """JSON Schema of the layout, as it is written beside the outputs."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": LAYOUT,
        "type": "object",
        "additionalProperties": False,
        "required": ["layout", "output", "day", "simulated", "content", "empty_because"],
        "properties": {
            "layout": {"const": LAYOUT},
            "output": {"enum": list(OUTPUTS)},
            "day": {"type": "string", "format": "date"},
            "simulated": {"type": "boolean"},
            "content": {"type": ["object", "array"]},
            "empty_because": {"type": ["string", "null"]},
        },
    }
