"""The environment of the cluster test: the one that runs this, and the extras on top, outside of the repository.

It is kept under the cache of the user, by the content of its lock file: another lock file is another environment.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements-cluster.lock"
FOLDER_VARIABLE = "QUANT_CLUSTER_ENVIRONMENTS"


class NotInstalled(RuntimeError):
    """The environment could not be made."""


@dataclass(frozen=True)
class Environment:
    """Where the environment is, or would be."""

    folder: Path

    @property
    def binaries(self) -> Path:
        """Folder of its programs."""
        return self.folder / "bin"

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.binaries / "python"

    @property
    def installed(self) -> bool:
        """Whether it was made to the end."""
        return self.python.is_file() and (self.folder / "complete").is_file()


def environment(lock: Path = LOCK) -> Environment:
    """The environment of a lock file on top of the one that runs this."""
    said = os.environ.get(FOLDER_VARIABLE)
    cache = os.environ.get("XDG_CACHE_HOME")
    parent = Path(said) if said else (Path(cache) if cache else Path.home() / ".cache") / "quant_platform" / "cluster"
    pinned = hashlib.sha256(lock.read_bytes() + _below().encode()).hexdigest()[:12]
    return Environment(parent / f"py{sys.version_info[0]}.{sys.version_info[1]}-{pinned}")


def install(lock: Path = LOCK) -> Environment:
    """Make the environment; one that is there is left alone, one that was begun is made again.

    Raises
    ------
    NotInstalled
        With the end of what pip said.
    """
    found = environment(lock)
    if found.installed:
        return found
    shutil.rmtree(found.folder, ignore_errors=True)
    venv.create(found.folder, with_pip=False)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(found.folder), "platbase": str(found.folder)}))
    # What is installed below counts as installed here: pip fetches what the extras bring and nothing else.
    (site / "below.pth").write_text(f"import site; site.addsitedir({_below()!r})\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "--python", str(found.python), "install", "--quiet"]
    command += ["--disable-pip-version-check", "--require-hashes", "--requirement", str(lock)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotInstalled(f"pip stopped with {done.returncode}: {' '.join(done.stderr.split())[-600:]}")
    # Ray starts a step by this name, and the program of the environment below would not see what is on top.
    program = found.binaries / "dagster"
    if not program.exists():
        program.write_text(f'#!/bin/sh\nexec "{found.python}" -m dagster "$@"\n', encoding="utf-8")
        program.chmod(0o755)
    (found.folder / "complete").write_text("", encoding="utf-8")
    return found


def _below() -> str:
    return sysconfig.get_path("purelib")
