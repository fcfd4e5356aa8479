"""``quant up``: Dagster's code server, daemon and web server on one home, each as a process of its own."""

from __future__ import annotations

import os
import re
import secrets
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

import typer
import yaml
from rich.console import Console

from quant_platform.cli.guard import LOOPBACK, TOKEN_VARIABLE
from quant_platform.cli.homes import HomeOption, open_checked_home
from quant_platform.cli.processes import Company, StopAsked, company
from quant_platform.contracts.errors import SettingsError
from quant_platform.pipeline.home import Home

LOCATION = "quant_platform"
"""The name under ``workspace.yaml``: what is switched on here is on under a deployment too."""

START_SECONDS = 180.0
_TOKEN = re.compile(r"[A-Za-z0-9_.~-]{16,200}")

PortOption = Annotated[int, typer.Option(min=1, max=65535, help="Port of the server.")]
HostOption = Annotated[str, typer.Option(help="Address the server listens on.")]
TokenOption = Annotated[
    str | None,
    typer.Option(
        envvar=TOKEN_VARIABLE,
        help="What a browser has to bring, once; made up when the address is not this machine's own.",
    ),
]
NameOption = Annotated[
    list[str] | None, typer.Option(help="A name this server is called by, as behind a proxy; may be repeated.")
]


def up(
    home: HomeOption = None,
    port: PortOption = 3000,
    host: HostOption = "127.0.0.1",
    token: TokenOption = None,
    name: NameOption = None,
) -> None:
    """Start Dagster's code server, daemon and web server on this home, until interrupted."""
    from quant_platform.lake.locks import exclusive

    opened = open_checked_home(home)
    chosen = token_for(token, host)
    require_free(host, port)
    folder = opened.settings.home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder / "up.lock", wait=False) as alone:
        if not alone:
            raise SettingsError(
                "another `quant up` serves this home",
                where=str(opened.settings.home),
                cause="two daemons on one home would start every schedule twice",
                action="stop the other one, or name another home with --home",
            )
        address = f"http://{shown_host(host)}:{port}/"
        web = ["--host", host, "--port", str(port), *(f"--name={known}" for known in known_names(name, host))]
        try:
            with (
                company(folder / "up") as servers,
                tempfile.TemporaryDirectory(prefix="quant-up-") as place,
                _served(opened, servers, Path(place), web, chosen),
            ):
                servers.wait_until(lambda: answers_http(host, port), "the web server", START_SECONDS)
                shown = f"{address}?token={chosen}" if chosen else address
                console = Console(highlight=False, soft_wrap=True)
                console.print(f"{opened.title}: {shown}  (Ctrl-C stops it)", markup=False)
                servers.watch()
        except StopAsked:
            Console(stderr=True).print("stopped")


def known_names(given: Sequence[str] | None, host: str) -> list[str]:
    """Names a server is called by: those given, and this machine's own where others may reach it."""
    return [*(given or []), *([] if host in LOOPBACK else [socket.gethostname()])]


@contextmanager
def _served(opened: Home, servers: Company, place: Path, web: Sequence[str], token: str) -> Iterator[None]:
    """Start the three processes; each of them, and this one, loads Dagster while the others do."""
    if sys.stderr.isatty():
        print("starting the code server, the daemon and the web server ...", file=sys.stderr)
    workspace, code_server = _code_server(place)
    servers.start("code-server", code_server, _environment(opened))
    from quant_platform.defs import instances, runs

    instances.prepare_instance_folder(opened)
    with instances.only_service(opened):
        with runs.instance_of(opened) as instance:
            runs.register_tickers(opened, instance)
        # It loads, and waits for the code server as this process does.
        command = [sys.executable, "-m", "quant_platform.cli.web_server", "--workspace", str(workspace), *web]
        servers.start("web-server", command, {**_environment(opened), TOKEN_VARIABLE: token})
        servers.wait_until(lambda: answers_grpc(workspace), "the code server", START_SECONDS)
        daemon = [sys.executable, "-m", "dagster._daemon", "run", "-w", str(workspace)]
        servers.start("daemon", daemon, _environment(opened))
        yield


def _environment(opened: Home) -> dict[str, str]:
    """The environment of this process for one that is to serve a home, without the token."""
    inherited = {key: value for key, value in os.environ.items() if key != TOKEN_VARIABLE}
    where = opened.settings
    named = {"QUANT_HOME": where.home, "QUANT_SPECS": where.specs, "DAGSTER_HOME": where.home / "dagster"}
    return inherited | {key: str(path) for key, path in named.items()}


def _code_server(place: Path) -> tuple[Path, list[str]]:
    """Write the workspace that names the code server; the command that starts it."""
    where: dict[str, object] = {"location_name": LOCATION}
    if hasattr(socket, "AF_UNIX"):
        where["socket"] = str(place / "code.sock")
        listens = ["--socket", str(place / "code.sock")]
    else:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            number = probe.getsockname()[1]
        where |= {"host": "127.0.0.1", "port": number}
        listens = ["--host", "127.0.0.1", "--port", str(number)]
    workspace = place / "workspace.yaml"
    workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": where}]}), encoding="utf-8")
    command = [sys.executable, "-m", "dagster", "code-server", "start", "-m", "quant_platform.defs.definitions"]
    return workspace, [*command, "--location-name", LOCATION, *listens]


def answers_grpc(workspace: Path) -> bool:
    """Whether the code server that a workspace names speaks."""
    from dagster._core.errors import DagsterUserCodeUnreachableError
    from dagster._grpc.client import DagsterGrpcClient

    where = yaml.safe_load(workspace.read_text(encoding="utf-8"))["load_from"][0]["grpc_server"]
    if "socket" in where and not Path(where["socket"]).exists():
        return False
    try:
        DagsterGrpcClient(where.get("port"), where.get("socket"), where.get("host", "localhost")).ping("quant up")
    except DagsterUserCodeUnreachableError:
        return False
    return True


def answers_http(host: str, port: int, path: str = "/server_info") -> bool:
    """Whether a web server speaks; a refusal for want of a token is an answer."""
    address = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    request = Request(f"http://{bracketed(address)}:{port}{path}")
    try:
        build_opener(ProxyHandler({})).open(request, timeout=5).close()
    except HTTPError as error:
        error.close()
        return error.code < 500
    except (URLError, OSError):
        return False
    return True


def token_for(given: str | None, host: str) -> str:
    """The token a person gave, or a new one where the address is not this machine's own; empty for none.

    Raises
    ------
    SettingsError
        For a token that no cookie can hold.
    """
    if given:
        if not _TOKEN.fullmatch(given):
            raise SettingsError(
                "the token cannot be used",
                where="--token or QUANT_TOKEN",
                cause="a token has 16 to 200 letters, digits or the signs - _ . ~",
                action="leave it out and one is made up",
            )
        return given
    return "" if host in LOOPBACK else secrets.token_urlsafe(24)


def require_free(host: str, port: int) -> None:
    """Refuse an address at which nothing can listen; raises SettingsError."""
    with _listening_failures(host, port):
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)


@contextmanager
def _listening_failures(host: str, port: int) -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeError) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise SettingsError(
            "the web server cannot listen here",
            where=f"{host}, port {port}",
            cause=f"{said}; another `quant up` may be running",
            action="stop it, or choose another with --port",
        ) from error


def shown_host(host: str) -> str:
    """The host as it stands in an address that is printed."""
    return socket.gethostname() if host in ("", "0.0.0.0", "::") else bracketed(host)


def bracketed(host: str) -> str:
    """The host as it stands in an address; version 6 goes into brackets."""
    return f"[{host}]" if ":" in host else host
