"""``quant app``: the web app on one home, behind the guard, until interrupted."""

from __future__ import annotations

import os
import sys

from rich.console import Console

from quant_platform.cli.guard import TOKEN_VARIABLE
from quant_platform.cli.homes import HomeOption, open_checked_home
from quant_platform.cli.processes import StopAsked, company
from quant_platform.cli.serving import (
    START_SECONDS,
    HostOption,
    NameOption,
    PortOption,
    TokenOption,
    answers_http,
    known_names,
    require_free,
    shown_host,
    token_for,
)

HEALTH = "/_stcore/health"


def app(
    home: HomeOption = None,
    port: PortOption = 8501,
    host: HostOption = "127.0.0.1",
    token: TokenOption = None,
    name: NameOption = None,
) -> None:
    """Start the web app on this home, until interrupted: run signals, read verdicts, look back, start jobs."""
    opened = open_checked_home(home)
    chosen = token_for(token, host)
    require_free(host, port)
    command = [sys.executable, "-m", "quant_platform.cli.app_server", "--host", host, "--port", str(port)]
    command += [f"--name={known}" for known in known_names(name, host)]
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
