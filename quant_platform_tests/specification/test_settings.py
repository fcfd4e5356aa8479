"""A home whose path would mean another place to what stores under it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from quant_platform.contracts.errors import SettingsError
from quant_platform.specification.settings import require_usable, settings


@pytest.mark.parametrize("name", ["a?b", "a%41b", "a%2fb", "nul\0"])
def test_a_path_that_is_an_address_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="--home or QUANT_HOME"):
        require_usable(tmp_path / name)
    if "\0" not in name:
        monkeypatch.setenv("QUANT_HOME", str(tmp_path / name))
        with pytest.raises(SettingsError, match="written outside of the home"):
            settings()


@pytest.mark.parametrize("name", ["a#b", "a b", "ünï", "a%(x)s", "100%", "$HOME", "a:b", "it's [x]*"])
def test_other_names_are_taken(name: str, tmp_path: Path) -> None:
    assert require_usable(tmp_path / name) == tmp_path / name
