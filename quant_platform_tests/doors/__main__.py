"""Try every input, print the count of clear answers by door, and each answer that is not."""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quant_platform_tests.doors import arguments, data, expressions, queries, specs
from quant_platform_tests.doors.trial import Answer, Input, Place, environment, tried
from quant_platform_tests.homes import declare, entered, run, write_specs

LEAST_CLEAR = 0.98


def all_inputs() -> list[Input]:
    """Every input of every door."""
    return [found for door in (specs, expressions, queries, arguments, data) for found in door.inputs()]


@contextmanager
def place(folder: Path) -> Iterator[Place]:
    """A sound home with one table and a catalogue, and the environment in which the command finds it."""
    from quant_platform.defs import runs

    made = Place(folder / "home", write_specs(folder / "specs"), folder / "scratch")
    made.scratch.mkdir()
    declare(made.home, made.specs)
    with entered(made.home, made.specs) as home:
        with runs.instance_of(home) as instance:
            runs.register_tickers(home, instance)
            run(home, instance, "securities")
        home.refresh_catalogue()
    # The home follows the specs from here on, so that a broken home.yaml there is met.
    (made.home / "home.yaml").unlink()
    (made.home / "perps.yaml").unlink(missing_ok=True)
    before = dict(os.environ)
    os.environ.update(environment(made))
    try:
        yield made
    finally:
        os.environ.clear()
        os.environ.update(before)


def report(answers: list[Answer]) -> str:
    """The count by door, and what was not clear."""
    counted = Counter(answer.input.door for answer in answers)
    clear = Counter(answer.input.door for answer in answers if answer.clear)
    slowest = max(answers, key=lambda answer: answer.seconds)
    lines = [f"{door:<12} {clear[door]:>4} of {counted[door]:>4} clear" for door in counted]
    lines.append(f"{'all':<12} {clear.total():>4} of {counted.total():>4} clear, {clear.total() / counted.total():.1%}")
    lines.append(f"slowest: {slowest.seconds:.1f} s, {slowest.input.door}: {slowest.input.name}")
    for answer in answers:
        if not answer.clear:
            said = " / ".join((answer.err.strip() or answer.out.strip()).split("\n"))[:400]
            lines += [f"- {answer.input.door}: {answer.input.name}: {'; '.join(answer.complaints)}", f"    {said}"]
    return "\n".join(lines)


def main() -> None:
    """Try all, or the doors that are named."""
    wanted = [found for found in all_inputs() if len(sys.argv) < 2 or found.door in sys.argv[1:]]
    with tempfile.TemporaryDirectory() as folder, place(Path(folder)) as where:
        answers = [tried(found, where) for found in wanted]
    print(report(answers))
    if sum(answer.clear for answer in answers) < LEAST_CLEAR * len(answers):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
