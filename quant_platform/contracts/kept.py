"""What is slow to find and never changes, kept in the user's cache folder between processes.

A name carries everything that the content depends on (versions, a hash), so nothing here is ever out of date; whatever
is missing, damaged or cannot be written is found again.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


def cache_folder() -> Path:
    """The folder of this package in the user's cache: below ``XDG_CACHE_HOME``, or ``~/.cache``."""
    said = os.environ.get("XDG_CACHE_HOME")
    return (Path(said) if said else Path.home() / ".cache") / "quant_platform"


def read_kept(name: str) -> bytes | None:
    """What was kept under a name; None where there is nothing, or it cannot be read."""
    try:
        return (cache_folder() / name).read_bytes()
    except OSError:
        return None


def keep(name: str, content: bytes) -> None:
    """Keep something, whole or not at all; a folder that cannot be written is no error, only slower."""
    target = cache_folder() / name
    beside = target.with_name(f"{target.name}.{os.getpid()}-{secrets.token_hex(4)}")
    with contextlib.suppress(OSError):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            beside.write_bytes(content)
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
