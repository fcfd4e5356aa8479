"""Sources that read a folder: CSV or Parquet per ticker, one long file, or the open Lean layout."""

from quant_platform.sources.files.source import FilesSource, open_files

__all__ = ["FilesSource", "open_files"]
