"""What would have followed an event, for every bar and direction: one table per label and horizon.

Because the table holds an outcome for every bar, the outcome of an event is a look-up, and so is that of the same event
shifted by any number of days. A cutoff has dozens of these tables, all in memory at once, so each holds only what the
others do not follow from: one direction where the other is its negative, the bars of entry and exit and not the funding
between them, nothing for a hedge that a label does not have.

**Timing.** An event of bar t is known at its close; entry is at the open of bar ``t + lag``, ``lag >= 1``.
**Missing values.** Where entry or exit bar is missing the outcome is NaN, and the event is left out of the cell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.contracts.errors import SpecError
from quant_platform.engine.costs import one_way_cost_bps, paid_funding
from quant_platform.labs.events.discovery.label_kernels import walk_to_pullback, walk_to_target_or_stop
from quant_platform.market.perp_panel import BARS_PER_DAY, PricePanel
from quant_platform.specification.discovery import UNDIRECTED, DiscoverySpec, TemplateSpec
from quant_platform.statistics.checks import Bools, Floats, Longs

BPS = 1e4
STRETCH_BARS = 12
Bars = npt.NDArray[np.int32]
Walk = Callable[[int, float], tuple[Floats, Longs | None, Longs]]
SEEN_SHARE = 0.9


@dataclass(frozen=True)
class LabelTable:
    """Outcomes in bps by row and bar, before cost.

    Attributes
    ----------
    layout
        What a row is. ``mirrored``: row s is symbol s with direction +1, and -1 earns the negative. ``walked``: rows
        2 s and 2 s + 1 are symbol s with direction -1 and +1. ``undirected``: row s is symbol s.
    values
        ``[row, bar]`` of a trade with the event's direction (of the template's own side for one-sided labels).
    lag, reach
        Bars from the event's bar to the entry, and to the last bar the outcome needs.
    hedged
        ``values`` with the universe's move taken out; None where the label has no hedge.
    side
        Position of a trade whose direction is +1.
    entries, exits
        ``[row, bar]`` bars at whose open the trade begins and ends; None where that is always ``lag`` and ``reach``
        bars after the event's.
    """

    layout: Literal["mirrored", "walked", "undirected"]
    values: Floats
    lag: int
    reach: int
    hedged: Floats | None = None
    side: float = 1.0
    entries: Bars | None = None
    exits: Bars | None = None

    def rows(self, symbols: Longs, directions: Longs) -> Longs:
        """Row of each event."""
        return 2 * symbols + (directions > 0) if self.layout == "walked" else symbols

    def at(self, values: Floats, symbols: Longs, positions: Longs, directions: Longs) -> Floats:
        """``values`` or ``hedged`` of each event, with its own direction."""
        found: Floats = values[self.rows(symbols, directions), positions]
        return np.where(directions > 0, found, -found) if self.layout == "mirrored" else found

    def tracks(self, values: Floats, bars: slice) -> Floats:
        """``[track, bar]`` of ``values`` or ``hedged`` over some bars: every direction its own track, and a NaN track.

        Track s is symbol s where the label has no direction, else tracks 2 s and 2 s + 1 are symbol s with direction -1
        and +1. Outcomes that end after ``bars`` are NaN. The last track is NaN throughout: events that a test does not
        take point at it.
        """
        width = max(values[:, bars].shape[1] - self.reach, 0)
        seen = values[:, bars][:, :width]
        count = values.shape[0] * (2 if self.layout == "mirrored" else 1)
        out = np.full((count + 1, values[:, bars].shape[1]), np.nan)
        if self.layout == "mirrored":
            np.negative(seen, out=out[0:-1:2, :width])
            out[1:-1:2, :width] = seen
        else:
            out[:-1, :width] = seen
        return out


class LabelStore:
    """Label tables of one panel, made when first asked for and kept for the events that follow."""

    def __init__(self, panel: PricePanel, spec: DiscoverySpec) -> None:
        self.panel = panel
        self.spec = spec
        self.cost = one_way_cost_bps(panel, spec.cost)
        self._paid = paid_funding(panel, spec.cost)
        self._log = {name: np.log(panel.columns[name]) for name in ("open", "high", "low", "close")}
        self._tables: dict[tuple[str, int, int], LabelTable] = {}

    def table(self, template: TemplateSpec, horizon: int, lag: int) -> LabelTable:
        """Return the outcomes of a template's test.

        Parameters
        ----------
        template
            Any template of the test; mirrored ones share the table.
        horizon, lag
            In bars.
        """
        entry_lag = lag + (1 if template.subset == "confirmed" else 0)
        key = (template.test.replace("/confirmed", "").replace(f"/{template.subset}", ""), horizon, entry_lag)
        if key not in self._tables:
            self._tables[key] = self._made(template, horizon, entry_lag)
        return self._tables[key]

    def takes(self, template: TemplateSpec, symbols: Longs, positions: Longs, directions: Longs) -> Bools:
        """Which events the template's subset takes, from what is known when the order is placed."""
        taken = np.ones(positions.size, dtype=np.bool_)
        if template.label is not None and template.label not in UNDIRECTED:
            taken &= directions != 0
        if template.subset == "with_day_trend":
            taken &= np.sign(self.panel.column("tstat288")[symbols, positions]) == directions
        elif template.subset == "with_stretched_trend":
            trend = self.panel.column("tstat96")[symbols, positions]
            taken &= (np.abs(trend) >= 1.0) & (np.sign(trend) == directions)
        elif template.subset == "confirmed":
            close = self._log["close"]
            later = np.minimum(positions + 1, self.panel.periods - 1)
            taken &= directions * (close[symbols, later] - close[symbols, positions]) >= 0.0
        return taken

    def funding(self, table: LabelTable, symbols: Longs, positions: Longs, directions: Longs) -> Floats:
        """Funding in bps that each event's trade pays from its entry to its exit; of no meaning without an outcome.

        What is not known is not in it: `unknown_funding` is a cost to either side.
        """
        paid = self._held(self._paid.known, table, symbols, positions, directions)
        return np.where(directions > 0, table.side, -table.side) * paid

    def unknown_funding(self, table: LabelTable, symbols: Longs, positions: Longs, directions: Longs) -> Floats:
        """What each event's trade is charged, in bps, for the bars of its life on which funding is not known."""
        return self._held(self._paid.unknown, table, symbols, positions, directions)

    def _held(
        self, cumulated: Floats, table: LabelTable, symbols: Longs, positions: Longs, directions: Longs
    ) -> Floats:
        """The change of a cumulated charge from the entry to the exit of each event's trade."""
        if table.layout == "undirected":
            return np.zeros(positions.size)
        rows, last = table.rows(symbols, directions), self.panel.periods - 1
        entries = positions + table.lag if table.entries is None else table.entries[rows, positions]
        exits = positions + table.reach if table.exits is None else table.exits[rows, positions]
        return cumulated[symbols, np.minimum(exits, last)] - cumulated[symbols, np.minimum(entries, last)]

    def _made(self, template: TemplateSpec, horizon: int, lag: int) -> LabelTable:
        label = template.label
        if label in UNDIRECTED:
            return self._undirected(label, horizon, lag)
        if label == "forward_return":
            entry, leave = self._forward(self._log["open"], horizon, lag)
            move = leave - entry
            return _mirrored(move, horizon, lag, hedged=self._unhedged(move))
        if label == "residual_return":
            entry, leave = self._forward(self._log["open"], horizon, lag)
            table = _mirrored(self._unhedged(leave - entry), horizon, lag)
            return replace(table, hedged=table.values)
        if label == "basis_change":
            entry, leave = self._forward(self._log["close"] - np.log(self.panel.column("spot_close")), horizon, lag)
            return _mirrored(leave - entry, horizon, lag)
        if label == "favourable_minus_adverse":
            entry, _ = self._forward(self._log["open"], horizon, lag)
            highest = _ahead(self._log["high"], horizon, lag, "max")
            lowest = _ahead(self._log["low"], horizon, lag, "min")
            return _mirrored(highest + lowest - 2.0 * entry, horizon, lag)
        if label == "target_stop":
            return self._barriers(template, horizon, lag)
        if label == "pullback_return":
            return self._pulled_back(template, horizon, lag)
        raise SpecError(f"the template measures nothing: label {label!r}", where="specs/templates.yaml")

    def _forward(self, prices: Floats, horizon: int, lag: int) -> tuple[Floats, Floats]:
        return _shifted(prices, lag), _shifted(prices, lag + horizon)

    def _unhedged(self, returns: Floats) -> Floats:
        """Take out beta, known at the event, times the mean return of the other symbols over the same bars."""
        known = ~np.isnan(returns)
        others = known.sum(axis=0) - known
        total = np.where(known, returns, 0.0).sum(axis=0) - np.where(known, returns, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            bench = np.where(others > 0, total / others, np.nan)
        return returns - self.panel.column("beta2016b") * bench

    def _undirected(self, label: str | None, horizon: int, lag: int) -> LabelTable:
        entry, leave = self._forward(self._log["open"], horizon, lag)
        move = BPS * np.abs(leave - entry)
        if label == "excess_range":
            move = BPS * (
                _ahead(self._log["high"], horizon, lag, "max") - _ahead(self._log["low"], horizon, lag, "min")
            )
        elif label == "excess_tail_move":
            sigma = BPS * self.panel.column("rv288") * np.sqrt(horizon)
            move = np.where(np.isnan(sigma), np.nan, np.maximum(move - self.spec.tail_multiple * sigma, 0.0))
        elif label == "excess_cost":
            move = _shifted(self.cost, horizon)
        excess = move - _same_clock_mean(move, lag + horizon, self.spec.matched_days)
        return LabelTable("undirected", excess, lag, lag + horizon)

    def _barriers(self, template: TemplateSpec, horizon: int, lag: int) -> LabelTable:
        def walk(symbol: int, position: float) -> tuple[Floats, Longs | None, Longs]:
            opens, highs, lows, closes = (self._log[name][symbol] for name in ("open", "high", "low", "close"))
            target, stop = levels_of(template, position, highs, lows, closes)
            outcome, exits = np.empty_like(opens), np.empty(opens.size, np.int64)
            walk_to_target_or_stop(opens, closes, target, stop, position, lag, horizon, outcome, exits)
            return outcome, None, exits

        return self._walked(template, walk, lag, lag + horizon)

    def _pulled_back(self, template: TemplateSpec, horizon: int, lag: int) -> LabelTable:
        rule = template.pullback
        if rule is None:
            raise SpecError("the template has no pullback", where="specs/templates.yaml")
        distance = rule.multiple * self.panel.column("rv12") * np.sqrt(rule.valid_bars)

        def walk(symbol: int, position: float) -> tuple[Floats, Longs | None, Longs]:
            opens, closes = self._log["open"][symbol], self._log["close"][symbol]
            outcome = np.empty_like(opens)
            entries, exits = np.empty(opens.size, np.int64), np.empty(opens.size, np.int64)
            level = closes - position * distance[symbol]
            walk_to_pullback(opens, closes, level, position, lag, rule.valid_bars, horizon, outcome, entries, exits)
            return outcome, entries, exits

        return self._walked(template, walk, lag, lag + rule.valid_bars + horizon)

    def _walked(self, template: TemplateSpec, walk: Walk, lag: int, reach: int) -> LabelTable:
        shape, side = (2 * len(self.panel.symbols), self.panel.periods), float(template.side or 1)
        values, exits = np.empty(shape), np.empty(shape, np.int32)
        entries = np.empty(shape, np.int32) if template.label == "pullback_return" else None
        for symbol in range(len(self.panel.symbols)):
            for row, direction in ((2 * symbol, -1.0), (2 * symbol + 1, 1.0)):
                outcome, begins, exits[row] = walk(symbol, direction * side)
                values[row] = BPS * outcome
                if entries is not None and begins is not None:
                    entries[row] = begins
        return LabelTable("walked", values, lag, reach, side=side, entries=entries, exits=exits)


def levels_of(
    template: TemplateSpec, position: float, highs: Floats, lows: Floats, closes: Floats
) -> tuple[Floats, Floats]:
    """Logarithms of target and stop of a position at every bar of one symbol, from bars up to the event's own.

    Parameters
    ----------
    template
        One with a target and a stop.
    position
        1 long, -1 short.
    highs, lows, closes
        Logarithms of prices.

    Raises
    ------
    SpecError
        When the template has none.
    """
    target, stop = template.target, template.stop
    if target is None or stop is None:
        raise SpecError("the template has no target and stop", where="specs/templates.yaml")
    impulse = position * float(template.side or 1)

    def displacement(bars: int) -> Floats:
        moved = impulse * (closes - _shifted(closes[None, :], -bars)[0])
        return np.where(moved > 0.0, moved, np.nan)

    def extreme(bars: int, against: float) -> Floats:
        return _rolling(highs, bars, "max") if against > 0.0 else _rolling(lows, bars, "min")

    if stop.kind == "displacement":
        stop_level = closes - position * stop.multiple * displacement(stop.bars)
    else:
        stop_level = extreme(stop.bars, -position)
    if target.kind == "none":
        return np.full_like(closes, np.nan), stop_level
    if target.kind == "displacement":
        return closes + position * target.share * displacement(target.bars), stop_level
    if target.kind == "swept_level":
        return _shifted(extreme(target.bars, impulse)[None, :], -STRETCH_BARS)[0], stop_level
    if target.kind == "range_middle":
        return 0.5 * (_rolling(highs, target.bars, "max") + _rolling(lows, target.bars, "min")), stop_level
    return _rolling(closes, target.bars, "mean"), stop_level


def _mirrored(change: Floats, horizon: int, lag: int, *, hedged: Floats | None = None) -> LabelTable:
    return LabelTable("mirrored", BPS * change, lag, lag + horizon, hedged=None if hedged is None else BPS * hedged)


def _shifted(values: Floats, bars: int) -> Floats:
    """``values`` as they stand ``bars`` later (earlier where negative); NaN beyond the ends."""
    out = np.full_like(values, np.nan)
    if bars >= 0:
        out[:, : max(values.shape[1] - bars, 0)] = values[:, bars:]
    else:
        out[:, -bars:] = values[:, :bars]
    return out


def _rolling(values: Floats, bars: int, kind: str) -> Floats:
    """Maximum, minimum or mean of the last ``bars`` values, at least nine tenths of which must be there."""
    series = pl.Series(values, nan_to_null=True)
    needed = max(1, int(np.ceil(SEEN_SHARE * bars)))
    if kind == "max":
        found = series.rolling_max(bars, min_samples=needed)
    elif kind == "min":
        found = series.rolling_min(bars, min_samples=needed)
    else:
        found = series.rolling_mean(bars, min_samples=needed)
    return found.fill_null(np.nan).to_numpy()


def _ahead(values: Floats, horizon: int, lag: int, kind: str) -> Floats:
    """Maximum or minimum over the bars a trade is held."""
    backwards = np.vstack([_rolling(row[::-1], horizon, kind)[::-1] for row in values])
    return _shifted(backwards, lag)


def _same_clock_mean(values: Floats, reach: int, days: int) -> Floats:
    """Mean at the same clock bar over the latest ``days`` days whose outcome had ended; NaN with fewer than half."""
    by_day = values.reshape(values.shape[0], -1, BARS_PER_DAY)
    seen = ~np.isnan(by_day)
    zero = np.zeros((by_day.shape[0], 1, BARS_PER_DAY))
    total = np.concatenate([zero, np.cumsum(np.where(seen, by_day, 0.0), axis=1)], axis=1)
    count = np.concatenate([zero, np.cumsum(seen, axis=1)], axis=1)
    newest = np.maximum(np.arange(by_day.shape[1]) + 1 - -(-reach // BARS_PER_DAY), 0)
    oldest = np.maximum(newest - days, 0)
    n = count[:, newest] - count[:, oldest]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(n >= days / 2, (total[:, newest] - total[:, oldest]) / n, np.nan)
    return mean.reshape(values.shape)
