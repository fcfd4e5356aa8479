"""How names do, and when their trades speak for another sleeve.

A move needs the same evidence for several weeks in a row, an interval of the mean that excludes zero, figures beyond a
band in which nothing moves, and a name that has stood where it is for a while. Without trades nothing moves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from quant_platform.engine.layout import Floats
from quant_platform.labs.operations.evidence import Figures, Ordinals, TradeLog, figures
from quant_platform.labs.operations.frames import rows_frame
from quant_platform.labs.operations.routing import ROUNDING, above_floors, with_expectation
from quant_platform.specification.home import AssetClass
from quant_platform.specification.operations import (
    SLEEVE_ORDER,
    EvidenceSpec,
    PromotionSpec,
    RoutingSpec,
    SleevesSpec,
)

YEAR_DAYS = 365.0
_TRADED = ("target", "stop", "timeout", "delisted")


@dataclass(frozen=True, eq=False)
class NameTrades:
    """Closed trades of one name, and what each was of the account, a fraction."""

    log: TradeLog
    share: Floats

    def known_by(self, since: int, until: int) -> NameTrades:
        """Those signalled from one day on and known by another."""
        inside = (self.log.signal >= since) & (self.log.known <= until)
        return NameTrades(self.log.only(inside), self.share[inside])


def day_number(day: date) -> int:
    """Days since 1970."""
    return int(np.datetime64(day, "D").astype(np.int64))


def executed(trades: pl.DataFrame) -> dict[str, NameTrades]:
    """Paper trades by name; those without a stop have no R and are left out."""
    rows = trades.drop_nulls("r").sort("ticker", "date_sig", "order_id")
    return _by_name(rows, "day", rows["pnl_share"])


def replayed(
    candidates: pl.DataFrame, routing: RoutingSpec, classes: Mapping[str, AssetClass]
) -> dict[str, NameTrades]:
    """Candidates that routing would have passed and whose outcome is known, by name, at the risk of the account."""
    known = candidates.filter(
        pl.col("outcome").cast(pl.String).is_in(_TRADED), pl.col("ticker").is_in(list(classes))
    ).sort("ticker", "date_sig", "direction")
    found = with_expectation(known, routing.setups.expected_r).rename({"realised_r": "r"})
    kept = []
    for (ticker,), mine in found.group_by("ticker", maintain_order=True):
        floors = routing.thresholds(str(ticker), classes[str(ticker)])
        if floors is not None:
            kept.append(mine.filter(pl.Series(above_floors(mine, floors))))
    rows = pl.concat(kept) if kept else found.clear()
    return _by_name(rows, "resolved_at", rows["r"] * routing.account.risk_per_trade)


def _by_name(rows: pl.DataFrame, known: str, share: pl.Series) -> dict[str, NameTrades]:
    marked = rows.with_columns(share.alias("share_of_account"))
    return {
        str(ticker): NameTrades(
            TradeLog(_days(mine["date_sig"]), _days(mine[known]), mine["r"].to_numpy()),
            mine["share_of_account"].to_numpy(),
        )
        for (ticker,), mine in marked.group_by("ticker", maintain_order=True)
    }


def _days(column: pl.Series) -> Ordinals:
    found: Ordinals = column.to_numpy().astype("datetime64[D]").astype(np.int64)
    return found


def sleeve_summary(
    week: date,
    until: date,
    evidence: Mapping[str, Mapping[str, NameTrades]],
    classes: Mapping[str, AssetClass],
    spec: EvidenceSpec,
    sleeves: SleevesSpec,
) -> pl.DataFrame:
    """Figures of every name within the lookback that ends with a session.

    Parameters
    ----------
    week, until
        Monday of the week and its last session.
    evidence
        By ``executed`` and ``replayed`` the trades of each name.
    classes
        Asset class by name.
    spec, sleeves
        Lookback; where names stand and the level of the intervals.
    """
    end = day_number(until)
    since = end - spec.lookback_days + 1
    rows = []
    for kind, names in evidence.items():
        for ticker in sorted(classes):
            mine = names.get(ticker, _NOTHING).known_by(since, end)
            seen = figures(mine.log, sleeves.promotions.level)
            curve = np.concatenate([[0.0], np.cumsum(mine.share[np.argsort(mine.log.known, kind="stable")])])
            rows.append(
                {
                    "week": week,
                    "ticker": ticker,
                    "evidence": kind,
                    "sleeve": sleeves.sleeve_of(ticker),
                    "asset_class": classes[ticker],
                    "n": seen.n,
                    "profit_factor": seen.profit_factor,
                    "win_rate": seen.win_rate,
                    "win_rate_low": seen.win_low,
                    "win_rate_high": seen.win_high,
                    "annual_pnl": float(mine.share.sum()) * YEAR_DAYS / spec.lookback_days if seen.n else None,
                    "mean_r": seen.mean_r,
                    "mean_r_low": seen.mean_low,
                    "mean_r_high": seen.mean_high,
                    "max_drawdown": float((np.maximum.accumulate(curve) - curve).max()),
                }
            )
    return rows_frame("ops.sleeve_summary", rows)


_NONE = np.empty(0, dtype=np.int64)
_NOTHING = NameTrades(TradeLog(_NONE, _NONE, np.empty(0)), np.empty(0))


def says(seen: Figures, rules: PromotionSpec) -> str:
    """Whether figures speak for a move ``up`` or ``down``, or to ``stay``."""
    if seen.n < rules.minimum_trades:
        return "stay"
    factor = math.inf if math.isnan(seen.profit_factor) and seen.total_r > 0.0 else seen.profit_factor
    if (
        factor >= rules.up_profit_factor * (1.0 - ROUNDING)
        and seen.win_rate >= rules.up_win_rate
        and seen.mean_low > 0.0
    ):
        return "up"
    return "down" if factor < rules.down_profit_factor and seen.mean_high < 0.0 else "stay"


def streak(trades: NameTrades, until: date, rules: PromotionSpec, lookback_days: int) -> tuple[str, int, Figures]:
    """What a name's trades say at the end of a week, for how many weeks in a row, and this week's figures.

    Each earlier week is judged with what was known at its end; no more weeks are counted than a move needs.
    """
    first = _seen(trades, until, rules, lookback_days)
    verdict, count = says(first, rules), 1
    while verdict != "stay" and count < rules.confirm_weeks:
        before = _seen(trades, until - timedelta(weeks=count), rules, lookback_days)
        if says(before, rules) != verdict:
            break
        count += 1
    return verdict, count if verdict != "stay" else 0, first


def _seen(trades: NameTrades, until: date, rules: PromotionSpec, lookback_days: int) -> Figures:
    end = day_number(until)
    return figures(trades.known_by(end - lookback_days + 1, end).log, rules.level)


def sleeve_promotions(
    week: date,
    until: date,
    trades: Mapping[str, NameTrades],
    tickers: Sequence[str],
    spec: EvidenceSpec,
    sleeves: SleevesSpec,
) -> pl.DataFrame:
    """Which names should move, and why the others should not.

    Parameters
    ----------
    week, until
        Monday of the week and its last session.
    trades
        The evidence by name.
    tickers
        Every name.
    spec, sleeves
        Lookback; where names stand and the rules of moves.
    """
    rules, rows = sleeves.promotions, []
    for ticker in sorted(tickers):
        verdict, count, seen = streak(trades.get(ticker, _NOTHING), until, rules, spec.lookback_days)
        member = sleeves.members.get(ticker)
        sleeve = sleeves.sleeve_of(ticker)
        held = None if member is None else max(0, (until - member.since).days // 7)
        goal, reason = _goal(verdict, count, seen, sleeve, held, rules)
        rows.append(
            {
                "week": week,
                "ticker": ticker,
                "sleeve": sleeve,
                "says": verdict,
                "streak": count,
                "held_weeks": held,
                "proposed": goal,
                "reason": reason,
                "n": seen.n,
                "mean_r": seen.mean_r,
                "mean_r_low": seen.mean_low,
                "mean_r_high": seen.mean_high,
            }
        )
    return rows_frame("ops.sleeve_promotions", rows)


def _goal(
    verdict: str, count: int, seen: Figures, sleeve: str, held: int | None, rules: PromotionSpec
) -> tuple[str | None, str]:
    if seen.n < rules.minimum_trades:
        return None, f"{seen.n} closed trades, {rules.minimum_trades} are needed"
    if verdict == "stay":
        return None, "the figures lie within the band, or their interval holds zero"
    if count < rules.confirm_weeks:
        return None, f"{count} of {rules.confirm_weeks} weeks in a row say {verdict}"
    if held is not None and held < rules.hold_weeks:
        return None, f"it was put there {held} weeks ago, and stays for {rules.hold_weeks}"
    place = SLEEVE_ORDER.index(sleeve) + (1 if verdict == "up" else -1)
    if not 0 <= place < len(SLEEVE_ORDER):
        return None, f"there is no sleeve further {verdict}"
    return SLEEVE_ORDER[place], f"{count} weeks in a row say {verdict}"
