"""The setups of one week with what the gate said: those it let through, those one rule kept out, and the rest."""

from __future__ import annotations

import re
from typing import Any

import polars as pl

LISTED = 20
"""Refused setups that are listed, the most confident first; how many there are is said beside them."""
VERDICTS = ("qualified", "nearly", "refused")
_LEVELS = ("entry_reference", "stop", "target", "stop_distance_bps")
_FLOOR = re.compile(r"^(\w+) \S+ is (below \w+ \S+)$")


def week_setups(judged: pl.DataFrame, candidates: pl.DataFrame, closes: pl.DataFrame) -> dict[str, Any]:
    """Sort the setups of a week by the gate's verdict.

    Parameters
    ----------
    judged
        Rows of ``replay.qualified`` of the week.
    candidates
        Rows of ``replay.candidates`` with the same signal dates, for entry, stop and target.
    closes
        ``ticker, session, close, close_unadjusted`` of the signal dates: levels are shown as prices of that session,
        which no later split or dividend moves.

    Returns
    -------
    dict
        ``n_qualified``, ``n_nearly`` (refused by exactly one rule), ``n_refused`` (by more); ``rows`` with the verdict,
        every qualified and nearly qualified setup and the first ``LISTED`` refused ones, by confidence; ``rules``
        with, for each reason, the setups it ``refused`` and those it refused ``alone``.

    Notes
    -----
    **Timing.** Only what was known at the close of the signal date: what became of a setup is left out, also where a
    later run knows it.
    """
    key = ["ticker", "date_sig", "direction"]
    plain = judged.with_columns(pl.col("direction").cast(pl.String))
    traded = closes.select("ticker", date_sig="session", scale=pl.col("close_unadjusted") / pl.col("close"))
    levels = (
        candidates.select(*key, *_LEVELS)
        .with_columns(pl.col("direction").cast(pl.String))
        .join(traded, on=["ticker", "date_sig"], how="left")
        .with_columns(pl.col("entry_reference", "stop", "target") * pl.col("scale"))
        .drop("scale")
    )
    refusals = pl.col("refusals").list.len()
    verdict = pl.when(refusals == 0).then(pl.lit("qualified")).when(refusals == 1).then(pl.lit("nearly"))
    rows = (
        plain.join(levels, on=key, how="left")
        .with_columns(verdict=verdict.otherwise(pl.lit("refused")))
        .sort("confidence", "ticker", "direction", descending=[True, False, False], nulls_last=True)
        .select(
            *("verdict", "ticker", "direction", "date_sig", *_LEVELS, "rr", "target_probability", "expected_value_r"),
            *("confidence", "momentum_percentile", "refusals"),
        )
    )
    parts = {name: rows.filter(pl.col("verdict") == name) for name in VERDICTS}
    counts = {f"n_{name}": part.height for name, part in parts.items()}
    listed = pl.concat([parts["qualified"], parts["nearly"], parts["refused"].head(LISTED)])
    return {**counts, "rows": listed.to_dicts(), "rules": _rules(rows)}


def _rules(rows: pl.DataFrame) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for reasons in rows["refusals"].to_list():
        for text in reasons:
            name = reason_without_value(text)
            counted = found.setdefault(name, {"rule": name, "refused": 0, "alone": 0})
            counted["refused"] += 1
            counted["alone"] += len(reasons) == 1
    return sorted(found.values(), key=lambda row: (-row["refused"], row["rule"]))


def reason_without_value(text: str) -> str:
    """The reason of a refusal without the setup's own number, so that it can be counted.

    Examples
    --------
    >>> reason_without_value("rr 0.93 is below min_rr 1.2")
    'rr below min_rr 1.2'
    """
    floor = _FLOOR.match(text)
    return f"{floor[1]} {floor[2]}" if floor else text.partition(":")[0]
