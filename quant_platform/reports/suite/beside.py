"""Tear sheets drawn by a process of their own, which gets ready while this one still computes.

Altair and vl-convert take 1.7 CPU-seconds to start, the pictures of a page as long again, and vl-convert does not let
go of the interpreter: a thread that draws would keep the others waiting.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Any

import polars as pl

from quant_platform.contracts.collecting import collected_afterwards
from quant_platform.contracts.companion import LOST, Companion, answer_questions
from quant_platform.reports.suite.findings import Findings, Origin

Frames = Mapping[str, pl.DataFrame]
Drawn = Callable[[], str]
"""The page, as soon as it is drawn."""
Drawing = Callable[[Frames, Findings, Origin], Drawn]
_DRAWS = "quant_platform.reports.suite.tear_sheet"
_PICTURES = "quant_platform.reports.charts.drawing"
_LEAST_CORES = 2
_LOG = logging.getLogger(__name__)


def drawn_here(frames: Frames, findings: Findings, origin: Origin) -> Drawn:
    """A page that this process draws when it is asked for; the arguments are those of ``render_tear_sheet``."""
    return partial(_page, frames, findings, origin)


@contextmanager
def drawn_beside() -> Iterator[Drawing]:
    """Let another process draw while the block runs, and this one where that brings nothing.

    That is on a machine of one core, and where this process has drawn a page before, of whatever kind, and so has
    loaded what it needs. Where the other one fails, this is said, and this process draws. It ends with the block or
    with this process, whichever comes first; nothing is lost with it.
    """
    other = _started() if _brings_something() else None
    if other is None:
        yield drawn_here
        return
    with ThreadPoolExecutor(1) as waits:
        try:
            yield partial(_asked, other, waits)
        finally:
            # Before the pool waits for what is still asked: that ends with the process.
            other.process.kill()
            waits.shutdown()
            other.end()


def _brings_something() -> bool:
    return (os.cpu_count() or 1) >= _LEAST_CORES and _PICTURES not in sys.modules


def _started() -> Companion | None:
    try:
        return Companion(__name__)
    except OSError as refused:
        # No memory or no process is left: the suite goes on, and draws last.
        _LOG.warning("no process could be started to draw tear sheets (%s): this one draws them", refused)
        return None


def _asked(other: Companion, waits: ThreadPoolExecutor, frames: Frames, findings: Findings, origin: Origin) -> Drawn:
    answer = waits.submit(_answer, other, (dict(frames), findings, origin))

    def drawn() -> str:
        try:
            found = answer.result()
        except LOST as lost:
            found = lost
        if isinstance(found, str):
            return found
        _LOG.warning(
            "the process that was to draw the tear sheet of %s failed (%r): it is drawn by this one",
            origin.signal,
            found,
        )
        return _page(frames, findings, origin)

    return drawn


def _answer(other: Companion, work: tuple[Any, ...]) -> str | BaseException:
    other.ask(work)
    answer: str | BaseException = other.answer()
    return answer


def _page(frames: Frames, findings: Findings, origin: Origin) -> str:
    # Drawing imports Altair; a process that only lists assets, or lets another one draw, should not wait for it.
    from quant_platform.reports.suite.tear_sheet import render_tear_sheet

    with collected_afterwards():
        return render_tear_sheet(frames, findings, origin)


def _prepare() -> None:
    import_module(_DRAWS)
    import_module(_PICTURES).svg({"mark": "point", "data": {"values": []}})


if __name__ == "__main__":
    answer_questions(lambda work: _page(*work), prepare=_prepare)
