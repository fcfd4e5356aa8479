"""When a step is repeated: because the outside world did not answer, or because its worker went."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from quant_platform.specification.home import SchedulesSpec


def ask_again(context: dg.OpExecutionContext | dg.AssetExecutionContext, schedules: SchedulesSpec) -> None:
    """Ask Dagster to repeat this step later, twice as late each time, while ``specs/schedules.yaml`` allows it.

    A ``RetryPolicy`` on the step would also repeat it after an interrupt, and after errors that no waiting mends.

    Raises
    ------
    RetryRequested
        While there are retries left.
    """
    if context.retry_number < schedules.retry_max:
        wait = schedules.retry_delay_seconds * 2**context.retry_number
        raise dg.RetryRequested(max_retries=schedules.retry_max, seconds_to_wait=wait)


@contextmanager
def lost_when_told_to_end() -> Iterator[None]:
    """Let a step that a cluster tells to end (SIGTERM, as before a node is taken away) end without a word.

    Dagster would report it as interrupted, which is a failure for good; a worker that is gone is noticed by the
    executor, and its step repeated. Processes of this machine, which end when a person says so, are left as they are.
    """
    here = threading.current_thread() is threading.main_thread()
    # Set for the steps that handlers of Ray and Kubernetes start, and for no others.
    if not here or "DAGSTER_RUN_STEP_KEY" not in os.environ:
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
