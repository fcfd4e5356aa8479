"""alphalens-reloaded and pyfolio-reloaded at the nearest same work as a suite; imports nothing of ours.

Called as ``python suite_alphalens.py DATA.npz SIGNAL.csv FOLDER``: ``DATA.npz`` has ``days``, ``names``, ``prices``
and ``factor_*``, one for each further variant and baseline; the file is the submitted signal, ``FOLDER`` takes what is
stored and drawn. Prints processor and wall seconds by step, what was drawn, and the versions.

1. The submitted signal is read from its CSV file into the long form.
2. Every factor gets its numbers: forward returns, information coefficients, quantiles, turnover, statistics.
3. The rows of the submitted signal and the numbers of every factor are stored as Parquet.
4. alphalens' full tear sheet and pyfolio's of returns are drawn once, for the submitted signal, and saved as PNG.

Importing, the prices, and the long form of the further factors, which come as arrays, are not timed.
"""

import functools
import importlib
import json
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")

PERIODS = (1, 5, 21)
READING, STORING, DRAWING = "reading the file", "storing", "drawing"
SUBMITTED = "submitted"


def read(path):
    """The submitted signal in the long form of alphalens."""
    rows = pd.read_csv(path, parse_dates=["date_sig", "date_avail"])
    return rows.set_index(["date_sig", "security_id"])["signal"].rename_axis(["date", "asset"]).rename("factor")


def judge(factor, prices, clock):
    """The numbers of one factor as frames, its cleaned rows, and the returns that it earns."""
    from alphalens import performance as p
    from alphalens import utils
    from pyfolio.timeseries import perf_stats

    with clock("clean factor and forward returns"):
        clean = utils.get_clean_factor_and_forward_returns(factor, prices, quantiles=10, periods=PERIODS, max_loss=1.0)
    with clock("information coefficients"):
        coefficients = p.factor_information_coefficient(clean)
    with clock("returns by quantile, spread"):
        means, errors = p.mean_return_by_quantile(clean, by_date=True, demeaned=False)
        spread, _ = p.compute_mean_returns_spread(means, 10, 1, errors)
        returns = p.factor_returns(clean)
    with clock("turnover, rank autocorrelation"):
        turnover = {str(k): p.quantile_turnover(clean["factor_quantile"], k, period=1) for k in range(1, 11)}
        autocorrelation = p.factor_rank_autocorrelation(clean, period=1)
    with clock("performance statistics"):
        stats = perf_stats(returns.iloc[:, 0])
    numbers = {
        "coefficients": coefficients,
        "means": means,
        "spread": spread,
        "returns": returns,
        "turnover": pd.DataFrame(turnover),
        "autocorrelation": autocorrelation.to_frame("autocorrelation"),
        "statistics": stats.to_frame("value"),
    }
    return numbers, clean, returns.iloc[:, 0]


def store(numbers, name, folder):
    """Write each frame of numbers of a factor as Parquet."""
    for table, frame in numbers.items():
        frame.to_parquet(folder / f"{name}.{table}.parquet")


def draw(clean, returns, folder):
    """Both tear sheets of the submitted signal, every figure of theirs as PNG; bytes and number of the pictures."""
    import matplotlib.pyplot as plt
    from alphalens.tears import create_full_tear_sheet
    from pyfolio.tears import create_returns_tear_sheet

    def save():
        # alphalens shows its figures and closes them at once; some are empty.
        for figure in map(plt.figure, plt.get_fignums()):
            if figure.axes:
                figure.savefig(folder / f"{len(list(folder.glob('*.png')))}.png")

    plt.show = save
    create_full_tear_sheet(clean)
    plt.close("all")
    create_returns_tear_sheet(returns, return_fig=True)
    save()
    plt.close("all")
    pictures = list(folder.glob("*.png"))
    return {"pictures": len(pictures), "picture_mib": sum(one.stat().st_size for one in pictures) / 2**20}


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


def import_all():
    """Import what is called later, so that no step pays for it."""
    import matplotlib

    matplotlib.use("Agg")
    for name in ("alphalens.tears", "pyfolio.tears", "pyfolio.timeseries", "matplotlib.pyplot", "pyarrow.parquet"):
        importlib.import_module(name)


def long_form(values, days, names):
    """A matrix of dates and names as alphalens takes a factor."""
    factor = pd.DataFrame(values, index=days, columns=names).stack().rename("factor")
    return factor.set_axis(factor.index.set_names(["date", "asset"]))


def main():
    answers, sys.stdout = sys.stdout, sys.stderr
    began = time.process_time()
    import_all()
    imports = time.process_time() - began
    data, path, folder = np.load(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    days = pd.DatetimeIndex(data["days"])
    clock = Clock()
    with clock(READING):
        submitted = read(path)
    prices = pd.DataFrame(data["prices"], index=days, columns=data["names"])
    factors = {SUBMITTED: lambda: submitted}
    for key in data.files:
        if key.startswith("factor_"):
            factors[key] = functools.partial(long_form, data[key], days, prices.columns)
    for name, factor in factors.items():
        numbers, clean, returns = judge(factor(), prices, clock)
        with clock(STORING):
            store(numbers, name, folder)
        if name == SUBMITTED:
            with clock(STORING):
                submitted.to_frame().to_parquet(folder / "signal.parquet")
            with clock(DRAWING):
                drawn = draw(clean, returns, folder)
    packages = ("alphalens-reloaded", "pyfolio-reloaded", "empyrical-reloaded", "pandas", "matplotlib")
    found = {
        "cpu": clock.cpu,
        "wall": clock.wall,
        "import_cpu": imports,
        "factors": len(factors),
        **drawn,
        "versions": {name: version(name) for name in packages},
    }
    print(json.dumps(found), file=answers)


if __name__ == "__main__":
    main()
