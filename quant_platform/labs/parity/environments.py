"""The environments of the foreign frameworks: made on request, one each, outside of the repository.

Backtrader is GPL and VectorBT carries the Commons Clause: both are optional, and none is ever imported by this package.
Every environment holds what its lock file pins, with hashes; another lock file is another environment.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from quant_platform.contracts.errors import PlatformError
from quant_platform.contracts.kept import cache_folder

PEERS = Path(__file__).with_name("peers")
FOLDER_VARIABLE = "QUANT_PARITY_ENVIRONMENTS"
FRAMEWORKS = ("backtrader", "vectorbt", "zipline")
LICENCES = {
    "backtrader": "GPL-3.0-or-later",
    "vectorbt": "Apache-2.0 with the Commons Clause",
    "zipline": "Apache-2.0",
}


class FrameworkNotInstalled(PlatformError, RuntimeError):
    """A foreign framework has no environment on this machine."""

    code = "framework_not_installed"


class FrameworkUnknown(PlatformError, ValueError):
    """There is no such framework."""

    code = "framework_unknown"


class InstallationFailed(PlatformError, RuntimeError):
    """An environment could not be made."""

    code = "installation_failed"


@dataclass(frozen=True)
class Environment:
    """Where a framework is, or would be."""

    framework: str
    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def installed(self) -> bool:
        """Whether it was made to the end."""
        return self.python.is_file() and (self.folder / "complete").is_file()


def environments_folder() -> Path:
    """Where all of them are: ``QUANT_PARITY_ENVIRONMENTS``, or the cache of the user."""
    said = os.environ.get(FOLDER_VARIABLE)
    if said:
        return Path(said)
    return cache_folder() / "parity"


def lock_file(framework: str) -> Path:
    """What an environment holds, pinned and with hashes.

    Raises
    ------
    FrameworkUnknown
        With those that there are.
    """
    if framework not in FRAMEWORKS:
        raise FrameworkUnknown(
            f"there is no framework {framework!r}", where="parity", action=f"one of {', '.join(FRAMEWORKS)}"
        )
    return PEERS / f"{framework}.lock"


def environment(framework: str) -> Environment:
    """The environment of a framework, installed or not."""
    pinned = hashlib.sha256(lock_file(framework).read_bytes()).hexdigest()[:12]
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return Environment(framework, environments_folder() / f"{framework}-py{version}-{pinned}")


def require_installed(framework: str) -> Environment:
    """The environment of a framework.

    Raises
    ------
    FrameworkNotInstalled
        When it was not made.
    """
    found = environment(framework)
    if not found.installed:
        raise FrameworkNotInstalled(
            f"{framework} has no environment", where=str(found.folder), action=f"quant parity install {framework}"
        )
    return found


def install(framework: str) -> Environment:
    """Make the environment of a framework; one that is there is left alone, one that was begun is made again.

    Raises
    ------
    InstallationFailed
        With the end of what pip said.
    """
    found = environment(framework)
    if found.installed:
        return found
    shutil.rmtree(found.folder, ignore_errors=True)
    venv.create(found.folder, with_pip=True)
    command = [
        str(found.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes",
        "--requirement", str(lock_file(framework)),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise InstallationFailed(
            f"pip stopped with {done.returncode}: {' '.join(done.stderr.split())[-400:]}",
            where=str(found.folder),
            cause="no network, or a package that the lock file pins has no build for this machine",
            action=f"try again: quant parity install {framework}",
        )
    (found.folder / "complete").write_text("", encoding="utf-8")
    return found
