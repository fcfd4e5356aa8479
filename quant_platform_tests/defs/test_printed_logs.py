"""What runs print is in Dagster's files and on the screen, to the last line, without a process more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dagster._core.storage.compute_log_manager import ComputeIOType

from quant_platform.defs.printed_logs import PrintedLogs, mirrored

KEY = ["run", "compute_logs", "step"]
ROOT = Path(__file__).resolve().parents[2]
CAPTURES = """
import os, subprocess, sys
from quant_platform.defs.printed_logs import PrintedLogs
logs = PrintedLogs(sys.argv[1])
print("before", flush=True)
with logs.capture_logs(["run", "compute_logs", "step"]):
    print("of Python")
    print("an error", file=sys.stderr)
    sys.stdout.flush()
    os.write(1, b"of a library\\n")
    subprocess.run(["echo", "of a program"], check=True)
    children = subprocess.run(["ps", "--ppid", str(os.getpid()), "-o", "comm="], capture_output=True, text=True).stdout
    if "kill" in sys.argv:
        os.kill(os.getpid(), 9)
    print("z" * 200_000)
if "unseen" not in sys.argv:
    print("after", flush=True)
print(children, file=sys.stderr)
"""


def started(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", CAPTURES, str(folder), *more], capture_output=True, text=True)


def test_everything_is_kept_and_shown_in_order_to_the_last_line(tmp_path: Path) -> None:
    said = started(tmp_path)
    printed = f"of Python\nof a library\nof a program\n{'z' * 200_000}\n"
    assert said.stdout == f"before\n{printed}after\n"
    found = PrintedLogs(str(tmp_path)).get_log_data(KEY)
    assert found.stdout == printed.encode()
    assert found.stderr == b"an error\n"
    assert PrintedLogs(str(tmp_path)).is_capture_complete(KEY)
    # The only child was the one that listed them.
    assert said.stderr.split() == ["an", "error", "ps"]


def test_what_was_printed_before_a_kill_is_kept(tmp_path: Path) -> None:
    said = started(tmp_path, "kill")
    assert said.returncode == -9
    logs = PrintedLogs(str(tmp_path))
    assert logs.get_log_data(KEY).stdout == b"of Python\nof a library\nof a program\n"
    assert not logs.is_capture_complete(KEY)


def test_a_second_capture_of_the_same_step_appends_and_shows_only_what_is_new(tmp_path: Path) -> None:
    started(tmp_path)
    said = started(tmp_path)
    assert said.stdout.count("of Python") == 1
    kept = PrintedLogs(str(tmp_path)).get_log_data_for_type(KEY, ComputeIOType.STDOUT)
    assert kept[0].count(b"of Python") == 2


def test_nobody_who_looks_is_no_reason_to_stop(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CAPTURES, str(tmp_path), "unseen"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
    assert process.returncode == 0
    assert PrintedLogs(str(tmp_path)).get_log_data(KEY).stdout.endswith(b"z\n")


def test_a_stream_that_is_no_file_stays_as_it_is(tmp_path: Path) -> None:
    class Stream:
        said = ""

        def write(self, text: str) -> int:
            self.said += text
            return len(text)

    stream = Stream()
    with mirrored(stream, tmp_path / "step.out"):
        stream.write("here")
    assert stream.said == "here"
    assert (tmp_path / "step.out").read_bytes() == b""


def test_an_error_inside_is_the_error(tmp_path: Path) -> None:
    logs = PrintedLogs(str(tmp_path))
    with pytest.raises(ZeroDivisionError), logs.capture_logs(KEY):
        raise ZeroDivisionError
    assert not logs.is_capture_complete(KEY)


def test_the_house_uses_it_and_keeps_the_files_where_dagster_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = yaml.safe_load((ROOT / "dagster.yaml").read_text())["compute_logs"]
    assert asked == {"module": PrintedLogs.__module__, "class": PrintedLogs.__name__, "config": {}}
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    path = PrintedLogs.from_config_value(None, {}).get_captured_local_path(KEY, "out")
    assert Path(path) == tmp_path / "storage" / "run" / "compute_logs" / "step.out"
