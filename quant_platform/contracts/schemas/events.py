"""Tables of the event lab up to the events: features, context, states, flags, and one row per accepted onset.

Null says that something is not available (its input is absent, or history is shorter than its memory); NaN says that a
value should be there and is missing.
"""

from __future__ import annotations

import dataframely as dy

from quant_platform.contracts.schemas.perp import _month, _number, _stamp, _symbol

MISSING_TEXT = "NaN while missing, null when not available."


def _bar() -> dy.Datetime:
    return _stamp("Open time of the bar; the row is known at bar + 5 minutes.", primary_key=True)


def _label(text: str) -> dy.String:
    return dy.String(nullable=True, description=f"{text} Null while not known.")


class FeaturesMarket5m(dy.Schema):
    """Key columns of ``features.market_5m``; the feature columns come from ``specs/features/market_5m*.yaml``."""

    symbol = _symbol()
    month = _month()
    bar = _bar()


class FeaturesContext5m(dy.Schema):
    """What surrounds a symbol on a bar: the other symbols, clocks, calendars and fees."""

    symbol = _symbol()
    month = _month()
    bar = _bar()
    bench_ret = _number("Mean log return of the bar over all other symbols of the universe at that time.")
    partner_ret12 = _number("Log return of the pair partner over 12 bars.")
    xs_funding_med_bps = _number("Median over the universe of the last settled funding, bps per 8 hours.")
    session_open_close = dy.Bool(description="The bar closes when a cash session opens.")
    session_close_close = dy.Bool(description="The bar closes when a cash session closes.")
    funding_time_close = dy.Bool(description="The bar closes at a funding time of the symbol.")
    news_release = dy.Bool(description="The bar opens at a scheduled release that was public in advance.")
    fee_taker_bps = _number("Taker fee of one side from the schedule, bps.")


class FeaturesStates5m(dy.Schema):
    """The nine states at the close of each bar, as ``specs/states.yaml`` defines them."""

    symbol = _symbol()
    month = _month()
    bar = _bar()
    vol_regime = _label("Rank of volatility within its month.")
    carry_state = _label("What a long pays to hold.")
    funding_bucket = _label("Whether funding is extreme.")
    liquidity_state = _label("Depth and volume against the clock time.")
    spread_state = _label("Quoted spread against its week.")
    oi_state = _label("Change of open interest against its week.")
    trend_state = _label("Direction of the last 8 hours.")
    session = _label("Cash markets at work when the bar closes.")
    event_window = _label("Whether a shock was accepted a short while ago.")


class EventsEventFlags(dy.Schema):
    """Per event ``<EVENT>`` (1 accepted, 0 not, null not available), ``<EVENT>__direction`` and ``__intensity``."""

    symbol = _symbol()
    month = _month()
    bar = _bar()


class EventsEvents(dy.Schema):
    """One row per accepted onset of an event up to the cutoff; later tables read this and detect nothing themselves."""

    event_id = dy.String(primary_key=True, description="Event of specs/events, partition key.")
    cutoff = dy.String(
        primary_key=True,
        regex=r"^\d{4}-(0[1-9]|1[0-2])$",
        description="Last month whose bars were used, YYYY-MM, partition key.",
    )
    symbol = dy.String(primary_key=True, description="Instrument as the venue writes it.")
    bar = _stamp("Open time of the bar that completed the pattern.", primary_key=True)
    event_ts = _stamp("Close of that bar: from then on the event is known.")
    entry_bar = _stamp("Open time of the first bar at whose open one may enter.")
    direction = dy.Int8(min=-1, max=1, description="1 up, -1 down, 0 none.")
    intensity = dy.Float64(description="Strength, higher is stronger; the unit is the event's own.")
    family = dy.String(description="Family of the event.")
    vol_regime = _label("State at the close of the bar.")
    carry_state = _label("State at the close of the bar.")
    funding_bucket = _label("State at the close of the bar.")
    liquidity_state = _label("State at the close of the bar.")
    spread_state = _label("State at the close of the bar.")
    oi_state = _label("State at the close of the bar.")
    trend_state = _label("State at the close of the bar.")
    session = _label("State at the close of the bar.")
    event_window = _label("State at the close of the bar.")


STATE_COLUMNS = tuple(name for name in FeaturesStates5m.column_names() if name not in ("symbol", "month", "bar"))
"""The states in their order, as both tables carry them."""
