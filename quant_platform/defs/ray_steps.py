"""Steps as jobs of a Ray cluster, with what dagster-ray leaves in silence said: no cluster, no worker.

Ray starts a step on a node that has the processors it asks for; one that asks for none would run on the head. The
command of a step has no secret in it: the worker's own environment has the password of the database, and says which
folders are those of the home.

Nothing is imported from here where the executor is another one: the packages are an extra.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import ray
from dagster._core.executor.step_delegating import CheckStepHealthResult, StepHandlerContext
from dagster_ray.core.executor import RayStepHandler
from ray.job_submission import JobStatus, JobSubmissionClient

from quant_platform.defs.executors import ExecutorUnavailable
from quant_platform.defs.steps_here import has_ended
from quant_platform.specification.deployment import RaySpec

ANSWER_SECONDS = 10.0
_OTHER_ADDRESS = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
_START = "on a worker: ray start --address HEAD:6379, in the environment of this package"


class RaySteps(RayStepHandler):
    """Starts a step as a job of Ray, and knows that a job waits in vain where no node could run it."""

    def __init__(self, spec: RaySpec) -> None:
        require_this_address(spec)
        super().__init__(
            client=JobSubmissionClient(spec.address),
            env_vars=None,
            runtime_env=None,
            num_cpus=spec.cpus,
            num_gpus=None,
            memory=None,
            resources=None,
        )
        self._spec = spec

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        """Whether a step runs, has said how it ended, or waits for a node that there is."""
        found: CheckStepHealthResult = super().check_step_health(step_handler_context)
        if not found.is_healthy:
            return found
        status = self.client.get_job_status(self._get_ray_job_submission_id(step_handler_context))
        if status.is_terminal() and not has_ended(step_handler_context):
            return CheckStepHealthResult.unhealthy(f"its job of Ray is {status.value} and has said nothing of the step")
        if status == JobStatus.PENDING and not fitting(nodes(self._spec), self._spec.cpus):
            return CheckStepHealthResult.unhealthy(f"no node of {self._spec.address} could run it; start one {_START}")
        return found


def require_workers(spec: RaySpec) -> None:
    """Refuse a run that no node of the cluster would take.

    Raises
    ------
    ExecutorUnavailable
        When no cluster answers, it has another version of Ray, or no node has the processors of one step.
    """
    require_this_address(spec)
    theirs = str(_ask(spec, "/api/version").get("ray_version"))
    if theirs != ray.__version__:
        raise ExecutorUnavailable(
            f"the cluster runs Ray {theirs}, and here is {ray.__version__}",
            where=spec.address,
            action="install the same version everywhere",
        )
    found = nodes(spec)
    if not fitting(found, spec.cpus):
        most = max(found.values(), default=0.0)
        raise ExecutorUnavailable(
            "no worker is connected to the Ray cluster",
            where=spec.address,
            how_many=f"{len(found)} nodes, the largest with {most:g} processors for steps that ask for {spec.cpus:g}",
            action=f"start one {_START}",
        )


def require_this_address(spec: RaySpec) -> None:
    """Refuse variables that Ray would obey in the place of the deployment."""
    for name in _OTHER_ADDRESS:
        said = os.environ.get(name)
        if said and said.rstrip("/") != spec.address.rstrip("/"):
            raise ExecutorUnavailable(
                f"{name} names another cluster than the deployment",
                where=f"{said}, and {spec.address} in deployment.yaml",
                cause="Ray's client obeys the variable",
                action=f"take {name} out of the environment, or correct the deployment",
            )


def nodes(spec: RaySpec) -> dict[str, float]:
    """Processors of every node of the cluster that is alive, by its id."""
    rows = _ask(spec, "/api/v0/nodes?limit=10000")["data"]["result"]["result"]
    alive = [row for row in rows if row["state"] == "ALIVE"]
    return {row["node_id"]: float(row["resources_total"].get("CPU", 0.0)) for row in alive}


def fitting(found: Mapping[str, float], cpus: float) -> list[str]:
    """Nodes that have the processors of one step."""
    return [name for name, has in found.items() if has >= cpus]


def _ask(spec: RaySpec, path: str) -> dict[str, Any]:
    try:
        with build_opener(ProxyHandler({})).open(spec.address.rstrip("/") + path, timeout=ANSWER_SECONDS) as answer:
            said: dict[str, Any] = json.load(answer)
    except (URLError, OSError, ValueError) as error:
        raise ExecutorUnavailable(
            "no Ray cluster answers",
            where=f"{spec.address}, said in deployment.yaml",
            cause=str(error),
            action="start one: ray start --head --num-cpus=0, then a worker on each machine",
        ) from error
    return said
