# mypy: ignore-errors
# Runs under the interpreter of Backtrader's own environment, see exchange.py.
"""Trade a job with Backtrader.

Settings under which it trades as the engine does: ``cheat_on_open``, so that a market order sent before the bar is
processed is filled at its open; ``slip_out``, so that slippage is not capped by the bar; ``checksubmit`` off, because
the check refuses the second leg of a pair as if it were a new position, and the pair's rule then takes the stop away in
silence. Any order that the broker refuses for lack of margin stops the run: it would be missing without a word.
"""

import time

import backtrader as bt
import numpy as np
from exchange import PRICES, TRADE, Held, NotSupported, last_closes, lots, main, trades_of, write


class Feed(bt.feed.DataBase):
    """Bars of one asset; a halted bar repeats the last close and has no volume."""

    params = (("job", None), ("asset", 0))

    def start(self):
        """Fill the gaps once."""
        super().start()
        job = self.p.job
        bars = {name: job.bars[name][:, self.p.asset].copy() for name in (*PRICES, "volume")}
        halted = job.halted[:, self.p.asset]
        last = np.nan
        for bar in range(len(halted)):
            if halted[bar]:
                for name in PRICES:
                    bars[name][bar] = last
                bars["volume"][bar] = 0.0
            else:
                last = bars["close"][bar]
        # Before its first bar an asset has no price; any will do, for nothing is filled without a volume.
        for name in PRICES:
            bars[name] = np.where(np.isnan(bars[name]), np.nan_to_num(bars["open"][~halted][:1].sum()), bars[name])
        # Where volume limits a fill an unknown one fills nothing, as in the engine; elsewhere any but zero will do.
        unknown = 0.0 if job.terms["participation"] else 1.0
        volume = np.where(np.isnan(bars["volume"]), unknown, bars["volume"])
        self.columns = [job.dates, *(bars[name] for name in PRICES), volume]
        self.row = 0

    def _load(self):
        if self.row >= len(self.columns[0]):
            return False
        lines, row = self.lines, self.row
        date, open_, high, low, close, volume = self.columns
        lines.datetime[0], lines.open[0], lines.high[0] = date[row], open_[row], high[row]
        lines.low[0], lines.close[0], lines.volume[0], lines.openinterest[0] = low[row], close[row], volume[row], 0.0
        self.row += 1
        return True


class Commission(bt.CommInfoBase):
    """Rate, amount per unit and per order, and a minimum: per fill, as Backtrader asks."""

    params = (("stocklike", True), ("commtype", bt.CommInfoBase.COMM_PERC), ("rate", 0.0), ("terms", None))

    def _getcommission(self, size, price, pseudoexec):
        del pseudoexec
        terms = self.p.terms
        raw = abs(size) * price * self.p.rate + abs(size) * terms["per_unit"] + terms["per_order"]
        return max(raw, terms["minimum"])


class Broker(bt.brokers.BackBroker):
    """Backtrader's broker, except that a limit order over a gap is not slipped."""

    def _slip_up(self, pmax, price, doslip=True, lim=False):
        return price if lim else super()._slip_up(pmax, price, doslip, lim)

    def _slip_down(self, pmin, price, doslip=True, lim=False):
        return price if lim else super()._slip_down(pmin, price, doslip, lim)


def filler_of(share):
    """What of an order a bar fills: nothing without a volume, else all of it or a share of the volume."""

    def filler(order, _price, ago):
        volume, wanted = order.data.volume[ago], abs(order.executed.remsize)
        if not volume:
            return 0.0
        return wanted if share is None else min(wanted, np.floor(share * volume + 1e-9))

    return filler


class Decided(bt.Strategy):
    """Sends what was decided, and the stops and targets that a decision states."""

    params = (("job", None), ("by_adapter", None))

    def __init__(self):
        job = self.p.job
        self.job, self.terms, self.decided = job, job.terms, job.merged()
        self.same_close = job.terms["fill"] == "same_close"
        self.held, self.entering, self.fills, self.refused = {}, {}, [], []
        self.pnl, self.equity = {}, np.full(job.shape[0], np.nan)
        self.bar_of = {date: bar for bar, date in enumerate(job.dates)}
        self.column = {data: index for index, data in enumerate(self.datas)}
        self.watch_gaps = job.has("target") and (job.has("stop") or job.has("trail"))
        self.from_entry = job.terms["exits_from"] == "entry_bar"
        self.at_close = job.terms["trigger"] == "close"

    def next_open(self):
        """Before the broker works on the bar: its open is known, positions are those of the last close."""
        bar = len(self.datas[0]) - 1
        if self.same_close or bar == 0:
            return
        self._act(bar - 1)
        if self.watch_gaps and not self.at_close:
            self._leave_over_gaps(bar)

    def _act(self, decided_at):
        for asset, held in list(self.held.items()):
            if not held.leaving and held.is_over(decided_at):
                self.p.by_adapter.add("time exit")
                self._leave(asset, held)
            elif (
                not held.leaving
                and self.at_close
                and not self.job.halted[decided_at, asset]
                and held.meets(self.job.bars["close"][decided_at, asset])
            ):
                self.p.by_adapter.add("levels compared with closes")
                self._leave(asset, held)
        for said in self.decided.get(decided_at, ()):
            self._decide(said)

    def _decide(self, said):
        data, asset = self.datas[said.asset], said.asset
        if said.bits == TRADE:
            self._market(data, lots(said.quantity, self.terms, self.p.by_adapter))
            return
        held = self.held.get(asset)
        waiting = self.entering.get(asset)
        position = held.side if held else waiting.side if waiting else 0
        leaves, side = said.read(position)
        if leaves and held and not held.leaving:
            self._leave(asset, held)
        if leaves and waiting:
            raise NotSupported("an entry that waits for a halted bar is called back; the adapter does not do that")
        if side:
            size = lots(said.quantity, self.terms, self.p.by_adapter)
            if not size:
                return
            self.entering[asset] = entry = Held(side, None, None, said)
            order = self._market(data, side * size)
            entry.orders = [order]
            if self.from_entry:
                # Sent together with the entry, behind it: they are looked at in this very bar.
                self.p.by_adapter.add("levels sent with the entry")
                entry.fill = entry.best = data.open[0] * (1 + side * self.terms["slippage_rate"])
                entry.orders += self._pair(data, entry, size)

    def _market(self, data, size):
        return self.buy(data, size=size) if size > 0 else self.sell(data, size=-size)

    def _leave(self, asset, held):
        for order in held.orders:
            self.cancel(order)
        held.leaving, held.orders = True, []
        data = self.datas[asset]
        self._market(data, -self.getposition(data).size)

    def _leave_over_gaps(self, bar):
        for asset, held in list(self.held.items()):
            target = held.target_level()
            price = self.datas[asset].open[0]
            if held.leaving or target is None or self.job.halted[bar, asset]:
                continue
            if held.side * price >= held.side * target:
                self.p.by_adapter.add("the open over the target is looked at before the stop")
                # Without its pair: to cancel the stop alone would take the target with it.
                for order in held.orders:
                    self.cancel(order)
                data, size = self.datas[asset], abs(self.getposition(self.datas[asset]).size)
                send = self.sell if held.side > 0 else self.buy
                held.orders = [send(data, size=size, exectype=bt.Order.Limit, price=target)]

    def _pair(self, data, held, size):
        """Stop first: it is then looked at first. Each takes the other away."""
        sent, send = [], self.sell if held.side > 0 else self.buy
        stop, target = held.stop_level(), held.target_level()
        if stop is not None:
            sent.append(send(data, size=size, exectype=bt.Order.Stop, price=stop))
        if target is not None:
            pair = {"oco": sent[0]} if sent else {}
            sent.append(send(data, size=size, exectype=bt.Order.Limit, price=target, **pair))
        return sent

    def next(self):
        """After the broker worked on the bar."""
        bar = len(self.datas[0]) - 1
        self.equity[bar] = self.broker.getvalue()
        for asset, held in self.held.items():
            data = self.datas[asset]
            if not self.job.halted[bar, asset]:
                held.saw(data.high[0], data.low[0])
            if held.leaving or self.at_close:
                continue
            if held.bar == bar and not (held.orders and self.from_entry):
                held.orders = self._pair(data, held, abs(self.getposition(data).size))
            elif held.decision.trail and not self.job.halted[bar, asset]:
                self.p.by_adapter.add("trailing stop sent again each bar")
                for order in held.orders:
                    self.cancel(order)
                held.orders = self._pair(data, held, abs(self.getposition(data).size))
        if self.same_close:
            self._act(bar)

    def notify_order(self, order):
        """Keep fills, and stop at an order that is refused: it would be missing without a word."""
        if order.status in (order.Margin, order.Rejected):
            self.refused.append(order.ref)
            raise RuntimeError(f"the broker refused order {order.ref} at bar {len(self) - 1}: {order.getstatusname()}")
        if order.status not in (order.Completed, order.Partial):
            return
        asset, data = self.column[order.data], order.data
        # As Backtrader dates the fill: that of a cheat on the close with the bar of that close.
        bar = self.bar_of[order.executed.dt]
        for bit in order.executed.iterpending():
            if bit.size:
                self.fills.append((bar, asset, bit.size, bit.price, bit.closedcomm + bit.openedcomm))
        if not self.getposition(data).size:
            self.held.pop(asset, None)
        waiting = self.entering.get(asset)
        if waiting and order.ref == waiting.orders[0].ref and not order.alive():
            del self.entering[asset]
            waiting.bar, waiting.orders = bar, waiting.orders[1:]
            waiting.fill = waiting.best = order.executed.price
            if not self.from_entry:
                waiting.best = data.open[0] if not self.same_close else order.executed.price
            self.held[asset] = waiting

    def notify_trade(self, trade):
        """Keep what Backtrader itself says that a trade earned."""
        if trade.isclosed:
            self.pnl.setdefault(self.column[trade.data], []).append((trade.pnlcomm, trade.commission))


def run(job):
    """Trade a job and write what came of it."""
    by_adapter = set()
    terms = job.terms
    if job.run["delistings"]:
        raise NotSupported("a position of a delisted asset is never closed: it stays at its last price for good")
    job.dates = np.array([bt.date2num(stamp) for stamp in job.stamps.astype("datetime64[us]").tolist()])
    began = time.process_time()
    same_close = terms["fill"] == "same_close"
    cerebro = bt.Cerebro(stdstats=False, cheat_on_open=not same_close)
    slipped = terms["slippage_rate"] or terms["slippage_fixed"]
    if slipped and job.has("target"):
        if terms["slip_targets"]:
            raise NotSupported("a limit order is never slipped inside the bar")
        by_adapter.add("targets over a gap are not slipped")
    broker = Broker() if slipped and job.has("target") else bt.brokers.BackBroker()
    broker.set_cash(job.capital)
    broker.set_checksubmit(False)
    broker.set_coc(same_close)
    broker.set_coo(not same_close)
    if terms["slippage_rate"]:
        broker.set_slippage_perc(terms["slippage_rate"], slip_open=True, slip_match=True, slip_out=True)
    if terms["slippage_fixed"]:
        broker.set_slippage_fixed(terms["slippage_fixed"], slip_open=True, slip_match=True, slip_out=True)
    if job.halted.any() or terms["participation"]:
        by_adapter.add("halted bars have no volume and fill nothing" if job.halted.any() else "participation")
        broker.set_filler(filler_of(terms["participation"]))
    broker.addcommissioninfo(Commission(rate=job.rate, terms=terms))
    if terms["per_unit"] or terms["per_order"] or terms["minimum"]:
        by_adapter.add("commission other than a rate")
    cerebro.setbroker(broker)
    for asset in range(job.shape[1]):
        cerebro.adddata(Feed(job=job, asset=asset), name=job.assets[asset])
    cerebro.addstrategy(Decided, job=job, by_adapter=by_adapter)
    done = cerebro.run()[0]
    seconds = time.process_time() - began
    trades = trades_of(done.fills, last_closes(job))
    reported = {asset: iter(found) for asset, found in done.pnl.items()}
    for trade in trades:
        if trade["exit_bar"] is not None:
            trade["pnl"], trade["commission"] = next(reported[trade["asset"]])
    write(job, bt.__version__, done.fills, trades, done.equity, by_adapter, (), seconds)


if __name__ == "__main__":
    main(run)
