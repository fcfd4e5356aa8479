"""Arguments that no command has, in places where they mean nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from quant_platform_tests.doors.trial import Input, Place

# HOME, NEW, FILE, DATA are put in: the home, a folder that is not there, a file, a folder of data.
BROKEN: Sequence[tuple[str, ...]] = (
    ("nonsense",),
    ("--nonsense",),
    ("rum",),
    ("run", "nonsense"),
    ("run", ""),
    ("run", "weekly_replai"),
    ("run", "../x"),
    ("run", "everything", "--from", "SIM001"),
    ("run", "everything", "--to", "SIM001"),
    ("run", "everything", "--resume", "x"),
    ("run", "ticker_graph", "--from", "nobody"),
    ("run", "ticker_graph", "--from", "SIM0O1"),
    ("run", "ticker_graph", "--from", "../../etc"),
    ("run", "ticker_graph", "--from", "SIM%30%30"),
    ("run", "ticker_graph", "--from", "a?b"),
    ("run", "ticker_graph", "--from", "SIM005", "--to", "SIM001"),
    ("run", "ticker_graph", "--to", ""),
    ("run", "ticker_graph", "--from", "x" * 10_000),
    ("run", "ticker_graph", "--resume", "0b6c1f9e"),
    ("run", "ticker_graph", "--resume", "../x"),
    ("run", "ticker_graph", "--resume", ""),
    ("run", "weekly_cross_section", "--from", "2024-13-01"),
    ("run", "weekly_cross_section", "--from", "yesterday"),
    ("run", "weekly_cross_section", "--from", "2018-01-02"),
    ("run", "live_scan", "--from", "2018-01-01"),
    ("run", "live_scan", "--to", "2099-01-01"),
    ("run", "factor_study", "--from", "momentum"),
    ("run", "perp_graph"),
    ("run", "securities", "--from", "SIM001"),
    ("run", "securities", "--workers", "0"),
    ("run", "securities", "--workers", "-4"),
    ("run", "securities", "--workers", "two"),
    ("run", "securities", "--workers", "1.5"),
    ("run", "securities", "extra"),
    ("run", "securities", "--home", "FILE"),
    ("run", "securities", "--home", "NEW?x"),
    ("run", "securities", "--home", "NEW%41x"),
    ("run", "securities", "--home", "/dev/null"),
    ("run", "securities", "--home", "/proc/nowhere"),
    ("run", "securities", "--home", "NEW" + "x" * 300),
    ("up", "--port", "99999"),
    ("up", "--port", "0"),
    ("up", "--port", "-1"),
    ("up", "--port", "http"),
    ("up", "--host", "no.such.host.invalid"),
    ("up", "--host", "999.1.1.1"),
    ("up", "--host", "x" * 300),
    ("up", "--token", "short"),
    ("up", "--token", "with a blank in it somewhere"),
    ("sql",),
    ("sql", "select 1", "--output", "xml"),
    ("sql", "select 1", "--limit", "0"),
    ("sql", "select 1", "--limit", "-5"),
    ("sql", "select 1", "--limit", "many"),
    ("sql", "select 1", "--home", "FILE"),
    ("sql", "select 1", "--home", "DATA"),
    ("import",),
    ("import", "csv_folder"),
    ("import", "csv_folder", "NEW"),
    ("import", "csv_foldr", "DATA"),
    ("import", "../../etc/passwd", "DATA"),
    ("import", "", "DATA"),
    ("import", "csv_folder", "FILE", "--home", "NEW"),
    ("import", "csv_folder", "DATA", "--home", "NEW"),
    ("import", "csv_folder", "DATA", "--home", "NEW", "--universe", "nope"),
    ("import", "csv_folder", "DATA", "--home", "NEW", "--location", "actions"),
    ("import", "csv_folder", "DATA", "--home", "NEW", "--location", "=x"),
    ("import", "csv_folder", "DATA", "--home", "NEW", "--location", "actions=/nowhere"),
    ("import", "lean", "DATA", "--home", "NEW"),
    ("import-perps",),
    ("import-perps", "perp_files", "DATA", "--home", "NEW"),
    ("import-perps", "perp_filez", "DATA", "--home", "NEW"),
    ("import-perps", "perp_files", "NEW", "--home", "NEW"),
    ("results", "NEW/page.md"),
    ("results", "NEW/page.md", "--title", "x", "--market", "bonds"),
    ("results", "NEW/page.md", "--title", "x", "--market", "perpetuals"),
    ("results", "FILE/page.md", "--title", "x"),
    ("lake",),
    ("lake", "chek"),
    ("lake", "check", "--home", "NEW"),
    ("lake", "check", "--home", "DATA"),
    ("lake", "vacuum", "--home", "FILE"),
    ("lake", "vacuum", "--dry"),
    ("snapshot", "create"),
    ("snapshot", "create", ""),
    ("snapshot", "create", "us"),
    ("snapshot", "create", "../x"),
    ("snapshot", "create", "US/EU"),
    ("snapshot", "create", "US", "--name", "mine"),
    ("snapshot", "create", "US", "--name", "2024-01-01-EU-v1"),
    ("snapshot", "create", "US", "--name", "../../2024-01-01-US-v1"),
    ("snapshot", "create", "US", "--name", "2024-13-45-US-v1"),
    ("snapshot", "create", "US", "--table", "raw.nothing"),
    ("snapshot", "create", "US", "--table", "securities"),
    ("snapshot", "create", "US", "--table", "../x"),
    ("snapshot", "create", "US", "--home", "NEW"),
    ("snapshot", "verify"),
    ("snapshot", "verify", "2001-01-01-US-v9"),
    ("snapshot", "verify", "../../etc/passwd"),
    ("snapshot", "verify", ""),
    ("snapshot", "verify", "2001-01-01-US-v9\n"),
    ("snapshot", "verify", "x" * 10_000),
    ("snapshot", "export", "2001-01-01-US-v9", "NEW"),
    ("snapshot", "export", "../x", "NEW"),
    ("compare", "2001-01-01-US-v9", "2001-01-01-US-v8"),
    ("compare", "yesterday", "today"),
    ("compare", "2018-01-01"),
    ("compare", "2018-01-01", "2018-01-08", "--table", "nope"),
    ("docs", "--folder", "FILE/x"),
    ("doctor", "--home", "FILE"),
)


def inputs() -> Iterator[Input]:
    """Broken arguments."""
    for arguments in BROKEN:
        shown = " ".join(arguments)
        yield Input(
            "arguments",
            shown if len(shown) < 70 else f"{shown[:60]}... ({len(shown)} characters)",
            lambda place, arguments=arguments: [_filled(argument, place) for argument in arguments],
        )


def _filled(argument: str, place: Place) -> str:
    file, data = place.scratch / "file.txt", place.scratch / "data"
    file.write_text("mine", encoding="utf-8")
    data.mkdir(exist_ok=True)
    for word, path in {"HOME": place.home, "NEW": place.scratch / "new", "FILE": file, "DATA": data}.items():
        argument = argument.replace(word, str(path))
    return argument
