"""A run over many tickers goes on without the few that fail.

Dagster skips what follows a failed step, for every partition of the run. What could not be made is therefore named,
and what remains is run again in consecutive pieces: the tables already made are current and are skipped, the later ones
follow. The failed run stays failed, with the errors of its tickers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import dagster as dg

FAILED = "failed_partitions"


def failure_metadata(errors: Mapping[str, str]) -> dict[str, Any]:
    """What a step that failed for some partitions says about them: the error of each."""
    return {FAILED: dg.MetadataValue.json(dict(errors))}


def failed_partitions(events: Iterable[dg.DagsterEvent]) -> dict[str, str]:
    """The errors of the partitions that the failed steps of a run name; none where a step failed as a whole.

    Parameters
    ----------
    events
        Events of one run; only step failures are looked at.
    """
    found: dict[str, str] = {}
    for event in events:
        if not event.is_step_failure:
            continue
        said = event.step_failure_data.user_failure_data
        value = said.metadata.get(FAILED) if said is not None else None
        if not isinstance(value, dg.JsonMetadataValue) or not isinstance(value.value, dict):
            return {}
        found |= {str(key): str(error) for key, error in value.value.items()}
    return found


def pieces(keys: Sequence[str], without: Collection[str]) -> list[tuple[str, ...]]:
    """The runs of consecutive keys between those left out."""
    found: list[list[str]] = [[]]
    for key in keys:
        if key in without:
            found.append([])
        else:
            found[-1].append(key)
    return [tuple(piece) for piece in found if piece]
