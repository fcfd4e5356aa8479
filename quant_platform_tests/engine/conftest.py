"""Every run of any test has its books checked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quant_platform.engine.identities import verify
from quant_platform.engine.result import BacktestResult


@pytest.fixture(autouse=True)
def books_add_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(BacktestResult, "__post_init__", verify, raising=False)
    yield
