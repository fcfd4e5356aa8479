"""A part of the broken inputs, spread over all doors; ``make doors`` tries every one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quant_platform_tests.doors import trial
from quant_platform_tests.doors.__main__ import LEAST_CLEAR, all_inputs, place, report
from quant_platform_tests.doors.trial import Place, tried

PART = 9


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("doors")) as made:
        yield made


@pytest.mark.long
def test_there_are_four_hundred_inputs_and_no_two_are_the_same() -> None:
    inputs = all_inputs()
    assert len(inputs) >= 400
    assert len({(found.door, found.name) for found in inputs}) == len(inputs)


@pytest.mark.long
def test_broken_inputs_get_a_clear_answer(where: Place) -> None:
    answers = [tried(found, where) for found in all_inputs()[::PART]]
    print(report(answers))
    assert {answer.input.door for answer in answers} == {found.door for found in all_inputs()}
    assert sum(answer.clear for answer in answers) >= LEAST_CLEAR * len(answers), report(answers)


# The judge itself: what each of these would look like, and that it is seen.
GOOD = "spec_invalid: it was wrong\n  where: a.yaml:1\n  next: mend it\n"


@pytest.mark.parametrize(
    ("code", "out", "err", "complaint"),
    [
        (1, "", GOOD, ""),
        (2, "", "Usage: quant run\nError: no such option\n", ""),
        (3, "torn: lake/a\n  it is\n  next: mend it\n", "", ""),
        (0, "fine", "", "it was taken for good"),
        (-1, "", "", "no answer within"),
        (1, "", GOOD + "Traceback (most recent call last)", "a traceback"),
        (1, "", "unexpected: ValueError: x", "called unexpected"),
        (1, "", GOOD.replace("  next: mend it\n", ""), "no next"),
        (1, "", GOOD.replace("  where: a.yaml:1\n", ""), "no where"),
        (1, "", GOOD.replace("\n  next", "\n\n  next"), "more than one paragraph"),
        (1, "", "It was wrong" + GOOD.removeprefix("spec_invalid"), "no stable code"),
        (1, "", GOOD + "x\n" * 40, "43 lines"),
        (2, "", "no\n", "no usage"),
        (3, "torn: lake/a\n", "", "a finding without its place and next action"),
    ],
)
def test_the_judge_sees_what_is_not_clear(code: int, out: str, err: str, complaint: str) -> None:
    found = list(trial._complaints(code, out, err))
    assert any(complaint in said for said in found) if complaint else found == []


@pytest.mark.parametrize(
    ("code", "out", "complaint"),
    [
        (0, "another_encoding:\nread as that", ""),
        (0, "fine", "not taken with the words"),
        (1, "", "not taken with the words"),
    ],
)
def test_what_is_unusual_is_taken_with_words(code: int, out: str, complaint: str) -> None:
    found = list(trial._complaints(code, out, GOOD if code else "", "another_encoding: read"))
    assert any(complaint in said for said in found) if complaint else found == []


def test_the_judge_sees_damage(where: Place) -> None:
    def harm(place: Place) -> list[str]:
        return ["lake", "vacuum", "--home", str(place.home), "--nonsense"]

    answer = tried(trial.Input("judge", "none", harm), where)
    assert answer.clear
    assert list(trial._damage({"a": 1}, {"a": 2})) == ["touched: a"]
    assert list(trial._damage({"a": 1}, {})) == ["touched: a"]
    assert list(trial._damage({}, {"b": 1})) == ["touched: b"]


def test_the_clock_ends_what_hangs(where: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object) -> None:
        while True:
            pass

    monkeypatch.setattr(trial, "SECONDS", 0.3)
    monkeypatch.setattr(trial, "main", hang)
    answer = tried(trial.Input("judge", "hangs", lambda _: ["run"]), where)
    assert answer.complaints == ("no answer within 0.3 s",)
