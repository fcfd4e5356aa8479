"""Dagster wiring only: partitions, assets, checks, jobs, schedules, sensors, resources."""
