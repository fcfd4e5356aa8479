"""Stated splits, dividends and delistings against the raw prices around them: the prices decide.

1. An action that cannot be is refused: a split that is not positive, a dividend that is negative or not below the close
   before it, a delisting return below -1 or above 1 (`_impossible`), a second delisting of a name (`_the_end`).
2. The move that a split or a dividend should make over its ex-date is compared with the one the closes made
   (`_Prices.move`), in units of the name's usual daily move. A move too small to tell from none is applied as stated.
3. Where the prices do not show it, they are searched for the same move, or the opposite one, on sessions near by
   (`_shown_elsewhere`): a date that is late or early, a ratio upside down. What the prices show is applied.
4. Where they show no move at all, the action is refused: a split is in the prices already, or never happened.
5. Where they show another move, the reading that leaves less of it unexplained is kept, and the row is named.

Every stated row gets a line with its verdict and the closes around it, so nothing is changed in silence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_platform.contracts.empty_frames import column_types, empty_frame
from quant_platform.contracts.schemas.clean import CleanCorporateActions
from quant_platform.market.medians import median
from quant_platform.specification.cleaning import StatedFactsRule

Floats = NDArray[np.float64]
Days = NDArray[np.datetime64]

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)

SPLIT, DIVIDEND, DELISTING = "split", "cash_dividend", "delisting"
# Verdicts after which a stated row is not applied as it was stated, and why a reader should look at it.
CONTRADICTIONS = {
    "impossible": "a value that no such action can have",
    "shown_on_another_session": "the prices make the stated move on another session than the ex-date",
    "inverted": "the prices make the opposite move: the ratio is upside down",
    "in_prices_already": "the prices do not move: they are adjusted for it already, or it never happened",
    "not_in_prices": "the prices move although the source says that they are adjusted for it",
    "no_such_move": "the prices do not move as such a dividend would make them",
    "another_move": "the prices make another move than the stated one",
    "implausibly_small": "a dividend far below any usual yield: perhaps in another currency unit than the prices",
    "bars_go_on": "bars go on after the delisting without a break",
    "bars_end_before": "bars end well before the delisting",
}
# A holder who gets more than twice the last close was told so before, and the close would have moved.
LARGEST_DELISTING_RETURN = 1.0
_ELSEWHERE = 0.25
# So many bars may follow a delisting that is dated early, or precede one that is dated late.
BARS_AROUND_END = 5


@dataclass(frozen=True)
class JudgedActions:
    """What is applied, and what was found.

    Attributes
    ----------
    applied
        Columns of ``raw.corporate_actions`` and ``in_prices``: the rows to adjust with, dates and values as the prices
        show them.
    judged
        ``clean.corporate_actions``: every stated row with its verdict.
    """

    applied: pl.DataFrame
    judged: pl.DataFrame


@dataclass(frozen=True)
class _Around:
    """Closes before, on and after a bar; NaN where there is none."""

    before: float = np.nan
    on: float = np.nan
    after: float = np.nan


@dataclass(frozen=True)
class _Line:
    verdict: str
    applied: bool
    date: np.datetime64
    value: float
    in_prices: bool
    expected: float = np.nan
    closes: _Around = _Around()
    hint: str = ""
    no_session: bool = False


def judge_actions(
    actions: pl.DataFrame, sessions: Days, close: Floats, delivered: str, rule: StatedFactsRule
) -> JudgedActions:
    """Compare every stated action of one ticker with the closes around it.

    Parameters
    ----------
    actions
        ``raw.corporate_actions`` of one ticker; may be empty.
    sessions
        Sessions of the good rows, ascending, ``datetime64[D]``, shape (n,).
    close
        Their closes as delivered, finite and positive, shape (n,).
    delivered
        What the source says prices are adjusted for: ``none``, ``split`` or ``split_dividend``.
    rule
        ``stated_facts`` of ``specs/cleaning/equity.yaml``.

    Notes
    -----
    **Timing.** Repair time: the verdict looks at closes up to ``search_sessions`` after the ex-date. Multiplying a
    whole history by one number changes no ratio of prices before it, so what a replay saw does not change; until the
    move has come, a live run shows the history unadjusted for it.

    **Missing values.** An action without a close on both sides has nothing to be compared with; it is applied as stated
    (``no_prices``), which changes no price.

    What it does not catch: a wrong value that moves prices by less than ``visible_sigmas`` usual daily moves, as most
    dividends do; a split on a day whose own move hides it; an action nobody stated (`audit.unexplained_jumps`).
    """
    if actions.height == 0:
        return JudgedActions(_with_flag(actions, []), empty_frame(CleanCorporateActions))
    prices = _Prices(sessions, np.log(close), rule)
    rows = sorted(actions.to_dicts(), key=lambda row: (row["ex_date"], row["kind"]))
    same = _same_bar(rows, prices)
    lines = _the_end(rows, [_judge(row, rows, same, prices, delivered) for row in rows], prices)
    judged = pl.DataFrame(
        [_described(row, line) for row, line in zip(rows, lines, strict=True)],
        schema=column_types(CleanCorporateActions),
        orient="row",
    )
    schema = {**actions.schema, "in_prices": pl.Boolean()}
    return JudgedActions(pl.DataFrame(_applied(rows, lines), schema=schema, orient="row"), judged)


def as_stated(actions: pl.DataFrame, delivered: str) -> JudgedActions:
    """Every action applied as the source states it, for rules that compare nothing."""
    flags = [delivered == "split_dividend" or (delivered == "split" and kind == SPLIT) for kind in actions["kind"]]
    return JudgedActions(_with_flag(actions, flags), empty_frame(CleanCorporateActions))


def applied_actions(judged: Frame) -> Frame:
    """What is applied of ``clean.corporate_actions``, as prices show it: ``ticker, ex_date, kind, value, known_at``."""
    return judged.filter(pl.col("applied")).select(
        "ticker",
        pl.col("applied_date").alias("ex_date"),
        pl.col("kind").cast(pl.String),
        pl.col("applied_value").alias("value"),
        "known_at",
    )


def _with_flag(actions: pl.DataFrame, flags: list[bool]) -> pl.DataFrame:
    return actions.hstack([pl.Series("in_prices", flags, dtype=pl.Boolean)])


@dataclass(frozen=True)
class _Prices:
    """Log closes by position, and the usual size of their daily moves around one."""

    sessions: Days
    log_close: Floats
    rule: StatedFactsRule

    def position(self, day: np.datetime64) -> int:
        """First bar on or after a day."""
        return int(np.searchsorted(self.sessions, day))

    def move(self, at: int) -> float:
        """Log change into a bar."""
        return float(self.log_close[at] - self.log_close[at - 1])

    def inside(self, at: int) -> bool:
        """Whether a bar has one before it."""
        return 0 < at < len(self.sessions)

    def usual(self, at: int) -> float:
        """Median absolute deviation of the moves around a bar as a standard deviation, the bars near it left out."""
        near = self.rule.search_sessions
        low, high = max(1, at - self.rule.noise_sessions), min(len(self.sessions), at + self.rule.noise_sessions + 1)
        bars = np.arange(low, high)
        bars = bars[np.abs(bars - at) > near]
        if len(bars) < 5:
            return np.nan
        moves = self.log_close[bars] - self.log_close[bars - 1]
        return 1.4826 * median(np.abs(moves - median(moves)))

    def visible(self, at: int) -> float:
        """Smallest move that is told from none there; a short history is taken to move 3 % a day."""
        usual = self.usual(at)
        sigma = 0.03 if np.isnan(usual) else usual
        return max(self.rule.visible_minimum, self.rule.visible_sigmas * sigma)

    def around(self, at: int) -> _Around:
        """Closes before, on and after a bar."""
        inside = [0 <= k < len(self.log_close) for k in (at - 1, at, at + 1)]
        return _Around(
            *(float(np.exp(self.log_close[at + k - 1])) if there else np.nan for k, there in enumerate(inside))
        )


def _same_bar(rows: list[dict[str, Any]], prices: _Prices) -> dict[int, list[dict[str, Any]]]:
    """The actions whose prices move on the same bar, by that bar."""
    found: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(prices.position(np.datetime64(row["ex_date"])), []).append(row)
    return found


def _judge(
    row: dict[str, Any],
    rows: list[dict[str, Any]],
    same_bar: dict[int, list[dict[str, Any]]],
    prices: _Prices,
    delivered: str,
) -> _Line:
    day, value, kind = np.datetime64(row["ex_date"]), float(row["value"]), row["kind"]
    at = prices.position(day)
    line = _Line("no_prices", True, day, value, False, closes=prices.around(at))
    impossible = _impossible(kind, value, line.closes.before)
    if impossible is not None:
        return replace(line, verdict="impossible", applied=False, hint=impossible)
    if kind == DELISTING:
        return _judge_delisting(line, prices)
    in_prices = delivered == "split_dividend" or (delivered == "split" and kind == SPLIT)
    line = replace(line, in_prices=in_prices)
    if not prices.inside(at):
        return line
    stated = _log_factor(kind, value, line.closes.before)
    together = stated + sum(
        _log_factor(other["kind"], float(other["value"]), line.closes.before)
        for other in same_bar[at]
        if other is not row
        and other["kind"] != DELISTING
        and _impossible(other["kind"], float(other["value"]), line.closes.before) is None
    )
    line = replace(line, expected=float(np.exp(together)), no_session=bool(prices.sessions[at] != day))
    if kind == DIVIDEND and together != stated:
        # The split of the same session is what can be seen.
        return replace(line, verdict="too_small_to_see")
    smallest = prices.visible(at)
    visible = min(smallest, 0.4 * abs(together))
    if abs(together) < smallest:
        small = kind == DIVIDEND and value > 0 and value / line.closes.before < prices.rule.smallest_yield
        hint = f"{value * 100:g} would be {value * 100 / line.closes.before:.2%} of the price" if small else ""
        return replace(line, verdict="implausibly_small" if small else "too_small_to_see", hint=hint)
    move = prices.move(at)
    if in_prices:
        if abs(move - together) > visible:
            return replace(line, verdict="confirmed", expected=1.0)
        return replace(line, verdict="not_in_prices", in_prices=kind == DIVIDEND, applied=kind == SPLIT)
    if abs(move - together) <= visible:
        return replace(line, verdict="confirmed")
    return _contradicted(line, kind, together, move, at, visible, rows, prices)


def _contradicted(
    line: _Line,
    kind: str,
    together: float,
    move: float,
    at: int,
    visible: float,
    rows: list[dict[str, Any]],
    prices: _Prices,
) -> _Line:
    """The raw prices do not make the stated move on its ex-date: what they do instead."""
    if kind == SPLIT and abs(move + together) <= visible:
        value = 1.0 / line.value
        return replace(line, verdict="inverted", value=value, hint=f"{value:g} new shares per old would fit")
    taken = {prices.position(np.datetime64(other["ex_date"])) for other in rows} - {at}
    elsewhere = _shown_elsewhere(kind, together, at, taken, prices)
    if elsewhere is not None and abs(move) <= visible:
        place, sign = elsewhere
        shown = str(prices.sessions[place])
        if sign > 0:
            return replace(
                line,
                verdict="shown_on_another_session",
                date=prices.sessions[place],
                hint=f"the move is on {shown}",
                closes=prices.around(place),
            )
        return replace(
            line,
            verdict="inverted",
            date=prices.sessions[place],
            value=1.0 / line.value,
            hint=f"{1.0 / line.value:g} new shares per old on {shown} would fit",
            closes=prices.around(place),
        )
    hint = _unit_hint(kind, line.value, line.closes.before)
    if abs(move) <= visible:
        if kind == SPLIT:
            return replace(line, verdict="in_prices_already", in_prices=True, applied=False)
        return replace(line, verdict="no_such_move", applied=False, hint=hint)
    applied = abs(move - together) < abs(move)
    shown_ratio = f"the prices move by a factor of {np.exp(move):.4g}, stated is {np.exp(together):.4g}"
    return replace(line, verdict="another_move", applied=applied, hint=shown_ratio)


def _shown_elsewhere(kind: str, expected: float, at: int, taken: set[int], prices: _Prices) -> tuple[int, int] | None:
    """The nearest session around a bar that makes the expected move (+1), or for a split the opposite one (-1)."""
    span = prices.rule.search_sessions
    for distance in range(1, span + 1):
        for place in (at + distance, at - distance):
            if place in taken or not prices.inside(place):
                continue
            found = prices.move(place)
            if abs(found - expected) <= _ELSEWHERE * abs(expected):
                return place, 1
            if kind == SPLIT and abs(found + expected) <= _ELSEWHERE * abs(expected):
                return place, -1
    return None


def _the_end(rows: list[dict[str, Any]], lines: list[_Line], prices: _Prices) -> list[_Line]:
    """Refuse all applied delistings of a name but the one nearest to its last bar: a name ends once."""
    ends = [k for k, row in enumerate(rows) if row["kind"] == DELISTING and lines[k].applied]
    if len(ends) < 2 or len(prices.sessions) == 0:
        return lines
    kept = min(ends, key=lambda k: abs((lines[k].date - prices.sessions[-1]).astype(int)))
    hint = f"a name ends once; of {len(ends)} delistings the one of {lines[kept].date}, nearest to the last bar, counts"
    return [
        replace(line, verdict="impossible", applied=False, hint=hint) if k in ends and k != kept else line
        for k, line in enumerate(lines)
    ]


def _applied(rows: list[dict[str, Any]], lines: list[_Line]) -> list[dict[str, Any]]:
    """The actions that count, as prices show them; two that prices show to be one count once."""
    kept: dict[tuple[np.datetime64, str, float], dict[str, Any]] = {}
    for row, line in zip(rows, lines, strict=True):
        if line.applied:
            shown = {**row, "ex_date": line.date.item(), "value": line.value, "in_prices": line.in_prices}
            kept.setdefault((line.date, row["kind"], line.value), shown)
    return list(kept.values())


def _judge_delisting(line: _Line, prices: _Prices) -> _Line:
    """Bars should end at a delisting; a date that is no session means the session before it."""
    n = len(prices.sessions)
    if n == 0:
        return line
    after = n - int(np.searchsorted(prices.sessions, line.date, side="right"))
    place = n - after
    around = prices.around(place - 1)
    if after > BARS_AROUND_END and 0 < place < n:
        gap = (prices.sessions[place] - prices.sessions[place - 1]).astype(int)
        if gap <= 2 * BARS_AROUND_END and abs(prices.move(place)) <= prices.visible(place):
            return replace(line, verdict="bars_go_on", applied=False, closes=around)
    if after == 0 and (line.date - prices.sessions[-1]).astype(int) > 4 * BARS_AROUND_END:
        return replace(line, verdict="bars_end_before", closes=around)
    return replace(line, verdict="confirmed", closes=around)


def _impossible(kind: str, value: float, before: float) -> str | None:
    """Why an action cannot be; None where it can."""
    if not np.isfinite(value):
        return "the value is no number"
    if kind == SPLIT:
        return "new shares per old must be above 0" if value <= 0 else None
    if kind == DIVIDEND:
        if value < 0:
            return "a dividend cannot be negative"
        if value >= before:
            unit = _unit_hint(kind, value, before)
            return f"not below the close before it, {before:g}" + (f"; {unit}" if unit else "")
        return None
    if value < -1:
        percent = f"; {value / 100:g} would fit, in percent?" if value >= -100 else ""
        return f"a return after a delisting cannot be below -1{percent}"
    if value > LARGEST_DELISTING_RETURN:
        return f"nobody pays more than twice the last close; {value / 100:g} would fit, in percent?"
    return None


def _log_factor(kind: str, value: float, before: float) -> float:
    if kind == SPLIT:
        return -float(np.log(value)) if value > 0 else 0.0
    return float(np.log1p(-value / before)) if 0 <= value < before else 0.0


def _unit_hint(kind: str, value: float, before: float) -> str:
    share = value / 100.0 / before
    if kind == DIVIDEND and 0 < share < 0.2:
        return f"{value / 100:g} would be {share:.2%} of the price: another currency unit?"
    return ""


def _described(row: dict[str, Any], line: _Line) -> dict[str, Any]:
    return {
        "ticker": row["ticker"],
        "ex_date": row["ex_date"],
        "kind": row["kind"],
        "value": float(row["value"]),
        "known_at": row["known_at"],
        "verdict": line.verdict,
        "applied": line.applied,
        "applied_date": line.date.item() if line.applied else None,
        "applied_value": line.value if line.applied else None,
        "in_prices": line.in_prices,
        "expected_ratio": _number(line.expected),
        "observed_ratio": _number(line.closes.on / line.closes.before),
        "close_before": _number(line.closes.before),
        "close_on": _number(line.closes.on),
        "close_after": _number(line.closes.after),
        "hint": "; ".join(text for text in ("no bar on the ex-date" if line.no_session else "", line.hint) if text),
        "source": row["source"],
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
