"""Dagster's web application over a code server that is already running."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import dagster_webserver
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from dagster_webserver.version import __version__
from starlette.applications import Starlette

STATEMENT_TIMEOUT_MS = 15_000
POOL_RECYCLE_SECONDS = 3_600
POOL_OVERFLOW = 20
LIVE_DATA_POLL_MS = 2_000
PAGES = Path(dagster_webserver.__file__).parent / "webapp" / "build"
"""What a browser loads of it."""


@contextmanager
def web_application(workspace: Path) -> Iterator[Starlette]:
    """Open Dagster's user interface as an ASGI application, for as long as the block lasts.

    Parameters
    ----------
    workspace
        A workspace file that names the code server.

    Notes
    -----
    The instance is the one of ``DAGSTER_HOME``. The functions are those that Dagster's own command calls, which has no
    place for a middleware; the numbers are its defaults, and the first three matter for Postgres alone.
    """
    with (
        dg.DagsterInstance.get() as instance,
        _context(instance, workspace) as context,
    ):
        yield create_app_from_workspace_process_context(context, "", LIVE_DATA_POLL_MS)


def _context(instance: dg.DagsterInstance, workspace: Path) -> WorkspaceProcessContext:
    instance.optimize_for_webserver(STATEMENT_TIMEOUT_MS, POOL_RECYCLE_SECONDS, POOL_OVERFLOW)
    target = WorkspaceFileTarget([str(workspace)])
    return WorkspaceProcessContext(instance, version=__version__, read_only=False, workspace_load_target=target)
