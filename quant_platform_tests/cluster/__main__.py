"""``make cluster-test``: make the environment, run the scenarios and the lake on S3 in it, or say what is missing."""

from __future__ import annotations

import os
import subprocess
import sys

from quant_platform_tests.cluster.environment import ROOT, NotInstalled, install
from quant_platform_tests.cluster.postgres import missing
from quant_platform_tests.lake.objects import WITH_SERVER


def main() -> int:
    """Run everything; the exit code."""
    problem = missing() or ("this needs Linux and its /proc" if sys.platform != "linux" else None)
    if problem is not None:
        print(f"cluster-test: NOT RUN, {problem}")
        return 0
    try:
        made = install()
    except NotInstalled as error:
        print(f"cluster-test: the environment could not be made: {error}")
        return 1
    print(f"environment {made.folder}", flush=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{made.binaries}{os.pathsep}{os.environ['PATH']}"}
    python = str(made.python)
    scenarios = [python, "-m", "quant_platform_tests.cluster.scenarios", *sys.argv[1:]]
    lake = [
        python,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        "s3",
        str(ROOT / "quant_platform_tests" / "lake"),
    ]
    found = subprocess.run(scenarios, env=environment, check=False).returncode
    if found or sys.argv[1:]:
        return found
    return subprocess.run(lake, env=environment | {WITH_SERVER: "1"}, check=False, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
