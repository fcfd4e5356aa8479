"""The settings of Dagster that a deployment gives; no server is asked here (`quant_platform_tests.cluster` does)."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from quant_platform.contracts.errors import DatabaseUnavailable, SettingsError
from quant_platform.defs import instances
from quant_platform.defs.event_storage import PooledSqliteEventLogStorage
from quant_platform.defs.sqlite_storages import PooledSqliteRunStorage, PooledSqliteScheduleStorage
from quant_platform.pipeline.home import Home
from quant_platform.specification.deployment import POSTGRES_VARIABLE
from quant_platform.specification.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
NOBODY = "postgresql+psycopg2://quant:hidden@127.0.0.1:1/market"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.delenv(POSTGRES_VARIABLE, raising=False)
    for name in ("DAGSTER_HOME", "QUANT_HOME", "QUANT_SPECS"):
        monkeypatch.setenv(name, str(tmp_path))
    return Home(Settings(home=tmp_path / "home", specs=ROOT / "specs"))


def test_a_home_of_its_own_keeps_the_files_and_the_house_settings(home: Home) -> None:
    folder = instances.prepare_instance_folder(home)
    assert (folder / "dagster.yaml").read_text() == (ROOT / "dagster.yaml").read_text()
    with instances.instance_of(home) as instance:
        assert isinstance(instance.event_log_storage, PooledSqliteEventLogStorage)
        assert instance.event_log_storage.path_for_shard("x").startswith(str(folder))
        assert isinstance(instance.run_storage, PooledSqliteRunStorage)
        assert isinstance(instance.schedule_storage, PooledSqliteScheduleStorage)
        assert (folder / "history" / "runs.db").is_file()
        assert (folder / "schedules" / "schedules.db").is_file()


@pytest.mark.parametrize("package", ["dagster_postgres", "psycopg2"])
def test_a_package_that_is_missing_is_named_with_its_extra(
    package: str, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(POSTGRES_VARIABLE, NOBODY)
    monkeypatch.delitem(sys.modules, "quant_platform.defs.postgres", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DatabaseUnavailable, match=r"quant-platform\[postgres\]") as caught, instances.instance_of(home):
        pass
    # Where neither is there the first that is imported is named.
    assert (package if importlib.util.find_spec("psycopg2") else "psycopg2") in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_with_postgres_the_house_settings_stay_and_the_password_is_nowhere(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(POSTGRES_VARIABLE, NOBODY)
    monkeypatch.setitem(sys.modules, "quant_platform.defs.postgres", ModuleType("postgres"))
    text = (instances.prepare_instance_folder(home) / "dagster.yaml").read_text()
    said, house = yaml.safe_load(text), yaml.safe_load((ROOT / "dagster.yaml").read_text())
    storage = said.pop("storage")["custom"]
    for name in ("event_log_storage", "run_storage", "schedule_storage"):
        assert house.pop(name)
    assert said == house
    assert storage["config"] == {"postgres_url": "postgresql+psycopg2://quant@127.0.0.1:1/market"}
    assert "hidden" not in text
    # And back: the settings follow the deployment of the day.
    monkeypatch.delenv(POSTGRES_VARIABLE)
    instances.prepare_instance_folder(home)
    assert (home.settings.home / "dagster" / "dagster.yaml").read_text() == (ROOT / "dagster.yaml").read_text()


def test_steps_on_other_machines_do_not_write_their_output_into_a_folder_of_this_one(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(POSTGRES_VARIABLE, NOBODY)
    monkeypatch.setitem(sys.modules, "quant_platform.defs.postgres", ModuleType("postgres"))
    home.settings.home.mkdir(parents=True)
    (home.settings.home / "deployment.yaml").write_text(
        "executor: {name: ray, workers: 2, ray: {address: 'http://head:8265'}}"
    )
    said = yaml.safe_load((instances.prepare_instance_folder(home) / "dagster.yaml").read_text())
    assert said["compute_logs"]["class"] == "NoOpComputeLogManager"


def test_a_wrong_address_is_refused_before_anything_is_opened(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(POSTGRES_VARIABLE, "postgresql://quant@127.0.0.1:1/market")
    with pytest.raises(SettingsError, match="psycopg2"), instances.instance_of(home):
        pass


def test_runs_may_be_in_a_database_that_no_folder_speaks_of(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not instances.has_history(home)
    monkeypatch.setenv(POSTGRES_VARIABLE, NOBODY)
    assert instances.has_history(home)


def test_no_server_is_said_within_seconds(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dagster_postgres", reason="the extra `postgres` is not installed")
    monkeypatch.setenv(POSTGRES_VARIABLE, NOBODY)
    with pytest.raises(DatabaseUnavailable, match="no database answers") as caught, instances.instance_of(home):
        pass
    assert "hidden" not in str(caught.value)
