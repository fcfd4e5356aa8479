"""Names, texts and paths as they stand in a statement of DuckDB."""

from __future__ import annotations


def identifier(name: str) -> str:
    """Quote a name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def quoted(text: str) -> str:
    """Quote a text for SQL."""
    return "'" + text.replace("'", "''") + "'"


def exact_path(path: str) -> str:
    """Quote a path and take their meaning from characters that DuckDB would expand."""
    return quoted("".join(f"[{character}]" if character in "*?[" else character for character in path))
