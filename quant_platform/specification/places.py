"""The place of an expression inside its YAML file, so that an error can point at the character."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from quant_platform.specification.loading import Location, line_of


@dataclass(frozen=True)
class Place:
    """File, line and column (both from 1) of the first character of a text."""

    file: str
    line: int
    column: int


def place_of(path: Path, lines: Mapping[Location, int], location: Location, text: str) -> Place:
    """Find where the text of a key begins.

    Parameters
    ----------
    path
        The YAML file.
    lines
        Line of each key, as :func:`~quant_platform.specification.loading.read_yaml` returns it.
    location
        The key whose value is wanted.
    text
        That value.

    Notes
    -----
    A value on the line of its key is found there, quoted or not; a block scalar begins on the next line that is not
    empty. Where neither holds, the place is the key itself.
    """
    written = path.read_text(encoding="utf-8").splitlines()
    line = line_of(lines, location)
    first = next(iter(text.strip().splitlines()), "")
    key_end = written[line - 1].find(":") + 1 if line <= len(written) else 0
    for number in range(line, min(line + 3, len(written) + 1)):
        column = written[number - 1].find(first, key_end if number == line else 0)
        if first and column >= 0:
            return Place(str(path), number, column + 1)
    return Place(str(path), line, 1)
