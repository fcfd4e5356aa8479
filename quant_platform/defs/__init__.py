"""Dagster wiring only: partitions, assets, checks, jobs, schedules, sensors, resources.

Modules that declare assets, ops or sensors do without ``from __future__ import annotations``: Dagster reads the types
of their parameters, and text would hide them.
"""

import warnings

from dagster import BetaWarning

# Backfill policies are marked beta in 1.13 and are what makes one run cover many partitions; the version is pinned.
warnings.filterwarnings("ignore", category=BetaWarning)
