"""Kill a test at random, again and again, and see whether its verdict is that of an undisturbed one.

    python benchmarks/chaos.py --protocol smoke --kills 12

One command runs undisturbed in a store of its own. In another store the same command is started and, at seeded random
moments, one of its workers, its server or the command itself gets SIGKILL; a command that ends is started again until
every kill is spent and one has finished. One kill is kept for the command while it decides. Only descendants of the
started command are ever killed. Linux only: processes are looked up in /proc.

What is compared: the whole verdict, its hash of all inputs among it, the ids of all jobs, and the bytes of every
committed file except the manifest (which holds the number of the attempt).
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from harness.record.job import JobDirectory
from harness.record.layout import Store

MARK = "HARNESS_CHAOS_MARK"
KINDS = {"worker": 0.5, "server": 0.25, "command": 0.25}
"""How often each kind of process is chosen."""


@dataclass(frozen=True)
class Trial:
    """A command that is started again and again in one store."""

    arguments: tuple[str, ...]
    """What follows `harness`, the store left out."""
    store: Store
    folder: Path
    """Where it is started."""
    mark: str = field(default_factory=lambda: uuid4().hex)
    """In the environment of every process that comes of it."""

    def start(self) -> "subprocess.Popen[str]":
        """Start the command."""
        harness = [sys.executable, "-c", "from harness.cli import main; main()"]
        command = [*harness, "-q", "--store", str(self.store.root), *self.arguments, "--json"]
        environment = {**os.environ, MARK: self.mark}
        with self.complaints.open("ab") as errors:
            return subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
            )

    @property
    def complaints(self) -> Path:
        """What the commands wrote to standard error."""
        return self.store.root.with_suffix(".err")

    def survivors(self) -> list[int]:
        """Return the processes that still bear the mark; a moment is given to those that are being killed."""
        deadline = time.monotonic() + 10
        while left := [pid for pid in _pids() if _bears(pid, f"{MARK}={self.mark}")]:
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        return left

    def jobs(self) -> list[JobDirectory]:
        """Return every job of the store."""
        folders = [*self.store.bases.glob("*"), *self.store.runs.glob("*")]
        return [JobDirectory(path) for path in sorted(folders)]

    def phase(self) -> str:
        """Return what the command is at: `bases`, `runs` or `decision`."""
        bases, runs = ([JobDirectory(p) for p in kind.glob("*")] for kind in (self.store.bases, self.store.runs))
        if not runs or not all(job.manifest() for job in bases):
            return "bases"
        return "decision" if all(job.manifest() for job in runs) else "runs"

    def attempts(self) -> Counter[int]:
        """Return how many jobs took how many attempts."""
        return Counter(len(job.attempts()) for job in self.jobs())

    def committed(self) -> dict[str, dict[str, str]]:
        """Return the checksums of every committed file, by job."""
        return {job.id: _checksums(job) for job in self.jobs()}


@dataclass
class Kills:
    """Seeded moments and victims."""

    total: int
    seed: int
    pause: float
    """Mean seconds between kills."""
    done: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Kind and phase of each."""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._draw()

    @property
    def left(self) -> int:
        """How many are still to come."""
        return self.total - len(self.done)

    def _draw(self) -> None:
        self._kind = self._random.choices(list(KINDS), list(KINDS.values()))[0]
        self._due = time.monotonic() + self._random.expovariate(1 / self.pause)

    def consider(self, trial: Trial, command: int) -> None:
        """Kill the next victim if it is time and there is one."""
        if self.left == 0 or time.monotonic() < self._due:
            return
        phase = trial.phase()
        kind = "command" if phase == "decision" else self._kind  # nobody else is left then
        victims = family(command)[kind]
        if victims and (self.left > 1 or phase == "decision"):
            self._kill(kind, self._random.choice(victims), phase)

    def _kill(self, kind: str, pid: int, phase: str) -> None:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:  # it ended by itself just now
            return
        self.done.append((kind, phase))
        self._draw()


def family(command: int) -> dict[str, list[int]]:
    """Return the command, its servers and their workers, by kind."""
    children: dict[int, list[int]] = {}
    for pid in _pids():
        children.setdefault(_parent(pid), []).append(pid)
    servers = children.get(command, [])
    return {"command": [command], "server": servers, "worker": [pid for s in servers for pid in children.get(s, [])]}


def undisturbed(trial: Trial) -> dict[str, Any]:
    """Return what the command says when it is let alone."""
    command = trial.start()
    out, _ = command.communicate()
    if command.returncode:
        raise RuntimeError(f"the undisturbed command ended with {command.returncode}: {trial.complaints.read_text()}")
    return json.loads(out)


def disturbed(trial: Trial, kills: Kills) -> tuple[dict[str, Any], int]:
    """Return what the command says that finished after the last kill, and how often it was started."""
    starts = 0
    while starts <= 10 * kills.total:
        starts += 1
        command = trial.start()
        while command.poll() is None:
            kills.consider(trial, command.pid)
            time.sleep(0.005)
        out, _ = command.communicate()
        if command.returncode == 0 and kills.left == 0:
            return json.loads(out), starts
    raise RuntimeError(f"no command finished in {starts} starts: {trial.complaints.read_text()}")


def chaos(arguments: tuple[str, ...], folder: Path, scratch: Path, kills: Kills) -> dict[str, Any]:
    """Run both trials and return what came of it."""
    calm = Trial(arguments, Store(scratch / "undisturbed"), folder)
    wild = Trial(arguments, Store(scratch / "disturbed"), folder)
    expected = undisturbed(calm)
    said, starts = disturbed(wild, kills)
    ours, theirs = calm.committed(), wild.committed()
    return {
        "kills": len(kills.done),
        "by_kind": dict(Counter(kind for kind, _ in kills.done)),
        "by_phase": dict(Counter(phase for _, phase in kills.done)),
        "starts": starts,
        "jobs": len(theirs),
        "attempts": {str(n): jobs for n, jobs in sorted(wild.attempts().items())},
        "same_jobs": ours.keys() == theirs.keys(),
        "uncommitted": [job for job, files in theirs.items() if not files],
        "differing_files": sorted(
            f"{j}/{f}" for j in ours.keys() & theirs.keys() for f in differing(ours[j], theirs[j])
        ),
        "verdicts_equal": said["verdicts"] == expected["verdicts"],
        "outcomes": [verdict["outcome"] for verdict in said["verdicts"]],
        "survivors": wild.survivors() + calm.survivors(),
    }


def differing(ours: dict[str, str], theirs: dict[str, str]) -> set[str]:
    return {name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)}


def _checksums(job: JobDirectory) -> dict[str, str]:
    manifest = job.manifest()
    return {name: said["sha256"] for name, said in manifest["files"].items()} if manifest else {}


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _bears(pid: int, mark: str) -> bool:
    try:
        return mark.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # gone, or not ours
        return False


def main() -> int:
    """Return 0 if nothing was lost, doubled or changed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--protocol", default="smoke")
    parser.add_argument("--hypothesis", default="rank-collapse")
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--pause", type=float, default=8.0, help="mean seconds between kills")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--project", type=Path, default=Path.cwd())
    chosen = parser.parse_args()
    arguments = ("test", chosen.hypothesis, "--protocol", chosen.protocol)
    with tempfile.TemporaryDirectory() as scratch:
        kills = Kills(chosen.kills, chosen.seed, chosen.pause)
        found = chaos(arguments, chosen.project, Path(scratch), kills)
    print(json.dumps(found, indent=1))
    lost = found["uncommitted"] or found["differing_files"] or found["survivors"]
    return 0 if found["verdicts_equal"] and found["same_jobs"] and not lost else 1


if __name__ == "__main__":
    sys.exit(main())
