from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts.errors import LookAheadFound
from quant_platform.labs.suite.audit import audit_signal, prove_by_perturbation
from quant_platform.labs.suite.panel import Panel, dense_signal
from quant_platform.specification.suite import load_suite
from quant_platform_tests.labs.suite.worlds import make_panel, planted_edge, slow_signal

SPECS = load_suite(Path("specs"))
SEEDS = range(1, 21)
NAMES, SESSIONS = 100, 500


def price(panel: Panel) -> np.ndarray:
    return np.cumprod(1.0 + np.nan_to_num(panel.returns), axis=0)


def ahead(values: np.ndarray, bars: int) -> np.ndarray:
    out = np.full(values.shape, np.nan)
    out[:-bars] = values[bars:]
    return out


def back(values: np.ndarray, bars: int) -> np.ndarray:
    out = np.full(values.shape, np.nan)
    out[bars:] = values[:-bars]
    return out


def noise(panel: Panel, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, 5]).standard_normal(panel.shape)


def trailing_z(panel: Panel, seed: int) -> np.ndarray:
    frame = pl.DataFrame(np.log(price(panel)))
    z = frame.select((pl.all() - pl.all().rolling_mean(60)) / pl.all().rolling_std(60))
    return z.fill_null(np.nan).to_numpy()


def week(panel: Panel) -> np.ndarray:
    """The honest return of a week, which the scales below are fitted to."""
    return price(panel) / back(price(panel), 5) - 1.0


def of_months(panel: Panel) -> np.ndarray:
    """The return of each month, written on all days of the month."""
    month = panel.sessions.astype("datetime64[M]").astype(int)
    last = np.flatnonzero(np.append(np.diff(month) != 0, True))
    closes = np.vstack([np.ones(panel.shape[1]), price(panel)[last]])
    whole: np.ndarray = (closes[1:] / closes[:-1] - 1.0)[np.searchsorted(last, np.arange(panel.shape[0]))]
    return whole


# Each sees something of the future.
LEAKS = {
    "next bar and noise": (lambda p, s: ahead(p.returns, 1) / 0.02 + noise(p, s), "look_ahead_cliff", 1),
    "next bar, a tenth of the variance": (
        lambda p, s: ahead(p.returns, 1) / 0.02 + 3.0 * noise(p, s),
        "look_ahead_cliff",
        1,
    ),
    "momentum with tomorrow's close": (
        lambda p, _: ahead(price(p), 1) / back(price(p), 60) - 1.0,
        "look_ahead_cliff",
        1,
    ),
    "reversal with tomorrow's close": (
        lambda p, _: -(ahead(price(p), 1) / back(price(p), 5) - 1.0),
        "look_ahead_cliff",
        1,
    ),
    "two bars ahead": (lambda p, s: ahead(p.returns, 2) + 0.02 * noise(p, s), "look_ahead_cliff", 2),
    "the next week": (
        lambda p, s: ahead(price(p), 5) / price(p) - 1.0 + 0.05 * noise(p, s),
        "look_ahead_cliff",
        5,
    ),
    "full-sample z-score": (
        lambda p, _: (price(p) - price(p).mean(axis=0)) / price(p).std(axis=0),
        "look_ahead_scale",
        0,
    ),
    "full-sample z-score in a file with four decimals": (
        lambda p, _: np.round((np.log(price(p)) - np.log(price(p)).mean(axis=0)) / np.log(price(p)).std(axis=0), 4),
        "look_ahead_scale",
        0,
    ),
    "full-sample demeaned noise": (lambda p, s: noise(p, s) - noise(p, s).mean(axis=0), "look_ahead_scale", 0),
}
# None does.
HONEST = {
    "noise": noise,
    "reversal of a day": lambda p, _: -p.returns,
    "reversal of a week": lambda p, _: -(price(p) / back(price(p), 5) - 1.0),
    "momentum": lambda p, _: back(price(p), 21) / back(price(p), 120) - 1.0,
    "price": lambda p, _: -price(p),
    "low volatility": lambda p, _: (
        -pl.DataFrame(p.returns).select(pl.all().rolling_std(60)).fill_null(np.nan).to_numpy()
    ),
    "trailing z-score": trailing_z,
    "cross-sectional z-score": lambda p, s: (
        lambda x: (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)
    )(noise(p, s)),
    "change of a score": lambda p, s: np.diff(noise(p, s), axis=0, prepend=np.nan),
}


# More of each, in fewer worlds; all twenty are tried in the long tier.
MORE_LEAKS = {
    "tomorrow's open": (
        lambda p, s: 0.5 * ahead(p.returns, 1) + 0.004 * noise(p, s),
        "look_ahead_cliff",
        1,
    ),
    "a mean of returns centred on its day": (
        lambda p, _: (
            pl.DataFrame(p.returns).select(pl.all().rolling_mean(11, center=True)).fill_null(np.nan).to_numpy()
        ),
        "look_ahead_cliff",
        5,
    ),
    "the price against a mean centred on its day": (
        lambda p, _: (
            price(p) / pl.DataFrame(price(p)).select(pl.all().rolling_mean(21, center=True)).fill_null(np.nan) - 1
        ),
        "look_ahead_fade",
        1,
    ),
    "the return of the month on all its days": (lambda p, _: of_months(p), "look_ahead_fade", 1),
    "tomorrow's volume": (
        lambda p, s: 0.4 * np.abs(ahead(p.returns, 1)) / 0.02 + 0.3 * noise(p, s),
        "look_ahead_cliff",
        1,
    ),
    "the volatility of the next days": (
        lambda p, _: -pl.DataFrame(ahead(p.returns, 5)).select(pl.all().rolling_std(5)).fill_null(np.nan).to_numpy(),
        "look_ahead_cliff",
        5,
    ),
    "full-sample rank": (
        lambda p, _: pl.DataFrame(week(p)).fill_nan(None).select(pl.all().rank()).fill_null(np.nan).to_numpy(),
        "look_ahead_scale",
        0,
    ),
    "full-sample min-max": (
        lambda p, _: (week(p) - np.nanmin(week(p), axis=0)) / (np.nanmax(week(p), axis=0) - np.nanmin(week(p), axis=0)),
        "look_ahead_scale",
        0,
    ),
    "share of the full-sample high": (lambda p, _: price(p) / price(p).max(axis=0), "look_ahead_scale", 0),
    "rise from the full-sample low": (lambda p, _: -(price(p) / price(p).min(axis=0) - 1.0), "look_ahead_scale", 0),
    "share of the high of a part of the panel": (
        lambda p, _: np.where(
            np.arange(p.shape[0])[:, np.newaxis] < 200, price(p) / price(p)[:200].max(axis=0), np.nan
        ),
        "look_ahead_scale",
        0,
    ),
    "full-sample quintiles": (
        lambda p, _: np.floor(
            pl.DataFrame(week(p)).fill_nan(None).select((pl.all().rank() - 1) * 5 / pl.all().count()).fill_null(np.nan)
        ),
        "look_ahead_scale",
        0,
    ),
    "over the full-sample volatility": (
        lambda p, _: week(p) / np.nanstd(week(p), axis=0, ddof=1),
        "look_ahead_scale",
        0,
    ),
    "from the full-sample median": (lambda p, _: week(p) - np.nanmedian(week(p), axis=0), "look_ahead_scale", 0),
}
MORE_HONEST = {
    "rank among the last days": lambda p, _: (
        pl.DataFrame(price(p)).select(pl.all().rolling_rank(60) / 60.0).fill_null(np.nan).to_numpy()
    ),
    "distance to the high so far": lambda p, _: price(p) / np.maximum.accumulate(price(p), axis=0),
    "days since a beginning": lambda p, s: (
        np.arange(p.shape[0])[:, np.newaxis] + np.random.default_rng(s).integers(0, 500, p.shape[1]).astype(float)
    ),
    "the market's month, the same for all names": lambda p, _: np.broadcast_to(
        np.log(price(p).mean(axis=1) / back(price(p), 21).mean(axis=1))[:, np.newaxis], p.shape
    ).copy(),
    "a clock": lambda p, _: np.broadcast_to(np.sqrt(np.arange(p.shape[0]))[:, np.newaxis], p.shape).copy(),
    "sign of the week": lambda p, _: np.sign(week(p)),
    "quintile of its session": lambda p, s: np.floor(noise(p, s).argsort(axis=1).argsort(axis=1) * 5 / p.shape[1]),
    "rank of its session": lambda p, s: noise(p, s).argsort(axis=1).argsort(axis=1) / (p.shape[1] - 1.0),
    "every name in turn": lambda p, _: (np.arange(p.shape[0])[:, np.newaxis] + np.arange(p.shape[1])) % 5 + 0.0,
    "volume of the day": lambda p, s: 0.4 * np.abs(p.returns) / 0.02 + 0.3 * noise(p, s),
}


@functools.lru_cache(maxsize=20)
def world(seed: int) -> Panel:
    return make_panel(seed, names=NAMES, sessions=SESSIONS)


@pytest.mark.parametrize("seeds", [range(1, 3), pytest.param(SEEDS, marks=pytest.mark.long)], ids=["two", "twenty"])
@pytest.mark.parametrize("name", MORE_LEAKS)
def test_more_leaks_are_caught(name, seeds):
    caught(name, MORE_LEAKS[name], seeds)


@pytest.mark.parametrize("seeds", [range(1, 3), pytest.param(SEEDS, marks=pytest.mark.long)], ids=["two", "twenty"])
@pytest.mark.parametrize("name", MORE_HONEST)
def test_more_honest_signals_are_not_accused(name, seeds):
    for seed in seeds:
        found = audit_signal(
            dense_signal(name, MORE_HONEST[name](world(seed), seed)), world(seed), SPECS.audit, min_names=20
        )
        assert found.passed, (seed, found.findings)


@pytest.mark.parametrize("name", LEAKS)
def test_every_leak_is_caught_in_twenty_of_twenty_worlds(name):
    caught(name, LEAKS[name], SEEDS)


def caught(name, leak, seeds):
    make, code, bars = leak
    for seed in seeds:
        panel = world(seed)
        found = audit_signal(dense_signal(name, make(panel, seed)), panel, SPECS.audit, min_names=20)
        assert [finding.code for finding in found.findings] == [code], (seed, found.profile.head(8))
        assert found.findings[0].bars == bars
        with pytest.raises(LookAheadFound, match=code):
            found.require_passed(name)


@pytest.mark.parametrize("name", HONEST)
def test_honest_signals_are_not_accused(name):
    for seed in SEEDS:
        panel = world(seed)
        found = audit_signal(dense_signal(name, HONEST[name](panel, seed)), panel, SPECS.audit, min_names=20)
        assert found.passed, (seed, found.findings)
        found.require_passed(name)


def test_a_signal_that_works_is_not_accused():
    for seed in SEEDS:
        score = slow_signal(seed, names=NAMES, sessions=SESSIONS)
        panel = make_panel(seed, names=NAMES, sessions=SESSIONS, edge=planted_edge(score, 0.002))
        found = audit_signal(dense_signal("planted", score), panel, SPECS.audit, min_names=20)
        assert found.passed, found.findings
        assert found.profile.filter(pl.col("bar") == 2)["ic"].item() > 0.05


def test_restatement_between_two_versions():
    panel = make_panel(3, names=NAMES, sessions=SESSIONS)
    values = noise(panel, 3)
    first = values.copy()
    first[400:] = np.nan
    grown = dense_signal("grown", values)
    assert audit_signal(grown, panel, SPECS.audit, min_names=20, earlier=dense_signal("first", first)).passed
    changed = values.copy()
    changed[100:300, :40] += 0.5
    found = audit_signal(
        dense_signal("changed", changed), panel, SPECS.audit, min_names=20, earlier=dense_signal("first", first)
    )
    assert [finding.code for finding in found.findings] == ["look_ahead_restated"]
    assert "8,000 of 40,000 values (20.0%)" in found.findings[0].message
    dropped = values.copy()
    dropped[50:60] = np.nan
    found = audit_signal(
        dense_signal("dropped", dropped), panel, SPECS.audit, min_names=20, earlier=dense_signal("first", first)
    )
    assert "1,000 of 40,000" in found.findings[0].message


def bars_of(seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame({"close": 100 * np.exp(np.cumsum(0.02 * rng.standard_normal(300)))})


def test_proof_by_perturbation():
    rng = np.random.default_rng(1)
    rows = [30, 100, 250, 298]
    close = pl.col("close")
    trailing = bars_of(1), lambda b: b.select(close / close.shift(20) - 1).fill_null(np.nan).to_series()
    assert prove_by_perturbation(trailing[1], trailing[0], rows, rng=rng) == []
    leaks = {
        "peek": lambda b: b.select(close.shift(-1) / close - 1).fill_null(np.nan).to_series(),
        "full sample": lambda b: b.select((close - close.mean()) / close.std()).to_series(),
        "centred": lambda b: b.select(close.rolling_mean(5, center=True)).fill_null(np.nan).to_series(),
    }
    for compute in leaks.values():
        found = prove_by_perturbation(compute, bars_of(2), rows, rng=rng)
        assert len(found) == len(rows)
        assert {finding.code for finding in found} == {"look_ahead_proven"}
