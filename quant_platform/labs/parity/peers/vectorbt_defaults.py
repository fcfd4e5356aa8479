# mypy: ignore-errors
# Runs under the interpreter of VectorBT's own environment, see exchange.py.
"""VectorBT as it comes: close, signals, the stated size, capital and commission rate, nothing else set."""

import time

import numpy as np
import pandas as pd
import vectorbt as vbt
from exchange import LONG_ENTRY, LONG_EXIT, SHORT_ENTRY, SHORT_EXIT, last_closes, main, trades_of, write


def run(job):
    """Trade a job and write what came of it."""
    bits, size = np.zeros(job.shape, dtype=np.int64), np.full(job.shape, np.nan)
    for said in [said for found in job.merged().values() for said in found]:
        bits[said.bar, said.asset] = said.bits
        if said.quantity is not None:
            size[said.bar, said.asset] = said.quantity
    signals = {
        name: pd.DataFrame((bits & bit) > 0)
        for name, bit in (
            ("entries", LONG_ENTRY), ("exits", LONG_EXIT), ("short_entries", SHORT_ENTRY), ("short_exits", SHORT_EXIT),
        )
    }  # fmt: skip
    began = time.process_time()
    # Every entry states its quantity (`DecisionTable`): no size means no entry.
    portfolio = vbt.Portfolio.from_signals(
        pd.DataFrame(job.bars["close"]), size=pd.DataFrame(np.nan_to_num(size)), fees=job.rate, init_cash=job.capital,
        cash_sharing=True, group_by=True, freq="1D", **signals,
    )  # fmt: skip
    records = portfolio.orders.values
    seconds = time.process_time() - began
    order = np.lexsort((records["id"], records["col"], records["idx"]))
    sign = np.where(records["side"] == 0, 1.0, -1.0)
    fills = [
        (int(records["idx"][k]), int(records["col"][k]), float(sign[k] * records["size"][k]),
         float(records["price"][k]), float(records["fees"][k]))
        for k in order
    ]  # fmt: skip
    trades = trades_of(fills, last_closes(job))
    write(job, vbt.__version__, fills, trades, portfolio.value().to_numpy(), (), (), seconds)


if __name__ == "__main__":
    main(run)
