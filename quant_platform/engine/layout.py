"""Where each number stands in the arrays that the kernels of this room share.

A kernel holds one row per asset of two arrays (floats and integers) while it runs, a queue of orders that wait for
their fill, and the tables it writes. Quantities are counted in **lots**, which are whole numbers wherever an asset has
a lot, so that they add up exactly; ``units = lots * lot_numerator / lot_denominator``.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]


def _codes(first: int, end: int) -> list[int]:
    """Numbers that kernels hand to each other: as plain integers each would be compiled for by itself."""
    return [cast(int, np.int64(code)) for code in range(first, end)]


NO, YES = _codes(0, 2)
NONE, ZERO = _codes(-1, 1)
NO_REASON = ZERO

# Bits of a signal.
LONG_ENTRY, LONG_EXIT, SHORT_ENTRY, SHORT_EXIT = 1, 2, 4, 8

# Columns of the orders a kernel is given, floats and integers.
QUANTITY, STOP, TARGET, TRAIL, STOP_PRICE, TARGET_PRICE = 0, 1, 2, 3, 4, 5
ORDER_FLOATS = 6
ORDER_BAR, ORDER_ASSET, ORDER_SIGNAL, ORDER_TIME, ORDER_FLAGS = 0, 1, 2, 3, 4
ORDER_INTEGERS = 5

# Flags of an order.
TRIGGER_AT_CLOSE, TIME_AT_CLOSE, DROP_PASSED_TARGET = 1, 2, 4
REDUCE_ONLY = 8  # set by the engine: what was decided as a reduction opens nothing

# Why a fill happened.
(
    ENTRY, ADDITION, REDUCTION, EXIT, REVERSAL, REASON_STOP, REASON_TARGET, REASON_TIME, REASON_DELISTED, REASON_RUIN,
) = _codes(1, 11)  # fmt: skip
REASONS = (
    "none", "entry", "addition", "reduction", "exit", "reversal", "stop", "target", "time", "delisted", "ruin",
)  # fmt: skip

# Corporate and market events, in the order in which one bar applies them.
DELISTING, SPLIT, DIVIDEND, FUNDING = 0, 1, 2, 3

# Sizing rules.
UNITS, CASH_AMOUNT, CASH_FRACTION, EQUITY_FRACTION, RISK_FRACTION = 0, 1, 2, 3, 4

# State of an asset, floats; what every bar looks at comes first, so that it lies together.
(
    POSITION, MARK, WORST, BEST, EXTREME, STOP_LEVEL, TARGET_LEVEL, TRAIL_DISTANCE, AVERAGE, ENTRY_MONEY, ENTRY_UNITS,
    EXIT_MONEY, EXIT_UNITS, FLOW, COMMISSION, SPREAD, IMPACT, FUNDING_PAID, BORROW, DIVIDENDS, STOP_DISTANCE,
    TARGET_DISTANCE, STOP_FIXED, TARGET_FIXED, FEE_RAW, FEE_CHARGED, USED_VOLUME, ALLOTTED,
) = range(28)  # fmt: skip
STATE_FLOATS = 28
# State of an asset, integers. STIRRED is the last bar on which more could happen to it than being marked. Row k of
# LIST holds the k-th asset that is held, row k of BUSY the k-th of those that are stirred on this bar.
ENTRY_BAR, LEAVING, TIME_BARS, FLAGS, LISTED, WAITING, VOLUME_BAR, STIRRED, LIST, BUSY = range(10)
STATE_INTEGERS = 10

# Columns of a waiting order, floats: those of an order, then these.
WAIT_LOTS, WAIT_FEE_RAW, WAIT_FEE_CHARGED = ORDER_FLOATS, ORDER_FLOATS + 1, ORDER_FLOATS + 2
WAIT_FLOATS = ORDER_FLOATS + 3
WAIT_ASSET, WAIT_SIDE, WAIT_KIND, WAIT_TIME, WAIT_FLAGS, WAIT_ORDER, WAIT_DONE = range(7)
WAIT_INTEGERS = 7
FROM_SIGNAL, FROM_TRADE, FROM_WEIGHTS = _codes(0, 3)

COMMISSION_ROUNDS = 60
CRUMB = 1e-12  # an order worth less than this share of equity is none
ROUNDING = 1e-9  # of a count of lots or ticks, so that 0.3 / 0.1 is three

# The account.
CASH, EQUITY, GROSS, INTEREST, TOTAL_COMMISSION, TOTAL_SPREAD, TOTAL_IMPACT, TOTAL_FUNDING, TOTAL_BORROW = range(9)
TOTAL_DIVIDENDS = 9
TOTALS = ("interest", "commission", "spread", "impact", "funding", "borrow", "dividends")  # from INTEREST on
PEAK, DAY_START, BEFORE, ADDED = 10, 11, 12, 13
ACCOUNT_FLOATS = 14

# Sizes of the tables, and after them what was counted.
ACTIVE, QUEUED, FILLS, TRADES, OVERFLOW, RUINED, CLIPS, TRIPS, HALTED, DAY, ADDED_BAR, BUSIED = range(12)
FIRST_COUNT = 12
COUNTS = (
    "ignored",
    "conflicting",
    "short_refused",
    "cut_to_cash",
    "cut_to_exposure",
    "refused",
    "below_minimum",
    "void",
    "cancelled",
    "unfilled_at_end",
    "partly_filled",
    "waited_for_a_halt",
    "unknown_spread",
    "unknown_impact",
    "unknown_volume",
    "unknown_funding",
    "unknown_recovery",
    "within_tolerance",
    "stopped_by_switch",
)
(
    IGNORED, CONFLICTING, SHORT_REFUSED, CUT_TO_CASH, CUT_TO_EXPOSURE, REFUSED, BELOW_MINIMUM, VOID, CANCELLED,
    UNFILLED_AT_END, PARTLY_FILLED, WAITED_FOR_A_HALT, UNKNOWN_SPREAD, UNKNOWN_IMPACT, UNKNOWN_VOLUME, UNKNOWN_FUNDING,
    UNKNOWN_RECOVERY, WITHIN_TOLERANCE, STOPPED_BY_SWITCH,
) = _codes(FIRST_COUNT, FIRST_COUNT + 19)  # fmt: skip
SIZES = FIRST_COUNT + 19

# Tables of the result; whole numbers are held as floats.
(
    FILL_LOTS, FILL_PRICE, FILL_REFERENCE, FILL_COMMISSION, FILL_SPREAD, FILL_IMPACT, FILL_AFTER, FILL_BAR, FILL_ASSET,
    FILL_REASON, FILL_ORDER,
) = range(11)  # fmt: skip
FILL_WIDTH = 11
(
    TRADE_UNITS, TRADE_ENTRY_PRICE, TRADE_EXIT_PRICE, TRADE_PRICE_PNL, TRADE_COMMISSION, TRADE_SPREAD, TRADE_IMPACT,
    TRADE_FUNDING, TRADE_BORROW, TRADE_DIVIDENDS, TRADE_MAE, TRADE_MFE, TRADE_ENTRY_BAR, TRADE_EXIT_BAR, TRADE_ASSET,
    TRADE_SIDE, TRADE_REASON,
) = range(17)  # fmt: skip
TRADE_WIDTH = 17
# What the risk layers took, and which switches tripped.
LAYER_SYMBOL, LAYER_PORTFOLIO, LAYER_NEW = _codes(0, 3)
LAYERS = ("symbol", "portfolio", "new_exposure")
CLIP_BAR, CLIP_ASSET, CLIP_LAYER, CLIP_BEFORE, CLIP_AFTER = range(5)
CLIP_WIDTH = 5
DRAWDOWN_SWITCH, LOSS_SWITCH = 1, 2
SWITCHES = {DRAWDOWN_SWITCH: "drawdown", LOSS_SWITCH: "daily_loss"}
TRIP_BAR, TRIP_SWITCH, TRIP_VALUE, TRIP_BOUND = range(4)
TRIP_WIDTH = 4
CURVE_CASH, CURVE_EQUITY, CURVE_LONG, CURVE_SHORT, CURVE_HELD = range(5)
CURVE_WIDTH = 5

# Layers of the panel of bars, of the panel of costs, and columns of what an asset trades in.
OPEN, HIGH, LOW, CLOSE, VOLUME, HALF_SPREAD = _codes(0, 6)
VOLATILITY, MEAN_VOLUME = range(2)
WHOLE, LOT_NUMERATOR, LOT_DENOMINATOR, TICK, MINIMUM_NOTIONAL = range(5)


class Market(NamedTuple):
    """What happened.

    ``bars`` has shape (6, session, asset); ``costs`` (2, session, asset), or (2, 1, 1) where size costs nothing;
    ``traits`` (asset, 5).
    """

    bars: Floats
    costs: Floats
    traits: Floats


class Events(NamedTuple):
    """What happens before the opens, in order: shape (e,) each.

    ``years`` since the bar before and ``day`` since 1970 (UTC) have shape (session,).
    """

    bar: Integers
    asset: Integers
    kind: Integers
    value: Floats
    years: Floats
    day: Integers


class Book(NamedTuple):
    """Everything a run writes."""

    state: Floats
    places: Integers
    wait: Floats
    wait_places: Integers
    account: Floats
    sizes: Integers
    fills: Floats
    trades: Floats
    clips: Floats
    trips: Floats


class Rules:
    """An :class:`~quant_platform.engine.config.EngineConfig` as one record of numbers."""

    same_close: int
    exits_from_entry_bar: int
    trail_counts_entry_bar: int
    accumulate: int
    allow_short: int
    refuse_when_short_of_cash: int
    size_at_fill: int
    zero_volume_halts: int
    sizing: int
    has_volume: int
    has_spread: int
    slip_targets: int
    has_impact: int
    has_limits: int
    has_switches: int
    amount: float
    leverage: float
    participation: float
    taker_rate: float
    maker_rate: float
    per_unit: float
    per_order: float
    minimum_commission: float
    half_spread: float
    unknown_half_spread: float
    slippage_fixed: float
    volatility_share: float
    impact_coefficient: float
    unknown_impact: float
    borrow_rate: float
    margin_rate: float
    unknown_funding: float
    unknown_recovery: float
    tolerance: float
    cash_buffer: float
    symbol_limit: float
    portfolio_limit: float
    new_exposure_limit: float
    kill_drawdown: float
    kill_daily_loss: float


RULES = np.dtype([(name, np.int64 if kind == "int" else np.float64) for name, kind in Rules.__annotations__.items()])
"""The record as an array holds it."""
