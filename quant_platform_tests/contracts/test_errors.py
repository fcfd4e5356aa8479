"""What an error says, and that it survives a process boundary."""

from __future__ import annotations

import pickle

import polars as pl
import pytest

from quant_platform.contracts import errors
from quant_platform.contracts.errors import PlatformError, SchemaViolation

CLASSES = [found for found in vars(errors).values() if isinstance(found, type) and issubclass(found, PlatformError)]


def test_the_message_answers_six_questions_in_order() -> None:
    rows = pl.DataFrame({"ticker": ["A"] * 7, "close": range(7)})
    error = SchemaViolation(
        "a close was negative",
        where="clean.equity_bars, partition A",
        how_many="7 of 252 rows",
        rows=rows,
        cause="a sign was lost",
        action="look at the source",
    )
    assert str(error).splitlines() == [
        "schema_violation: a close was negative",
        "  where: clean.equity_bars, partition A",
        "  how many: 7 of 252 rows",
        "  first rows:",
        *(f"    ticker=A, close={k}" for k in range(5)),
        "  likely cause: a sign was lost",
        "  next: look at the source",
    ]


def test_what_is_not_known_is_not_printed() -> None:
    assert str(PlatformError("it broke")) == "platform_error: it broke"


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_is_whole_on_the_other_side_of_a_process(cls: type[PlatformError]) -> None:
    error = cls("what", where="here", how_many="1 of 2", rows=[{"a": 1}], cause="why", action="do")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is cls
    assert str(back) == str(error)


def test_codes_are_stable_names_of_their_own() -> None:
    codes = [cls.code for cls in CLASSES]
    assert len(set(codes)) == len(codes)
    assert all(code.replace("_", "").isalpha() and code.islower() for code in codes)


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if cls is not PlatformError], ids=lambda cls: cls.__name__)
def test_every_error_is_also_the_builtin_a_caller_would_catch(cls: type[PlatformError]) -> None:
    assert issubclass(cls, (ValueError, LookupError, OSError, RuntimeError))
