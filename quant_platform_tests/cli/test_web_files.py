"""Files of Dagster's user interface: answered byte for byte from memory, and only those whose names never change."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import PlainTextResponse

from quant_platform.cli.web_files import NAMED_BY_CONTENT, WebFiles
from quant_platform.defs.web import PAGES

ELSEWHERE = PlainTextResponse("of the application")


def answer(files: WebFiles, path: str, method: str = "GET", kind: str = "http") -> tuple[dict[str, str], bytes]:
    """Headers and body of one request."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nobody reads what was sent with it")

    asyncio.run(files({"type": kind, "method": method, "path": path, "headers": []}, receive, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return headers, b"".join(message.get("body", b"") for message in sent[1:])


@pytest.fixture
def build(tmp_path: Path) -> Path:
    for name in ("_next/static/chunks/one-abc.js", "_next/static/chunks/one-abc.js.map", "index.html", "secret.txt"):
        path = tmp_path / "build" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "outside.js").write_text("of another folder")
    return tmp_path / "build"


def test_the_files_of_the_installed_dagster_are_answered_as_they_are() -> None:
    files = WebFiles(ELSEWHERE, PAGES)
    folder = PAGES.joinpath(*NAMED_BY_CONTENT.strip("/").split("/"))
    kinds = {".js": "javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    seen = set()
    for path in folder.rglob("*"):
        if path.suffix not in kinds:
            continue
        headers, body = answer(files, f"/{path.relative_to(PAGES).as_posix()}")
        assert body == path.read_bytes()
        assert kinds[path.suffix] in headers["content-type"]
        assert headers["content-length"] == str(path.stat().st_size)
        assert "immutable" in headers["cache-control"]
        seen.add(path.suffix)
    assert seen == set(kinds)


@pytest.mark.parametrize(
    ("path", "method", "kind"),
    [
        ("/", "GET", "http"),
        ("/index.html", "GET", "http"),
        ("/_next/static/chunks/one-abc.js.map", "GET", "http"),
        ("/_next/static/chunks/two-abc.js", "GET", "http"),
        ("/_next/static/../../secret.txt", "GET", "http"),
        ("/_next/static/../../../outside.js", "GET", "http"),
        ("/_next/static/chunks", "GET", "http"),
        ("/_next/static/chunks/one-abc.js", "POST", "http"),
        ("/_next/static/chunks/one-abc.js", "HEAD", "http"),
    ],
)
def test_everything_else_is_up_to_the_application(path: str, method: str, kind: str, build: Path) -> None:
    _, body = answer(WebFiles(ELSEWHERE, build), path, method, kind)
    assert body == ELSEWHERE.body


def test_a_dagster_without_its_pages_is_left_alone(tmp_path: Path) -> None:
    _, body = answer(WebFiles(ELSEWHERE, tmp_path / "none"), "/_next/static/chunks/one-abc.js")
    assert body == ELSEWHERE.body


def test_a_file_is_read_once(build: Path) -> None:
    files, path = WebFiles(ELSEWHERE, build), "/_next/static/chunks/one-abc.js"
    first = answer(files, path)
    (build / path.strip("/")).unlink()
    assert answer(files, path) == first
