"""The committed tables: true of worlds that are run again, and saying what their own rows say."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from quant_platform_tests.evidence.__main__ import main
from quant_platform_tests.evidence.run import FULL, columns, rounded_to
from quant_platform_tests.evidence.tables import page
from quant_platform_tests.evidence.worlds import COLUMNS, ORACLE, Design, World, load_design, naive_p, study_world

EVIDENCE = Path(__file__).resolve().parents[2] / "docs" / "evidence"
REMAKE = "the tables in docs/evidence are older than the code or the specs: run `make evidence`"
# Values are kept to six digits; another processor may round the last of them the other way.
LAST_DIGIT = 1.5e-6


@pytest.fixture(scope="module")
def null() -> dict[str, Any]:
    return json.loads((EVIDENCE / "factor_null.json").read_text())


@pytest.fixture(scope="module")
def planted() -> dict[str, Any]:
    return json.loads((EVIDENCE / "factor_planted.json").read_text())


@pytest.fixture(scope="module")
def design() -> Design:
    return load_design()


@pytest.mark.long
@pytest.mark.parametrize(
    ("world", "seed", "adjusted"), [("null", 1, True), ("null", 87, True), ("planted", 2, True), ("planted", 1, False)]
)
def test_a_world_that_is_run_again_gives_the_rows_that_stand_in_the_tables(
    null: dict[str, Any], planted: dict[str, Any], design: Design, world: World, seed: int, adjusted: bool
) -> None:
    document = null if world == "null" else planted
    committed = document["worlds" if adjusted else "worlds_unadjusted"]
    again = columns(study_world(design, world, seed, adjusted=adjusted))
    assert again.keys() == committed.keys(), REMAKE
    for factor, values in again.items():
        at = committed[factor]["seed"].index(seed)
        for name, (value,) in values.items():
            expected, found = committed[factor][name][at], rounded_to(value, 6)
            same = found == expected if expected is None else found == pytest.approx(expected, abs=LAST_DIGIT)
            assert same, f"{factor} {name}: {found}, the table says {expected}; {REMAKE}"


def test_no_seed_was_left_out(null: dict[str, Any], planted: dict[str, Any], design: Design) -> None:
    assert FULL.null_worlds >= 100
    assert FULL.planted_worlds >= 20
    for document, worlds in ((null, FULL.null_worlds), (planted, FULL.planted_worlds)):
        assert document["seeds"] == [1, worlds]
        for part in ("worlds", "worlds_unadjusted"):
            for factor, values in document.get(part, {}).items():
                assert factor in {*design.names, ORACLE}
                assert list(values) == [name for name in COLUMNS if name != "factor"]
                assert values["seed"] == list(range(1, worlds + 1))


def test_the_market_of_the_tables_is_the_one_of_the_specs(null: dict[str, Any], design: Design) -> None:
    told = null["market"]
    assert (told["names"], told["years"]) == (design.market.names, design.market.years)
    assert told["horizon_sessions"] == design.factors.horizon_sessions
    assert list(null["worlds"]) == design.names


@pytest.mark.parametrize("test", ["p_nonoverlapping", "p_ewc", "p_naive"])
def test_the_rejection_rates_are_those_of_the_rows(null: dict[str, Any], test: str) -> None:
    for line in null["summary"]:
        p = null["worlds"][line["factor"]][test]
        hits = sum(each is not None and each < 0.05 for each in p)
        assert line[test]["count"] == hits
        assert line[test]["rate"] == pytest.approx(hits / len(p), abs=LAST_DIGIT)
        assert line[test]["within"] == (abs(hits - 0.05 * len(p)) <= 3 * (0.05 * 0.95 * len(p)) ** 0.5)


@pytest.mark.parametrize("test", ["p_nonoverlapping", "p_ewc"])
@pytest.mark.parametrize("worlds", [20, FULL.null_worlds])
def test_every_factor_keeps_its_size_where_nothing_predicts_anything(
    null: dict[str, Any], test: str, worlds: int
) -> None:
    bound = 3 * (0.05 * 0.95 / worlds) ** 0.5
    for factor, values in null["worlds"].items():
        rate = sum(p is not None and p < 0.05 for p in values[test][:worlds]) / worlds
        assert abs(rate - 0.05) <= bound, factor


def test_the_naive_test_would_not_keep_it(null: dict[str, Any]) -> None:
    """Otherwise the tables would show that the worlds are too easy, not that the tests are right."""
    assert all(line["p_naive"]["rate"] > 0.2 for line in null["summary"])


def test_no_factor_has_a_mean_ic_or_a_spread_where_nothing_predicts_anything(null: dict[str, Any]) -> None:
    for values in null["worlds"].values():
        for name in ("ic", "spread"):
            error = statistics.stdev(values[name]) / len(values[name]) ** 0.5
            assert abs(statistics.fmean(values[name])) < 3 * error


def test_planted_momentum_is_found_with_its_sign(planted: dict[str, Any]) -> None:
    values = planted["worlds"]["momentum_12_1"]
    mean, error = statistics.fmean(values["ic"]), statistics.stdev(values["ic"]) / len(values["ic"]) ** 0.5
    assert mean > 5 * error
    (line,) = (line for line in planted["summary"] if line["factor"] == "momentum_12_1")
    assert line["ic"]["mean"] == pytest.approx(mean, abs=LAST_DIGIT)
    assert line["ic"]["standard_error"] == pytest.approx(error, abs=LAST_DIGIT)
    right = [ic > 0 for ic in values["ic"]]
    assert line["right_sign"]["count"] == sum(right)
    found = [sign and p < 0.05 for sign, p in zip(right, values["p_nonoverlapping"], strict=True)]
    assert line["significant_with_right_sign"]["count"] == sum(found)


def test_the_oracle_sees_more_than_any_factor(planted: dict[str, Any]) -> None:
    means = {factor: statistics.fmean(values["ic"]) for factor, values in planted["worlds"].items()}
    assert max(means, key=lambda factor: means[factor]) == ORACLE


def test_unadjusted_prices_do_the_damage_the_page_tells_of(planted: dict[str, Any]) -> None:
    for factor, sign in (("momentum_12_1", -1), ("reversal_1m", 1)):
        with_actions = planted["worlds"][factor]["spread"]
        without = planted["worlds_unadjusted"][factor]["spread"]
        change = [after - before for after, before in zip(without, with_actions, strict=True)]
        mean, error = statistics.fmean(change), statistics.stdev(change) / len(change) ** 0.5
        assert sign * mean > 3 * error
        (line,) = (line for line in planted["damage"] if line["factor"] == factor)
        assert line["spread"]["change"]["mean"] == pytest.approx(mean, abs=LAST_DIGIT)


def test_the_page_is_rendered_from_the_rows(null: dict[str, Any], planted: dict[str, Any]) -> None:
    assert (EVIDENCE / "factor_tests.md").read_text() == page(null, planted), REMAKE


def test_the_command_writes_documents_of_the_same_shape(
    tmp_path: Path, null: dict[str, Any], planted: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--reduced", "--worlds", "2", "--output", str(tmp_path)])
    assert "6 of 6 worlds" in capsys.readouterr().out
    for name, committed in (("factor_null.json", null), ("factor_planted.json", planted)):
        written = json.loads((tmp_path / name).read_text())
        assert written.keys() == committed.keys()
        assert written["seeds"] == [1, 2]
        assert written["market"]["names"] < committed["market"]["names"]
        assert [line.keys() for line in written["summary"]] == [line.keys() for line in committed["summary"]]
        assert {factor: list(rows) for factor, rows in written["worlds"].items()} == {
            factor: list(rows) for factor, rows in committed["worlds"].items()
        }
    assert (tmp_path / "factor_tests.md").read_text().startswith("# Do the factor tests tell the truth?\n\nSIMULATED.")


def test_the_naive_p_is_the_one_sample_t_test() -> None:
    ic = np.random.default_rng(3).normal(0.02, 0.1, 50)
    assert naive_p(pl.Series(ic)) == pytest.approx(float(stats.ttest_1samp(ic, 0.0).pvalue), rel=1e-12)
    assert np.isnan(naive_p(pl.Series([0.1])))
