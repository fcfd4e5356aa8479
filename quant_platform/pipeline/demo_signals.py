"""The two signals that the demo submits: one that works in the planted world, and one that is noise.

They go through the same door as anybody's file. ``demo_insight`` is what an analyst would hand in who sees the
expected return that the simulator planted, through an error that lasts; ``demo_noise`` is the error alone. No real
signal is made like this: on a real market nobody has the oracle.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.contracts.errors import NotAvailable, SignalTaken
from quant_platform.labs.suite.backtest import seed_of
from quant_platform.lake.atomic import atomic_bytes
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.sources import source_of
from quant_platform.pipeline.submissions import Submission, submit, validate_file
from quant_platform.sources.simulated import SimulatedSource

Floats = npt.NDArray[np.float64]

INSIGHT, NOISE = "demo_insight", "demo_noise"
AUTHOR = "the demo"
_VIEW_SESSIONS = 21
_ERROR_HALF_LIFE_SESSIONS = 63
# Standard deviation of the error beside a view of one.
_ERROR = 1.0


def demo_signals(home: Home) -> dict[str, pl.DataFrame]:
    """Both signals in the format of the contract, one row per name and session that has a price.

    Raises
    ------
    NotAvailable
        When the home is not simulated.

    Notes
    -----
    **Timing.** The view on a session is the mean of the expected returns of the sessions up to it, each of which was
    settled before its session began; the error is an AR(1) of a seed of its own. Neither has seen a return that its
    date has not.
    """
    source = source_of(home)
    if not isinstance(source, SimulatedSource):
        raise NotAvailable(
            "only a simulated market has an oracle to make demo signals from", where=str(home.settings.home)
        )
    priced = (
        home.lake.scan("clean.equity_bars")
        .filter(pl.col("close").is_finite())
        .select("ticker", "session")
        .collect()
        .with_columns(pl.col("ticker").cast(pl.String))
    )
    oracle = source.market.oracle.pivot(on="ticker", index="session", values="expected_return").sort("session")
    tickers = [name for name in oracle.columns if name != "session"]
    view = oracle.select(pl.col(tickers).rolling_mean(_VIEW_SESSIONS, min_samples=_VIEW_SESSIONS // 3))
    standing = _standardised(view.to_numpy())
    error = _persistent(standing.shape, seed_of(INSIGHT, source.name, str(home.source_spec.simulated)))
    noise = _persistent(standing.shape, seed_of(NOISE, source.name, str(home.source_spec.simulated)))
    found = {INSIGHT: standing + _ERROR * error, NOISE: noise}
    return {name: _rows(values, oracle["session"], tickers, priced) for name, values in found.items()}


def submit_demo_signals(home: Home) -> list[Submission]:
    """Write both signals as CSV files, check them, and register what is not registered yet.

    Where other rows stand under the name, as after a change of the simulated market, the name gets a number.
    """
    return [_submitted(home, name, rows) for name, rows in demo_signals(home).items()]


def _submitted(home: Home, name: str, rows: pl.DataFrame) -> Submission:
    path: Path = home.settings.home / "demo" / f"{name}.csv"
    atomic_bytes(path, rows.write_csv(float_precision=4).encode())
    checked = validate_file(home, path)
    number, chosen = 1, name
    while True:
        try:
            return submit(home, path, checked, name=chosen, author=AUTHOR)
        except SignalTaken:
            number += 1
            chosen = f"{name}_{number}"


def _standardised(values: Floats) -> Floats:
    """Mean 0 and standard deviation 1 on each date over the names that have a value."""
    known = np.isfinite(values)
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    mean = np.where(known, values, 0.0).sum(axis=1, keepdims=True) / count
    deviation = np.where(known, values - mean, 0.0)
    sd = np.sqrt((deviation**2).sum(axis=1, keepdims=True) / count)
    standing: Floats = np.divide(values - mean, sd, out=np.full_like(values, np.nan), where=sd > 0.0)
    return standing


def _persistent(shape: tuple[int, ...], random: np.random.Generator) -> Floats:
    """Stationary AR(1) of unit variance per name."""
    keep = 0.5 ** (1.0 / _ERROR_HALF_LIFE_SESSIONS)
    path: Floats = random.normal(size=shape)
    for t in range(1, shape[0]):
        path[t] = keep * path[t - 1] + np.sqrt(1.0 - keep**2) * path[t]
    return path


def _rows(values: Floats, sessions: pl.Series, tickers: list[str], priced: pl.DataFrame) -> pl.DataFrame:
    wide = pl.DataFrame(values, schema=tickers).with_columns(sessions)
    return (
        wide.unpivot(index="session", variable_name="ticker", value_name="signal")
        .filter(pl.col("signal").is_finite())
        .join(priced, on=["ticker", "session"], how="semi")
        .select(
            pl.col("ticker").alias("security_id"),
            pl.col("session").alias("date_sig"),
            pl.col("session").alias("date_avail"),
            "signal",
        )
        .sort("security_id", "date_sig")
    )
