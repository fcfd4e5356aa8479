# mypy: ignore-errors
# Runs under the interpreter of VectorBT's own environment, see exchange.py.
"""Trade a job with VectorBT.

It has no delay of orders: decisions are moved to the bar of their fill, and the open is given as the price. Signals go
in as arrays where that is enough. Where a decision states levels or a time, or states an entry and an exit at once,
VectorBT's own callbacks read the signals (``signal_func_nb``) and take a stop away on a bar whose open already leaves
(``adjust_sl_func_nb``): VectorBT tests the stop first, and drops the signal of a bar on which it fired. Trigger and
price of stops and targets are VectorBT's.
"""

import time

import numpy as np
import pandas as pd
import vectorbt as vbt
from exchange import (
    LONG_ENTRY,
    LONG_EXIT,
    SHORT_ENTRY,
    SHORT_EXIT,
    TRADE,
    NotSupported,
    lots,
    main,
    write,
)
from numba import njit
from vectorbt.portfolio.enums import TradeStatus

ANY = LONG_ENTRY | LONG_EXIT | SHORT_ENTRY | SHORT_EXIT


@njit
def leaves(i, col, position, entry_bar, bits, horizon, close, at_close, stop, target, fill):
    """Whether a position leaves at the open of bar i, whatever its levels say of the bar."""
    if position == 0 or entry_bar < 0:
        return False
    said = bits[i, col]
    if position > 0 and (said & LONG_EXIT or said & SHORT_ENTRY):
        return True
    if position < 0 and (said & SHORT_EXIT or said & LONG_ENTRY):
        return True
    # A bar without an open cannot be left at: what was due before is due at the next one.
    if horizon[entry_bar, col] > 0 and i >= entry_bar + horizon[entry_bar, col]:
        return True
    if at_close:
        side = 1.0 if position > 0 else -1.0
        price, base = close[i - 1, col], fill[entry_bar, col]
        if side * price <= side * base * (1 - side * stop[entry_bar, col]):
            return True
        if side * price >= side * base * (1 + side * target[entry_bar, col]):
            return True
    return False


@njit
def signals(c, state, bits, horizon, close, at_close, stop, target, fill):
    """The decisions of a bar as VectorBT's four signals."""
    said = bits[c.i, c.col]
    long, short = said & LONG_ENTRY != 0, said & SHORT_ENTRY != 0
    if c.position_now != 0:
        out = leaves(c.i, c.col, c.position_now, state[c.col], bits, horizon, close, at_close, stop, target, fill)
        if c.position_now > 0:
            if short:
                state[c.col] = c.i
                return False, False, True, False
            return False, out, False, False
        if long:
            state[c.col] = c.i
            return True, False, False, False
        return False, False, False, out
    if long == short:
        return False, False, False, False
    state[c.col] = c.i
    return long, False, short, False


@njit
def adjust_stop(c, state, bits, horizon, close, at_close, stop, target, fill, trail, open_):
    """The stop of a bar as a fraction of VectorBT's base; none on a bar whose open leaves."""
    if c.position_now == 0 or at_close:
        return np.nan, False
    entry, side = state[c.col], 1.0 if c.position_now > 0 else -1.0
    if leaves(c.i, c.col, c.position_now, entry, bits, horizon, close, at_close, stop, target, fill):
        return np.nan, c.curr_trail
    if side * open_[c.i, c.col] >= side * fill[entry, c.col] * (1 + side * target[entry, c.col]):
        return np.nan, c.curr_trail
    distance = trail[entry, c.col]
    if np.isnan(distance):
        return stop[entry, c.col], False
    if not np.isnan(stop[entry, c.col]):
        # The nearer of the two, as a distance from the extreme that VectorBT follows.
        level = fill[entry, c.col] * (1 - side * stop[entry, c.col])
        distance = min(distance, side * (1 - level / c.curr_price))
    return distance, True


@njit
def adjust_target(c, state, bits, horizon, close, at_close, stop, target, fill):
    """The target, or none on a bar whose open leaves for another reason."""
    if c.position_now == 0 or at_close:
        return np.nan
    entry = state[c.col]
    if leaves(c.i, c.col, c.position_now, entry, bits, horizon, close, at_close, stop, target, fill):
        return np.nan
    return target[entry, c.col]


def prepared(job, by_adapter):
    """Decisions as arrays at the bars of their fills, and the bars as VectorBT takes them."""
    terms, shape = job.terms, job.shape
    delay = 0 if terms["fill"] == "same_close" else 1
    bars = {name: np.where(job.halted, np.nan, job.bars[name]) for name in ("open", "high", "low", "close")}
    bits, size = np.zeros(shape, dtype=np.int64), np.full(shape, np.nan)
    levels = {name: np.full(shape, np.nan) for name in ("stop", "target", "trail")}
    horizon, trades = np.zeros(shape, dtype=np.int64), np.full(shape, np.nan)
    taken = set()
    for said in [said for found in job.merged().values() for said in found]:
        bar = said.bar + delay
        while bar < shape[0] and job.halted[bar, said.asset]:
            by_adapter.add("a decision before a halted bar is moved behind it")
            bar += 1
        if bar >= shape[0]:
            continue
        if (bar, said.asset) in taken:
            raise NotSupported("two decisions of one asset would be filled at one bar: one array cell holds one order")
        taken.add((bar, said.asset))
        if said.bits == TRADE:
            trades[bar, said.asset] = lots(said.quantity, terms, by_adapter)
            continue
        bits[bar, said.asset] = said.bits
        if said.quantity is not None:
            native = terms["lot"] in (None, 1.0)
            size[bar, said.asset] = said.quantity if native else lots(said.quantity, terms, by_adapter)
        for name, array in levels.items():
            array[bar, said.asset] = getattr(said, name) or np.nan
        horizon[bar, said.asset] = said.time
    return bars, bits, size, levels, horizon, trades


def costs(job, price, by_adapter, leaves_inside):
    """Fees and slippage as VectorBT takes them: what is money per unit becomes a rate of the known price."""
    terms, shape = job.terms, job.shape
    fees, fixed, slippage = np.full(shape, job.rate), 0.0, terms["slippage_rate"]
    if terms["per_unit"] and not terms["minimum"]:
        if leaves_inside or terms["slippage_rate"] or terms["slippage_fixed"]:
            raise NotSupported("a fee per unit is stated as a rate of a price that must be known in advance")
        by_adapter.add("a fee per unit is stated as a rate of the open")
        fees = fees + terms["per_unit"] / np.where(np.isnan(price), 1.0, price)
    if terms["minimum"]:
        raise NotSupported("there is no minimum fee: a fixed fee is added to the rate, whatever the size")
    if terms["per_order"]:
        fixed = terms["per_order"]
    if terms["slippage_fixed"]:
        if leaves_inside:
            raise NotSupported("slippage in money is stated as a rate of a price that must be known in advance")
        by_adapter.add("slippage in money is stated as a rate of the open")
        slippage = terms["slippage_fixed"] / np.where(np.isnan(price), 1.0, price)
    return fees, fixed, slippage


def delisted(job, bars, bits, price, fees, by_adapter):
    """A delisting as an order at the price that is recovered, on a bar made for it."""
    for event in job.run["delistings"]:
        bar, asset = event["bar"], event["asset"]
        close = bars["close"][:bar, asset]
        worth = close[~np.isnan(close)][-1] * event["recovery"]
        if worth <= 0:
            raise NotSupported("a price of zero is refused")
        by_adapter.add("a delisting is an order at the price that is recovered")
        for array in (*bars.values(), price):
            array[bar, asset] = worth
        fees[bar, asset] = 0.0
        bits[bar, asset] = LONG_EXIT | SHORT_EXIT


def run(job):
    """Trade a job and write what came of it."""
    by_adapter, terms = set(), job.terms
    if terms["participation"]:
        raise NotSupported("what a bar's volume does not take is dropped: no order is carried to the next bar")
    bars, bits, size, levels, horizon, trades = prepared(job, by_adapter)
    same_close = terms["fill"] == "same_close"
    price = bars["close" if same_close else "open"].copy()
    has = {name: not np.isnan(array).all() for name, array in levels.items()}
    inside = any(has.values()) and terms["trigger"] == "touch"
    if terms["exits_from"] == "entry_bar" and inside:
        raise NotSupported("stops and targets are tested before the entry of a bar: the entry bar itself never is")
    if has["target"] and has["trail"]:
        raise NotSupported("stop and target share one base price: the trail's extreme would move the target")
    fees, fixed, slippage = costs(job, price, by_adapter, inside)
    slips = bool(terms["slippage_rate"]) and inside
    if slips and has["target"] and not terms["slip_targets"]:
        raise NotSupported("one setting slips stops and targets alike")
    delisted(job, bars, bits, price, fees, by_adapter)
    common = {
        "close": bars["close"], "price": price, "fees": fees, "fixed_fees": fixed, "slippage": slippage,
        "init_cash": job.capital, "cash_sharing": True, "group_by": True, "freq": "1D",
        "size_granularity": 1.0 if terms["lot"] == 1.0 else np.nan,
    }  # fmt: skip
    index = pd.Index(np.arange(job.shape[0]))

    def framed(array):
        return pd.DataFrame(array, index=index, columns=range(job.shape[1])) if np.ndim(array) else array

    common = {name: framed(value) for name, value in common.items()}
    if not np.isnan(trades).all():
        began = time.process_time()
        # An open that is not traded has no order; NaN sizes are left alone.
        portfolio = vbt.Portfolio.from_orders(
            size=framed(trades), size_type="amount", direction="both", call_seq="auto", **common
        )
    else:
        # Every entry states its quantity (`DecisionTable`): no size means no entry.
        size = framed(np.nan_to_num(size))
        together = ((bits & LONG_ENTRY) > 0) & ((bits & LONG_EXIT) > 0) | ((bits & SHORT_ENTRY) > 0) & (
            (bits & SHORT_EXIT) > 0
        )
        together |= ((bits & LONG_ENTRY) > 0) & ((bits & SHORT_ENTRY) > 0)
        turns = ((bits & LONG_ENTRY) > 0) & ((bits & SHORT_EXIT) > 0) | ((bits & SHORT_ENTRY) > 0) & (
            (bits & LONG_EXIT) > 0
        )
        if any(has.values()) or horizon.any() or (together | turns).any():
            by_adapter.add("signals are read, and stops taken from bars whose open leaves, by callbacks")
            slip = np.broadcast_to(terms["slippage_rate"], job.shape)
            short = (bits & SHORT_ENTRY) > 0
            fill = np.where(short, price * (1 - slip), price * (1 + slip))
            state = np.full(job.shape[1], -1, dtype=np.int64)
            at_close = terms["trigger"] == "close"
            if at_close:
                by_adapter.add("levels compared with closes")
            if horizon.any():
                by_adapter.add("time exit")
            if has["trail"] and has["stop"]:
                by_adapter.add("the nearer of stop and trail")
            shared = state, bits, horizon, bars["close"], at_close, levels["stop"], levels["target"], fill
            more = {
                "signal_func_nb": signals, "signal_args": shared,
                "adjust_sl_func_nb": adjust_stop, "adjust_sl_args": (*shared, levels["trail"], bars["open"]),
                "adjust_tp_func_nb": adjust_target, "adjust_tp_args": shared,
                "sl_stop": framed(np.where(np.isnan(levels["stop"]), levels["trail"], levels["stop"])),
                "tp_stop": framed(levels["target"]), "sl_trail": has["trail"],
                "open": framed(bars["open"]), "high": framed(bars["high"]), "low": framed(bars["low"]),
                "stop_exit_price": "stopmarket" if slips else "stoplimit", "use_stops": True,
                "stop_entry_price": "fillprice",
            }  # fmt: skip
            if has["trail"]:
                # The trail begins with the extreme of the entry bar.
                more["stop_entry_price"] = "valprice"
                more["val_price"] = framed(np.where(short, bars["low"], bars["high"]))
        else:
            more = {
                "entries": framed((bits & LONG_ENTRY) > 0), "exits": framed((bits & LONG_EXIT) > 0),
                "short_entries": framed((bits & SHORT_ENTRY) > 0), "short_exits": framed((bits & SHORT_EXIT) > 0),
            }  # fmt: skip
        began = time.process_time()
        portfolio = vbt.Portfolio.from_signals(
            size=size, size_type="amount", accumulate=False, upon_opposite_entry="reverse", **more, **common
        )
    records = portfolio.orders.values
    seconds = time.process_time() - began
    order = np.lexsort((records["id"], records["col"], records["idx"]))
    sign = np.where(records["side"] == 0, 1.0, -1.0)
    fills = [
        (int(records["idx"][k]), int(records["col"][k]), sign[k] * records["size"][k], records["price"][k],
         records["fees"][k])
        for k in order
    ]  # fmt: skip
    closed = TradeStatus.Closed
    found = []
    for record in portfolio.positions.values:
        done = record["status"] == closed
        found.append(
            {
                "asset": int(record["col"]),
                "side": "long" if record["direction"] == 0 else "short",
                "entry_bar": int(record["entry_idx"]),
                "exit_bar": int(record["exit_idx"]) if done else None,
                "quantity": float(record["size"]),
                "entry_price": float(record["entry_price"]),
                "exit_price": float(record["exit_price"]) if done else None,
                "commission": float(record["entry_fees"] + record["exit_fees"]),
                "pnl": float(record["pnl"]),
            }
        )
    write(job, vbt.__version__, fills, found, portfolio.value().to_numpy(), by_adapter, (), seconds)


if __name__ == "__main__":
    main(run)
