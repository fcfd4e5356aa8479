"""A job of light steps and a heavy one, in a module of its own: processes that are forked for the steps load it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import dagster as dg

from quant_platform.defs.steps_here import STAYS_HERE

MARK = "TEST_MARK"


@dg.op(tags=dict(STAYS_HERE))
def pid_of_a_light_step() -> int:
    return os.getpid()


@dg.op
def pid_of_a_heavy_step(found: int) -> dict[str, int]:
    return {"light": found, "heavy": os.getpid()}


@dg.op(tags=dict(STAYS_HERE))
def dies_once(found: dict[str, int]) -> None:
    assert found
    mark = Path(os.environ[MARK])
    if not mark.exists():
        mark.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)


def mixed() -> dg.JobDefinition:
    """A light step, a heavy one, and a light one that is killed once; the executor is that of the first process."""
    executor = dg.in_process_executor
    if multiprocessing.parent_process() is None:
        from quant_platform.defs.executors import build_executor
        from quant_platform.specification.deployment import ExecutorSpec, RaySpec

        executor = build_executor(ExecutorSpec(name="ray", workers=2, ray=RaySpec(address="http://127.0.0.1:1")))

    @dg.job(executor_def=executor)
    def mixed() -> None:
        dies_once(pid_of_a_heavy_step(pid_of_a_light_step()))

    return mixed
