"""The committed table of the replay's intervals: true of worlds that are made again, and saying what its rows say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts.tables import table
from quant_platform.specification.activation import ActivationSpec
from quant_platform.specification.loading import load_spec
from quant_platform_tests.evidence.replay import (
    DESIGNS,
    DIGITS,
    FIRST_SEED,
    GROUPS,
    NUMBERS,
    SPECS,
    WORLDS,
    main,
    page,
    study,
    summary,
)
from quant_platform_tests.evidence.replay_worlds import Design, Size, replay_world
from quant_platform_tests.evidence.run import rounded_to

LAST_DIGIT = 1.5e-4
FOLDER = Path(__file__).resolve().parents[2] / "docs" / "evidence"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return json.loads((FOLDER / "replay.json").read_text())


@pytest.fixture(scope="module")
def activation() -> ActivationSpec:
    return load_spec(SPECS / "activation.yaml", ActivationSpec)


@pytest.mark.parametrize(("design", "seed"), [("industry", FIRST_SEED), ("plain", FIRST_SEED + 77)])
def test_a_world_that_is_made_again_has_the_intervals_of_the_table(
    document: dict[str, Any], design: Design, seed: int
) -> None:
    (committed,) = (each for each in document["worlds"] if (each["design"], each["seed"]) == (design, seed))
    again = rounded_to(study((design, seed)), DIGITS)
    assert again.keys() == committed.keys()
    for number in NUMBERS:
        for group in GROUPS:
            assert again[number][group] == pytest.approx(committed[number][group], abs=LAST_DIGIT)
    assert again["brier_change"] == pytest.approx(committed["brier_change"], abs=LAST_DIGIT)
    assert again["cells_below_5_percent"] == committed["cells_below_5_percent"]


def test_no_seed_was_left_out_and_the_page_follows_from_the_worlds(document: dict[str, Any]) -> None:
    assert WORLDS >= 200
    made = [(world["design"], world["seed"]) for world in document["worlds"]]
    assert made == [(design, FIRST_SEED + k) for design in DESIGNS for k in range(WORLDS)]
    assert rounded_to(summary(document["worlds"]), DIGITS) == document["summary"]
    assert (FOLDER / "replay.md").read_text() == page(document)


@pytest.mark.parametrize("number", NUMBERS)
def test_every_group_is_covered_as_often_as_it_should_be(document: dict[str, Any], number: str) -> None:
    """Counted here anew: no group below .90, the mean of all between .93 and .96, and single weeks far below."""
    coverages, single = [], []
    for design in DESIGNS:
        own = [world for world in document["worlds"] if world["design"] == design]
        for group in GROUPS:
            truth = 0.0 if number == "expectancy" else np.mean([world[number][group][0] for world in own])
            inside = [world[number][group][1] <= truth <= world[number][group][2] for world in own]
            coverages.append(sum(inside) / len(own))
            single.append(
                sum(
                    world["single_weeks"][number][group][1] <= truth <= world["single_weeks"][number][group][2]
                    for world in own
                )
                / len(own)
            )
    assert min(coverages) >= 0.90
    assert 0.93 <= np.mean(coverages) <= 0.96
    assert min(single) < 0.85


def test_a_sweep_over_nothing_finds_nothing(document: dict[str, Any]) -> None:
    for design in DESIGNS:
        own = [world for world in document["worlds"] if world["design"] == design]
        false = np.mean([world["smallest_adjusted_p"] < 0.05 for world in own])
        assert false <= 0.05 + 3 * (0.05 * 0.95 / len(own)) ** 0.5


@pytest.mark.parametrize("design", DESIGNS)
def test_the_worlds_hold_no_edge_and_are_rows_of_the_replay(design: Design, activation: ActivationSpec) -> None:
    """A martingale that is left at a stopping time earns nothing: the mean over worlds is zero within its error."""
    means = []
    for seed in range(60):
        rows = replay_world(design, seed, activation, Size(names=20, years=2))
        means.append(float(rows["realised_r"].mean() or 0.0))
    table("replay.qualified").schema.validate(rows)
    assert abs(np.mean(means)) < 3 * np.std(means, ddof=1) / len(means) ** 0.5
    stopped = rows.filter(pl.col("outcome") == "stop")
    assert (stopped["realised_r"] <= -1.0).all()
    assert rows["bars_held"].max() == 30
    assert set(rows["outcome"].cast(pl.String).unique()) == {"target", "stop", "timeout"}
    assert replay_world(design, 3, activation, Size(20, 2)).equals(replay_world(design, 3, activation, Size(20, 2)))


def test_the_command_writes_both_files(tmp_path: Path, document: dict[str, Any]) -> None:
    main(["--worlds", "2", "--output", str(tmp_path)])
    written = json.loads((tmp_path / "replay.json").read_text())
    assert written["made"]["command"].endswith("--worlds 2")
    assert written["summary"].keys() == document["summary"].keys()
    assert (tmp_path / "replay.md").read_text() == page(written)
