"""Refusing rows that were made under other specs than those in force."""

from __future__ import annotations

import polars as pl

from quant_platform.contracts.errors import OntologyMismatch


def require_ontology(frame: pl.DataFrame, ontology_hash: str, *, what: str) -> None:
    """Refuse a frame whose rows carry another ontology hash.

    Raises
    ------
    OntologyMismatch
        With the number of foreign rows and the first of them.
    """
    foreign = frame.filter(pl.col("ontology_hash") != ontology_hash)
    if foreign.height:
        raise OntologyMismatch(
            f"{what} was made under other specs than those in force",
            where=f"ontology_hash, {ontology_hash[:12]} is in force",
            how_many=f"{foreign.height} of {frame.height} rows",
            rows=foreign.group_by("event_id", "ontology_hash").len("rows").sort("event_id"),
            cause="a spec was edited after the rows were made",
            action="materialise the upstream assets again (quant run event_study, then discovery), or restore the spec",
        )
