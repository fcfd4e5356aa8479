"""What reading or checking data brought to light, in one shape for the terminal, the pages and the audit table.

A finding is not an error: an error stops, a finding is counted and named. Whoever reads or judges rows returns findings
instead of printing them, so that the same words stand wherever they are shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import polars as pl

Severity = Literal["info", "warning", "refused"]

SHOWN_EXAMPLES = 5

_KIND = re.compile(r"[a-z][a-z0-9_]*")

_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "kind": pl.String,
    "where": pl.String,
    "what": pl.String,
    "rows": pl.Int64,
    "total": pl.Int64,
    "examples": pl.List(pl.String),
    "action": pl.String,
    "severity": pl.String,
}
FINDINGS_SCHEMA = pl.Schema(_COLUMNS)


@dataclass(frozen=True)
class Finding:
    """One kind of thing found in one place.

    Parameters
    ----------
    kind
        Stable code, lower case with underscores, that tools may match on: ``unmatched_action``.
    where
        File, table, column, symbol: whatever names the place.
    what
        What was found, as one clause in plain words.
    rows
        How many rows or items it concerns; at least 1.
    total
        Of how many; None where there is no sensible whole.
    examples
        Up to five of them as text, in the order of the data.
    action
        What the reader can do about it; empty where nothing needs doing.
    severity
        ``info``: read as it should be, said for completeness. ``warning``: numbers may suffer. ``refused``: rows were
        kept out.
    """

    kind: str
    where: str
    what: str
    rows: int
    total: int | None = None
    examples: tuple[str, ...] = ()
    action: str = ""
    severity: Severity = "warning"

    def __post_init__(self) -> None:
        """Keep the code matchable and the examples few."""
        if not _KIND.fullmatch(self.kind):
            raise ValueError(f"the kind of a finding is lower case with underscores; it was {self.kind!r}")
        if self.rows < 1:
            raise ValueError(f"a finding concerns at least one row; {self.kind} was given {self.rows}")
        if len(self.examples) > SHOWN_EXAMPLES:
            object.__setattr__(self, "examples", self.examples[:SHOWN_EXAMPLES])

    @property
    def count(self) -> str:
        """``"3 of 252"``, or ``"3"`` where there is no whole."""
        return f"{self.rows:,}" if self.total is None else f"{self.rows:,} of {self.total:,}"

    def sentence(self) -> str:
        """The finding in one line: what, how many, where, examples, what to do."""
        shown = f" ({', '.join(self.examples)})" if self.examples else ""
        action = f"; {self.action}" if self.action else ""
        return f"{self.kind}: {self.what}: {self.count} in {self.where}{shown}{action}"


def findings_frame(findings: Iterable[Finding]) -> pl.DataFrame:
    """Findings as rows with the columns of `FINDINGS_SCHEMA`, in the order given; empty where there are none."""
    rows = [{**asdict(one), "examples": list(one.examples)} for one in findings]
    return pl.DataFrame(rows, schema=FINDINGS_SCHEMA)


def examples(values: Iterable[object]) -> tuple[str, ...]:
    """The first few distinct values as text, in the order of the data."""
    kept: dict[str, None] = {}
    for value in values:
        kept[str(value)] = None
        if len(kept) == SHOWN_EXAMPLES:
            break
    return tuple(kept)


def most_severe(findings: Sequence[Finding]) -> Severity | None:
    """The gravest severity among findings; None where there are none."""
    order: tuple[Severity, ...] = ("refused", "warning", "info")
    return next((level for level in order if any(one.severity == level for one in findings)), None)


@dataclass(frozen=True)
class DataChecks:
    """What the audit of a home says.

    Attributes
    ----------
    verdict
        The audit in one sentence.
    findings
        Rows of ``audit.findings`` and its like, the gravest first.
    """

    verdict: str
    findings: pl.DataFrame
