"""The end of a process that has said and written everything.

With Dagster loaded, Python takes two processor seconds to take half a million objects apart, one by one, before a
process is over; the operating system does it at once. What libraries have registered for the end still runs. For the
same reason such a process seldom looks for objects to free.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable

from quant_platform.contracts.collecting import collect_seldom


def leaving_at_once(body: Callable[[], int | None]) -> int | None:
    """Call a body as the last thing of this process, and let the process end as soon as it is through.

    To be called before libraries are imported: of what is registered for the end, the first registered is called last.

    Parameters
    ----------
    body
        Returns the exit code, or raises SystemExit. Any other exception ends the process in Python's own way.
    """
    codes: list[int] = []

    def leave() -> None:
        if codes:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(codes[0])

    atexit.register(leave)
    collect_seldom()
    try:
        code = body()
    except SystemExit as stop:
        if stop.code is None or isinstance(stop.code, int):
            codes.append(stop.code or 0)
        raise
    codes.append(code or 0)
    return code
