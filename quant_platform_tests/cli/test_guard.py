"""The guard of the web servers: each request as a browser, a program or an attacker would send it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from quant_platform.cli.guard import Door, Guard

HERE = Door("127.0.0.1")
NAMED = Door("127.0.0.1", frozenset({"quant.example.com"}))
APP = Door("127.0.0.1", uploads="/_stcore/upload_file/", command="quant app")
OPEN = Door("0.0.0.0", token="a-token-of-some-length")
JSON = {"content-type": "application/json"}


async def _served(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"served"})


def asked(door: Door, method: str, path: str, query: str = "", **headers: str) -> list[dict[str, Any]]:
    """What the server sends when this arrives; the method WS is the handshake of a WebSocket."""
    given = {"host": "127.0.0.1:3000", **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": "websocket" if method == "WS" else "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in given.items() if value],
    }
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(Guard(_served, door)(scope, None, send))  # type: ignore[arg-type]  # nothing here reads a body
    return sent


def let_in(sent: list[dict[str, Any]]) -> bool:
    first = sent[0]
    return bool(first["type"] == "websocket.accept" or first.get("status") == 200)


LET_IN = [
    ("a person opens the page", HERE, "GET", "/", "", {"sec_fetch_site": "none"}),
    ("the page asks", HERE, "POST", "/graphql", "", {**JSON, "origin": "http://127.0.0.1:3000"}),
    ("by name", HERE, "GET", "/", "", {"host": "localhost:3000"}),
    ("by the address of version 6", HERE, "GET", "/", "", {"host": "[::1]:3000"}),
    ("through a tunnel with another port", HERE, "GET", "/", "", {"host": "localhost:8080"}),
    ("a program", HERE, "POST", "/graphql", "", JSON),
    ("a program with a charset", HERE, "POST", "/graphql", "", {"content-type": "application/json; charset=utf-8"}),
    ("the page's WebSocket", HERE, "WS", "/graphql", "", {"origin": "http://127.0.0.1:3000"}),
    ("a script of the page", HERE, "GET", "/vendor.js", "", {"sec_fetch_site": "same-origin"}),
    (
        "a link of another page",
        HERE,
        "GET",
        "/assets",
        "view=folder",
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"},
    ),
    (
        "behind a proxy with a certificate",
        NAMED,
        "POST",
        "/graphql",
        "",
        {**JSON, "host": "quant.example.com", "origin": "https://quant.example.com"},
    ),
    ("a program with the token", OPEN, "GET", "/", "", {"authorization": "Bearer a-token-of-some-length"}),
    (
        "a browser with the cookie",
        OPEN,
        "GET",
        "/",
        "",
        {"host": "10.0.0.7:3000", "cookie": "a=b; quant_token=a-token-of-some-length"},
    ),
]


@pytest.mark.parametrize("row", LET_IN, ids=[row[0] for row in LET_IN])
def test_what_belongs_here_is_let_in(row: Any) -> None:
    _, door, method, path, query, headers = row
    assert let_in(asked(door, method, path, query, **headers))


EVIL = "http://evil.test"
REFUSED = [
    ("a name that was rebound", HERE, "GET", "/", "", {"host": "evil.test:3000"}, "not called"),
    ("no host", HERE, "GET", "/", "", {"host": ""}, "not called"),
    ("a host with a user", HERE, "GET", "/", "", {"host": "localhost@evil.test"}, "not called"),
    ("a host with a bad port", HERE, "GET", "/", "", {"host": "localhost:x"}, "not called"),
    ("another address", HERE, "GET", "/", "", {"host": "10.0.0.7:3000"}, "not called"),
    ("a name not let in", OPEN, "GET", "/", "", {"host": "evil.test"}, "not called"),
    ("a foreign page posts", HERE, "POST", "/graphql", "", {**JSON, "origin": EVIL}, "a page of http://evil.test"),
    ("another port of this machine", HERE, "POST", "/graphql", "", {**JSON, "origin": "http://127.0.0.1:8501"}, "page"),
    ("a sandboxed page", HERE, "POST", "/graphql", "", {**JSON, "origin": "null"}, "a page of null"),
    ("a foreign WebSocket", HERE, "WS", "/graphql", "", {"origin": EVIL}, "a page of"),
    ("an old browser's image", HERE, "GET", "/graphql", "query=mutation{x}", {}, "sent by POST"),
    ("the same with a slash", HERE, "GET", "/graphql/", "query=mutation{x}", {}, "sent by POST"),
    ("variables alone", HERE, "GET", "/graphql", "variables={}", {}, "sent by POST"),
    ("an image of another site", HERE, "GET", "/logs/1", "", {"sec_fetch_site": "cross-site"}, "another site"),
    ("a page of a sister", HERE, "GET", "/", "", {"sec_fetch_site": "same-site"}, "another site"),
    (
        "a frame",
        HERE,
        "GET",
        "/",
        "",
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "iframe"},
        "another site",
    ),
    (
        "a form of another page",
        HERE,
        "POST",
        "/graphql",
        "",
        {**JSON, "sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"},
        "another site",
    ),
    ("a form", HERE, "POST", "/graphql", "query=x", {"content-type": "text/plain"}, "application/json"),
    ("nothing said", HERE, "POST", "/report_asset_materialization/a", "", {}, "application/json"),
    ("a preflight", HERE, "OPTIONS", "/graphql", "", {}, "not served"),
    ("a method of WebDAV", HERE, "DELETE", "/", "", JSON, "not served"),
    ("without the token", OPEN, "GET", "/", "", {}, "token is missing"),
    ("with half of the token", OPEN, "GET", "/", "token=a-token", {}, "token is missing"),
    ("a WebSocket without the token", OPEN, "WS", "/graphql", "", {}, "token is missing"),
    ("a token in a POST's address", OPEN, "POST", "/graphql", "token=a-token-of-some-length", JSON, "token is missing"),
]


@pytest.mark.parametrize("row", REFUSED, ids=[row[0] for row in REFUSED])
def test_what_does_not_is_refused_with_a_sentence(row: Any) -> None:
    _, door, method, path, query, headers, reason = row
    sent = asked(door, method, path, query, **headers)
    assert not let_in(sent)
    if method == "WS":
        assert sent == [{"type": "websocket.close", "code": 1008, "reason": sent[0]["reason"]}]
        assert reason in sent[0]["reason"]
    else:
        assert sent[0]["status"] == 403
        assert sent[1]["body"].startswith(b"refused: ")
        assert reason in sent[1]["body"].decode()


def test_a_header_that_comes_twice_is_refused() -> None:
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/", "query_string": b""}
    scope["headers"] = [(b"host", b"localhost"), (b"host", b"evil.test")]
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(Guard(_served, HERE)(scope, None, send))  # type: ignore[arg-type]  # nothing here reads a body
    assert b"sent twice" in sent[1]["body"]


def test_the_token_is_taken_once_and_kept_in_a_cookie() -> None:
    sent = asked(OPEN, "GET", "//elsewhere.test/runs", "a=1&token=a-token-of-some-length&b=2")
    assert sent[0]["status"] == 303
    headers = dict(sent[0]["headers"])
    assert headers[b"location"] == b"/elsewhere.test/runs?a=1&b=2"
    assert headers[b"set-cookie"] == b"quant_token=a-token-of-some-length; HttpOnly; SameSite=Strict; Path=/"


def test_no_other_site_may_frame_a_page() -> None:
    sent = asked(HERE, "GET", "/")
    assert (b"x-frame-options", b"SAMEORIGIN") in sent[0]["headers"]


FILE = "/_stcore/upload_file/session/file"
MULTIPART = {"content_type": "multipart/form-data; boundary=x"}


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_page_of_the_app_uploads_a_file_and_takes_it_back(method: str) -> None:
    assert let_in(asked(APP, method, FILE, origin="http://127.0.0.1:3000", **MULTIPART))
    assert let_in(asked(APP, method, FILE, sec_fetch_site="same-origin", **MULTIPART))


@pytest.mark.parametrize(
    ("door", "method", "path", "headers"),
    [
        (APP, "PUT", FILE, {"origin": "http://evil.example"}),
        (APP, "PUT", FILE, {"origin": "http://127.0.0.1:8000"}),
        (APP, "PUT", FILE, {"sec_fetch_site": "cross-site"}),
        (APP, "PUT", FILE, {}),
        (APP, "PUT", "/_stcore/health", {"origin": "http://127.0.0.1:3000"}),
        (APP, "POST", FILE, {"origin": "http://127.0.0.1:3000"}),
        (APP, "OPTIONS", FILE, {"origin": "http://evil.example"}),
        (HERE, "PUT", FILE, {"origin": "http://127.0.0.1:3000"}),
    ],
    ids=["foreign", "other port", "cross-site", "nobody", "elsewhere", "form", "preflight", "no uploads"],
)
def test_nobody_else_uploads(door: Door, method: str, path: str, headers: dict[str, str]) -> None:
    assert not let_in(asked(door, method, path, **MULTIPART, **headers))


def test_a_refusal_names_the_command_that_serves() -> None:
    assert b"quant app --name" in asked(APP, "GET", "/", host="evil.example")[1]["body"]
