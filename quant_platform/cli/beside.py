"""Some labs of a home in a process of their own while others run here: labs on two markets share no table."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from rich.console import Console

from quant_platform.cli.leaving import leaving_at_once
from quant_platform.specification.settings import Settings

GRACE_SECONDS = 20.0
_LATER = "--later"
_BEGIN = "begin\n"
_GO_ON = "go on\n"
_TAKEN = "QUANT_BESIDE_TAKEN"


class Other:
    """The other process."""

    def __init__(self, door: IO[str], taken: Path) -> None:
        self._door, self._taken = door, taken

    def begin(self) -> None:
        """Let it begin the first labs; until then it only gets ready."""
        self._say(_BEGIN)

    def go_on(self) -> None:
        """Let it begin the later labs, once it is through with the first ones."""
        self._say(_GO_ON)

    def take_over(self) -> bool:
        """Whether the later labs are left to this process; when the other has begun them they are not."""
        return _first_to_make(self._taken)

    def _say(self, word: str) -> None:
        # It may have failed by then, which is said when the block ends.
        with suppress(BrokenPipeError):
            self._door.write(word)
            self._door.flush()


@contextmanager
def beside(where: Settings, labs: Sequence[str], console: Console, later: Sequence[str] = ()) -> Iterator[Other]:
    """Run labs in another process while the block runs; what it said is shown when both are through.

    It starts at once, so that it is loaded while this process loads, and waits for `Other.begin`: two processes would
    make the files of a home's history at the same moment.

    Parameters
    ----------
    where
        The folders of the home, which need not be there yet.
    labs
        Names, in any order; their jobs run in the order of the graph.
    console
        Where the lines go.
    later
        Labs that it runs after those, and not before the block has called `Other.go_on`: they read what the block
        makes. A block that ends without that call leaves them out, and so does one that takes them over; one that does
        not call `Other.begin` leaves out everything.

    Raises
    ------
    RunFailed
        When the other process failed, with what it said. When the block fails, the other process is ended: what it had
        written is whole.
    """
    command = [sys.executable, "-m", __name__, *labs, *((_LATER, *later) if later else ())]
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryFile("w+", encoding="utf-8") as said,
        tempfile.TemporaryFile("w+", encoding="utf-8") as wrong,
    ):
        taken = Path(folder) / "taken"
        environment = os.environ | {
            "QUANT_HOME": str(where.home),
            "QUANT_SPECS": str(where.specs),
            _TAKEN: str(taken),
        }
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=said, stderr=wrong, env=environment, text=True, encoding="utf-8"
        )
        assert process.stdin is not None
        try:
            yield Other(process.stdin, taken)
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
        if lines := said.read().rstrip("\n"):
            console.print(lines, markup=False, highlight=False, soft_wrap=True)
        if code != 0:
            # A command that only starts should not wait for Dagster.
            from quant_platform.defs.runs import RunFailed

            raise RunFailed(
                f"the process that ran {', '.join([*labs, *later])} ended with code {code}",
                where=str(where.home),
                cause=wrong.read().strip() or "it was killed, perhaps for want of memory",
                action="start the same command again: what was made is kept",
            )


def _first_to_make(path: Path) -> bool:
    """Whether this process is the one that made the file, of all that try."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def main(arguments: Sequence[str]) -> int:
    """Run labs of the home that the environment names; the exit code."""
    from quant_platform.cli import paragraph
    from quant_platform.cli.homes import open_checked_home
    from quant_platform.cli.market import run_everything

    words = list(arguments)
    split = words.index(_LATER) if _LATER in words else len(words)
    first, later = words[:split], words[split + 1 :]
    try:
        from quant_platform.defs.labs import job_names_of
        from quant_platform.defs.runs import load_definitions

        # The command that started this one has looked whether it is a home, or may become one.
        opened = open_checked_home(None, may_be_new=True)
        load_definitions(opened)
        if sys.stdin.readline() != _BEGIN:
            return 0
        console = Console(file=sys.stdout)
        left_out = run_everything(opened, console, job_names_of(opened, first), begun=True, lanes=1)
        if later and sys.stdin.readline() == _GO_ON and _first_to_make(Path(os.environ[_TAKEN])):
            left_out = run_everything(opened, console, job_names_of(opened, later), begun=True, lanes=1) or left_out
    except Exception as error:
        # The other process shows it as the cause.
        print(paragraph(error), file=sys.stderr)
        return 1
    if left_out is not None:
        print(left_out, file=sys.stderr)
    return 0 if left_out is None else 1


if __name__ == "__main__":
    raise SystemExit(leaving_at_once(lambda: main(sys.argv[1:])))
