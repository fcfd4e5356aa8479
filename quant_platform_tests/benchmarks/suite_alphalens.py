"""alphalens-reloaded and pyfolio-reloaded at the nearest same work as a suite; imports nothing of ours.

Called as ``python suite_alphalens.py DATA.npz`` with ``days``, ``prices`` and ``factor_*``, one for each variant and
baseline; prints processor and wall seconds by step, and the versions. Reading, importing and reshaping into the long
form are not timed.
"""

import importlib
import json
import sys
import time
import warnings
from importlib.metadata import version

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")

PERIODS = (1, 5, 21)


def judge(factor, prices, clock):
    from alphalens import performance as p
    from alphalens import utils

    with clock("clean factor and forward returns"):
        clean = utils.get_clean_factor_and_forward_returns(factor, prices, quantiles=10, periods=PERIODS, max_loss=1.0)
    with clock("information coefficients"):
        p.factor_information_coefficient(clean)
    with clock("returns by quantile, spread"):
        means, errors = p.mean_return_by_quantile(clean, by_date=True, demeaned=False)
        p.compute_mean_returns_spread(means, 10, 1, errors)
        returns = p.factor_returns(clean).iloc[:, 0]
    with clock("turnover, rank autocorrelation"):
        for quantile in range(1, 11):
            p.quantile_turnover(clean["factor_quantile"], quantile, period=1)
        p.factor_rank_autocorrelation(clean, period=1)
    with clock("performance statistics"):
        statistics(returns)


def statistics(returns):
    try:
        from pyfolio.timeseries import perf_stats
    except ImportError:
        import empyrical as e

        for one in (e.sharpe_ratio, e.annual_volatility, e.max_drawdown, e.annual_return, e.sortino_ratio):
            one(returns)
    else:
        perf_stats(returns)


class Clock:
    """Seconds by step."""

    def __init__(self):
        self.cpu = {}
        self.wall = {}

    def __call__(self, step):
        self.step = step
        return self

    def __enter__(self):
        self.began = time.process_time(), time.perf_counter()

    def __exit__(self, *_):
        self.cpu[self.step] = self.cpu.get(self.step, 0.0) + time.process_time() - self.began[0]
        self.wall[self.step] = self.wall.get(self.step, 0.0) + time.perf_counter() - self.began[1]


def main():
    answers, sys.stdout = sys.stdout, sys.stderr
    data = np.load(sys.argv[1])
    days = pd.DatetimeIndex(data["days"])
    names = [f"N{k:04d}" for k in range(data["prices"].shape[1])]
    prices = pd.DataFrame(data["prices"], index=days, columns=names)
    importlib.import_module("alphalens")  # before the clock starts
    clock = Clock()
    factors = [key for key in data.files if key.startswith("factor_")]
    for key in factors:
        factor = pd.DataFrame(data[key], index=days, columns=names).stack().rename("factor")
        factor.index = factor.index.set_names(["date", "asset"])
        judge(factor, prices, clock)
    versions = {}
    for name in ("alphalens-reloaded", "pyfolio-reloaded", "empyrical-reloaded", "pandas"):
        try:
            versions[name] = version(name)
        except ModuleNotFoundError:
            versions[name] = "not installed"
    found = {"cpu": clock.cpu, "wall": clock.wall, "factors": len(factors), "versions": versions}
    print(json.dumps(found), file=answers)


if __name__ == "__main__":
    main()
