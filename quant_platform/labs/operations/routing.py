"""Which setups become orders: thresholds of the name or its class, hours, what is held already; each refusal said."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.labs.operations.frames import rows_frame
from quant_platform.specification.home import AssetClass
from quant_platform.specification.operations import ClassSpec, RoutingSpec, WindowSpec

SETUPS = "setups"
_POINTS = 100.0
# A value that differs from its floor by the rounding of its arithmetic is equal to it.
ROUNDING = 1e-12


def expected_r(setups: pl.DataFrame, kind: str) -> pl.Series:
    """Expected outcome of setups in R.

    Parameters
    ----------
    setups
        Columns rr, confidence (0 to 100) and expected_value_r.
    kind
        ``confidence``: ``c rr - (1 - c)``; ``model``: the expected value of the barrier model.

    Notes
    -----
    Taking the confidence for a chance is an assumption that nothing here supports; the sweep judges the floor that
    is put on it out of sample.
    """
    if kind == "model":
        return setups["expected_value_r"].rename("expected_r")
    chance = setups["confidence"] / _POINTS
    return (chance * setups["rr"] - (1.0 - chance)).rename("expected_r")


def with_expectation(setups: pl.DataFrame, kind: str) -> pl.DataFrame:
    """Add ``chance`` (confidence, 0 to 1), ``risk`` (stop distance, a fraction) and ``expected_return``."""
    return setups.with_columns(
        chance=pl.col("confidence") / _POINTS,
        risk=pl.col("stop_distance_bps") / 1e4,
        expected_return=expected_r(setups, kind) * setups["stop_distance_bps"] / 1e4,
    )


def window_at(windows: Collection[WindowSpec], asset_class: AssetClass, moment: datetime) -> WindowSpec | None:
    """The no-trade window of an asset class that holds a moment, the first listed; None outside of all.

    Parameters
    ----------
    moment
        With a time zone; each window is read in its own.
    """
    for window in windows:
        if window.asset_class != asset_class:
            continue
        local = moment.astimezone(ZoneInfo(window.timezone)).time().replace(tzinfo=None)
        if _inside(local, window.start, window.end):
            return window
    return None


def _inside(local: time, start: time, end: time) -> bool:
    return start <= local < end if start < end else local >= start or local < end


def skip(
    day: object, strategy: str, ticker: str, asset_class: str, direction: str, code: str, reason: str, *, stage: str
) -> dict[str, Any]:
    """One row of ``ops.skips``."""
    return {
        "day": day,
        "order_id": f"{day}/{strategy}/{ticker}/{direction}",
        "code": code,
        "stage": stage,
        "strategy": strategy,
        "ticker": ticker,
        "asset_class": asset_class,
        "direction": direction,
        "reason": reason,
    }


def skips_frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows as ``ops.skips``."""
    return rows_frame("ops.skips", rows)


def route_setups(
    setups: pl.DataFrame,
    routing: RoutingSpec,
    classes: Mapping[str, AssetClass],
    held: Collection[str],
    fills_at: datetime,
) -> tuple[pl.DataFrame, list[dict[str, Any]]]:
    """Split the setups of a session into those that are sent and those that are not.

    Parameters
    ----------
    setups
        Rows of ``live.scan`` of one session, whatever the gate said.
    routing
        Thresholds and windows.
    classes
        Asset class by ticker.
    held
        Names held by, or on order for, the same strategy.
    fills_at
        When the next session opens, with a time zone.

    Returns
    -------
    DataFrame
        The rows that pass, with ``chance``, ``risk`` and ``expected_return``.
    list of dict
        Rows of ``ops.skips``, one per setup and reason of the first rule that refuses it: gate, conflict, class,
        thresholds, hours, held.

    Notes
    -----
    A value equal to its floor passes. Of two setups of one name the one with the larger expected return is sent.
    """
    found = with_expectation(setups, routing.setups.expected_r).sort("ticker", "direction")
    best = dict(found.filter("qualified").group_by("ticker").agg(pl.col("expected_return").max()).iter_rows())
    sent, skips, taken = [], [], set(held)
    for row in found.iter_rows(named=True):
        asset_class = classes[row["ticker"]]
        refusal = _refusal(row, routing, asset_class, best, fills_at)
        if refusal is None and row["ticker"] in taken:
            refusal = ("held", "the name is held or on order already")
        sent.append(refusal is None)
        if refusal is None:
            taken.add(row["ticker"])
        else:
            place = (row["day"], SETUPS, row["ticker"], asset_class, row["direction"])
            skips.append(skip(*place, *refusal, stage="decision"))
    return found.filter(pl.Series(sent, dtype=pl.Boolean)), skips


def _refusal(
    row: Mapping[str, Any],
    routing: RoutingSpec,
    asset_class: AssetClass,
    best: Mapping[str, float],
    fills_at: datetime,
) -> tuple[str, str] | None:
    """Code and reason of the first rule that refuses a setup, None where none does."""
    if not row["qualified"]:
        return "gate", "; ".join(row["refusals"])
    if not routing.setups.trade:
        return "switched_off", "setups.trade of operations/routing.yaml is false"
    floors = routing.thresholds(row["ticker"], asset_class)
    refused = None if floors is None else below_floor(row, floors)
    if refused is not None:
        return refused
    if floors is not None and row["expected_return"] < best[row["ticker"]]:
        return "conflict", "the other direction of the name has a larger expected return"
    return refused_place(routing, asset_class, fills_at)


def refused_place(routing: RoutingSpec, asset_class: AssetClass, fills_at: datetime) -> tuple[str, str] | None:
    """Why nothing of an asset class is opened at a time, as code and reason; None where it may be.

    Parameters
    ----------
    fills_at
        When an order would be filled, with a time zone.
    """
    if asset_class not in routing.asset_classes:
        return "asset_class", f"{asset_class} is not listed in asset_classes of operations/routing.yaml"
    window = window_at(routing.no_trade_windows, asset_class, fills_at)
    if window is not None:
        return "no_trade_window", f"{window.start:%H:%M} to {window.end:%H:%M} {window.timezone}: {window.reason}"
    return None


def below_floor(row: Mapping[str, Any], floors: ClassSpec) -> tuple[str, str] | None:
    """The threshold that a setup misses, as code and reason; None where it passes all.

    Parameters
    ----------
    row
        ``chance``, ``risk`` and ``expected_return``.
    """
    chance, risk, expected = row["chance"], row["risk"], row["expected_return"]
    code = next((code for code, missed in _missed(chance, risk, expected, floors) if missed), None)
    match code:
        case "min_confidence":
            return code, f"confidence {chance:.3f} is below {floors.min_confidence:g}"
        case "min_expected_return":
            buffer = f"{expected:.5f} less the friction buffer {floors.friction_buffer:g}"
            return code, f"expected return {buffer} is below {floors.min_expected_return:g}"
        case "max_risk":
            return code, f"stop distance {risk:.4f} is above {floors.max_risk:g}"
    return None


def above_floors(rows: pl.DataFrame, floors: ClassSpec) -> npt.NDArray[np.bool_]:
    """Which setups of one asset class pass every threshold: ``chance``, ``risk`` and ``expected_return``."""
    chance, risk, expected = (rows[name].to_numpy() for name in ("chance", "risk", "expected_return"))
    passed = np.ones(rows.height, dtype=np.bool_)
    for _, missed in _missed(chance, risk, expected, floors):
        passed &= ~missed
    return passed


def _missed(chance: Any, risk: Any, expected: Any, floors: ClassSpec) -> Iterator[tuple[str, Any]]:
    """Each threshold in the order in which they are looked at, and whether numbers, or arrays of them, miss it."""
    if floors.min_confidence is not None:
        yield "min_confidence", chance < floors.min_confidence - ROUNDING
    if floors.min_expected_return is not None:
        yield "min_expected_return", expected - floors.friction_buffer < floors.min_expected_return - ROUNDING
    if floors.max_risk is not None:
        yield "max_risk", risk > floors.max_risk + ROUNDING
