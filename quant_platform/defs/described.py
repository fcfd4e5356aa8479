"""What every asset says about itself, from the table registry, its stage and the specs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from quant_platform.defs.metadata import column_schema
from quant_platform.defs.tags import SOURCES_TAG
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.stage import Stage, StageBase

OWNERS = ["team:quant-platform"]


def key_of(name: str) -> dg.AssetKey:
    """The asset of a table."""
    return dg.AssetKey(name.split("."))


def described(stage: StageBase, name: str, home: Home, lab: str) -> dict[str, Any]:
    """Arguments that declare the asset of one output of a stage.

    Parameters
    ----------
    stage
        What makes it.
    name
        One of its outputs.
    home
        The market.
    lab
        Name of the lab, the group under which the UI shows it.
    """
    definition = next(one for one in stage.tables if one.name == name)
    columns = stage.columns.get(name)
    metadata: dict[str, Any] = {
        "dagster/column_schema": column_schema(definition, columns(home) if columns else None),
        SOURCES_TAG: list(stage.specs),
    }
    if isinstance(stage, Stage) and stage.lineage and name == stage.outputs[0]:
        metadata["dagster/column_lineage"] = _lineage(stage.lineage)
    return {
        "key": key_of(name),
        "group_name": lab,
        "kinds": {home.filled(kind) for kind in stage.kinds},
        "owners": OWNERS,
        "description": definition.schema.__doc__,
        "code_version": stage.code_version(home),
        "metadata": metadata,
    }


def _lineage(lineage: Mapping[str, Sequence[tuple[str, str]]]) -> dg.TableColumnLineage:
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(asset_key=key_of(source), column_name=name) for source, name in deps]
            for column, deps in lineage.items()
        }
    )
