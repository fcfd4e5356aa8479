"""The daily stage of operations: what was filled in a session, and what is sent after its close.

For each session, in order: the recorded orders of the days before meet its prices; the kill switches look at the
account; the setups of its scan, and signals with a green verdict, become orders for the next open, or skips that say
why not. What is written last, ``ops.orders``, marks the session as done.

**Recorded orders stand.** A session that has orders is not decided again, whatever specs and code say by then: fills,
trades and the account are computed from what was sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import polars as pl

from quant_platform.contracts.tables import table
from quant_platform.labs.operations.book import PaperBook, PaperMarket, paper_book
from quant_platform.labs.operations.frames import rows_frame
from quant_platform.labs.operations.green import green_signals, route_signal
from quant_platform.labs.operations.routing import SETUPS, route_setups, skip, skips_frame
from quant_platform.labs.operations.sizing import Wanted, grant, risk_weight, whole_units
from quant_platform.labs.operations.switches import Slippage, observations, run_switches, tripped
from quant_platform.lake.provenance import Provenance
from quant_platform.market.calendar import calendar, next_session
from quant_platform.market.stated_facts import applied_actions
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.resets import reset_sessions
from quant_platform.pipeline.stage import BatchStage, Done
from quant_platform.specification.operations import ROUTING, SLEEVES, RoutingSpec, SleevesSpec, sleeve_caps
from quant_platform.specification.replay import ReplaySpec

# The orders of a session are written last: where they stand, everything else of it does.
DAILY_TABLES = ("ops.executions", "ops.trades", "ops.marks", "ops.book", "ops.skips", "ops.orders")
SPECS = (ROUTING, SLEEVES, "replay/equity.yaml")
# Sessions before the first order, for what the cost model looks back on.
_WARM_SESSIONS = 40


def as_traded(bars: pl.LazyFrame) -> pl.LazyFrame:
    """Bars of ``clean.equity_bars`` at the prices and sizes of their day; sessions without a price have no row."""
    scale = pl.col("close_unadjusted") / pl.col("close")
    priced = pl.col("missing_reason").is_null() & pl.col("close").is_not_nan()
    return bars.filter(priced).select(
        "ticker",
        "session",
        *(pl.col(name) * scale for name in ("open", "high", "low", "close")),
        volume=pl.col("dollar_volume") / pl.col("close_unadjusted"),
    )


def paper_market(home: Home, last: date, first: date) -> PaperMarket:
    """What the paper account trades on between two sessions, with the sessions before that its costs look back on."""
    known = calendar(home.universe.exchange)
    end = int(np.searchsorted(known.days, np.datetime64(last), side="right"))
    begin = int(np.searchsorted(known.days, np.datetime64(max(first, home.spec.first_session))))
    begin = max(int(np.searchsorted(known.days, np.datetime64(home.spec.first_session))), begin - _WARM_SESSIONS)
    bars = as_traded(home.lake.scan("clean.equity_bars")).filter(
        pl.col("session").is_between(known.days[begin].item(), last)
    )
    actions = applied_actions(home.lake.scan("clean.corporate_actions")).collect()
    if home.source_spec.adjustment == "split_dividend":
        # The prices hold every action already, and nobody knows those of the day.
        actions = actions.filter(pl.col("kind") == "delisting")
    elif home.source_spec.kind != "simulated":
        actions = actions.filter(pl.col("value").is_not_null())
    return PaperMarket(known.days[begin:end], known.opens[begin:end], known.closes[begin:end], bars.collect(), actions)


def until(market: PaperMarket, day: date) -> PaperMarket:
    """The market as of the close of a session."""
    count = int(np.searchsorted(market.sessions, np.datetime64(day), side="right"))
    return PaperMarket(
        market.sessions[:count],
        market.opens[:count],
        market.closes[:count],
        market.bars.filter(pl.col("session") <= day),
        market.actions.filter(pl.col("ex_date") <= day),
    )


def imported_slippage(fills: pl.DataFrame, routing: RoutingSpec) -> dict[date, Slippage]:
    """What imported fills cost against their middle, and what the cost model says of them, by session, in money."""
    kinds = sorted(fills["asset_class"].unique().to_list())
    costs = [routing.costs_of(kind) for kind in kinds]
    assumed = pl.DataFrame(
        {
            "asset_class": pl.Series(kinds, dtype=pl.String),
            "half_spread": pl.Series([one.half_spread for one in costs], dtype=pl.Float64),
            "impact_coefficient": pl.Series([one.impact_coefficient for one in costs], dtype=pl.Float64),
        }
    )
    known = (
        fills.drop_nulls(["mid", "volatility_daily", "volume_daily"])
        .filter(pl.col("volume_daily") > 0.0)
        .join(assumed, on="asset_class", how="left")
    )
    side = pl.when(pl.col("side").cast(pl.String) == "buy").then(1.0).otherwise(-1.0)
    share = pl.col("quantity") / pl.col("volume_daily")
    impact = pl.col("impact_coefficient") * pl.col("volatility_daily") * share.sqrt()
    money = pl.col("mid") * pl.col("quantity")
    sums = known.group_by(pl.col("executed_at").dt.date().alias("day")).agg(
        realised=(side * (pl.col("price") - pl.col("mid")) * pl.col("quantity")).sum(),
        modelled=((pl.col("half_spread") + impact) * money).sum(),
        fills=pl.len(),
    )
    return {row["day"]: Slippage(row["realised"], row["modelled"], row["fills"]) for row in sums.iter_rows(named=True)}


@dataclass(frozen=True)
class _Rules:
    """What decides the orders of a session."""

    routing: RoutingSpec
    sleeves: SleevesSpec
    replay: ReplaySpec
    spec_hash: str


def run_daily(home: Home, keys: Sequence[str], *, run_id: str, refresh: bool, workers: int) -> list[Done]:
    """Fill what was sent and send what is next, session by session.

    Parameters
    ----------
    home
        The market.
    keys
        Sessions that are over, in order.
    run_id
        Goes into the provenance of every file.
    refresh
        Not used: recorded orders stand.
    workers
        Not used: each session needs the one before.

    Raises
    ------
    PartitionMissing
        When a session was not scanned.
    """
    del refresh, workers
    rules = _Rules(
        home.load(ROUTING, RoutingSpec),
        home.load(SLEEVES, SleevesSpec),
        home.load("replay/equity.yaml", ReplaySpec),
        home.validated((ROUTING, SLEEVES))[:16],
    )
    days = [date.fromisoformat(key) for key in keys]
    orders = home.lake.read("ops.orders", missing="ignore")
    first = min(date.fromisoformat(str(key)) for key in [*home.lake.partitions("ops.orders"), *keys])
    market = paper_market(home, days[-1], first)
    priced = market.bars["session"].unique().sort().to_numpy().astype("datetime64[D]")
    slippage = imported_slippage(home.lake.read("ops.fills", missing="ignore"), rules.routing)
    stamp = Provenance(
        asset="",
        code_version=DAILY.code_version(home),
        ontology_hash=home.ontology(SPECS).hash,
        ontology_files=dict(home.ontology(SPECS).files),
        run_id=run_id,
        simulated=home.simulated,
    )
    done = []
    for day in days:
        seen = until(market, day)
        book = paper_book(orders.filter(pl.col("day") <= day), seen, rules.routing, rules.replay)
        # What was before the account's first session is no reason to stop it.
        began = int(np.searchsorted(seen.sessions, np.datetime64(first)))
        known = observations(
            seen.sessions,
            book.equity,
            priced[priced <= np.datetime64(day)],
            orders.filter(pl.col("day") <= day),
            [row["day"] for row in book.voids],
            slippage,
        )[began:]
        after = seen.sessions[began:]
        resets = [int(np.searchsorted(after, np.datetime64(at), side="right")) for at in reset_sessions(home)]
        log = run_switches(known, rules.routing.kill_switches, resets)
        switches = tripped(log, resets)
        recorded = home.lake.current("ops.orders", day.isoformat()) is not None
        if recorded:
            kept = home.lake.read("ops.skips", [day.isoformat()]).filter(pl.col("stage").cast(pl.String) == "decision")
            sent = orders.filter(pl.col("day") == day)
        else:
            made, skips = _decide(home, day, seen, book, orders, rules, bool(log.halted[-1]), switches)
            kept, sent = skips_frame(skips), made
            orders = pl.concat([orders, made])
        voids = skips_frame([row for row in book.voids if row["day"] == day])
        frames = {
            "ops.executions": book.executions.filter(pl.col("day") == day),
            "ops.trades": book.trades.filter(pl.col("day") == day),
            "ops.marks": book.marks,
            "ops.book": _account(day, book, bool(log.halted[-1]), switches),
            "ops.skips": pl.concat([kept, voids]),
            "ops.orders": sent,
        }
        written = [_put(home, name, day.isoformat(), frames[name], stamp) for name in DAILY_TABLES]
        rows = {name: frame.height for name, frame in frames.items()}
        done.append(Done(day.isoformat(), "written" if any(written) else "current", rows))
    return done


def _put(home: Home, name: str, key: str, frame: pl.DataFrame, stamp: Provenance) -> bool:
    """Write a partition unless it stands there already; whether it was written."""
    if home.lake.current(name, key) is not None:
        stored = home.lake.read(name, [key])
        if stored.equals(frame.select(stored.columns).sort(*table(name).primary_key)):
            return False
    home.lake.write(name, key, frame, Provenance(**{**vars(stamp), "asset": name}))
    return True


def _account(day: date, book: PaperBook, halted: bool, switches: list[str]) -> pl.DataFrame:
    equity = float(book.equity[-1])
    peak = float(np.maximum.accumulate(book.equity)[-1])
    row = {
        "day": day,
        "equity": equity,
        "cash": float(book.cash[-1]),
        "gross": float(book.long[-1] + book.short[-1]) / equity if equity > 0.0 else 0.0,
        "net": float(book.long[-1] - book.short[-1]) / equity if equity > 0.0 else 0.0,
        "positions": book.marks.height,
        "drawdown": 1.0 - equity / peak,
        "closed_pnl": float(book.trades["net_pnl"].sum()),
        "halted": halted,
        "switches": switches,
    }
    return rows_frame("ops.book", [row])


def _decide(
    home: Home,
    day: date,
    market: PaperMarket,
    book: PaperBook,
    orders: pl.DataFrame,
    rules: _Rules,
    halted: bool,
    switches: Sequence[str],
) -> tuple[pl.DataFrame, list[dict[str, Any]]]:
    """Orders of a session for the next open, and what was not sent."""
    setups = home.lake.read("live.scan", [day.isoformat()])
    sleeves = dict(orders.select("order_id", "sleeve").iter_rows())
    held: dict[tuple[str, str], float] = {}
    equity = float(book.equity[-1])
    owned: dict[str, dict[str, str]] = {}
    for row in book.marks.iter_rows(named=True):
        owned.setdefault(row["strategy"], {})[row["ticker"]] = row["direction"]
        owner = (sleeves[row["order_id"]], row["ticker"])
        held[owner] = held.get(owner, 0.0) + row["quantity"] * row["mark"] / max(equity, 1e-9)
    classes = {ticker: home.universe.class_of(ticker) for ticker in setups["ticker"].unique()}
    fills_at = _next_open(home, day)
    passed, skips = route_setups(setups, rules.routing, classes, set(owned.get(SETUPS, {})), fills_at)
    close = dict(market.bars.filter(pl.col("session") == day).select("ticker", "close").iter_rows())
    asked, wanted = [], []
    for row in passed.iter_rows(named=True):
        sleeve = rules.sleeves.sleeve_of(row["ticker"])
        side = 1.0 if row["direction"] == "long" else -1.0
        asked.append({**row, "strategy": SETUPS, "sleeve": sleeve, "asset_class": classes[row["ticker"]]})
        weight = risk_weight(rules.routing.account.risk_per_trade, row["risk"])
        wanted.append(Wanted(SETUPS, row["ticker"], sleeve, side, weight))
    made: list[dict[str, Any]] = []
    for name in _green(home, rules, day):
        moves = _moves(home, name, day, owned.get(name, {}), rules, close)
        made += [_leaving(day, name, ticker, side, home, rules, close) for ticker, side in moves.leave.items()]
        for ticker, side in moves.enter.items():
            sleeve, asset_class = rules.sleeves.sleeve_of(ticker), home.universe.class_of(ticker)
            asked.append({"strategy": name, "ticker": ticker, "direction": side, "sleeve": sleeve,
                          "asset_class": asset_class})  # fmt: skip
            wanted.append(Wanted(name, ticker, sleeve, 1.0 if side == "long" else -1.0, moves.weight))
    granted = grant(wanted, held, sleeve_caps(rules.sleeves), rules.routing.limits)
    for row, one, given in zip(asked, wanted, granted, strict=True):
        place = (day, row["strategy"], row["ticker"], row["asset_class"], row["direction"])
        reference = close[row["ticker"]]
        quantity = whole_units(given.weight, equity, reference)
        money = quantity * reference
        if halted:
            skips.append(skip(*place, "kill_switch", "; ".join(switches), stage="decision"))
        elif quantity == 0.0 or money < rules.routing.account.smallest_order:
            smallest = f"{money:.0f} {rules.routing.account.currency}, less than smallest_order"
            why = f"{', '.join(given.layers)} left {smallest}" if given.layers else f"the order was {smallest}"
            skips.append(skip(*place, "cap" if given.layers else "too_small", why, stage="decision"))
        else:
            made.append(_order(day, row, one, given.weight, given.layers, quantity, reference, rules.spec_hash))
    return rows_frame("ops.orders", made), skips


def _order(
    day: date,
    row: Mapping[str, Any],
    wanted: Wanted,
    weight: float,
    layers: Sequence[str],
    quantity: float,
    reference: float,
    spec_hash: str,
) -> dict[str, Any]:
    # The levels of a scan are adjusted prices; the order speaks in those of the day.
    scale = reference / row["entry_reference"] if "entry_reference" in row else None
    return {
        "day": day,
        "order_id": f"{day}/{row['strategy']}/{row['ticker']}/{row['direction']}",
        **{key: row[key] for key in ("strategy", "ticker", "asset_class", "sleeve", "direction")},
        "action": "enter",
        "quantity": quantity,
        "reference": reference,
        "stop": None if scale is None else row["stop"] * scale,
        "target": None if scale is None else row["target"] * scale,
        "confidence": row.get("chance"),
        "expected_return": row.get("expected_return"),
        "weight_wanted": wanted.weight,
        "weight": weight,
        "clipped_by": list(layers),
        "spec_hash": spec_hash,
    }


def _leaving(
    day: date, strategy: str, ticker: str, side: str, home: Home, rules: _Rules, close: Mapping[str, float]
) -> dict[str, Any]:
    return {
        "day": day,
        "order_id": f"{day}/{strategy}/{ticker}/{side}",
        "strategy": strategy,
        "ticker": ticker,
        "asset_class": home.universe.class_of(ticker),
        "sleeve": rules.sleeves.sleeve_of(ticker),
        "direction": side,
        "action": "leave",
        "quantity": 0.0,
        "reference": close.get(ticker, 0.0),
        "weight_wanted": 0.0,
        "weight": 0.0,
        "clipped_by": [],
        "spec_hash": rules.spec_hash,
    }


def _green(home: Home, rules: _Rules, day: date) -> list[str]:
    if not rules.routing.signals.trade:
        return []
    key = ["signal", "snapshot_id"]
    verdicts = home.lake.scan("suite.verdict", missing="ignore").select(*key, "verdict").unique(maintain_order=True)
    seen = home.lake.scan("suite.daily", missing="ignore").group_by(key).agg(seen_to=pl.col("session").max())
    return green_signals(verdicts.join(seen, on=key, how="left").collect(), day)


def _moves(home: Home, name: str, day: date, held: Mapping[str, str], rules: _Rules, close: Mapping[str, float]) -> Any:
    rows = home.lake.scan("suite.signals", [name]).filter(pl.col("date_sig") == day).collect()
    values = rows.select(pl.col("security_id").alias("ticker"), "value").filter(pl.col("ticker").is_in(list(close)))
    return route_signal(values, held, rules.routing.signals)


def _next_open(home: Home, day: date) -> datetime:
    following = next_session(home.universe.exchange, day)
    known = calendar(home.universe.exchange)
    place = int(np.searchsorted(known.days, np.datetime64(following)))
    found: datetime = known.opens[place].item()
    return found.replace(tzinfo=UTC)


DAILY = BatchStage(
    outputs=DAILY_TABLES,
    upstream=(
        "live.scan",
        "clean.equity_bars",
        "clean.corporate_actions",
        "suite.verdict",
        "suite.daily",
        "suite.signals",
    ),
    compute=run_daily,
    specs=SPECS,
    kinds=("numba", "parquet"),
)
