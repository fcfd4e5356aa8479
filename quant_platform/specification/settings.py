"""Where the home folder and the specs are: two environment variables, both with a default that works in a clone."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from quant_platform.contracts.errors import SettingsError

_PACKAGE = Path(__file__).resolve().parents[1]


def _default_specs() -> Path:
    clone = _PACKAGE.parent / "specs"
    return clone if clone.is_dir() else _PACKAGE / "_specs"


class Settings(BaseSettings):
    """The two folders everything else is found from.

    ``QUANT_HOME`` holds one market: its lake, catalogue, snapshots, reports and Dagster storage.
    ``QUANT_SPECS`` holds the definitions.
    """

    model_config = SettingsConfigDict(env_prefix="QUANT_", frozen=True)

    home: Path = Field(default=Path("data"), description="Folder of the lake and everything derived from it.")
    specs: Path = Field(default_factory=_default_specs, description="Folder of the spec files.")

    @property
    def lake(self) -> Path:
        """Folder of the partition files."""
        return self.home / "lake"

    @property
    def catalogue(self) -> Path:
        """The DuckDB file with the views."""
        return self.home / "quant.duckdb"

    @property
    def source_spec(self) -> Path:
        """The spec of the one source this home is filled from; written by ``quant import``."""
        return self.home / "source.yaml"


def require_usable(home: Path) -> Path:
    """Return a home whose path means the same to everything that stores something under it.

    Raises
    ------
    SettingsError
        For a path that Dagster's SQLite storage, which takes it as an address, would read as another one.
    """
    text = str(home)
    found = [sign for sign in ("?", "\0") if sign in text] + re.findall("%[0-9A-Fa-f]{2}", text)
    if found:
        raise SettingsError(
            f"the path of a home cannot hold {found[0]!r}",
            where=repr(text),
            cause="Dagster's storage takes the path as an address, where this sign means something else: "
            "runs would be written outside of the home",
            action="choose another folder with --home or QUANT_HOME",
        )
    return home


def settings() -> Settings:
    """Read the settings from the environment.

    Raises
    ------
    SettingsError
        When the specs folder does not exist, or the path of the home cannot be used.
    """
    found = Settings()
    require_usable(found.home)
    if not found.specs.is_dir():
        raise SettingsError(
            "the folder of spec files does not exist",
            where=str(found.specs),
            action="set QUANT_SPECS to the specs folder of the clone",
        )
    return found.model_copy(update={"home": found.home.resolve(), "specs": found.specs.resolve()})
