"""Light steps of a run whose other steps go to other machines: done beside the run, in processes forked for them.

Cutting a run into chunks, recording what was made and checking it computes nothing that needs a worker. On a cluster
each of them would cost the start of Python and of this package, and what they look at, the catalogue and the copies of
the lake, would be made on whatever machine they meet. Beside the run a fork takes their place.

A step stays here when its operation says so with :data:`STAYS_HERE` among its tags.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Mapping
from importlib import import_module
from multiprocessing.process import BaseProcess
from types import MappingProxyType
from typing import Any

import dagster as dg
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.executor.step_delegating import CheckStepHealthResult, StepHandler, StepHandlerContext
from dagster._grpc.types import ExecuteStepArgs
from dagster._serdes import deserialize_value, serialize_value
from dagster._utils.interrupts import capture_interrupts

from quant_platform.defs.workers import can_fork

PRELOADED = "quant_platform.defs.preloaded"
"""What the fork server has loaded before it forks a process for a step."""

STAYS_HERE: Mapping[str, str] = MappingProxyType({"quant/here": "true"})
"""Tag of an operation that is not worth the way to another machine."""

_COMMANDS = "dagster._cli.api"
_ENDS = {
    DagsterEventType.STEP_SUCCESS,
    DagsterEventType.STEP_FAILURE,
    DagsterEventType.STEP_UP_FOR_RETRY,
    DagsterEventType.STEP_SKIPPED,
}


class StepsHere(StepHandler):
    """Does the light steps beside the run and hands the others on.

    Parameters
    ----------
    elsewhere
        Starts the others on other machines.
    """

    def __init__(self, elsewhere: StepHandler) -> None:
        super().__init__()
        self._elsewhere = elsewhere
        self._processes: dict[str, BaseProcess] = {}

    @property
    def name(self) -> str:
        """What the log of a run calls it."""
        return f"{self._elsewhere.name}, light steps beside the run"

    def launch_step(self, step_handler_context: StepHandlerContext) -> Iterator[DagsterEvent]:
        """Start one step."""
        key = step_key(step_handler_context)
        if not stays_here(step_handler_context):
            yield from self._elsewhere.launch_step(step_handler_context)
            return
        context = step_handler_context.get_step_context(key)
        yield DagsterEvent.step_worker_starting(context, message=f'Executing step "{key}" beside the run.', metadata={})
        self._processes[key] = _start(step_handler_context.execute_step_args)

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        """Whether a step is under way, or has ended by itself."""
        key = step_key(step_handler_context)
        if not stays_here(step_handler_context):
            return self._elsewhere.check_step_health(step_handler_context)
        process = self._processes.get(key)
        if process is None:
            return CheckStepHealthResult.unhealthy("the process of the run that had started it is gone")
        if process.exitcode is None or has_ended(step_handler_context):
            return CheckStepHealthResult.healthy()
        return CheckStepHealthResult.unhealthy(f"its process ended with {process.exitcode} and without a word")

    def terminate_step(self, step_handler_context: StepHandlerContext) -> Iterator[DagsterEvent]:
        """Tell a step to end."""
        if not stays_here(step_handler_context):
            yield from self._elsewhere.terminate_step(step_handler_context)
            return
        process = self._processes.get(step_key(step_handler_context))
        if process is not None:
            process.terminate()


def step_key(context: StepHandlerContext) -> str:
    """The one step that a handler is asked about."""
    (key,) = context.execute_step_args.step_keys_to_execute or []
    return key


def stays_here(context: StepHandlerContext) -> bool:
    """Whether a step is a light one."""
    return STAYS_HERE.items() <= context.step_tags[step_key(context)].items()


def has_ended(context: StepHandlerContext) -> bool:
    """Whether the log has the end of this attempt at a step, be it good or bad.

    A process that is told to end while it starts ends well and says nothing: who trusts its exit status waits for ever.
    """
    key = step_key(context)
    entries = context.instance.all_logs(context.execute_step_args.run_id, of_type=_ENDS)
    ends = [one for one in entries if one.dagster_event is not None and one.dagster_event.step_key == key]
    known = context.execute_step_args.known_state
    # Each attempt before this one has left one.
    return len(ends) > (0 if known is None else known.get_retry_state().get_attempt_count(key))


def _start(args: ExecuteStepArgs) -> BaseProcess:
    context: Any = multiprocessing.get_context("forkserver" if can_fork() else "spawn")
    if can_fork():
        context.set_forkserver_preload([_COMMANDS, PRELOADED])
    process: BaseProcess = context.Process(target=_execute, args=(serialize_value(args), dict(os.environ)))
    # What the run has started ends with it.
    process.daemon = True
    process.start()
    return process


def _execute(said: str, environment: dict[str, str]) -> None:
    """Execute a step as the command for it does, in a process that has everything loaded."""
    # The fork server has the environment of when it was started.
    os.environ.clear()
    os.environ.update(environment)
    # The commands of Dagster load much that the process of the run itself does not need.
    execute = import_module(_COMMANDS)._execute_step_command_body
    args = deserialize_value(said, ExecuteStepArgs)
    if args.instance_ref is None:
        raise ValueError("a step was started without the instance it belongs to")
    with capture_interrupts(), dg.DagsterInstance.from_ref(args.instance_ref) as instance:
        run = instance.get_run_by_id(args.run_id)
        if run is None:
            raise ValueError(f"the run {args.run_id} is not recorded")
        for _ in execute(args, instance, run):
            pass
