"""The process that stays with a command started from a page: ``python -m quant_platform.app.keeper FOLDER``.

It holds the lock that says the command runs, keeps what it writes, and writes down how it ended.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from quant_platform.lake.atomic import atomic_text
from quant_platform.lake.locks import exclusive

QUANT = "from quant_platform.cli import main; main()"


def keep(folder: Path) -> int:
    """Run the command of a record to its end; returns its exit code."""
    command = json.loads((folder / "job.json").read_text(encoding="utf-8"))["command"]
    # A stop that is asked for goes to the whole group: the command ends by it, and this process sees how.
    signal.signal(signal.SIGINT, lambda *_: None)
    with exclusive(folder / "alive.lock", wait=True), (folder / "log").open("ab") as log:
        atomic_text(folder / "keeper.json", json.dumps({"group": os.getpgrp()}))
        done = subprocess.run(
            [sys.executable, "-c", QUANT, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
        atomic_text(folder / "ended.json", json.dumps({"code": done.returncode}))
    return done.returncode


if __name__ == "__main__":
    sys.exit(keep(Path(sys.argv[1])))
