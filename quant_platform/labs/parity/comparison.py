"""Two executions of the same decisions, compared trade by trade and bar by bar.

1. Trades are matched by asset, bar of entry and side; where one key has several, in the order of their exits.
2. A matched pair **differs** when the bars of exit or the quantities differ, or a price, the commission or the PnL by
   more than ``TOLERANCE``, relatively. A trade that only one of them made differs too.
3. Prices are relative to themselves, commission and PnL to the value of the trade at its entry: a PnL near zero has no
   digits of its own.
4. Equity is compared at every close, relative to the starting capital or itself, whichever is larger. The first bar
   that is off is named, with the cause as far as the fills of that bar and before tell it.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from quant_platform.labs.parity.execution import Execution

TOLERANCE = 1e-9
KEY = ("asset", "entry_bar", "side")
_PRICES = ("entry_price", "exit_price")
_MONEY = ("commission", "pnl")


@dataclass(frozen=True, eq=False)
class Comparison:
    """What two frameworks made of the same decisions.

    Attributes
    ----------
    reference, framework
        Their names.
    trades
        All trades of both: ``KEY``, ``state`` (``equal``, ``differs``, ``only_reference``, ``only_framework``), the
        ``fields`` that differ, ``error`` (largest relative one) and every figure of both.
    matched, differing
        Numbers of trades that both made, and of those that are not equal.
    largest_error
        Largest relative error of the trades that are equal.
    equity_error
        Largest relative error of equity over all bars.
    first_divergent_bar, cause
        Where equity leaves the tolerance, None where it never does.
    """

    reference: str
    framework: str
    trades: pl.DataFrame
    matched: int
    differing: int
    largest_error: float
    equity_error: float
    first_divergent_bar: int | None
    cause: str

    @property
    def agrees(self) -> bool:
        """Whether every trade is equal."""
        return self.differing == 0


def compare(reference: Execution, other: Execution, initial_capital: float, tolerance: float = TOLERANCE) -> Comparison:
    """Compare two executions; see the module for the rules."""
    both = _keyed(reference.trades).join(
        _keyed(other.trades), on=[*KEY, "nth"], how="full", coalesce=True, suffix="_other", nulls_equal=True
    )
    value = pl.col("quantity") * pl.col("entry_price")
    errors = {name: _relative(name, pl.col(name).abs()) for name in ("quantity", *_PRICES)}
    errors |= {name: _relative(name, value) for name in _MONEY}
    judged = both.with_columns(**{f"{name}_error": error for name, error in errors.items()})
    off = [pl.when(pl.col(f"{name}_error") > tolerance).then(pl.lit(name)) for name in errors]
    exits = pl.when(pl.col("exit_bar").ne_missing(pl.col("exit_bar_other"))).then(pl.lit("exit_bar"))
    here, there = pl.col("quantity").is_not_null(), pl.col("quantity_other").is_not_null()
    fields = pl.when(here & there).then(pl.concat_list(exits, *off).list.drop_nulls().list.join(", ")).otherwise(
        pl.lit("")
    )  # fmt: skip
    judged = judged.with_columns(
        fields=fields,
        error=pl.when(here & there).then(pl.max_horizontal(f"{name}_error" for name in errors)),
    ).with_columns(
        state=pl.when(~there)
        .then(pl.lit("only_reference"))
        .when(~here)
        .then(pl.lit("only_framework"))
        .when(pl.col("fields") == "")
        .then(pl.lit("equal"))
        .otherwise(pl.lit("differs"))
    )
    figures = ("exit_bar", "quantity", *_PRICES, *_MONEY)
    table = judged.select(
        *KEY, "nth", "state", "fields", "error", *(column for name in figures for column in (name, f"{name}_other"))
    ).sort("entry_bar", "asset", "side", "nth")
    equal = table.filter(pl.col("state") == "equal")
    largest = equal["error"].max() if equal.height else None
    bar, equity_error = _equity(reference, other, initial_capital, tolerance)
    return Comparison(
        reference=reference.framework,
        framework=other.framework,
        trades=table,
        matched=table.filter(pl.col("state").is_in(["equal", "differs"])).height,
        differing=table.height - equal.height,
        largest_error=float(largest) if isinstance(largest, float) else 0.0,
        equity_error=equity_error,
        first_divergent_bar=bar,
        cause="" if bar is None else _cause(reference, other, bar, tolerance),
    )


def _keyed(trades: pl.DataFrame) -> pl.DataFrame:
    """Trades with their number among those of the same key."""
    return trades.sort("exit_bar", nulls_last=True, maintain_order=True).with_columns(
        nth=pl.int_range(pl.len()).over(KEY)
    )


def _relative(name: str, scale: pl.Expr) -> pl.Expr:
    """Error of a figure against a scale; two nulls are equal, what else cannot be compared is infinitely wrong."""
    here, there = pl.col(name), pl.col(f"{name}_other")
    neither = here.is_null() & there.is_null()
    return pl.when(neither).then(0.0).otherwise(((here - there).abs() / scale).fill_null(float("inf")))


def _equity(reference: Execution, other: Execution, capital: float, tolerance: float) -> tuple[int | None, float]:
    both = reference.equity.join(other.equity, on="bar", how="full", coalesce=True, suffix="_other").sort("bar")
    scale = pl.max_horizontal(pl.lit(capital), pl.col("equity").abs())
    error = ((pl.col("equity") - pl.col("equity_other")).abs() / scale).fill_nan(float("inf")).fill_null(float("inf"))
    judged = both.select("bar", error=error)
    off = judged.filter(pl.col("error") > tolerance)
    worst = judged["error"].max()
    return (int(off["bar"][0]) if off.height else None), float(worst) if isinstance(worst, float) else 0.0


def _cause(reference: Execution, other: Execution, bar: int, tolerance: float) -> str:
    """What the fills up to a bar say about the equity that diverges there."""
    mine, theirs = (_positions(execution, bar) for execution in (reference, other))
    # An asset that one of the two has no fill of is held at zero there: nothing is unknown.
    both = mine.join(theirs, on="asset", how="full", coalesce=True, suffix="_other").fill_null(0.0)
    scale = pl.max_horizontal(pl.col("traded"), pl.col("traded_other"), pl.lit(1e-300))
    held = both.filter((pl.col("held") - pl.col("held_other")).abs() > tolerance * scale)
    if held.height:
        row = held.sort("asset").row(0, named=True)
        last = [_last_bar(execution, row["asset"], bar) for execution in (reference, other)]
        return (
            f"{row['asset']} is held as {row['held']:g} against {row['held_other']:g}; last fills at bars "
            f"{last[0]} and {last[1]}"
        )
    money = pl.max_horizontal(pl.col("spent").abs(), pl.col("spent_other").abs(), pl.lit(1e-300))
    paid = both.filter((pl.col("spent") - pl.col("spent_other")).abs() > tolerance * money)
    if paid.height:
        row = paid.sort("asset").row(0, named=True)
        return f"prices of the fills of {row['asset']} differ: {row['spent']:.10g} against {row['spent_other']:.10g}"
    fees = both.filter((pl.col("fees") - pl.col("fees_other")).abs() > tolerance * pl.max_horizontal("fees", money))
    if fees.height:
        row = fees.sort("asset").row(0, named=True)
        return f"commission of {row['asset']} differs: {row['fees']:.10g} against {row['fees_other']:.10g}"
    return "fills are the same: the bar is marked, or a fee booked, at another moment"


def _last_bar(execution: Execution, asset: str, bar: int) -> int | None:
    found = execution.fills.filter((pl.col("asset") == asset) & (pl.col("bar") <= bar))["bar"]
    return None if found.is_empty() else int(found[-1])


def _positions(execution: Execution, bar: int) -> pl.DataFrame:
    quantity, price = pl.col("quantity"), pl.col("price")
    return execution.fills.filter(pl.col("bar") <= bar).group_by("asset").agg(
        held=quantity.sum(), traded=quantity.abs().sum(), spent=(quantity * price).sum(),
        fees=pl.col("commission").sum(),
    )  # fmt: skip
