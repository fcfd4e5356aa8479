"""One signal, one or many variants, one panel: the core of the suite.

What is computed once and shared by all variants: the ranks of the returns per horizon, the signal's residuals and their
ranks per (residualisation, time of trading), the target weights per (weighting, fractile, holding), the cost rates per
cost model. A variant is then one pass over the book. Lags never rank again: they shift.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.contracts.errors import NotAvailable, SignalEmpty
from quant_platform.labs.suite.book import Book, Targets, overlap, run_book, target_weights
from quant_platform.labs.suite.costs import CostRates, cost_rates
from quant_platform.labs.suite.evidence import (
    Fractiles,
    decay_half_life,
    forward_ranks,
    fractile_groups,
    fractile_table,
    ic_decay,
    ic_table,
    rank_autocorrelation,
)
from quant_platform.labs.suite.panel import Panel, SignalPanel
from quant_platform.labs.suite.ranking import Ranked, rank_panel
from quant_platform.labs.suite.residual import residualise
from quant_platform.labs.suite.summary import REGIMES, market_regimes, summarise_book
from quant_platform.specification.suite import BacktestConfig, CostsSpec, Residualize, SuiteSpec
from quant_platform.statistics.one_thread import in_one_thread
from quant_platform.statistics.sharpe_interval import drawdowns

Floats = npt.NDArray[np.float64]
Value = TypeVar("Value")
Detail = Literal["full", "brief"]

ALL_SLICES = ("overall", "year", "cap", "industry", "regime")
_AUTOCORRELATION_LAGS = (1, 5, 21, 63)


@dataclass(frozen=True)
class BacktestResult:
    """What one variant of one signal did.

    Attributes
    ----------
    signal, config, snapshot_id, simulated
        What was computed, on what.
    summary
        One row per slice, see `summary.summarise_book`.
    daily
        One row per session from the first trade on: ``session, gross, net, linear_cost, impact_cost, cumret``
        (compounded net), ``drawdown, turnover, long, short, names_long, names_short, ic, regime``.
    fractiles
        Mean return per group, with the test of the order; None in brief results.
    ic
        One line per horizon.
    ic_decay
        Mean IC of single sessions, 0, 1, ... beyond the first; None in brief results.
    diagnostics
        Numbers by name: coverage, missing values, autocorrelation, half-lives, what could not be traded.
    book
        The book in arrays over all rows of the panel.
    first_ic
        ``[T]`` IC of the first horizon by row of the panel.
    """

    signal: str
    config: BacktestConfig
    snapshot_id: str
    simulated: bool
    summary: pl.DataFrame
    daily: pl.DataFrame
    fractiles: Fractiles | None
    ic: pl.DataFrame
    ic_decay: pl.DataFrame | None
    diagnostics: Mapping[str, float]
    book: Book
    first_ic: Floats

    @property
    def variant(self) -> str:
        """Short name of the variant."""
        return self.config.variant

    def overall(self, column: str) -> float:
        """One number of the whole sample, for example ``sharpe_net``; NaN where it is missing."""
        rows = self.summary.filter(pl.col("slice_kind") == "overall")[column]
        return float(rows[0]) if rows.len() and rows[0] is not None else math.nan

    def to_frame(self) -> pl.DataFrame:
        """Return the daily series."""
        return self.daily


class Workbench:
    """A panel with everything that signals share, computed when it is first asked for.

    Parameters
    ----------
    panel
        The market.
    suite, costs
        The numbers.
    """

    def __init__(self, panel: Panel, suite: SuiteSpec, costs: CostsSpec) -> None:
        self.panel = panel
        self.suite = suite
        self.costs = costs
        self.regimes = market_regimes(panel, suite)
        self._rates: dict[str, CostRates] = {}
        self._forward_ranks: Mapping[int, Ranked] | None = None

    def rates(self, config: BacktestConfig) -> CostRates:
        """Return the cost rates of a variant at its capital's root; impact is per unit of capital 1."""
        if config.tc_model not in self._rates:
            self._rates[config.tc_model] = cost_rates(
                config.tc_model, self.panel, self.costs, of_spread=self._rates.get("spread")
            )
        return self._rates[config.tc_model]

    @property
    def forward_ranks(self) -> Mapping[int, Ranked]:
        """Ranks of the forward returns by horizon."""
        if self._forward_ranks is None:
            self._forward_ranks = forward_ranks(self.panel, self.suite)
        return self._forward_ranks

    def prepare(self, signal: SignalPanel) -> PreparedSignal:
        """Return a signal whose residuals, ranks and weights are kept."""
        return PreparedSignal(signal, self)


class PreparedSignal:
    """A signal on a workbench; residuals, ranks and target weights are computed once."""

    def __init__(self, signal: SignalPanel, bench: Workbench) -> None:
        self.signal = signal
        self.bench = bench
        self._cache: dict[tuple[Any, ...], Any] = {}

    def values(self, residualize: Residualize, from_open: bool) -> Floats:
        """``[T, N]`` the residual over the universe, on the rows on which it can be traded."""

        def compute() -> Floats:
            raw = self.signal.at_open if from_open else self.signal.at_close
            inside = np.where(self.bench.panel.universe, raw, np.nan)
            found = residualise(inside, self.bench.panel, [residualize], min_names=self.bench.suite.min_names)
            return found[residualize]

        return self._kept(("values", residualize, from_open), compute)

    def ranked(self, residualize: Residualize, from_open: bool = False) -> Ranked:
        """Ranks of a residual."""

        def compute() -> Ranked:
            if residualize == "off":
                raw = self.signal.at_open if from_open else self.signal.at_close
                return rank_panel(raw, self.bench.panel.universe)
            return rank_panel(self.values(residualize, from_open))

        return self._kept(("ranked", residualize, from_open), compute)

    def targets(self, config: BacktestConfig) -> Targets:
        """Target weights of a variant before its lag."""
        key = ("targets", config.residualize, config.from_open, config.weight, config.fractile, config.mincos)

        def compute() -> Targets:
            return target_weights(
                self.ranked(config.residualize, config.from_open),
                self.values(config.residualize, config.from_open) if config.weight == "signal" else None,
                self.bench.panel,
                weight=config.weight,
                fractile=config.fractile,
                mincos=config.mincos,
            )

        return overlap(self._kept(key, compute), config.holding)

    def fractile_groups(self, residualize: Residualize, from_open: bool) -> npt.NDArray[np.int16]:
        """Fractile of each name."""
        return self._kept(
            ("groups", residualize, from_open),
            lambda: fractile_groups(self.ranked(residualize, from_open), self.bench.suite),
        )

    def decay(self, residualize: Residualize) -> pl.DataFrame:
        """IC decay of a residual."""
        return self._kept(
            ("decay", residualize),
            lambda: ic_decay(self.ranked(residualize), self.bench.panel.next_ranked, self.bench.suite),
        )

    def autocorrelation(self, residualize: Residualize) -> pl.DataFrame:
        """Rank autocorrelation of a residual."""
        return self._kept(
            ("autocorrelation", residualize),
            lambda: rank_autocorrelation(self.ranked(residualize), _AUTOCORRELATION_LAGS, self.bench.suite),
        )

    def _kept(self, key: tuple[Any, ...], compute: Callable[[], Value]) -> Value:
        if key not in self._cache:
            self._cache[key] = compute()
        found: Value = self._cache[key]
        return found


@in_one_thread
def run_variants(
    signal: SignalPanel | PreparedSignal,
    configs: Sequence[BacktestConfig],
    bench: Workbench,
    *,
    slices: Sequence[str] = ALL_SLICES,
    detail: Detail = "full",
    keep_held: bool = False,
) -> dict[str, BacktestResult]:
    """Compute many variants of one signal, in their order.

    Parameters
    ----------
    signal
        Aligned with the panel of the workbench.
    configs
        Variants; two that are equal are computed once.
    bench
        Panel and numbers.
    slices
        Kinds of slices of the summaries.
    detail
        ``brief`` leaves out fractiles, IC decay and autocorrelations: what a baseline does not need.
    keep_held
        Whether positions by name are kept, ``[T, N]`` per variant.

    Raises
    ------
    NotAvailable
        When the panel cannot carry a variant: no industries, market caps or opens.
    SignalEmpty
        When no date has enough names for a portfolio in any variant.
    """
    prepared = signal if isinstance(signal, PreparedSignal) else bench.prepare(signal)
    results = {config.variant: _one(prepared, config, slices, detail, keep_held) for config in configs}
    if results and all(found.book.first >= bench.panel.shape[0] for found in results.values()):
        most = int(prepared.ranked("off").counts.max(initial=0))
        raise SignalEmpty(
            "no date has enough names for a portfolio",
            where=f"signal {prepared.signal.name!r}",
            how_many=f"at most {most} names on a date, {configs[0].mincos} in each leg are needed (mincos)",
            cause=f"{prepared.signal.outside} of {prepared.signal.rows} rows lie outside the panel",
            action="check the dates and names of the signal against the snapshot, or lower mincos",
        )
    return results


def available(configs: Sequence[BacktestConfig], panel: Panel) -> tuple[list[BacktestConfig], dict[str, str]]:
    """Split variants into those a panel can carry and, by variant, why it cannot carry the others."""
    needs: dict[str, Callable[[BacktestConfig], bool]] = {
        "industry": lambda c: c.residualize in ("industry", "all"),
        "exposures": lambda c: c.residualize in ("factor", "all"),
        "market_cap": lambda c: c.weight == "value",
        "open": lambda c: c.from_open,
        "adv": lambda c: c.tc_model in ("spread", "impact"),
    }
    kept, causes = [], {}
    for config in configs:
        missing = [what for what, needed in needs.items() if what in panel.not_available and needed(config)]
        if missing:
            causes[config.variant] = f"{missing[0]}: {panel.not_available[missing[0]]}"
        else:
            kept.append(config)
    return kept, causes


def seed_of(*parts: str) -> np.random.Generator:
    """Return a generator seeded by names, so that a result does not depend on what ran before it."""
    return np.random.default_rng(int.from_bytes(sha256("|".join(parts).encode()).digest()[:8], "big"))


def _one(
    prepared: PreparedSignal, config: BacktestConfig, slices: Sequence[str], detail: Detail, keep_held: bool
) -> BacktestResult:
    bench, panel, spec = prepared.bench, prepared.bench.panel, prepared.bench.suite
    name = prepared.signal.name
    ranked = prepared.ranked(config.residualize, config.from_open)
    book = run_book(
        prepared.targets(config),
        panel,
        bench.rates(config),
        lag=config.lag,
        capital=config.capital,
        from_open=config.from_open,
        max_age=spec.max_signal_age_sessions,
        keep_held=keep_held,
    )
    table, first_ic = ic_table(ranked, panel, bench.forward_ranks, spec, lag=config.lag)
    fractiles, decay = None, None
    if detail == "full":
        decay = prepared.decay(config.residualize)
        fractiles = fractile_table(
            prepared.fractile_groups(config.residualize, config.from_open),
            panel.next_return,
            spec,
            lag=config.lag,
            periods_per_year=panel.periods_per_year,
            rng=seed_of(name, config.variant, panel.snapshot_id),
        )
    return BacktestResult(
        signal=name,
        config=config,
        snapshot_id=panel.snapshot_id,
        simulated=panel.simulated,
        summary=summarise_book(config.variant, book, panel, spec, slices, bench.regimes),
        daily=_daily(book, panel, bench.regimes, first_ic),
        fractiles=fractiles,
        ic=table,
        ic_decay=decay,
        diagnostics=_diagnostics(prepared, config, book, ranked, decay),
        book=book,
        first_ic=first_ic,
    )


def _daily(book: Book, panel: Panel, regimes: npt.NDArray[np.int8], ic: Floats) -> pl.DataFrame:
    rows = slice(book.first, None)
    net = book.net[rows]
    return pl.DataFrame(
        {
            "session": pl.Series(panel.sessions[rows], dtype=pl.Date),
            "gross": book.gross[rows],
            "net": net,
            "linear_cost": book.linear_cost[rows],
            "impact_cost": book.impact_cost[rows],
            "cumret": np.cumprod(1.0 + net) - 1.0,
            "drawdown": drawdowns(net),
            "turnover": book.traded[rows],
            "long": book.long[rows],
            "short": book.short[rows],
            "names_long": book.names_long[rows],
            "names_short": book.names_short[rows],
            "ic": pl.Series(ic[rows]).fill_nan(None),
            "regime": pl.Series([REGIMES[code] for code in regimes[rows].tolist()], dtype=pl.String),
        }
    )


def _diagnostics(
    prepared: PreparedSignal, config: BacktestConfig, book: Book, ranked: Ranked, decay: pl.DataFrame | None
) -> dict[str, float]:
    panel, signal = prepared.bench.panel, prepared.signal
    listed = panel.universe.sum(axis=1)
    dates = ranked.counts > 0
    coverage = ranked.counts[dates] / np.maximum(listed[dates], 1)
    rows = slice(book.first, None)
    found = {
        "rows": float(signal.rows),
        "rows_outside": float(signal.outside),
        "rows_superseded": float(signal.superseded),
        "dates": float(dates.sum()),
        "names_mean": float(ranked.counts[dates].mean()) if dates.any() else math.nan,
        "coverage_mean": float(coverage.mean()) if dates.any() else math.nan,
        "coverage_min": float(coverage.min()) if dates.any() else math.nan,
        "sessions_without_position": float((book.long[rows] + book.short[rows] == 0.0).sum()),
        "positions_without_price": float(book.unpriced.sum()),
        "orders_without_price": float(book.untradable.sum()),
    }
    gone, unknown = panel.ends
    if unknown:
        found |= {"names_gone": float(gone), "names_gone_unknown": float(unknown)}
        found["positions_into_unknown_ends"] = float(book.ended_unknown.sum())
    share = panel.funding_unknown_share
    if share is not None:
        found["funding_unknown_share"] = share
        found["positions_without_funding"] = float(book.unfunded.sum())
    if decay is not None:
        for lag, mean in prepared.autocorrelation(config.residualize).iter_rows():
            found[f"rank_autocorrelation_{lag}"] = mean
        found["ic_half_life_sessions"] = decay_half_life(decay)
    return found


def require_panel(panel: Panel, spec: SuiteSpec) -> None:
    """Raise NotAvailable for a panel too narrow for any cross-section, naming each statistic and what it needs."""
    names = panel.shape[1]
    if names < spec.min_names:
        needs = {
            "rank IC, IC decay, partial IC, correlation with baselines": spec.min_names,
            "residuals of a regression on exposures": spec.min_names,
            f"a table of {spec.fractiles} fractiles and its test of order": spec.fractiles,
            "a long and a short leg of mincos names, and all that is read from their profits": 2
            * BacktestConfig().mincos,
        }
        raise NotAvailable(
            f"a cross-section of {names} names carries no IC and no fractiles",
            how_many=f"{names} of at least {spec.min_names} names",
            rows=[
                {"statistic": what, "names needed": needed, "there are": names}
                for what, needed in needs.items()
                if needed > names
            ],
            action="use a wider universe; a rule on few names is traded name by name: quant backtest",
        )
