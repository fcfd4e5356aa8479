"""S3-compatible object storage, through obstore; imported only where a home names an ``s3://`` address.

Credentials come from where the tools of AWS look for them: ``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY`` (and
``AWS_SESSION_TOKEN``), the role of a container or of the machine. ``AWS_REGION`` names the region, and
``QUANT_S3_ENDPOINT`` (or ``AWS_ENDPOINT_URL``) a server that is not Amazon's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from importlib import import_module
from types import MappingProxyType
from typing import Any

from quant_platform.contracts.errors import StoreUnavailable
from quant_platform.lake.object_store import Stored

ENDPOINT = "QUANT_S3_ENDPOINT"
EXTRA = "quant-platform[objectstore]"

# Some seconds, in which a server may start again; of one that takes requests and says nothing two minutes.
_RETRIES: Mapping[str, Any] = MappingProxyType({"max_retries": 6, "retry_timeout": timedelta(seconds=120)})
_TIMES: Mapping[str, str] = MappingProxyType({"connect_timeout": "5s", "read_timeout": "60s", "timeout": "120s"})
# A key without its other half, and the service at which a machine without keys asks for its role.
_NOBODY = ("Missing AccessKeyId", "Missing SecretAccessKey", "169.254.169.254")
_DIGEST = "sha256"


class S3Objects:
    """Objects below ``s3://bucket/prefix``; implements `quant_platform.lake.object_store.Objects`.

    Safe to use from many threads, and from processes that were forked from one that used it before only where that one
    had not sent a request yet.
    """

    def __init__(self, address: str) -> None:
        bucket, _, prefix = address.removeprefix("s3://").partition("/")
        self.address, self._bucket, self._prefix = address, bucket, prefix
        self._errors = _obstore("exceptions")

    def below(self, folder: str) -> Mapping[str, str]:
        """See `Objects`."""
        with self._asking(folder):
            return {found["path"]: str(found["e_tag"]) for found in self._client.list(folder).collect()}

    def children(self, folder: str) -> tuple[list[str], list[str]]:
        """See `Objects`."""
        with self._asking(folder):
            found = self._client.list_with_delimiter(folder)
        return [_last(name) for name in found["common_prefixes"]], [_last(one["path"]) for one in found["objects"]]

    def create(self, name: str, content: bytes | memoryview, sha256: str) -> bool:
        """See `Objects`."""
        with self._asking(name):
            try:
                self._client.put(name, content, mode="create", attributes={_DIGEST: sha256}, use_multipart=False)
            except self._errors.AlreadyExistsError:
                return False
        return True

    def put(self, name: str, content: bytes, sha256: str) -> None:
        """See `Objects`."""
        with self._asking(name):
            self._client.put(name, content, attributes={_DIGEST: sha256}, use_multipart=False)

    def swap(self, name: str, content: bytes, tag: str | None) -> str | None:
        """See `Objects`."""
        mode: Any = "create" if tag is None else {"e_tag": tag}
        with self._asking(name):
            try:
                put = self._client.put(name, content, mode=mode, use_multipart=False)
            except (self._errors.AlreadyExistsError, self._errors.PreconditionError):
                return None
        return str(put["e_tag"])

    def get(self, name: str) -> Stored | None:
        """See `Objects`."""
        with self._asking(name):
            try:
                found = self._client.get(name)
            except FileNotFoundError as error:
                self._require_bucket(error)
                return None
            content = bytes(found.bytes())
        return Stored(content, found.attributes.get(_DIGEST, ""), str(found.meta["e_tag"]))

    def size(self, name: str) -> int:
        """See `Objects`."""
        with self._asking(name):
            try:
                return int(self._client.head(name)["size"])
            except FileNotFoundError as error:
                self._require_bucket(error)
                return 0

    def delete(self, names: Sequence[str]) -> None:
        """See `Objects`."""
        with self._asking(names[0] if names else ""):
            if names:
                self._client.delete(list(names))

    @property
    def _client(self) -> Any:
        endpoint = os.environ.get(ENDPOINT) or os.environ.get("AWS_ENDPOINT_URL") or ""
        return _client(self._bucket, self._prefix, endpoint, os.environ.get("AWS_ACCESS_KEY_ID", ""), os.getpid())

    @contextmanager
    def _asking(self, name: str) -> Iterator[None]:
        """Turn what the store or the way to it refuses into an error for people."""
        try:
            yield
        except FileNotFoundError as error:
            self._require_bucket(error)
            raise
        except self._errors.BaseError as error:
            raise self._unavailable(name, error) from error

    def _require_bucket(self, error: Exception) -> None:
        if "NoSuchBucket" in str(error):
            raise self._unavailable("", error) from error

    def _unavailable(self, name: str, error: Exception) -> StoreUnavailable:
        text = str(error)
        said = text.splitlines()[0]
        where = f"{self.address}/{name}" if name else self.address
        if "NoSuchBucket" in text:
            return StoreUnavailable(
                f"there is no bucket {self._bucket!r}",
                where=self.address,
                action="create it, or correct the address in lake.yaml of the home",
            )
        if any(words in text for words in _NOBODY) and not os.environ.get("AWS_ACCESS_KEY_ID"):
            return StoreUnavailable(
                "nothing says who asks for the lake: there are no credentials",
                where=self.address,
                cause="AWS_ACCESS_KEY_ID is not set, and the machine has no role",
                action="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine or container a role",
            )
        if isinstance(error, self._errors.PermissionDeniedError | self._errors.UnauthenticatedError):
            return StoreUnavailable(
                "the store does not let these credentials do that",
                where=where,
                cause=said,
                action="check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION, and that they may list, read, "
                "put and delete objects of the bucket",
            )
        if "kind: Timeout" in text:
            return StoreUnavailable(
                "the store did not answer in time",
                where=where,
                how_many=f"{_TIMES['read_timeout']} without a byte, or {_TIMES['timeout']} for one request",
                cause="it is too slow, or the way to it is",
                action="look at its load and at the network; then run again: what is current is not recomputed",
            )
        return StoreUnavailable(
            "the store does not answer as it should",
            where=where,
            cause=said,
            action=f"check that it is up, and {ENDPOINT} where it is not Amazon's; then run again: what is current is "
            "not recomputed",
        )


@lru_cache(maxsize=8)
def _client(bucket: str, prefix: str, endpoint: str, key: str, process: int) -> Any:
    """One client, with its connections, for all lakes of a process."""
    del key, process
    options: dict[str, Any] = {"endpoint": endpoint} if endpoint else {}
    if not (os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")):
        options["region"] = "us-east-1"
    return _obstore("store").S3Store(
        bucket,
        prefix=prefix or None,
        client_options={**_TIMES, "allow_http": endpoint.startswith("http://")},
        retry_config=dict(_RETRIES),
        **options,
    )


def _obstore(module: str) -> Any:
    try:
        return import_module(f"obstore.{module}")
    except ModuleNotFoundError as error:
        raise StoreUnavailable(
            "the lake is on object storage, and obstore is not installed",
            cause=str(error),
            action=f"install the extra: pip install '{EXTRA}'",
        ) from error


def _last(name: str) -> str:
    return name.rpartition("/")[2]
