"""Operations: the paper account's outputs as they are written, polled; proposals with their evidence; earlier sessions.

The newest outputs are looked at every :data:`POLL_SECONDS`: the first lines are drawn again each time, the rest of the
page only when a file has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import polars as pl
import streamlit as st

from quant_platform.app import parts
from quant_platform.pipeline import changes
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.outputs import Output, outputs_stamp, read_outputs, snapshot_days
from quant_platform.reports.operations import figures

POLL_SECONDS = 5.0
NEWEST = "the newest, looked at every 5 seconds"
_DRAWN = "operations-drawn"
_EXECUTED = (
    "day", "ticker", "side", "quantity", "reason", "entry", "mid", "fill", "commission", "spread", "impact",
    "currency", "executed_at", "law", "sleeve", "strategy",
)  # fmt: skip
_SKIPPED = ("day", "ticker", "direction", "code", "reason", "stage", "asset_class", "strategy")
_TRADED = (
    "day", "ticker", "direction", "exit_reason", "r", "net_pnl", "costs", "quantity", "entry_price", "exit_price",
    "date_entry", "bars_held", "sleeve", "strategy",
)  # fmt: skip
_PROPOSED = ("proposal_id", "state", "kind", "file", "path", "old", "new", "n", "estimate", "low", "high")
_COSTS = ("group", "measure", "unit", "value", "low", "high", "modelled", "n", "n_left_out", "laws")
_SUMMED = (
    "ticker", "sleeve", "evidence", "n", "profit_factor", "win_rate", "annual_pnl", "mean_r", "mean_r_low",
    "mean_r_high", "max_drawdown", "asset_class",
)  # fmt: skip
_MOVED = ("ticker", "sleeve", "says", "streak", "proposed", "reason", "n", "mean_r", "mean_r_low", "mean_r_high",
          "held_weeks")  # fmt: skip
MANY = 24
_MAKE = {
    "costs": "`quant fills import FILE` brings a broker's own fills; `quant operations weekly` looks at them.",
    "sleeves": "`quant operations weekly` makes them.",
    "executions": "Orders of a session meet the open of the next one: `quant run operations_daily`.",
    "trades": "A trade is here once its stop, its target or its horizon has come.",
    "skips": "What the gate itself refuses is counted above and stored in ops.skips.",
    "open_positions": "`quant run operations_daily` fills orders.",
}


def show() -> None:
    """Draw the page."""
    home = parts.opened("Operations")
    if not home.has_bars:
        parts.nothing(
            "The paper account trades bars of equities, and this home holds none.", "Start the app on another home."
        )
        return
    chosen = str(st.selectbox("Session", [NEWEST, *snapshot_days(home)], key="session"))
    newest = chosen == NEWEST
    # Taken before the files are read: what is written in between is seen at the next look.
    st.session_state[_DRAWN] = outputs_stamp(home)
    with parts.said_to_people():
        found = read_outputs(home, None if newest else chosen)
        if newest:
            _watched()
        elif "dashboard" in found:
            _headline(found)
        if "dashboard" in found:
            _account(home, found)
            _proposals(home, found)
            _costs(found)
            _names(found)
            _traded(found)


@st.fragment(run_every=POLL_SECONDS)
def _watched() -> None:
    home = Home.from_environment()
    if outputs_stamp(home) != st.session_state.get(_DRAWN):
        st.rerun()
    with parts.said_to_people():
        found = read_outputs(home)
        if "dashboard" not in found:
            parts.nothing(
                "There is no session of the paper account yet.",
                "`quant run operations_daily` makes one after the scan of a session, `quant run operations_dashboard` "
                "writes what this page shows; `quant up` does both after every close.",
            )
            return
        _headline(found)
        st.caption(f"Looked at {datetime.now(UTC):%H:%M:%S} UTC, every {POLL_SECONDS:g} seconds.")


def _headline(found: Mapping[str, Output]) -> None:
    first = found["dashboard"]
    if not first.content:
        parts.nothing(f"The session of {first.day} is empty.", str(first.empty_because))
        return
    account, counts = first.content["account"], first.content["counts"]
    st.markdown(f"**The paper account at the close of {first.day}**")
    said = (
        ("Equity", f"{account['equity']:,.0f}"),
        ("Below the peak", f"{account['drawdown']:.1%}"),
        ("Positions", str(account["positions"])),
        ("Orders sent", str(counts["orders"])),
        ("Fills", str(counts["executions"])),
        ("Not traded", str(counts["skips"])),
        ("Trades closed", str(counts["trades"])),
        ("Open proposals", str(first.content["open_proposals"])),
    )
    half = len(said) // 2
    for row in (said[:half], said[half:]):
        for place, (label, value) in zip(st.columns(half), row, strict=True):
            place.metric(label, value)
    if account["halted"]:
        st.error("A kill switch stops new orders until `quant operations reset --reviewed-by NAME`.")
    for alert in first.content["alerts"]:
        st.warning(f"**{parts.plain(alert['code'])}** {parts.plain(alert['text'])}", icon=":material/notifications:")
    if not first.content["alerts"]:
        st.caption("No alert: nothing is out of bounds.")


def _account(home: Home, found: Mapping[str, Output]) -> None:
    first = found["dashboard"]
    if not first.content:
        return
    left, right = st.columns(2)
    with left:
        curve = pl.DataFrame(first.content["equity"], infer_schema_length=None)
        for figure in figures.account_figures(curve, simulated=first.simulated):
            parts.draw(figure)
    with right:
        reasons: dict[str, int] = first.content["skips_by_reason"]
        if reasons:
            ordered = dict(sorted(reasons.items(), key=lambda one: (-one[1], one[0])))
            parts.draw(figures.skip_reasons(ordered, first.day.isoformat(), simulated=first.simulated))
        else:
            parts.nothing("Nothing was left out in this session.", "Its scan may hold no setup: see Equity.")
        _growth(home, found)


def _proposals(home: Home, found: Mapping[str, Output]) -> None:
    st.subheader("Proposed changes")
    st.caption("Nothing but a person applies them: the commands below do, and leave a record.")
    given = _rows(found, "proposals", "`quant operations weekly` looks again; thresholds and sleeves wait for trades.")
    if given.is_empty():
        return
    known = changes.all_proposals(home)
    states = dict(known.select("proposal_id", "state").iter_rows())
    shown = given.with_columns(state=pl.col("proposal_id").replace_strict(states, default="superseded"))
    parts.table(shown.select(_PROPOSED), key="proposals")
    labels = {
        str(row["proposal_id"]): f"{row['path']}: {row['old'] or 'not there'} → {row['new']}"
        for row in shown.iter_rows(named=True)
    }
    chosen = st.selectbox("Evidence of", list(labels), format_func=labels.__getitem__, key="proposal")
    stored = known.filter(pl.col("proposal_id") == chosen)
    if stored.is_empty():
        parts.nothing("This proposal is no longer stored.", "Choose the newest session above.")
        return
    row = stored.row(0, named=True)
    st.markdown(parts.plain(row["expected_effect"]))
    tried = f", chosen among {row['trials']} trials" if row["trials"] else ""
    st.caption(parts.plain(f"{row['evidence_table']}, n = {row['n']}{tried}; week of {row['week']}"))
    if not changes.evidence_stands(home, row):
        st.warning("The evidence has moved since: applying this is refused. `quant operations weekly` proposes anew.")
    parts.table(changes.evidence_of(home, row), key="evidence")
    act = "revert" if row["state"] == "applied" else "apply"
    if row["state"] in ("open", "applied"):
        st.code(f"quant proposals {act} {chosen} --reviewed-by NAME --home {home.settings.home}", language="sh")


def _costs(found: Mapping[str, Output]) -> None:
    st.subheader("Costs learned from fills")
    costs = _rows(found, "costs", _MAKE["costs"])
    if not costs.is_empty():
        left, right = st.columns(2)
        with left:
            parts.draw(figures.cost_figure(costs, simulated=found["costs"].simulated))
        with right:
            parts.table(costs.select(_COSTS), key="costs", height=300)
    windows = _rows(found, "windows", _MAKE["costs"])
    if not windows.is_empty():
        parts.draw(figures.slippage_heat(windows, simulated=found["windows"].simulated))
        bad = windows.filter("proposed").height
        st.caption(f"Hours that are bad enough to be proposed as no-trade windows: {bad}.")


def _names(found: Mapping[str, Output]) -> None:
    st.subheader("Sleeves")
    summary = _rows(found, "sleeves", _MAKE["sleeves"])
    if not summary.is_empty():
        columns = st.columns(2)
        for place, kind in zip(columns, ("executed", "replayed"), strict=True):
            with place:
                mine = summary.filter(pl.col("evidence") == kind, pl.col("mean_r").is_not_null())
                if mine.is_empty():
                    parts.nothing(f"No name has a closed {kind} trade.", _MAKE["trades"])
                    continue
                telling = _telling(mine)
                if telling.is_empty():
                    st.caption(f"{mine.height} names have {kind} trades, and the interval of each holds zero.")
                    continue
                parts.draw(figures.sleeve_figure(telling, evidence=kind, simulated=found["sleeves"].simulated))
                if telling.height < mine.height:
                    st.caption(
                        f"{telling.height} of {mine.height} names: core, safe, and those whose interval leaves out "
                        "zero. The table has all."
                    )
        parts.table(summary.select(_SUMMED), key="sleeves", height=300)
    st.caption("What this week's evidence says of every name, and for how many weeks it has said so")
    moves = _rows(found, "promotions", _MAKE["sleeves"])
    if not moves.is_empty():
        parts.table(
            moves.select(_MOVED).sort("proposed", "streak", "ticker", descending=[False, True, False], nulls_last=True),
            key="promotions",
            height=300,
        )


def _telling(names: pl.DataFrame) -> pl.DataFrame:
    """Names that a figure can hold: all of a few; of many those that are followed or tell something."""
    if names.height <= MANY:
        return names
    apart = (pl.col("mean_r_low") > 0.0) | (pl.col("mean_r_high") < 0.0)
    return names.filter((pl.col("sleeve") != "spec") | apart)


def _traded(found: Mapping[str, Output]) -> None:
    for name, title, columns in (
        ("executions", "Executions", _EXECUTED),
        ("skips", "Not traded, behind the gate", _SKIPPED),
        ("trades", "Closed trades", _TRADED),
    ):
        st.subheader(title)
        rows = _rows(found, name, _MAKE[name])
        if not rows.is_empty():
            parts.table(rows.select(columns), key=name, height=320)
    st.subheader("Open positions, marked")
    st.caption(
        "SYNTHETIC: as if they were liquidated at the close. Nothing was sold, and no profit or loss holds this."
    )
    marked = _rows(found, "open_positions", _MAKE["open_positions"])
    if not marked.is_empty():
        parts.table(marked, key="marks", height=240)


def _growth(home: Home, found: Mapping[str, Output]) -> None:
    st.markdown("**Growth of the evidence**")
    if "growth" not in found:
        parts.nothing("growth.json is not there.", "`quant run operations_dashboard --refresh` writes it.")
        return
    output = found["growth"]
    said: dict[str, Any] = output.content
    _progress("Closed paper trades over all", said["closed"], said["wanted"])
    for name, closed in said["core"].items():
        _progress(f"{name}, a core name", closed, said["core_wanted"])
    if said["unknown_core"]:
        st.caption(parts.plain(f"This home does not hold the core names {', '.join(said['unknown_core'])}."))
    if said["unscanned"]:
        st.warning(
            f"{len(said['unscanned'])} sessions of the account were not scanned, the first {said['unscanned'][0]}: "
            "`quant run live_scan`."
        )
    st.caption(f"{said['covered_days']} of the {said['lookback_days']} days that every weekly table looks back on.")
    days = home.lake.scan("ops.book").filter(pl.col("day") <= output.day).select("day").collect()
    trades = home.lake.scan("ops.trades").filter(pl.col("day") <= output.day).group_by("day").len().collect()
    closed = (
        days.join(trades, on="day", how="left")
        .sort("day")
        # A day of the account without a row in `ops.trades` closed no trade.
        .select("day", closed=pl.col("len").fill_null(0).cum_sum().cast(pl.Int64))
    )
    parts.draw(figures.evidence_growth(closed, said["wanted"], simulated=output.simulated))


def _progress(label: str, have: int, wanted: int) -> None:
    st.progress(min(1.0, have / wanted), text=f"{parts.plain(label)}: {have} of {wanted}")


def _rows(found: Mapping[str, Output], name: str, action: str) -> pl.DataFrame:
    """Rows of an output; where there are none the page says why, and what to do."""
    if name not in found:
        parts.nothing(f"{name}.json is not there.", "`quant run operations_dashboard --refresh` writes it.")
        return pl.DataFrame()
    output = found[name]
    if output.empty_because is not None:
        parts.nothing(output.empty_because[:1].upper() + output.empty_because[1:] + ".", action)
    return output.frame()
