"""A slow account in plain Python, written from the rules of ``docs/explanation/execution.md`` and not from the kernel.

One object per position and per order, prices read where they are needed, cash found by bisection.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

from quant_platform.engine.bars import Bars
from quant_platform.engine.config import EngineConfig
from quant_platform.engine.decisions import Orders, Weights

LONG_IN, LONG_OUT, SHORT_IN, SHORT_OUT = 1, 2, 4, 8
NAN = math.nan


@dataclass
class Order:
    asset: int
    side: int
    kind: str
    size: float | None
    stop: float = NAN
    target: float = NAN
    trail: float = NAN
    stop_price: float = NAN
    target_price: float = NAN
    quantity: float = NAN
    bars: int = 0
    at_close: bool = False
    time_at_close: bool = False
    drop_target: bool = False
    reduce_only: bool = False
    spent: float = 0.0
    paid: float = 0.0
    done: bool = False


@dataclass
class Position:
    side: int
    size: float
    average: float
    entry_bar: int
    best: float
    worst: float
    extreme: float
    stop: float = NAN
    target: float = NAN
    trail: float = NAN
    stop_price: float = NAN
    target_price: float = NAN
    bars: int = 0
    at_close: bool = False
    time_at_close: bool = False
    spent: float = 0.0
    paid: float = 0.0
    leaving: str = ""


@dataclass
class Twin:
    bars: Bars
    config: EngineConfig
    cash: float = 0.0
    held: dict[int, Position] = field(default_factory=dict)
    marks: dict[int, float] = field(default_factory=dict)
    queue: list[Order] = field(default_factory=list)
    fills: list[tuple[int, int, float, float, str]] = field(default_factory=list)
    fees: list[float] = field(default_factory=list)
    equity: list[float] = field(default_factory=list)
    excursions: list[tuple[int, float, float]] = field(default_factory=list)
    used: dict[tuple[int, int], float] = field(default_factory=dict)
    ruined: bool = False

    # -- what things cost

    def share(self, t: int, a: int, size: float) -> float:
        costs = self.config.costs
        half = costs.half_spread
        if self.bars.half_spread is not None:
            known = self.bars.half_spread[t, a]
            half = costs.unknown_half_spread if math.isnan(known) else known
        if costs.volatility_share == 0.0 and costs.impact_coefficient == 0.0:
            return half
        sigma, volume = self.sigma(t, a), self.volume(t, a)
        if sigma is None or volume is None or volume == 0.0:
            return half + costs.unknown_impact
        return half + costs.volatility_share * sigma + costs.impact_coefficient * sigma * math.sqrt(size / volume)

    def sigma(self, t: int, a: int) -> float | None:
        window = self.config.costs.impact_window_bars
        closes = [float(x) for x in self.bars.close[max(0, t - window - 1) : t, a] if not math.isnan(x)]
        steps = [math.log(b / a_) ** 2 for a_, b in pairwise(closes)]
        return math.sqrt(sum(steps) / len(steps)) if 2 * len(steps) >= window else None

    def volume(self, t: int, a: int) -> float | None:
        if self.bars.volume is None:
            return None
        window = self.config.costs.impact_window_bars
        known = [float(x) for x in self.bars.volume[max(0, t - window) : t, a] if not math.isnan(x)]
        return sum(known) / len(known) if 2 * len(known) >= window else None

    def commission(self, spent: float, paid: float, size: float, price: float, rests: bool) -> tuple[float, float]:
        costs = self.config.costs
        rate = costs.maker_rate if rests and costs.maker_rate is not None else costs.commission_rate
        raw = spent + size * (price * rate + costs.per_unit) + (costs.per_order if spent == 0.0 else 0.0)
        return raw, max(raw, costs.minimum) - paid

    def buying(self, t: int, a: int, size: float, price: float, order: Order) -> float:
        executed = price * (1.0 + self.share(t, a, size)) + self.config.costs.slippage_fixed
        return size * executed + self.commission(order.spent, order.paid, size, executed, False)[1]

    def buys(self, t: int, a: int, cash: float, price: float, order: Order) -> float:
        low, high = 0.0, max(0.0, cash) / price
        if high <= 0.0 or self.buying(t, a, high, price, order) <= cash:
            return high
        for _ in range(200):
            middle = 0.5 * (low + high)
            if self.buying(t, a, middle, price, order) <= cash:
                low = middle
            else:
                high = middle
        return low

    # -- quantities

    def lot(self, a: int) -> Fraction | None:
        if self.config.units == "whole":
            return Fraction(1)
        if self.config.units == "lot" and self.bars.lot is not None and self.bars.lot[a] > 0.0:
            return Fraction(str(self.bars.lot[a]))
        return None

    def rounded(self, a: int, size: float) -> float:
        lot = self.lot(a)
        if lot is None:
            return size
        return float(math.floor(size / float(lot) + 1e-9) * lot)

    def exactly(self, a: int, size: float) -> float:
        """Repair the sum of two multiples of a lot."""
        lot = self.lot(a)
        return size if lot is None else float(round(size / float(lot)) * lot)

    def within_volume(self, t: int, a: int, size: float) -> float:
        share = self.config.participation
        if share is None:
            return size
        volume = NAN if self.bars.volume is None else float(self.bars.volume[t, a])
        if math.isnan(volume):
            return 0.0
        left = self.rounded(a, max(0.0, share * volume - self.used.get((t, a), 0.0)))
        size = min(size, left)
        self.used[t, a] = self.used.get((t, a), 0.0) + size
        return size

    def tradable(self, t: int, a: int) -> bool:
        if math.isnan(self.bars.open[t, a]):
            return False
        halted = self.bars.volume is not None and self.bars.volume[t, a] == 0.0
        return not (halted and self.config.zero_volume_halts)

    # -- fills

    def trade(
        self, t: int, a: int, signed: float, price: float, reason: str, rests: bool, spent: float, paid: float
    ) -> tuple[float, float]:
        side, size = (1 if signed > 0 else -1), abs(signed)
        executed = price
        if reason != "delisted" and (not rests or self.config.costs.slip_targets):
            executed = price * (1.0 + side * self.share(t, a, size)) + side * self.config.costs.slippage_fixed
        raw, fee = (spent, 0.0) if reason == "delisted" else self.commission(spent, paid, size, executed, rests)
        self.cash -= signed * executed + fee
        position = self.held.get(a)
        if position is None:
            self.held[a] = Position(side, size, executed, t, side * price, side * price, side * price)
        elif position.side == side:
            total = position.size + size
            position.average = (position.average * position.size + executed * size) / total
            position.size = self.exactly(a, total)
        else:
            position.best, position.worst = max(position.best, -side * price), min(position.worst, -side * price)
            position.size = self.exactly(a, position.size - size)
            if position.size == 0.0:
                self.excursions.append((a, position.worst, position.best))
                del self.held[a]
        self.marks[a] = price
        self.fills.append((t, a, signed, executed, reason))
        self.fees.append(fee)
        return raw, paid + fee

    def leave(self, t: int, a: int, price: float, reason: str, rests: bool = False) -> None:
        position = self.held[a]
        size = self.within_volume(t, a, position.size)
        if not rests:
            position.leaving = reason
        if size > 0.0:
            position.spent, position.paid = self.trade(
                t, a, -position.side * size, price, reason, rests, position.spent, position.paid
            )

    def levels(self, a: int) -> tuple[float, float]:
        """Prices of stop and target."""
        p = self.held[a]
        stops = [
            p.average * (1.0 - p.side * p.stop),
            p.stop_price,
            abs(p.extreme) * (1.0 - p.side * p.trail),
        ]
        targets = [p.average * (1.0 + p.side * p.target), p.target_price]
        nearest_stop = [p.side * x for x in stops if not math.isnan(x)]
        nearest_target = [p.side * x for x in targets if not math.isnan(x)]
        stop = p.side * max(nearest_stop) if nearest_stop else NAN
        target = p.side * min(nearest_target) if nearest_target else NAN
        tick = 0.0 if self.bars.tick is None else float(self.bars.tick[a])
        if tick > 0.0:
            down = p.side > 0
            if not math.isnan(stop):
                stop = tick * (math.floor(stop / tick + 1e-9) if down else math.ceil(stop / tick - 1e-9))
            if not math.isnan(target):
                target = tick * (math.ceil(target / tick - 1e-9) if down else math.floor(target / tick + 1e-9))
        return stop, target

    # -- one bar

    def step(self, t: int) -> None:
        self.carry(t)
        self.happenings(t)
        if self.config.fill == "next_open":
            self.leave_all(t, self.bars.open)
        for a in list(self.held):
            p = self.held[a]
            if p.leaving or p.at_close or not self.tradable(t, a):
                continue
            stop, target = self.levels(a)
            at = float(self.bars.open[t, a])
            if p.side * at <= p.side * stop:
                self.leave(t, a, at, "stop")
            elif p.side * at >= p.side * target:
                self.leave(t, a, at, "target", rests=True)
        if self.config.fill == "next_open":
            self.fill_queue(t, self.bars.open)
        for a in list(self.held):
            self.inside(t, a)
        for a in list(self.held):
            self.at_close(t, a)
        self.mark(t)

    def carry(self, t: int) -> None:
        if t == 0:
            return
        years = float(self.bars.stamps[t] - self.bars.stamps[t - 1]) / (365.25 * 86400e9)
        if self.cash < 0.0:
            self.cash += self.cash * self.config.costs.margin_rate * years
        for a, p in self.held.items():
            if p.side < 0:
                self.cash -= p.size * self.marks[a] * self.config.costs.borrow_rate * years

    def happenings(self, t: int) -> None:
        for e in sorted((e for e in self.bars.delistings if e.bar == t), key=lambda e: e.asset):
            for order in self.queue:
                order.done |= order.asset == e.asset
            if e.asset in self.held:
                p = self.held[e.asset]
                recovery = e.value
                if math.isnan(recovery):
                    recovery = self.config.costs.unknown_recovery if p.side > 0 else 1.0
                self.trade(t, e.asset, -p.side * p.size, self.marks[e.asset] * recovery, "delisted", False, 0.0, 0.0)
        self.queue = [order for order in self.queue if not order.done]
        for e in self.bars.splits:
            if e.bar == t:
                self.split(e.asset, e.value)
        for e in self.bars.dividends:
            if e.bar == t and e.asset in self.held:
                self.cash += self.held[e.asset].side * self.held[e.asset].size * e.value
        for e in self.bars.funding:
            if e.bar == t and e.asset in self.held:
                p = self.held[e.asset]
                worth = p.size * self.marks[e.asset]
                known = not math.isnan(e.value)
                self.cash -= p.side * worth * e.value if known else worth * self.config.costs.unknown_funding

    def split(self, a: int, ratio: float) -> None:
        for order in self.queue:
            if order.asset == a:
                order.quantity *= ratio
                order.stop_price /= ratio
                order.target_price /= ratio
                if order.size is not None:
                    order.size = self.rounded(a, order.size * ratio)
        if a not in self.held:
            return
        p = self.held[a]
        self.marks[a] /= ratio
        exact = p.size * ratio
        p.size = self.rounded(a, exact)
        self.cash += p.side * (exact - p.size) * self.marks[a]
        for name in ("average", "best", "worst", "extreme", "stop_price", "target_price"):
            setattr(p, name, getattr(p, name) / ratio)
        if p.size == 0.0:
            del self.held[a]

    def leave_all(self, t: int, prices) -> None:  # type: ignore[no-untyped-def]  # an array
        for a in list(self.held):
            if self.held[a].leaving and self.tradable(t, a):
                self.leave(t, a, float(prices[t, a]), self.held[a].leaving)

    def worth(self, t: int, prices) -> tuple[float, float]:  # type: ignore[no-untyped-def]  # an array
        equity, gross = self.cash, 0.0
        for a, p in self.held.items():
            price = float(prices[t, a]) if self.tradable(t, a) else self.marks[a]
            equity += p.side * p.size * price
            gross += p.size * price
        return equity, gross

    def fill_queue(self, t: int, prices) -> None:  # type: ignore[no-untyped-def]  # an array
        for order in self.queue:
            p = self.held.get(order.asset)
            if order.kind == "signal" or p is None or p.side == order.side or not self.tradable(t, order.asset):
                continue
            assert order.size is not None
            size = self.within_volume(t, order.asset, min(order.size, p.size))
            if size > 0.0:
                price = float(prices[t, order.asset])
                order.spent, order.paid = self.trade(
                    t, order.asset, order.side * size, price, "reduction", False, order.spent, order.paid
                )
                order.size = self.exactly(order.asset, order.size - size)
            order.done = order.size <= 0.0
        self.opened_value = self.worth(t, prices)
        for order in self.queue:
            if not order.done and self.tradable(t, order.asset):
                self.enlarge(t, order, float(prices[t, order.asset]), prices)
        self.queue = [order for order in self.queue if not order.done]

    def enlarge(self, t: int, order: Order, price: float, prices) -> None:  # type: ignore[no-untyped-def]  # an array
        a, p = order.asset, self.held.get(order.asset)
        if p is not None and p.side != order.side:
            return
        order.done = True
        if order.reduce_only or order.side * price <= order.side * order.stop_price:
            return
        if order.side * price >= order.side * order.target_price:
            if not order.drop_target:
                return
            order.target_price = NAN
        equity, gross = self.worth(t, prices)
        if order.size is None:
            order.size = self.sized(t, order, price, equity)
        minimum = 0.0 if self.bars.minimum_notional is None else float(self.bars.minimum_notional[a])
        if order.size <= 0.0 or order.size * price < max(minimum, 1e-12 * equity):
            return
        size = order.size
        if math.isfinite(self.config.leverage):
            room = max(0.0, self.config.leverage * equity - gross) / price
            allowed = self.rounded(a, room)
            size = allowed if allowed < size * (1.0 - 1e-9) else size
        if self.config.leverage <= 1.0 and order.side > 0 and self.buying(t, a, size, price, order) > self.cash:
            size = min(size, self.rounded(a, self.buys(t, a, self.cash, price, order)))
        if size < order.size and (size <= 1e-9 * order.size or self.config.short_of_cash == "refuse"):
            return
        if size * price < minimum:
            return
        taken = self.within_volume(t, a, size)
        if taken <= 0.0:
            order.done = False
            return
        reason = "entry" if p is None else "addition"
        given = {name: getattr(order, name) for name in ("stop", "target", "trail", "stop_price", "target_price")}
        order.spent, order.paid = self.trade(t, a, order.side * taken, price, reason, False, order.spent, order.paid)
        now = self.held[a]
        for name, value in given.items():
            if p is None or not math.isnan(value):
                setattr(now, name, value)
        if p is None:
            now.bars, now.at_close, now.time_at_close = order.bars, order.at_close, order.time_at_close
        order.size = self.exactly(a, size - taken)
        order.done = order.size <= 0.0

    def sized(self, t: int, order: Order, price: float, equity: float) -> float | None:
        kind, value = self.config.sizing.kind, self.config.sizing.value
        if not math.isnan(order.quantity):
            return self.rounded(order.asset, order.quantity)
        if kind == "units":
            return self.rounded(order.asset, value)
        if math.isnan(price):
            return None
        if kind == "cash_amount":
            size = value / price
        elif kind == "cash_fraction":
            money = max(0.0, self.cash * value)
            fresh = Order(order.asset, order.side, "signal", None)
            size = self.buys(t, order.asset, money, price, fresh) if order.side > 0 else money / price
        elif kind == "equity_fraction":
            size = max(0.0, equity * value) / price
        else:
            risks = [price * order.stop, price * order.trail, order.side * (price - order.stop_price)]
            risk = min(x for x in risks if not math.isnan(x))
            size = max(0.0, equity * value) / risk if risk > 0.0 else 0.0
        return self.rounded(order.asset, size)

    def inside(self, t: int, a: int) -> None:
        p = self.held[a]
        if p.leaving or p.at_close or not self.tradable(t, a):
            return
        if p.entry_bar == t and self.config.exits_from == "next_bar":
            return
        stop, target = self.levels(a)
        low, high = float(self.bars.low[t, a]), float(self.bars.high[t, a])
        adverse, favourable = (low, high) if p.side > 0 else (high, low)
        if p.side * adverse <= p.side * stop:
            self.leave(t, a, stop, "stop")
        elif p.side * favourable >= p.side * target:
            p.worst = min(p.worst, p.side * adverse)
            self.leave(t, a, target, "target", rests=True)

    def at_close(self, t: int, a: int) -> None:
        p = self.held[a]
        trades = self.tradable(t, a)
        if trades:
            close, low, high = (float(x[t, a]) for x in (self.bars.close, self.bars.low, self.bars.high))
            self.marks[a] = close
            adverse, favourable = (low, high) if p.side > 0 else (-high, -low)
            p.worst, p.best = min(p.worst, adverse), max(p.best, favourable)
            if p.at_close and not p.leaving:
                stop, target = self.levels(a)
                if p.side * close <= p.side * stop:
                    p.leaving = "stop"
                elif p.side * close >= p.side * target:
                    p.leaving = "target"
            if self.config.trail_counts_entry_bar or p.entry_bar < t:
                p.extreme = max(p.extreme, favourable)
        first = p.entry_bar + (1 if self.config.fill == "same_close" else 0)
        if p.bars and not p.leaving and t >= first + p.bars - 1:
            if p.time_at_close and trades:
                self.leave(t, a, float(self.bars.close[t, a]), "time")
            else:
                p.leaving = "time"

    def mark(self, t: int) -> None:
        for a in self.held:
            if self.config.fill == "same_close" and self.tradable(t, a):
                self.marks[a] = float(self.bars.close[t, a])
        self.value = self.cash + sum(p.side * p.size * self.marks[a] for a, p in self.held.items())
        if self.value <= 0.0 and not self.ruined:
            self.ruined = True
            self.queue.clear()
            for p in self.held.values():
                p.leaving = p.leaving or "ruin"

    # -- decisions

    def decide(self, t: int, order: Order, bits: int) -> None:
        if self.ruined:
            return
        a, p = order.asset, self.held.get(order.asset)
        if bits == 0:
            order.size = self.rounded(a, abs(order.quantity))
            shrinks = p is not None and p.side != order.side and order.size <= p.size
            order.reduce_only = shrinks or (order.side < 0 and not self.config.allow_short)
            if order.size > 0.0:
                self.queue.append(order)
            return
        goes_long, goes_short = bool(bits & LONG_IN), bool(bits & SHORT_IN) and self.config.allow_short
        waiting = [o for o in self.queue if o.asset == a and o.kind == "signal"]
        side = p.side if p is not None else (waiting[-1].side if waiting else 0)
        if side == 0:
            if goes_long != goes_short:
                self.enter(t, order, 1 if goes_long else -1)
            return
        opposite = goes_short if side > 0 else goes_long
        exits = bool(bits & (LONG_OUT if side > 0 else SHORT_OUT))
        if opposite or exits:
            self.queue = [o for o in self.queue if o not in waiting]
            if p is not None and not p.leaving:
                p.leaving = "reversal" if opposite else "exit"
            if opposite:
                self.enter(t, order, -side)
        elif self.config.accumulate and (goes_long if side > 0 else goes_short) and not (p and p.leaving):
            self.enter(t, order, side)

    def enter(self, t: int, order: Order, side: int) -> None:
        order.side = side
        price = float(self.bars.close[t, order.asset])
        if math.isnan(price) and order.asset in self.held:
            price = self.marks[order.asset]
        if self.config.sizing.at == "decision":
            order.size = self.sized(t, order, price, self.value)
        self.queue.append(order)

    def rebalance(self, t: int, weights, prices, equity: float) -> None:  # type: ignore[no-untyped-def]  # arrays
        self.queue = [o for o in self.queue if o.kind != "weights"]
        for a, weight in enumerate(weights.tolist()):
            p = self.held.get(a)
            signed = p.side * p.size if p else 0.0
            if math.isnan(weight) or (weight == 0.0 and p is None) or self.ruined or (p and p.leaving):
                continue
            weight = weight if self.config.allow_short else max(0.0, weight)
            price = float(prices[t, a])
            if math.isnan(price):
                if p is None:
                    continue
                price = self.marks[a]
            money = weight * (1.0 - self.config.cash_buffer) * max(0.0, equity)
            if weight != 0.0 and abs(money - signed * price) < self.config.tolerance * max(0.0, equity):
                continue
            goal = math.copysign(self.rounded(a, abs(money) / price), money)
            change = self.exactly(a, goal - signed)
            if change != 0.0:
                self.queue.append(Order(a, 1 if change > 0 else -1, "weights", abs(change)))


def run_twin(bars: Bars, decisions: Orders | Weights, config: EngineConfig) -> Twin:
    """Trade decisions, bar by bar."""
    twin = Twin(bars, config, cash=config.initial_cash)
    due: int | None = None
    same = config.fill == "same_close"
    for t in range(len(bars.stamps)):
        if due is not None:
            # The rebalance is sized at the open, after what leaves has left.
            original = twin.fill_queue

            def first(t: int, prices, row: int = due, go=original) -> None:  # type: ignore[no-untyped-def]  # closures
                assert isinstance(decisions, Weights)
                twin.rebalance(t, decisions.weights[row], prices, twin.worth(t, prices)[0])
                go(t, prices)

            twin.fill_queue = first  # type: ignore[method-assign]  # for one bar
            twin.step(t)
            twin.fill_queue = original  # type: ignore[method-assign]  # back
            due = None
        else:
            twin.step(t)
        if isinstance(decisions, Orders):
            for numbers, places in zip(decisions.numbers.tolist(), decisions.places.tolist(), strict=True):
                if places[0] == t:
                    quantity, stop, target, trail, stop_price, target_price = numbers
                    side = 1 if quantity > 0 else -1
                    kind = "signal" if places[2] else "trade"
                    twin.decide(
                        t,
                        Order(
                            places[1], side, kind, None, stop, target, trail, stop_price, target_price, quantity,
                            places[3], bool(places[4] & 1), bool(places[4] & 2), bool(places[4] & 4),
                        ),
                        places[2],
                    )  # fmt: skip
        else:
            for row in [row for row, at in enumerate(decisions.bars.tolist()) if at == t]:
                if config.sizing.at == "fill" and not same:
                    due = row
                else:
                    twin.rebalance(t, decisions.weights[row], bars.close, twin.value)
        if same:
            twin.leave_all(t, bars.close)
            twin.fill_queue(t, bars.close)
            twin.mark(t)
        twin.equity.append(twin.value)
    return twin
