"""The catalogue after a run: it shows what the run has written, however fresh it was."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from quant_platform.defs.resources import HomeResource, LakeIOManager
from quant_platform.defs.tags import GOES_ON_TAG
from quant_platform.lake.opening import open_catalogue
from quant_platform.pipeline.home import Home
from quant_platform.specification.settings import Settings
from quant_platform_tests.homes import declare_perps, write_perp_specs
from quant_platform_tests.lake.frames import provenance

TABLE = "lake.partitions"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    specs = write_perp_specs(tmp_path / "specs")
    return Home(Settings(home=declare_perps(tmp_path / "home", specs), specs=specs))


def partitions_shown(home: Home) -> int:
    with open_catalogue(home.settings.catalogue) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {TABLE}").fetchall()[0][0])


@pytest.mark.parametrize(("tags", "shown"), [({}, 1), ({GOES_ON_TAG: "true"}, 0)])
def test_what_a_run_wrote_last_is_shown_when_it_ends(tags: dict[str, str], shown: int, home: Home) -> None:
    home.refresh_catalogue()
    assert partitions_shown(home) == 0

    @dg.op
    def write(home: HomeResource) -> None:
        lake = home.open().lake
        lake.write("ops.trials", "A", lake.table("ops.trials").schema.create_empty(), provenance())
        home.refresh_catalogue()

    @dg.job(
        resource_defs={
            "home": (where := HomeResource(home=str(home.settings.home), specs=str(home.settings.specs))),
            "io_manager": LakeIOManager(home=where),
        }
    )
    def written() -> None:
        write()

    assert written.execute_in_process(tags=tags).success
    # Fresh when it was written; whoever started the run with `quant run` rebuilds it once, after the last run.
    assert partitions_shown(home) == shown
