"""Asking Dagster to repeat a step that reads the outside world."""

from __future__ import annotations

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
