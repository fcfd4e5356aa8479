"""The JSON outputs of operations as they are read: those of the newest session, and the snapshots of earlier ones.

``<home>/outputs/*.json`` is written session by session, one file after the other; ``outputs/history/<day>.json`` holds
all outputs of a day in one file. Nothing is made up here: what is not there is not in the answer, and a file that says
something else than its layout is an error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from quant_platform.contracts.errors import OutputDamaged
from quant_platform.labs.operations.dashboard import LAYOUT, OUTPUTS
from quant_platform.pipeline.home import Home

Stamp = tuple[tuple[str, int, int], ...]
_KEYS = {"layout", "output", "day", "simulated", "content", "empty_because"}


@dataclass(frozen=True)
class Output:
    """One output.

    Attributes
    ----------
    name
        As its file is called.
    day
        The session that it is of.
    simulated
        Whether its market is.
    content
        Rows as a list of objects, or one object.
    empty_because
        Why there is nothing; None where there is something.
    """

    name: str
    day: date
    simulated: bool
    content: Any
    empty_because: str | None

    def frame(self) -> pl.DataFrame:
        """Rows of an output that is the rows of a table; without rows it has no columns either."""
        return pl.DataFrame(self.content, infer_schema_length=None) if self.content else pl.DataFrame()


def outputs_folder(home: Home) -> Path:
    """Where the JSON outputs of a home are."""
    return home.settings.home / "outputs"


def history_folder(home: Home) -> Path:
    """Where the outputs of every session are kept, a file a session."""
    return outputs_folder(home) / "history"


def snapshot_days(home: Home) -> list[str]:
    """Sessions whose outputs were kept, ISO dates, the newest first."""
    return sorted((path.stem for path in history_folder(home).glob("*.json")), reverse=True)


def outputs_stamp(home: Home) -> Stamp:
    """Name, time and size of every file of the newest session: equal means that nothing was written in between."""
    found = []
    for name in OUTPUTS:
        try:
            state = (outputs_folder(home) / f"{name}.json").stat()
        except FileNotFoundError:
            continue
        found.append((name, state.st_mtime_ns, state.st_size))
    return tuple(found)


def read_outputs(home: Home, day: str | None = None) -> dict[str, Output]:
    """Outputs by name.

    Parameters
    ----------
    home
        Whose.
    day
        One of :func:`snapshot_days`; the newest session if not given.

    Raises
    ------
    OutputDamaged
        When a file is no JSON or not of the layout.

    Notes
    -----
    **Timing.** The files of the newest session are written one by one, so that two of them may be of different days
    for a moment; each says its own. **Missing values.** An output that no file holds is not in the answer.
    """
    if day is not None:
        path = history_folder(home) / f"{day}.json"
        return {name: _output(path, name, said) for name, said in _mapping(path, _read(path)).items()}
    found = {}
    for name in OUTPUTS:
        path = outputs_folder(home) / f"{name}.json"
        if path.is_file():
            found[name] = _output(path, name, _read(path))
    return found


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(path, " ".join(str(error).split())[:200]) from error


def _mapping(path: Path, said: Any) -> Mapping[str, Any]:
    if not isinstance(said, Mapping):
        raise _damaged(path, "it does not hold an object")
    return said


def _output(path: Path, name: str, said: Any) -> Output:
    found = _mapping(path, said)
    if set(found) != _KEYS or found["layout"] != LAYOUT or found["output"] != name:
        raise _damaged(path, f"it is not {name} in the layout {LAYOUT}")
    try:
        day = date.fromisoformat(found["day"])
    except (TypeError, ValueError) as error:
        raise _damaged(path, "its day is no date") from error
    return Output(name, day, bool(found["simulated"]), found["content"], found["empty_because"])


def _damaged(path: Path, cause: str) -> OutputDamaged:
    return OutputDamaged(
        "an output of operations cannot be read",
        where=str(path),
        cause=cause,
        action="`quant run operations_dashboard --refresh` writes the outputs of the newest session again",
    )
