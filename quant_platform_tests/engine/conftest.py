"""Every run of any test of this room has its books checked."""

from __future__ import annotations

from typing import Any

import pytest

from quant_platform.engine.identities import verify
from quant_platform.engine.result import BacktestResult


@pytest.fixture(autouse=True)
def books_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work out the identities of every result as soon as it is made."""
    original = BacktestResult.__init__

    def checked(self: BacktestResult, *given: Any, **named: Any) -> None:
        original(self, *given, **named)
        verify(self)

    monkeypatch.setattr(BacktestResult, "__init__", checked)
