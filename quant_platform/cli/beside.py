"""Some jobs of a home in a process of their own while others run here: labs on two markets share no table."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console

from quant_platform.pipeline.home import Home

GRACE_SECONDS = 20.0


@contextmanager
def beside(home: Home, jobs: Sequence[str], console: Console) -> Iterator[None]:
    """Run jobs in another process while the block runs; what it said is shown when both are through.

    Parameters
    ----------
    home
        The market, opened once before: two processes would make the files of its history at the same moment.
    jobs
        Names, in any order; they run in the order of the graph.
    console
        Where the lines go.

    Raises
    ------
    RunFailed
        When the other process failed, with what it said. When the block fails, the other process is ended: what it had
        written is whole.
    """
    environment = os.environ | {"QUANT_HOME": str(home.settings.home), "QUANT_SPECS": str(home.settings.specs)}
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as said,
        tempfile.TemporaryFile("w+", encoding="utf-8") as wrong,
    ):
        process = subprocess.Popen([sys.executable, "-m", __name__, *jobs], stdout=said, stderr=wrong, env=environment)
        try:
            yield
        except BaseException:
            process.terminate()
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                # Started where signals are ignored (in the background of a script), it ignores this one too.
                process.kill()
                process.wait()
            raise
        code = process.wait()
        said.seek(0)
        wrong.seek(0)
        console.print(said.read().rstrip("\n"), markup=False, highlight=False, soft_wrap=True)
        if code != 0:
            # A command that only starts should not wait for Dagster.
            from quant_platform.defs.runs import RunFailed

            raise RunFailed(
                f"the process that ran {', '.join(jobs)} ended with code {code}",
                where=str(home.settings.home),
                cause=wrong.read().strip() or "it was killed, perhaps for want of memory",
                action="start the same command again: what was made is kept",
            )


def main(jobs: Sequence[str]) -> int:
    """Run jobs of the home that the environment names; the exit code."""
    from quant_platform.cli import paragraph
    from quant_platform.cli.homes import open_checked_home
    from quant_platform.cli.market import run_everything

    try:
        # The command that started this one has looked whether it is a home, or may become one.
        opened = open_checked_home(None, may_be_new=True)
        left_out = run_everything(opened, Console(file=sys.stdout), jobs, announced=True)
    except Exception as error:
        # The other process shows it as the cause.
        print(paragraph(error), file=sys.stderr)
        return 1
    if left_out is not None:
        print(left_out, file=sys.stderr)
    return 0 if left_out is None else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
