from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from quant_platform_tests.benchmarks import suite
from quant_platform_tests.benchmarks.machine import resident_gib

# Holds 0.2 GiB and starts one that holds 0.3, which waits for a line.
_BOTH = """
import subprocess, sys
held = bytearray(205 << 20)
inner = "held = bytearray(307 << 20); print('there', flush=True); input()"
subprocess.run([sys.executable, "-c", inner], check=True)
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the memory of others is read from /proc")
def test_the_memory_of_a_process_is_that_of_those_it_starts_too() -> None:
    with subprocess.Popen([sys.executable, "-c", _BOTH], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"there\n"
        found = resident_gib(process.pid)
        process.communicate(b"\n")
    assert 0.5 < found < 0.56


@pytest.mark.long
def test_a_suite_is_timed_from_arrays_and_from_a_file_and_the_page_says_what_was_met(tmp_path: Path) -> None:
    suite.main(["--reduced", "--output", str(tmp_path)])
    found = json.loads((tmp_path / "suite.json").read_text())
    (core,), (whole,) = found["core"], found["whole"]
    assert (core["names"], core["sessions"], core["variants"], core["baselines"]) == (120, 300, 6, 3)
    assert 0.0 < core["cpu_seconds"] <= core["first_cpu_seconds"] + 60.0
    # The last session cannot be acted on inside the panel, and its rows are in the file all the same.
    assert whole["file_rows"] == 120 * 300
    assert whole["page_mib"] < 5.0
    assert whole["ways"] == 1
    ways = [{"wall_seconds": seconds, "drawn": place} for place, seconds in enumerate([5.0, 9.0, 7.0])]
    assert suite.middle(ways) == {"wall_seconds": 7.0, "drawn": 2, "ways": 3, "wall_range": [5.0, 9.0]}
    assert set(whole["steps_wall"]) == {
        "read and check the file", "register it", "write its rows", "read the snapshot, compute, write, draw",
    }  # fmt: skip
    text = (tmp_path / "suite.md").read_text()
    assert text == suite.page(found)
    assert "alphalens and pyfolio were not asked" in text
    goals = {**found, "core": [{**core, "names": 500, "cpu_seconds": 1.6}]}
    assert "| 1.5 | **not met** |" in suite.page(goals)
    assert 0.0 < whole["import_cpu_seconds"] < 60.0
    # A process that has drawn nothing has another one draw, whose seconds are among all.
    assert 0.5 < whole["drawing_cpu_seconds"] < whole["cpu_seconds"]
    # 80 + 10 seconds of numbers, 2 + 1 + 27 around them; on the wall a tenth more, and 9 more for the drawing.
    cpu = {"clean": 80.0, "ic": 10.0, "reading the file": 2.0, "storing": 1.0, "drawing": 27.0}
    peer = {
        "cpu": cpu,
        "wall": {"clean": 88.0, "ic": 11.0, "reading the file": 2.2, "storing": 1.1, "drawing": 38.7},
        "import_cpu": 3.0,
        "factors": 9,
        "pictures": 4,
        "versions": {"alphalens-reloaded": "0.5.1", "pyfolio-reloaded": "0.10.1"},
    }
    ours = {**whole, "wall_seconds": 3.0, "cpu_seconds": 4.0, "import_cpu_seconds": 2.5, "drawing_cpu_seconds": 1.5}
    asked = {
        **found,
        "alphalens": peer,
        "core": [{**core, "cpu_seconds": 2.0, "wall_seconds": 1.0}],
        "whole": [ours],
    }
    beside = suite.page(asked)
    assert "| the numbers of 9 factors | 99.0 | 90.0 |" in beside
    assert "| drawing both tear sheets of the submitted signal, 4 PNG | 38.7 | 27.0 |" in beside
    assert "| **all of it** | 141.0 | 120.0 |" in beside
    assert "| the numbers only | the core | 99 | 45 | | |" in beside
    assert "| the numbers only | the whole way | 33.0 | 22.5 | | |" in beside
    assert "| all of it | the whole way | 47.0 | 30.0 | 40 times faster | met |" in beside
    assert "3.0 CPU s there and 2.5 here" in beside
    assert "it takes 1.5 of our 4.0 CPU s" in beside
    slow = {**asked, "whole": [{**ours, "wall_seconds": 3.53}]}
    assert "| all of it | the whole way | 39.9 | 30.0 | 40 times faster | **not met** |" in suite.page(slow)
