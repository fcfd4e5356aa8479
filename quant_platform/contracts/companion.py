"""A second process of one's own: it answers one question after the other, and ends with the one that asks.

Both sides are here: :class:`Companion` is the process as who has started it sees it, :func:`answer_questions` is what
it does. Nothing is lost with it: who asks can always do the work itself, and must where no answer comes.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any, NoReturn

LOST = (OSError, EOFError, pickle.PickleError)
"""What :meth:`Companion.answer` raises where the process is gone."""


class Companion:
    """A process that was started to answer.

    Parameters
    ----------
    module
        Run as ``python -m``; it calls :func:`answer_questions`.
    arguments
        Of its command line.
    descriptors
        Open files that it inherits, under the same numbers.

    Raises
    ------
    OSError
        Where no process can be started: no memory or no process is left.
    """

    def __init__(self, module: str, *arguments: str, descriptors: Sequence[int] = ()) -> None:
        command = [sys.executable, "-m", module, *arguments]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=tuple(descriptors), bufsize=0
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._questions = Connection(os.dup(self.process.stdin.fileno()), readable=False)
        self._answers = Connection(os.dup(self.process.stdout.fileno()), writable=False)
        self.process.stdin.close()
        self.process.stdout.close()

    def ask(self, question: object) -> None:
        """Send a question, which is pickled; raises one of :data:`LOST` where the process is gone."""
        self._questions.send(question)

    def answer(self) -> Any:
        """Wait for the next answer: what was answered, or the RuntimeError that says what the process raised.

        Raises one of :data:`LOST` where the process is gone.
        """
        return self._answers.recv()

    def end(self, *, grace_seconds: float = 0.0) -> None:
        """End the process, whatever it is doing; with some seconds of grace it is told to end first."""
        if grace_seconds:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(grace_seconds)
        self.process.kill()
        self.process.wait()
        self._questions.close()
        self._answers.close()


def answer_questions(answer: Callable[[Any], object], *, prepare: Callable[[], object]) -> NoReturn:
    """Answer what is asked on standard input until nobody can ask any more, then leave at once, whatever is under way.

    Parameters
    ----------
    prepare
        Gets ready for the first question.
    answer
        Answers one question. What it raises is the answer too, as the text of a RuntimeError: who asked does the work
        again, and raises it as its own.
    """
    # Ctrl-C is for the process that asks; this one ends with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What a library may print goes where errors go: the answers stand alone.
    answers = Connection(os.dup(1), readable=False)
    os.dup2(2, 1)
    asked: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(asked,), daemon=True).start()
    prepare()
    with suppress(BrokenPipeError):
        while True:
            found: object
            try:
                found = answer(pickle.loads(asked.get()))
            # Whatever it is, a question that cannot be read here included.
            except Exception as failed:
                found = RuntimeError(repr(failed))
            answers.send(found)
    os._exit(0)


def _listen(asked: SimpleQueue[bytes]) -> None:
    """Hear that nobody asks any more also while an answer is worked at."""
    questions = Connection(os.dup(0), writable=False)
    with suppress(EOFError, OSError):
        while True:
            asked.put(questions.recv_bytes())
    # Taking everything apart would take longer than leaving.
    os._exit(0)
