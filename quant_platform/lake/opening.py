"""The one way into the catalogue for everything that reads: read-only, and closed to all but the files of the lake."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path

import duckdb

from quant_platform.contracts.errors import CatalogueUnavailable, PartitionMissing
from quant_platform.lake.sql_text import exact_path, quoted

_CLOSED: Mapping[str, str | bool] = {
    "allow_community_extensions": False,
    "allow_extension_repositories": "forbidden",
    "allow_persistent_secrets": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
}
"""How a reader's database is opened: no extension that is not in it, no variable of the Python around it."""


def open_catalogue(path: Path, *, threads: int | None = None) -> duckdb.DuckDBPyConnection:
    """Open the catalogue as it is now, read-only, for SQL such as ``SELECT * FROM clean.equity_bars``.

    The one way in for everything that reads: ``quant sql``, the pages, the web app, a notebook.

    Parameters
    ----------
    path
        The catalogue; the lake whose files its views name lies beside it.
    threads
        How many a query may use; DuckDB's own choice when not given. With one, sums have the same bits every time.

    Raises
    ------
    PartitionMissing
        When there is no catalogue yet.
    CatalogueUnavailable
        When another process holds it open for writing or it is no database; said at once, nothing is waited for.

    Notes
    -----
    The file is attached to a database in memory. ``duckdb.connect(path)`` would hand a process that still holds an
    older connection the catalogue of that time.

    The connection reaches the files of the lake and no others, neither on the disk nor in the network; it loads no
    extension, sees no variable of the Python around it, and its settings are locked. DuckDB lets a statement that may
    read a folder write there too: whoever passes on statements of others looks at their kind first
    (`quant_platform.cli.query`). To join the tables with frames or files of one's own there is `connect`.
    """
    found = Path(path)
    if not found.is_file():
        raise PartitionMissing(
            "there is no catalogue",
            where=str(path),
            cause="nothing was materialised yet",
            action="materialise an asset, or use quant_platform.lake.connect()",
        )
    # Made by DuckDB when a query outgrows the memory, and removed when the connection closes.
    spill = str(Path(tempfile.gettempdir()) / f"quant-query-{os.getpid()}-{secrets.token_hex(4)}")
    bounded = {} if threads is None else {"threads": threads}
    connection = duckdb.connect(config={**_CLOSED, **bounded, "temp_directory": spill})
    try:
        connection.execute(f"ATTACH {quoted(str(path))} AS quant (READ_ONLY)")
        connection.execute("USE quant")
        connection.execute("SET TimeZone = 'UTC'")
        home = found.resolve().parent
        connection.execute(f"SET VARIABLE quant_home = {exact_path(str(home))}")
        # A partition file never changes.
        connection.execute("SET parquet_metadata_cache = true")
        lake = f"{home / 'lake'}{os.sep}"
        # A path in a view is a pattern that matches itself; DuckDB compares the pattern and the file it finds.
        connection.execute(f"SET allowed_directories = [{quoted(lake)}, {exact_path(lake)}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
    except duckdb.Error as error:
        connection.close()
        reason = " ".join(str(error).split())
        held = "lock" in reason
        raise CatalogueUnavailable(
            "the catalogue cannot be opened",
            where=str(path),
            cause=f"another process holds it open for writing: {reason}" if held else reason,
            action="end that process, or open the catalogue read-only there: duckdb -readonly"
            if held
            else "build it again: quant lake refresh",
        ) from None
    return connection
