"""What a partition of a table in SQL may read, by hand on a lake of a few rows."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from quant_platform.contracts.tables import table
from quant_platform.lake.opening import open_catalogue
from quant_platform.lake.provenance import Provenance
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.sql import SqlStage, sql_stages
from quant_platform.pipeline.stage import Done, run_stage
from quant_platform.specification.settings import Settings
from quant_platform_tests.homes import SHIPPED, declare

WEEKS = ("2024-01-01", "2024-01-08", "2024-01-15")
RANKS = {"2024-01-01": [("AAA", 0.1), ("BBB", 0.2)], "2024-01-08": [("AAA", 0.3)], "2024-01-15": [("BBB", -0.5)]}
WEEKLY = "-- description: x\n-- partition: week\n-- key: [week]\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    shutil.copytree(SHIPPED, folder / "specs")
    (folder / "specs" / "sql").mkdir()
    declare(folder / "home", folder / "specs")
    return folder


@pytest.fixture
def home(made: Path) -> Home:
    for left in (made / "specs" / "sql").glob("*.sql"):
        left.unlink()
    shutil.rmtree(made / "home" / "lake", ignore_errors=True)
    (made / "home" / "quant.duckdb").unlink(missing_ok=True)
    home = Home(Settings(home=made / "home", specs=made / "specs"))
    for week in WEEKS:
        write_ranks(home, week, RANKS[week])
    return home


def write_ranks(home: Home, week: str, ranks: list[tuple[str, float]]) -> None:
    monday = date.fromisoformat(week)
    frame = pl.DataFrame(
        {
            "week": [monday] * len(ranks),
            "ticker": [ticker for ticker, _ in ranks],
            "date_sig": [monday + timedelta(days=4)] * len(ranks),
            "date_avail": [monday + timedelta(days=7)] * len(ranks),
            "momentum_12_1": [momentum for _, momentum in ranks],
            "rank": [float(k + 1) for k in range(len(ranks))],
            "percentile": [50.0] * len(ranks),
            "universe_size": [len(ranks)] * len(ranks),
        },
        schema=table("signals.momentum_rank").schema.create_empty().schema,
    )
    made_by = Provenance("signals.momentum_rank", "1", "", {}, "run", {}, True)
    home.lake.write("signals.momentum_rank", week, frame, made_by)


def stage_of(home: Home, query: str, header: str = WEEKLY) -> SqlStage:
    (home.specs / "sql" / "mine.table.sql").write_text(header + query, encoding="utf-8")
    (stage,) = sql_stages(Home(home.settings))
    return stage


def run(home: Home, stage: SqlStage, *keys: str) -> list[Done]:
    fresh = Home(home.settings)
    fresh.refresh_catalogue()
    with open_catalogue(fresh.settings.catalogue, threads=1) as connection:
        return run_stage(stage.over(connection, fresh), fresh, list(keys), run_id="run")


def rows(home: Home) -> list[tuple[object, ...]]:
    return Home(home.settings).lake.read("mine.table").rows()


SO_FAR = "select week, sum(count(*)) over (order by week)::bigint as n from signals.momentum_rank group by week"


def test_a_week_reads_what_was_there_by_then(home: Home) -> None:
    done = run(home, stage_of(home, SO_FAR), *WEEKS)
    assert [one.state for one in done] == ["written"] * 3
    assert [row[1] for row in rows(home)] == [2, 3, 4]


def test_what_is_current_is_left_alone_and_a_new_week_changes_no_earlier_one(home: Home) -> None:
    stage = stage_of(home, SO_FAR)
    run(home, stage, *WEEKS[:2])
    write_ranks(home, WEEKS[2], [("AAA", 0.7)])
    assert [one.state for one in run(home, stage, *WEEKS)] == ["current", "current", "written"]
    write_ranks(home, WEEKS[1], [("AAA", 0.4), ("BBB", 0.1)])
    assert [one.state for one in run(home, stage, *WEEKS)] == ["current", "written", "written"]
    assert [row[1] for row in rows(home)] == [2, 4, 5]
    version = Home(home.settings).lake.current("mine.table", WEEKS[0])
    assert version is not None
    assert list(version.provenance.inputs) == ["signals.momentum_rank"]
    assert version.provenance.inputs["signals.momentum_rank"].startswith("1 partitions, ")


def test_another_query_or_another_column_is_another_version_of_the_code(home: Home) -> None:
    first = stage_of(home, SO_FAR).code_version(home)
    assert first == stage_of(home, SO_FAR).code_version(home)
    assert first != stage_of(home, SO_FAR + " having count(*) > 0").code_version(home)
    assert first != stage_of(home, SO_FAR, WEEKLY.replace("[week]", "[week, n]")).code_version(home)


AHEAD = {
    "the next week": "select week, lead(count(*)) over (order by week) as n from signals.momentum_rank group by week",
    "the whole table": "select week, sum(count(*)) over ()::bigint as n from signals.momentum_rank group by week",
    "a scalar of all": "select distinct week, (select sum(momentum_12_1) from signals.momentum_rank) as n "
    "from signals.momentum_rank",
}


@pytest.mark.parametrize("query", AHEAD.values(), ids=AHEAD)
def test_a_look_ahead_is_refused_in_every_week_the_last_one_too(home: Home, query: str) -> None:
    done = run(home, stage_of(home, query), *WEEKS)
    assert [one.state for one in done] == ["failed"] * 3
    for one in done:
        assert one.error.startswith("look_ahead_found: rows change with what comes after them")
        assert "next: select only what was there by then" in one.error
    assert rows(home) == []


def write_split(home: Home, ticker: str, ratio: float) -> None:
    schema = table("raw.corporate_actions").schema.create_empty().schema
    known = datetime(2024, 1, 2, 14, 30, tzinfo=UTC)
    frame = pl.DataFrame([(ticker, date(2024, 1, 3), "split", ratio, known, "x")], schema=schema, orient="row")
    home.lake.write("raw.corporate_actions", ticker, frame, Provenance("x", "1", "", {}, "run", {}, True))


BY_TICKER = "-- description: x\n-- partition: ticker\n-- key: [ticker]\n"


def test_a_table_by_ticker_that_looks_across_is_refused(home: Home) -> None:
    for ticker, ratio in (("AAA", 2.0), ("BBB", 3.0)):
        write_split(home, ticker, ratio)
    own = stage_of(home, "select ticker, max(value) as best from raw.corporate_actions group by 1", BY_TICKER)
    assert [one.state for one in run(home, own, "AAA", "BBB")] == ["written", "written"]
    assert rows(home) == [("AAA", 2.0), ("BBB", 3.0)]
    ranked = "select ticker, rank() over (order by value) as n from raw.corporate_actions"
    done = run(home, stage_of(home, ranked, BY_TICKER), "AAA", "BBB")
    # The first of a rank over all is the first of its own too; the second shows it.
    assert [one.state for one in done] == ["written", "failed"]
    assert "rows change with what other partitions hold" in done[1].error
    assert "partition it by time, or not at all" in done[1].error


def test_a_table_without_partitions_reads_everything(home: Home) -> None:
    stage = stage_of(
        home,
        "select ticker, count(*) as n from signals.momentum_rank group by 1",
        "-- description: x\n-- key: [ticker]\n",
    )
    fresh = Home(home.settings)
    fresh.refresh_catalogue()
    with open_catalogue(fresh.settings.catalogue) as connection:
        (done,) = run_stage(stage.over(connection, fresh), fresh, [None], run_id="run")
    assert done.state == "written"
    assert rows(home) == [("AAA", 2), ("BBB", 2)]


def test_a_value_that_breaks_the_key_fails_that_partition_alone(home: Home) -> None:
    done = run(home, stage_of(home, "select week, ticker from signals.momentum_rank"), *WEEKS)
    assert [one.state for one in done] == ["failed", "written", "written"]
    assert "repeat the primary key" in done[0].error
