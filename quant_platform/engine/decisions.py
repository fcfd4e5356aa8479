"""Decisions in their three forms, made outside the engine and frozen: signals, target weights, orders.

A decision of bar t was made with what the close of t knew. All three become the same two lists for the kernel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from quant_platform.engine.config import BacktestInvalid
from quant_platform.engine.layout import (
    DROP_PASSED_TARGET,
    LONG_ENTRY,
    LONG_EXIT,
    ORDER_ASSET,
    ORDER_BAR,
    ORDER_FLAGS,
    ORDER_FLOATS,
    ORDER_INTEGERS,
    ORDER_SIGNAL,
    ORDER_TIME,
    QUANTITY,
    SHORT_ENTRY,
    SHORT_EXIT,
    STOP,
    STOP_PRICE,
    TARGET,
    TARGET_PRICE,
    TIME_AT_CLOSE,
    TRAIL,
    TRIGGER_AT_CLOSE,
    Bools,
    Floats,
    Integers,
)  # fmt: skip

ACTIONS = ("long_entry", "long_exit", "short_entry", "short_exit", "trade")
_BITS = np.array([LONG_ENTRY, LONG_EXIT, SHORT_ENTRY, SHORT_EXIT, 0], dtype=np.int64)


@dataclass(frozen=True)
class ExitRule:
    """How a position leaves by itself.

    Attributes
    ----------
    stop, target, trail
        Fractions of the average entry price; the trail is a fraction of the best price since the entry. None for none.
    time_bars
        Bars held, the entry bar the first; None for no limit.
    trigger
        ``touch`` leaves at the level inside the bar, or at an open beyond it; ``close`` compares closes and leaves at
        the next open.
    time_at
        ``open`` leaves at the open after the last bar of the horizon, ``close`` at that bar's close.
    """

    stop: float | None = None
    target: float | None = None
    trail: float | None = None
    time_bars: int | None = None
    trigger: Literal["touch", "close"] = "touch"
    time_at: Literal["open", "close"] = "open"

    def __post_init__(self) -> None:
        for name in ("stop", "target", "trail"):
            value = getattr(self, name)
            if value is not None and not (value > 0.0 and math.isfinite(value)):
                raise BacktestInvalid(f"{name} was {value}, a positive fraction is needed", where=f"ExitRule.{name}")
        if self.time_bars is not None and self.time_bars < 1:
            raise BacktestInvalid(f"time_bars was {self.time_bars}, at least 1 is needed", where="ExitRule.time_bars")

    @property
    def flags(self) -> int:
        """As bits of an order."""
        return (TRIGGER_AT_CLOSE if self.trigger == "close" else 0) | (TIME_AT_CLOSE if self.time_at == "close" else 0)


@dataclass(frozen=True, eq=False)
class Signals:
    """Booleans, sessions by assets, of equal shape; what is not given is never true.

    Attributes
    ----------
    long_entry, long_exit, short_entry, short_exit
        What to do if the position is one to which it applies. A flat asset enters; a held one leaves on the exit of its
        side, is turned by the entry of the other side, and ignores the entry of its own (unless the configuration
        accumulates). An exit wins over an entry of the same side. Both entries at once while flat: neither, counted.
    quantity
        Units of each entry, NaN for the sizing rule; None for the sizing rule throughout.
    exits
        How positions leave by themselves.
    """

    long_entry: Bools | None = None
    long_exit: Bools | None = None
    short_entry: Bools | None = None
    short_exit: Bools | None = None
    quantity: Floats | None = None
    exits: ExitRule = field(default_factory=ExitRule)

    def __post_init__(self) -> None:
        shapes = set()
        for name in ACTIONS[:4]:
            given = getattr(self, name)
            if given is None:
                continue
            array = np.asarray(given)
            if array.dtype != np.bool_ or array.ndim != 2:
                raise BacktestInvalid(
                    f"{name} is {array.dtype} with {array.ndim} dimensions, booleans [session, asset] are needed",
                    where=f"Signals.{name}",
                    action="make missing values False before",
                )
            object.__setattr__(self, name, array)
            shapes.add(array.shape)
        if not shapes:
            raise BacktestInvalid("signals have no shapes: none of the four is given", where="Signals")
        if self.quantity is not None:
            quantity = np.asarray(self.quantity, dtype=np.float64)
            if not np.all(np.isnan(quantity) | ((quantity > 0.0) & np.isfinite(quantity))):
                raise BacktestInvalid("a quantity is not positive", where="Signals.quantity")
            object.__setattr__(self, "quantity", quantity)
            shapes.add(quantity.shape)
        if len(shapes) != 1:
            raise BacktestInvalid(f"signals have shapes {sorted(shapes)}, one is needed", where="Signals")

    @property
    def shape(self) -> tuple[int, int]:
        """Sessions and assets."""
        first = next(array for name in ACTIONS[:4] if (array := getattr(self, name)) is not None)
        return first.shape[0], first.shape[1]

    def as_orders(self) -> Orders:
        """Every bar and asset with a signal as one order."""
        bits: npt.NDArray[np.int8] | None = None
        for name, bit in zip(ACTIONS[:4], (LONG_ENTRY, LONG_EXIT, SHORT_ENTRY, SHORT_EXIT), strict=True):
            given = getattr(self, name)
            if given is not None:
                part = given.view(np.int8) * np.int8(bit)
                bits = part if bits is None else bits | part
        assert bits is not None
        flat = np.flatnonzero(bits)
        bar, asset = np.divmod(flat, self.shape[1])
        numbers = np.full((flat.size, ORDER_FLOATS), np.nan)
        for column, value in (
            (STOP, self.exits.stop), (TARGET, self.exits.target), (TRAIL, self.exits.trail),
        ):  # fmt: skip
            if value is not None:
                numbers[:, column] = value
        if self.quantity is not None:
            numbers[:, QUANTITY] = self.quantity.ravel()[flat]
        names = np.empty((flat.size, ORDER_INTEGERS), dtype=np.int64)
        names[:, ORDER_BAR], names[:, ORDER_ASSET], names[:, ORDER_SIGNAL] = bar, asset, bits.ravel()[flat]
        names[:, ORDER_TIME], names[:, ORDER_FLAGS] = self.exits.time_bars or 0, self.exits.flags
        return Orders(numbers, names)


@dataclass(frozen=True, eq=False)
class Weights:
    """Target weights at rebalances.

    Attributes
    ----------
    bars
        Shape (r,), the bars whose close decided them, ascending.
    weights
        Shape (r, assets), signed fractions of equity; NaN leaves a position as it is, zero closes it.
    """

    bars: Integers
    weights: Floats

    def __post_init__(self) -> None:
        bars = np.require(np.asarray(self.bars), np.int64, ["C", "W"])
        weights = np.require(np.asarray(self.weights, dtype=np.float64), np.float64, ["C", "W"])
        if weights.ndim != 2 or bars.shape != weights.shape[:1]:
            raise BacktestInvalid(f"{bars.shape} bars and weights of shape {weights.shape}", where="Weights")
        if np.any(np.diff(bars) <= 0):
            raise BacktestInvalid("bars of the rebalances do not ascend", where="Weights.bars")
        if np.isinf(weights).any():
            raise BacktestInvalid("a weight is infinite", where="Weights.weights")
        object.__setattr__(self, "bars", bars)
        object.__setattr__(self, "weights", weights)


@dataclass(frozen=True, eq=False)
class Orders:
    """Single orders, in the layout the kernel reads; :meth:`build` makes them from columns.

    Attributes
    ----------
    numbers
        Shape (m, 6): quantity, stop, target and trail as fractions, stop and target as prices; NaN for none.
    places
        Shape (m, 5): bar, asset, signal bits (0: trade a signed quantity), bars to hold (0: no limit), flags.
    """

    numbers: Floats
    places: Integers

    @classmethod
    def build(
        cls,
        bar: npt.ArrayLike,
        asset: npt.ArrayLike,
        action: npt.ArrayLike,
        *,
        quantity: npt.ArrayLike | None = None,
        stop: npt.ArrayLike | None = None,
        target: npt.ArrayLike | None = None,
        trail: npt.ArrayLike | None = None,
        stop_price: npt.ArrayLike | None = None,
        target_price: npt.ArrayLike | None = None,
        time_bars: npt.ArrayLike | None = None,
        trigger_at_close: npt.ArrayLike = False,
        time_at_close: npt.ArrayLike = False,
        drop_passed_target: npt.ArrayLike = False,
    ) -> Orders:
        """Make orders from columns of m values; a single value holds for all.

        Parameters
        ----------
        bar
            Bar whose close made the decision.
        asset
            Column of the asset in the bars.
        action
            Words of ``ACTIONS``: ``trade`` buys or sells a signed quantity, the others are signals.
        quantity
            Units, NaN for the sizing rule; signed and needed for ``trade``.
        stop, target, trail
            Fractions, as in :class:`ExitRule`.
        stop_price, target_price
            Prices. An order whose stop is not behind its fill price is void; so is one whose target is not ahead of it,
            unless ``drop_passed_target``.
        time_bars, trigger_at_close, time_at_close
            As in :class:`ExitRule`; 0 for no limit.
        """
        words = np.atleast_1d(np.asarray(action))
        unknown = sorted(set(words.tolist()) - set(ACTIONS))
        if unknown:
            raise BacktestInvalid(
                f"there is no action {unknown[0]!r}", where="action", action=f"one of {', '.join(ACTIONS)}"
            )
        m = max(words.size, np.atleast_1d(np.asarray(bar)).size, np.atleast_1d(np.asarray(asset)).size)
        numbers = np.full((m, ORDER_FLOATS), np.nan)
        for column, given in (
            (QUANTITY, quantity), (STOP, stop), (TARGET, target), (TRAIL, trail), (STOP_PRICE, stop_price),
            (TARGET_PRICE, target_price),
        ):  # fmt: skip
            if given is not None:
                numbers[:, column] = np.asarray(given, dtype=np.float64)
        places = np.zeros((m, ORDER_INTEGERS), dtype=np.int64)
        places[:, ORDER_BAR], places[:, ORDER_ASSET] = np.asarray(bar), np.asarray(asset)
        places[:, ORDER_SIGNAL] = _BITS[[ACTIONS.index(word) for word in words.tolist()]]
        places[:, ORDER_TIME] = 0 if time_bars is None else np.asarray(time_bars)
        for bit, raised in (
            (TRIGGER_AT_CLOSE, trigger_at_close), (TIME_AT_CLOSE, time_at_close),
            (DROP_PASSED_TARGET, drop_passed_target),
        ):  # fmt: skip
            places[:, ORDER_FLAGS] |= np.where(np.asarray(raised), bit, 0)
        order = np.lexsort((np.arange(m), places[:, ORDER_ASSET], places[:, ORDER_BAR]))
        return cls(numbers[order], places[order])

    def __post_init__(self) -> None:
        numbers = np.require(self.numbers, np.float64, ["C", "W"])
        places = np.require(self.places, np.int64, ["C", "W"])
        m = places.shape[0]
        if numbers.shape != (m, ORDER_FLOATS) or places.shape != (m, ORDER_INTEGERS):
            raise BacktestInvalid(f"orders have shapes {numbers.shape} and {places.shape}", where="Orders")
        object.__setattr__(self, "numbers", numbers)
        object.__setattr__(self, "places", places)
        bad = (places[:, ORDER_SIGNAL] == 0) & ~(np.isfinite(numbers[:, QUANTITY]) & (numbers[:, QUANTITY] != 0.0))
        _refuse_orders(self, bad, "a trade states no quantity")
        signal = places[:, ORDER_SIGNAL] != 0
        _refuse_orders(self, signal & ~(np.isnan(numbers[:, QUANTITY]) | (numbers[:, QUANTITY] > 0.0)),
                       "the quantity of a signal is not positive")  # fmt: skip
        levels = numbers[:, STOP:]
        _refuse_orders(self, np.any(~np.isnan(levels) & ~((levels > 0.0) & np.isfinite(levels)), axis=1),
                       "a level is not positive")  # fmt: skip
        _refuse_orders(self, places[:, ORDER_TIME] < 0, "time_bars is negative")
        key = places[:, ORDER_BAR] * (1 + places[:, ORDER_ASSET].max(initial=0)) + places[:, ORDER_ASSET]
        _refuse_orders(self, np.concatenate([[False], np.diff(key) < 0])[:m], "orders are not sorted by bar and asset")


Decisions = Signals | Weights | Orders


def _refuse_orders(orders: Orders, wrong: Bools, what: str) -> None:
    rows = np.flatnonzero(wrong)
    if rows.size:
        shown = [
            {
                "order": int(row),
                "bar": int(orders.places[row, ORDER_BAR]),
                "asset": int(orders.places[row, ORDER_ASSET]),
                "quantity": float(orders.numbers[row, QUANTITY]),
            }
            for row in rows[:5]
        ]
        raise BacktestInvalid(what, where="Orders", how_many=f"{rows.size} of {len(wrong)} orders", rows=shown)
