"""What a person sees of a run while it runs."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path

import pytest
from rich.console import Console

from quant_platform.cli.progress import DRAWN_PER_SECOND, apart, watching
from quant_platform.defs.printed_logs import mirrored
from quant_platform.lake import Lake

ERASE_LINE = b"\x1b[2K"


def test_a_progress_line_moves_while_a_step_keeps_what_it_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    kept = tmp_path / "printed"
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb", buffering=0) as seen, os.fdopen(theirs, "w") as terminal:
        with (
            watching(Console(file=terminal), "ticker_graph", Lake(tmp_path / "lake"), ["raw.equity_bars"], 3),
            mirrored(terminal, kept),
        ):
            before = seen.read(1 << 16).count(ERASE_LINE)
            print("said by the step", file=terminal, flush=True)
            time.sleep(6 / DRAWN_PER_SECOND)
            meanwhile = seen.read(1 << 16)
        assert before <= 2
        assert meanwhile.count(ERASE_LINE) >= 2
        assert b"said by the step" in meanwhile
        assert b"done" in seen.read(1 << 16)
    assert kept.read_text() == "said by the step\n"


def test_a_console_is_set_apart_once_and_stays_quiet(tmp_path: Path) -> None:
    with (tmp_path / "lines").open("w") as stream, apart(Console(file=stream, quiet=True)) as own, apart(own) as same:
        assert same is own
        own.print("nothing")
    with (tmp_path / "more").open("w") as stream, apart(Console(file=stream)) as own:
        own.print("a line")
        stream.close()
        own.print("another")
    assert [(tmp_path / name).read_text() for name in ("lines", "more")] == ["", "a line\nanother\n"]
    without = Console(file=io.StringIO())
    with apart(without) as own:
        assert own is without
