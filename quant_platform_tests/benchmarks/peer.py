"""A peer's process: started once, asked line by line, so that its repetitions take turns with ours."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from quant_platform_tests.benchmarks.timing import Sample

PYTHON = Path(__file__).resolve().parents[2] / ".venv-peers" / "bin" / "python"


class Alphalens:
    """alphalens-reloaded on one market; use as a context manager.

    Parameters
    ----------
    market
        Arrays as ``alphalens_peer.py`` wants them.
    """

    def __init__(self, market: dict[str, Any]) -> None:
        self._market = market

    def __enter__(self) -> Alphalens:
        if not PYTHON.is_file():
            raise FileNotFoundError(
                "the peers' environment is missing; `make bench` makes it from requirements-peers.txt"
            )
        self._folder = tempfile.TemporaryDirectory()
        self._log = (Path(self._folder.name) / "log.txt").open("w+")
        path = Path(self._folder.name) / "market.npz"
        np.savez(path, **self._market)
        self._process = subprocess.Popen(
            [str(PYTHON), str(Path(__file__).with_name("alphalens_peer.py")), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self.versions: dict[str, str] = self._answer()["ready"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()
        self._log.close()
        self._folder.cleanup()

    def ask(self, question: str) -> dict[str, Any]:
        """Send a line and wait for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{question}\n")
        self._process.stdin.flush()
        return self._answer()

    def sample(self, way: str) -> Sample:
        """One repetition over all factors."""
        return Sample(**self.ask(way))

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise RuntimeError(f"the peer ended early:\n{self._log.read()[-2000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer
