"""What executes the steps of a run, by its name in ``deployment.yaml``.

Whatever the name, a run may ask for ``in_process`` (the run's own process does every step) or for another number of
steps at a time. Steps on other machines are started by Dagster's ``StepDelegatingExecutor`` and its handlers for Ray
and Kubernetes; what is added here is that a step is repeated when its worker was lost, and only then, and that steps
which compute nothing stay beside the run (`quant_platform.defs.steps_here`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import dagster as dg
from dagster._core.definitions.executor_definition import multiple_process_executor_requirements
from dagster._core.events import DagsterEvent
from dagster._core.execution.plan.objects import StepRetryData
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.in_process import InProcessExecutor
from dagster._core.executor.init import InitExecutorContext
from dagster._core.executor.step_delegating import StepDelegatingExecutor, StepHandler
from dagster_shared.error import SerializableErrorInfo

from quant_platform.contracts.errors import PlatformError
from quant_platform.defs.steps_here import PRELOADED, StepsHere
from quant_platform.defs.workers import can_fork, steps_at_a_time
from quant_platform.specification.deployment import ExecutorSpec, KubernetesSpec

LONGEST_WAIT_SECONDS = 60.0
_PACKAGES = {"ray": ("dagster_ray", "ray"), "kubernetes": ("dagster_k8s", "kubernetes")}


class ExecutorUnavailable(PlatformError, RuntimeError):
    """What is to execute the steps is not there: a package, a cluster, or a worker in it."""

    code = "executor_unavailable"


def build_executor(spec: ExecutorSpec) -> dg.ExecutorDefinition:
    """Make the executor of a deployment.

    Parameters
    ----------
    spec
        Its name and what belongs to it.

    Raises
    ------
    ExecutorUnavailable
        When its packages are not installed.
    """
    schema = {
        "in_process": dg.Field(bool, default_value=False, description="Run every step in the run's own process."),
        "beside": dg.Field(int, default_value=0, description="Processes that share a run in_process."),
        "max_concurrent": dg.Field(int, default_value=steps_at_a_time(spec), description="Steps at a time."),
    }
    if spec.distributed:
        require_packages(spec)
        return dg.ExecutorDefinition(
            name=spec.name,
            config_schema=schema,
            requirements=lambda config: [] if config["in_process"] else multiple_process_executor_requirements(),
            executor_creation_fn=_delegating(spec),
        )

    def choose(config: Mapping[str, Any]) -> dict[str, Any]:
        if config["in_process"] or spec.name == "in_process":
            return {"in_process": {}}
        start = {"forkserver": {"preload_modules": [PRELOADED]}} if can_fork() else {"spawn": {}}
        return {"multiprocess": {"max_concurrent": config["max_concurrent"], "start_method": start}}

    return dg.multi_or_in_process_executor.configured(choose, config_schema=schema)


def require_packages(spec: ExecutorSpec) -> None:
    """Refuse an executor whose packages, which are an extra, are not installed."""
    for name in _PACKAGES.get(spec.name, ()):
        try:
            import_module(name)
        except ImportError as error:
            raise ExecutorUnavailable(
                f"the package {name} is not installed",
                where=f"deployment.yaml, executor.name: {spec.name}",
                cause=str(error),
                action=f"pip install 'quant-platform[{spec.name}]', here and on every worker",
            ) from error


def require_workers(spec: ExecutorSpec) -> None:
    """Refuse a run that nothing would execute.

    Kubernetes is not asked: a cluster without a free node may be making one.

    Raises
    ------
    ExecutorUnavailable
        When the packages are missing, no cluster answers, or no node of it is one that a step could run on.
    """
    require_packages(spec)
    if spec.ray is not None:
        import_module("quant_platform.defs.ray_steps").require_workers(spec.ray)


class RepeatingExecutor(StepDelegatingExecutor):
    """Repeats a step whose worker was lost; a step that failed by itself has failed.

    A ``RetryPolicy`` on the ops would repeat the others too: errors that no waiting mends, and a run that somebody
    interrupted.

    Parameters
    ----------
    handler
        Starts a step somewhere and looks whether it lives.
    retries
        How often a step is repeated.
    max_concurrent
        Steps at a time.
    health_check_seconds
        Seconds between two looks at running steps.
    """

    def __init__(self, handler: StepHandler, *, retries: int, max_concurrent: int, health_check_seconds: int) -> None:
        super().__init__(
            handler,
            RetryMode.ENABLED,
            max_concurrent=max_concurrent,
            check_step_health_interval_seconds=health_check_seconds,
            should_verify_step=True,
        )
        self._lost_worker_retries = retries

    def log_failure_or_retry_event_after_error(
        self, step_context: Any, err_info: SerializableErrorInfo, known_state: Any
    ) -> DagsterEvent:
        """Record a step that did not end by itself: to be repeated, or failed."""
        attempts = known_state.get_retry_state().get_attempt_count(step_context.step.key)
        # What code has raised has a class; a worker that is no longer there does not.
        if err_info.cls_name is not None or attempts >= self._lost_worker_retries:
            return super().log_failure_or_retry_event_after_error(step_context, err_info, known_state)
        wait = min(LONGEST_WAIT_SECONDS, float(2**attempts))
        again = StepRetryData(err_info, wait)  # type: ignore[no-untyped-call]  # Dagster's is without types
        return DagsterEvent.step_retry_event(step_context, again)


def _delegating(spec: ExecutorSpec) -> Callable[[InitExecutorContext], Any]:
    def create(context: InitExecutorContext) -> Any:
        config: Mapping[str, Any] = context.executor_config
        if config["in_process"]:
            return InProcessExecutor(RetryMode.ENABLED)
        require_workers(spec)
        return RepeatingExecutor(
            StepsHere(_handler(spec, context)),
            retries=spec.lost_worker_retries,
            max_concurrent=config["max_concurrent"],
            health_check_seconds=spec.health_check_seconds,
        )

    return create


def _handler(spec: ExecutorSpec, context: InitExecutorContext) -> StepHandler:
    if spec.ray is not None:
        made: StepHandler = import_module("quant_platform.defs.ray_steps").RaySteps(spec.ray)
        return made
    if spec.kubernetes is None:
        raise ExecutorUnavailable(f"the executor {spec.name!r} starts no steps elsewhere")
    from dagster_k8s import k8s_job_executor

    executor: Any = k8s_job_executor.executor_creation_fn(
        context._replace(executor_config=kubernetes_config(spec.kubernetes))
    )
    found: StepHandler = executor._step_handler
    return found


def kubernetes_config(spec: KubernetesSpec) -> dict[str, Any]:
    """The settings of dagster-k8s that a deployment asks for."""
    amount = {"cpu": spec.cpu, "memory": spec.memory}
    config: dict[str, Any] = {
        "job_image": spec.image,
        "job_namespace": spec.namespace,
        "env_secrets": list(spec.secrets),
        "env_vars": list(spec.variables),
        "resources": {"requests": amount, "limits": {"memory": spec.memory}},
        "load_incluster_config": spec.kubeconfig is None,
        "retries": {"enabled": {}},
    }
    if spec.service_account is not None:
        config["service_account_name"] = spec.service_account
    if spec.kubeconfig is not None:
        config["kubeconfig_file"] = str(spec.kubeconfig)
    return config
