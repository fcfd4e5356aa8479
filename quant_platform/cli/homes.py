"""The home that a command is about: the option that names it, and how it is opened."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quant_platform.specification.settings import Settings, require_usable, settings

if TYPE_CHECKING:
    from quant_platform.pipeline.home import Home

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        help="Folder of the market; QUANT_HOME or ./data when not given.",
        file_okay=False,
        callback=lambda home: None if home is None else require_usable(home),
    ),
]


def home_settings(home: Path | None) -> Settings:
    """The folders of the home a command names, or of the one of the environment."""
    if home is not None:
        os.environ["QUANT_HOME"] = str(home.resolve())
    return settings()


def open_home(home: Path | None, *, may_be_new: bool = False) -> Home:
    """Open the home a command names, or the one of the environment; one that does not exist is refused.

    Raises
    ------
    SettingsError
        With the name of a home that was perhaps meant, unless it may be a new one.
    """
    from quant_platform.cli.declare import require_home
    from quant_platform.pipeline.home import Home

    where = home_settings(home)
    if not may_be_new:
        require_home(where.home)
    return Home(where)


def open_checked_home(home: Path | None, *, may_be_new: bool = False) -> Home:
    """Open a home that work is about to be done in: its specs are read first."""
    from quant_platform.pipeline.spec_check import check_specs

    opened = open_home(home, may_be_new=may_be_new)
    check_specs(opened)
    return opened
