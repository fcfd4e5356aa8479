"""Where runs are recorded and what executes their steps: ``deployment.yaml`` of a home or of the specs, both optional.

Nothing here decides a number of a table, so nothing here is part of a cache key. Secrets stand in the environment:
``QUANT_POSTGRES_URL`` names the database, with its password, and goes before the file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import Field, field_validator, model_validator

from quant_platform.contracts.errors import SettingsError, SpecError
from quant_platform.specification.loading import SpecModel, line_of, load_spec, read_yaml
from quant_platform.specification.settings import Settings

POSTGRES_VARIABLE = "QUANT_POSTGRES_URL"
SCHEME = "postgresql+psycopg2"
EXAMPLE = f"{SCHEME}://user@host:5432/database"
FILE = "deployment.yaml"
DISTRIBUTED = ("ray", "kubernetes")
"""Executors whose steps run on other machines."""

_NAMED = r"^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$"
"""A name of something in Kubernetes."""

_OTHER_DRIVERS: Mapping[str, str] = {
    "postgresql": "SQLAlchemy reads this as psycopg 3, and Dagster's storage needs psycopg2",
    "postgres": "SQLAlchemy does not know this name",
    "postgresql+psycopg": "Dagster's storage fails at its first event with psycopg 3 (NOTIFY with a parameter)",
}
_LEFT_OUT: Mapping[str, str] = {
    "dask": "dagster-dask ends a run of mapped steps as SUCCESS having computed none of them",
    "celery": "dagster-celery hangs in silence after a lost worker: it neither repeats its steps nor reports them",
    "multiprocess": "worker processes here come from a fork server",
}


class StorageSpec(SpecModel):
    """Where Dagster keeps runs, events and schedules."""

    postgres: str | None = Field(
        default=None,
        description=f"Address of a database, {EXAMPLE}, without the password; null for SQLite files in the home. "
        f"The variable {POSTGRES_VARIABLE} goes before it and may hold the password.",
    )


class RaySpec(SpecModel):
    """A Ray cluster whose job server starts the steps."""

    address: str = Field(
        pattern=r"^https?://[^\s/]+$", description="Address of the job server, http://host:8265 as `ray start` says it."
    )
    cpus: float = Field(
        default=1.0, gt=0, description="Processors a step asks for; a node without any of its own starts no step."
    )


class KubernetesSpec(SpecModel):
    """A Kubernetes cluster in which each step is a job."""

    image: str = Field(pattern=r"^\S+$", description="Image of the steps: this package, its specs, the same versions.")
    namespace: str = Field(
        default="default", pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", description="Namespace of the jobs."
    )
    service_account: str | None = Field(default=None, pattern=_NAMED, description="Service account of the jobs.")
    secrets: tuple[str, ...] = Field(
        default=(),
        description=f"Secrets given to a step as environment, such as the one that holds {POSTGRES_VARIABLE}.",
    )
    variables: tuple[str, ...] = Field(
        default=(), description="Environment of a step, each NAME=value, or NAME to pass the value of here on."
    )
    cpu: str = Field(
        default="1", pattern=r"^\d+(\.\d+)?m?$", description="Processors of a step, as Kubernetes writes it."
    )
    memory: str = Field(
        default="2Gi", pattern=r"^\d+(\.\d+)?([KMGT]i?)?$", description="Memory of a step, as Kubernetes writes it."
    )
    kubeconfig: Path | None = Field(
        default=None, description="File that names the cluster; null where the run itself is a pod of it."
    )

    @field_validator("secrets")
    @classmethod
    def _are_names(cls, found: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [one for one in found if not re.fullmatch(_NAMED, one)]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is no name of a secret: small letters, digits, - and .")
        return found

    @field_validator("variables")
    @classmethod
    def _are_variables(cls, found: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [one for one in found if not re.fullmatch(r"(?s)[A-Za-z_][-.\w]*(=.*)?", one)]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is neither NAME nor NAME=value")
        return found


class ExecutorSpec(SpecModel):
    """What executes the steps of a run over many partitions."""

    name: Literal["in_process", "fork_server", "ray", "kubernetes"] = Field(
        default="fork_server",
        description="in_process, fork_server (worker processes of this machine), ray or kubernetes.",
    )
    workers: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Steps at a time, which is also into how many chunks a run is cut, or further processes that share "
        "a run of `quant`; all cores of this machine but one when not given, and to be given for ray and kubernetes.",
    )
    lost_worker_retries: int = Field(
        default=2, ge=0, le=100, description="How often a step is repeated whose worker was lost (ray, kubernetes)."
    )
    health_check_seconds: int = Field(
        default=20, ge=1, description="Seconds between two looks at the workers of running steps (ray, kubernetes)."
    )
    ray: RaySpec | None = Field(default=None, description="The cluster of `name: ray`.")
    kubernetes: KubernetesSpec | None = Field(default=None, description="The cluster of `name: kubernetes`.")

    @field_validator("name", mode="before")
    @classmethod
    def _known(cls, name: Any) -> Any:
        if name in _LEFT_OUT:
            raise ValueError(f"{_LEFT_OUT[name]}; choose in_process, fork_server, ray or kubernetes")
        return name

    @model_validator(mode="after")
    def _complete(self) -> ExecutorSpec:
        sections = {"ray": self.ray, "kubernetes": self.kubernetes}
        if self.distributed and sections[self.name] is None:
            raise ValueError(f"name: {self.name} needs the section `{self.name}`, which names its cluster")
        for section, found in sections.items():
            if self.name != section and found is not None:
                raise ValueError(f"the section `{section}` stands beside name: {self.name}, which does not read it")
        if self.distributed and self.workers is None:
            raise ValueError(
                f"name: {self.name} needs `workers`: the cores of this machine say nothing about a cluster"
            )
        return self

    @property
    def distributed(self) -> bool:
        """Whether its steps run on other machines."""
        return self.name in DISTRIBUTED


class DeploymentSpec(SpecModel):
    """Where runs are recorded and what executes their steps; without the file, one machine.

    ``<home>/deployment.yaml`` goes before ``specs/deployment.yaml``.
    """

    storage: StorageSpec = Field(default_factory=StorageSpec, description="Where runs, events and schedules are kept.")
    executor: ExecutorSpec = Field(default_factory=ExecutorSpec, description="What executes the steps of a run.")


@dataclass(frozen=True)
class PostgresAddress:
    """A database of Postgres.

    Attributes
    ----------
    url
        Its address without the password.
    password
        The password where the environment states one in the address; libpq looks for others.
    said_in
        Which file or variable says so.
    """

    url: str
    password: str | None
    said_in: str

    def __repr__(self) -> str:
        """The address without its password."""
        return f"PostgresAddress({self.url!r}, said in {self.said_in})"


def deployment_file(where: Settings) -> Path | None:
    """The file that says how a home is deployed, or None where none does."""
    return next((path for path in (where.home / FILE, where.specs / FILE) if path.is_file()), None)


def deployment(where: Settings) -> DeploymentSpec:
    """How a home is deployed; one machine where no file says otherwise.

    Raises
    ------
    SpecError
        With file and line.
    SettingsError
        When steps are to run on other machines, which cannot reach SQLite files.
    """
    path = deployment_file(where)
    found = _read(path)
    if found.executor.distributed and postgres_address(where, found) is None:
        raise SettingsError(
            f"the executor {found.executor.name!r} needs Postgres",
            where=str(path),
            cause="the steps record their events from other machines, and the SQLite files of the home are on this one",
            action=f"name a database: storage.postgres in the file, or {POSTGRES_VARIABLE}={EXAMPLE}",
        )
    return found


def _read(path: Path | None) -> DeploymentSpec:
    if path is None:
        return DeploymentSpec()
    found = load_spec(path, DeploymentSpec)
    address = found.storage.postgres
    if address is None:
        return found
    problem = _problem_of(address)
    if problem is None and urlsplit(address).password is not None:
        problem = (
            "a password does not belong into a file",
            f"take it out, and put it into PGPASSWORD or ~/.pgpass, or the whole address into {POSTGRES_VARIABLE}",
        )
    if problem is not None:
        # Not by a validator of the model, whose message would show the address, and with it a password.
        _, lines = read_yaml(path)
        cause, action = problem
        raise SpecError(
            "storage.postgres: the address of the database cannot be used",
            where=f"{path}:{line_of(lines, ('storage', 'postgres'))}",
            cause=cause,
            action=action,
        )
    return found


def postgres_address(where: Settings, found: DeploymentSpec | None = None) -> PostgresAddress | None:
    """The database of a home, or None where runs are kept in SQLite files.

    Parameters
    ----------
    where
        The home.
    found
        Its deployment where it was read before.

    Raises
    ------
    SettingsError
        When the variable does not hold an address that Dagster's storage can use.
    """
    said = os.environ.get(POSTGRES_VARIABLE, "").strip()
    if not said:
        path = deployment_file(where)
        spec = found or _read(path)
        return None if spec.storage.postgres is None else PostgresAddress(spec.storage.postgres, None, str(path))
    problem = _problem_of(said)
    if problem is not None:
        cause, action = problem
        raise SettingsError(
            "the address of the database cannot be used",
            where=f"{POSTGRES_VARIABLE}, which begins with {said.split('://')[0][:40]!r}",
            cause=cause,
            action=action,
        )
    password = urlsplit(said).password
    return PostgresAddress(without_password(said), None if password is None else unquote(password), POSTGRES_VARIABLE)


def without_password(url: str) -> str:
    """An address as it may be printed and stored."""
    scheme, separator, rest = url.partition("://")
    place, slash, further = rest.partition("/")
    user, at, host = place.rpartition("@")
    return f"{scheme}{separator}{user.split(':')[0]}{at}{host}{slash}{further}"


def _problem_of(url: str) -> tuple[str, str] | None:
    """Why an address cannot be used, and what to write; None where it can."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return "this is no address", f"write {EXAMPLE}"
    if scheme != SCHEME:
        cause = _OTHER_DRIVERS.get(scheme, f"{scheme} is not Postgres, the only database that is supported")
        return cause, f"write the driver into the address: {SCHEME}://..."
    try:
        parts = urlsplit(f"//{rest}")
        number = parts.port
    except ValueError:
        return "the port is no number between 0 and 65535", f"write {EXAMPLE}"
    del number
    if not parts.path.strip("/") or "/" in parts.path.strip("/"):
        return "it names no database", f"write its name at the end: {EXAMPLE}"
    if "password" in parse_qs(parts.query):
        return "a password among the parameters would be printed", "write it between user and host: user:password@host"
    return None
