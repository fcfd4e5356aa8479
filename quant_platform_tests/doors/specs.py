"""Spec files that say nothing, say it wrongly, or were made to harm."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from quant_platform_tests.doors.trial import Input, Place

# One file of each kind, a number and a text in it: what they look like and what may stand in their place.
FILES = (
    "activation.yaml",
    "schedules.yaml",
    "checks.yaml",
    "lake.yaml",
    "cleaning/equity.yaml",
    "features/equity.yaml",
    "replay/equity.yaml",
    "setups/equity.yaml",
    "sources/simulated.yaml",
    "universe/simulated.yaml",
)

BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join(['*' + old] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)

WHOLE: Sequence[tuple[str, bytes]] = (
    ("nothing", b""),
    ("a comment alone", b"# nothing here\n"),
    ("a list", b"- a\n- b\n"),
    ("a number", b"17\n"),
    ("a text", b"hello\n"),
    ("null", b"~\n"),
    ("two documents", b"a: 1\n---\nb: 2\n"),
    ("a tab", b"a:\n\tb: 1\n"),
    ("an unclosed bracket", b"a: [1, 2\nb: 3\n"),
    ("an unclosed quote", b'a: "text\nb: 3\n'),
    ("no blank after the colon", b"a:1\nb:2\n"),
    ("another encoding", "a: grün\n".encode("latin-1")),
    ("UTF-16", "a: 1\n".encode("utf-16")),
    ("a picture", b"\x89PNG\r\n\x1a\n" + bytes(range(256))),
    ("a control character", b"a: 1\x07\n"),
    ("a NUL", b"a: \x00\n"),
    ("an alias bomb", BOMB.encode()),
    ("an alias to nothing", b"a: *nowhere\n"),
    ("an alias in its own anchor", b"a: &a [*a]\n"),
    ("a merge of a bomb", (BOMB + "z: {<<: *i}\n").encode()),
    ("brackets of a hundred thousand", b"a: " + b"[" * 100_000 + b"]" * 100_000 + b"\n"),
    ("braces of a hundred thousand", b"a: " + b"{a: " * 100_000 + b"}" * 100_000 + b"\n"),
    ("dashes of ten thousand", b"- " * 10_000 + b"x\n"),
    ("eight megabytes", b"a: " + b"x" * 2**23 + b"\n"),
    ("a Python object", b"a: !!python/object/apply:os.system ['true']\n"),
    ("an unknown tag", b"a: !mine 1\n"),
    ("a key that is a list", b"? [a, b]\n: 1\n"),
    ("a key that is a mapping", b"{a: 1}: 2\n"),
    ("a key of a megabyte", b"k" * 2**20 + b": 1\n"),
    ("a month 13", b"first: 2024-13-45\n"),
    ("an hour 25", b"first: 2024-01-02 25:61:00\n"),
    ("a number of five thousand digits", b"a: " + b"9" * 5_000 + b"\n"),
    ("a tagged number that is none", b"a: !!float abc\n"),
    ("a binary that is none", b"a: !!binary '%%%'\n"),
    ("a key twice", b"name: 1\nname: 2\n"),
    ("a key that is a truth value", b"on: 1\n"),
    ("a thousand unknown keys", b"".join(b"key%d: 1\n" % k for k in range(1_000))),
    ("only unknown keys", b"nonsense: 1\nmore: 2\n"),
)

# file, what stands there, what is written instead.
VALUES: Sequence[tuple[str, str, str]] = (
    ("activation.yaml", "min_rr: 1.2", "min_rr: yes"),
    ("activation.yaml", "min_rr: 1.2", "min_rr: true"),
    ("activation.yaml", "min_rr: 1.2", "min_rr: .inf"),
    ("activation.yaml", "min_rr: 1.2", "min_rr: -.inf"),
    ("activation.yaml", "min_rr: 1.2", "min_rr: .nan"),
    ("activation.yaml", "min_rr: 1.2", "min_rr: 1e999"),
    ("activation.yaml", "min_rr: 1.2", "min_rr: -1"),
    ("activation.yaml", "min_rr: 1.2", "min_rr: one"),
    ("activation.yaml", "min_rr: 1.2", "min_rr: [1.2]"),
    ("activation.yaml", "min_rr: 1.2", "min_rr: {is: 1.2}"),
    ("activation.yaml", "  min_confidence: 70", "  min_confidence:"),
    ("activation.yaml", "min_rr: 1.2", "min_rr: 1,2"),
    ("activation.yaml", "min_rr: 1.2", "min_rr: 1:30"),
    ("activation.yaml", "min_rr: 1.2", "min_r: 1.2"),
    ("activation.yaml", "min_rr: 1.2", "Min_rr: 1.2"),
    ("activation.yaml", "min_rr: 1.2", "# min_rr: 1.2"),
    ("activation.yaml", "min_confidence: 55", "min_confidence: 101"),
    ("activation.yaml", "min_confidence: 55", "min_confidence: -5"),
    ("activation.yaml", "min_confidence: 55", "min_confidence: 2024-01-02"),
    ("activation.yaml", "min_momentum_percentile: 80", "min_momentum_percentile: 8000"),
    ("activation.yaml", "high_conviction_only: false", "high_conviction_only: maybe"),
    ("activation.yaml", "high_conviction_only: false", "high_conviction_only: no"),
    ("activation.yaml", "high_conviction_only: false", "high_conviction_only: 7"),
    ("activation.yaml", "  min_confidence: 70", "  min_confidences: 70"),
    ("schedules.yaml", "timezone: Europe/Berlin", "timezone: Europe/Berlyn"),
    ("schedules.yaml", "timezone: Europe/Berlin", "timezone: 1"),
    ("schedules.yaml", '"0 7 * * *"', '"0 7 * *"'),
    ("schedules.yaml", '"0 7 * * *"', '"0 99 * * *"'),
    ("schedules.yaml", '"0 7 * * *"', '"every morning"'),
    ("schedules.yaml", "retry_max: 3", "retry_max: -3"),
    ("schedules.yaml", "retry_max: 3", "retry_max: 3.5"),
    ("schedules.yaml", "retry_delay_seconds: 30", "retry_delay_seconds: on"),
    ("schedules.yaml", "retry_delay_seconds: 30", "retry_delay_seconds: .inf"),
    ("schedules.yaml", "freshness_days: 4", "freshness_days: 0"),
    ("schedules.yaml", "freshness_days: 4", "freshness_days: 10000000000000000000000"),
    ("home.yaml", "source: simulated", "source: simulatd"),
    ("home.yaml", "source: simulated", "source: ../../etc/passwd"),
    ("home.yaml", "source: simulated", "source: 17"),
    ("home.yaml", "source: simulated", "source: off"),
    ("home.yaml", "universe: simulated", "universe: nope"),
    ("home.yaml", "first_session: 2018-01-02", "first_session: 2018-13-02"),
    ("home.yaml", "first_session: 2018-01-02", "first_session: 2018-02-30"),
    ("home.yaml", "first_session: 2018-01-02", "first_session: tomorrow"),
    ("home.yaml", "first_session: 2018-01-02", "first_session: 2030-01-02"),
    ("home.yaml", "first_session: 2018-01-02", "first_session:"),
    ("universe/simulated.yaml", "exchange: XNYS", "exchange: XNYZ"),
    ("universe/simulated.yaml", "exchange: XNYS", "exchange: NO"),
    ("universe/simulated.yaml", "tickers: source", "tickers: [AAA, ON]"),
    ("universe/simulated.yaml", "tickers: source", "tickers: [AAA, 600000]"),
    ("universe/simulated.yaml", "tickers: source", "tickers: sources"),
    ("universe/simulated.yaml", "tickers: source", "tickers: []"),
    ("sources/simulated.yaml", "kind: simulated", "kind: simulation"),
    ("sources/simulated.yaml", "names: 20", "names: 0"),
    ("sources/simulated.yaml", "names: 20", "names: -1"),
    ("sources/simulated.yaml", "names: 20", "names: 1e30"),
    ("sources/simulated.yaml", "years: 2", "years: 1000000000"),
    ("sources/simulated.yaml", "world: planted", "world: flat"),
    ("cleaning/equity.yaml", "max_power: 3", "max_power: off"),
    ("cleaning/equity.yaml", "max_power: 3", "max_power: -3"),
    ("cleaning/equity.yaml", "max_power: 3", "max_power: 3000000000000"),
)


_CLOSES = "select ticker, session as day, close from clean.equity_bars"
_HEAD = "-- description: x\n-- partition: day\n-- key: [day, ticker]\n"

# name of the file below specs/sql, what is wrong, what it says.
SQL: Sequence[tuple[str, str, bytes]] = tuple(
    (name, what, text if isinstance(text, bytes) else text.encode())
    for name, what, text in (
        ("mine.a", "nothing", ""),
        ("mine.a", "no header", _CLOSES),
        ("mine.a", "no query", _HEAD),
        ("mine.a", "a header that is no YAML", f"-- key: [day\n{_CLOSES}"),
        ("mine.a", "an unknown key", f"-- partitions: day\n{_HEAD}{_CLOSES}"),
        ("mine.a", "a partition that is none", _HEAD.replace(": day", ": dya") + _CLOSES),
        ("mine.a", "a key that is no column", _HEAD.replace("ticker]", "tickr]") + _CLOSES),
        ("mine.a", "no SQL", f"{_HEAD}selekt everything"),
        ("mine.a", "a column that is none", _HEAD + _CLOSES.replace("close", "clos")),
        ("mine.a", "a table that is none", _HEAD + _CLOSES.replace("bars", "barz")),
        ("mine.a", "a file for a table", f"{_HEAD}select * from read_csv('/etc/passwd')"),
        ("mine.a", "two statements", f"{_HEAD}{_CLOSES}; drop table x"),
        ("mine.a", "a statement that writes", f"{_HEAD}copy ({_CLOSES}) to '/tmp/x.csv'"),
        ("mine.a", "the clock", f"{_HEAD}{_CLOSES} where session < current_date"),
        ("mine.a", "chance", f"{_HEAD}{_CLOSES} where random() < 0.5"),
        ("mine.a", "itself", f"{_HEAD}select * from mine.a"),
        ("mine.a", "a type that no table has", f"{_HEAD}{_CLOSES.replace('close', 'interval 1 day as x')}"),
        ("mine.a", "brackets of ten thousand", f"{_HEAD}select {'(' * 10_000}1{')' * 10_000} from clean.equity_bars"),
        ("mine.a", "another encoding", f"{_HEAD}{_CLOSES} where ticker = 'Z\u00fc'".encode("latin-1")),
        ("mine.a", "a picture", b"\x89PNG\r\n\x1a\n" + bytes(range(256))),
        ("mine", "a name without a schema", _HEAD + _CLOSES),
        ("Mine.A", "a name in capitals", _HEAD + _CLOSES),
        ("clean.equity_bars", "a name that is taken", _HEAD + _CLOSES),
    )
)


def inputs() -> Iterator[Input]:
    """Broken spec files, each read before a run."""
    for position, (name, content) in enumerate(WHOLE):
        file = FILES[position % len(FILES)]
        yield Input("specs", f"{file}: {name}", _written(file, content))
    for file, good, bad in VALUES:
        yield Input("specs", f"{file}: {bad.strip()}", _replaced(file, good, bad))
    for name, what, content in SQL:
        yield Input("specs", f"sql/{name}.sql: {what}", _added(f"sql/{name}.sql", content))
    yield Input("specs", "activation.yaml: gone", _changed("activation.yaml", Path.unlink))
    yield Input("specs", "activation.yaml: a folder", _changed("activation.yaml", _as_folder))
    yield Input("specs", "activation.yaml: a pipe", _changed("activation.yaml", _as_pipe))
    yield Input("specs", "activation.yaml: a link to nothing", _changed("activation.yaml", _as_dead_link))
    yield Input("specs", "activation.yaml: a device", _changed("activation.yaml", _as_device))
    yield Input("specs", "lake.yaml: gone", _changed("lake.yaml", Path.unlink))


def _changed(file: str, change: Callable[[Path], object]) -> Callable[[Place], Sequence[str]]:
    def prepare(place: Place) -> Sequence[str]:
        change(place.specs / file)
        return ["doctor"]

    return prepare


def _added(file: str, content: bytes) -> Callable[[Place], Sequence[str]]:
    def change(path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)

    return _changed(file, change)


def _written(file: str, content: bytes) -> Callable[[Place], Sequence[str]]:
    return _changed(file, lambda path: path.write_bytes(content))


def _replaced(file: str, good: str, bad: str) -> Callable[[Place], Sequence[str]]:
    def change(path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        assert good in text, f"{file} has no {good!r}"
        path.write_text(text.replace(good, bad, 1), encoding="utf-8")

    return _changed(file, change)


def _as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _as_dead_link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("nowhere.yaml"))


def _as_device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")
