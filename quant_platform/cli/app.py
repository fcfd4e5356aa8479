"""``quant app``: the web app on one home, behind the guard, until interrupted."""

from __future__ import annotations

import os
import socket
import sys
from typing import Annotated

import typer
from rich.console import Console

from quant_platform.cli.guard import LOOPBACK, TOKEN_VARIABLE
from quant_platform.cli.homes import HomeOption, open_checked_home
from quant_platform.cli.processes import StopAsked, company
from quant_platform.cli.serving import START_SECONDS, answers_http, require_free, shown_host, token_for

HEALTH = "/_stcore/health"


def app(
    home: HomeOption = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the app.")] = 8501,
    host: Annotated[str, typer.Option(help="Address the app listens on.")] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(
            envvar=TOKEN_VARIABLE,
            help="What a browser has to bring, once; made up when the address is not this machine's own.",
        ),
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option(help="A name this server is called by, as behind a proxy; may be repeated.")
    ] = None,
) -> None:
    """Start the web app on this home, until interrupted: run signals, read verdicts, look back, start jobs."""
    opened = open_checked_home(home)
    chosen = token_for(token, host)
    require_free(host, port)
    names = [*(name or []), *([] if host in LOOPBACK else [socket.gethostname()])]
    command = [sys.executable, "-m", "quant_platform.cli.app_server", "--host", host, "--port", str(port)]
    command += [f"--name={known}" for known in names]
    environment = {
        **os.environ,
        TOKEN_VARIABLE: chosen,
        "QUANT_HOME": str(opened.settings.home),
        "QUANT_SPECS": str(opened.settings.specs),
    }
    try:
        with company(opened.settings.home / "app" / "server") as servers:
            if sys.stderr.isatty():
                print("starting the app ...", file=sys.stderr)
            servers.start("app", command, environment)
            servers.wait_until(lambda: answers_http(host, port, HEALTH), "the app", START_SECONDS)
            shown = f"http://{shown_host(host)}:{port}/" + (f"?token={chosen}" if chosen else "")
            Console(highlight=False, soft_wrap=True).print(f"{opened.title}: {shown}  (Ctrl-C stops it)", markup=False)
            servers.watch()
    except StopAsked:
        Console(stderr=True).print("stopped")
