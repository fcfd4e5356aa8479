"""Resets of the kill switches: a line per reset in ``<home>/operations/resets.jsonl``, written by a command."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

from quant_platform.contracts.errors import SettingsError
from quant_platform.lake.atomic import atomic_text
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.sessions import last_final
from quant_platform.specification import clock


def resets_file(home: Home) -> Path:
    """Where the resets of a home are."""
    return home.settings.home / "operations" / "resets.jsonl"


def reset_sessions(home: Home) -> list[date]:
    """Sessions after whose close a person opened all switches, in order.

    Raises
    ------
    SettingsError
        When a line is no reset.
    """
    path = resets_file(home)
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines() if path.is_file() else [], start=1):
        try:
            found.append(date.fromisoformat(json.loads(line)["session"]))
        except (ValueError, KeyError, TypeError) as error:
            raise SettingsError(
                "a line is no reset of the kill switches",
                where=f"{path}:{number}",
                cause="the file was edited by hand",
                action="take the line out, and reset with `quant operations reset --reviewed-by NAME`",
            ) from error
    return sorted(found)


def reset_switches(home: Home, reviewed_by: str) -> date:
    """Open all switches from the orders of the last finished session on, and say who did it.

    Returns
    -------
    date
        That session.
    """
    session = last_final(home)
    path = resets_file(home)
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    line = {"session": session.isoformat(), "reviewed_by": reviewed_by, "at": clock.now().isoformat()}
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_text(path, before + json.dumps(line) + "\n")
    return session
