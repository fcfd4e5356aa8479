"""What a failed step says to people, whatever Dagster and a library said around it."""

from __future__ import annotations

import sys
from typing import NoReturn

import pytest
from dagster._utils.error import SerializableErrorInfo, serializable_error_info_from_exc_info

from quant_platform.contracts.errors import CorruptFile, SourceMalformed
from quant_platform.defs.runs import _plain, _told


class Step(Exception):
    """As Dagster's own, around what a step raised."""


def _raise(errors: tuple[Exception, ...]) -> NoReturn:
    """The first, raised from the next, and so on."""
    if len(errors) == 1:
        raise errors[0]
    try:
        _raise(errors[1:])
    except Exception as cause:
        raise errors[0] from cause


def _kept(errors: tuple[Exception, ...]) -> SerializableErrorInfo:
    """As Dagster keeps it."""
    try:
        _raise(errors)
    except Exception:
        return serializable_error_info_from_exc_info(sys.exc_info())


OURS = CorruptFile("the footer is torn", where="a.parquet", action="restore it")


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ((Step("step failed"), OURS, ValueError("not a Parquet file")), "file_corrupt: the footer is torn"),
        ((Step("step failed"), SourceMalformed("1 of 5 could not be made"), OURS), "file_corrupt: the footer is torn"),
        ((OURS,), "file_corrupt: the footer is torn"),
        ((Step("step failed"), KeyError("close")), "KeyError: 'close'"),
    ],
)
def test_the_innermost_error_of_ours_is_told(errors: tuple[Exception, ...], said: str) -> None:
    lines = _plain(_told(_kept(errors))).splitlines()
    assert lines[0] == said
    assert any("where: a.parquet" in line for line in lines) == (OURS in errors)


def test_nothing_known_is_told_as_nothing() -> None:
    assert _told(None) == ""
