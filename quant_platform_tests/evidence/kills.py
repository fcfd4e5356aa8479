"""``python -m quant_platform_tests.evidence.kills``: processes of a home killed at random moments, and what is left.

A small simulated market of equities. Each kind of work is started as a user starts it, killed with signal 9 when it is
some random part of the way through, and looked at: every file of the lake is read and hashed, every snapshot verified,
the catalogue opened; then the same command is started again, and what it makes is held against a home that nobody
disturbed. Writes ``docs/evidence/kills.json`` and ``kills.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from quant_platform.defs import runs
from quant_platform.lake import open_catalogue, snapshots
from quant_platform.pipeline import sharing
from quant_platform.pipeline.home import Home
from quant_platform.specification.settings import Settings
from quant_platform_tests.commits import commit_of
from quant_platform_tests.homes import NAMES, copied, declare, entered, harm, hashes, write_specs

ROOT = Path(__file__).resolve().parents[2]
NAME = "kills"
SEED = 20261126
JOB = "ticker_graph"
TIMES = {"whole run": 20, "worker": 20, "catalogue": 10, "vacuum": 10, "export": 10}
_CLI = (sys.executable, "-c", "from quant_platform.cli import main; main()")
_SNAPSHOT = "2020-01-01-US-v1"
_STAMP = "%Y%m%dT%H%M%S%fZ"


@dataclass
class Outcome:
    """What became of one kind of work, over all its kills.

    ``too_late`` are tries whose process had ended before it was killed; they are made again. Of the others,
    ``harmed`` had something in the lake that should not be there, ``differing`` other content than the home that nobody
    disturbed once the command was started again, ``stopped`` ended before everything was made where only a process that
    shares the run was killed.
    """

    kills: int = 0
    too_late: int = 0
    harmed: int = 0
    differing: int = 0
    stopped: int = 0
    left: list[float] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        """As it stands in the document."""
        at = sorted(self.left)
        counts = {name: getattr(self, name) for name in ("kills", "too_late", "harmed", "differing", "stopped")}
        return {**counts, "earliest": round(at[0], 2) if at else None, "latest": round(at[-1], 2) if at else None}


@dataclass(frozen=True)
class Bench:
    """Two homes that nobody disturbs, and where copies go.

    ``whole`` has three versions of every partition: of forty days ago, which a snapshot names, of twenty days ago,
    which vacuum removes, and of today.
    """

    specs: Path
    whole: Home
    expected: Mapping[tuple[str, Any], str]
    files: int
    place: Path

    def command(self, *words: str) -> list[str]:
        """A command line of the platform."""
        return [*_CLI, *words]

    def environment(self, home: Path) -> dict[str, str]:
        """The environment of a home."""
        return os.environ | {
            "QUANT_HOME": str(home),
            "QUANT_SPECS": str(self.specs),
            "DAGSTER_HOME": str(home / "dagster"),
        }

    def fresh(self) -> Path:
        """An empty home that declares the market."""
        folder = Path(tempfile.mkdtemp(dir=self.place))
        declare(folder, self.specs)
        return folder

    def copy(self) -> Path:
        """A home with the lake and the snapshot of the whole one."""
        folder = Path(tempfile.mkdtemp(dir=self.place)) / "home"
        folder.mkdir()
        copied(self.whole.settings.home, folder)
        shutil.copytree(self.whole.settings.home / "snapshots", folder / "snapshots")
        return folder


@contextmanager
def bench(place: Path) -> Iterator[Bench]:
    """Make the homes that nobody disturbs."""
    specs = write_specs(place / "specs")
    with entered(place / "whole", specs) as home:
        with runs.instance_of(home) as instance:
            runs.register_tickers(home, instance)
            for job in ("securities", JOB):
                keys = tuple(runs.register_tickers(home, instance)[0]) if job == JOB else ()
                runs.execute(runs.Launch(job, keys), instance, in_process=True)
        _age(home, 40)
        tables = [name for name in home.lake.tables if home.lake.partitions(name)]
        expected = hashes(home, *tables)
        snapshots.create(home.lake, home.settings.home / "snapshots", "US", snapshot_id=_SNAPSHOT)
        _write_again(home, tables)
        _age(home, 20)
        _write_again(home, tables)
        home.refresh_catalogue()
        files = len(list((home.settings.home / "lake").rglob("*.parquet")))
        yield Bench(specs, home, expected, files, place)


def _write_again(home: Home, tables: Sequence[str]) -> None:
    for name in tables:
        for key in home.lake.partitions(name):
            version = home.lake.current(name, key)
            assert version is not None
            home.lake.write(name, key, home.lake.read(name, [key]), version.provenance)


def _age(home: Home, days: int) -> None:
    """Let the versions of today be of some days ago: the time of a version is in its name."""
    for path in (home.settings.home / "lake").rglob("*.parquet"):
        stamp, unique = path.name.split("-")
        written = datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
        if datetime.now(UTC) - written < timedelta(days=1):
            path.rename(path.with_name(f"{(written - timedelta(days=days)).strftime(_STAMP)}-{unique}"))


def sound(home: Path, specs: Path) -> bool:
    """Whether nothing is in the lake that should not be there, and every snapshot is what it was."""
    opened = Home(Settings(home=home, specs=specs))
    folder = home / "snapshots"
    if harm(opened.lake):
        return False
    return not (folder.is_dir() and snapshots.verify(opened.lake, folder, _SNAPSHOT))


def killed_at(process: subprocess.Popen[bytes], ready: Callable[[], bool], victim: Callable[[], int | None]) -> bool:
    """Kill a process, or one of its children, once it is ready for it; False where it had ended before."""
    while process.poll() is None:
        if ready():
            pid = victim()
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                return True
        time.sleep(0.002)
    return False


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += [int(each) for each in task.read_text().split()]
    return found


def _worker_of(pid: int) -> int | None:
    """A process that shares a run."""
    return max((each for each in children(pid) if sharing.__name__ in _command_line(each)), default=None)


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def kill_a_run(made: Bench, found: Outcome, draw: random.Random, *, worker: bool) -> None:
    """Kill a run of the job over every ticker, whole or one of its workers, and start it again."""
    home = made.fresh()
    wanted = draw.randrange(3, len(made.expected) - 3)
    words = ("run", JOB, *(("--workers", "2") if worker else ("--in-process",)))
    process = subprocess.Popen(
        made.command(*words),
        env=made.environment(home),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    there = 0

    def ready() -> bool:
        nonlocal there
        there = len(list(home.glob("lake/*/*/*/*.parquet")))
        return there >= wanted

    hit = killed_at(process, ready, (lambda: _worker_of(process.pid)) if worker else (lambda: process.pid))
    process.wait()
    if not hit:
        found.too_late += 1
        return
    found.kills += 1
    found.left.append(there / len(made.expected))
    found.stopped += int(worker and process.returncode != 0)
    found.harmed += int(not sound(home, made.specs))
    subprocess.run(made.command("run", JOB), env=made.environment(home), check=True, capture_output=True)
    again = hashes(Home(Settings(home=home, specs=made.specs)), *{name for name, _ in made.expected})
    found.differing += int({where: made.expected[where] for where in again} != again or len(again) < len(_of_job(made)))


def _of_job(made: Bench) -> list[tuple[str, Any]]:
    return [where for where in made.expected if where[0] != "raw.securities"]


def kill_a_command(made: Bench, found: Outcome, draw: random.Random, words: Sequence[str], least: float) -> None:
    """Kill a command on a copy of the whole home after a random part of the time that it takes, and start it again."""
    home = made.copy()
    started = time.monotonic()
    target = home.parent / "exported"
    named = [word.replace("TARGET", str(target)) for word in words]
    after = least + draw.random() * (_seconds(made, words) - least)
    process = subprocess.Popen(
        made.command(*named), env=made.environment(home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    hit = killed_at(process, lambda: time.monotonic() - started >= after, lambda: process.pid)
    process.wait()
    if not hit:
        found.too_late += 1
        return
    found.kills += 1
    found.left.append(after / _seconds(made, words))
    # Killed between the last step and the end of the process, an export is there and has to be whole; a part never is.
    finished = target.exists()
    found.harmed += int(not sound(home, made.specs) or (finished and not _export_is_whole(made, target)))
    if not finished:
        subprocess.run(made.command(*named), env=made.environment(home), check=True, capture_output=True)
    opened = Home(Settings(home=home, specs=made.specs))
    same = hashes(opened, *{name for name, _ in made.expected}) == made.expected and sound(home, made.specs)
    if words[0] == "snapshot":
        same &= _export_is_whole(made, target)
    else:
        same &= _catalogue_is_whole(made, opened)
    found.differing += int(not same)


def _export_is_whole(made: Bench, target: Path) -> bool:
    """Whether a copy of the snapshot has all its files, none of them broken, and their rows in a database."""
    with duckdb.connect(target / "quant.duckdb", read_only=True) as connection:
        held = connection.execute("select table_schema || '.' || table_name from information_schema.tables").fetchall()
    copy = Home(Settings(home=target, specs=made.specs)).lake
    files = list((target / "lake").rglob("*.parquet"))
    return (
        {name for name, _ in made.expected} <= {name for (name,) in held}
        and len(files) == len(made.expected)
        and not snapshots.verify(copy, target / "snapshots", _SNAPSHOT)
    )


def _catalogue_is_whole(made: Bench, opened: Home) -> bool:
    opened.refresh_catalogue(force=True)
    with open_catalogue(opened.settings.catalogue) as connection:
        [(partitions,)] = connection.execute("select count(*) from lake.partitions").fetchall()
    return bool(partitions == len(made.expected))


_TOOK: dict[tuple[str, ...], float] = {}


def _seconds(made: Bench, words: Sequence[str]) -> float:
    """How long a command takes that nobody kills."""
    key = tuple(words)
    if key not in _TOOK:
        home = made.copy()
        named = [word.replace("TARGET", str(home.parent / "exported")) for word in words]
        began = time.monotonic()
        subprocess.run(made.command(*named), env=made.environment(home), check=True, capture_output=True)
        _TOOK[key] = time.monotonic() - began
    return _TOOK[key]


KINDS: Mapping[str, Callable[[Bench, Outcome, random.Random], None]] = {
    "whole run": lambda made, found, draw: kill_a_run(made, found, draw, worker=False),
    "worker": lambda made, found, draw: kill_a_run(made, found, draw, worker=True),
    "catalogue": lambda made, found, draw: kill_a_command(made, found, draw, ("lake", "refresh"), 0.5),
    "vacuum": lambda made, found, draw: kill_a_command(made, found, draw, ("lake", "vacuum"), 0.5),
    "export": lambda made, found, draw: kill_a_command(
        made, found, draw, ("snapshot", "export", _SNAPSHOT, "TARGET"), 0.5
    ),
}


def measured(name: str, count: int, made: Bench) -> dict[str, Any]:
    """Kill one kind of work that often; each kind has its own draw, so that it can be made again alone."""
    draw, found = random.Random(SEED + list(KINDS).index(name)), Outcome()
    while found.kills < count and found.too_late < 3 * count:
        KINDS[name](made, found, draw)
    print(f"{name}: {found.row()}", flush=True)
    return found.row()


def page(document: Mapping[str, Any]) -> str:
    """The page."""
    kinds: Mapping[str, Mapping[str, Any]] = document["kinds"]
    lines = [
        f"<!-- Generated by `python -m quant_platform_tests.evidence.{NAME}`. -->",
        "",
        "# What a kill leaves",
        "",
        f"A simulated market of {document['names']} names, {document['partitions']} partitions. Each kind of work is",
        "started as a user starts it and killed with signal 9 at a random moment: runs when a random number of files",
        "is there, commands after a random part of the time they take. Then every file is read and hashed and every",
        "snapshot verified (*harmed*), the same command is started again, and the content of every partition is held",
        "against a home that nobody disturbed (*differing*). *stopped*: a run of which only a process that shares its",
        "partitions was killed did not go on to its end. *too late*: the process had ended by itself, and the try was",
        "made again. *from, to*: how far the work was, as a share of its files or of its time. *commit*: what the tree",
        f"stood on then; each kind may be tried alone (`--only`, {' + '.join(map(str, TIMES.values()))} kills in all).",
        "",
        "| killed | kills | harmed | differing | stopped | too late | from | to | commit |",
        "|---|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for name in KINDS:
        one = kinds.get(name)
        if one is None:
            lines.append(f"| {name} | not tried yet |  |  |  |  |  |  |  |")
            continue
        span = [f"{one[end]:.0%}" if one[end] is not None else "" for end in ("earliest", "latest")]
        counts = [str(one[name]) for name in ("kills", "harmed", "differing", "stopped", "too_late")]
        lines.append(f"| {name} | {' | '.join([*counts, *span, one['commit']])} |")
    return "\n".join([*lines, ""])


def write(kinds: Mapping[str, Any], made: Bench, path: Path) -> None:
    """Put what is known of each kind into the document and its page."""
    document = {
        "names": NAMES,
        "partitions": len(made.expected),
        "files": made.files,
        "seed": SEED,
        "kinds": {name: kinds[name] for name in KINDS if name in kinds},
    }
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(page(document), encoding="utf-8")


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(prog=f"python -m quant_platform_tests.evidence.{NAME}", description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "evidence", help="folder")
    parser.add_argument("--only", choices=list(KINDS), help="one kind; the others stay as they are")
    parser.add_argument("--times", type=int, help="kills of each kind; then nothing is written")
    options = parser.parse_args()
    path = options.output / f"{NAME}.json"
    kinds = json.loads(path.read_text(encoding="utf-8"))["kinds"] if path.exists() else {}
    commit = commit_of(ROOT)
    with tempfile.TemporaryDirectory() as folder, bench(Path(folder)) as made:
        for name in [options.only] if options.only else KINDS:
            kinds[name] = measured(name, options.times or TIMES[name], made) | {"commit": commit}
            if options.times is None:
                # Written as each kind is through: what is cut short keeps what it has.
                write(kinds, made, path)


if __name__ == "__main__":
    main()
