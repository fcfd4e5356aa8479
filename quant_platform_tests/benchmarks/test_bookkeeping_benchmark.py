"""The processor is given to the part that used it, and the page says what was and what was not reached."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from quant_platform_tests.benchmarks import attribution, bookkeeping
from quant_platform_tests.benchmarks.attribution import (
    BOOKKEEPING,
    COMPUTING,
    OTHER,
    STARTING,
    WRITING,
    part_of,
)

BURN = """
import time
def burn(seconds):
    began = time.thread_time()
    while time.thread_time() - began < seconds:
        pass
"""
POLARS = "/site-packages/polars/lazyframe/frame.py"


@pytest.mark.parametrize(
    ("innermost_first", "part"),
    [
        (["/x/quant_platform/labs/equity/features/table.py", "/x/site-packages/dagster/_core/api.py"], COMPUTING),
        ([POLARS, "/x/quant_platform/lake/validation.py", "/x/quant_platform/pipeline/stage.py"], WRITING),
        ([POLARS, "/x/quant_platform/pipeline/stage.py"], COMPUTING),
        (
            ["/x/json/encoder.py", "/x/site-packages/dagster_shared/serdes.py", "/x/quant_platform/cli/m.py"],
            BOOKKEEPING,
        ),
        (["/x/site-packages/sqlalchemy/engine/base.py", "/x/quant_platform/defs/event_storage.py"], BOOKKEEPING),
        (["/x/quant_platform/labs/a.py", "<frozen importlib._bootstrap>", "/x/quant_platform/defs/b.py"], STARTING),
        ([POLARS, "/x/test.py"], OTHER),
        ([], OTHER),
    ],
)
def test_a_stack_works_for_its_innermost_part(innermost_first: list[str], part: str) -> None:
    assert part_of(innermost_first) == part


# In a process of its own: what native threads of other tests still use here would be given to the two.
TWO_THREADS = f"""
import json, threading, time
from quant_platform_tests.benchmarks.attribution import watched

def burner(file_name):
    space = {{}}
    exec(compile({BURN!r}, file_name, "exec"), space)
    return space["burn"]

computing, writing = burner("/x/quant_platform/labs/a.py"), burner("/x/quant_platform/lake/b.py")
began = time.process_time()
with watched() as found:
    writer = threading.Thread(target=writing, args=(0.6,))
    writer.start()
    computing(1.0)
    writer.join()
print(json.dumps([time.process_time() - began, found.seconds]))
"""


def test_the_seconds_of_two_threads_go_to_their_parts_and_add_up() -> None:
    ended = subprocess.run([sys.executable, "-c", TWO_THREADS], check=True, capture_output=True, text=True)
    total, seconds = json.loads(ended.stdout)
    # A look every 20 ms: what a thread used before its first and after its last one is not seen.
    assert seconds[COMPUTING] == pytest.approx(1.0, abs=0.3)
    assert seconds[WRITING] == pytest.approx(0.6, abs=0.3)
    # The kernel's count of a thread that runs is as old as its last tick.
    assert sum(seconds.values()) <= total + 0.05


def _row(names: int, seconds: dict[str, float], log: int, **more: Any) -> dict[str, Any]:
    parts = dict.fromkeys((*attribution.PARTS, OTHER), 0.0) | seconds
    row = {"names": names, "years": 6, "jobs": [], "seconds": parts, "cpu_seconds": sum(parts.values())}
    return row | {"unattributed_seconds": 0.0, "jobs_seconds": {}, "partitions": 1_000, "event_log_bytes": log} | more


def _found(*rows: dict[str, Any]) -> dict[str, Any]:
    load = {"start": [0.1, 0.1, 0.1], "end": [1.0, 0.5, 0.2]}
    return {
        "command": "c",
        "machine": {"processor": "p", "cores": 2},
        "sizes": list(rows),
        "not_run": "",
        "load_average": load,
    }


def test_the_page_states_shares_growth_and_what_was_not_met() -> None:
    small = _row(100, {STARTING: 10.0, COMPUTING: 6.0, BOOKKEEPING: 4.0}, 2_000_000)
    large = _row(1_000, {STARTING: 10.0, COMPUTING: 60.0, BOOKKEEPING: 80.0}, 3_500_000)
    assert bookkeeping.shares(small)[BOOKKEEPING] == pytest.approx(0.2)
    # 10 seconds of 20 are the start: 100 ms for each of 100 names; 140 of 150 for a thousand.
    assert bookkeeping.per_ticker(small) == pytest.approx(100.0)
    assert bookkeeping.per_ticker(large) == pytest.approx(140.0)
    assert bookkeeping.verdicts(_found(small)) == [
        "bookkeeping below a third of the processor seconds: at most 20%, met",
        "below 3,000 bytes of event log per partition: at most 2,000, met",
    ]
    assert bookkeeping.verdicts(_found(small, large)) == [
        "bookkeeping below a third of the processor seconds: at most 53%, **not met**",
        "below 3,000 bytes of event log per partition: at most 3,500, **not met**",
        "a ticker of 1,000 costs at most 1.3 times one of 100: 1.40 times, **not met**",
    ]
    text = bookkeeping.page(_found(small, large) | {"not_run": "5,000 names x 6 years"})
    assert "| 100 | 6 | all of equities | - | 20.0 | 30% | 0% | 20% | 50% | 0% | 1,000 | 2,000 |" in text
    assert "Not run: 5,000 names x 6 years." in text


def test_a_week_has_seven_days() -> None:
    row = _row(10, {COMPUTING: 1.0}, 1, jobs=["weekly_cross_section"], jobs_seconds={"weekly_cross_section": 3.13})
    assert "| 313 | 10.0 |" in bookkeeping.page(_found(row))


def test_specs_of_a_size_are_read_by_their_models(tmp_path: Path) -> None:
    from quant_platform.pipeline.home import Home
    from quant_platform.specification.settings import Settings

    specs = bookkeeping._specs(tmp_path / "specs", bookkeeping.Size(12, 20))
    home = Home(Settings(home=tmp_path / "home", specs=specs))
    assert home.source_spec.simulated is not None
    assert (home.source_spec.simulated.names, home.spec.first_session.year) == (12, 2004)


def test_the_committed_page_is_made_from_its_artifact() -> None:
    folder = bookkeeping.ROOT / "docs" / "benchmarks"
    found = json.loads((folder / "bookkeeping.json").read_text())
    assert (folder / "bookkeeping.md").read_text() == bookkeeping.page(found)
