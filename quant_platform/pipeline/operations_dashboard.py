"""The dashboard's stage: the standard outputs of a session, in the table and as files below ``<home>/outputs``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from quant_platform.labs.operations import dashboard as lab
from quant_platform.labs.operations.frames import empty, rows_frame
from quant_platform.labs.operations.growth import growth
from quant_platform.lake.atomic import atomic_text
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.operations import imported_slippage
from quant_platform.pipeline.operations_fills import within
from quant_platform.pipeline.outputs import history_folder, outputs_folder
from quant_platform.pipeline.sessions import market_sessions
from quant_platform.pipeline.stage import FrameStage, Made, Reads
from quant_platform.specification.operations import (
    ALERTS,
    EVIDENCE,
    ROUTING,
    AlertsSpec,
    EvidenceSpec,
    RoutingSpec,
)

WATCHED = ("confidence", "rr", "stop_distance_bps")
_RECENT_SESSIONS = 21
_SHOWN = 500
_WEEKLY = {
    "costs": ("ops.transaction_costs", "no venue's fills are known yet: quant fills import"),
    "windows": ("ops.slippage_windows", "no venue's fills are known yet: quant fills import"),
    "sleeves": ("ops.sleeve_summary", "no week of operations is made yet: quant operations weekly"),
    "promotions": ("ops.sleeve_promotions", "no week of operations is made yet: quant operations weekly"),
    "proposals": ("ops.config_proposals", "the evidence of the last week speaks for no change"),
}


def dashboards(
    home: Home,
    keys: Sequence[str],
    *,
    book: pl.LazyFrame,
    executions: pl.LazyFrame,
    skips: pl.LazyFrame,
    trades: pl.LazyFrame,
    marks: pl.LazyFrame,
    orders: pl.LazyFrame,
    fills: pl.LazyFrame,
) -> Made:
    """The outputs of some sessions; those of the newest session of the account are also written as files."""
    frames = {
        "book": book.collect(),
        "executions": executions.collect(),
        "skips": skips.collect(),
        "trades": trades.collect(),
        "marks": marks.collect(),
        "orders": orders.collect(),
    }
    known = fills.collect()
    rows, files = [], {}
    for day in map(date.fromisoformat, keys):
        made = _outputs(home, day, {name: frame.filter(pl.col("day") <= day) for name, frame in frames.items()}, known)
        raised = len(made["alerts"]["content"])
        for name, content in made.items():
            text = lab.as_json(content)
            rows.append(
                {
                    "day": day,
                    "output": name,
                    "layout": lab.LAYOUT,
                    "simulated": home.simulated,
                    "alerts": raised if name in ("alerts", "dashboard") else 0,
                    "json": text,
                }
            )
        if day == frames["book"]["day"].max():
            files = write_outputs(home, day, made)
    frame = rows_frame("ops.dashboard", rows)
    return Made(frame, files)


def write_outputs(home: Home, day: date, made: Mapping[str, Mapping[str, Any]]) -> dict[str, Path]:
    """Write the outputs of a session as files, the layout's schema beside them, and a copy into the history."""
    folder = outputs_folder(home)
    folder.mkdir(parents=True, exist_ok=True)
    atomic_text(folder / "layout.schema.json", json.dumps(lab.layout_schema(), indent=1))
    files = {}
    for name, content in made.items():
        files[name] = folder / f"{name}.json"
        atomic_text(files[name], lab.as_json(content))
    if home.load(ALERTS, AlertsSpec).keep_snapshots:
        kept = history_folder(home)
        kept.mkdir(exist_ok=True)
        atomic_text(kept / f"{day.isoformat()}.json", lab.as_json(made))
    return files


def _outputs(home: Home, day: date, seen: Mapping[str, pl.DataFrame], fills: pl.DataFrame) -> dict[str, dict[str, Any]]:
    evidence, routing = home.load(EVIDENCE, EvidenceSpec), home.load(ROUTING, RoutingSpec)
    spec, simulated = home.load(ALERTS, AlertsSpec), home.simulated
    since = day - timedelta(days=evidence.lookback_days - 1)
    slippage = imported_slippage(within(fills, since, day), routing)
    scanned = {str(key) for key in home.lake.partitions("live.scan")}
    names = {str(key) for key in home.lake.partitions("clean.equity_bars")}
    growing = growth(seen["trades"], seen["book"], scanned, names, evidence, routing)
    account = seen["book"].filter(pl.col("day") == day)
    raised = lab.alerts(account, _behind(home, day), slippage, _drift(home, day, since), spec)
    today = {name: seen[name].filter(pl.col("day") == day) for name in ("executions", "skips", "trades", "orders")}
    weekly = {name: _newest_week(home, source, day) for name, (source, _) in _WEEKLY.items()}
    made = {
        "dashboard": lab.summary(day, simulated, seen["book"], today, raised, growing, weekly["proposals"]),
        "executions": _recent(day, simulated, "executions", seen["executions"], "no paper order was filled yet"),
        "skips": _recent(day, simulated, "skips", seen["skips"].filter(pl.col("code") != "gate"),
                         "nothing that passed the gate was left out"),
        "trades": _recent(day, simulated, "trades", seen["trades"], "no paper trade is closed yet"),
        "open_positions": lab.table_output(
            "open_positions", day, simulated, seen["marks"].filter(pl.col("day") == day), "no position is open"
        ),
        "growth": lab.output("growth", day, simulated, growing.as_dict(), None),
        "alerts": lab.output("alerts", day, simulated, [vars(one) for one in raised],
                             None if raised else "nothing is out of bounds"),
    }  # fmt: skip
    for name, (_, why) in _WEEKLY.items():
        made[name] = lab.table_output(name, day, simulated, weekly[name], why)
    return made


def _recent(day: date, simulated: bool, name: str, frame: pl.DataFrame, why: str) -> dict[str, Any]:
    return lab.table_output(
        name, day, simulated, frame.sort("day", descending=True, maintain_order=True).head(_SHOWN), why
    )


def _newest_week(home: Home, name: str, day: date) -> pl.DataFrame:
    weeks = [key for key in map(str, home.lake.partitions(name)) if key <= day.isoformat()]
    return home.lake.read(name, [max(weeks)]) if weeks else empty(name)


def _behind(home: Home, day: date) -> int:
    """Sessions up to a day that come after the newest bar of the market."""
    priced = home.lake.scan("clean.equity_bars").filter(pl.col("missing_reason").is_null(), pl.col("session") <= day)
    newest = priced.select(pl.col("session").max()).collect().item()
    sessions = market_sessions(home)
    wanted = sessions[sessions <= np.datetime64(day)]
    return len(wanted) if newest is None else int((wanted > np.datetime64(newest)).sum())


def _drift(home: Home, day: date, since: date) -> dict[str, tuple[pl.Series, pl.Series]]:
    """Features of setups: those replayed within the lookback, and those of the last scans."""
    days = sorted(key for key in map(str, home.lake.partitions("live.scan")) if key <= day.isoformat())
    recent = days[-_RECENT_SESSIONS:]
    if not recent:
        return {}
    scans = home.lake.read("live.scan", recent)
    before = home.lake.scan("replay.candidates").filter(
        pl.col("date_sig").is_between(since, date.fromisoformat(recent[0]), closed="left")
    )
    reference = before.select(WATCHED).collect()
    return {name: (reference[name], scans[name]) for name in WATCHED}


DASHBOARD = FrameStage(
    outputs=("ops.dashboard",),
    compute=dashboards,
    specs=(ROUTING, EVIDENCE, ALERTS),
    kinds=("json", "parquet"),
    inputs={name: Reads(f"ops.{name}", "all") for name in ("book", "executions", "skips", "trades", "marks", "orders")}
    | {"fills": Reads("ops.fills")},
    deps=("live.scan", "replay.candidates", "clean.equity_bars", *(name for name, _ in _WEEKLY.values())),
    together=True,
)
