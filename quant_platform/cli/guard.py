"""Who may speak to a web server of this house: its own pages, a person's tools, and nobody else's pages.

A server on 127.0.0.1 can be reached by every web site that is open in the browser of the same machine. Three headers,
which a page cannot forge, tell them apart:

1. ``Host`` names this server. A name that somebody else owns and points at this machine (DNS rebinding) is refused;
   an address cannot be rebound.
2. ``Origin``, where a browser sends it, is this server. Also for a WebSocket, which no other rule of a browser guards.
3. ``Sec-Fetch-Site``, where a browser sends it, says that the request comes from a page of this server or from the
   person; a link of another page may open a page here, in a window of its own.

Then: what can change something is sent by POST as JSON, which no form of another page can do; a GraphQL operation is
never read from a URL. Where a token is set, it comes with every request: once in the address, then in a cookie, or in
an ``Authorization`` header of a program.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
COOKIE = "quant_token"
TOKEN_PARAMETER = "token"
TOKEN_VARIABLE = "QUANT_TOKEN"
_READS = ("GET", "HEAD")
_FROM_HERE = ("same-origin", "none")
_UPLOADS = ("PUT", "DELETE")


@dataclass(frozen=True)
class Door:
    """Where a server listens and who is let in.

    Parameters
    ----------
    host
        Address the server listens on.
    names
        Further names under which it may be called, for example that of the machine.
    token
        What every request has to bring; empty for none.
    uploads
        Beginning of the paths to which a page of this server may PUT a file, and DELETE it again; empty for none.
    command
        The command that prints the address, for the sentence of a refusal.
    """

    host: str
    names: frozenset[str] = frozenset()
    token: str = ""
    uploads: str = ""
    command: str = "quant up"

    def knows(self, host: str) -> bool:
        """Whether a ``Host`` header names this server, whatever its port: a tunnel may have another."""
        name = _name_of(host)
        if name is None:
            return False
        if name in self.names or name in LOOPBACK or name == self.host.lower():
            return True
        return self.host not in LOOPBACK and _is_address(name)


class Guard:
    """ASGI middleware that lets a request through to an application, or answers 403 with a sentence."""

    def __init__(self, application: Application, door: Door) -> None:
        self.application = application
        self.door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] not in ("http", "websocket"):
            await self.application(scope, receive, send)
            return
        headers = _headers(scope)
        reason = _refusal(self.door, scope, headers)
        if reason:
            await _refuse(scope, send, reason)
        elif not self.door.token or _brings_token(self.door, headers):
            await self.application(scope, receive, _unframed(send))
        elif scope["type"] == "http" and scope["method"] in _READS and _asked_with_token(self.door, scope):
            await _remember(self.door, scope, send)
        else:
            await _refuse(scope, send, f"the token is missing; open the address that `{self.door.command}` printed")


def _refusal(door: Door, scope: Scope, headers: MutableMapping[str, list[str]]) -> str:
    """Why a request is not let in, or nothing."""
    for name in ("host", "origin", "sec-fetch-site"):
        if len(headers.get(name, [])) > 1:
            return f"the header {name} was sent twice"
    host, origin, site = (_one(headers, name) for name in ("host", "origin", "sec-fetch-site"))
    if not door.knows(host):
        return f"this server is not called {host!r}; `{door.command} --name` lets a name in"
    if origin and not _same(origin, host):
        return f"a page of {origin} may not speak to this server"
    reads = scope["type"] == "http" and scope["method"] in _READS
    opened = reads and _one(headers, "sec-fetch-mode") == "navigate" and _one(headers, "sec-fetch-dest") == "document"
    if site and site not in _FROM_HERE and not opened:
        return "a page of another site may not speak to this server"
    if scope["type"] == "websocket":
        return ""
    path = scope["path"].rstrip("/")
    if reads:
        asks = any(name in ("query", "variables", "mutation") for name, _ in _parameters(scope))
        return "a GraphQL operation is sent by POST" if path.endswith("/graphql") and asks else ""
    if door.uploads and path.startswith(door.uploads) and scope["method"] in _UPLOADS:
        # No form can send these methods, and a script of another page has to ask first, which is refused.
        return "" if origin or site == "same-origin" else "a file is uploaded by a page of this server"
    if scope["method"] != "POST":
        return f"the method {scope['method']} is not served"
    kind = _one(headers, "content-type").partition(";")[0].strip().lower()
    return "" if kind == "application/json" else "what is posted has to be application/json"


def _headers(scope: Scope) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1").strip())
    return found


def _one(headers: MutableMapping[str, list[str]], name: str) -> str:
    return headers.get(name, [""])[0]


def _name_of(host: str) -> str | None:
    """The name in ``name:port``, without brackets; None where it is none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    plain = parts.path == "" and parts.query == "" and parts.fragment == "" and "@" not in host
    return parts.hostname.rstrip(".").lower() if plain and parts.hostname else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _same(origin: str, host: str) -> bool:
    parts = urlsplit(origin)
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower() and not parts.path.strip("/")


def _parameters(scope: Scope) -> list[tuple[str, str]]:
    return parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)


def _equal(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())


def _brings_token(door: Door, headers: MutableMapping[str, list[str]]) -> bool:
    kind, _, given = _one(headers, "authorization").partition(" ")
    if kind.lower() == "bearer" and _equal(given.strip(), door.token):
        return True
    cookies = (pair.strip().partition("=") for line in headers.get("cookie", []) for pair in line.split(";"))
    return any(name == COOKIE and _equal(value, door.token) for name, _, value in cookies)


def _asked_with_token(door: Door, scope: Scope) -> bool:
    return any(name == TOKEN_PARAMETER and _equal(value, door.token) for name, value in _parameters(scope))


async def _remember(door: Door, scope: Scope, send: Send) -> None:
    """Put the token into a cookie and the address without it into the bar of the browser."""
    rest = urlencode([pair for pair in _parameters(scope) if pair[0] != TOKEN_PARAMETER])
    # Not //somewhere: a path that begins with two slashes would lead to another server.
    target = "/" + scope["path"].lstrip("/") + (f"?{rest}" if rest else "")
    cookie = f"{COOKIE}={door.token}; HttpOnly; SameSite=Strict; Path=/"
    headers = [
        (b"location", target.encode("ascii", "ignore")),
        (b"set-cookie", cookie.encode()),
        (b"content-length", b"0"),
    ]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def _refuse(scope: Scope, send: Send, reason: str) -> None:
    if scope["type"] == "websocket":
        # Before it is accepted, closing a WebSocket is answering its handshake with 403.
        await send({"type": "websocket.close", "code": 1008, "reason": reason[:120]})
        return
    body = f"refused: {reason}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _unframed(send: Send) -> Send:
    """No page of another site may show this one inside itself and lead a person's clicks."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept: Collection[tuple[bytes, bytes]] = message.get("headers", [])
            message = {**message, "headers": [*kept, (b"x-frame-options", b"SAMEORIGIN")]}
        await send(message)

    return sending
