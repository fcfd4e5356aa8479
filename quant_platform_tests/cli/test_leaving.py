"""A process that leaves at once keeps its exit code, its last words and what was registered for its end."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from quant_platform.cli.leaving import leaving_at_once
import atexit

class Kept:
    def __del__(self):
        print("taken apart")

kept = Kept()

def body():
    atexit.register(print, "registered")
    print("said", end="")
    {end}

sys.exit(leaving_at_once(body))
"""


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ("return 3", 3, "saidregistered\n"),
        ("return None", 0, "saidregistered\n"),
        ("raise SystemExit(130)", 130, "saidregistered\n"),
        ("raise SystemExit('words')", 1, "saidregistered\ntaken apart\n"),
        ("raise ValueError('unexpected')", 1, "saidregistered\ntaken apart\n"),
    ],
)
def test_the_end(end: str, code: int, said: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(end=end)], check=False, capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout) == (code, said)
    assert ("unexpected" in ended.stderr) == ("ValueError" in end)


def test_it_seldom_looks_for_rings_of_objects() -> None:
    program = PROGRAM.format(end="import gc; print(gc.get_threshold()[0] > 10_000, gc.isenabled()); return 0")
    ended = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert ended.stdout == "saidTrue True\nregistered\n"
