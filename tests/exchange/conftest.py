"""An S3 server on this machine (moto) that can be out of reach for a while, and jobs for workers that only know it."""

import importlib.util
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness.campaign.execution import Progress, execute
from harness.execute import LocalExecutor
from harness.execute.exchanged import ExchangedExecutor
from harness.execute.worker import worker
from harness.plan.runset import planned_base, planned_run
from harness.record.exchange import ExchangedJob
from harness.record.job import JobDirectory
from harness.record.object_store import StoreObjects, file_system
from harness.record.object_url import objects_at
from harness.record.objects import Objects
from harness.spec import Cell, Lora, Protocol, load_protocol
from harness.spec.adapter import Proportional
from harness.spec.resources import Resources

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
    _passing: set[socket.socket] = field(default_factory=set[socket.socket])

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
        for one in tuple(self._passing):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # closed
            while True:
                ours, _ = listener.accept()
                theirs = socket.create_connection(("127.0.0.1", self.to))
                self._passing |= {ours, theirs}
                threading.Thread(target=self._pass, args=(ours, theirs), daemon=True).start()

    def _pass(self, ours: socket.socket, theirs: socket.socket) -> None:
        """Pass on what one says to the other, both ways, until both have ended."""
        back = threading.Thread(target=_pump, args=(theirs, ours), daemon=True)
        back.start()
        _pump(ours, theirs)
        back.join()
        for one in (ours, theirs):
            one.close()
            self._passing.discard(one)


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


class Lab:
    """Quick jobs in a driver's store, and workers that know the exchange."""

    def __init__(self, tmp_path: Path, s3: S3, quick: ModuleType, quick_exchanged: ModuleType):
        self.runs, self.s3, self._quick = tmp_path / "store" / "runs", s3, quick
        self._worker = quick_exchanged.worker
        self.silence, self.secrets = SILENCE, (KEY_ID, SECRET)
        self.objects = s3.objects
        self.command: list[str] = self._worker(s3.url, BEAT, SILENCE)
        self.log = tmp_path / "executor.log"
        self.started: list[subprocess.Popen[bytes]] = []

    def job(self, seed: int, steps: int = 3, seconds: float = 0.02, **more: Any) -> JobDirectory:
        """Return a quick job."""
        job = self._quick.create(self.runs, seed, steps, seconds, **more)
        job.give(Resources())
        return job

    def executor(self, slots: int = 2, every: float = 0.3) -> ExchangedExecutor:
        """Return an executor whose workers are elsewhere."""
        inner = Elsewhere(self.log, self.command, [None] * slots, grace=3)
        return ExchangedExecutor(inner, self.objects, self.runs.parent, every=every, silence=SILENCE)

    def real(self, store: Path) -> ExchangedExecutor:
        """Return an executor whose workers are elsewhere, and the real ones."""
        inner = Elsewhere(self.log, worker(None, self.objects.url), [None], grace=3)
        return ExchangedExecutor(inner, self.objects, store)

    def go_through(self, url: str) -> None:
        """Take another exchange."""
        self.objects, self.command = objects_at(url), self._worker(url, BEAT, SILENCE)

    def execute(self, jobs: list[JobDirectory], watch: Callable[[Progress], None] = lambda _: None) -> Progress:
        """Execute jobs; `watch` is called after every look."""
        executor, deadline = self.executor(), time.monotonic() + PATIENCE

        def watched(progress: Progress) -> None:
            assert time.monotonic() < deadline, "it never came about"
            watch(progress)

        try:
            return execute("runs", jobs, executor, watched)
        finally:
            executor.close()

    def at(self, job: JobDirectory) -> ExchangedJob:
        """Return a job at the exchange."""
        return ExchangedJob(self.objects, f"runs/{job.id}", SILENCE)

    def end_of(self, job: JobDirectory) -> dict[str, Any]:
        """Return what a job's first attempt said at the exchange of how it ended."""
        said = self.at(job).read("attempts/0001.exit.json")
        assert said is not None
        return said

    def offer(self, job: JobDirectory) -> ExchangedJob:
        """Put a job at the exchange, without an executor."""
        there = self.at(job)
        there.offer(job.spec(), job.resources().model_dump(mode="json"))
        return there

    def start(self, job: JobDirectory) -> subprocess.Popen[bytes]:
        """Start a worker."""
        with self.log.open("ab") as log:
            self.started.append(subprocess.Popen([*self.command, f"/nowhere/runs/{job.id}"], stderr=log))
        return self.started[-1]

    def right(self, *jobs: JobDirectory) -> bool:
        """Return whether the results of these jobs are there, and right."""
        found: dict[str, Any] = self._quick.look(jobs)
        return found["right"] == len(jobs) and not found["wrong"]


@pytest.fixture
def lab(tmp_path: Path, s3: S3, scratch: Path, quick: ModuleType, quick_exchanged: ModuleType) -> Iterator[Lab]:
    lab = Lab(tmp_path, s3, quick, quick_exchanged)
    yield lab
    for process in lab.started:
        process.kill()
        process.wait()


@dataclass(frozen=True)
class Pocket:
    """Real jobs of the pocket protocol."""

    root: Path
    protocol: Protocol

    def store(self, name: str) -> "Pocket":
        """Return the same jobs in another store."""
        return Pocket(self.root / name, self.protocol)

    def base(self) -> JobDirectory:
        """Return a base's job."""
        planned = planned_base("llama", self.protocol)
        return self._created(self.root / "bases" / planned.id, planned.identity)

    def run(self) -> JobDirectory:
        """Return a run's job."""
        cell = Cell(adapter=Lora(rank=2, scaling=Proportional()))
        planned = planned_run(planned_base("llama", self.protocol), cell, 0, self.protocol)
        return self._created(self.root / "runs" / planned.id, planned.identity)

    @staticmethod
    def _created(path: Path, identity: dict[str, object]) -> JobDirectory:
        job = JobDirectory(path)
        job.create({"id": path.name, "identity": identity})
        return job


@pytest.fixture
def pocket(tmp_path: Path) -> Pocket:
    """Return pocket jobs."""
    return Pocket(tmp_path, load_protocol(Path(__file__).parents[1] / "pocket.yaml", "pocket.yaml"))
