"""The lake: immutable Parquet partitions, a DuckDB catalogue of views over them, snapshots, retention and a check.

Write and read with `Lake`; query with `connect` (in memory) or `open_catalogue` (the file); fix what a suite run may
see with `snapshots.create`, and read it through `DataCatalog`.

A name is imported when it is asked for: opening the catalogue for one query needs neither the schemas of the tables nor
what checks and writes them, which take a second to load.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quant_platform.lake import snapshots
    from quant_platform.lake.catalogue import CatalogueKeeper, build_catalogue, connect
    from quant_platform.lake.data_catalog import DataCatalog
    from quant_platform.lake.integrity import Finding, check
    from quant_platform.lake.keys import Key
    from quant_platform.lake.lake import Lake, Version
    from quant_platform.lake.opening import open_catalogue
    from quant_platform.lake.provenance import Provenance
    from quant_platform.lake.retention import Vacuumed, vacuum

_DEFINED_IN = {
    "CatalogueKeeper": "catalogue",
    "DataCatalog": "data_catalog",
    "Finding": "integrity",
    "Key": "keys",
    "Lake": "lake",
    "Provenance": "provenance",
    "Vacuumed": "retention",
    "Version": "lake",
    "build_catalogue": "catalogue",
    "check": "integrity",
    "connect": "catalogue",
    "open_catalogue": "opening",
    "snapshots": "",
    "vacuum": "retention",
}

__all__ = [
    "CatalogueKeeper",
    "DataCatalog",
    "Finding",
    "Key",
    "Lake",
    "Provenance",
    "Vacuumed",
    "Version",
    "build_catalogue",
    "check",
    "connect",
    "open_catalogue",
    "snapshots",
    "vacuum",
]


def __getattr__(name: str) -> Any:
    if name not in _DEFINED_IN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _DEFINED_IN[name]
    return getattr(import_module(f"{__name__}.{module}"), name) if module else import_module(f"{__name__}.{name}")
