"""How a home is deployed: what is taken, what is refused with file and line, and that no password is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from quant_platform.contracts.errors import SettingsError, SpecError
from quant_platform.specification.deployment import (
    POSTGRES_VARIABLE,
    DeploymentSpec,
    deployment,
    postgres_address,
    without_password,
)
from quant_platform.specification.settings import Settings

GOOD = "postgresql+psycopg2://quant@db.example:5433/market"


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(POSTGRES_VARIABLE, raising=False)


@pytest.fixture
def where(tmp_path: Path) -> Settings:
    for name in ("home", "specs"):
        (tmp_path / name).mkdir()
    return Settings(home=tmp_path / "home", specs=tmp_path / "specs")


def write(folder: Path, text: str) -> Path:
    path = folder / "deployment.yaml"
    path.write_text(text)
    return path


def test_without_a_file_it_is_one_machine(where: Settings) -> None:
    assert deployment(where) == DeploymentSpec()
    found = deployment(where).executor
    assert (found.name, found.distributed, found.workers) == ("fork_server", False, None)
    assert postgres_address(where) is None


def test_the_file_of_the_home_goes_before_that_of_the_specs(where: Settings) -> None:
    write(where.specs, f"storage: {{postgres: '{GOOD}'}}")
    said = postgres_address(where)
    assert said is not None
    assert (said.url, said.password, said.said_in) == (GOOD, None, str(where.specs / "deployment.yaml"))
    write(where.home, "executor: {name: in_process}")
    assert postgres_address(where) is None
    assert deployment(where).executor.name == "in_process"


def test_the_variable_goes_before_the_file_and_its_password_is_not_in_the_address(
    where: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(where.home, f"storage: {{postgres: '{GOOD}'}}")
    monkeypatch.setenv(POSTGRES_VARIABLE, "postgresql+psycopg2://me:a%40b%3Ac%2F@other:1/x?sslmode=require")
    said = postgres_address(where)
    assert said is not None
    assert said.url == "postgresql+psycopg2://me@other:1/x?sslmode=require"
    assert said.password == "a@b:c/"
    assert "a@b" not in repr(said)
    assert "a%40b" not in repr(said)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+psycopg2://u:p@h/d", "postgresql+psycopg2://u@h/d"),
        ("postgresql+psycopg2://u@h:5/d", "postgresql+psycopg2://u@h:5/d"),
        ("postgresql+psycopg2:///d?host=/run/pg", "postgresql+psycopg2:///d?host=/run/pg"),
        ("postgresql+psycopg2://u:p@[::1]:5/d", "postgresql+psycopg2://u@[::1]:5/d"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://u:hidden@h/d", "psycopg 3.*psycopg2"),
        ("postgresql+psycopg://u:hidden@h/d", r"first event.*NOTIFY.*(?s:.*)postgresql\+psycopg2://"),
        ("postgres://u:hidden@h/d", "does not know this name"),
        ("mysql://u:hidden@h/d", "mysql is not Postgres"),
        ("db.example/market", "this is no address"),
        ("postgresql+psycopg2://u:hidden@h:port/d", "port is no number"),
        ("postgresql+psycopg2://u:hidden@h:70000/d", "port is no number"),
        ("postgresql+psycopg2://u:hidden@h:5432/", "names no database"),
        ("postgresql+psycopg2://u@h/d?password=hidden", "would be printed"),
    ],
)
@pytest.mark.parametrize("place", ["variable", "file"])
def test_an_address_that_would_fail_later_is_refused_at_once(
    place: str, url: str, said: str, where: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == "variable":
        monkeypatch.setenv(POSTGRES_VARIABLE, url)
        kind: type[Exception] = SettingsError
        names = POSTGRES_VARIABLE
    else:
        path = write(where.home, f"# where runs are kept\nstorage:\n  postgres: '{url}'\n")
        kind, names = SpecError, f"{path}:3"
    with pytest.raises(kind, match=said) as caught:
        postgres_address(where)
    assert names in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_a_password_in_a_file_is_refused_and_not_shown(where: Settings) -> None:
    path = write(where.specs, "storage:\n  postgres: postgresql+psycopg2://u:hidden@h/d\n")
    with pytest.raises(SpecError, match="PGPASSWORD or") as caught:
        deployment(where)
    assert f"{path}:2" in str(caught.value)
    assert "hidden" not in str(caught.value)


RAY = "ray: {address: 'http://head:8265'}"
PODS = "kubernetes: {image: 'registry.example/quant:1'}"


@pytest.mark.parametrize(
    ("executor", "line", "said"),
    [
        ("name: dask", 3, "SUCCESS having computed none"),
        ("name: celery", 3, "hangs in silence"),
        ("name: multiprocess", 3, "fork server"),
        ("name: slurm", 3, "'in_process', 'fork_server', 'ray' or 'kubernetes'"),
        ("name: ray\n  workers: 2", 2, "needs the section `ray`"),
        (f"name: ray\n  {RAY}", 2, "needs `workers`"),
        (f"name: fork_server\n  {RAY}", 2, "does not read it"),
        (f"name: kubernetes\n  workers: 2\n  {RAY}", 2, "needs the section `kubernetes`"),
        ("name: ray\n  workers: 0\n  ray: {address: 'http://head:8265'}", 4, "greater than or equal to 1"),
        ("name: ray\n  workers: 2\n  ray: {address: 'head:8265'}", 5, "ray.address"),
        ("name: ray\n  workers: 2\n  ray:\n    adress: 'http://head:8265'", 6, "did you mean 'address'"),
        ("name: kubernetes\n  workers: 2\n  kubernetes: {image: x, memory: lots}", 5, "kubernetes.memory"),
        ("name: kubernetes\n  workers: 2\n  kubernetes: {image: x, namespace: My Research}", 5, "kubernetes.namespace"),
        (
            "name: kubernetes\n  workers: 2\n  kubernetes: {image: x, secrets: [ok, Not_ok]}",
            5,
            "'Not_ok' is no name of a secret",
        ),
        (
            "name: kubernetes\n  workers: 2\n  kubernetes: {image: x, variables: [A=b c, =x]}",
            5,
            "'=x' is neither NAME nor NAME=value",
        ),
        ("name: kubernetes\n  workers: 2\n  kubernetes: {image: a b}", 5, "kubernetes.image"),
        ("worker: 2", 3, "did you mean 'workers'"),
    ],
)
def test_a_wrong_executor_is_refused_on_its_line(executor: str, line: int, said: str, where: Settings) -> None:
    path = write(where.specs, f"storage: {{postgres: '{GOOD}'}}\nexecutor:\n  {executor}\n")
    with pytest.raises(SpecError, match=said) as caught:
        deployment(where)
    assert f"{path}:{line}" in str(caught.value)


@pytest.mark.parametrize(("name", "section"), [("ray", RAY), ("kubernetes", PODS)])
def test_workers_elsewhere_need_postgres(
    name: str, section: str, where: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(where.home, f"executor:\n  name: {name}\n  workers: 3\n  {section}\n")
    with pytest.raises(SettingsError, match="needs Postgres"):
        deployment(where)
    monkeypatch.setenv(POSTGRES_VARIABLE, GOOD)
    assert deployment(where).executor.distributed
