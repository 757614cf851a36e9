"""An S3 server on this machine (moto) that can be out of reach for a while, and jobs for workers that only know it."""

import importlib.util
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness.execute import LocalExecutor
from harness.record.object_store import StoreObjects, file_system
from harness.record.object_url import objects_at
from harness.record.objects import Objects

KEY_ID, SECRET = "AKIAQUICKSILVER00001", "wJalrMarigoldEXAMPLEKEYbPxRfiCYzw"
PATIENCE = 120.0
"""Seconds after which a test gives up."""
BEAT, SILENCE = 0.5, 4.0
"""Of the workers here; a server's times are whole seconds."""
LACKING = [name for name in ("moto", "s3fs", "flask") if importlib.util.find_spec(name) is None]
ENGINES = Path(__file__).parents[2] / "benchmarks" / "engines"


@dataclass
class Door:
    """Passes connections on to a server while it is open; closed, it refuses them and ends those that there are."""

    to: int
    port: int = 0
    _listener: socket.socket | None = None
    _passing: list[socket.socket] = field(default_factory=list[socket.socket])

    def open(self) -> None:
        """Let connections in."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(64)
        self.port, self._listener = listener.getsockname()[1], listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def close(self) -> None:
        """Refuse connections."""
        assert self._listener is not None
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._passing:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._passing.clear()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # closed
            while True:
                ours, _ = listener.accept()
                theirs = socket.create_connection(("127.0.0.1", self.to))
                self._passing += [ours, theirs]
                for one, other in ((ours, theirs), (theirs, ours)):
                    threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while part := one.recv(65536):
            other.sendall(part)
    with suppress(OSError):
        other.shutdown(socket.SHUT_WR)


@dataclass
class S3:
    """A bucket of a server on this machine."""

    door: Door
    url: str
    objects: Objects
    """What there is under that prefix."""


@pytest.fixture(scope="session")
def moto() -> Iterator[Door]:
    """Start the server."""
    if LACKING:
        pytest.skip(f"no S3 server to test with: {', '.join(LACKING)} not installed (moto[server], s3fs)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    door = Door(port)
    deadline = time.monotonic() + PATIENCE
    while True:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/"):
            break
        assert time.monotonic() < deadline and server.poll() is None, "moto did not start"
        time.sleep(0.1)
    door.open()
    yield door
    door.close()
    server.kill()
    server.wait()


@pytest.fixture(scope="session")
def bucket(moto: Door) -> Iterator[tuple[str, Any]]:
    """Return a bucket and a file system for it; credentials are in the environment, where workers inherit them."""
    said = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{moto.port}",
        "AWS_ACCESS_KEY_ID": KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": "/nowhere",
        "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in said.items():
            patch.setenv(name, value)
        store = file_system("s3")
        store.mkdir("bucket-of-tests")
        yield "bucket-of-tests", store


@pytest.fixture
def s3(moto: Door, bucket: tuple[str, Any]) -> S3:
    """Return a prefix of the test's own in the bucket."""
    name, store = bucket
    place = f"{name}/{os.urandom(6).hex()}/a"
    return S3(moto, f"s3://{place}", StoreObjects(f"s3://{place}", lambda: store, place))


@pytest.fixture(params=["file", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    """Return objects in a folder, then in a bucket."""
    if request.param == "s3":
        return request.getfixturevalue("s3").objects
    (tmp_path / "exchange").mkdir()
    return objects_at(f"file://{tmp_path / 'exchange'}")


class Elsewhere(LocalExecutor):
    """Local processes in place of another machine: the folders that they are told of are not there."""

    name = "elsewhere"

    def submit(self, jobs: Sequence[Path]) -> list[str]:
        """Queue jobs under names that no file has here."""
        return super().submit([Path("/nowhere") / job.parent.name / job.name for job in jobs])


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder for the local copies of workers."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv("HARNESS_SCRATCH", str(folder))
    return folder


@pytest.fixture(scope="session")
def quick() -> ModuleType:
    """Return benchmarks/engines/quick.py."""
    return _script("quick")


@pytest.fixture(scope="session")
def quick_exchanged() -> ModuleType:
    """Return benchmarks/engines/quick_exchanged.py."""
    return _script("quick_exchanged")


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"engines_{name}", ENGINES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
