"""Tables of the parity lab: decisions, what each framework made of them, and how it compares with the engine."""

from __future__ import annotations

import dataframely as dy

OUTCOMES = ("agrees", "differs", "refused", "failed", "not_installed")


def _case() -> dy.String:
    return dy.String(primary_key=True, description="Name of the parity case, a partition key.")


def _framework() -> dy.String:
    return dy.String(primary_key=True, description="Framework, a partition key; quant_platform is the engine here.")


def _number(text: str) -> dy.Float64:
    return dy.Float64(nullable=True, description=text)


class ParityDecisions(dy.Schema):
    """Decisions of a parity case, made once and outside of every framework."""

    case = _case()
    bar = dy.Int64(primary_key=True, min=0, description="Bar whose close made the decision, counted from 0.")
    asset = dy.String(primary_key=True, description="Name of the asset.")
    action = dy.String(primary_key=True, description="Entry or exit of a side, or trade for a signed quantity.")
    quantity = _number("Units; signed for a trade, null for an exit.")
    stop = _number("Stop as a fraction of the entry price.")
    target = _number("Target as a fraction of the entry price.")
    trail = _number("Trailing stop as a fraction of the best price since the entry.")
    time_bars = dy.Int64(nullable=True, min=1, description="Bars to hold, the entry bar the first.")
    content_hash = dy.String(description="SHA-256 of all decisions of the case.")


class ParityExecutions(dy.Schema):
    """Trades that a framework made of the decisions of a case, from flat to flat."""

    case = _case()
    framework = _framework()
    trade = dy.Int64(primary_key=True, min=0, description="Number of the trade, in the order of their ends.")
    asset = dy.String(description="Name of the asset.")
    side = dy.String(description="long or short.")
    entry_bar = dy.Int64(min=0, description="Bar of the first fill.")
    exit_bar = dy.Int64(nullable=True, min=0, description="Bar of the last fill; null while open.")
    quantity = dy.Float64(min_exclusive=0.0, description="Units bought, or sold short.")
    entry_price = dy.Float64(description="Mean price of the fills that opened it.")
    exit_price = _number("Mean price of the fills that closed it; null where there is none.")
    commission = dy.Float64(description="Money.")
    pnl = dy.Float64(description="Money after commission; of an open trade at its last close.")


class ParityDiff(dy.Schema):
    """One row per case and framework: how its trades compare with those of the engine."""

    case = _case()
    framework = _framework()
    outcome = dy.String(check=lambda column: column.is_in(OUTCOMES), description=f"One of {', '.join(OUTCOMES)}.")
    explained = dy.Bool(description="Whether the outcome is what the marks say; a framework that is not installed is.")
    trades = dy.Int64(nullable=True, min=0, description="Trades that the framework made; null where it made none.")
    differing_trades = dy.Int64(nullable=True, min=0, description="Trades that are not equal to the engine's.")
    largest_relative_error = _number("Of the trades that are equal.")
    equity_error = _number("Largest relative error of equity over the bars.")
    first_divergent_bar = dy.Int64(nullable=True, min=0, description="Where equity leaves the tolerance.")
    cause = dy.String(description="What the fills say about that bar.")
    final_value = _number("Equity at the last close.")
    by_adapter = dy.String(description="Rules that stand in the adapter and not in the framework, separated by ;.")
    mark = dy.String(nullable=True, description="notimpl, notyet or never, where a difference is known.")
    reason = dy.String(description="Of the mark, or why there is no result.")
    version = dy.String(description="Of the framework; empty for the engine and where there is no result.")
    decisions_hash = dy.String(description="Content hash of the decisions.")
