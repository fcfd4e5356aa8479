"""The lake: immutable Parquet partitions, a DuckDB catalogue of views over them, snapshots, retention and a check.

Write and read with `Lake`; query with `connect` (in memory) or `open_catalogue` (the file); fix what a suite run may
see with `snapshots.create`, and read it through `DataCatalog`.
"""

from quant_platform.lake import snapshots
from quant_platform.lake.catalogue import CatalogueKeeper, build_catalogue, connect, open_catalogue
from quant_platform.lake.check import Finding, check
from quant_platform.lake.data_catalog import DataCatalog
from quant_platform.lake.keys import Key
from quant_platform.lake.lake import Lake, Version
from quant_platform.lake.provenance import Provenance
from quant_platform.lake.retention import Vacuumed, vacuum

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
