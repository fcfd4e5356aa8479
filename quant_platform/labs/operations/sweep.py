"""Routing thresholds moved over a grid, name by name, over stored candidates; and how the choice itself did.

1. Candidates whose outcome is known within the lookback are the trades; nothing is replayed.
2. A cell is three floors. Its figures are those of the trades that it passes (:func:`cell_figures`).
3. Among the cells with enough trades, profit factor and win rate the one that earned most a year is chosen
   (:func:`choose`). The choice is made after the fact: what it earned says little.
4. So the rule itself is walked forward (:func:`walk_forward`): at each step it chooses on the trades known by then and
   is paid what its choice earned on the trades signalled until the next step. That figure stands beside the other.
5. The mean of each cell is shrunk towards the same cell of the other names, and the cells one step away are shown.

References
----------
Bailey, Borwein, Lopez de Prado and Zhu (2014), Notices of the AMS 61(5):458-471, for why 3 is not enough.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from quant_platform.engine.layout import Floats
from quant_platform.labs.operations.evidence import Figures, TradeLog, figures
from quant_platform.labs.operations.frames import columns, rows_frame
from quant_platform.labs.operations.routing import ROUNDING, with_expectation
from quant_platform.specification.operations import EvidenceSpec, RoutingSpec, SweepRulesSpec
from quant_platform.statistics import shrink_tree

OFF = 1.0
YEAR_DAYS = 365.0


@dataclass(frozen=True, order=True)
class Cell:
    """Three floors: confidence, expected return, and the largest stop distance (1 where it is off)."""

    min_confidence: float
    min_expected_return: float
    max_risk: float

    @property
    def name(self) -> str:
        """As the ledger names it."""
        return ",".join(f"{floor}={value:g}" for floor, value in vars(self).items())


@dataclass(frozen=True, eq=False)
class Candidates:
    """Candidates of one name, by the day of their signal.

    Attributes
    ----------
    trades
        Day of the signal, day known, R; for pending ones the day known lies beyond every date.
    chance, risk, expected
        ``[n]`` confidence, 0 to 1; stop distance; expected return less the friction buffer.
    """

    trades: TradeLog
    chance: Floats
    risk: Floats
    expected: Floats

    def passing(self, cell: Cell) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Which pass a cell; a value equal to its floor does."""
        found: np.ndarray[tuple[int], np.dtype[np.bool_]] = (
            (self.chance >= cell.min_confidence - ROUNDING)
            & (self.expected >= cell.min_expected_return - ROUNDING)
            & (self.risk <= cell.max_risk + ROUNDING)
        )
        return found


NEVER = np.iinfo(np.int64).max
_TRADED = ("target", "stop", "timeout", "delisted")


def grid(rules: SweepRulesSpec) -> list[Cell]:
    """Every cell of the grid, in order."""
    risks = [OFF if value is None else value for value in rules.max_risk]
    return [Cell(*floors) for floors in itertools.product(rules.confidence, rules.min_expected_return, risks)]


def candidates_of(rows: pl.DataFrame, routing: RoutingSpec, friction: float) -> Candidates:
    """Rows of ``replay.candidates`` of one name as arrays; setups that were never entered are left out."""
    kept = rows.filter(pl.col("outcome").cast(pl.String).is_in([*_TRADED, "pending"]))
    found = with_expectation(kept, routing.setups.expected_r).sort("date_sig", "direction")
    known = found["resolved_at"].to_numpy().astype("datetime64[D]")
    days = known.astype(np.int64)
    days[np.isnat(known)] = NEVER
    return Candidates(
        TradeLog(
            found["date_sig"].to_numpy().astype("datetime64[D]").astype(np.int64),
            days,
            found["realised_r"].fill_null(math.nan).to_numpy(),
        ),
        found["chance"].to_numpy(),
        found["risk"].to_numpy(),
        found["expected_return"].to_numpy() - friction,
    )


def cell_trades(found: Candidates, cells: Sequence[Cell], since: int, until: int) -> list[TradeLog]:
    """Trades of every cell signalled from ``since`` on and known by ``until``, both day numbers."""
    inside = (found.trades.signal >= since) & (found.trades.known <= until)
    return [found.trades.only(inside & found.passing(cell)) for cell in cells]


def admissible(r: Floats, rules: SweepRulesSpec) -> bool:
    """Whether a cell with these outcomes may be chosen: one without a loss has profit factor enough."""
    if r.size < rules.minimum_trades:
        return False
    won = r > 0.0
    # A count over a count is the nearest number to its ratio, as the number in the spec is.
    if np.count_nonzero(won) < 1 or np.count_nonzero(won) / r.size < rules.minimum_win_rate:
        return False
    gains, losses = float(r[won].sum()), -float(r[r < 0.0].sum())
    return gains >= rules.minimum_profit_factor * losses * (1.0 - ROUNDING)


def choose(outcomes: Sequence[Floats], rules: SweepRulesSpec) -> int | None:
    """The admissible cell with the largest total R, of equal ones the first; None where none is admissible.

    Parameters
    ----------
    outcomes
        R of the trades of each cell.
    """
    allowed = [place for place, r in enumerate(outcomes) if admissible(r, rules)]
    return max(allowed, key=lambda place: (float(outcomes[place].sum()), -place), default=None)


@dataclass(frozen=True)
class WalkForward:
    """What the rule earned out of sample: total R, trades, steps, and the years that the steps cover."""

    total_r: float
    n: int
    steps: int
    years: float


def walk_forward(
    found: Candidates, cells: Sequence[Cell], rules: SweepRulesSpec, lookback_days: int, until: int
) -> WalkForward:
    """Choose on the past and hold the choice for a step, from the first full lookback on.

    Parameters
    ----------
    found
        All candidates of a name.
    cells, rules
        Grid and rule.
    lookback_days
        How far each choice looks back.
    until
        Last day that is known, a day number.

    Notes
    -----
    A choice at day s sees trades whose outcome was known before s. A step counts once every candidate that was
    signalled in it is known, because near stops are known before far targets; a step in which nothing was admissible
    earns nothing and counts.
    """
    total, n, steps = 0.0, 0, 0
    signal, known = found.trades.signal, found.trades.known
    if signal.size == 0:
        return WalkForward(0.0, 0, 0, 0.0)
    passing = np.array([found.passing(cell) for cell in cells])
    start = int(signal[0]) + lookback_days
    while start + rules.walk_forward.step_days <= until:
        ahead = (signal >= start) & (signal < start + rules.walk_forward.step_days)
        if np.any(known[ahead] > until):
            break
        past = (signal >= start - lookback_days) & (known < start)
        r, kept = found.trades.r[past], passing[:, past]
        # Most cells of most steps have too few trades: these are not looked at one by one.
        many = np.flatnonzero(kept.sum(axis=1) >= rules.minimum_trades)
        chosen = choose([r[kept[place]] for place in many], rules)
        if chosen is not None:
            earned = found.trades.r[ahead & passing[many[chosen]]]
            total, n = total + float(earned.sum()), n + earned.size
        steps += 1
        start += rules.walk_forward.step_days
    return WalkForward(total, n, steps, steps * rules.walk_forward.step_days / YEAR_DAYS)


def threshold_sweep(
    names: Sequence[str],
    candidates: pl.DataFrame,
    classes: Mapping[str, str],
    evidence: EvidenceSpec,
    routing: RoutingSpec,
    *,
    seen_until: date,
    closed_overall: int,
) -> pl.DataFrame:
    """Sweep the thresholds of some names.

    Parameters
    ----------
    names
        Whose rows are wanted.
    candidates
        Rows of ``replay.candidates`` of every name: the wanted ones are shrunk towards them.
    classes
        Asset class by name.
    evidence, routing
        Grid and rules; risk per trade, how the expectation is made, friction.
    seen_until
        Last session that is over.
    closed_overall
        Closed paper trades over all names.

    Returns
    -------
    DataFrame
        Schema ``ops.threshold_sweep``, one row per name and cell.
    """
    rules, cells = evidence.sweep, grid(evidence.sweep)
    until = int(np.datetime64(seen_until, "D").astype(np.int64))
    since = until - evidence.lookback_days + 1
    logs = {
        str(ticker): candidates_of(rows, routing, _friction(routing, classes[str(ticker)]))
        for (ticker,), rows in candidates.sort("ticker", maintain_order=True).group_by("ticker", maintain_order=True)
        if str(ticker) in classes
    }
    taken = {ticker: cell_trades(found, cells, since, until) for ticker, found in logs.items()}
    seen = {ticker: [figures(trades) for trades in cell] for ticker, cell in taken.items()}
    shrunk = _shrunk(taken, seen, classes, len(cells))
    beside = [_neighbours(cells, place) for place in range(len(cells))]
    risk = routing.account.risk_per_trade
    yearly = risk * YEAR_DAYS / evidence.lookback_days
    rows = []
    for ticker in names:
        if ticker not in logs:
            continue
        mine = seen[ticker]
        outcomes = [trades.r for trades in taken[ticker]]
        chosen = choose(outcomes, rules)
        rule = walk_forward(logs[ticker], cells, rules, evidence.lookback_days, until)
        judged = rule.steps >= rules.walk_forward.minimum_steps
        for place, (cell, one) in enumerate(zip(cells, mine, strict=True)):
            near = [mine[other].total_r * yearly for other in beside[place]]
            mean, error, moderated, weight = shrunk[ticker, place]
            rows.append(
                {
                    "ticker": ticker,
                    **vars(cell),
                    "asset_class": classes[ticker],
                    "seen_until": seen_until,
                    "n": one.n,
                    "n_independent": one.n_independent,
                    "annual_pnl": one.total_r * yearly if one.n else None,
                    "profit_factor": one.profit_factor,
                    "win_rate": one.win_rate,
                    "mean_r": mean,
                    "error_r": error,
                    "shrunk_r": moderated,
                    "own_weight": weight,
                    "neighbour_pnl": sum(near) / len(near) if near else None,
                    "admissible": admissible(outcomes[place], rules),
                    "chosen": place == chosen,
                    "rule_pnl": rule.total_r * risk / rule.years if judged else None,
                    "rule_n": rule.n,
                    "rule_steps": rule.steps,
                    "closed_overall": closed_overall,
                }
            )
    return rows_frame("ops.threshold_sweep", rows)


def _friction(routing: RoutingSpec, asset_class: str) -> float:
    return next((rules.friction_buffer for name, rules in routing.asset_classes.items() if name == asset_class), 0.0)


def _neighbours(cells: Sequence[Cell], place: int) -> list[int]:
    """Cells that differ in one floor by one step of the grid."""
    axes = [sorted({values[k] for values in map(_floors, cells)}) for k in range(3)]
    own = [axis.index(value) for axis, value in zip(axes, _floors(cells[place]), strict=True)]
    found = []
    for other, cell in enumerate(cells):
        at = [axis.index(value) for axis, value in zip(axes, _floors(cell), strict=True)]
        if sum(abs(a - b) for a, b in zip(own, at, strict=True)) == 1:
            found.append(other)
    return found


def _floors(cell: Cell) -> tuple[float, float, float]:
    return cell.min_confidence, cell.min_expected_return, cell.max_risk


def _shrunk(
    taken: Mapping[str, Sequence[TradeLog]],
    seen: Mapping[str, Sequence[Figures]],
    classes: Mapping[str, str],
    n_cells: int,
) -> dict[tuple[str, int], tuple[float, float, float, float]]:
    """Mean R, its error, the shrunk mean and the own weight, by name and place of the cell.

    One standard deviation per cell, pooled over names, divided by the root of each name's independent trades: single
    names have too few of them for one of their own.
    """
    tickers = list(taken)
    groups = [classes[ticker] for ticker in tickers]
    found = {}
    for place in range(n_cells):
        squares, freedom = 0.0, 0
        for ticker in tickers:
            r = taken[ticker][place].r
            if r.size > 1:
                squares, freedom = squares + float(((r - r.mean()) ** 2).sum()), freedom + r.size - 1
        spread = math.sqrt(squares / freedom) if freedom else math.nan
        counts = np.array([seen[ticker][place].n_independent for ticker in tickers], dtype=np.float64)
        means = np.array([seen[ticker][place].mean_r for ticker in tickers])
        with np.errstate(divide="ignore"):
            errors = np.where(counts > 0, spread / np.sqrt(counts), np.nan)
        tree = shrink_tree(means, errors, [groups])
        for k, ticker in enumerate(tickers):
            known = not math.isnan(means[k])
            moderated, weight = float(tree.mean[k]), float(tree.own_weight[k])
            found[ticker, place] = (float(means[k]), float(errors[k]), moderated, weight) if known else (math.nan,) * 4
    return found


def sweep_trials(sweep: pl.DataFrame, spec_hash: str, earlier: pl.DataFrame | None) -> pl.DataFrame:
    """Ledger rows of a sweep beside the ledger so far: the same cell on the same data is one trial.

    Parameters
    ----------
    sweep
        Rows of ``ops.threshold_sweep``.
    spec_hash
        Hash of the specs that decided it.
    earlier
        Rows of ``ops.trials`` of the same names.
    """
    schema = columns("ops.trials")
    rows = []
    for row in sweep.iter_rows(named=True):
        cell = Cell(row["min_confidence"], row["min_expected_return"], row["max_risk"]).name
        text = "|".join([row["ticker"], cell, str(row["seen_until"]), spec_hash])
        rows.append(
            {
                "ticker": row["ticker"],
                "trial_id": hashlib.sha256(text.encode()).hexdigest()[:32],
                "cell": cell,
                "seen_until": row["seen_until"],
                "n": row["n"],
                "mean_r": row["mean_r"],
                "spec_hash": spec_hash,
            }
        )
    made = pl.DataFrame(rows, schema=schema)
    if earlier is None or earlier.is_empty():
        return made
    return pl.concat([made, earlier.select(list(schema)).join(made, on=["ticker", "trial_id"], how="anti")])
