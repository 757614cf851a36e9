"""The chaos of `chaos.py` where workers know an S3 server and a scratch folder only: is anything lost?

    python benchmarks/engines/exchange_chaos.py --quick 60 --real 4 --kills 40

The server is moto, on this machine, and outlives everything. Workers are local processes that are told of folders that
do not exist. Killed are trainers, supervisors, couriers (which speak to the exchange) and the driver. Beats come every
second and silence is over after eight, not after five minutes. Steps made again are not counted: they stay in scratch
folders. The exit status is 0 only if nothing was lost, doubled or changed. Linux; needs moto[server] and s3fs.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # its neighbours; the file is loaded by tests, too

import chaos

from harness.campaign.execution import Progress, execute
from harness.execute import LocalExecutor
from harness.execute.exchanged import ExchangedExecutor
from harness.record.job import JobDirectory
from harness.record.object_store import file_system
from harness.record.object_url import objects_at
from harness.train.courier import SCRATCH, carry, urls
from harness.train.patience import Rhythm

URL = "s3://chaos/exchange"
RHYTHM = Rhythm(beat=1.0, silence=8.0, again=0.5)
WEIGHTS = {"trainer": 0.3, "supervisor": 0.2, "courier": 0.3, "driver": 0.2}
"""How often each kind of process is chosen."""


class Elsewhere(LocalExecutor):
    """Local processes in place of other machines: the folders that they are told of are not there."""

    def submit(self, jobs: Sequence[Path]) -> list[str]:
        """Queue jobs under names that no file has here."""
        return super().submit([Path("/nowhere") / job.parent.name / job.name for job in jobs])


class ExchangeChaos(chaos.Chaos):
    """Kills couriers, too, and knows workers by the scratch folder."""

    def __init__(self, engine: chaos.Engine, jobs: chaos.Jobs, kills: int, pause: float, seed: int):
        super().__init__(engine, jobs, kills, pause, seed)
        self._plan = self._random.choices(list(WEIGHTS), list(WEIGHTS.values()), k=kills)

    def _start(self) -> "subprocess.Popen[str]":
        folders = [str(job.path) for job in self._jobs.all]
        command = [sys.executable, str(Path(__file__).resolve()), "--drive", str(self._jobs.root), *folders]
        with (self._jobs.root / "driver.err").open("ab") as errors:
            environment = self._engine.environment
            return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=environment, text=True)

    def family(self, kind: str) -> list[int]:
        """Return the trainers, supervisors or couriers of this trial."""
        scratch = self._engine.environment[SCRATCH]
        found = [(pid, words) for pid, words in chaos.commands() if words]
        if kind == "courier":
            return [pid for pid, words in found if "--carry" in words and words[-1].startswith("/nowhere/runs/")]
        inside = [(pid, words) for pid, words in found if words[-1].startswith(scratch)]
        return [pid for pid, words in inside if ("--trainer" in words) == (kind == "trainer")]


@contextmanager
def server() -> Generator[dict[str, str]]:
    """Yield the environment in which an S3 server with a bucket is found."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    moto = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    said = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ACCESS_KEY_ID": "chaos"}
    said |= {"AWS_SECRET_ACCESS_KEY": "for-tests", "AWS_DEFAULT_REGION": "us-east-1"}
    try:
        while moto.poll() is None:
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/"):
                break
            time.sleep(0.1)
        os.environ.update(said)
        file_system("s3").mkdir("chaos")
        yield {**os.environ, **said}
    finally:
        moto.kill()
        moto.wait()


def drive(root: Path, folders: Sequence[str]) -> int:
    """Execute jobs to their ends: what is killed again and again."""
    worker = [sys.executable, "-P", str(Path(__file__).resolve()), "--carry"]
    inner = Elsewhere(root / "executor.log", worker, [None] * chaos.SLOTS, grace=3)
    made = ExchangedExecutor(inner, objects_at(URL), root, every=0.5, silence=RHYTHM.silence)
    try:
        ended = execute("runs", [JobDirectory(Path(folder)) for folder in folders], made, _unwatched)
    finally:
        made.close()
    print(json.dumps(ended.failed))
    return 0


def _unwatched(_: Progress) -> None:
    """Watch nothing."""


def main() -> int:
    """Return 0 if nothing was lost."""
    if sys.argv[1:2] == ["--carry"]:
        from harness.train.side_by_side import abreast

        work = [sys.executable, "-P", str(Path(chaos.__file__).resolve()), "--work"]
        return abreast(urls(URL, sys.argv[2:]), lambda url: carry(url, work, RHYTHM))
    if sys.argv[1:2] == ["--drive"]:
        return drive(Path(sys.argv[2]), sys.argv[3:])
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--quick", type=int, default=60)
    parser.add_argument("--real", type=int, default=4)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--pause", type=float, default=3.0, help="mean seconds between kills")
    parser.add_argument("--seconds", type=float, default=0.3, help="of a step of a quick run")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, server() as environment:
        root, scratch = Path(folder) / "store", Path(folder) / "scratch"
        scratch.mkdir()
        peaceful = Path(folder) / "peace"
        peace = chaos.undisturbed(peaceful, chosen.real) if chosen.real else {}
        jobs = chaos.prepared(root, chosen.quick, peaceful, chosen.real, chosen.seconds)
        engine = chaos.Engine("exchange", environment={**environment, SCRATCH: str(scratch)})
        found: dict[str, Any] = chaos.trial(
            engine, jobs, peace, ExchangeChaos(engine, jobs, chosen.kills, chosen.pause, chosen.seed)
        )
        found["quick"] = {k: v for k, v in found["quick"].items() if not k.startswith("steps_")}
        found["scratch_left"] = len(list(scratch.iterdir()))  # by workers that were killed
    found["nothing_lost"] = chaos.nothing_lost(found)
    print(json.dumps(found, indent=1), flush=True)
    return not found["nothing_lost"]


if __name__ == "__main__":
    sys.exit(main())
