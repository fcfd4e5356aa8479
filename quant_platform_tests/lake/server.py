"""An S3 server on loopback for tests and measurements: moto, in a process of its own.

``QUANT_TEST_S3_PYTHON`` names the Python that has moto, where that is not this one.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BUCKET = "lake"
_CODE = "import sys; from moto.server import main; main(['-H', '127.0.0.1', '-p', sys.argv[1]])"


@contextmanager
def s3_on_loopback(log: Path) -> Iterator[str]:
    """Run a server with one empty bucket until the block ends; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("wb") as output:
        python = os.environ.get("QUANT_TEST_S3_PYTHON", sys.executable)
        server = subprocess.Popen([python, "-c", _CODE, str(port)], stdout=output, stderr=output)
    try:
        endpoint = f"http://127.0.0.1:{port}"
        _make_bucket(endpoint, server, log)
        yield endpoint
    finally:
        server.terminate()
        server.wait(10)


def environment_of(endpoint: str) -> dict[str, str]:
    """What a process has to have in its environment to use the server."""
    return {"QUANT_S3_ENDPOINT": endpoint, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


def _make_bucket(endpoint: str, server: subprocess.Popen[bytes], log: Path) -> None:
    request = urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT")
    ask = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(600):
        if server.poll() is not None:
            break
        try:
            ask.open(request, timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"the S3 server did not start: {log.read_text()[-2000:]}")
