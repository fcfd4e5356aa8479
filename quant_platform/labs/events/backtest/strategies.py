"""Which strategies of a cutoff are run: blueprints, and the strongest refused cells beside them, marked as such."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from quant_platform.labs.events.discovery.cells import ALL
from quant_platform.specification.discovery import DiscoverySpecs, TemplateSpec
from quant_platform.specification.event_backtest import ChosenSpec

Status = Literal["blueprint", "refused"]


@dataclass(frozen=True)
class Strategy:
    """What is traded on which events.

    Attributes
    ----------
    strategy_id
        The blueprint's own id; for a refused cell one made of its key.
    status
        ``blueprint``, or ``refused`` for a cell that discovery did not let through.
    event_id, template, horizon_bars, side, dimension, state
        Of the cell; dimension and state are ``ALL`` for any.
    symbols
        Symbols that may be traded.
    refusals
        Why a refused cell was refused.
    """

    strategy_id: str
    status: Status
    event_id: str
    template: str
    horizon_bars: int
    side: int
    symbols: tuple[str, ...]
    dimension: str
    state: str
    refusals: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chosen:
    """Strategies to run, and blueprints that are not run with the reason."""

    run: tuple[Strategy, ...]
    not_run: tuple[tuple[Strategy, str], ...]


def choose(
    blueprints: pl.DataFrame,
    hypotheses: pl.DataFrame,
    specs: DiscoverySpecs,
    spec: ChosenSpec,
    symbols: Sequence[str],
) -> Chosen:
    """Choose what is run.

    Parameters
    ----------
    blueprints, hypotheses
        Rows of ``discovery.blueprints`` and ``discovery.hypotheses`` of a cutoff.
    specs
        Specs of discovery.
    spec
        How many.
    symbols
        Of the market, for cells over all of them.

    Returns
    -------
    Chosen
        Blueprints by their edge over cost out of sample, largest first; then refused cells by the t of their effect in
        training, one per cell. Strength in training is no merit: they are there to show what refusing saves.
    """
    documents = [json.loads(text) for text in blueprints["document"].to_list()]
    documents.sort(key=lambda found: (-found["evidence"]["edge_over_cost"], found["blueprint_id"]))
    made = [_of_blueprint(found) for found in documents]
    kept: list[Strategy] = []
    not_run: list[tuple[Strategy, str]] = []
    for strategy in made:
        reason = why_not(specs.templates[strategy.template])
        if reason:
            not_run.append((strategy, reason))
        elif len(kept) >= spec.max_blueprints:
            not_run.append((strategy, f"beyond the first {spec.max_blueprints} blueprints"))
        else:
            kept.append(strategy)
    wanted = spec.refused_beside if kept else spec.refused_alone
    return Chosen((*kept, *_refused(hypotheses, specs, wanted, symbols)), tuple(not_run))


def why_not(template: TemplateSpec) -> str:
    """Why a template cannot be traded on the perpetual alone; empty where it can."""
    if template.label is None or template.question == "risk":
        return "its outcome has no direction to trade"
    if template.legs != 1:
        return "it trades two instruments, and the market of this lab holds the perpetual only"
    return ""


def _of_blueprint(found: dict[str, Any]) -> Strategy:
    state = found["rule"]["state"]
    dimension, value = next(iter(state.items())) if state else (ALL, ALL)
    return Strategy(
        found["blueprint_id"],
        "blueprint",
        found["rule"]["event_id"],
        found["template"],
        found["exit"]["horizon_bars"],
        found["side"],
        tuple(found["symbols"]),
        dimension,
        value,
    )


def _refused(
    hypotheses: pl.DataFrame, specs: DiscoverySpecs, count: int, symbols: Sequence[str]
) -> tuple[Strategy, ...]:
    tradable = [name for name, template in specs.templates.items() if not why_not(template)]
    rows = hypotheses.filter(
        pl.col("tested"),
        pl.col("counted"),
        pl.col("track").cast(pl.String) != "standard",
        pl.col("template").is_in(tradable),
        pl.col("t").is_not_null(),
    ).sort(-pl.col("t"), "alias_group")
    return tuple(
        Strategy(
            "-".join(
                ["REFUSED", row["event_id"], row["template"], str(row["horizon_bars"]), row["symbol"], _state(row)]
            ),
            "refused",
            row["event_id"],
            row["template"],
            row["horizon_bars"],
            row["side"],
            tuple(symbols) if row["symbol"] == ALL else (row["symbol"],),
            row["dimension"],
            row["state"],
            tuple(row["gates_failed"]),
        )
        for row in rows.head(count).iter_rows(named=True)
    )


def _state(row: dict[str, Any]) -> str:
    return ALL if row["dimension"] == ALL else f"{row['dimension']}={row['state']}"
