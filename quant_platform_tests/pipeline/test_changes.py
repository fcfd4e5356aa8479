"""Proposals in a person's hands: applied with comments kept, refused when something moved, taken back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from datetime import date
from itertools import permutations
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from quant_platform.contracts.errors import PlatformError, ProposalRefused, SpecError, UnknownProposal
from quant_platform.labs.operations.frames import empty, rows_frame
from quant_platform.labs.operations.proposals import WeekEvidence, config_proposals
from quant_platform.lake.content_hash import content_hash
from quant_platform.lake.provenance import Provenance
from quant_platform.pipeline import changes
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.operations_weekly import spec_file_hash
from quant_platform.specification.loading import load_spec
from quant_platform.specification.operations import EvidenceSpec, RoutingSpec, SleevesSpec
from quant_platform.specification.settings import Settings
from quant_platform_tests.labs.operations.test_proposals import cell, cost, hour, move

SHIPPED = Path(__file__).resolve().parents[2] / "specs" / "operations"
STAMP = Provenance(asset="test", code_version="0", ontology_hash="0")
WEEK = date(2024, 3, 4)
ROUTING, SLEEVES = "operations/routing.yaml", "operations/sleeves.yaml"


@pytest.fixture(scope="module")
def proposed(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with a week of proposals; whoever changes a spec of it puts it back."""
    folder = tmp_path_factory.mktemp("proposed")
    shutil.copytree(SHIPPED, folder / "specs" / "operations")
    for name in ("home.yaml", "perps.yaml"):
        shutil.copyfile(SHIPPED.parent / name, folder / "specs" / name)
    opened = Home(Settings(home=folder / "home", specs=folder / "specs"))
    propose(opened)
    return opened


@pytest.fixture
def home(proposed: Home, tmp_path: Path) -> Home:
    shutil.copytree(proposed.specs, tmp_path / "specs")
    shutil.copytree(proposed.settings.home, tmp_path / "home")
    return Home(Settings(home=tmp_path / "home", specs=tmp_path / "specs"))


def propose(home: Home, week: date = WEEK, **rows: dict[str, Any]) -> pl.DataFrame:
    """Store evidence and what follows from it, as the weekly run does."""
    tables = {"ops.threshold_sweep": cell(), "ops.transaction_costs": cost(), "ops.slippage_windows": hour(),
              "ops.sleeve_promotions": move()} | {f"ops.{name}": row for name, row in rows.items()}  # fmt: skip
    frames = {}
    for name, row in tables.items():
        dated = row | ({"week": week} if "week" in row else {})
        frames[name] = rows_frame(name, [dated])
        home.lake.write(name, "AAA" if name == "ops.threshold_sweep" else week.isoformat(), frames[name], STAMP)
    found = config_proposals(
        week,
        date(week.year, week.month, week.day + 4),
        WeekEvidence(*frames.values(), {"AAA": 9}, 40),
        home.load(ROUTING, RoutingSpec),
        home.load(SLEEVES, SleevesSpec),
        home.load("operations/evidence.yaml", EvidenceSpec),
        spec_hashes={name: spec_file_hash(home, name) for name in (ROUTING, SLEEVES)},
        hash_of=content_hash,
    )
    home.lake.write("ops.config_proposals", week.isoformat(), found, STAMP)
    return found


def id_of(home: Home, kind: str) -> str:
    found = changes.all_proposals(home).filter(pl.col("kind").cast(pl.String) == kind, pl.col("state") != "superseded")
    return str(found["proposal_id"][0])


def test_a_proposal_is_applied_with_every_comment_kept(home: Home) -> None:
    path = home.specs / ROUTING
    before = path.read_text(encoding="utf-8").splitlines()
    record = changes.apply(home, id_of(home, "costs"), "Ann")
    after = path.read_text(encoding="utf-8").splitlines()
    assert [(a, b) for a, b in zip(before, after, strict=True) if a != b] == [
        ("  half_spread: 0.0003", "  half_spread: 0.0006")
    ]
    assert record.reviewed_by == "Ann"
    assert changes.all_proposals(home).filter(pl.col("state") == "applied")["proposal_id"].to_list() == [
        record.proposal_id
    ]


@pytest.mark.parametrize("kind", ["threshold", "costs", "no_trade_window", "sleeve"])
def test_every_kind_is_applied_valid_and_taken_back_to_the_letter(home: Home, kind: str) -> None:
    found = changes.proposal(home, id_of(home, kind))
    path = home.specs / found["file"]
    before = path.read_text(encoding="utf-8")
    changes.apply(home, found["proposal_id"], "Ann")
    comments = [line.split("#")[1] for line in before.splitlines() if "#" in line]
    after = path.read_text(encoding="utf-8")
    assert [line.split("#")[1] for line in after.splitlines() if "#" in line] == comments
    load_spec(path, RoutingSpec if found["file"] == ROUTING else SleevesSpec)
    changes.revert(home, found["proposal_id"], "Bob")
    assert path.read_text(encoding="utf-8") == before


def test_a_number_below_a_ten_thousandth_is_written_read_and_taken_back(home: Home) -> None:
    """A half spread of a tenth of a basis point: YAML reads 1e-05 as a text."""
    again = propose(home, date(2024, 3, 11), transaction_costs=cost(value=0.1, low=0.05, high=0.15))
    (chosen,) = again.filter(pl.col("kind").cast(pl.String) == "costs")["proposal_id"]
    path = home.specs / ROUTING
    before = path.read_text(encoding="utf-8")
    changes.apply(home, chosen, "Ann")
    assert "  half_spread: 0.00001\n" in path.read_text(encoding="utf-8")
    assert home.load(ROUTING, RoutingSpec).costs.half_spread == 1e-5
    changes.revert(home, chosen, "Bob")
    assert path.read_text(encoding="utf-8") == before
    # What a person wrote as 3e-04 is what the proposal was made against.
    path.write_text(before.replace("half_spread: 0.0003", "half_spread: 3e-04"), encoding="utf-8")
    sibling = again.filter(pl.col("kind").cast(pl.String) == "threshold")["proposal_id"][0]
    changes.apply(home, sibling, "Ann")
    other = again.filter(pl.col("kind").cast(pl.String) == "no_trade_window")["proposal_id"][0]
    changes.apply(home, other, "Ann")
    assert home.load(ROUTING, RoutingSpec).costs.half_spread == 3e-4


def test_costs_of_a_class_get_a_place_of_their_own(home: Home) -> None:
    text = (home.specs / ROUTING).read_text(encoding="utf-8")
    path = ["asset_classes", "FX", "costs", "half_spread"]
    made = changes.edited(text, path, 0.00004)
    (home.specs / ROUTING).write_text(made, encoding="utf-8")
    found = home.load(ROUTING, RoutingSpec)
    assert (found.costs_of("FX").half_spread, found.costs_of("US_EQUITY").half_spread) == (4e-5, 3e-4)
    assert changes.value_at(home.specs / ROUTING, path) == 4e-5


@pytest.mark.parametrize("kinds", list(permutations(["costs", "threshold", "no_trade_window"])))
def test_the_proposals_of_one_week_and_file_are_all_applied_in_any_order(home: Home, kinds: Sequence[str]) -> None:
    before = (home.specs / ROUTING).read_text(encoding="utf-8")
    for kind in kinds:
        changes.apply(home, id_of(home, kind), "Ann")
    found = home.load(ROUTING, RoutingSpec)
    assert (found.costs.half_spread, found.tickers["AAA"].min_confidence) == (0.0006, 0.55)
    assert [str(one.asset_class) for one in found.no_trade_windows] == ["US_EQUITY"]
    # Taken back in the order in which they came, the file says what it said.
    for kind in kinds:
        changes.revert(home, id_of(home, kind), "Bob")
    assert yaml.safe_load((home.specs / ROUTING).read_text(encoding="utf-8")) == yaml.safe_load(before)


def test_an_applied_change_stays_listed_when_its_week_is_made_again(home: Home) -> None:
    chosen = id_of(home, "costs")
    before = changes.proposal(home, chosen)
    changes.apply(home, chosen, "Ann")
    # The week is made again under the new value, and no longer proposes it.
    propose(home, transaction_costs=cost(modelled=6.0))
    assert changes.proposal(home, chosen) == before | {"state": "applied"}
    assert "costs" not in home.lake.read("ops.config_proposals")["kind"].cast(pl.String).to_list()
    changes.revert(home, chosen, "Bob")
    assert changes.proposal(home, chosen)["state"] == "reverted"


def test_what_is_applied_is_not_proposed_again(home: Home) -> None:
    changes.apply(home, id_of(home, "costs"), "Ann")
    again = propose(home, date(2024, 3, 11), transaction_costs=cost(modelled=6.0))
    assert "costs" not in again["kind"].cast(pl.String).to_list()


def _set(path: str, value: Any) -> Callable[[Home], None]:
    def change(home: Home) -> None:
        file = home.specs / ROUTING
        file.write_text(changes.edited(file.read_text(encoding="utf-8"), path.split("/"), value), encoding="utf-8")

    return change


# What a person may have edited between a proposal and its application: the value itself, or any other of the file.
EDITS: list[tuple[str, Any]] = [
    ("costs/half_spread", 0.0004), ("costs/half_spread", 0.0), ("costs/half_spread", 0.0007),
    ("costs/commission_rate", 0.0003), ("costs/impact_coefficient", 1.0), ("costs/borrow_rate", 0.02),
    ("costs/minimum", 1.0), ("costs/per_order", 0.5), ("account/capital", 500_000), ("account/risk_per_trade", 0.01),
    ("account/smallest_order", 100), ("account/leverage", 2.0), ("account/currency", "EUR"), ("limits/symbol", 0.2),
    ("limits/portfolio", 1.5), ("limits/new_exposure", 0.1), ("kill_switches/drawdown", None),
    ("kill_switches/daily_loss", 0.03), ("kill_switches/slippage_fills", 30), ("setups/trade", False),
    ("setups/expected_r", "model"), ("signals/trade", False), ("signals/gross", 0.1), ("signals/fractile", 0.2),
    ("core_tickers", ["SIM009"]), ("asset_classes/US_EQUITY/min_confidence", 0.52),
    ("asset_classes/FX/friction_buffer", 0.0003), ("asset_classes/RATES", {"min_confidence": 0.5}),
    ("tickers/SIM007", {"min_confidence": 0.6}),
    ("no_trade_windows", [{"asset_class": "FX", "start": "21:00", "end": "22:00", "reason": "roll-over"}]),
]  # fmt: skip


def test_there_are_thirty_edits() -> None:
    assert len(EDITS) == 30


@pytest.mark.parametrize(("path", "value"), EDITS)
def test_a_spec_that_was_edited_since_is_left_alone(proposed: Home, path: str, value: Any) -> None:
    chosen, file = id_of(proposed, "costs"), proposed.specs / ROUTING
    before = file.read_text(encoding="utf-8")
    # A switch that is off is null in the file; taking the key out would not be valid.
    off = before.replace("drawdown: 0.20", "drawdown: null")
    edited = off if value is None else changes.edited(before, path.split("/"), value)
    file.write_text(edited, encoding="utf-8")
    try:
        with pytest.raises(ProposalRefused) as raised:
            changes.apply(proposed, chosen, "Ann")
        assert "quant operations weekly" in str(raised.value)
        assert file.read_text(encoding="utf-8") == edited != before
        assert changes.record_of(proposed, chosen) is None
    finally:
        file.write_text(before, encoding="utf-8")


def test_comments_and_layout_may_change(home: Home) -> None:
    path = home.specs / ROUTING
    path.write_text("# seen by Ann\n\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    changes.apply(home, id_of(home, "costs"), "Ann")
    assert path.read_text(encoding="utf-8").startswith("# seen by Ann\n\n#")


def test_evidence_that_moved_is_refused_and_the_same_evidence_made_again_is_not(home: Home) -> None:
    chosen = id_of(home, "costs")
    home.lake.write("ops.transaction_costs", WEEK.isoformat(), rows_frame("ops.transaction_costs", [cost(n=51)]), STAMP)
    with pytest.raises(ProposalRefused, match="the evidence is not what it was"):
        changes.apply(home, chosen, "Ann")
    home.lake.write("ops.transaction_costs", WEEK.isoformat(), rows_frame("ops.transaction_costs", [cost()]), STAMP)
    changes.apply(home, chosen, "Ann")


def test_a_proposal_of_an_earlier_week_is_superseded(home: Home) -> None:
    chosen = id_of(home, "costs")
    home.lake.write("ops.config_proposals", "2024-03-11", empty("ops.config_proposals"), STAMP)
    assert changes.proposal(home, chosen)["state"] == "superseded"
    with pytest.raises(ProposalRefused, match="of the week 2024-03-04"):
        changes.apply(home, chosen, "Ann")


def test_a_value_that_would_not_be_valid_writes_nothing(home: Home) -> None:
    found = changes.all_proposals(home).filter(pl.col("kind").cast(pl.String) == "costs").drop("state")
    home.lake.write("ops.config_proposals", WEEK.isoformat(), found.with_columns(new=pl.lit("-1.0")), STAMP)
    before = (home.specs / ROUTING).read_text(encoding="utf-8")
    with pytest.raises(SpecError):
        changes.apply(home, found["proposal_id"][0], "Ann")
    assert (home.specs / ROUTING).read_text(encoding="utf-8") == before


def test_a_change_is_taken_back_beside_other_edits_but_not_over_one_of_itself(home: Home) -> None:
    chosen = id_of(home, "costs")
    changes.apply(home, chosen, "Ann")
    _set("limits/symbol", 0.2)(home)
    changes.revert(home, chosen, "Bob")
    found = home.load(ROUTING, RoutingSpec)
    assert (found.costs.half_spread, found.limits.symbol) == (0.0003, 0.2)
    record = json.loads((changes.changes_folder(home) / f"{chosen}.json").read_text(encoding="utf-8"))
    assert (record["reviewed_by"], record["reverted_by"]) == ("Ann", "Bob")
    other = id_of(home, "sleeve")
    changes.apply(home, other, "Ann")
    file = home.specs / SLEEVES
    there = file.read_text(encoding="utf-8")
    file.write_text(changes.edited(there, ["members", "AAA", "sleeve"], "safe"), encoding="utf-8")
    text = file.read_text(encoding="utf-8")
    with pytest.raises(ProposalRefused, match="by now, not the"):
        changes.revert(home, other, "Bob")
    assert file.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda home: changes.apply(home, "nothing", "Ann"), UnknownProposal),
        (lambda home: changes.revert(home, "nothing", "Ann"), UnknownProposal),
        (lambda home: changes.apply(home, id_of(home, "costs"), "  "), ProposalRefused),
    ],
)
def test_a_wrong_call_is_one_error(home: Home, call: Callable[[Home], Any], error: type[PlatformError]) -> None:
    with pytest.raises(error):
        call(home)


def test_a_proposal_is_applied_once(home: Home) -> None:
    chosen = id_of(home, "costs")
    changes.apply(home, chosen, "Ann")
    with pytest.raises(ProposalRefused, match="applied by Ann"):
        changes.apply(home, chosen, "Bob")
    changes.revert(home, chosen, "Bob")
    with pytest.raises(ProposalRefused, match="taken back by Bob"):
        changes.revert(home, chosen, "Ann")


def test_a_process_that_dies_between_record_and_spec_leaves_what_can_be_done_again(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, file = id_of(home, "costs"), home.specs / ROUTING
    before = file.read_text(encoding="utf-8")
    write = changes.atomic_text

    def dies(path: Path, text: str) -> None:
        if path == file:
            raise KeyboardInterrupt
        write(path, text)

    for act in (changes.apply, changes.revert):
        there = file.read_text(encoding="utf-8")
        monkeypatch.setattr(changes, "atomic_text", dies)
        with pytest.raises(KeyboardInterrupt):
            act(home, chosen, "Ann")
        assert file.read_text(encoding="utf-8") == there
        monkeypatch.setattr(changes, "atomic_text", write)
        act(home, chosen, "Bob")
        assert (home.load(ROUTING, RoutingSpec).costs.half_spread == 0.0006) is (act is changes.apply)
    assert file.read_text(encoding="utf-8") == before
    record = changes.record_of(home, chosen)
    assert record is not None
    assert (record.reviewed_by, record.reverted_by) == ("Bob", "Bob")
