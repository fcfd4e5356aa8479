"""What one lab contributes to the definitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from quant_platform.defs.jobs import AssetJob


@dataclass(frozen=True)
class Parts:
    """Assets, and the jobs, schedules and sensors that run them."""

    assets: Sequence[dg.AssetsDefinition]
    jobs: Sequence[AssetJob] = ()
    schedules: Sequence[dg.ScheduleDefinition] = ()
    sensors: Sequence[dg.SensorDefinition] = ()
