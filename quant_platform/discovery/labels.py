"""What would have followed an event, for every bar and direction: one table per label and horizon.

Because the table holds an outcome for every bar, the outcome of an event is a look-up, and so is that of the same event
shifted by any number of days. Tracks: row ``2 s`` of a directed table is symbol s with direction -1, row ``2 s + 1``
with +1; an undirected table has row s. The last row is NaN: events that a test does not take point at it.

**Timing.** An event of bar t is known at its close; entry is at the open of bar ``t + lag``, ``lag >= 1``.
**Missing values.** Where entry or exit bar is missing the outcome is NaN, and the event is left out of the cell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from quant_platform.contracts.errors import SpecError
from quant_platform.discovery.costs import one_way_cost_bps, paid_funding
from quant_platform.discovery.label_kernels import walk_to_pullback, walk_to_target_or_stop
from quant_platform.discovery.panel import BARS_PER_DAY, PricePanel
from quant_platform.specification.discovery import UNDIRECTED, DiscoverySpec, TemplateSpec
from quant_platform.statistics.checks import Bools, Floats, Longs

BPS = 1e4
STRETCH_BARS = 12
Walk = Callable[[int, float], tuple[Floats, Longs, Longs]]
SEEN_SHARE = 0.9


@dataclass(frozen=True)
class LabelTable:
    """Outcomes in bps by track and bar.

    Attributes
    ----------
    values
        ``[track, bar]`` before cost, of a trade with the event's direction (of the template's own side for one-sided
        labels).
    hedged
        The same with the universe's move taken out; NaN where the label has no hedge.
    funding
        ``[track, bar]`` bps that the trade pays.
    directed
        Whether tracks carry a direction.
    reach
        Bars from the event's bar to the last bar the outcome needs.
    """

    values: Floats
    hedged: Floats
    funding: Floats
    directed: bool
    reach: int


class LabelStore:
    """Label tables of one panel, made when first asked for and kept for the events that follow."""

    def __init__(self, panel: PricePanel, spec: DiscoverySpec) -> None:
        self.panel = panel
        self.spec = spec
        self.cost = one_way_cost_bps(panel, spec.cost)
        self._paid = paid_funding(panel)
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

    def _made(self, template: TemplateSpec, horizon: int, lag: int) -> LabelTable:
        label = template.label
        if label in UNDIRECTED:
            return self._undirected(label, horizon, lag)
        if label == "forward_return":
            entry, leave = self._forward(self._log["open"], horizon, lag)
            return self._mirrored(leave - entry, self._unhedged(leave - entry), horizon, lag)
        if label == "residual_return":
            entry, leave = self._forward(self._log["open"], horizon, lag)
            residual = self._unhedged(leave - entry)
            return self._mirrored(residual, residual, horizon, lag)
        if label == "basis_change":
            entry, leave = self._forward(self._log["close"] - np.log(self.panel.column("spot_close")), horizon, lag)
            return self._mirrored(leave - entry, np.full_like(entry, np.nan), horizon, lag)
        if label == "favourable_minus_adverse":
            entry, _ = self._forward(self._log["open"], horizon, lag)
            highest = _ahead(self._log["high"], horizon, lag, "max")
            lowest = _ahead(self._log["low"], horizon, lag, "min")
            change = highest + lowest - 2.0 * entry
            return self._mirrored(change, np.full_like(entry, np.nan), horizon, lag)
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

    def _mirrored(self, change: Floats, hedged: Floats, horizon: int, lag: int) -> LabelTable:
        paid = _shifted(self._paid, lag + horizon) - _shifted(self._paid, lag)
        return LabelTable(
            values=BPS * _both_directions(change),
            hedged=BPS * _both_directions(hedged),
            funding=_both_directions(paid),
            directed=True,
            reach=lag + horizon,
        )

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
        values = np.vstack([excess, np.full((1, excess.shape[1]), np.nan)])
        return LabelTable(values, np.full_like(values, np.nan), np.zeros_like(values), False, lag + horizon)

    def _barriers(self, template: TemplateSpec, horizon: int, lag: int) -> LabelTable:
        def walk(symbol: int, position: float) -> tuple[Floats, Longs, Longs]:
            opens, highs, lows, closes = (self._log[name][symbol] for name in ("open", "high", "low", "close"))
            target, stop = _levels(template, position, highs, lows, closes)
            outcome, exits = np.empty_like(opens), np.empty(opens.size, np.int64)
            walk_to_target_or_stop(opens, closes, target, stop, position, lag, horizon, outcome, exits)
            return outcome, np.minimum(np.arange(opens.size) + lag, opens.size - 1), exits

        return self._walked(template, walk, lag + horizon)

    def _pulled_back(self, template: TemplateSpec, horizon: int, lag: int) -> LabelTable:
        rule = template.pullback
        if rule is None:
            raise SpecError("the template has no pullback", where="specs/templates.yaml")
        distance = rule.multiple * self.panel.column("rv12") * np.sqrt(rule.valid_bars)

        def walk(symbol: int, position: float) -> tuple[Floats, Longs, Longs]:
            opens, closes = self._log["open"][symbol], self._log["close"][symbol]
            outcome = np.empty_like(opens)
            entries, exits = np.empty(opens.size, np.int64), np.empty(opens.size, np.int64)
            level = closes - position * distance[symbol]
            walk_to_pullback(opens, closes, level, position, lag, rule.valid_bars, horizon, outcome, entries, exits)
            return outcome, entries, exits

        return self._walked(template, walk, lag + rule.valid_bars + horizon)

    def _walked(self, template: TemplateSpec, walk: Walk, reach: int) -> LabelTable:
        values = np.full((2 * len(self.panel.symbols) + 1, self.panel.periods), np.nan)
        funding = np.zeros_like(values)
        for symbol in range(len(self.panel.symbols)):
            for track, direction in ((2 * symbol, -1.0), (2 * symbol + 1, 1.0)):
                position = direction * float(template.side or 1)
                outcome, entries, exits = walk(symbol, position)
                values[track] = BPS * outcome
                funding[track] = position * (self._paid[symbol, exits] - self._paid[symbol, entries])
        return LabelTable(values, np.full_like(values, np.nan), funding, True, reach)


def _levels(
    template: TemplateSpec, position: float, highs: Floats, lows: Floats, closes: Floats
) -> tuple[Floats, Floats]:
    """Target and stop of a position, from bars up to the event's own."""
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


def _both_directions(change: Floats) -> Floats:
    """Tracks -1 and +1 of each symbol, and the NaN row."""
    tracks = np.full((2 * change.shape[0] + 1, change.shape[1]), np.nan)
    tracks[0:-1:2] = -change
    tracks[1:-1:2] = change
    return tracks


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
    series = pl.Series(values).fill_nan(None)
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
