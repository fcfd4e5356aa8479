"""A data platform for quantitative research: a Dagster asset graph over a DuckDB-queryable Parquet lake."""

__version__ = "0.1.0"
