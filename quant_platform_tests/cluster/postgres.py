"""A Postgres server of one's own: in its own folder, on its own port, gone with the block."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from quant_platform_tests.cluster.processes import descendants, end

USER, PASSWORD = "quant", "geheim/ @:%"
INSTALLED = Path("/usr/lib/postgresql")
HOW = "apt-get install postgresql, or the server package of your system"


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes
    ----------
    binaries
        Folder of its programs.
    port
        On the loopback address.
    log
        What it says.
    main
        Number of its first process.
    """

    binaries: Path
    port: int
    log: Path
    main: int

    def url(self, database: str, password: str = PASSWORD) -> str:
        """Address of a database, with a password."""
        from urllib.parse import quote

        return f"postgresql+psycopg2://{USER}:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    def make(self, database: str) -> str:
        """Make an empty database; its address."""
        self._say("postgres", f"create database {database}")
        return self.url(database)

    def bytes_of(self, database: str) -> int:
        """How large a database is."""
        return int(self._say(database, f"select pg_database_size('{database}')"))

    def ask(self, database: str, query: str) -> str:
        """What a query says, as text."""
        return self._say(database, query)

    def cpu_seconds(self) -> float:
        """Processor seconds of all its processes so far, those that have ended included."""
        ticks = 0
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    fields = (folder / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                own, of_ended = sum(map(int, fields[11:13])), sum(map(int, fields[13:15]))
                ticks += own + of_ended if int(folder.name) == self.main else own if int(fields[1]) == self.main else 0
        return ticks / os.sysconf("SC_CLK_TCK")

    def _say(self, database: str, sql: str) -> str:
        command = [str(self.binaries / "psql"), "-X", "-A", "-t", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        said = subprocess.run(
            [*command, "-U", USER, "-d", database, "-c", sql],
            env={**os.environ, "PGPASSWORD": PASSWORD},
            check=True,
            capture_output=True,
            text=True,
        )
        return said.stdout.strip()


def binaries() -> Path | None:
    """The folder of the newest server that is installed, or None."""
    found = sorted(INSTALLED.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def missing() -> str | None:
    """What is missing to run a server here and how to get it, or None."""
    if binaries() is None:
        return f"no Postgres server: {HOW}"
    if os.geteuid() != 0:
        return None
    if shutil.which("runuser") is None:
        return "Postgres does not run as root, and runuser is not here: start this as another user"
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        return "Postgres does not run as root, and there is no user postgres: start this as another user"
    return None


@contextmanager
def server(*, durable: bool = False) -> Iterator[Server]:
    """Start a server that asks for a password, and stop it with the block.

    Parameters
    ----------
    durable
        Whether every commit waits for the disk, as a server does that nobody has told otherwise.
    """
    found = binaries()
    if found is None:
        raise RuntimeError(str(missing()))
    with tempfile.TemporaryDirectory(prefix="quant-postgres-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "password").write_text(PASSWORD, encoding="utf-8")
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            for path in (folder, folder / "password"):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        initdb = [str(found / "initdb"), "-D", str(folder / "data"), "-U", USER, "-A", "scram-sha-256", "-E", "UTF8"]
        subprocess.run(
            [*_as_other(), *initdb, "--no-sync", "--locale=C", f"--pwfile={folder / 'password'}"],
            check=True,
            capture_output=True,
            cwd=folder,
        )
        port = free_port()
        options = {
            "port": port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": folder,
            "synchronous_commit": "on" if durable else "off",
        }
        said = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [*_as_other(), str(found / "postgres"), "-D", str(folder / "data"), *said],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
            )
        try:
            _wait(found, port, process, folder / "log")
            main = int((folder / "data" / "postmaster.pid").read_text().split()[0])
            yield Server(found, port, folder / "log", main)
        finally:
            # Fast shutdown: it ends the connections that are open.
            stop = [str(found / "pg_ctl"), "stop", "-D", str(folder / "data"), "-m", "fast", "-w", "-t", "20"]
            subprocess.run([*_as_other(), *stop], check=False, capture_output=True, cwd=folder)
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                end([*descendants(process.pid), process.pid])
                raise RuntimeError(f"the database did not stop: {(folder / 'log').read_text()[-500:]}") from None


def _as_other() -> list[str]:
    return ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []


def free_port() -> int:
    """A port of the loopback address that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _wait(found: Path, port: int, process: subprocess.Popen[bytes], log: Path, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    ready = [str(found / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(ready, check=False).returncode != 0:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the server did not start: {log.read_text(errors='replace')[-500:]}")
        time.sleep(0.1)
