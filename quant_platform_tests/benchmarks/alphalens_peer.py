"""alphalens-reloaded at the same work, in the peers' environment; imports nothing of ours.

Called as ``python alphalens_peer.py <market.npz>`` with the closes, the days, the rows of the rebalances and the
factors. It imports, answers ``{"ready": ...}`` and then one JSON line per line read: ``documented`` and ``shared`` run
the seven factors once and answer the seconds, ``results`` answers the ICs and spreads of the last run. Reading the
market, importing and reshaping the factors into alphalens' long form are not timed.
"""

import json
import sys
import time
import warnings

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")

HORIZON = 30


class Study:
    """The seven factors of one market, judged by alphalens."""

    def __init__(self, path):
        market = np.load(path)
        days = pd.DatetimeIndex(market["days"])
        names = [f"N{k:04d}" for k in range(market["close"].shape[1])]
        # Its return runs from the price on the factor's date; moved one session up, the return starts one session after
        # the signal, as ours. The last row has no price any more: left in, it would be filled forward.
        self.prices = pd.DataFrame(market["close"], index=days, columns=names).shift(-1).iloc[:-1]
        self.factors = {}
        for key in market.files:
            if key.startswith("factor_"):
                values = pd.DataFrame(market[key], index=days, columns=names).iloc[market["rows"]]
                long = values.stack().rename("factor")
                long.index = long.index.set_names(["date", "asset"])
                self.factors[key.removeprefix("factor_")] = long.dropna()
        self.found = {}

    def documented(self):
        """As its documentation says: one call per factor makes the forward returns and the quantiles."""
        import alphalens

        for name, factor in self.factors.items():
            # Losses are allowed, as they are not the question: the last windows have no forward return.
            data = alphalens.utils.get_clean_factor_and_forward_returns(
                factor, self.prices, quantiles=5, periods=(HORIZON,), max_loss=1.0
            )
            self.judge(name, data)

    def shared(self):
        """The forward returns made once for all factors, which its parts allow although nobody is told to."""
        import alphalens

        every = max(self.factors.values(), key=len)
        forward = alphalens.utils.compute_forward_returns(every, self.prices, periods=(HORIZON,))
        for name, factor in self.factors.items():
            self.judge(name, alphalens.utils.get_clean_factor(factor, forward, quantiles=5, max_loss=1.0))

    def judge(self, name, data):
        import alphalens

        ic = alphalens.performance.factor_information_coefficient(data)
        mean, _ = alphalens.performance.mean_return_by_quantile(data, by_date=True)
        spread, _ = alphalens.performance.compute_mean_returns_spread(mean, 5, 1)
        self.found[name] = (ic.iloc[:, 0], spread.iloc[:, 0])

    def results(self):
        def by_day(series):
            known = series.dropna()
            return dict(zip(known.index.strftime("%Y-%m-%d"), known.tolist(), strict=True))

        return {name: {"ic": by_day(ic), "spread": by_day(spread)} for name, (ic, spread) in self.found.items()}


def main():
    # alphalens prints what it drops; the answers have the standard output for themselves.
    answers, sys.stdout = sys.stdout, sys.stderr
    import alphalens

    study = Study(sys.argv[1])
    ready = {"ready": {"alphalens-reloaded": alphalens.__version__, "pandas": pd.__version__, "numpy": np.__version__}}
    print(json.dumps(ready), file=answers, flush=True)
    for line in sys.stdin:
        if line.strip() == "results":
            answer = study.results()
        else:
            cpu, wall = time.process_time(), time.perf_counter()
            getattr(study, line.strip())()
            answer = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
