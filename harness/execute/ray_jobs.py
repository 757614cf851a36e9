"""Runs on a Ray cluster: one Ray Job a job directory, handed over through the Jobs API.

Ray's own tasks and actors are not used: tasks die with the driver that owns them, a Ray Job goes on (both measured).
Nor does Ray retry: a job whose node is lost is FAILED there, gone here, and handed over again by whoever asked.

A job that waits for its devices at the cluster for more than 900 seconds is failed by Ray
(RAY_JOB_START_TIMEOUT_SECONDS, on the head), so no more are handed over than fit the cluster's nodes, plus a backlog;
the rest wait here and follow as earlier ones leave, at each poll. One that Ray failed so, because others had the
devices, waits here again and keeps its handle: its later ids are HANDLE.2, HANDLE.3. One that no node could ever hold
is let go.

Handles are submission ids, and any later driver can ask for them. What waited here when a driver ended was never handed
over: the cluster does not know its handle, the answer is `gone`, and whoever asks submits it anew. So `lasting` holds
for what was handed over; what was not goes on only while some driver polls. The same answer, for the same reason, comes
from a cluster whose head was replaced. No answer at all is never `gone`.

Whoever reaches a dashboard reads every job's command and environment, so only named variables are passed, and none
whose name sounds like a secret. And a token for the cluster goes only where the user's own environment says.
"""

import math
import os
import re
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import uuid4

from harness.execute.engine import Refused, Standing, Unreachable
from harness.execute.ray_dashboard import Dashboard, RayJob
from harness.spec.engines import RaySettings
from harness.spec.resources import Resources
from harness.spec.secrets import without_secrets

ADDRESS = "RAY_API_SERVER_ADDRESS"
PASSED = (
    *("HF_HOME", "HF_HUB_CACHE", "HF_DATASETS_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"),
    "HARNESS_SCRATCH",
)
"""What a worker has of this command's environment, where it is set; the rest is that of its node."""
SECRET = re.compile(r"token|secret|passw|credential|api_?key|access_?key|private_?key", re.IGNORECASE)
PREFIX = "harness-"
_STOP_WAIT = "RAY_JOB_STOP_WAIT_TIME_S"  # read from the job's own environment; 3 seconds unless set
_MARGIN = 10
"""Seconds past a run's grace before Ray kills: the worker shall have killed its trainer, and said why, by then."""
_KEPT = 2000
"""Letters of Ray's words on a failure that the log keeps; they end with the output of the command."""
_UNPLACED = "JOB_SUPERVISOR_ACTOR_START_TIMEOUT"
_AGAIN = re.compile(r"\.\d+$")


class RayExecutor:
    """Hands jobs to a Ray cluster.

    Args:
        folder: Where `ray.log` is kept: what was handed over, and Ray's words on what failed.
        worker: Command that executes a job; its directory is appended. It must exist on every node.
        resources: Of one job.
        settings: The cluster's address and the backlog.
        interval: Seconds between polls.
        patience: Seconds until a call counts as unanswered.
        environment: Variables of the worker; left out, those of PASSED that are set here.

    Raises:
        Refused: No address, no ray package, a worker or variable that cannot be passed.
    """

    def __init__(
        self,
        folder: Path,
        worker: Sequence[str],
        resources: Resources,
        settings: RaySettings,
        *,
        interval: float = 2.0,
        patience: float = 20.0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._worker = tuple(worker)
        self._backlog = settings.backlog
        self._interval = interval
        self._demand = _demand(resources)
        self._environment = _environment(environment, resources)
        self._dashboard = Dashboard(_address(settings), patience)
        if self._dashboard.sends_token and self._dashboard.address != os.environ.get(ADDRESS, "").rstrip("/"):
            raise Refused(  # a project may come from a stranger
                f"ray: your Ray token would go where the project says, {self._dashboard.address}. If it may, set"
                f" {ADDRESS} to that address."
            )
        self._waiting: dict[str, _Turn] = {}
        self._given: dict[str, _Turn] = {}
        entrypoint(self._worker, folder)  # a worker that no shell line can hold is told of at once

    @property
    def name(self) -> str:
        """`ray` and the cluster's address."""
        return f"ray {self._dashboard.address}"

    @property
    def lasting(self) -> bool:
        """Jobs at the cluster go on without this command."""
        return True

    @property
    def interval(self) -> float:
        """Seconds between polls."""
        return self._interval

    @property
    def log(self) -> Path:
        """What was handed over when, and Ray's words on what failed, with the end of its output."""
        return self._folder / "ray.log"

    def submit(self, jobs: Sequence[Path]) -> list[str]:
        """Take jobs on; hand over as many as the cluster has room for.

        Raises:
            Unreachable: No answer; none was taken on.
            Refused: Another Ray than ours, or a path that no shell line can hold; none was taken on.
        """
        turns = {_handle(job): _Turn(entrypoint(self._worker, job)) for job in jobs}
        if turns:
            self._dashboard.greet()
            known, fitting = self._dashboard.jobs(), self._fitting()
            self._waiting.update(turns)
            try:
                self._hand_over(known, fitting)
            except Unreachable as silence:  # they are taken on: the next poll says so itself, and goes on
                self._note(str(silence))
        return list(turns)

    def poll(self, handles: Sequence[str]) -> dict[str, Standing]:
        """Return where jobs stand, after handing over what there is room for by now.

        Raises:
            Unreachable: No answer.
        """
        try:
            known = self._dashboard.jobs()
            if self._waiting or self._given:
                fitting = self._fitting()
                self._take_back(known, fitting)
                self._hand_over(known, fitting)
        except Refused as turned_away:  # such as a token that has expired: nothing is known of the jobs
            raise Unreachable(str(turned_away)) from None
        families: dict[str, list[RayJob]] = {}
        for job in known.values():
            families.setdefault(_AGAIN.sub("", job.id), []).append(job)
        return {handle: self._standing(handle, families.get(handle, [])) for handle in handles}

    def cancel(self, handles: Sequence[str]) -> None:
        """Stop jobs with SIGTERM, and SIGKILL once their grace is over.

        One that waits at the cluster cannot be withdrawn from it: it stays `queued` until it has its device, and is
        stopped as it starts.

        Raises:
            Unreachable: No answer.
        """
        asked = {handle for handle in handles if self._waiting.pop(handle, None) is None}
        if not asked:
            return
        for handle in asked:
            self._given.pop(handle, None)  # else one that Ray fails for waiting would be handed over again
        try:
            for job in self._dashboard.jobs().values():
                if job.live and _AGAIN.sub("", job.id) in asked:
                    self._dashboard.stop(job.id)
        except Refused as turned_away:
            raise Unreachable(str(turned_away)) from None

    def close(self) -> None:
        """Let go of what was not handed over; leave alone what was."""
        self._waiting.clear()

    def _standing(self, handle: str, family: Sequence[RayJob]) -> Standing:
        if any(job.status == "RUNNING" for job in family):
            return "running"
        return "queued" if handle in self._waiting or any(job.live for job in family) else "gone"

    def _take_back(self, known: Mapping[str, RayJob], fitting: int) -> None:
        """Note what ended; queue again what Ray failed only because it waited for devices that exist."""
        ended = {handle: known.get(turn.id(handle)) for handle, turn in self._given.items()}
        for handle, job in ended.items():
            if job is not None and job.live:
                continue
            turn = self._given.pop(handle)
            if job is None or job.status != "FAILED":
                continue
            self._note(f"{job.id} failed: {job.error}: {job.message[-_KEPT:]}")
            if job.error == _UNPLACED and not job.placed and fitting > 0:
                self._waiting[handle] = turn.next()

    def _hand_over(self, known: dict[str, RayJob], fitting: int) -> None:
        """Hand over, first come first served, as many as fit the cluster beside those of ours that it has."""
        room = fitting + self._backlog - sum(job.live for job in known.values() if job.id.startswith(PREFIX))
        for handle, turn in list(self._waiting.items()):
            id = turn.id(handle)
            if id not in known and room <= 0:
                return
            if id not in known:
                try:
                    self._dashboard.submit(id, turn.entrypoint, self._demand, self._environment)
                except Refused as turned_away:  # it is gone then, and the log says why
                    self._note(f"{id} refused: {turned_away}")
                    del self._waiting[handle]
                    continue
                self._note(f"{id} handed over: {turn.entrypoint}")
                known[id] = RayJob(id, "PENDING")
                room -= 1
            self._given[handle] = self._waiting.pop(handle)

    def _fitting(self) -> int:
        """Return how many such jobs all nodes together hold when nothing else is on them."""
        asked = {name: amount for name, amount in self._demand.items() if amount}
        return sum(
            min(math.floor(node.get(name, 0.0) / amount + 1e-9) for name, amount in asked.items())
            for node in self._dashboard.nodes()
        )

    def _note(self, what: str) -> None:
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {without_secrets(what)}\n")


class _Turn:
    """A job's command, and for the how manieth time it is handed over under its handle."""

    def __init__(self, entrypoint: str, number: int = 1) -> None:
        self.entrypoint = entrypoint
        self._number = number

    def id(self, handle: str) -> str:
        return handle if self._number == 1 else f"{handle}.{self._number}"

    def next(self) -> "_Turn":
        return _Turn(self.entrypoint, self._number + 1)


def entrypoint(worker: Sequence[str], job: Path) -> str:
    """Return the line of shell that executes a job: every word quoted, nothing for the shell to read.

    Raises:
        Refused: A word has a line break, another control character, or is no text.
    """
    words = [*worker, str(job.absolute())]
    for word in words:
        if not word.isprintable():  # surrogates of undecodable bytes are not printable either
            raise Refused(f"ray: {word!a} has characters that no line of shell should hold. Rename it.")
    return f"exec {shlex.join(words)}"


def _handle(job: Path) -> str:
    return f"{PREFIX}{re.sub(r'[^A-Za-z0-9_-]', '_', job.name)[:100]}-{uuid4().hex[:12]}"


def _demand(resources: Resources) -> dict[str, float]:
    """Return what Ray is asked for, by its names: whole CPUs, GPUs, bytes.

    Ray counts in ten-thousandths and rounds: a seventh would become .1429, of which a device holds six.
    """
    gpus = math.floor(resources.gpus * 10_000 + 1e-6) / 10_000
    memory = math.ceil((resources.memory_gib or 0) * 2**30)
    return {"CPU": resources.cpus, "GPU": gpus, "memory": memory}


def _environment(given: Mapping[str, str] | None, resources: Resources) -> dict[str, str]:
    passed = {name: os.environ[name] for name in PASSED if name in os.environ} if given is None else dict(given)
    for name in passed:
        if SECRET.search(name):
            raise Refused(f"ray: {name} would be readable at the dashboard. Set it on the nodes, before Ray starts.")
    return {**passed, _STOP_WAIT: str(math.ceil(resources.grace_seconds) + _MARGIN)}


def _address(settings: RaySettings) -> str:
    address = settings.address or os.environ.get(ADDRESS)
    if not address:
        raise Refused(f"ray: no address. Set `address` in [tool.harness.ray], or {ADDRESS}=http://127.0.0.1:8265.")
    try:
        return str(RaySettings(address=address).address).rstrip("/")
    except ValueError:
        raise Refused(f"ray: {address!r} is no address of a dashboard. Write http://HOST:8265.") from None
