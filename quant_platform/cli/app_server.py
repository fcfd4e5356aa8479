"""The process of the web app: ``python -m quant_platform.cli.app_server``, started by ``quant app``.

Streamlit's application is served by uvicorn behind our guard, as Dagster's is: `quant_platform.cli.guard` says who may
speak to it. The token comes by the environment, where other people's process lists do not show it.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import uvicorn

from quant_platform.cli.guard import TOKEN_VARIABLE, Application, Door, Guard
from quant_platform.specification.loading import load_spec
from quant_platform.specification.settings import settings
from quant_platform.specification.suite import ContractSpec

GRACE_SECONDS = 3
UPLOADS = "/_stcore/upload_file/"
MAIN = Path(__file__).resolve().parents[1] / "app" / "main.py"


def application() -> Application:
    """Streamlit's application: it watches no file, tells nobody, and takes files up to the bound of the contract."""
    import streamlit as st
    from streamlit import config

    contract = load_spec(settings().specs / "suite" / "contract.yaml", ContractSpec)
    options = {
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "global.developmentMode": False,
        "server.fileWatcherType": "none",
        "server.headless": True,
        "server.maxUploadSize": max(1, contract.max_bytes // 1_000_000),
        # The guard asks for the same and more, and knows the names this server is called by.
        "server.enableCORS": False,
        "server.enableXsrfProtection": False,
    }
    for name, value in options.items():
        config.set_option(name, value)
    return st.App(MAIN)


def serve() -> None:
    """Serve the app behind the guard until this process is told to end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--name", action="append", default=[])
    given = parser.parse_args()
    door = Door(
        given.host,
        frozenset(name.lower() for name in given.name),
        os.environ.pop(TOKEN_VARIABLE, ""),
        uploads=UPLOADS,
        command="quant app",
    )
    uvicorn.run(
        Guard(application(), door),
        host=given.host,
        port=given.port,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


if __name__ == "__main__":
    serve()
