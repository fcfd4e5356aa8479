"""What a command costs before it begins, and that the list of commands says what each says of itself."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from quant_platform.cli import COMMANDS
from quant_platform_tests.cli.commands import Command

HEAVY = ("dagster", "polars", "duckdb", "numba", "pyarrow", "sqlalchemy", "dataframely")


def loaded_by(*arguments: str) -> set[str]:
    """The heavy libraries that a process has loaded once a command has ended."""
    script = (
        "import sys\nfrom quant_platform.cli import main\n"
        f"sys.argv = ['quant', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("rum",), ()], ids=str)
def test_help_loads_no_library_of_data(arguments: tuple[str, ...]) -> None:
    assert loaded_by(*arguments) == set()


def test_sql_loads_no_dagster() -> None:
    assert not loaded_by("sql", "--help") & {"dagster", "numba"}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_the_command_says_of_itself(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Loading may set it for this process, which other tests share.
    monkeypatch.setenv("POLARS_MAX_THREADS", "2")
    said = COMMANDS[name].load(name).help
    assert said is not None
    assert COMMANDS[name].help == " ".join(said.split("\n\n")[0].split())


@pytest.mark.parametrize(("asked", "threads"), [({}, 2), ({"POLARS_MAX_THREADS": "3"}, 3)])
def test_two_processes_share_the_cores(asked: dict[str, str], threads: int) -> None:
    script = (
        "import os\nos.cpu_count = lambda: 5\nfrom quant_platform.cli import COMMANDS\n"
        "COMMANDS['demo'].load('demo')\nimport polars\n"
        "print(polars.thread_pool_size(), polars.DataFrame({'a': [1]}).sum().item())"
    )
    environment = {name: value for name, value in os.environ.items() if name != "POLARS_MAX_THREADS"} | asked
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120, env=environment
    )
    assert done.stdout == f"{threads} 1\n"


def test_a_mistyped_command_is_answered_with_the_nearest(quant: Command) -> None:
    ended = quant("snapshott")
    assert ended.code == 2
    assert "Did you mean 'snapshot'?" in ended.plain


def test_an_error_without_a_place_names_the_command(quant: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from quant_platform.contracts.errors import SettingsError

    def refuse() -> None:
        raise SettingsError("it was " + "x" * 5_000)

    monkeypatch.setattr("quant_platform.specification.settings.settings", refuse)
    ended = quant("docs", "--folder", "there")
    assert ended.code == 1
    what, where, action = ended.err.rstrip("\n").split("\n")
    assert what.startswith("settings_invalid: it was xxx")
    assert len(what) < 620
    assert where == "  where: the command: quant docs --folder there"
    assert action == "  next: correct what is named above; `quant docs --help` explains the command"
