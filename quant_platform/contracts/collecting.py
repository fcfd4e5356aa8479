"""Work that makes a great many objects, without Python's collector looking through all of them meanwhile."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# Python looks after 700 new objects. One run of Dagster makes millions, and next to none of them in rings.
NEW_OBJECTS_BEFORE_A_LOOK = 50_000


def collect_seldom() -> None:
    """Let this process seldom look for rings of objects that nobody holds: each look walks over those that last."""
    gc.set_threshold(NEW_OBJECTS_BEFORE_A_LOOK, *gc.get_threshold()[1:])


@contextmanager
def collected_afterwards() -> Iterator[None]:
    """Leave reference cycles where they are until the block ends.

    For a block whose objects nearly all live as long as it does and whose cycles are small: the collector would look
    through every object of the process, a sixth of a second each time, and free nothing. What is in no cycle is freed
    as ever. A collector that somebody else has stopped stays stopped.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()
