"""The Dagster instance of a home: its settings as the deployment wants them, and how it is opened."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.instance.ref import InstanceRef

from quant_platform.contracts.errors import DatabaseUnavailable
from quant_platform.defs.event_storage import batch_events
from quant_platform.defs.printed_logs import printed_logs_in
from quant_platform.defs.sqlite_storages import storages_in
from quant_platform.lake.atomic import atomic_text
from quant_platform.pipeline.home import Home
from quant_platform.specification.deployment import PostgresAddress, deployment, postgres_address
from quant_platform.specification.settings import Settings

_ROOT = Path(__file__).resolve().parents[2]
_IN_WHEEL = Path(__file__).resolve().parents[1] / "_deployment"
_POSTGRES = "quant_platform.defs.postgres"
# Settings of the house that are about files of a home.
_IN_FILES = frozenset({"run_storage", "schedule_storage", "event_log_storage"})


def deployment_file(name: str) -> Path:
    """``dagster.yaml`` or ``workspace.yaml``, from the repository or from the installed package."""
    return _ROOT / name if (_ROOT / name).is_file() else _IN_WHEEL / name


def prepare_instance_folder(home: Home) -> Path:
    """Make ``<home>/dagster`` with the house's ``dagster.yaml`` for this deployment: the folder to use as DAGSTER_HOME.

    The web server, the daemon and the processes of runs that they start read the file.

    Raises
    ------
    SpecError, SettingsError, DatabaseUnavailable
        When the deployment, or the address of the database, cannot be used.
    """
    folder = home.settings.home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    source, target = deployment_file("dagster.yaml"), folder / "dagster.yaml"
    text = source.read_text(encoding="utf-8")
    settings = _settings(home.settings)
    if settings:
        house = {key: value for key, value in yaml.safe_load(text).items() if key not in _IN_FILES}
        text = f"# Made from {source.name} and the deployment of this home.\n"
        text += yaml.safe_dump(house | settings, sort_keys=False)
    if not target.is_file() or target.read_text(encoding="utf-8") != text:
        atomic_text(target, text)
    return folder


def _settings(where: Settings) -> dict[str, Any]:
    """What the deployment of a home changes of ``dagster.yaml``: nothing where runs are kept in its own files."""
    spec = deployment(where)
    address = postgres_address(where, spec)
    if address is None:
        return {}
    _postgres(address)
    storage = {"module": _POSTGRES, "class": "PostgresStorage", "config": {"postgres_url": address.url}}
    changed: dict[str, Any] = {"storage": {"custom": storage}}
    if spec.executor.distributed:
        # The folder for what steps print is one of this machine; the cluster keeps what they print itself.
        module = "dagster._core.storage.noop_compute_log_manager"
        changed["compute_logs"] = {"module": module, "class": "NoOpComputeLogManager"}
    return changed


def _postgres(address: PostgresAddress) -> Any:
    """The module that speaks to Postgres, whose packages are an extra."""
    try:
        return import_module(_POSTGRES)
    except ImportError as error:
        if error.name is None or error.name.split(".")[0] not in ("psycopg2", "dagster_postgres"):
            raise
        raise DatabaseUnavailable(
            f"the package {error.name} is not installed",
            where=f"{address.url}, said in {address.said_in}",
            cause="Postgres is an extra",
            action="pip install 'quant-platform[postgres]'",
        ) from error


@contextmanager
def instance_of(home: Home) -> Iterator[dg.DagsterInstance]:
    """Open the Dagster instance of a home; runs and events live under it, or in the database its deployment names.

    Raises
    ------
    SpecError, SettingsError
        When the deployment, or the address of the database, cannot be used.
    DatabaseUnavailable
        When a package is missing, no server answers, the password is wrong, or the database is another home's.
    """
    folder = prepare_instance_folder(home)
    os.environ["DAGSTER_HOME"] = str(folder)
    os.environ["QUANT_HOME"] = str(home.settings.home)
    os.environ["QUANT_SPECS"] = str(home.settings.specs)
    batch_events()
    address = postgres_address(home.settings)
    if address is not None:
        require_database(home.settings)
    # A worker process may have been forked by a server that was started under another home and still has its
    # environment: the folders go with the instance, as Dagster's own storages have them.
    overrides = storages_in(folder) | printed_logs_in(folder) if address is None else None
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(folder), overrides=overrides)) as instance:
        if address is not None:
            _postgres(address).require_own(instance, home.settings)
        yield instance


def require_database(where: Settings) -> PostgresAddress:
    """Connect once to the database of a home, which its deployment names.

    Raises
    ------
    DatabaseUnavailable
        When none is named, a package is missing, no server answers or the password is wrong.
    """
    address = postgres_address(where)
    if address is None:
        raise DatabaseUnavailable("no database is named", where=str(where.home), action="runs are in files of the home")
    with _postgres(address).connected(address):
        return address


@contextmanager
def only_service(home: Home) -> Iterator[None]:
    """Be the only ``quant up`` of the database of a home, where it has one; raises `DatabaseUnavailable`."""
    address = postgres_address(home.settings)
    with nullcontext() if address is None else _postgres(address).only_service(address):
        yield


def has_history(home: Home) -> bool:
    """Whether a home may have runs: there is a folder of them, or a database."""
    return (home.settings.home / "dagster").is_dir() or postgres_address(home.settings) is not None
