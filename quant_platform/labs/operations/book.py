"""The paper account: recorded orders, filled by the engine at the next open, on prices as they traded.

The account is a function of the recorded orders and of the bars, so that a process that dies between an order and its
fill loses nothing: whoever asks next computes the same fill.

1. Each strategy is an account of its own in the engine, and so are the orders of it that were sent under the same terms
   (:mod:`.terms`); their profits and losses add up (:func:`paper_book`).
2. An order is for the open of the session after its day. Where its name has no bar there, or no volume, it is void; so
   is one whose stop or target the open has passed (the engine decides that).
3. Stops, targets and the horizon leave as they do in the replay: inside the bars after the entry, and at the close of
   the last session of the horizon.
4. A name whose bars have ended leaves after ``delisted_after_sessions``, at the return that was stated, or at the
   ``unknown_recovery`` of the costs where none was.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from quant_platform.contracts.schemas.operations import MODELLED
from quant_platform.engine.backtest import Bars, Costs, EngineConfig, Event, Orders, run
from quant_platform.engine.layout import Floats
from quant_platform.engine.result import BacktestResult
from quant_platform.labs.operations.frames import rows_frame
from quant_platform.labs.operations.routing import skip
from quant_platform.labs.operations.terms import Terms, with_terms
from quant_platform.market.calendar import Days
from quant_platform.specification.operations import RoutingSpec
from quant_platform.specification.replay import ReplaySpec

_AT_OPEN = ("entry", "addition", "exit", "reversal", "reduction", "delisted")


@dataclass(frozen=True, eq=False)
class PaperMarket:
    """What the account trades on.

    Attributes
    ----------
    sessions, opens, closes
        The exchange's sessions up to the last one that is over, with their times in UTC, aligned.
    bars
        As traded: ticker, session, open, high, low, close, volume; a session that is missing has no row.
    actions
        Splits, dividends and delistings that those prices do not hold: ticker, ex_date, kind, value.
    """

    sessions: Days
    opens: Days
    closes: Days
    bars: pl.DataFrame
    actions: pl.DataFrame


@dataclass(frozen=True, eq=False)
class PaperBook:
    """The account after the last session.

    Attributes
    ----------
    executions, trades, marks
        Rows of the tables of these names, of every session; marks of the last one.
    voids
        Rows of ``ops.skips`` of orders that the market did not fill.
    equity, cash, long, short
        By session.
    held
        Gross value by order of what is held after the last close.
    pending
        Orders of the last session, which no open has met yet.
    """

    executions: pl.DataFrame
    trades: pl.DataFrame
    marks: pl.DataFrame
    voids: list[dict[str, Any]]
    equity: Floats
    cash: Floats
    long: Floats
    short: Floats
    held: dict[str, float]
    pending: pl.DataFrame


def paper_book(orders: pl.DataFrame, market: PaperMarket, routing: RoutingSpec, replay: ReplaySpec) -> PaperBook:
    """Fill recorded orders up to the last session of a market.

    Parameters
    ----------
    orders
        Rows of ``ops.orders`` up to that session.
    market
        Bars and sessions.
    routing
        Capital; and with ``replay`` the terms of orders that carry none.
    replay
        Horizon, and what becomes of names that are gone.

    Notes
    -----
    **Timing.** An order of session d meets the open of the session after d. **Missing values.** A name without a bar
    is marked at its last close.
    """
    capital, last = routing.account.capital, len(market.sessions) - 1
    accounts = with_terms(orders, routing, replay).partition_by("strategy", "terms", maintain_order=True)
    parts = [_account(rows, market, Terms.read(rows["terms"][0])) for rows in accounts]
    curve = np.tile(np.array([capital, capital, 0.0, 0.0]), (last + 1, 1))
    for part in parts:
        began = part.terms.capital
        curve += part.result.curve[:, [1, 0, 2, 3]] - np.array([began, began, 0.0, 0.0])
    executions = [row for part in parts for row in part.executions()]
    trades = [row for part in parts for row in part.trades()]
    marks = [row for part in parts for row in part.marks()]
    today = market.sessions[last].item()
    return PaperBook(
        executions=rows_frame("ops.executions", executions),
        trades=rows_frame("ops.trades", trades),
        marks=rows_frame("ops.marks", marks),
        voids=[row for part in parts for row in part.voids],
        equity=curve[:, 0],
        cash=curve[:, 1],
        long=curve[:, 2],
        short=curve[:, 3],
        held={row["order_id"]: row["quantity"] * row["mark"] for row in marks},
        pending=orders.filter(pl.col("day") == today, pl.col("action").cast(pl.String) == "enter"),
    )


@dataclass(frozen=True, eq=False)
class _Account:
    """One run: orders of a strategy under the same terms, in the engine's order, and what came of them."""

    orders: list[dict[str, Any]]
    result: BacktestResult
    market: PaperMarket
    terms: Terms
    voids: list[dict[str, Any]]

    def entries(self) -> dict[tuple[str, int], dict[str, Any]]:
        """Entry orders by name and bar of their fill."""
        first = self.market.sessions[0]
        return {
            (str(row["ticker"]), int(np.searchsorted(self.market.sessions, np.datetime64(row["day"]))) + 1): row
            for row in self.orders
            if row["action"] == "enter" and np.datetime64(row["day"]) >= first
        }

    def executions(self) -> Iterator[dict[str, Any]]:
        opened: dict[str, dict[str, Any]] = {}
        counted: dict[str, int] = {}
        entries = self.entries()
        opens = self.result.bars.open
        for row in self.result.fills.iter_rows(named=True):
            place = (row["asset"], row["bar"])
            if row["reason"] == "entry":
                opened[row["asset"]] = entries[place]
            order = opened[row["asset"]]
            number = counted[str(order["order_id"])] = counted.get(str(order["order_id"]), 0) + 1
            shown = opens[row["bar"], self.result.bars.position_of(row["asset"])]
            early = row["reason"] in _AT_OPEN or row["reference_price"] == shown
            stamps = self.market.opens if early else self.market.closes
            yield {
                "day": self.market.sessions[row["bar"]].item(),
                "execution_id": f"{order['order_id']}/{number}",
                **{key: order[key] for key in ("order_id", "strategy", "ticker", "asset_class", "sleeve")},
                "side": "buy" if row["quantity"] > 0.0 else "sell",
                "reason": row["reason"],
                "quantity": abs(row["quantity"]),
                "entry": order["reference"],
                "mid": row["reference_price"],
                "fill": row["price"],
                **{key: row[key] for key in ("commission", "spread", "impact")},
                "currency": self.terms.currency,
                "executed_at": stamps[row["bar"]].item(),
                "source": "paper",
                "law": MODELLED,
            }

    def trades(self) -> Iterator[dict[str, Any]]:
        entries = self.entries()
        for row in self.result.trades.filter(pl.col("exit_bar").is_not_null()).iter_rows(named=True):
            order = entries[row["asset"], row["entry_bar"]]
            risk = _risk(order)
            yield {
                "day": self.market.sessions[row["exit_bar"]].item(),
                **{key: order[key] for key in ("order_id", "strategy", "ticker", "asset_class", "sleeve")},
                "direction": order["direction"],
                "date_sig": order["day"],
                "date_entry": self.market.sessions[row["entry_bar"]].item(),
                "quantity": row["quantity"],
                "entry_price": row["entry_price"],
                "exit_price": row["exit_price"],
                "exit_reason": row["exit_reason"],
                "net_pnl": row["net_pnl"],
                "costs": row["commission"] + row["spread"] + row["impact"],
                "risk": risk,
                "r": None if risk is None else row["net_pnl"] / risk,
                "pnl_share": row["net_pnl"] / self.terms.capital,
                "bars_held": row["bars_held"],
            }

    def marks(self) -> Iterator[dict[str, Any]]:
        entries, costs = self.entries(), self.terms.costs
        for row in self.result.trades.filter(pl.col("exit_bar").is_null()).iter_rows(named=True):
            order = entries[row["asset"], row["entry_bar"]]
            side = 1.0 if row["side"] == "long" else -1.0
            column = self.result.bars.close[:, self.result.bars.position_of(row["asset"])]
            known = column[~np.isnan(column)]
            held = self.result.positions.filter(pl.col("asset") == row["asset"])["position"][-1]
            mark, risk = float(known[-1]), _risk(order)
            leaving = abs(held) * mark * (costs.commission_rate + costs.half_spread)
            pnl = row["net_pnl"] - leaving
            yield {
                "day": self.market.sessions[-1].item(),
                **{key: order[key] for key in ("order_id", "strategy", "ticker", "sleeve", "direction")},
                "quantity": side * held,
                "entry_price": row["entry_price"],
                "mark": mark,
                "exit_cost": leaving,
                "marked_pnl": pnl,
                "marked_r": None if risk is None else pnl / risk,
                "synthetic": True,
            }


def _risk(order: dict[str, Any]) -> float | None:
    stop, reference, quantity = order["stop"], order["reference"], order["quantity"]
    return None if stop is None else float(abs(reference - stop) * quantity)


def _account(rows: pl.DataFrame, market: PaperMarket, terms: Terms) -> _Account:
    names = sorted(rows["ticker"].unique().to_list())
    bars = _bars(names, market, terms.delisted_after_sessions)
    place = {name: column for column, name in enumerate(bars.assets)}
    kept: list[dict[str, Any]] = []
    voids: list[dict[str, Any]] = []
    assert bars.volume is not None
    for row in rows.sort("day", "ticker").iter_rows(named=True):
        bar = int(np.searchsorted(market.sessions, np.datetime64(row["day"])))
        if bar + 1 < len(market.sessions):
            column = place[row["ticker"]]
            no_bar = math.isnan(bars.open[bar + 1, column])
            if row["action"] == "enter" and (no_bar or bars.volume[bar + 1, column] == 0.0):
                what = "no bar" if no_bar else "no volume"
                voids.append(_void(row, market, bar + 1, "no_open", f"the name had {what} in the session of the order"))
                continue
        kept.append(row)
    decisions = Orders.build(
        [int(np.searchsorted(market.sessions, np.datetime64(row["day"]))) for row in kept],
        [place[row["ticker"]] for row in kept],
        [f"{row['direction']}_{'entry' if row['action'] == 'enter' else 'exit'}" for row in kept],
        quantity=[row["quantity"] if row["action"] == "enter" else math.nan for row in kept],
        stop_price=[math.nan if row["stop"] is None else row["stop"] for row in kept],
        target_price=[math.nan if row["target"] is None else row["target"] for row in kept],
        time_bars=[0 if row["stop"] is None else terms.horizon_sessions for row in kept],
        time_at_close=True,
    )
    config = EngineConfig(
        costs=Costs(**terms.costs.model_dump()),
        initial_cash=terms.capital,
        units="whole",
        leverage=terms.leverage,
    )
    result = run(bars, decisions, config)
    filled = set(result.fills["order"].to_list())
    for number, row in enumerate(kept):
        bar = int(np.searchsorted(market.sessions, np.datetime64(row["day"]))) + 1
        if row["action"] == "enter" and bar < len(market.sessions) and number not in filled:
            column = place[row["ticker"]]
            split = math.prod(one.value for one in bars.splits if (one.bar, one.asset) == (bar, column))
            voids.append(_void(row, market, bar, *_why_void(row, float(bars.open[bar, column]), split)))
    return _Account(kept, result, market, terms, voids)


def _why_void(row: dict[str, Any], shown: float, split: float) -> tuple[str, str]:
    """Why the engine did not fill an entry; its levels are of the day before a split."""
    side = 1.0 if row["direction"] == "long" else -1.0
    stop, target = (math.nan if row[name] is None else row[name] / split for name in ("stop", "target"))
    if side * (shown - stop) <= 0.0:
        return "open_beyond_stop", f"the open {shown:.4f} had passed the stop {stop:.4f}"
    if side * (shown - target) >= 0.0:
        return "open_beyond_target", f"the open {shown:.4f} had passed the target {target:.4f}"
    return "no_room", "cash or leverage of the account left nothing for it"


def _void(row: dict[str, Any], market: PaperMarket, bar: int, code: str, reason: str) -> dict[str, Any]:
    made = skip(
        row["day"], row["strategy"], row["ticker"], row["asset_class"], row["direction"], code, reason, stage="open",
    )  # fmt: skip
    return {**made, "day": market.sessions[bar].item()}


def _bars(names: list[str], market: PaperMarket, delisted_after_sessions: int) -> Bars:
    """The bars of some names on every session of the market, with their events."""
    first, last = market.sessions[0].item(), market.sessions[-1].item()
    mine = market.bars.filter(pl.col("ticker").is_in(names), pl.col("session").is_between(first, last))
    # A row without prices for every name and session, so that all sessions stand in the bars and all names in columns.
    grid = pl.DataFrame({"ticker": names}).join(pl.DataFrame({"session": market.sessions}), how="cross")
    frame = grid.with_columns(pl.col("session").cast(pl.Date)).join(mine, on=["ticker", "session"], how="left")
    place = {name: column for column, name in enumerate(names)}
    known = market.actions.filter(pl.col("ticker").is_in(names), pl.col("ex_date").is_between(first, last))
    events: dict[str, list[Event]] = {"split": [], "cash_dividend": [], "delisting": []}
    for row in known.iter_rows(named=True):
        bar = int(np.searchsorted(market.sessions, np.datetime64(row["ex_date"])))
        if row["kind"] != "delisting":
            events[row["kind"]].append(Event(bar, place[row["ticker"]], float(row["value"])))
    returns = dict(market.actions.filter(pl.col("kind") == "delisting").select("ticker", "value").iter_rows())
    for ticker, end in mine.group_by("ticker").agg(pl.col("session").max()).sort("ticker").iter_rows():
        gone = int(np.searchsorted(market.sessions, np.datetime64(end))) + delisted_after_sessions
        if gone < len(market.sessions):
            stated = returns.get(ticker)
            recovered = math.nan if stated is None else max(0.0, 1.0 + float(stated))
            events["delisting"].append(Event(gone, place[ticker], recovered))
    return Bars.from_frame(
        frame, splits=events["split"], dividends=events["cash_dividend"], delistings=events["delisting"]
    )
