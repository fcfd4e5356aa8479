"""A headless Chromium on the app: for the one test of a browser, and for the pictures of the pages.

``python -m quant_platform_tests.app.browser HOME FOLDER`` writes a picture of each page of a home.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from playwright.sync_api import Page, sync_playwright

# Name of the picture by path; the first page is at the root.
PAGES = {"run": "", **{name: name for name in ("results", "history", "equity", "events", "operations", "jobs")}}
READY_SECONDS = 120
QUIET_MILLISECONDS = 90_000


def chromium() -> str | None:
    """Where a Chromium of this machine is; None where there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def served(home: Path, specs: Path) -> Iterator[str]:
    """The app on a home, behind its guard; yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "quant_platform.cli.app_server", "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "QUANT_HOME": str(home), "QUANT_SPECS": str(specs), "QUANT_TOKEN": ""}
    process = subprocess.Popen(command, env=environment)
    try:
        _wait(f"http://127.0.0.1:{port}/_stcore/health", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def opened(width: int = 1280, height: int = 1500) -> Iterator[Page]:
    """A page of a headless browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            yield browser.new_page(viewport={"width": width, "height": height})
        finally:
            browser.close()


def visit(page: Page, address: str, path: str) -> None:
    """Open a page of the app and wait until its script has ended."""
    page.goto(f"{address}/{path}")
    page.wait_for_selector("h1", timeout=QUIET_MILLISECONDS)
    page.wait_for_selector('[data-test-script-state="notRunning"]', timeout=QUIET_MILLISECONDS)
    page.wait_for_selector('[data-testid="stSkeleton"]', state="detached", timeout=QUIET_MILLISECONDS)


def pictures(home: Path, specs: Path, folder: Path) -> None:
    """Write a picture of each page."""
    folder.mkdir(parents=True, exist_ok=True)
    with served(home, specs) as address, opened() as page:
        for name, path in PAGES.items():
            visit(page, address, path)
            page.wait_for_timeout(2_000)
            page.screenshot(path=folder / f"app-{name}.png")


def _wait(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the app ended with {process.returncode} before it answered")
        try:
            build_opener(ProxyHandler({})).open(address, timeout=5).close()
        except (URLError, OSError):
            time.sleep(0.2)
        else:
            return
    raise TimeoutError(f"{address} did not answer within {READY_SECONDS} s")


if __name__ == "__main__":
    from quant_platform.specification.settings import settings

    pictures(Path(sys.argv[1]).resolve(), settings().specs, Path(sys.argv[2]))
