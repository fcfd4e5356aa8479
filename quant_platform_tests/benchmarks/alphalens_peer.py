"""Information coefficients of seven factors by alphalens-reloaded, in the peers' environment, importing nothing of ours.

Called as ``python alphalens_peer.py <closes.npy> <days.txt> <repetitions>``; prints one JSON object with the seconds of
each repetition and the mean IC per factor. Reading the input and importing are not timed.
"""

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")

HORIZON = 30


def factors(prices: pd.DataFrame) -> dict[str, pd.DataFrame]:
    returns = np.log(prices).diff()
    return {
        "momentum_12_1": prices.shift(21) / prices.shift(252) - 1,
        "momentum_6_1": prices.shift(21) / prices.shift(126) - 1,
        "momentum_3_1": prices.shift(21) / prices.shift(63) - 1,
        "reversal_1m": -(prices / prices.shift(21) - 1),
        "price_to_sma_200": prices / prices.rolling(200).mean() - 1,
        "high_52w_proximity": prices / prices.rolling(252).max(),
        "low_volatility_126": -returns.rolling(126).std(),
    }


def main() -> None:
    import alphalens

    closes = np.load(sys.argv[1])
    days = pd.DatetimeIndex(Path(sys.argv[2]).read_text().split())
    names = [f"N{k:03d}" for k in range(closes.shape[1])]
    prices = pd.DataFrame(closes, index=days, columns=names)
    week = days.isocalendar().week.to_numpy()
    last = np.append(week[1:] != week[:-1], True)
    computed = factors(prices)
    seconds, means = [], {}
    for _ in range(int(sys.argv[3])):
        started = time.perf_counter()
        for name, values in computed.items():
            long = values[last].stack().rename("factor")
            long.index = long.index.set_names(["date", "asset"])
            # Bounded drops stay allowed, as its own tear sheets do: the last windows have no forward return.
            data = alphalens.utils.get_clean_factor_and_forward_returns(
                long, prices.shift(-1), quantiles=5, periods=(HORIZON,), max_loss=1.0
            )
            ic = alphalens.performance.factor_information_coefficient(data)
            mean, _ = alphalens.performance.mean_return_by_quantile(data, by_date=True)
            alphalens.performance.compute_mean_returns_spread(mean, 5, 1)
            means[name] = float(ic.iloc[:, 0].mean())
        seconds.append(time.perf_counter() - started)
    print(
        json.dumps({"seconds": seconds, "mean_ic": means, "version": alphalens.__version__, "pandas": pd.__version__})
    )


if __name__ == "__main__":
    main()
