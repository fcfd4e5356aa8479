"""The inbox: a signal file that somebody drops into ``<home>/inbox`` is checked, registered and judged.

1. A file counts once it has stopped growing: its last change is older than ``SETTLED``.
2. Beside ``my_signal.csv`` may lie ``my_signal.yaml``, its sidecar: ``name, author, region, universe, version,
   leave_out``. Without one the file's own columns, then its name, say how the signal is called; nobody is its author.
3. A file whose rows all satisfy the contract (or that may leave some out) is registered and moved to ``inbox/taken``;
   any other is moved to ``inbox/refused`` with a text beside it that says why. Nothing is lost, nothing is asked twice.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import Field

from quant_platform.contracts.errors import PlatformError
from quant_platform.lake.atomic import atomic_text
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.submissions import NOBODY, submit, validate_file
from quant_platform.specification.loading import SpecModel, load_spec

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".arrow", ".feather", ".ipc")
SETTLED = timedelta(seconds=10)


class Sidecar(SpecModel):
    """What is said of a file in the inbox."""

    name: str | None = Field(default=None, description="Name of the signal; the file's own when not given.")
    author: str = Field(default=NOBODY, description="Who stands behind it.")
    region: str | None = Field(default=None, description="Market it is meant for.")
    universe: str | None = Field(default=None, description="Universe it is meant for.")
    version: str | None = Field(default=None, description="Its version, as its author counts.")
    leave_out: bool = Field(default=False, description="Register the good rows although others are refused.")


@dataclass(frozen=True)
class Taken:
    """What became of a file.

    Attributes
    ----------
    file
        Its name.
    signal
        Name it was registered under; empty where it was refused.
    said
        What was found, in words.
    """

    file: str
    signal: str
    said: str


def inbox_folder(home: Home) -> Path:
    """Where files are dropped."""
    return home.settings.home / "inbox"


def waiting(home: Home, now: datetime) -> list[Path]:
    """Files that lie in the inbox and have stopped growing, by name.

    Parameters
    ----------
    home
        The market.
    now
        A time with a zone.
    """
    found = [path for path in sorted(inbox_folder(home).glob("*")) if path.is_file() and path.suffix in SUFFIXES]
    return [
        path
        for path in found
        if not path.name.startswith(".") and now - datetime.fromtimestamp(path.stat().st_mtime, UTC) >= SETTLED
    ]


def take(home: Home, path: Path) -> Taken:
    """Check and register one file, and move it out of the inbox, whatever becomes of it."""
    beside = path.with_suffix(".yaml")
    try:
        sidecar = load_spec(beside, Sidecar) if beside.is_file() else Sidecar()
        found = validate_file(home, path)
        if not found.clean and not sidecar.leave_out:
            return _moved(path, "refused", "", found.message())
        made = submit(
            home,
            path,
            found,
            name=sidecar.name or found.name or path.stem,
            author=sidecar.author,
            region=sidecar.region,
            universe=sidecar.universe,
            version=sidecar.version,
        )
    except PlatformError as error:
        return _moved(path, "refused", "", str(error))
    return _moved(path, "taken", made.name, f"registered as {made.name} by {made.author}\n{found.message()}")


def _moved(path: Path, where: str, signal: str, said: str) -> Taken:
    """Move a file and its sidecar; one that lies there under the same name stays."""
    folder = path.parent / where
    folder.mkdir(exist_ok=True)
    stem = path.stem if not (folder / path.name).exists() else f"{path.stem}-{secrets.token_hex(4)}"
    for each in (path, path.with_suffix(".yaml")):
        if each.is_file():
            each.rename(folder / f"{stem}{each.suffix}")
    atomic_text(folder / f"{stem}{path.suffix}.said.txt", said + "\n")
    return Taken(path.name, signal, said)
