"""Executors by name: what each becomes, what is refused before a run exists, and what repeats a step."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.api import create_execution_plan, execute_plan_iterator
from dagster._core.executor.in_process import InProcessExecutor
from dagster._core.executor.step_delegating import CheckStepHealthResult, StepHandler, StepHandlerContext
from dagster._core.system_config.objects import ResolvedRunConfig

from quant_platform.defs import executors, runs, steps_here, workers
from quant_platform.defs.checks import build_checks
from quant_platform.defs.chunked_assets import chunked_asset
from quant_platform.defs.executors import (
    ExecutorUnavailable,
    RepeatingExecutor,
    build_executor,
    kubernetes_config,
    require_workers,
)
from quant_platform.defs.retries import lost_when_told_to_end
from quant_platform.defs.steps_here import STAYS_HERE
from quant_platform.defs.workers import steps_at_a_time, workers_of_run
from quant_platform.pipeline import equity
from quant_platform.pipeline.home import Home
from quant_platform.specification.deployment import ExecutorSpec, KubernetesSpec, RaySpec
from quant_platform.specification.settings import Settings, settings
from quant_platform_tests.defs.light_steps import MARK, mixed
from quant_platform_tests.homes import declare, entered, write_specs

RAY = ExecutorSpec(name="ray", workers=7, lost_worker_retries=1, ray=RaySpec(address="http://127.0.0.1:1"))
PODS = ExecutorSpec(name="kubernetes", workers=3, kubernetes=KubernetesSpec(image="registry.example/quant:1"))


@dg.op
def one() -> int:
    return 1


@dg.op
def two(found: int) -> int:
    return found + 1


@dg.op
def wrong(found: int) -> int:
    raise ValueError(f"{found} is odd")


class Workers(StepHandler):
    """Runs a step where it is started; some starts are lost, as if the worker had gone."""

    def __init__(self, *lost: tuple[str, int]) -> None:
        super().__init__()
        self.lost = lost
        self.started: list[str] = []

    @property
    def name(self) -> str:
        return "workers"

    def launch_step(self, step_handler_context: StepHandlerContext) -> Iterator[dg.DagsterEvent]:
        args = step_handler_context.execute_step_args
        (key,) = args.step_keys_to_execute or []
        self.started.append(key)
        if (key, self.started.count(key)) not in self.lost:
            job = dg.reconstructable(JOBS[step_handler_context.dagster_run.job_name])
            plan = create_execution_plan(
                job, step_keys_to_execute=[key], known_state=args.known_state, instance_ref=args.instance_ref
            )
            run = step_handler_context.dagster_run
            list(execute_plan_iterator(plan, job, run, step_handler_context.instance, retry_mode=args.retry_mode))
        yield from ()

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        (key,) = step_handler_context.execute_step_args.step_keys_to_execute or []
        if (key, self.started.count(key)) in self.lost:
            return CheckStepHealthResult.unhealthy("the worker of this step was lost")
        return CheckStepHealthResult.healthy()

    def terminate_step(self, step_handler_context: StepHandlerContext) -> Iterator[dg.DagsterEvent]:
        raise AssertionError(f"nobody stops {step_handler_context.steps}")


def sums() -> dg.JobDefinition:
    """Two steps."""

    @dg.job(executor_def=build_executor(RAY))
    def sums() -> None:
        two(one())

    return sums


def errs() -> dg.JobDefinition:
    """A step whose code raises."""

    @dg.job(executor_def=build_executor(RAY))
    def errs() -> None:
        wrong(one())

    return errs


JOBS = {"sums": sums, "errs": errs, "mixed": mixed}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Starts runs on workers of one's choice."""
    monkeypatch.setattr(executors, "require_packages", lambda _: None)
    monkeypatch.setattr(executors, "require_workers", lambda _: None)
    monkeypatch.setenv("DAGSTER_STEP_DELEGATING_EXECUTOR_SLEEP_SECONDS", "0.02")
    create = RepeatingExecutor.__init__

    def at_once(self: RepeatingExecutor, handler: StepHandler, **named: Any) -> None:
        create(self, handler, **{**named, "health_check_seconds": 0})

    monkeypatch.setattr(RepeatingExecutor, "__init__", at_once)
    monkeypatch.setattr(executors, "LONGEST_WAIT_SECONDS", 0.0)
    return lambda found: monkeypatch.setattr(executors, "_handler", lambda *_: found)


@pytest.mark.parametrize(
    ("job", "lost", "success", "started", "said"),
    [
        ("sums", [], True, ["one", "two"], []),
        ("sums", [("two", 1)], True, ["one", "two", "two"], ["STEP_UP_FOR_RETRY"]),
        ("sums", [("two", 1), ("two", 2)], False, ["one", "two", "two"], ["STEP_UP_FOR_RETRY", "worker of this step"]),
        ("errs", [], False, ["one", "wrong"], ["1 is odd"]),
    ],
    ids=["nothing lost", "lost once", "lost too often", "an error of the step"],
)
def test_a_step_is_repeated_when_its_worker_was_lost_and_only_then(
    job: str, lost: Any, success: bool, started: list[str], said: list[str], cluster: Any, tmp_path: Path
) -> None:
    handler = Workers(*lost)
    cluster(handler)
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        with dg.execute_job(dg.reconstructable(JOBS[job]), instance) as result:
            assert result.success is success
            run_id = result.run_id
        texts = [str(entry.dagster_event or "") for entry in instance.all_logs(run_id)]
    assert handler.started == started
    for words in said:
        assert any(words in text for text in texts)


def test_light_steps_are_done_beside_the_run_and_are_repeated_too(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps_here, "PRELOADED", "dagster")
    monkeypatch.setenv(MARK, str(tmp_path / "died"))
    handler = Workers()
    cluster(handler)
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        with dg.execute_job(dg.reconstructable(mixed), instance) as result:
            assert result.success
            pids = result.output_for_node("pid_of_a_heavy_step")
            run_id = result.run_id
        kinds = [
            (entry.dagster_event.step_key, entry.dagster_event.event_type_value)
            for entry in instance.all_logs(run_id)
            if entry.dagster_event is not None
        ]
    died = (tmp_path / "died").read_text()
    # The handler of these tests does what it is given in this process; the others were processes of their own.
    assert handler.started == ["pid_of_a_heavy_step"]
    assert pids["heavy"] == os.getpid()
    assert len({str(pids["light"]), died, str(os.getpid())}) == 3
    assert kinds.count(("dies_once", "STEP_UP_FOR_RETRY")) == kinds.count(("dies_once", "STEP_SUCCESS")) == 1


def test_the_end_of_a_step_is_what_its_log_says() -> None:
    def event(key: str) -> Any:
        return SimpleNamespace(dagster_event=SimpleNamespace(step_key=key))

    def context(attempts: int, *keys: str) -> Any:
        retries = SimpleNamespace(get_attempt_count=lambda _: attempts)
        args = SimpleNamespace(
            step_keys_to_execute=["a"],
            run_id="r",
            known_state=SimpleNamespace(get_retry_state=lambda: retries),
        )
        log = SimpleNamespace(all_logs=lambda *_, **__: [event(key) for key in keys])
        return SimpleNamespace(execute_step_args=args, instance=log)

    assert not steps_here.has_ended(context(0))
    assert not steps_here.has_ended(context(0, "b"))
    assert steps_here.has_ended(context(0, "b", "a"))
    assert not steps_here.has_ended(context(1, "a")), "that was the first attempt"
    assert steps_here.has_ended(context(1, "a", "a"))


def test_cutting_recording_and_checking_stay_and_computing_goes(tmp_path: Path) -> None:
    specs = write_specs(tmp_path / "specs", 10)
    declare(tmp_path / "home", specs)
    home = Home(Settings(home=tmp_path / "home", specs=specs))
    asset = chunked_asset(equity.CLEAN, home, "equity")
    ops = {op.name: STAYS_HERE.items() <= op.tags.items() for op in asset.node_def.iterate_op_defs()}
    assert {name.rpartition("__")[2]: here for name, here in ops.items()} == {
        "plan": True,
        "work": False,
        "record": True,
    }
    checks = build_checks([definition for name, definition in home.tables.items() if name.startswith("clean.equity")])
    assert len(checks) > 4
    assert all(STAYS_HERE.items() <= check.op.tags.items() for check in checks)


@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_worker_that_is_told_to_end_is_lost_and_reports_nothing(
    elsewhere: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_RUN_STEP_KEY", raising=False)
    if elsewhere:
        monkeypatch.setenv("DAGSTER_RUN_STEP_KEY", "a.b")
    before = signal.getsignal(signal.SIGTERM)

    def reports(*_: Any) -> None:
        pass

    try:
        signal.signal(signal.SIGTERM, reports)
        with lost_when_told_to_end():
            assert signal.getsignal(signal.SIGTERM) is (signal.SIG_DFL if elsewhere else reports)
        assert signal.getsignal(signal.SIGTERM) is reports
    finally:
        signal.signal(signal.SIGTERM, before)


def test_without_workers_a_run_may_still_stay_in_its_own_process(cluster: Any) -> None:
    definition = build_executor(RAY)
    assert definition.executor_creation_fn is not None
    context: Any = SimpleNamespace(executor_config={"in_process": True, "max_concurrent": 7})
    assert isinstance(definition.executor_creation_fn(context), InProcessExecutor)
    assert not definition.get_requirements({"in_process": True})
    assert len(definition.get_requirements({"in_process": False})) == 3


@pytest.mark.parametrize(
    ("spec", "asked", "kind", "at_once"),
    [
        (ExecutorSpec(), {}, "multiprocess", None),
        (ExecutorSpec(workers=5), {}, "multiprocess", 5),
        (ExecutorSpec(workers=5), {"max_concurrent": 2}, "multiprocess", 2),
        (ExecutorSpec(workers=5), {"in_process": True}, "in_process", None),
        (ExecutorSpec(name="in_process"), {"max_concurrent": 2}, "in_process", None),
    ],
)
def test_on_one_machine_a_name_is_an_executor_of_dagster(
    spec: ExecutorSpec, asked: dict[str, Any], kind: str, at_once: int | None
) -> None:
    @dg.job(executor_def=build_executor(spec))
    def nothing() -> None:
        pass

    run_config = {"execution": {"config": asked}} if asked else {}
    found: Any = ResolvedRunConfig.build(nothing, run_config).execution.execution_engine_config
    assert list(found) == [kind]
    if at_once is not None:
        assert found[kind]["max_concurrent"] == at_once


@pytest.mark.parametrize(
    ("spec", "asked", "fork", "wanted"),
    [
        (ExecutorSpec(), {}, True, 3),
        (ExecutorSpec(), {"max_concurrent": 9}, True, 9),
        (ExecutorSpec(), {"max_concurrent": 9}, False, 1),
        (ExecutorSpec(workers=5), {}, True, 5),
        (ExecutorSpec(name="in_process"), {"max_concurrent": 9}, True, 1),
        (RAY, {}, False, 7),
        (RAY, {"max_concurrent": 9}, False, 9),
        (RAY, {"in_process": True}, True, 1),
    ],
)
def test_a_run_is_cut_into_as_many_chunks_as_there_are_workers(
    spec: ExecutorSpec, asked: dict[str, Any], fork: bool, wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "can_fork", lambda: fork)
    monkeypatch.setattr(workers, "worker_count", lambda: 3)
    assert workers_of_run({"execution": {"config": asked}}, spec) == wanted
    if not asked:
        assert steps_at_a_time(spec) == wanted


@pytest.mark.parametrize(
    ("spec", "cores", "asked", "partitions", "wanted"),
    [
        (ExecutorSpec(), 1, None, 1_000, 0),
        (ExecutorSpec(), 2, None, 1_000, 1),
        (ExecutorSpec(), 2, None, 47, 0),
        (ExecutorSpec(), 2, None, 48, 1),
        (ExecutorSpec(), 8, None, 1_000, 7),
        (ExecutorSpec(), 8, None, 100, 3),
        (ExecutorSpec(), 1, 2, 1_000, 2),
        (ExecutorSpec(), 2, 2, 16, 1),
        (ExecutorSpec(), 2, 2, 15, 0),
        (ExecutorSpec(workers=3), 2, None, 1_000, 3),
        (ExecutorSpec(workers=3), 2, 1, 1_000, 1),
        (ExecutorSpec(name="in_process"), 8, 4, 1_000, 0),
        (RAY, 8, None, 1_000, 0),
    ],
)
def test_a_run_is_shared_with_the_other_cores_where_there_is_enough_for_each(
    spec: ExecutorSpec, cores: int, asked: int | None, partitions: int, wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers.os, "cpu_count", lambda: cores)
    assert workers.worth_beside(partitions, asked, spec) == wanted


@pytest.mark.parametrize(
    ("spec", "job", "options", "wanted"),
    [
        (ExecutorSpec(workers=3), "ticker_graph", {}, {"in_process": True, "beside": 3}),
        (ExecutorSpec(workers=3), "ticker_graph", {"workers": 1}, {"in_process": True, "beside": 1}),
        (ExecutorSpec(workers=3), "ticker_graph", {"in_process": True}, {"in_process": True, "beside": 0}),
        (ExecutorSpec(workers=3), "ticker_graph", {"in_process": False}, {"max_concurrent": 3}),
        (ExecutorSpec(workers=3), "weekly_cross_section", {}, {"in_process": True, "beside": 0}),
        (RAY, "ticker_graph", {}, {"max_concurrent": 7}),
        (RAY, "ticker_graph", {"workers": 2}, {"max_concurrent": 2}),
        (RAY, "weekly_cross_section", {}, {"in_process": True, "beside": 0}),
    ],
)
def test_a_run_says_where_its_steps_are_executed(
    spec: ExecutorSpec, job: str, options: dict[str, Any], wanted: dict[str, Any]
) -> None:
    launch = runs.Launch(job, tuple(f"T{i:03d}" for i in range(200)))
    found = runs._where(launch, spec, options.get("in_process"), options.get("workers"))
    assert found == wanted
    # What Dagster then hands to whoever shares it.
    assert workers.processes_beside({"execution": {"config": found}}) == wanted.get("beside", 0)


@pytest.mark.parametrize(
    ("options", "wanted"), [({}, [0, 0, 3, 7]), ({"workers": 1}, [0, 1, 1, 1]), ({"in_process": True}, [0, 0, 0, 0])]
)
def test_a_run_over_many_partitions_says_how_many_processes_would_share_it(
    options: dict[str, Any], wanted: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers.os, "cpu_count", lambda: 8)
    launches = [runs.Launch("ticker_graph", tuple(f"T{i:03d}" for i in range(count))) for count in (20, 100, 200)]
    with entered(tmp_path / "home", settings().specs):
        found = [runs.processes_of(launch, **options) for launch in (runs.Launch("securities"), *launches)]
    assert found == wanted


@pytest.mark.parametrize(
    ("spec", "package"),
    [(RAY, "dagster_ray"), (RAY, "ray"), (PODS, "dagster_k8s"), (PODS, "kubernetes")],
)
def test_a_package_that_is_missing_is_named_with_its_extra(
    spec: ExecutorSpec, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("dagster_ray", "ray", "dagster_k8s", "kubernetes"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace())
    monkeypatch.setitem(sys.modules, package, None)
    for refused in (build_executor, require_workers):
        with pytest.raises(ExecutorUnavailable, match=rf"quant-platform\[{spec.name}\]") as caught:
            refused(spec)
        assert f"the package {package} is not installed" in str(caught.value)


def test_the_settings_of_kubernetes_are_those_of_the_deployment() -> None:
    spec = KubernetesSpec(
        image="registry.example/quant:1",
        namespace="research",
        service_account="runner",
        secrets=("database",),
        variables=("QUANT_HOME=/home/quant",),
        cpu="500m",
        memory="3Gi",
        kubeconfig=Path("/etc/kube"),
    )
    assert kubernetes_config(spec) == {
        "job_image": "registry.example/quant:1",
        "job_namespace": "research",
        "service_account_name": "runner",
        "env_secrets": ["database"],
        "env_vars": ["QUANT_HOME=/home/quant"],
        "resources": {"requests": {"cpu": "500m", "memory": "3Gi"}, "limits": {"memory": "3Gi"}},
        "load_incluster_config": False,
        "kubeconfig_file": "/etc/kube",
        "retries": {"enabled": {}},
    }
