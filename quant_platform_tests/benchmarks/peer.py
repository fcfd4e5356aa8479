"""A peer's process: started once, asked line by line, so that its repetitions take turns with ours."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from quant_platform_tests.benchmarks.timing import Sample

PYTHON = Path(__file__).resolve().parents[2] / ".venv-peers" / "bin" / "python"
SCRIPT = Path(__file__).with_name("alphalens_peer.py")


@dataclass(frozen=True)
class Peer:
    """A running peer: questions go down one pipe, answers come up the other, and the log is there if it dies."""

    questions: IO[str]
    answers: IO[str]
    log: IO[str]

    def ask(self, question: str) -> dict[str, Any]:
        """Send a line and wait for its answer."""
        self.questions.write(f"{question}\n")
        self.questions.flush()
        return self.listen()

    def listen(self) -> dict[str, Any]:
        """Wait for an answer; raises RuntimeError with the end of its log where the peer died instead."""
        line = self.answers.readline()
        if not line:
            self.log.seek(0)
            raise RuntimeError(f"the peer ended early:\n{self.log.read()[-2000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def sample(self, way: str) -> Sample:
        """One repetition over all factors."""
        return Sample(**self.ask(way))


@contextmanager
def alphalens(market: dict[str, Any], python: Path = PYTHON) -> Iterator[tuple[Peer, dict[str, str]]]:
    """Run alphalens-reloaded on one market; yields the peer and the versions it runs.

    Parameters
    ----------
    market
        Arrays as ``alphalens_peer.py`` wants them.
    python
        Interpreter of the peers' environment.
    """
    if not python.is_file():
        raise FileNotFoundError("the peers' environment is missing; `make bench` makes it from requirements-peers.txt")
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log.txt").open("w+") as log:
        path = Path(folder) / "market.npz"
        np.savez(path, **market)
        command = [str(python), str(SCRIPT), str(path)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            peer = Peer(process.stdin, process.stdout, log)
            yield peer, peer.listen()["ready"]
