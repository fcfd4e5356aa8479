"""The lake: immutable Parquet partitions, a DuckDB catalogue of views over them, snapshots, retention and a check.

Write and read with `Lake`; query with `connect` (in memory) or `open_catalogue` (the file); fix what a suite run may
see with `create_snapshot`, and read it through `DataCatalog`.
"""

from quant_platform.lake.keys import Key
from quant_platform.lake.lake import Lake, Version
from quant_platform.lake.provenance import Provenance

__all__ = ["Key", "Lake", "Provenance", "Version"]
