"""Some jobs of a home in a process of their own while others run here: labs on two markets share no table."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO

from rich.console import Console

from quant_platform.pipeline.home import Home

GRACE_SECONDS = 20.0
_LATER = "--later"
_GO_ON = "go on\n"


class Other:
    """The other process."""

    def __init__(self, door: IO[str]) -> None:
        self._door = door

    def go_on(self) -> None:
        """Let it begin the later jobs, once it is through with the first ones."""
        # It may have failed by then, which is said when the block ends.
        with suppress(BrokenPipeError):
            self._door.write(_GO_ON)
            self._door.flush()


@contextmanager
def beside(home: Home, jobs: Sequence[str], console: Console, later: Sequence[str] = ()) -> Iterator[Other]:
    """Run jobs in another process while the block runs; what it said is shown when both are through.

    Parameters
    ----------
    home
        The market, opened once before: two processes would make the files of its history at the same moment.
    jobs
        Names, in any order; they run in the order of the graph.
    console
        Where the lines go.
    later
        Jobs that it runs after those, and not before the block has called `Other.go_on`: they read what the block
        makes. A block that ends without that call leaves them out.

    Raises
    ------
    RunFailed
        When the other process failed, with what it said. When the block fails, the other process is ended: what it had
        written is whole.
    """
    environment = os.environ | {"QUANT_HOME": str(home.settings.home), "QUANT_SPECS": str(home.settings.specs)}
    command = [sys.executable, "-m", __name__, *jobs, *((_LATER, *later) if later else ())]
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as said,
        tempfile.TemporaryFile("w+", encoding="utf-8") as wrong,
    ):
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=said, stderr=wrong, env=environment, text=True, encoding="utf-8"
        )
        assert process.stdin is not None
        try:
            yield Other(process.stdin)
            with suppress(BrokenPipeError):
                process.stdin.close()
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
                f"the process that ran {', '.join([*jobs, *later])} ended with code {code}",
                where=str(home.settings.home),
                cause=wrong.read().strip() or "it was killed, perhaps for want of memory",
                action="start the same command again: what was made is kept",
            )


def main(arguments: Sequence[str]) -> int:
    """Run jobs of the home that the environment names; the exit code."""
    from quant_platform.cli import paragraph
    from quant_platform.cli.homes import open_checked_home
    from quant_platform.cli.market import run_everything

    words = list(arguments)
    split = words.index(_LATER) if _LATER in words else len(words)
    first, later = words[:split], words[split + 1 :]
    try:
        # The command that started this one has looked whether it is a home, or may become one.
        opened = open_checked_home(None, may_be_new=True)
        console = Console(file=sys.stdout)
        left_out = run_everything(opened, console, first, announced=True)
        if later and sys.stdin.readline() == _GO_ON:
            left_out = run_everything(opened, console, later, announced=True) or left_out
    except Exception as error:
        # The other process shows it as the cause.
        print(paragraph(error), file=sys.stderr)
        return 1
    if left_out is not None:
        print(left_out, file=sys.stderr)
    return 0 if left_out is None else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
