from __future__ import annotations

import io
import pickle
import zipfile
from datetime import date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts.errors import (
    PlatformError,
    SignalColumnsMissing,
    SignalEmpty,
    SignalInvalid,
    SignalNameInvalid,
    SignalTooLarge,
    SignalUnreadable,
)
from quant_platform.labs.suite.contract import REJECT_CODES, Validated, safe_signal_name, validate
from quant_platform.labs.suite.sessions import session_clock
from quant_platform.specification.suite import load_suite

CONTRACT = load_suite(Path("specs")).contract
CLOCK = session_clock("XNYS")
NAMES = [f"N{i:02d}" for i in range(30)]
TODAY = date(2024, 6, 3)
HEADER = "security_id,date_sig,date_avail,signal\n"
DAYS = ("2024-01-02", "2024-01-03", "2024-01-04")


def rows(**changes: str) -> list[dict[str, str]]:
    """Thirty names on three sessions; a change is written into the first row."""
    made = [
        {"security_id": name, "date_sig": day, "date_avail": day, "signal": f"{0.1 * k - 1:.3f}"}
        for day in DAYS
        for k, name in enumerate(NAMES)
    ]
    made[0].update(changes)
    return made


def text(made: list[dict[str, str]], separator: str = ",", quote: str = "") -> str:
    names = list(made[0])
    lines = [separator.join(names)]
    lines += [separator.join(f"{quote}{row[name]}{quote}" for name in names) for row in made]
    return "\n".join(lines) + "\n"


def check(source: object, **changes: object) -> Validated:
    contract = CONTRACT.model_copy(update=changes) if changes else CONTRACT
    return validate(source, CLOCK, NAMES, contract=contract, today=TODAY)


def good() -> pl.DataFrame:
    return check(pl.DataFrame(rows())).good


def parquet(frame: pl.DataFrame) -> bytes:
    out = io.BytesIO()
    frame.write_parquet(out)
    return out.getvalue()


def arrow(frame: pl.DataFrame, stream: bool = False) -> bytes:
    out = io.BytesIO()
    (frame.write_ipc_stream if stream else frame.write_ipc)(out)
    return out.getvalue()


DIALECTS = {
    "comma": text(rows()).encode(),
    "semicolon and decimal comma": text(rows(), ";").replace(".", ",").encode(),
    "tab": text(rows(), "\t").encode(),
    "bar": text(rows(), "|").encode(),
    "quoted": text(rows(), quote='"').encode(),
    "Windows line ends": text(rows()).replace("\n", "\r\n").encode(),
    "old Macintosh line ends": text(rows()).replace("\n", "\r").encode(),
    "byte order mark": b"\xef\xbb\xbf" + text(rows()).encode(),
    "UTF-16": text(rows()).encode("utf-16"),
    "capitals and blanks in the header": text(rows()).replace("security_id", " Security_ID ").encode(),
    "compact dates": text(rows()).replace("2024-01-0", "2024010").encode(),
    "German dates": text(
        [{**r, **{k: ".".join(reversed(r[k].split("-"))) for k in ("date_sig", "date_avail")}} for r in rows()]
    ).encode(),
    "midnight stamps": text([{**r, "date_sig": r["date_sig"] + " 00:00:00"} for r in rows()]).encode(),
    "no last line end": text(rows()).rstrip("\n").encode(),
    "Parquet": parquet(pl.DataFrame(rows()).with_columns(pl.col("signal").cast(pl.Float64))),
    "Parquet with typed dates": parquet(
        pl.DataFrame(rows()).with_columns(
            pl.col("signal").cast(pl.Float32), pl.col("date_sig", "date_avail").str.to_date()
        )
    ),
    "Arrow file": arrow(pl.DataFrame(rows())),
    "Arrow stream": arrow(pl.DataFrame(rows()), stream=True),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_says_the_same(dialect, tmp_path):
    path = tmp_path / "signal.bin"
    path.write_bytes(DIALECTS[dialect])
    found = check(path)
    assert found.clean
    assert found.rows == 90
    expected = good()
    assert found.good.drop("signal").equals(expected.drop("signal"))
    np.testing.assert_allclose(found.good["signal"], expected["signal"], rtol=1e-6)


def test_frames_of_three_libraries():
    import pandas
    import pyarrow

    made = pl.DataFrame(rows())
    for source in (made, pandas.DataFrame(rows()), pyarrow.Table.from_pylist(rows())):
        assert check(source).good.equals(good())


def xlsx() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return out.getvalue()


CSV = text(rows())
TYPED = pl.DataFrame(rows()).with_columns(
    pl.col("signal").cast(pl.Float64), pl.col("date_sig", "date_avail").str.to_date()
)


def written(**changes: str) -> bytes:
    return text(rows(**changes)).encode()


def with_column(name: str, value: object) -> bytes:
    return parquet(TYPED.with_columns(pl.Series(name, [value] * 90)))


# Files as a whole: nothing can be judged row by row.
REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "signal_empty"),
    "white space": (b" \n\n  \n", "signal_empty"),
    "header alone": (HEADER.encode(), "signal_empty"),
    "Parquet without rows": (parquet(TYPED.clear()), "signal_empty"),
    "pickle, protocol 4": (pickle.dumps({"a": 1}, protocol=4), "signal_unreadable"),
    "pickle, protocol 2": (pickle.dumps({"a": 1}, protocol=2), "signal_unreadable"),
    "pickle, protocol 0": (pickle.dumps({"a": 1}, protocol=0), "signal_unreadable"),
    "Excel": (xlsx(), "signal_unreadable"),
    "old Excel": (b"\xd0\xcf\x11\xe0" + b"\x00" * 100, "signal_unreadable"),
    "gzip": (b"\x1f\x8b\x08" + b"\x00" * 50, "signal_unreadable"),
    "zstd": (b"\x28\xb5\x2f\xfd" + b"\x00" * 50, "signal_unreadable"),
    "HDF5": (b"\x89HDF\r\n\x1a\n", "signal_unreadable"),
    "NumPy": (b"\x93NUMPY\x01\x00", "signal_unreadable"),
    "PDF": (b"%PDF-1.7\n", "signal_unreadable"),
    "SQLite": (b"SQLite format 3\x00", "signal_unreadable"),
    "torn Parquet": (parquet(TYPED)[:-40], "signal_unreadable"),
    "torn Arrow file": (arrow(TYPED)[:-200], "signal_unreadable"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "signal_unreadable"),
    "Windows-1252": (
        "security_id,date_sig,date_avail,signal\nM\xfcller,2024-01-02,2024-01-02,1\n".encode("cp1252"),
        "signal_unreadable",
    ),
    "zero bytes": (CSV.encode().replace(b"N05", b"N\x005"), "signal_unreadable"),
    "prose": (b"Dear all\nplease find the signal attached\n", "signal_unreadable"),
    "ragged row": ((CSV + "N00,2024-01-05,2024-01-05,1,2,3\n").encode(), "signal_unreadable"),
    "HTML page": (b"<html><body>Not found</body></html>\n", "signal_unreadable"),
    "no signal column": (CSV.replace(",signal", ",score").encode(), "signal_columns_missing"),
    "no header": ("\n".join(CSV.splitlines()[1:]).encode(), "signal_columns_missing"),
    "misspelt column": (CSV.replace("date_avail", "date_available").encode(), "signal_columns_missing"),
    "column twice": (CSV.replace("date_avail", "date_sig").encode(), "signal_columns_missing"),
    "column twice but for case": (CSV.replace("date_avail", "Date_Sig").encode(), "signal_columns_missing"),
    "wide table": (b"date,N00,N01\n2024-01-02,1,2\n", "signal_columns_missing"),
    "two signals in a file": (
        parquet(TYPED.with_columns(signal_name=pl.Series(["a"] * 45 + ["b"] * 45))),
        "signal_name_invalid",
    ),
    "HTML as name": (with_column("signal_name", "<script>alert(1)</script>"), "signal_name_invalid"),
    "path as name": (with_column("signal_name", "../../etc/passwd"), "signal_name_invalid"),
}

# Rows: how many are kept out, with which code.
KEPT_OUT: dict[str, tuple[bytes, str, int]] = {
    "text as date": (written(date_sig="yesterday"), "signal_type_invalid", 1),
    "month and day unclear": (written(date_sig="01/02/2024"), "signal_type_invalid", 1),
    "no such day": (written(date_sig="2024-02-30"), "signal_type_invalid", 1),
    "time of day": (written(date_sig="2024-01-02 16:00:00"), "signal_type_invalid", 1),
    "time stamps": (
        parquet(TYPED.with_columns(pl.lit(datetime(2024, 1, 2, 16)).alias("date_sig"))),
        "signal_type_invalid",
        90,
    ),
    "text as number": (written(signal="high"), "signal_type_invalid", 1),
    "thousands": (written(signal='"1,234.5"'), "signal_type_invalid", 1),
    "percent": (written(signal="12%"), "signal_type_invalid", 1),
    "list as number": (
        parquet(TYPED.with_columns(pl.concat_list("signal", "signal").alias("signal"))),
        "signal_type_invalid",
        90,
    ),
    "condition as number": (parquet(TYPED.with_columns(pl.col("signal") > 0)), "signal_type_invalid", 90),
    "floats as names": (parquet(TYPED.with_columns(pl.lit(1.5).alias("security_id"))), "signal_type_invalid", 90),
    "hour of 25": (with_column("avail_hour", 25.0), "signal_type_invalid", 90),
    "negative hour": (with_column("avail_hour", -1.0), "signal_type_invalid", 90),
    "no value": (written(signal=""), "signal_missing", 1),
    "NaN": (written(signal="NaN"), "signal_missing", 1),
    "NaN as float": (parquet(TYPED.with_columns(pl.lit(float("nan")).alias("signal"))), "signal_missing", 90),
    "no name": (written(security_id=" "), "signal_missing", 1),
    "no date": (written(date_avail=""), "signal_missing", 1),
    "infinite": (written(signal="inf"), "signal_not_finite", 1),
    "overflow": (written(signal="1e999"), "signal_not_finite", 1),
    "duplicate": ((CSV + "N00,2024-01-02,2024-01-02,5\n").encode(), "signal_duplicate", 2),
    "exact duplicate": ((CSV + CSV.splitlines()[1] + "\n").encode(), "signal_duplicate", 2),
    "available before": (written(date_avail="2024-01-01"), "signal_available_early", 1),
    "from the future": (written(date_sig="2031-01-02", date_avail="2031-01-02"), "signal_future_dated", 1),
    "available in the far future": (written(date_avail="2024-07-01"), "signal_future_dated", 1),
    "Saturday": (written(date_sig="2024-01-06", date_avail="2024-01-08"), "signal_no_session", 1),
    "holiday": (written(date_sig="2024-01-15", date_avail="2024-01-16"), "signal_no_session", 1),
    "before the calendar": (written(date_sig="1890-01-02", date_avail="1890-01-02"), "signal_no_session", 1),
    "unknown name": (written(security_id="N99"), "signal_security_unknown", 1),
    "name in small letters": (written(security_id="n00"), "signal_security_unknown", 1),
    "HTML as security": (written(security_id="<img src=x onerror=alert(1)>"), "signal_security_unknown", 1),
}


def test_there_are_sixty_broken_files():
    assert len(REFUSED) + len(KEPT_OUT) >= 60


@pytest.mark.parametrize("order", [["date_sig", "security_id"], ["security_id", "date_sig"], ["signal"]])
def test_a_row_that_stands_twice_is_found_in_every_order_of_a_file(order):
    frame = pl.DataFrame(rows()).sort(order, maintain_order=True)
    assert check(frame).rejects.height == 0
    # One before 1970 as well, where the number of a day is negative.
    early = [{"security_id": "N03", "date_sig": "1969-12-31", "date_avail": "1969-12-31", "signal": "1"}] * 2
    twice = pl.concat([frame, frame.filter(pl.col("security_id") == "N07").head(1), pl.DataFrame(early)])
    for one in (twice, twice.sort(order, maintain_order=True)):
        found = check(one).rejects
        assert found["code"].to_list() == ["signal_duplicate"] * 4
        assert sorted(found["security_id"].to_list()) == ["N03", "N03", "N07", "N07"]


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_judged_is_refused_with_its_code(name, tmp_path):
    content, code = REFUSED[name]
    path = tmp_path / "signal.csv"
    path.write_bytes(content)
    with pytest.raises(PlatformError) as caught:
        check(path)
    assert isinstance(caught.value, SignalInvalid)
    assert str(caught.value).startswith(f"{code}: ")
    assert caught.value.code == code
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize("name", KEPT_OUT)
def test_a_broken_row_is_kept_out_with_its_code(name, tmp_path):
    content, code, count = KEPT_OUT[name]
    path = tmp_path / "signal"
    path.write_bytes(content)
    found = check(path)
    assert dict(found.rejects.group_by("code").len().iter_rows()) == {code: count}
    assert found.good.height + found.rejects.height == found.rows
    line = found.summary.filter(pl.col("code") == code).row(0, named=True)
    assert (line["kind"], line["count"], line["of"]) == ("reject", count, found.rows)
    assert len(line["examples"].splitlines()) == min(5, count)
    assert line["cause"]
    assert line["action"]
    assert f"{code}: {count} of {found.rows} rows" in found.message()
    if found.good.height == 0:
        with pytest.raises(SignalEmpty, match=code):
            found.require_rows()


def test_every_code_has_a_broken_file():
    assert {code for _, code, _ in KEPT_OUT.values()} == set(REJECT_CODES)


def test_rejects_hold_what_was_written_and_the_closest_name():
    found = check(pl.DataFrame(rows(security_id="N12X", signal="0.25")))
    assert found.rejects.row(0, named=True) == {
        "row": 0,
        "code": "signal_security_unknown",
        "security_id": "N12X",
        "date_sig": "2024-01-02",
        "date_avail": "2024-01-02",
        "signal": "0.25",
        "detail": "closest known is N12",
    }


def test_markup_in_a_file_stays_text():
    found = check(pl.DataFrame(rows(security_id="<img src=x onerror=alert(1)>\n<b>")))
    shown = found._repr_html_()
    assert "<img" not in shown
    assert "&lt;img src=x onerror=alert(1)&gt; &lt;b&gt;" in shown


def test_dates_are_reported_where_rows_are_fine():
    made = [row for row in rows() if row["date_sig"] != DAYS[1] or row["security_id"] < "N10"]
    made = [{**row, "signal": "7" if row["date_sig"] == DAYS[2] else row["signal"], "colour": "x"} for row in made]
    made += [
        {
            **made[0],
            "security_id": name,
            "date_sig": "2024-01-05",
            "date_avail": "2024-01-05",
            "signal": "" if name < "N10" else "1.5" + name[1:],
        }
        for name in NAMES
    ]
    found = check(pl.DataFrame(made))
    notes = dict(found.summary.filter(pl.col("kind") == "note").select("code", "examples").iter_rows())
    assert notes == {
        "signal_thin_coverage": "2024-01-03: 10 names",
        "signal_missing_by_date": "2024-01-05: 33% of 30 rows",
        "signal_constant_date": "2024-01-04: one value for 30 names",
        "signal_columns_ignored": "colour",
    }


def test_a_point_beside_decimal_commas_is_not_guessed(tmp_path):
    made = [{**row, "signal": "1.234" if k == 4 else "0,5"} for k, row in enumerate(rows())]
    path = tmp_path / "signal.csv"
    path.write_text("\n".join([";".join(made[0]), *(";".join(row.values()) for row in made)]))
    found = check(path)
    assert found.rejects.select("row", "code").rows() == [(4, "signal_type_invalid")]
    assert found.good["signal"].unique().to_list() == [0.5]


@pytest.mark.parametrize("dtype", [pl.Date, pl.Datetime("ms"), pl.Datetime("us", "UTC"), pl.Datetime("ns")])
@pytest.mark.parametrize("column", ["date_sig", "date_avail"])
@pytest.mark.parametrize("sign", [1, -1])
def test_stamps_that_no_calendar_has_are_kept_out(dtype, column, sign):
    far = 2**31 - 1 if dtype == pl.Date else 2**62
    physical = pl.Int32 if dtype == pl.Date else pl.Int64
    stamps = pl.Series(column, [sign * far], dtype=physical).cast(dtype)
    found = check(TYPED.head(3).with_columns(pl.lit(stamps).first().alias(column)))
    if dtype == pl.Datetime("ns"):
        # 2 ** 62 nanoseconds are of the year 2116 or 1823: dates, but not these.
        assert found.good.is_empty()
    else:
        assert found.rejects["code"].unique().to_list() == ["signal_type_invalid"]


def test_the_next_session_is_not_the_future():
    frame = pl.DataFrame(rows(date_sig="2024-06-03", date_avail="2024-06-04"))
    assert check(frame).clean
    assert check(pl.DataFrame(rows(date_sig="2024-06-03", date_avail="2024-06-05"))).rejects["code"].to_list() == [
        "signal_future_dated"
    ]


def test_what_the_file_says_of_itself():
    frame = TYPED.with_columns(signal_name=pl.lit("my_signal"), region=pl.lit("US"), version=pl.lit(3))
    found = check(frame)
    assert (found.name, found.region, found.universe, found.version) == ("my_signal", "US", None, "3")


def test_bounds_of_size(tmp_path):
    path = tmp_path / "large.csv"
    path.write_text(CSV)
    with pytest.raises(SignalTooLarge, match=r"signal_too_large: the file has 0 MB, at most 0 MB are taken"):
        check(path, max_bytes=1000)
    with pytest.raises(SignalTooLarge, match="90 rows, at most 50 are taken"):
        check(path, max_rows=50)
    path.write_bytes(parquet(TYPED))
    with pytest.raises(SignalTooLarge, match="90 rows, at most 50 are taken"):
        check(path, max_rows=50)


def test_a_gigabyte_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "gigabyte.csv"
    with path.open("wb") as file:
        file.truncate(1_000_000_000)
    with pytest.raises(SignalTooLarge, match="the file has 1,000 MB, at most 500 MB are taken"):
        check(path)


@pytest.mark.parametrize("name", ["", "1st", "a b", "a/b", "a.b", "<b>", "a" * 65, "ä", "a\n"])
def test_names_that_cannot_be_a_key(name):
    with pytest.raises(SignalNameInvalid):
        safe_signal_name(name)


def test_names_that_can():
    assert [safe_signal_name(name) for name in ("a", "Momentum_12-1", "x" * 64)] == ["a", "Momentum_12-1", "x" * 64]


def test_other_sources():
    with pytest.raises(SignalUnreadable, match="could not be opened"):
        check("/nowhere/at/all.csv")
    with pytest.raises(SignalInvalid, match="cannot be made of a int"):
        check(3)
    with pytest.raises(SignalColumnsMissing, match=r"date_avail: is it 'date_available'"):
        check(pl.DataFrame(rows()).rename({"date_avail": "date_available"}))
