"""The process of the web server: ``python -m quant_platform.cli.web_server``, started by ``quant up``.

The token comes by the environment, where other people's process lists do not show it.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import uvicorn

from quant_platform.cli.guard import TOKEN_VARIABLE, Door, Guard
from quant_platform.cli.serving import answers_grpc
from quant_platform.cli.web_files import WebFiles
from quant_platform.contracts.collecting import collected_afterwards

GRACE_SECONDS = 3
POLL_SECONDS = 0.1


def serve() -> None:
    """Serve Dagster's user interface behind the guard until this process is told to end.

    It may be started before the code server, and loads while that does.
    """
    with collected_afterwards():
        from quant_platform.defs.web import PAGES, web_application

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--name", action="append", default=[])
    given = parser.parse_args()
    door = Door(given.host, frozenset(name.lower() for name in given.name), os.environ.pop(TOKEN_VARIABLE, ""))
    while not answers_grpc(given.workspace):
        time.sleep(POLL_SECONDS)
    with web_application(given.workspace) as application:
        uvicorn.run(
            Guard(WebFiles(application, PAGES), door),
            host=given.host,
            port=given.port,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )


if __name__ == "__main__":
    serve()
