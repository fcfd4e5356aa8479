"""What object storage promises and costs; the promises of every store are tested by the other files of this room."""

from __future__ import annotations

import datetime as dt
import threading
from pathlib import Path

import polars as pl
import pytest

from quant_platform.contracts.errors import CorruptFile, SettingsError, SnapshotInvalid, SpecError, StorageFailed
from quant_platform.lake import (
    CatalogueKeeper,
    DataCatalog,
    Lake,
    build_catalogue,
    check,
    object_store,
    open_catalogue,
    partition_files,
    snapshots,
    vacuum,
)
from quant_platform.lake.manifest import Selection
from quant_platform.lake.object_store import ObjectStore
from quant_platform.lake.places import COPY_OF, store_of
from quant_platform_tests.lake.frames import BARS, TEST_TABLES, bars, provenance
from quant_platform_tests.lake.objects import ADDRESS, FolderObjects, Place, declare

pytestmark = pytest.mark.parametrize("place", ["objects"], indirect=True)
AT_ONCE = dt.timedelta(0)


def objects_of(lake: Lake) -> FolderObjects:
    assert isinstance(lake.store, ObjectStore)
    assert isinstance(lake.store.objects, FolderObjects)
    return lake.store.objects


def asked(lake: Lake, what: str) -> list[str]:
    return [name for kind, name in objects_of(lake).asked if kind == what]


def test_an_object_is_named_like_its_path_in_a_home(lake: Lake, place: Place) -> None:
    version = lake.write(BARS, "BRK/B", bars("BRK/B", [1.0]), provenance())
    name = f"lake/clean/equity_bars/ticker=BRK%2FB/{version.name}.parquet"
    assert version.path == place.home / name
    assert list(objects_of(lake).below("lake")) == [name]
    found = objects_of(lake).get(name)
    assert found is not None
    assert found.content == version.path.read_bytes()


def test_another_machine_reads_what_was_written_and_copies_it_once(lake: Lake, place: Place) -> None:
    frames = {ticker: bars(ticker, [1.0, 2.0]) for ticker in ("A", "B", "C")}
    lake.write_many(BARS, frames, provenance())
    other = place.elsewhere("other").open()
    for _ in range(2):
        assert other.read(BARS).equals(lake.read(BARS))
    assert sorted(asked(other, "get")) == sorted(objects_of(other).below("lake"))
    assert asked(lake, "get") == [], "a writer keeps what it wrote"
    lake.write(BARS, "B", bars("B", [9.0]), provenance())
    assert other.read(BARS, "B")["close"].to_list() == [9.0], "at once"
    assert len(asked(other, "get")) == 4


def test_versions_of_two_machines_are_ordered_whatever_their_clocks_say(
    lake: Lake, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    noon = dt.datetime(2026, 2, 5, 12, tzinfo=dt.UTC)
    other = place.elsewhere("other").open()
    for hours, machine in enumerate((lake, other, lake, other)):
        monkeypatch.setattr(partition_files, "utc_now", lambda h=hours: noon - dt.timedelta(hours=h))
        machine.write(BARS, "A", bars("A", [float(hours)]), provenance())
        assert lake.read(BARS)["close"].to_list() == other.read(BARS)["close"].to_list() == [float(hours)]


def test_a_name_that_is_taken_is_not_written_over(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    first = lake.write(BARS, "A", bars("A", [1.0]), provenance())
    names = iter([first.path.name, first.path.name, partition_files.next_version(first.path.name)])
    monkeypatch.setattr(object_store, "next_version", lambda _: next(names))
    second = lake.write(BARS, "A", bars("A", [2.0]), provenance())
    assert [version.rows for version in lake.versions(BARS, "A")] == [1, 1]
    assert first.path.name < second.path.name
    assert pl.read_parquet(first.path)["close"].to_list() == [1.0]


def test_a_damaged_object_is_named_and_no_copy_of_it_is_kept(lake: Lake, place: Place) -> None:
    version = lake.write(BARS, "A", bars("A", [1.0]), provenance())
    name = f"lake/clean/equity_bars/ticker=A/{version.path.name}"
    content = version.path.read_bytes()
    other = place.elsewhere("other").open()
    objects_of(lake).damage(name, content[:-9] + b"x" * 9)
    with pytest.raises(CorruptFile, match=f"not what was written(.|\n)*{ADDRESS}/{name}"):
        other.read(BARS)
    assert not (place.elsewhere("third").open().root / "clean").exists()
    assert [file.name for file in other.root.rglob("*") if file.is_file()] == [COPY_OF]
    (finding,) = check(lake)
    assert (finding.kind, finding.path) == ("torn", version.path)
    objects_of(lake).damage(name, content)
    assert check(lake) == []
    assert other.read(BARS)["close"].to_list() == [1.0]


@pytest.mark.parametrize("keep", [0, 3, 0.5, 0.99])
def test_a_torn_object_that_another_program_put_there(lake: Lake, place: Place, keep: float) -> None:
    version = lake.write(BARS, "A", bars("A", [1.0]), provenance())
    content = version.path.read_bytes()
    name = f"lake/clean/equity_bars/ticker=A/{version.path.name}"
    objects_of(lake).put(name, content[: keep if isinstance(keep, int) else int(len(content) * keep)], "")
    with pytest.raises(CorruptFile, match="not what was written"):
        place.elsewhere("other").open().read(BARS)
    objects_of(lake).put(name, content, "")
    assert place.elsewhere("third").open().read(BARS).height == 1, "whole without a hash beside it is whole"


def test_check_reads_the_objects_and_heals_the_copies(lake: Lake) -> None:
    version = lake.write(BARS, "A", bars("A", [1.0]), provenance())
    whole = version.path.read_bytes()
    version.path.write_bytes(whole[:40])
    with pytest.raises(CorruptFile, match="ticker=A"):
        lake.read(BARS)
    assert check(lake) == []
    assert version.path.read_bytes() == whole
    objects_of(lake).put("lake/clean/equity_bars/notes.txt", b"x", "")
    objects_of(lake).put("lake/nowhere/x.parquet", b"x", "")
    assert {(finding.kind, finding.path.name) for finding in check(lake)} == {
        ("foreign", "notes.txt"),
        ("orphan", "nowhere"),
    }


def test_a_version_behind_a_damaged_one_stays(lake: Lake) -> None:
    old = lake.write(BARS, "A", bars("A", [1.0]), provenance()).path
    new = lake.write(BARS, "A", bars("A", [2.0]), provenance()).path
    objects_of(lake).damage(f"lake/clean/equity_bars/ticker=A/{new.name}", b"")
    report = vacuum(lake, AT_ONCE, None)
    assert (report.versions, report.behind_damaged) == ((), 1)
    assert objects_of(lake).get(f"lake/clean/equity_bars/ticker=A/{old.name}") is not None


def test_listing_a_table_costs_one_request_and_not_one_a_partition(lake: Lake, place: Place) -> None:
    tickers = [f"T{i}" for i in range(20)]
    lake.write_many(BARS, {ticker: bars(ticker, [1.0]) for ticker in tickers}, provenance())
    other = place.elsewhere("other").open()
    other.read(BARS, tickers)
    assert other.partitions(BARS) == sorted(tickers)
    assert asked(other, "list") == ["lake/clean/equity_bars"] * 2
    with other.listed([BARS]):
        assert [other.is_current(BARS, ticker, "1", "onto", {}) for ticker in tickers] == [True] * 20
        assert other.partitions(BARS) == sorted(tickers)
        lake.write(BARS, "T0", bars("T0", [2.0]), provenance())
        own = other.write(BARS, "T1", bars("T1", [3.0]), provenance())
        assert other.version_name(BARS, "T1") == own.name, "what it writes itself it sees"
        assert other.read(BARS, "T0")["close"].to_list() == [1.0], "and else the moment at which it looked"
    assert asked(other, "list")[2:] == [
        "lake/clean/equity_bars",
        own.path.parent.relative_to(other.root.parent).as_posix(),
    ]
    assert other.read(BARS, "T0")["close"].to_list() == [2.0]


def test_every_machine_has_a_catalogue_of_its_own(lake: Lake, place: Place) -> None:
    lake.write_many(BARS, {"A": bars("A", [1.0]), "B": bars("B", [2.0])}, provenance())
    other = place.elsewhere("other")
    keeper = CatalogueKeeper(other.open(), other.home / "quant.duckdb", AT_ONCE)
    query = "SELECT ticker, close FROM clean.equity_bars ORDER BY 1"
    assert keeper.refresh()
    lake.write(BARS, "A", bars("A", [5.0]), provenance())
    with open_catalogue(other.home / "quant.duckdb") as old:
        assert keeper.refresh()
        assert old.execute(query).fetchall() == [("A", 1.0), ("B", 2.0)]
    with open_catalogue(other.home / "quant.duckdb") as new:
        assert new.execute(query).fetchall() == [("A", 5.0), ("B", 2.0)]
    for path in (other.home / "lake").rglob("*.parquet"):
        path.unlink()
    build_catalogue(other.open(), other.home / "quant.duckdb")
    with open_catalogue(other.home / "quant.duckdb") as new:
        assert new.execute(query).fetchall() == [("A", 5.0), ("B", 2.0)], "copies are made again"


def test_a_snapshot_is_seen_by_every_machine(lake: Lake, place: Place) -> None:
    lake.write(BARS, "A", bars("A", [1.0]), provenance())
    made = snapshots.create(lake, place.home / "snapshots", "US")
    lake.write(BARS, "A", bars("A", [2.0]), provenance())
    other = place.elsewhere("other")
    assert snapshots.list_snapshots(other.home / "snapshots") == [made]
    catalog = DataCatalog(made.snapshot_id, "US", other.home)
    assert catalog.read(BARS)["close"].to_list() == [1.0]
    assert catalog.connect().execute("SELECT close FROM clean.equity_bars").fetchall() == [(1.0,)]
    assert snapshots.create(other.open(), other.home / "snapshots", "US").snapshot_id.endswith("-v2")
    with pytest.raises(SnapshotInvalid, match="exists"):
        snapshots.create(other.open(), other.home / "snapshots", "US", snapshot_id=made.snapshot_id)
    (file,) = made.table(BARS).files
    objects_of(lake).damage(f"lake/{file.path}", b"PAR1xxPAR1")
    assert [finding.kind for finding in snapshots.verify(lake, place.home / "snapshots", made.snapshot_id)] == ["hash"]
    objects_of(lake).delete([f"lake/{file.path}"])
    found = snapshots.verify(lake, place.home / "snapshots", made.snapshot_id)
    assert [finding.kind for finding in found] == ["missing"]


SELECTION = Selection("B, by hand", ("B",), 2, dt.date(2020, 1, 7), (BARS,))


def test_a_light_snapshot_is_seen_by_every_machine_and_taken_back_where_it_fails(
    lake: Lake, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.write_many(BARS, {"A": bars("A", [1.0, 2.0]), "B": bars("B", [3.0, 4.0])}, provenance())
    with monkeypatch.context() as patch:
        patch.setattr(snapshots, "write_manifest", lambda *_: (_ for _ in ()).throw(StorageFailed("refused")))
        with pytest.raises(StorageFailed, match="refused"):
            snapshots.create(lake, place.home / "snapshots", "US", selection=SELECTION)
    assert not objects_of(lake).below("snapshots")
    made = snapshots.create(lake, place.home / "snapshots", "US", selection=SELECTION)
    assert made.snapshot_id.endswith("-v1")
    other = place.elsewhere("other")
    assert DataCatalog(made.snapshot_id, "US", other.home).read(BARS)["close"].to_list() == [4.0]
    target = snapshots.export(other.open(), other.home / "snapshots", made.snapshot_id, other.home.with_name("sent"))
    with open_catalogue(target / "quant.duckdb") as connection:
        assert connection.execute("SELECT ticker, close FROM clean.equity_bars").fetchall() == [("B", 4.0)]


def test_vacuum_removes_objects_and_keeps_what_a_snapshot_names(lake: Lake, place: Place) -> None:
    named = lake.write(BARS, "A", bars("A", [1.0]), provenance()).path
    other = place.elsewhere("other")
    snapshots.create(other.open(), other.home / "snapshots", "US")
    old = lake.write(BARS, "A", bars("A", [2.0]), provenance()).path
    new = lake.write(BARS, "A", bars("A", [3.0]), provenance()).path
    report = vacuum(lake, AT_ONCE, place.home / "snapshots")
    assert (report.versions, report.named_by_snapshots) == ((old,), 1)
    assert report.bytes == len(new.read_bytes())
    assert sorted(Path(name).name for name in objects_of(lake).below("lake")) == sorted([named.name, new.name])


def test_small_values_and_pages_reach_other_machines(lake: Lake, place: Place) -> None:
    other = place.elsewhere("other").open()
    step, page = place.home / "dagster" / "steps" / "run" / "plan" / "result", place.home / "reports" / "a" / "x.html"
    there = other.root.parent / "reports"
    for content in (b"[1]", b"[2]"):
        lake.store.put(step, content)
        assert other.store.get(other.root.parent / step.relative_to(place.home)) == content
    with pytest.raises(FileNotFoundError):
        other.store.get(other.root.parent / "dagster" / "steps" / "none")
    page.parent.mkdir(parents=True)
    for content in (b"first", b"second"):
        page.write_bytes(content)
        lake.store.publish([page])
        other.store.collect(there)
        assert (there / "a" / "x.html").read_bytes() == content
    before = len(asked(other, "get"))
    other.store.collect(there)
    assert len(asked(other, "get")) == before, "what has not changed is not copied again"


def test_a_home_says_where_its_lake_is(lake: Lake, place: Place, tmp_path: Path) -> None:
    lake.write(BARS, "A", bars("A", [1.0]), provenance())
    declare(place.home, "s3://bucket/other")
    with pytest.raises(SettingsError, match=f"holds copies of {ADDRESS}"):
        store_of(place.home)
    (place.home / "lake.yaml").unlink()
    with pytest.raises(SettingsError, match=f"`lake: {ADDRESS}`"):
        Lake(place.home / "lake")
    Lake(tmp_path / "plain" / "lake", TEST_TABLES).write(BARS, "A", bars("A", [1.0]), provenance())
    declare(tmp_path / "plain", ADDRESS)
    with pytest.raises(SettingsError, match="a lake of its own"):
        Lake(tmp_path / "plain" / "lake")


@pytest.mark.parametrize(
    "address",
    ["bucket/prefix", "s3:/bucket", "s3://B", "s3://bucket/", "s3://bucket/a//b", "s3://bucket/a b", "gs://bu"],
)
def test_an_address_that_is_none(place: Place, address: str) -> None:
    declare(place.home, f"'{address}'")
    with pytest.raises(SpecError, match=r"lake\.yaml"):
        store_of(place.home)


def test_a_manifest_that_was_sent_twice_is_written_once(lake: Lake, place: Place) -> None:
    path = place.home / "snapshots" / "a" / "manifest.json"
    lake.store.create(path, b"{}")
    lake.store.create(path, b"{}")
    with pytest.raises(FileExistsError):
        lake.store.create(path, b"{other}")


class Holders:
    """Several machines that want the same lease, and what happened."""

    def __init__(self, place: Place, seconds: float) -> None:
        assert place.objects is not None
        self.stores = [
            ObjectStore(place.home, ADDRESS, FolderObjects(place.objects), lease_seconds=seconds) for _ in range(6)
        ]
        self.path = place.home / "snapshots" / ".lock"


def test_a_lease_has_one_holder_at_a_time(place: Place) -> None:
    holders, inside, most = Holders(place, 0.6), [], []

    def work(store: ObjectStore) -> None:
        for _ in range(4):
            with store.exclusive(holders.path) as confirm:
                inside.append(store)
                most.append(len(inside))
                threading.Event().wait(0.002)
                confirm()
                inside.remove(store)

    threads = [threading.Thread(target=work, args=(store,)) for store in holders.stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == [1] * 24


def test_a_lease_is_kept_for_longer_than_it_lasts_and_taken_from_the_dead(place: Place) -> None:
    holders = Holders(place, 0.3)
    one, two = holders.stores[:2]
    got_it = threading.Event()

    def wait() -> None:
        with two.exclusive(holders.path):
            got_it.set()

    waiting = threading.Thread(target=wait)
    with one.exclusive(holders.path) as confirm:
        waiting.start()
        assert not got_it.wait(0.8)
        confirm()
        one.objects.swap = lambda *_: (_ for _ in ()).throw(StorageFailed("the store cannot be reached"))
        assert got_it.wait(2), "it has not been heard of for a lease time"
        with pytest.raises(StorageFailed, match="the lease was lost"):
            confirm()
    waiting.join(5)


def test_a_lease_that_cannot_be_given_back_ends_by_itself(place: Place) -> None:
    holders = Holders(place, 0.3)
    one, two = holders.stores[:2]
    with one.exclusive(holders.path):
        one.objects.swap = lambda *_: (_ for _ in ()).throw(StorageFailed("the store cannot be reached"))
    with two.exclusive(holders.path) as confirm:
        confirm()


def test_a_lease_that_was_sent_twice_is_held(place: Place) -> None:
    (one, *_), path = Holders(place, 0.3).stores, Holders(place, 0.3).path
    real = one.objects.swap

    def twice(name: str, content: bytes, tag: str | None) -> str | None:
        real(name, content, tag)
        return real(name, content, tag)

    one.objects.swap = twice
    with one.exclusive(path) as confirm:
        threading.Event().wait(0.5)
        confirm()
