# mypy: ignore-errors
# Runs under the interpreter of Zipline's own environment, see exchange.py.
"""Zipline as it comes: orders sent in ``handle_data``, the stated capital, no model of slippage or commission set."""

import os
import time

import numpy as np
import pandas as pd
from exchange import last_closes, main, trades_of, write
from zipline_run import register


def run(job):
    """Trade a job and write what came of it."""
    from zipline import __version__, run_algorithm
    from zipline.api import order, symbol

    os.environ["ZIPLINE_ROOT"] = str(job.folder / "zipline")
    # Volumes as they are: the default model fills a share of them.
    job.terms["participation"] = 1.0
    calendar, sessions = register(job, 1, 1)
    decided, equity = job.merged(), np.full(job.shape[0], np.nan)
    bar_of = {stamp: bar for bar, stamp in enumerate(pd.DatetimeIndex(job.stamps))}

    def initialize(context):
        context.assets = [symbol(name) for name in job.assets]

    def handle_data(context, data):
        bar = bar_of[data.current_session]
        positions = context.portfolio.positions
        equity[bar] = context.portfolio.portfolio_value
        for said in decided.get(bar, ()):
            asset = context.assets[said.asset]
            held = positions[asset].amount if asset in positions else 0
            leaves, side = said.read(held)
            if leaves:
                order(asset, -held)
            if side:
                order(asset, side * said.quantity)

    began = time.process_time()
    days = sessions.tz_localize(None)
    done = run_algorithm(
        start=days[0], end=days[-1], initialize=initialize, handle_data=handle_data, capital_base=job.capital,
        bundle="parity", data_frequency="daily", trading_calendar=calendar,
        benchmark_returns=pd.Series(0.0, index=days), environ=os.environ,
    )  # fmt: skip
    seconds = time.process_time() - began
    fees = {sent["id"]: (sent["commission"], sent["filled"]) for day in done["orders"] for sent in day}
    fills = []
    for transaction in [transaction for day in done["transactions"] for transaction in day]:
        paid, filled = fees[transaction["order_id"]]
        bar = bar_of[pd.Timestamp(transaction["dt"]).tz_convert("UTC").tz_localize(None).normalize()]
        share = paid * transaction["amount"] / filled if filled else 0.0
        asset = job.assets.index(transaction["sid"].symbol)
        fills.append((bar, asset, float(transaction["amount"]), transaction["price"], share))
    write(job, __version__, fills, trades_of(fills, last_closes(job)), equity, (), ("pnl",), seconds)


if __name__ == "__main__":
    main(run)
