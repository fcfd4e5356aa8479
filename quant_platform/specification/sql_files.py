"""A table in one SQL file: ``specs/sql/<schema>.<table>.sql``, a header of comments in YAML, and a query."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from quant_platform.contracts.errors import SpecError
from quant_platform.specification.loading import SpecModel, load_text
from quant_platform.specification.yaml_text import read_text

FOLDER = "sql"
_NAME = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
_COMMENT = re.compile(r"--+ ?(.*)")


class SqlHeader(SpecModel):
    """What stands in the comments above the query."""

    description: str = Field(min_length=1, description="What the table holds, in one or two sentences.")
    partition: str | tuple[str, ...] = Field(
        default=(), description="Partition dimension, for example week or ticker; nothing for one table without any."
    )
    key: tuple[str, ...] = Field(min_length=1, description="Columns that identify a row.")
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="Descriptions of columns; one that is passed on unchanged has that of where it comes from.",
    )

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The partition dimensions, in the order of the folders."""
        return (self.partition,) if isinstance(self.partition, str) else self.partition


@dataclass(frozen=True)
class SqlFile:
    """One file.

    Attributes
    ----------
    path
        Where it is.
    header
        What its comments say.
    query
        The text below them.
    """

    path: Path
    header: SqlHeader
    query: str

    @property
    def name(self) -> str:
        """Stable name of the table, which is that of the file."""
        return self.path.stem


def sql_paths(specs: Path) -> tuple[Path, ...]:
    """The files of a specs folder, sorted; none where there is no such folder."""
    return tuple(sorted((specs / FOLDER).glob("*.sql")))


def read_sql_file(path: Path) -> SqlFile:
    """Read a file and its header.

    Raises
    ------
    SpecError
        When the name is not ``schema.table``, the header is missing or says something else, or there is no query.
    """
    if not _NAME.fullmatch(path.stem):
        raise SpecError(
            f"{path.stem!r} is no name of a table",
            where=str(path),
            action="call the file schema.table.sql, in lower case letters, digits and underscores",
        )
    lines = read_text(path).splitlines()
    above = next((k for k, line in enumerate(lines) if line.strip() and not line.startswith("--")), len(lines))
    found = [_COMMENT.fullmatch(line) for line in lines[:above]]
    query = "\n".join(lines[above:]).strip().removesuffix(";")
    if not any(found) or not query:
        raise SpecError(
            "the file has no header" if query else "the file has no query",
            where=f"{path}:1",
            action="begin it with the lines -- description:, -- partition: and -- key:, then write the query",
        )
    # Line numbers of the header stay those of the file.
    return SqlFile(path, load_text("\n".join(one.group(1) if one else "" for one in found), path, SqlHeader), query)
