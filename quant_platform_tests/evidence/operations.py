"""``python -m quant_platform_tests.evidence.operations``: costs, thresholds, promotions in worlds of known truth.

1. Fills are simulated with a known half spread and impact coefficient, their noise of unequal size and heavy tails: how
   often do the intervals of the fit hold the truth?
2. Candidates of a fair game (every bet worth nothing) are swept: what does the chosen cell show in sample, and what
   does the rule earn out of sample?
3. Names whose trades are worth nothing are followed for a year of weekly promotions, moves carried out: how often does
   a name move?
"""

from __future__ import annotations

import argparse
import json
import math
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from quant_platform.labs.operations.costs import fit_costs
from quant_platform.labs.operations.evidence import TradeLog, figures
from quant_platform.labs.operations.frames import rows_frame
from quant_platform.labs.operations.sleeves import NameTrades, day_number, sleeve_promotions
from quant_platform.labs.operations.sweep import Candidates, cell_trades, choose, grid, walk_forward
from quant_platform.specification.loading import load_spec
from quant_platform.specification.operations import EvidenceSpec, MemberSpec, SleevesSpec

ROOT = Path(__file__).resolve().parents[2]
SPECS = ROOT / "specs" / "operations"
HALF_SPREAD, IMPACT = 4e-4, 1.1
FILLS, LEVEL = 120, 0.95
SWEPT_YEARS, RISK = 5, 0.005
FIRST = date(2023, 1, 6)
MOVES_WEEKS = 52


def world_of_fills(seed: int, count: int = FILLS) -> pl.DataFrame:
    """Fills whose cost is :data:`HALF_SPREAD`, :data:`IMPACT` and noise of unequal size with heavy tails."""
    rng = np.random.default_rng([1, seed])
    volatility = np.exp(rng.normal(np.log(0.02), 0.4, count))
    share = np.exp(rng.normal(np.log(2e-3), 1.2, count))
    side = rng.choice([-1.0, 1.0], count)
    noise = 2e-4 * (volatility / 0.02) * rng.standard_t(5, count)
    paid = HALF_SPREAD + IMPACT * volatility * np.sqrt(share) + noise
    rows = [
        {
            "fill_id": f"{seed}/{k}",
            "ticker": "AAA",
            "asset_class": "US_EQUITY",
            "side": "buy" if side[k] > 0 else "sell",
            "quantity": 1e6 * share[k],
            "price": 10.0 * (1.0 + side[k] * paid[k]),
            "mid": 10.0,
            "fees": 0.0,
            "currency": "USD",
            "executed_at": datetime(2024, 1, 2, 15, 0, tzinfo=UTC) + timedelta(hours=k),
            "volatility_daily": volatility[k],
            "volume_daily": 1e6,
            "law": "simulated_truth",
            "source": "simulated",
        }
        for k in range(count)
    ]
    return rows_frame("ops.fills", rows)


def coverage(worlds: int) -> dict[str, Any]:
    """Share of worlds in which the intervals hold the truth."""
    held = np.zeros((worlds, 2), dtype=bool)
    values = np.zeros((worlds, 2))
    for seed in range(worlds):
        found = fit_costs(world_of_fills(seed), minimum=20, level=LEVEL)
        for k, (one, truth) in enumerate(((found.half_spread, HALF_SPREAD), (found.impact_coefficient, IMPACT))):
            held[seed, k], values[seed, k] = one.low <= truth <= one.high, one.value
    return {
        "worlds": worlds,
        "fills": FILLS,
        "half_spread": float(held[:, 0].mean()),
        "impact_coefficient": float(held[:, 1].mean()),
        "mean_half_spread_bps": float(1e4 * values[:, 0].mean()),
        "mean_impact_coefficient": float(values[:, 1].mean()),
    }


def fair_trades(rng: np.random.Generator, weeks: int, held_days: int = 20) -> tuple[TradeLog, Any]:
    """A bet a week that wins rr with chance 1 / (1 + rr) and loses one else, and is known after up to ``held_days``."""
    reward = rng.uniform(1.0, 3.0, weeks)
    r = np.where(rng.random(weeks) < 1.0 / (1.0 + reward), reward, -1.0)
    signal = day_number(FIRST) + 7 * np.arange(weeks, dtype=np.int64)
    return TradeLog(signal, signal + rng.integers(1, held_days, weeks), r), reward


def selection_on_noise(names: int) -> dict[str, Any]:
    """Annual PnL of the chosen cell in sample, and of the rule out of sample, over names without any edge."""
    spec = load_spec(SPECS / "evidence.yaml", EvidenceSpec)
    cells, inside, outside, chosen_names = grid(spec.sweep), [], [], 0
    for seed in range(names):
        rng = np.random.default_rng([2, seed])
        trades, reward = fair_trades(rng, 52 * SWEPT_YEARS)
        chance, risk = rng.uniform(0.45, 0.7, trades.r.size), rng.uniform(0.01, 0.06, trades.r.size)
        found = Candidates(trades, chance, risk, (chance * reward - (1.0 - chance)) * risk)
        until = int(trades.known.max())
        seen = cell_trades(found, cells, until - spec.lookback_days + 1, until)
        chosen = choose([one.r for one in seen], spec.sweep)
        if chosen is not None:
            chosen_names += 1
            inside.append(RISK * figures(seen[chosen]).total_r)
        rule = walk_forward(found, cells, spec.sweep, spec.lookback_days, until)
        outside.append(RISK * rule.total_r / rule.years)
    out, into = np.array(outside), np.array(inside)
    return {
        "names": names,
        "names_with_a_choice": chosen_names,
        "in_sample": float(into.mean()),
        "out_of_sample": float(out.mean()),
        "out_of_sample_error": float(out.std(ddof=1) / math.sqrt(names)),
    }


def promotions_on_noise(names: int) -> dict[str, Any]:
    """Moves of names without any edge in a year of weeks, every proposed one carried out."""
    shipped = load_spec(SPECS / "sleeves.yaml", SleevesSpec)
    spec = load_spec(SPECS / "evidence.yaml", EvidenceSpec)
    tickers = [f"N{k:03d}" for k in range(names)]
    trades = {}
    for k, ticker in enumerate(tickers):
        log, _ = fair_trades(np.random.default_rng([3, k]), 52 + MOVES_WEEKS + 4)
        trades[ticker] = NameTrades(log, RISK * log.r)
    members: dict[str, MemberSpec] = {ticker: MemberSpec(sleeve="core", since=date(2020, 1, 3)) for ticker in tickers}
    moved = dict.fromkeys(tickers, 0)
    says = {"up": 0, "down": 0, "stay": 0}
    for week in range(MOVES_WEEKS):
        until = FIRST + timedelta(weeks=52 + week)
        sleeves = shipped.model_copy(update={"members": members})
        rows = sleeve_promotions(until - timedelta(days=4), until, trades, tickers, spec, sleeves)
        for row in rows.iter_rows(named=True):
            says[row["says"]] += 1
            if row["proposed"] is not None:
                moved[row["ticker"]] += 1
                members = members | {row["ticker"]: MemberSpec(sleeve=row["proposed"], since=until)}
    counts = np.array(list(moved.values()))
    return {
        "names": names,
        "weeks": MOVES_WEEKS,
        "moves_per_name_and_year": float(counts.mean()),
        "most_moves_of_a_name": int(counts.max()),
        "names_that_moved": int((counts > 0).sum()),
        "weeks_that_said": says,
    }


def study(worlds: int, names: int) -> dict[str, Any]:
    """All three."""
    return {
        "costs": coverage(worlds),
        "selection": selection_on_noise(names),
        "promotions": promotions_on_noise(names),
    }


def page(found: dict[str, Any], command: str) -> str:
    """The page of the evidence."""
    costs, chosen, moves = found["costs"], found["selection"], found["promotions"]
    says = moves["weeks_that_said"]
    return f"""# Operations in worlds whose truth is known

Made by `{command}`.

## Costs learned from fills

{costs["worlds"]} worlds of {costs["fills"]} fills each, true half spread {1e4 * HALF_SPREAD:g} bps and impact
coefficient {IMPACT:g}, noise of unequal size with heavy tails; intervals at {LEVEL:.0%}.

| parameter | truth | mean estimate | worlds whose interval holds the truth |
|---|---|---|---|
| half spread, bps | {1e4 * HALF_SPREAD:g} | {costs["mean_half_spread_bps"]:.3f} | {costs["half_spread"]:.1%} |
| impact coefficient | {IMPACT:g} | {costs["mean_impact_coefficient"]:.3f} | {costs["impact_coefficient"]:.1%} |

## Thresholds chosen on noise

{chosen["names"]} names with {SWEPT_YEARS} years of weekly bets that are worth nothing, swept with the shipped grid and
rule. What the chosen cell shows is luck; what the rule earns afterwards is not there.

| | annual PnL, of equity |
|---|---|
| chosen cell in sample ({chosen["names_with_a_choice"]} names have one) | {chosen["in_sample"]:+.2%} |
| rule out of sample | {chosen["out_of_sample"]:+.3%} +- {chosen["out_of_sample_error"]:.3%} |

## Promotions on noise

{moves["names"]} names whose trades are worth nothing, a trade a week, {moves["weeks"]} weeks; every proposed move is
carried out. Weeks that said up {says["up"]}, down {says["down"]}, stay {says["stay"]}.

| | |
|---|---|
| moves per name and year | {moves["moves_per_name_and_year"]:.3f} |
| most moves of one name | {moves["most_moves_of_a_name"]} |
| names that moved at all | {moves["names_that_moved"]} |
"""


def main(arguments: list[str] | None = None) -> None:
    """Run the study and write the page."""
    parser = argparse.ArgumentParser(prog="python -m quant_platform_tests.evidence.operations", description=__doc__)
    parser.add_argument("--reduced", action="store_true", help="a few worlds, to see that it runs")
    parser.add_argument("--output", type=Path, help="folder (default docs/evidence, or data/evidence if reduced)")
    options = parser.parse_args(arguments)
    found = study(10, 6) if options.reduced else study(200, 200)
    command = f"python -m {__package__}.operations" + (" --reduced" if options.reduced else "")
    output = options.output or ROOT / ("data" if options.reduced else "docs") / "evidence"
    output.mkdir(parents=True, exist_ok=True)
    (output / "operations.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (output / "operations.md").write_text(page(found, command), encoding="utf-8")
    print(f"written to {output}/operations.md")


if __name__ == "__main__":
    main()
