"""Files of the archive, verified: from a folder that mirrors it, or over HTTP into one that comes to mirror it.

What is there and matches its checksum is not fetched again, so a broken run resumes where it was. A file appears under
its name only whole and verified: it is fetched under another name, compared with its SHA-256, and renamed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote
from urllib.request import getproxies, proxy_bypass

from urllib3 import PoolManager, ProxyManager
from urllib3.exceptions import HTTPError

from quant_platform.contracts.errors import (
    PlatformError,
    SourceMalformed,
    SourceNotFound,
    SourceRateLimited,
    SourceUnavailable,
    SpecError,
)
from quant_platform.lake.atomic import atomic_bytes
from quant_platform.sources.waiting import retries
from quant_platform.specification.perp_sources import BinanceSpec

CHECKSUM = ".CHECKSUM"
_BLOCK = 1 << 20
_SLOW_DOWN = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.IM_A_TEAPOT)
_AGAIN = frozenset([*_SLOW_DOWN, *range(500, 600)])


@dataclass(frozen=True)
class Archive:
    """A mirror of the archive in a folder.

    Attributes
    ----------
    folder
        Where the files lie, in the archive's own layout.
    spec
        What a missing checksum means, and how often a request is tried.
    base_url
        Where missing files are fetched from; None fetches nothing.
    """

    folder: Path
    spec: BinanceSpec
    base_url: str | None = None

    def __post_init__(self) -> None:
        if self.base_url is not None and not self.base_url.startswith(("http://", "https://")):
            raise SpecError(
                f"base_url must be an address of HTTP, was {self.base_url!r}",
                where="binance.base_url in the source spec",
                action="give a folder as the location of the source instead",
            )

    def has(self, name: str) -> bool:
        """Whether the archive has a file, without fetching it."""
        if (self.folder / name).is_file():
            return True
        return self.base_url is not None and self._request(name, method="HEAD") is not None

    def find(self, name: str) -> Path | None:
        """A verified file by its path in the archive, None where the archive has none.

        Raises
        ------
        SourceMalformed
            When the file does not match its checksum, or the checksum is not one.
        SourceNotFound
            When there is no checksum and the spec wants one.
        SourceRateLimited, SourceUnavailable
            After the stated number of attempts.
        """
        path = self.folder / name
        if path.is_file():
            expected = self._expected(name)
            if expected is None or _digest(path) == expected:
                return path
            if self.base_url is None:
                raise _mismatch(str(path), expected, _digest(path))
        return None if self.base_url is None else self._fetch(name)

    def _expected(self, name: str) -> str | None:
        """SHA-256 that the file beside says, fetched where it is not there."""
        path = self.folder / (name + CHECKSUM)
        if not path.is_file() and self.base_url is not None:
            content = self._request(name + CHECKSUM)
            if content is not None:
                _parse_checksum(content, name, f"{self.base_url}/{name}{CHECKSUM}")
                atomic_bytes(path, content)
        if path.is_file():
            return _parse_checksum(path.read_bytes(), name, str(path))
        if self.spec.missing_checksum == "accept":
            return None
        raise SourceNotFound(
            "the file has no checksum to be verified by",
            where=f"{path}",
            action="put the .CHECKSUM file beside it, or set missing_checksum: accept in the source spec",
        )

    def _fetch(self, name: str) -> Path | None:
        content = self._request(name)
        if content is None:
            return None
        # A checksum that was fetched for an older version of the file would refuse the new one.
        (self.folder / (name + CHECKSUM)).unlink(missing_ok=True)
        expected = self._expected(name)
        found = hashlib.sha256(content).hexdigest()
        if expected is not None and found != expected:
            raise _mismatch(f"{self.base_url}/{name}", expected, found)
        path = self.folder / name
        atomic_bytes(path, content)
        return path

    def _request(self, name: str, method: str = "GET") -> bytes | None:
        """Content of a file, None where there is none."""
        url = f"{self.base_url}/{quote(name)}"
        attempts = self.spec.max_attempts
        try:
            answer = self._pool.request(
                method,
                url,
                timeout=self.spec.timeout_seconds,
                retries=retries(attempts, self.spec.first_delay_seconds, self.spec.max_delay_seconds, _AGAIN),
            )
        except HTTPError as error:
            # Includes an answer that ended before its stated length.
            reason = getattr(error, "reason", None) or error
            raise SourceUnavailable(
                f"the archive could not be read: {reason}",
                where=url,
                how_many=f"{attempts} attempts",
                action="check the connection; what was fetched is kept, so run it again later",
            ) from error
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        if answer.status != HTTPStatus.OK:
            raise _refusal(url, answer.status)
        return answer.data

    @cached_property
    def _pool(self) -> PoolManager:
        """Connections that are kept open, through the proxy of the environment where there is one."""
        scheme, _, host = str(self.base_url).partition("://")
        proxy = getproxies().get(scheme)
        if proxy and not proxy_bypass(host.split("/")[0]):
            return ProxyManager(proxy)
        return PoolManager()


def _refusal(url: str, status: int) -> PlatformError:
    kind = SourceRateLimited if status in _SLOW_DOWN else SourceUnavailable
    return kind(
        f"the archive answered with status {status}",
        where=url,
        action="run it again later; what was fetched is kept",
    )


def _mismatch(where: str, expected: str, found: str) -> SourceMalformed:
    return SourceMalformed(
        "the file does not match its checksum",
        where=where,
        cause=f"SHA-256 was {found}, the checksum file says {expected}: a download that was broken off or changed",
        action="remove the file and its .CHECKSUM and fetch both again",
    )


def _parse_checksum(content: bytes, name: str, where: str) -> str:
    words = content.decode("utf-8", errors="replace").split()
    digest = words[0].lower() if words else ""
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise SourceMalformed(
            "the checksum file does not begin with a SHA-256", where=where, action="remove it and fetch it again"
        )
    if len(words) > 1 and words[1].lstrip("*") != Path(name).name:
        raise SourceMalformed(
            f"the checksum is of {words[1]!r}, not of {Path(name).name!r}",
            where=where,
            action="remove it and fetch it again",
        )
    return digest


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()
