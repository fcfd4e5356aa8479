"""Files of data that are torn, of another kind, contradict themselves, or were made to fill the memory."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from quant_platform_tests.doors.trial import Input, Place

HEADER = "date,open,high,low,close,volume"
ROW = "2024-01-{day:02d},10,11,9,10.5,1000"
GOOD = [HEADER, *(ROW.format(day=day) for day in (2, 3, 4, 5, 8, 9, 10))]


def _with(position: int, line: str) -> str:
    lines = list(GOOD)
    lines[position] = line
    return "\n".join(lines) + "\n"


CSV: Sequence[tuple[str, bytes]] = tuple(
    (name, text if isinstance(text, bytes) else text.encode())
    for name, text in (
        ("nothing", ""),
        ("a header alone", HEADER + "\n"),
        ("no header", "\n".join(GOOD[1:]) + "\n"),
        ("another header", _with(0, "when,o,h,l,c,v")),
        ("a column twice", _with(0, "date,open,open,low,close,volume")),
        ("a column is missing", _with(0, "date,open,high,low,close")),
        ("a row is short", _with(3, "2024-01-04,10")),
        ("a row is long", _with(3, "2024-01-04,10,11,9,10.5,1000,7,8")),
        ("a word for a price", _with(3, "2024-01-04,10,11,9,ten,1000")),
        ("a price without end", _with(3, "2024-01-04,10,inf,9,10,1000")),
        ("a month 13", _with(3, "2024-13-04,10,11,9,10,1000")),
        ("a day 32", _with(3, "2024-01-32,10,11,9,10,1000")),
        ("another order of the date", _with(3, "04/01/2024,10,11,9,10,1000")),
        ("the year 1", _with(1, "0001-01-02,10,11,9,10,1000")),
        ("the year 9999", _with(7, "9999-01-04,10,11,9,10,1000")),
        ("a year of five digits", _with(3, "20244-01-04,10,11,9,10,1000")),
        ("a day twice", _with(3, "2024-01-03,10,11,9,10,1000")),
        ("semicolons", "\n".join(GOOD).replace(",", ";")),
        ("tabs", "\n".join(GOOD).replace(",", "\t")),
        ("an open quote", _with(3, '2024-01-04,"10,11,9,10,1000')),
        ("a NUL", _with(3, "2024-01-04,10\x00,11,9,10,1000")),
        ("a binary file", b"\x00\x01\x02" * 1_000),
        ("a picture", b"\x89PNG\r\n\x1a\n" + bytes(range(256))),
        ("another encoding", "\n".join([*GOOD, "2024-01-11,10,11,9,1\xa0000,1000"]).encode("latin-1")),
        ("UTF-16", "\n".join(GOOD).encode("utf-16")),
        ("a page of a vendor's error", "<html><body>Too many requests</body></html>\n"),
        ("JSON", '{"date": "2024-01-02"}\n'),
        ("a Parquet file under this name", b"PAR1" + b"\x00" * 100 + b"PAR1"),
        ("a zip file under this name", b"PK\x03\x04" + b"\x00" * 100),
        ("a gzip file under this name", gzip.compress("\n".join(GOOD).encode())),
        ("a field of ten megabytes", _with(3, "2024-01-04," + "x" * 10_000_000)),
        ("dates of the future", "\n".join([HEADER, "2091-01-02,10,11,9,10,1000"])),
    )
)

# What is unusual and can be read rightly is taken, and a person is told how it was read.
TAKEN = {
    "UTF-16": "another_encoding: the file begins with the mark of UTF-16",
    "a gzip file under this name": "packed_file: the file is packed by gzip",
}

ACTIONS: Sequence[tuple[str, str]] = (
    ("nothing", ""),
    ("another header", "symbol,date,type,amount\n"),
    ("a kind that is none", "ticker,ex_date,kind,value\nAAA,2024-01-04,merger,1\n"),
    ("a split of zero", "ticker,ex_date,kind,value\nAAA,2024-01-04,split,0\n"),
    ("a split below zero", "ticker,ex_date,kind,value\nAAA,2024-01-04,split,-2\n"),
    ("a split without end", "ticker,ex_date,kind,value\nAAA,2024-01-04,split,inf\n"),
    ("a word for a value", "ticker,ex_date,kind,value\nAAA,2024-01-04,split,two\n"),
    ("a date that is none", "ticker,ex_date,kind,value\nAAA,2024-02-30,split,2\n"),
    ("the same action twice", "ticker,ex_date,kind,value\nAAA,2024-01-04,split,2\nAAA,2024-01-04,split,3\n"),
    ("a short row", "ticker,ex_date,kind,value\nAAA,2024-01-04\n"),
)


def inputs() -> Iterator[Input]:
    """Broken files of data, each met by an import or by the check of the lake."""
    for name, content in CSV:
        yield Input("csv", name, _import_csv({"bars/AAA.csv": content}), taken_with=TAKEN.get(name, ""))
    good = ("\n".join(GOOD) + "\n").encode()
    for name, text in ACTIONS:
        yield Input("csv", f"actions: {name}", _import_csv({"bars/AAA.csv": good, "actions.csv": text.encode()}))
    yield Input("csv", "a pipe for a file", _import_csv({}, _pipe("bars/AAA.csv")))
    yield Input("csv", "a folder for a file", _import_csv({}, lambda data: (data / "bars/AAA.csv").mkdir(parents=True)))
    yield Input("csv", "a link to a device", _import_csv({}, _link("bars/AAA.csv", "/dev/zero")))
    yield Input("csv", "two spellings of a name", _import_csv({"bars/AAA.csv": good, "bars/aaa.csv": b"x"}))
    for name, content in _lean():
        yield Input("zip", name, _import_lean(content))
    for name, content in _perps():
        yield Input("parquet", name, _import_perps(content))
    for name, change in LAKE:
        yield Input("lake", name, _checked(change))


def _import_csv(
    content: dict[str, bytes], change: Callable[[Path], object] = lambda _: None
) -> Callable[[Place], Sequence[str]]:
    return _imported("import", "csv_folder", {"actions.csv": b"ticker,ex_date,kind,value\n", **content}, change)


def _import_lean(content: bytes) -> Callable[[Place], Sequence[str]]:
    return _imported("import", "lean", {"daily/aaa.zip": content, "factor_files/x": b"", "map_files/x": b""})


def _import_perps(content: bytes) -> Callable[[Place], Sequence[str]]:
    return _imported("import-perps", "perp_files", {"BTC_USDT-5m-futures.parquet": content})


def _imported(
    command: str, source: str, content: dict[str, bytes], change: Callable[[Path], object] = lambda _: None
) -> Callable[[Place], Sequence[str]]:
    def prepare(place: Place) -> Sequence[str]:
        folder = _fresh(place.scratch, "import")
        for name, what in content.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(what)
        change(folder)
        return [command, source, str(folder), "--home", str(_fresh(place.scratch, "new"))]

    return prepare


def _fresh(scratch: Path, name: str) -> Path:
    number = 1 + max((int(path.name.removeprefix(name)) for path in scratch.glob(f"{name}[0-9]*")), default=0)
    folder = scratch / f"{name}{number}"
    folder.mkdir(parents=True)
    return folder


def _pipe(name: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        import os

        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(folder / name)

    return change


def _link(name: str, target: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(target)

    return change


def _zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return made.getvalue()


def _lean() -> Iterator[tuple[str, bytes]]:
    good = b"20240102 00:00,100000,110000,90000,105000,1000\n"
    whole = _zipped({"aaa.csv": good * 3})
    yield "nothing", b""
    yield "text", good
    yield "torn in the middle", whole[: len(whole) // 2]
    yield "without its table of contents", whole[:-30]
    yield "a byte turned", bytes(b ^ 0xFF if k == 45 else b for k, b in enumerate(whole))
    yield "empty", _zipped({})
    yield "two members", _zipped({"aaa.csv": good, "bbb.csv": good})
    yield "a member that climbs", _zipped({"../../aaa.csv": b"not a bar\n"})
    yield "a member that is nothing", _zipped({"aaa.csv": b""})
    yield "words for prices", _zipped({"aaa.csv": b"20240102 00:00,a,b,c,d,e\n"})
    yield "a short row", _zipped({"aaa.csv": b"20240102 00:00,100000\n"})
    yield "a date that is none", _zipped({"aaa.csv": b"20241302 00:00,100000,110000,90000,105000,1000\n"})
    yield "a bomb of a gigabyte", _zipped({"aaa.csv": b"0" * (1 << 30)})
    yield "a picture", _zipped({"aaa.csv": b"\x89PNG" + bytes(range(256))})


def _perps() -> Iterator[tuple[str, bytes]]:
    def parquet(table: pa.Table, **options: object) -> bytes:
        made = io.BytesIO()
        pq.write_table(table, made, **options)
        return made.getvalue()

    count = 300
    stamps = pl.datetime_range(
        pl.datetime(2024, 1, 1), pl.datetime(2024, 1, 2), "5m", time_unit="ms", time_zone="UTC", eager=True
    ).head(count)
    good = pl.DataFrame(
        {"date": stamps, **{name: np.full(stamps.len(), 10.0) for name in ("open", "high", "low", "close", "volume")}}
    ).to_arrow()
    whole = parquet(good)
    yield "nothing", b""
    yield "text", b"date,open\n"
    yield "torn in the middle", whole[: len(whole) // 2]
    yield "without its footer", whole[:-8]
    yield "only a footer", whole[-60:]
    yield "a byte of a page turned", bytes(b ^ 0xFF if k == 30 else b for k, b in enumerate(whole))
    yield "no rows", parquet(good.slice(0, 0))
    yield "no columns", parquet(pa.table({}))
    yield "another column", parquet(good.rename_columns(["when", "open", "high", "low", "close", "volume"]))
    yield "a column is missing", parquet(good.drop_columns(["close"]))
    yield "words for prices", parquet(good.set_column(4, "close", pa.array(["x"] * good.num_rows)))
    yield "lists for prices", parquet(good.set_column(4, "close", pa.array([[1.0]] * good.num_rows)))
    yield "words for dates", parquet(good.set_column(0, "date", pa.array(["now"] * good.num_rows)))
    # A dictionary of one value: half a billion rows in a file of kilobytes.
    bomb = pa.table({name: pa.array(np.zeros(20_000_000, dtype="i1")) for name in ("open", "high", "low", "close")})
    yield "a bomb of eighty million values", parquet(bomb, compression="zstd")


Change = Callable[[Path], object]


def _newest(lake: Path) -> Path:
    return max((lake / "raw" / "securities").glob("*.parquet"))


def _harmed(what: Callable[[Path], object]) -> Change:
    return lambda lake: what(_newest(lake))


def _halved(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])


def _linked_out(path: Path) -> None:
    outside = path.parents[3] / "outside.parquet"
    outside.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(outside)


def _made(name: str, content: bytes = b"x") -> Change:
    def change(lake: Path) -> None:
        path = lake / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    return change


LAKE: Sequence[tuple[str, Change]] = (
    ("a torn version", _harmed(_halved)),
    ("an empty version", _harmed(lambda path: (path.unlink(), path.write_bytes(b"")))),
    ("a link out of the lake", _harmed(_linked_out)),
    ("a folder that is a link", lambda lake: (lake / "clean").symlink_to("/etc")),
    ("a table that is a link", lambda lake: (lake / "raw" / "equity_bars").symlink_to("/etc")),
    ("a dead link", lambda lake: (lake / "raw" / "securities" / "x.parquet").symlink_to("/nowhere")),
    ("a foreign schema", _made("mine/notes.txt")),
    ("a foreign table", _made("raw/mine/notes.txt")),
    ("a foreign partition", _made("raw/equity_bars/name=A/x.parquet")),
    ("a partition of an encoded dot", _made("raw/equity_bars/ticker=%2E%2E/x.parquet")),
    ("a partition of an encoded slash", _made("raw/equity_bars/ticker=a%2fb/x.parquet")),
    ("a partition without a version", lambda lake: (lake / "raw" / "equity_bars" / "ticker=A").mkdir(parents=True)),
    ("a file beside the folders", _made("notes.txt")),
    ("a foreign file in a partition", _made("raw/securities/notes.txt")),
    ("what a killed writer left", _made("raw/securities/.tmp-1-abc.parquet")),
)


def _checked(change: Change) -> Callable[[Place], Sequence[str]]:
    """A copy of the home with harm in its lake, looked through."""

    def prepare(place: Place) -> Sequence[str]:
        from quant_platform_tests.homes import copied

        home = copied(place.home, _fresh(place.scratch, "harmed") / "home")
        change(home / "lake")
        return ["lake", "check", "--home", str(home)]

    return prepare
