"""The registry says where each key is, and no column goes undocumented."""

from __future__ import annotations

import pytest

from quant_platform.contracts.errors import UnknownTable
from quant_platform.contracts.tables import TABLES, table


@pytest.mark.parametrize("name", TABLES)
def test_every_table_says_what_it_is_column_by_column(name: str) -> None:
    found = table(name)
    assert found.name == f"{found.database_schema}.{found.relation}"
    assert len(found.description) > 20
    assert found.primary_key
    undocumented = [column for column, spec in found.schema.columns().items() if not spec.description]
    assert undocumented == []


@pytest.mark.parametrize("name", TABLES)
def test_every_partition_key_is_a_column_of_its_rows(name: str) -> None:
    found = table(name)
    columns = found.schema.columns()
    assert [d for d in found.dimensions if found.key_column(d) not in columns] == []


def test_the_tables_of_the_equity_lab_keep_their_names() -> None:
    promised = {
        "features.equity",
        "replay.candidates",
        "signals.momentum_rank",
        "replay.qualified",
        "replay.hit_rate",
        "replay.calibration",
        "replay.activation_sweep",
        "factors.information_coefficient",
        "replay.report",
        "live.scan",
        "live.outcomes",
        "live.marks",
    }
    assert promised <= set(TABLES)


def test_a_wrong_name_is_told_the_right_one() -> None:
    with pytest.raises(
        UnknownTable, match=r"table_unknown: there is no table 'clean.equity_bar'[\s\S]*clean.equity_bars"
    ):
        table("clean.equity_bar")
