"""What of a home was made by other code or under other specs than today's, and what follows from it.

A table is stale when a stored partition was made under another hash of its code or of its spec files, when it reads a
table that is stale, or when it belongs to the graph and was never made. Newer inputs alone are not looked for: what
brings new data runs what is built on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from quant_platform.lake.inventory import InventoryRow
from quant_platform.lake.provenance import read_record
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.stage import BatchStage, FrameStage, Stage, StageBase


@dataclass(frozen=True)
class Changed:
    """A stage to be run again, and why, in a few words."""

    stage: StageBase
    why: str


def reads_of(stage: StageBase) -> tuple[str, ...]:
    """Every table that a stage reads."""
    match stage:
        case Stage():
            return (*stage.inputs, *stage.shared_inputs, *stage.upstream)
        case FrameStage():
            return (*(reads.table for reads in stage.inputs.values()), *stage.deps)
        case BatchStage():
            return stage.upstream
    return ()


def changed(home: Home, stages: Iterable[StageBase], stored: Sequence[InventoryRow]) -> list[Changed]:
    """Which stages are to be run again.

    Parameters
    ----------
    home
        The market, with the code and the specs of today.
    stages
        In the order of the graph, each after those it reads.
    stored
        The partitions that count, as the lake lists them.

    Returns
    -------
    list of Changed
        In the order of ``stages``.
    """
    found: list[Changed] = []
    stale: set[str] = set()
    for stage in stages:
        why = _own_reason(home, stage, [row for row in stored if row.table_name in stage.outputs])
        if why is None:
            above = [name for name in reads_of(stage) if name in stale]
            why = f"reads {', '.join(above)}" if above else None
        if why is not None:
            found.append(Changed(stage, why))
            stale.update(stage.outputs)
    return found


def _own_reason(home: Home, stage: StageBase, rows: Sequence[InventoryRow]) -> str | None:
    missing = [name for name in stage.outputs if all(row.table_name != name for row in rows)]
    if missing:
        return "was never made"
    version, ontology = stage.code_version(home), home.ontology(stage.specs)
    other = next((row for row in rows if row.ontology_hash != ontology.hash), None)
    if other is not None:
        path = home.lake.root.parent / other.path
        home.lake.store.fetch([path])
        before = read_record(path).provenance.ontology_files
        files = sorted(
            name for name in {*before, *ontology.files} if before.get(name) != dict(ontology.files).get(name)
        )
        return f"{', '.join(files)} changed" if files else "its list of spec files changed"
    if any(row.code_version != version for row in rows):
        return "its code changed, or a default of a spec"
    return None
