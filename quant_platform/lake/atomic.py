"""A file that is there whole or not at all: written beside its place under another name, then renamed."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def atomic_bytes(path: Path, content: bytes) -> None:
    """Write a file so that a reader finds the old content or the new one, whenever the writer dies.

    Parameters
    ----------
    path
        The file; folders above it are made.
    content
        What it holds then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def atomic_text(path: Path, text: str) -> None:
    """`atomic_bytes` of text in UTF-8."""
    atomic_bytes(path, text.encode("utf-8"))
