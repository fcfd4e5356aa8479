"""What other libraries compute on the same complete data; runs in their environments and imports nothing of ours.

Called as ``python suite_peer.py TOOL DATA.npz`` with ``days``, ``factor`` and ``returns`` ``[T, N]``, ``forward`` (the
return of the row after), ``net`` and ``market`` ``[T]``, and ``weights`` ``[T, N]``; prints one JSON object: versions,
and the numbers by name, single ones or lists by date.
"""

import json
import sys
import warnings
from importlib.metadata import version

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")


def by_row(series, days):
    """Values on the days, None where there is none."""
    found = pd.Series(series).reindex(days)
    return [None if np.isnan(value) else float(value) for value in found.to_numpy(dtype=float)]


def long_frame(values, days, names, name):
    frame = pd.DataFrame(values, index=days, columns=names)
    stacked = frame.stack()
    stacked.index = stacked.index.set_names(["date", "asset"])
    return stacked.rename(name)


def alphalens(data, days, names):
    from alphalens import performance, utils

    # A price of the next row over this one's is the return that the factor of this row can earn.
    prices = pd.DataFrame(np.cumprod(1.0 + data["returns"], axis=0), index=days, columns=names)
    clean = utils.get_clean_factor_and_forward_returns(
        long_frame(data["factor"], days, names, "factor"), prices, quantiles=10, periods=(1,), max_loss=1.0
    )
    ic = performance.factor_information_coefficient(clean).iloc[:, 0]
    by_date, _ = performance.mean_return_by_quantile(clean, by_date=True, demeaned=False)
    by_date = by_date.iloc[:, 0].unstack(level=0)
    means, _ = performance.mean_return_by_quantile(clean, by_date=True, demeaned=False)
    spread, _ = performance.compute_mean_returns_spread(means, 10, 1)
    found = {
        "ic": by_row(ic, days),
        "spread": by_row(spread.iloc[:, 0], days),
        "autocorrelation": by_row(performance.factor_rank_autocorrelation(clean, period=1), days),
        "ic_t": float(ic.mean() / ic.std(ddof=1) * np.sqrt(ic.count())),
    }
    for quantile in (1, 10):
        turnover = performance.quantile_turnover(clean["factor_quantile"], quantile, period=1)
        found[f"turnover_{quantile}"] = by_row(turnover, days)
    for quantile in by_date.columns:
        found[f"quantile_{int(quantile)}"] = by_row(by_date[quantile], days)
    return found


def empyrical(data, days, names):
    import empyrical as e

    net, market = pd.Series(data["net"], index=days), pd.Series(data["market"], index=days)
    return {
        "sharpe": e.sharpe_ratio(net),
        "volatility": e.annual_volatility(net),
        "drawdown": e.max_drawdown(net),
        "cumulative": e.cum_returns_final(net),
        "cagr": e.annual_return(net),
        "sortino": e.sortino_ratio(net),
        "beta": e.beta(net, market),
        "rolling_sharpe": by_row(e.roll_sharpe_ratio(net, 126), days),
        "months": [float(value) for value in e.aggregate_returns(net, "monthly")],
    }


def quantstats(data, days, names):
    import quantstats as qs

    net, market = pd.Series(data["net"], index=days), pd.Series(data["market"], index=days)
    return {
        "sharpe": qs.stats.sharpe(net),
        "volatility": qs.stats.volatility(net, prepare_returns=False),
        "drawdown": qs.stats.max_drawdown(net),
        "cumulative": qs.stats.comp(net),
        "win_rate": qs.stats.win_rate(net),
        "probabilistic_sharpe": float(qs.stats.probabilistic_sharpe_ratio(net)),
        "beta": float(qs.stats.greeks(net, market)["beta"]),
        "underwater": by_row(qs.stats.to_drawdown_series(net), days),
        "months": [float(v) for v in net.resample("ME").apply(qs.stats.comp)],
    }


def jquantstats(data, days, names):
    import polars as pl
    from jquantstats import Data

    stamps = pl.Series("Date", [stamp.date() for stamp in days])
    frame = pl.DataFrame({"Date": stamps, "net": data["net"]})
    stats = Data.from_returns(returns=frame).stats

    def one(name):
        value = getattr(stats, name)()
        return float(value["net"] if isinstance(value, dict) else value)

    return {
        "periods_per_year": float(stats.periods_per_year),
        "sharpe": one("sharpe"),
        "volatility": one("volatility"),
        "drawdown": one("max_drawdown"),
        "win_rate": one("win_rate"),
        "probabilistic_sharpe": one("probabilistic_sharpe_ratio"),
        "cumulative": one("comp"),
    }


def qlib(data, days, names):
    from qlib.contrib.eva.alpha import calc_ic, calc_long_short_return
    from qlib.contrib.evaluate import risk_analysis

    def long(values):
        found = long_frame(values, days, names, "value")
        found.index = found.index.set_names(["datetime", "instrument"])
        return found

    prediction = long(data["factor"])
    label = long(data["forward"]).reindex(prediction.index)
    both = prediction.notna() & label.notna()
    ic, rank_ic = calc_ic(prediction[both], label[both])
    spread, _ = calc_long_short_return(prediction[both], label[both], quantile=0.1)
    risk = risk_analysis(pd.Series(data["net"], index=days), freq="day")["risk"]
    return {
        "ic": by_row(rank_ic, days),
        "pearson_ic": by_row(ic, days),
        "spread": by_row(spread, days),
        "information_ratio": float(risk["information_ratio"]),
        "drawdown": float(risk["max_drawdown"]),
        "annual_return": float(risk["annualized_return"]),
    }


TOOLS = {
    "alphalens-reloaded": (alphalens, "alphalens-reloaded"),
    "empyrical-reloaded": (empyrical, "empyrical-reloaded"),
    "quantstats": (quantstats, "quantstats"),
    "jquantstats": (jquantstats, "jquantstats"),
    "qlib": (qlib, "pyqlib"),
}


def main():
    answers, sys.stdout = sys.stdout, sys.stderr
    compute, package = TOOLS[sys.argv[1]]
    data = np.load(sys.argv[2])
    days = pd.DatetimeIndex(data["days"])
    names = [f"N{k:03d}" for k in range(data["factor"].shape[1])]
    found = {name: float(v) if np.isscalar(v) else v for name, v in compute(data, days, names).items()}
    versions = {package: version(package), "pandas": pd.__version__, "numpy": np.__version__}
    print(json.dumps({"versions": versions, "numbers": found}), file=answers)


if __name__ == "__main__":
    main()
