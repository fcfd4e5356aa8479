"""The app as a browser shows it, behind its guard: one page with its figures, and a refusal."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from quant_platform_tests.suites import SIGNAL, Judged

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: the app was not opened in a browser")

from quant_platform_tests.app import browser

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        browser.chromium() is None, reason="no Chromium on this machine: the app was not opened in a browser"
    ),
]


def test_a_person_reads_a_verdict_and_a_foreign_name_is_refused(judged: Judged) -> None:
    with browser.served(judged.folder, judged.home.specs) as address:
        with pytest.raises(urllib.error.HTTPError, match="403"):
            _get(address, {"Host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            _get(address, {"Origin": "http://evil.example"})
        with browser.opened() as page:
            faults: list[str] = []
            page.on("pageerror", lambda error: faults.append(str(error)))
            browser.visit(page, address, "results")
            page.wait_for_selector("canvas, svg.marks", timeout=30_000)
            text = page.inner_text("body")
            assert "SIMULATED" in text
            chosen = page.locator("input").evaluate_all("all => all.map(one => one.value)")
            assert any(SIGNAL in value for value in chosen)
            assert "Cumulative return" in text
            assert faults == []
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        _get(address, {})


def _get(address: str, headers: dict[str, str]) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(address, headers=headers), timeout=20) as answer:
        return bytes(answer.read())
