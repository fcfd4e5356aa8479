"""Daily total returns of a cross-section, with the expected return of every bar kept.

``r[t, i] = mu[t, i] + clip(beta_i m_t + sum_k b_ik f_kt + sigma_i e_it)``, where the shocks are symmetric around
zero and bounded, so that ``mu`` is exactly the expected *simple* return given everything before t.

1. Market: ``m_t = v exp(h_t) z_t``, log volatility ``h`` AR(1), z Student t(5) with unit variance (`_market`).
2. Style factors with normal shocks; loadings standard normal, or of one norm for all names.
3. Idiosyncratic: log-normal volatility over names, Student t(4) shocks.
   Where the spec names industries, each name belongs to one by chance and earns its factor as well (`_industries`).
4. ``mu``: market premium x beta, a slow AR(1) alpha per name (what momentum finds), less return for volatile names, and
   the decay of a transitory price error fed by the name's own shocks (reversal).

The null world sets ``mu`` to zero, and betas, style norms and volatilities equal over names. The reason: a martingale
is not enough. Where names differ in volatility, compounding makes volatile names skewed: with equal means their
medians, and so their ranks, are lower, and low volatility earns a rank IC of about +.016 without any premium; with
equal medians their means are higher, and the quantile spread is biased instead. Only names that are alike in law are
free of both.

References
----------
Jegadeesh and Titman (1993) for the premium planted as alpha; Ang, Hodrick, Xing and Zhang (2006) for low volatility.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quant_platform.specification.sources import SimulatedSpec

Floats = NDArray[np.float64]
SESSIONS_PER_YEAR = 252


@dataclass(frozen=True)
class Returns:
    """Arrays of shape (sessions, names).

    ``total`` is the simple total return of the day, ``expected`` its expectation given the sessions before (the
    oracle), ``volatility`` the standard deviation of its shock given them. ``industry`` is the code of each name's
    industry, empty where the spec names none.
    """

    total: Floats
    expected: Floats
    volatility: Floats
    industry: NDArray[np.int64]


def simulate_returns(spec: SimulatedSpec, sessions: int, random: Mapping[str, np.random.Generator]) -> Returns:
    """Draw the returns of all names over all sessions."""
    n = spec.names
    truth = spec.truth
    market, market_volatility = _market(spec, sessions, random["market"])
    style_sd = np.array(spec.style_volatility_daily)
    styles = random["styles"].normal(size=(sessions, len(style_sd))) * style_sd
    beta = 1.0 + truth.beta_sd * random["loadings"].normal(size=n)
    loading = random["loadings"].normal(size=(len(style_sd), n))
    if truth.style_loading_equal_norm:
        loading *= np.sqrt(len(style_sd)) / np.linalg.norm(loading, axis=0)
    log_volatility = random["idiosyncratic_volatility"].normal(size=n)
    sigma = spec.idio_volatility_daily * np.exp(truth.idio_volatility_log_sd * log_volatility)
    idiosyncratic = _student(random["idiosyncratic"], spec.idio_shock_degrees, (sessions, n)) * sigma

    code, industry = _industries(spec, sessions, random["industries"])
    shock = market[:, None] * beta + styles @ loading + idiosyncratic
    if code.size:
        shock += industry[:, code]
    shock = np.clip(shock, -spec.max_daily_move, spec.max_daily_move)
    expected = (
        _alpha(spec, sessions, random["alpha"])
        + beta * truth.market_premium_annual / SESSIONS_PER_YEAR
        - truth.low_volatility_premium_annual / SESSIONS_PER_YEAR * log_volatility
        + _reversal(spec, idiosyncratic)
    )
    style_variance = ((style_sd[:, None] * loading) ** 2).sum(axis=0)
    variance = (market_volatility[:, None] * beta) ** 2 + style_variance + sigma**2
    if code.size:
        variance += spec.industry_volatility_daily**2
    return Returns(np.maximum(expected + shock, -0.95), expected, np.sqrt(variance), code)


def _industries(spec: SimulatedSpec, sessions: int, random: np.random.Generator) -> tuple[NDArray[np.int64], Floats]:
    """Industry of each name, as even as the number of names allows, and the factor of each industry per session.

    The factors add no expected return, and the same amount of risk to every name, so that the null world stays null.
    """
    count = len(spec.industries)
    if count == 0:
        return np.empty(0, dtype=np.int64), np.empty((sessions, 0))
    code = random.permutation(np.arange(spec.names) % count)
    return code, spec.industry_volatility_daily * random.normal(size=(sessions, count))


def _student(random: np.random.Generator, degrees: float, size: int | tuple[int, int]) -> Floats:
    """Student t shocks with unit variance."""
    shocks: Floats = random.standard_t(degrees, size=size) / np.sqrt(degrees / (degrees - 2.0))
    return shocks


def _market(spec: SimulatedSpec, sessions: int, random: np.random.Generator) -> tuple[Floats, Floats]:
    steps = random.normal(size=sessions) * spec.market_log_volatility_sd
    log_volatility = _autoregression(spec.market_log_volatility_persistence, steps[:, None])[:, 0]
    volatility = spec.market_volatility_daily * np.exp(log_volatility - spec.market_log_volatility_sd**2)
    return volatility * _student(random, spec.market_shock_degrees, sessions), volatility


def _alpha(spec: SimulatedSpec, sessions: int, random: np.random.Generator) -> Floats:
    persistence = 0.5 ** (1.0 / spec.truth.alpha_half_life_sessions)
    steps = random.normal(size=(sessions, spec.names)) * spec.truth.alpha_sd_annual / SESSIONS_PER_YEAR
    return _autoregression(persistence, steps)


def _autoregression(persistence: float, steps: Floats) -> Floats:
    """Stationary AR(1) whose standard deviation is that of the steps."""
    path = np.empty_like(steps)
    path[0] = steps[0]
    scale = np.sqrt(1.0 - persistence**2)
    for t in range(1, len(steps)):
        path[t] = persistence * path[t - 1] + scale * steps[t]
    return path


def _reversal(spec: SimulatedSpec, idiosyncratic: Floats) -> Floats:
    """Expected return from the decay of the transitory error: known before the session it is earned in."""
    truth = spec.truth
    expected = np.zeros_like(idiosyncratic)
    error = np.zeros(idiosyncratic.shape[1])
    for t in range(1, len(idiosyncratic)):
        error = truth.reversal_persistence * error + truth.reversal_share * idiosyncratic[t - 1]
        expected[t] = -(1.0 - truth.reversal_persistence) * error
    return expected
