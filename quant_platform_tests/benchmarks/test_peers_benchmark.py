from __future__ import annotations

import json

from quant_platform_tests.benchmarks import peers


def test_without_a_framework_the_engine_is_timed_and_the_page_says_why_nobody_else_is(tmp_path, monkeypatch):
    from quant_platform.labs.parity import environments

    monkeypatch.setenv(environments.FOLDER_VARIABLE, str(tmp_path / "none"))
    monkeypatch.setattr(peers, "REPETITIONS", 1)
    monkeypatch.setitem(peers.SIZES, "reduced", peers.SIZES["reduced"][1:])
    peers.main(["--reduced", "--output", str(tmp_path)])
    found = json.loads((tmp_path / "peers.json").read_text())
    (row,) = found["sizes"]
    assert (row["bars"], row["assets"]) == (250, 5)
    assert row["trades"] > 10
    assert row["seconds"]["quant_platform"] > 0.0
    assert row["seconds"]["zipline"] is None
    assert row["reasons"]["zipline"] == "not_installed"
    text = (tmp_path / "peers.md").read_text()
    assert text == peers.page(found)
    assert "| 250 x 5 |" in text
    assert (found["sweep"]["columns"], found["sweep"]["bars"]) == (45, 45 * 250)
    assert found["sweep"]["trades"] > 45
    assert "A grid of 45 columns over 11,250 bars" in text
