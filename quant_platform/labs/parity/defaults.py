"""How the defaults differ: the same decisions through each framework as it comes, and the cause of every difference.

A cause is not believed but tried: it is given to the engine as terms (or as decisions read a bar later), and it is the
cause when no trade differs any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from quant_platform.labs.parity.adapters import DEFAULT_TIMEOUT_SECONDS, OurAdapter, PeerAdapter
from quant_platform.labs.parity.cases import case_named
from quant_platform.labs.parity.comparison import compare
from quant_platform.labs.parity.decisions import DecisionTable
from quant_platform.labs.parity.environments import FRAMEWORKS, PEERS
from quant_platform.labs.parity.execution import Execution
from quant_platform.labs.parity.study import Prepared, prepare, trade
from quant_platform.labs.parity.terms import Terms

PROBES = ("long_only", "long_short")


@dataclass(frozen=True)
class Cause:
    """Terms under which the engine does what a framework does by default.

    Attributes
    ----------
    said
        In words.
    terms, commission_rate
        For the engine; a rate of None is that of the case.
    later
        Bars by which decisions are read later.
    """

    said: str
    terms: Terms = field(default_factory=Terms)
    commission_rate: float | None = None
    later: int = 0


CAUSES = {
    "backtrader": (Cause("Nothing: orders sent in next are filled at the next open, at the commission rate stated."),),
    "vectorbt": (Cause("It fills at the close that decided.", Terms(fill="same_close")),),
    "zipline": (
        Cause(
            "It fills at the next close, 5 bps worse, and takes 0.001 a share and no rate.",
            Terms(fill="same_close", slippage_rate=0.0005, per_unit=0.001),
            commission_rate=0.0,
            later=1,
        ),
    ),
}


@dataclass(frozen=True)
class Default:
    """What one framework makes of a probe as it comes."""

    probe: str
    framework: str
    trades: int
    final_value: float
    differing: int
    fields: tuple[str, ...]
    cause: str
    differing_with_cause: int


def probe_defaults(
    probes: Sequence[str] = PROBES,
    frameworks: Sequence[str] = FRAMEWORKS,
    *,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
) -> list[Default]:
    """Run the probes through frameworks as they come.

    Raises
    ------
    FrameworkNotInstalled, FrameworkFailed
        When one cannot be run.
    """
    prepared = [prepare(case_named(name)) for name in probes]
    found = []
    for framework in frameworks:
        script = PEERS / f"{framework}_defaults.py"
        executions = PeerAdapter(framework, timeout_seconds, script=script).run_many([one.job for one in prepared])
        for one, execution in zip(prepared, executions, strict=True):
            if isinstance(execution, Exception):
                raise execution
            capital = one.case.initial_capital
            plain = compare(trade(one), execution, capital)
            (cause,) = CAUSES[framework]
            caused = compare(_traded(one, cause), execution, capital)
            off = plain.trades.filter(pl.col("state") != "equal")
            names = off["fields"].str.split(", ").explode().unique().sort().to_list() if off.height else []
            found.append(
                Default(
                    probe=one.case.name,
                    framework=framework,
                    trades=execution.trades.height,
                    final_value=execution.final_value,
                    differing=plain.differing,
                    fields=tuple(name or "entry_bar" for name in names),
                    cause=cause.said,
                    differing_with_cause=caused.differing,
                )
            )
    return found


def _traded(prepared: Prepared, cause: Cause) -> Execution:
    """A case through the engine, on the terms of a cause."""
    job = prepared.job
    rate = job.commission_rate if cause.commission_rate is None else cause.commission_rate
    later = DecisionTable.of(job.decisions.frame.with_columns(pl.col("bar") + cause.later))
    return OurAdapter().run_with_signals(job.data, later, job.initial_capital, rate, cause.terms)
