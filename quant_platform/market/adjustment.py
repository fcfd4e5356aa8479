"""Back-adjustment of prices for splits and cash dividends from the actions themselves.

The factor of a session is the product over all later ex-dates of

- split of ``v`` new shares per old: ``1 / v``,
- cash dividend ``D`` with the close before the ex-date ``P``: ``1 - D / P``.

Adjusted price = unadjusted price x factor, so the last session has factor 1 and the return over an ex-date is the
total return ``P_ex x v / (P - D)`` of a holder who reinvests at the ex-date's prices.

References
----------
CRSP, "Data Descriptions Guide: Stock Databases", section "Adjusted data" (factor to adjust price); Bodie, Kane, Marcus,
"Investments", chapter 5 (total return over an ex-date).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_platform.contracts.errors import SchemaViolation

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Days = NDArray[np.datetime64]


@dataclass(frozen=True)
class Adjustment:
    """Factors per session, shape (n,).

    ``total`` turns a delivered price into an adjusted one; ``to_unadjusted`` turns a delivered price into the price of
    the day; ``shares`` turns a delivered volume into today's shares.
    """

    total: Floats
    to_unadjusted: Floats
    shares: Floats


def adjustment_factors(sessions: Days, close: Floats, actions: pl.DataFrame, delivered: str) -> Adjustment:
    """Factors that adjust delivered prices backwards from the last session.

    Parameters
    ----------
    sessions
        Sorted sessions, ``datetime64[D]``, shape (n,).
    close
        Delivered close per session in the listing currency, NaN where missing, shape (n,).
    actions
        ``raw.corporate_actions`` of one ticker, or what `stated_facts.judge_actions` made of them: with a column
        ``in_prices`` that says of each row whether the delivered prices hold it already. Ex-dates on or before the
        first, or after the last session do not count towards ``total``; a dividend is cash per share as held before the
        ex-date.
    delivered
        What the vendor has adjusted already: ``none``, ``split`` or ``split_dividend``.

    Raises
    ------
    SchemaViolation
        When a split is not positive, or a dividend is negative or not below the close before its ex-date.

    Notes
    -----
    **Timing.** Multiplicative: an action after session t scales the whole history before it by one number, so ratios
    of adjusted prices at or before t, and everything computed from such ratios, do not change when it happens.

    **Missing values.** A dividend takes the last close that exists before its ex-date; it has no effect where there is
    none.
    """
    n = len(sessions)
    ones = np.ones(n)
    if n == 0 or actions.height == 0:
        return Adjustment(ones, ones, ones)
    stated = _Stated.of(actions, delivered)
    stated.require_positive(stated.splits)
    dates, values = stated.ordered(stated.splits & ~stated.in_prices)
    in_range = dates <= sessions[-1]
    to_come = _product_after(sessions, dates[in_range], 1.0 / values[in_range])
    if delivered == "split_dividend":
        return Adjustment(to_come, ones, 1.0 / to_come)
    # What a price of each session must be multiplied by to speak in shares of before every split the vendor knew of.
    known_dates, known_values = stated.ordered(stated.splits & stated.in_prices)
    to_unadjusted = 1.0 / _product_after(sessions, known_dates, 1.0 / known_values)
    by_dividends = _dividend_factor(sessions, close * to_unadjusted, *stated.ordered(stated.dividends))
    return Adjustment(by_dividends * to_come, to_unadjusted, 1.0 / to_come)


def split_factor(sessions: Days, actions: pl.DataFrame, delivered: str) -> Floats:
    """The part of the factor that needs no price, shape (n,): for rules that compare neighbouring raw closes."""
    if actions.height == 0:
        return np.ones(len(sessions))
    stated = _Stated.of(actions, delivered)
    to_come = stated.splits & ~stated.in_prices
    stated.require_positive(to_come)
    dates, values = stated.ordered(to_come)
    return _product_after(sessions, dates, 1.0 / values)


@dataclass(frozen=True)
class _Stated:
    """Actions as one array per column, shape (k,), in the order of their frame.

    A ticker has a dozen of them: to filter and to sort frames of a dozen rows costs more than all that is multiplied.
    """

    actions: pl.DataFrame
    dates: Days
    values: Floats
    splits: Flags
    dividends: Flags
    in_prices: Flags

    @classmethod
    def of(cls, actions: pl.DataFrame, delivered: str) -> _Stated:
        """The columns of a frame; where nobody judged ``in_prices``, what the source says of its prices decides."""
        kinds = actions["kind"].to_list()
        splits = np.array([kind == "split" for kind in kinds], dtype=np.bool_)
        if "in_prices" in actions.columns:
            in_prices = actions["in_prices"].to_numpy()
        elif delivered == "split_dividend":
            in_prices = np.ones(len(kinds), dtype=np.bool_)
        else:
            in_prices = splits & (delivered == "split")
        return cls(
            actions,
            actions["ex_date"].to_numpy().astype("datetime64[D]"),
            actions["value"].to_numpy().astype(np.float64),
            splits,
            np.array([kind == "cash_dividend" for kind in kinds], dtype=np.bool_),
            in_prices,
        )

    def ordered(self, wanted: Flags) -> tuple[Days, Floats]:
        """Ex-dates and values of some actions, by ex-date."""
        dates, values = self.dates[wanted], self.values[wanted]
        order = np.argsort(dates, kind="stable")
        return dates[order], values[order]

    def require_positive(self, wanted: Flags) -> None:
        """Refuse splits of zero or fewer new shares per old."""
        wrong = wanted & (self.values <= 0)
        if wrong.any():
            raise SchemaViolation(
                "a split ratio was not positive",
                where="raw.corporate_actions, column value",
                how_many=f"{wrong.sum()} of {wanted.sum()} rows",
                rows=self.actions.filter(pl.Series(wrong)).select("ticker", "ex_date", "value"),
            )


def _dividend_factor(sessions: Days, unadjusted_close: Floats, dates: Days, cash: Floats) -> Floats:
    if len(dates) == 0:
        return np.ones(len(sessions))
    position = np.searchsorted(sessions, dates)
    valid = np.flatnonzero(np.isfinite(unadjusted_close))
    before = np.searchsorted(valid, position) - 1
    counts = (position < len(sessions)) & (before >= 0)
    dates, cash, before = dates[counts], cash[counts], before[counts]
    previous = unadjusted_close[valid[before]] if len(before) else np.empty(0)
    wrong = (cash < 0) | (cash >= previous)
    if wrong.any():
        raise SchemaViolation(
            "a cash dividend was negative or not below the close before its ex-date",
            where="raw.corporate_actions, column value",
            how_many=f"{int(wrong.sum())} of {len(cash)} dividends",
            rows=[
                {"ex_date": str(d), "value": float(c), "previous_close": float(p)}
                for d, c, p in zip(dates[wrong], cash[wrong], previous[wrong], strict=True)
            ],
            cause="another currency or share count than the bars, or a wrong adjustment in the source spec",
            action="correct the actions of this ticker, or the source spec's adjustment",
        )
    return _product_after(sessions, dates, 1.0 - cash / previous)


def _product_after(sessions: Days, dates: Days, values: Floats) -> Floats:
    """Product of the values whose date lies after each session."""
    suffix = np.append(np.cumprod(values[::-1])[::-1], 1.0)
    later: Floats = suffix[np.searchsorted(dates, sessions, side="right")]
    return later
