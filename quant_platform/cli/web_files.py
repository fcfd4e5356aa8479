"""Scripts, styles and pictures of Dagster's user interface, answered from memory.

A page of it asks for about fifty of them in waves, each of which waits for the one before. Dagster reads them in
pieces, each in a thread of its own, and lets the browser ask at every visit whether they have changed; but their names
have their content in them.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from starlette.responses import Response

from quant_platform.cli.guard import Application, Receive, Scope, Send

NAMED_BY_CONTENT = "/_next/static/"
_FOR_GOOD = {"cache-control": "public, max-age=31536000, immutable"}
# Debuggers ask for these, pages do not.
_MAPS = ".map"


class WebFiles:
    """Answers for the files whose names have their content in them, and lets the application answer everything else.

    Parameters
    ----------
    application
        Dagster's.
    build
        Folder of its user interface; without one, everything goes to the application.
    """

    def __init__(self, application: Application, build: Path) -> None:
        self._application = application
        self._files = _files_below(build)
        self._answer = cache(self._read)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        known = scope["type"] == "http" and scope["method"] == "GET" and scope["path"] in self._files
        await (self._answer(scope["path"]) if known else self._application)(scope, receive, send)

    def _read(self, path: str) -> Response:
        kind, _ = mimetypes.guess_type(path)
        return Response(self._files[path].read_bytes(), media_type=kind, headers=_FOR_GOOD)


def _files_below(build: Path) -> Mapping[str, Path]:
    folder = build.joinpath(*NAMED_BY_CONTENT.strip("/").split("/"))
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix != _MAPS)
    return {f"/{path.relative_to(build).as_posix()}": path for path in found}
