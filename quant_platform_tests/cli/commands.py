"""What a command printed and how it ended, and what every error looks like."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Protocol

QUANT = [sys.executable, "-c", "from quant_platform.cli import main; main()"]


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def plain(self) -> str:
        """Standard error in one line, whatever the width of the terminal made of it."""
        return " ".join(self.err.split())


class Command(Protocol):
    def __call__(self, *arguments: object) -> Ended: ...


def is_one_paragraph(ended: Ended, code: str) -> None:
    assert ended.code == 1
    assert ended.err.startswith(f"{code}: ")
    assert "Traceback" not in ended.err + ended.out
    assert "\n\n" not in ended.err.strip()
