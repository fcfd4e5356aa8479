# mypy: ignore-errors
# Runs under the interpreter of Zipline's own environment, see exchange.py.
"""Trade a job with Zipline-reloaded: a real bundle on the calendar of the case.

Zipline holds prices as whole thousandths in 32 bits and counts whole shares; what does not fit it changes, or leaves
out, without a word. So prices and quantities are scaled by powers of ten until both are exact, and a job that cannot be
is refused. Orders are priced in a ``SlippageModel``, which is where Zipline lets a fill be anything but the close; its
own stop and limit orders look at closes only, so that stops and targets are rules of that model: by adapter, all of
them. What Zipline adds is time, order life, positions, cash and commission.
"""

import os
import time
import warnings

import numpy as np
import pandas as pd
from exchange import PRICES, TRADE, Held, NotSupported, last_closes, lots, main, trades_of, write

warnings.filterwarnings("ignore")

LARGEST = 2**32 - 1
MINUTE = pd.Timedelta(minutes=1)


def price_scale(bars):
    """Smallest power of ten that makes all prices whole thousandths; refuses prices that 32 bits do not hold then."""
    known = np.concatenate([bars[name][~np.isnan(bars[name])] for name in PRICES])
    for scale in (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000):
        whole = known * scale * 1000
        if whole.max() > LARGEST:
            break
        if np.abs(whole - np.round(whole)).max() <= 1e-6:
            return scale
    raise NotSupported(
        f"prices up to {known.max():g} are held as thousandths in 32 bits: they cannot be both exact and in range"
    )


def unit_scale(job, by_adapter):
    """Smallest power of ten that makes all quantities whole shares."""
    quantity = np.array([lots(row.quantity, job.terms, by_adapter) for row in job.rows if row.quantity is not None])
    if job.terms["lot"] == 1.0:
        # Whole shares are Zipline's own rounding.
        by_adapter.discard("rounding to lots")
        return 1
    for scale in (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000):
        if np.abs(quantity * scale - np.round(quantity * scale)).max(initial=0.0) <= 1e-6:
            if scale > 1:
                by_adapter.add("fractions are whole shares of a scaled account")
            return scale
    raise NotSupported("quantities have more decimals than an account of whole shares can be scaled to")


class Desk:
    """What the algorithm and the slippage model share."""

    def __init__(self, job, prices, units, by_adapter):
        self.job, self.terms, self.prices, self.units, self.by_adapter = job, job.terms, prices, units, by_adapter
        self.decided, self.held, self.entering, self.rules = job.merged(), {}, {}, {}
        self.same_close = job.terms["fill"] == "same_close"
        self.at_close = job.terms["trigger"] == "close"
        self.from_entry = job.terms["exits_from"] == "entry_bar"
        self.equity, self.fills = np.full(job.shape[0], np.nan), []
        self.bar = -1
        self.minutes, self.context = job.terms["frequency"] == "minute", None
        times = pd.DatetimeIndex(job.stamps).tz_localize("UTC") + MINUTE
        self.bar_of_minute = {stamp: bar for bar, stamp in enumerate(times)}
        self.bar_of = {}

    def bar_at(self, stamp):
        """The bar of a moment of the simulation, None for a minute between bars.

        Sessions are counted: around the clock one ends at the midnight with which Zipline names the next.
        """
        if stamp not in self.bar_of:
            self.bar_of[stamp] = self.bar_of_minute.get(stamp) if self.minutes else len(self.bar_of)
        return self.bar_of[stamp]


def price_of(desk, data, asset, name):
    """A price of the bundle as it was written: its thousandths come back multiplied by 0.001, an ulp off.

    That it is the price of the very bar is not taken on trust. Around the clock the midnight that names a session is
    the last minute of the one before, and ``data.current`` of a daily bundle reads that one: the bundle is asked by
    session instead.
    """
    bar = desk.bar_at(data.current_dt)
    if desk.terms["calendar"] == "24/7" and not desk.minutes:
        desk.by_adapter.add("sessions around the clock are read from the bundle by their name")
        reader = desk.context.data_portal._get_pricing_reader("daily")
        found = round(reader.get_value(asset, pd.Timestamp(desk.job.stamps[bar]), name), 3)
    else:
        found = round(data.current(asset, name), 3)
    written = desk.job.bars[name][bar, desk.job.assets.index(asset.symbol)] * desk.prices
    if abs(found - written) > 1e-9 * written:
        raise RuntimeError(f"Zipline reads {found} as the {name} of bar {bar} of {asset.symbol}, which is {written}")
    return found


def model_of(desk):
    """The slippage model: market orders at the open (or close), and the rules of stops and targets."""
    from zipline.finance import slippage

    terms, prices = desk.terms, desk.prices

    class Model(slippage.SlippageModel):
        def __init__(self):
            super().__init__()

        def process_order(self, data, order):
            rule = desk.rules.get(order.id)
            price, slips = (None, True)
            if rule is None or rule.leaving:
                price = price_of(desk, data, order.asset, "close" if desk.same_close else "open")
            else:
                price, slips = self.judge(data, order.asset, rule)
                if price is None:
                    return None, None
            if slips or terms["slip_targets"]:
                side = 1 if order.amount > 0 else -1
                price = price * (1 + side * terms["slippage_rate"]) + side * terms["slippage_fixed"] * prices
            amount = order.amount - order.filled
            if terms["participation"] is not None:
                room = terms["participation"] * data.current(order.asset, "volume") - self.volume_for_bar
                amount = int(np.sign(amount) * min(abs(amount), np.floor(room + 1e-9)))
                if not amount:
                    return None, None
            entering = desk.entering.get(order.asset.symbol)
            if entering is not None and order.id == entering.orders[0] and entering.fill is None:
                entering.fill, entering.best = price / prices, price_of(desk, data, order.asset, "open") / prices
            return price, amount

        @staticmethod
        def judge(data, asset, rule):
            """The open first, then the stop, then the target: price and whether it is slipped."""
            side, stop, target = rule.side, rule.stop_level(), rule.target_level()
            open_, high, low = (price_of(desk, data, asset, name) for name in ("open", "high", "low"))
            adverse, favourable = (low, high) if side > 0 else (high, low)
            stop = None if stop is None else stop * prices
            target = None if target is None else target * prices
            if rule.fill is None:
                return None, True
            # A level that stands from the entry on meets the entry bar after its open.
            fresh = desk.from_entry and rule.bar is None
            if not fresh and stop is not None and side * open_ <= side * stop:
                return open_, True
            if not fresh and target is not None and side * open_ >= side * target:
                return open_, False
            if stop is not None and side * adverse <= side * stop:
                return stop, True
            if target is not None and side * favourable >= side * target:
                return target, False
            return None, True

    return Model()


def commission_of(job, prices, units):
    """Zipline's own commissions where it has one, else a model with all parts."""
    from zipline.finance import commission

    terms = job.terms
    per_unit, per_order, minimum = (
        terms["per_unit"] * prices, terms["per_order"] * prices * units, terms["minimum"] * prices * units,
    )  # fmt: skip
    if not per_order and not minimum and not per_unit:
        return commission.PerDollar(cost=job.rate), None
    if not job.rate and not per_order:
        return commission.PerShare(cost=per_unit, min_trade_cost=minimum), None

    class Model(commission.EquityCommissionModel):
        def __init__(self):
            self.raw = {}

        def calculate(self, order, transaction):
            size = abs(transaction.amount)
            before = self.raw.get(order.id)
            raw = (per_order if before is None else before) + size * (transaction.price * job.rate + per_unit)
            self.raw[order.id] = raw
            return max(raw, minimum) - order.commission

    return Model(), "commission other than one part"


def register(job, prices, units):
    """Write the bars as a bundle on the calendar of the case."""
    from zipline.data import bundles
    from zipline.utils.calendar_utils import get_calendar

    terms = job.terms
    minutes = terms["frequency"] == "minute"
    calendar = get_calendar(terms["calendar"])
    times = pd.DatetimeIndex(job.stamps)
    sessions = calendar.sessions_in_range(times[0].normalize(), times[-1].normalize())
    if not minutes and not sessions.equals(times):
        raise NotSupported(f"the bars are not the {len(sessions)} sessions of {terms['calendar']} in their span")
    ends = {event["asset"]: times[event["bar"] - 1] for event in job.run["delistings"]}
    for event in job.run["delistings"]:
        if event["recovery"] != 1.0:
            raise NotSupported("a delisted asset is closed at its last close, whatever is recovered")

    def frames():
        for asset in range(job.shape[1]):
            halted = job.halted[:, asset]
            frame = pd.DataFrame({name: job.bars[name][:, asset] * prices for name in PRICES}, index=times)
            frame = frame.round(3)
            if terms["participation"] is None:
                frame["volume"] = np.where(halted, 0, 1_000)
            else:
                frame["volume"] = np.where(halted, 0, np.nan_to_num(job.bars["volume"][:, asset]) * units)
            frame.loc[halted, list(PRICES)] = np.nan
            if minutes:
                frame.index = times.tz_localize("UTC") + MINUTE
            if asset in ends:
                frame = frame.loc[: ends[asset]]
            yield asset, frame

    def ingest(_environ, asset_db, minute_bars, daily_bars, adjustments, *_rest):
        equities = pd.DataFrame(
            {
                "symbol": job.assets,
                "asset_name": job.assets,
                "start_date": times[0].normalize(),
                "end_date": [ends.get(asset, times[-1]).normalize() for asset in range(job.shape[1])],
                "exchange": "X",
            }
        )
        # What is not delisted is not closed with the last bar, whatever the calendar still holds behind it.
        left = [1 if asset in ends else 400 for asset in range(job.shape[1])]
        equities["auto_close_date"] = equities["end_date"] + pd.to_timedelta(left, unit="D")
        asset_db.write(equities=equities, exchanges=pd.DataFrame({"exchange": ["X"], "country_code": ["US"]}))
        (minute_bars if minutes else daily_bars).write(frames(), show_progress=False)
        if minutes:
            daily = [(asset, frame.resample("1D").agg({"open": "first", "high": "max", "low": "min", "close": "last",
                      "volume": "sum"}).tz_localize(None)) for asset, frame in frames()]  # fmt: skip
            daily = [(asset, frame.reindex(sessions)) for asset, frame in daily]
            daily_bars.write(((asset, frame.assign(volume=frame["volume"].clip(upper=1e9))) for asset, frame in daily),
                             show_progress=False)  # fmt: skip
        adjustments.write()

    more = {"minutes_per_day": 1440} if terms["calendar"] == "24/7" else {}
    bundles.register("parity", ingest, calendar_name=terms["calendar"], start_session=sessions[0],
                     end_session=sessions[-1], **more)  # fmt: skip
    bundles.ingest("parity", os.environ, show_progress=False)
    return calendar, sessions


def run(job):
    """Trade a job and write what came of it."""
    from zipline import run_algorithm
    from zipline.api import cancel_order, order, set_commission, set_slippage, symbol

    by_adapter, terms = {"market orders are filled at the open by a slippage model"}, job.terms
    prices, units = price_scale(job.bars), unit_scale(job, by_adapter)
    if prices > 1:
        by_adapter.add("prices are scaled to whole thousandths")
    if job.has("stop") or job.has("target") or job.has("trail"):
        by_adapter.add("the rule of stops and targets itself")
    if terms["slippage_rate"] or terms["slippage_fixed"]:
        by_adapter.add("slippage")
    if terms["participation"]:
        by_adapter.add("participation")
    if terms["fill"] == "same_close":
        by_adapter.add("a fill at the close that decided is sent one bar early")
    os.environ["ZIPLINE_ROOT"] = str(job.folder / "zipline")
    calendar, sessions = register(job, prices, units)
    desk = Desk(job, prices, units, by_adapter)
    fee, own = commission_of(job, prices, units)
    if own:
        by_adapter.add(own)

    def initialize(context):
        desk.context = context
        set_slippage(us_equities=model_of(desk))
        set_commission(us_equities=fee)
        context.assets = [symbol(name) for name in job.assets]
        context.names = {asset: column for column, asset in enumerate(context.assets)}

    def send(context, column, amount):
        return order(context.assets[column], round(amount * units))

    def leave(context, column, held, position):
        for resting in held.orders:
            cancel_order(resting)
        held.orders, held.leaving = [order(context.assets[column], -position)], True

    def decide(context, said, positions):
        column = said.asset
        if said.bits == TRADE:
            send(context, column, lots(said.quantity, terms, by_adapter))
            return
        held, waiting = desk.held.get(column), desk.entering.get(job.assets[column])
        side = held.side if held else waiting.side if waiting else 0
        leaves, entered = said.read(side)
        if leaves and held and not held.leaving:
            leave(context, column, held, positions[context.assets[column]].amount)
        if leaves and waiting:
            cancel_order(waiting.orders[0])
            del desk.entering[job.assets[column]]
        if entered:
            size = int(said.quantity) if terms["lot"] == 1.0 else lots(said.quantity, terms, by_adapter)
            if not size:
                return
            entry = Held(entered, None, None, said)
            sent = send(context, column, entered * size)
            entry.orders = [sent]
            desk.entering[job.assets[column]] = entry
            if desk.from_entry:
                # Sent behind the entry, and so looked at after it in the same bar.
                by_adapter.add("levels sent with the entry")
                rest = send(context, column, -entered * size)
                desk.rules[rest] = entry
                entry.orders.append(rest)

    def handle_data(context, data):
        bar = desk.bar_at(data.current_dt)
        if bar is None:
            return
        desk.bar = bar
        positions = context.portfolio.positions
        desk.equity[bar] = context.portfolio.portfolio_value / (prices * units)
        for column in list(desk.held):
            if context.assets[column] not in positions or not positions[context.assets[column]].amount:
                del desk.held[column]
        for name, entry in list(desk.entering.items()):
            if entry.fill is None:
                continue
            del desk.entering[name]
            column = job.assets.index(name)
            entry.bar, entry.orders = bar, entry.orders[1:]
            if context.assets[column] in positions and positions[context.assets[column]].amount:
                desk.held[column] = entry
        for column, held in desk.held.items():
            if job.halted[bar, column]:
                continue
            held.saw(job.bars["high"][bar, column], job.bars["low"][bar, column])
            if held.leaving or desk.at_close:
                continue
            if not held.orders and (held.decision.stop or held.decision.target or held.decision.trail):
                rest = order(context.assets[column], -positions[context.assets[column]].amount)
                desk.rules[rest] = held
                held.orders = [rest]
        due = bar + 1 if desk.same_close else bar
        for column, held in desk.held.items():
            position = positions[context.assets[column]].amount
            if not held.leaving and held.is_over(bar):
                by_adapter.add("time exit")
                leave(context, column, held, position)
            elif (
                not held.leaving
                and desk.at_close
                and not job.halted[bar, column]
                and held.meets(job.bars["close"][bar, column])
            ):
                by_adapter.add("levels compared with closes")
                leave(context, column, held, position)
        for said in desk.decided.get(due, ()):
            decide(context, said, positions)

    began = time.process_time()
    days = sessions.tz_localize(None)
    performance = run_algorithm(
        start=days[0], end=days[-1], initialize=initialize, handle_data=handle_data,
        capital_base=job.capital * prices * units, bundle="parity", data_frequency=terms["frequency"],
        trading_calendar=calendar, benchmark_returns=pd.Series(0.0, index=days), environ=os.environ,
    )  # fmt: skip
    seconds = time.process_time() - began
    fees = {}
    for day in performance["orders"]:
        for sent in day:
            fees[sent["id"]] = sent["commission"]
    filled = []
    for day in performance["transactions"]:
        filled += day
    total = {}
    for transaction in filled:
        total[transaction["order_id"]] = total.get(transaction["order_id"], 0) + abs(transaction["amount"])
    fills = []
    for transaction in filled:
        identity = transaction["order_id"]
        fee_part = 0.0 if identity is None else fees.get(identity, 0.0) * abs(transaction["amount"]) / total[identity]
        bar = desk.bar_of[pd.Timestamp(transaction["dt"])]
        fills.append((bar, job.assets.index(transaction["sid"].symbol), transaction["amount"] / units,
                      transaction["price"] / prices, fee_part / (prices * units)))  # fmt: skip
    import zipline

    write(
        job, zipline.__version__, fills, trades_of(fills, last_closes(job)), desk.equity, by_adapter, {"pnl"}, seconds
    )


if __name__ == "__main__":
    main(run)
