# mypy: ignore-errors
# Runs under the interpreter of Backtrader's own environment, see exchange.py.
"""Backtrader as it comes: orders sent in ``next``, the stated size, capital and commission rate, nothing else set."""

import time

import backtrader as bt
import numpy as np
from backtrader_run import Feed
from exchange import TRADE, last_closes, main, trades_of, write


class Plain(bt.Strategy):
    """Buys and sells what is decided when it is decided; a stop is the broker's own."""

    params = (("job", None),)

    def __init__(self):
        self.job, self.decided = self.p.job, self.p.job.merged()
        self.fills, self.refused, self.stops = [], 0, {}
        self.equity = np.full(self.p.job.shape[0], np.nan)
        self.bar_of = {date: bar for bar, date in enumerate(self.p.job.dates)}
        self.column = {data: index for index, data in enumerate(self.datas)}

    def next(self):
        """Send the decisions of this bar."""
        bar = len(self.datas[0]) - 1
        self.equity[bar] = self.broker.getvalue()
        for said in self.decided.get(bar, ()):
            data = self.datas[said.asset]
            held = self.getposition(data).size
            if said.bits == TRADE:
                self.order_target_size(data, held + said.quantity)
                continue
            leaves, side = said.read(held)
            if leaves and not side:
                self.close(data)
            elif side:
                self.order_target_size(data, side * said.quantity)

    def notify_order(self, order):
        """Keep fills and count what was refused."""
        self.refused += order.status in (order.Margin, order.Rejected)
        if order.status == order.Completed:
            for bit in order.executed.iterpending():
                fee = bit.closedcomm + bit.openedcomm
                self.fills.append((self.bar_of[order.executed.dt], self.column[order.data], bit.size, bit.price, fee))


def run(job):
    """Trade a job and write what came of it."""
    job.dates = np.array([bt.date2num(stamp) for stamp in job.stamps.astype("datetime64[us]").tolist()])
    cerebro = bt.Cerebro()
    cerebro.broker.setcash(job.capital)
    cerebro.broker.setcommission(job.rate)
    for asset in range(job.shape[1]):
        cerebro.adddata(Feed(job=job, asset=asset), name=job.assets[asset])
    cerebro.addstrategy(Plain, job=job)
    began = time.process_time()
    done = cerebro.run()[0]
    seconds = time.process_time() - began
    trades = trades_of(done.fills, last_closes(job))
    write(job, bt.__version__, done.fills, trades, done.equity, (), (), seconds, {"refused": done.refused})


if __name__ == "__main__":
    main(run)
