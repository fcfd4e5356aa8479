"""One case through some frameworks: what each made of it, how it compares with ours, and whether its mark holds.

Every framework is asked, marked or not. A case and framework without a mark must agree trade by trade; with one it must
not, in the way the mark says. So a mark that no longer holds is found by the run that would have agreed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from quant_platform.contracts.errors import PlatformError
from quant_platform.engine.backtest import Bars
from quant_platform.labs.parity.adapters import (
    DEFAULT_TIMEOUT_SECONDS,
    OURS,
    FrameworkFailed,
    Job,
    NotSupportedByFramework,
    OurAdapter,
    PeerAdapter,
)
from quant_platform.labs.parity.cases import Case
from quant_platform.labs.parity.comparison import Comparison, compare
from quant_platform.labs.parity.decisions import DecisionTable
from quant_platform.labs.parity.environments import FRAMEWORKS, FrameworkNotInstalled
from quant_platform.labs.parity.execution import Execution
from quant_platform.labs.parity.marks import Mark, mark_of

AGREES, DIFFERS, REFUSED, FAILED, NOT_INSTALLED = "agrees", "differs", "refused", "failed", "not_installed"
OUTCOMES = (AGREES, DIFFERS, REFUSED, FAILED, NOT_INSTALLED)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one framework made of a case.

    Attributes
    ----------
    case, framework
        Which.
    outcome
        One of ``OUTCOMES``.
    execution, comparison
        None where there is no result.
    mark
        What is said to differ, None for a framework that must agree.
    said
        Why there is no result.
    """

    case: str
    framework: str
    outcome: str
    execution: Execution | None
    comparison: Comparison | None
    mark: Mark | None
    said: str = ""

    @property
    def explained(self) -> bool:
        """Whether the outcome is what the marks say: agreement without a mark, a difference or refusal with one.

        A framework that is not installed has no outcome, and one that failed is never explained.
        """
        if self.outcome == NOT_INSTALLED:
            return True
        if self.mark is None:
            return self.outcome == AGREES
        return self.outcome in ((REFUSED,) if self.mark.refuses else (DIFFERS,))

    @property
    def verdict(self) -> str:
        """The outcome in words, with the mark."""
        if self.explained:
            return self.outcome if self.mark is None else f"{self.outcome}, marked {self.mark.kind}: {self.mark.reason}"
        if self.mark is not None and self.outcome == AGREES:
            return f"agrees: the mark {self.mark.kind} no longer holds and has to go"
        return f"{self.outcome}, unexplained{f': {self.said}' if self.said else ''}"


@dataclass(frozen=True, eq=False)
class Prepared:
    """A case with its bars and decisions, made once for all frameworks."""

    case: Case
    bars: Bars
    decisions: DecisionTable

    @property
    def job(self) -> Job:
        """What an adapter is given."""
        case = self.case
        return Job(self.bars, self.decisions, case.initial_capital, case.commission_rate, case.terms)


def prepare(case: Case, data: Path | None = None) -> Prepared:
    """Make the bars and, from them, the decisions of a case; ``data`` is the folder of real bars, None to draw them."""
    bars = case.bars(data if case.real else None)
    return Prepared(case, bars, case.decide(bars))


def study(
    prepared: Prepared,
    frameworks: Sequence[str] | None = None,
    *,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
) -> Iterator[Outcome]:
    """Run a case through frameworks, ours first; each outcome is given when it is there.

    Parameters
    ----------
    prepared
        The case.
    frameworks
        Foreign ones; None for all.
    timeout_seconds
        For each of their processes.

    Notes
    -----
    A framework that crashes, hangs, refuses or is not installed is an outcome, and the next one is run.
    """
    ours = trade(prepared)
    yield Outcome(prepared.case.name, OURS, AGREES, ours, None, None)
    for framework in FRAMEWORKS if frameworks is None else frameworks:
        yield from study_many([(prepared, ours)], framework, timeout_seconds=timeout_seconds)


def trade(prepared: Prepared) -> Execution:
    """A case through the engine."""
    job = prepared.job
    return OurAdapter().run_with_signals(job.data, job.decisions, job.initial_capital, job.commission_rate, job.terms)


def study_many(
    cases: Sequence[tuple[Prepared, Execution]], framework: str, *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
) -> list[Outcome]:
    """Run several cases through one foreign framework in one process, and compare each with our execution of it.

    Notes
    -----
    Where the process as a whole fails, all of its cases have that outcome.
    """
    adapter = PeerAdapter(framework, timeout_seconds)
    found: Sequence[Execution | PlatformError]
    try:
        found = adapter.run_many([prepared.job for prepared, _ in cases])
    except (FrameworkFailed, FrameworkNotInstalled) as error:
        found = [error] * len(cases)
    return [
        _outcome(prepared.case, framework, ours, result) for (prepared, ours), result in zip(cases, found, strict=True)
    ]


def _outcome(case: Case, framework: str, ours: Execution, result: Execution | PlatformError) -> Outcome:
    mark = mark_of(case.name, framework)
    if not isinstance(result, Execution):
        return Outcome(case.name, framework, _missing(result), None, None, mark, result.what)
    compared = compare(ours, result, case.initial_capital)
    return Outcome(case.name, framework, AGREES if compared.agrees else DIFFERS, result, compared, mark)


def _missing(error: PlatformError) -> str:
    if isinstance(error, NotSupportedByFramework):
        return REFUSED
    return NOT_INSTALLED if isinstance(error, FrameworkNotInstalled) else FAILED
