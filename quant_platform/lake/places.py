"""Which store holds the files of a home: the home's own file system, or object storage that its ``lake.yaml`` names."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from quant_platform.contracts.errors import SettingsError
from quant_platform.lake.store import LocalFiles, Store
from quant_platform.specification.lake import LAKE_FILE, lake_address

COPY_OF = ".copy-of"
"""In the lake folder of a home whose lake is on object storage: the address that the files there are copies from."""


def store_of(home: Path) -> Store:
    """Open the store of a home; cheap where the files are on the file system.

    Raises
    ------
    SpecError
        When ``lake.yaml`` of the home is not valid.
    SettingsError
        When the folder of the lake holds something else than the file says: copies from another address, or a lake.
    StoreUnavailable
        When what reads object storage is not installed, or nothing says who asks.
    """
    address = lake_address(home)
    copies = home / "lake" / COPY_OF
    if address is None:
        if copies.is_file():
            raise SettingsError(
                "this home holds copies of a lake and does not say where the lake is",
                where=str(home),
                cause=f"{LAKE_FILE} of the home is gone",
                action=f"write `lake: {copies.read_text(encoding='utf-8').strip()}` into {home / LAKE_FILE}; or remove "
                f"the folder {copies.parent} to begin an empty lake here",
            )
        return LocalFiles(home)
    # Named in a text, because where files are decides nothing about what is in them: cache keys are made of what code
    # imports, and a lake moves between object storage and a file system without being computed again.
    opened: Store = import_module("quant_platform.lake.object_store").open_objects(home, address)
    return opened
