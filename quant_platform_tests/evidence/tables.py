"""The page that shows the evidence, from the documents alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quant_platform_tests.evidence.summaries import FIRST_WORLDS, LEVEL, standard_error_of_rate

Document = dict[str, Any]


def page(null: Document, planted: Document) -> str:
    """Markdown of both documents."""
    market, worlds = null["market"], null["seeds"][1]
    versions = ", ".join(f"{name} {number}" for name, number in null["versions"].items())
    parts = [
        "# Do the factor tests tell the truth?",
        f"SIMULATED. {market['names']} names, {market['years']} years from {market['start']}, weekly rebalances, "
        f"{market['horizon_sessions']}-session forward returns that start {market['entry_lag_sessions']} session after "
        "the signal. Every world runs through the platform's own path: simulated source with its vendor errors, "
        "cleaning and adjustment, features, factor study. Nothing is tuned to the worlds and no seed was chosen: both "
        "kinds of world use the seeds 1, 2, 3 and so on.",
        f"Made by `{null['command']}` ({versions}). The rows of every world stand in `factor_null.json` and "
        "`factor_planted.json`; a test runs some of them again and compares.",
        "## A world in which nothing predicts anything",
        _size_text(null),
        _size_table(null),
        _naive_text(null),
        "## A world with planted premia",
        _planted_text(planted),
        _planted_table(planted),
        "## What unadjusted prices do",
        _damage_text(planted),
        _damage_table(planted),
        "## How to read it",
        f"With {worlds} worlds the rate of an exact 5 % test has a standard error of "
        f"{100 * standard_error_of_rate(worlds):.2f} points. The seven factors of a world share its prices, so the "
        "rows of a table are not independent of each other. One world is weak evidence by itself: the column "
        '"sd of a world\'s IC" says by how much the mean IC differs from world to world.',
    ]
    return "\n\n".join(parts) + "\n"


def _size_text(null: Document) -> str:
    worlds = null["seeds"][1]
    band = 3 * standard_error_of_rate(worlds)
    kept = sum(line["p_nonoverlapping"]["within"] for line in null["summary"])
    second = sum(line["p_ewc"]["within"] for line in null["summary"])
    first = sum(line["first_worlds"]["within"] for line in null["summary"])
    count = len(null["summary"])
    return (
        f"How often the {100 * LEVEL:.0f} % test on the mean IC rejects over {worlds} null worlds. Verdict: within "
        f"three standard errors of 5 %, that is between {100 * max(0.0, LEVEL - band):.1f} % and "
        f"{100 * (LEVEL + band):.1f} %. The primary test holds for {kept} of {count} factors, its second opinion (EWC) "
        f"for {second} of {count}; over the first {FIRST_WORLDS} worlds alone the primary holds for {first} of {count}."
    )


def _size_table(null: Document) -> str:
    rows = [
        [
            f"`{line['factor']}`",
            _rate(line["p_nonoverlapping"]),
            _verdict(line["p_nonoverlapping"]),
            _rate(line["p_ewc"]),
            _verdict(line["p_ewc"]),
            f"{line['first_worlds']['count']} of {min(FIRST_WORLDS, line['worlds'])}",
            _mean(line["ic"], 1.0, 4),
            f"{line['ic']['sd']:.3f}",
            _mean(line["spread"], 100.0, 3),
            f"{line['n_independent']:.0f}",
        ]
        for line in null["summary"]
    ]
    head = [
        "factor",
        "rejected, primary (95 %)",
        "within",
        "rejected, EWC (95 %)",
        "within",
        f"first {FIRST_WORLDS}",
        "mean IC +- s.e.",
        "sd of a world's IC",
        "mean spread in % +- s.e.",
        "independent windows",
    ]
    return _table(head, rows)


def _naive_text(null: Document) -> str:
    rates = ", ".join(f"`{line['factor']}` {100 * line['p_naive']['rate']:.0f} %" for line in null["summary"])
    return (
        "**For comparison only, and shown nowhere else**: the naive t that takes the overlapping weekly ICs for "
        f"independent rejects the same true nulls far too often: {rates}."
    )


def _planted_text(planted: Document) -> str:
    by_name = {line["factor"]: line for line in planted["summary"]}
    momentum, oracle = by_name["momentum_12_1"], by_name["oracle"]
    t = momentum["ic"]["mean"] / momentum["ic"]["standard_error"]
    return (
        f"Over {planted['seeds'][1]} planted worlds momentum 12-1 has a mean IC of {_mean(momentum['ic'], 1.0, 4)} "
        f"(t {t:.1f} over worlds), the expected sign in {100 * momentum['right_sign']['rate']:.0f} % of them, and is "
        f"significant with that sign in {100 * momentum['significant_with_right_sign']['rate']:.0f} %. `oracle` is "
        "the world's own expected return of the session after the signal, which no observer has: its IC, "
        f"{_mean(oracle['ic'], 1.0, 4)}, is about the most there is to find. Planted are a slow expected return per "
        "name (momentum), the decay of a transitory price error (reversal) and a premium of calm names; `price_to_"
        "sma_200` and `high_52w_proximity` mix what momentum earns with what reversal takes back."
    )


def _planted_table(planted: Document) -> str:
    rows = [
        [
            f"`{line['factor']}`",
            f"{line['expected_sign']:+d}",
            _mean(line["ic"], 1.0, 4),
            f"{line['ic']['sd']:.3f}",
            _rate(line["right_sign"]),
            _rate(line["significant_with_right_sign"]),
            _rate(line["significant_with_wrong_sign"]),
            _mean(line["spread"], 100.0, 3),
        ]
        for line in planted["summary"]
    ]
    head = [
        "factor",
        "expected sign",
        "mean IC +- s.e.",
        "sd of a world's IC",
        "right sign (95 %)",
        "significant, right sign",
        "significant, wrong sign",
        "mean spread in % +- s.e.",
    ]
    return _table(head, rows)


def _damage_text(planted: Document) -> str:
    by_name = {line["factor"]: line["spread"] for line in planted["damage"]}
    momentum, reversal = by_name["momentum_12_1"], by_name["reversal_1m"]
    return (
        "The same planted worlds, cleaned without their splits and dividends: a stock that rose to twice its price and "
        "split looks like one that crashed. The spread of momentum 12-1 goes from "
        f"{_mean(momentum['adjusted'], 100.0, 2)} % to {_mean(momentum['unadjusted'], 100.0, 2)} %, that of reversal "
        f"from {_mean(reversal['adjusted'], 100.0, 2)} % to {_mean(reversal['unadjusted'], 100.0, 2)} %. Spreads are "
        "top quintile less bottom one over the horizon, in percent; the change is taken world by world, over "
        f"{planted['seeds'][1]} worlds."
    )


def _damage_table(planted: Document) -> str:
    rows = [
        [
            f"`{line['factor']}`",
            *(_mean(line["spread"][part], 100.0, 3) for part in ("adjusted", "unadjusted", "change")),
            *(_mean(line["ic"][part], 1.0, 4) for part in ("adjusted", "unadjusted", "change")),
        ]
        for line in planted["damage"]
    ]
    head = ["factor", "spread, adjusted", "spread, unadjusted", "change", "IC, adjusted", "IC, unadjusted", "change"]
    return _table(head, rows)


def _verdict(found: dict[str, bool]) -> str:
    return "yes" if found["within"] else "**no**"


def _rate(found: dict[str, float]) -> str:
    return f"{100 * found['rate']:.1f} % ({100 * found['low']:.1f} to {100 * found['high']:.1f})"


def _mean(found: dict[str, float], scale: float, digits: int) -> str:
    return f"{scale * found['mean']:+.{digits}f} +- {scale * found['standard_error']:.{digits}f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
