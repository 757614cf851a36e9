"""What is asked of a Ray cluster, all of it by HTTP at the head's dashboard: version, nodes, jobs.

It is ray's own `JobSubmissionClient` with three departures. The address that it is given counts: ray's lets
RAY_API_SERVER_ADDRESS and RAY_ADDRESS override it, and the latter is set inside every Ray job. Every call has a time
limit: ray's has none, and a head that was cut off never answers. And an error says which of two it is: nobody answers
as a Ray cluster should (`Unreachable`: the jobs may well go on), or the cluster says no (`Refused`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from harness.execute.engine import Refused, Unreachable

REMEDY = "pip install 'rlvr-harness[ray]'"
MOST_NODES = 10_000


@dataclass(frozen=True, slots=True)
class RayJob:
    """A job as the cluster tells of it."""

    id: str
    """Submission id."""
    status: str
    """PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED."""
    placed: bool = False
    """Whether it ever had a node to itself."""
    error: str = ""
    """Ray's word for what went wrong."""
    message: str = ""
    """Ray's sentence, with the end of the job's output if its command failed."""

    @property
    def live(self) -> bool:
        """Whether the cluster still has business with it."""
        return self.status in ("PENDING", "RUNNING")


class _Answer(Exception):
    """The cluster's answer is not the one that was asked for."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = text


class Dashboard:
    """A Ray cluster's HTTP side.

    Args:
        address: Such as http://127.0.0.1:8265.
        patience: Seconds that a call may take to connect, and again between two bytes of its answer.

    Raises:
        Refused: Ray is not installed here.
    """

    def __init__(self, address: str, patience: float) -> None:
        self.address = address
        try:
            requests, self._ray = import_module("requests"), import_module("ray")
            self._client: Any = _client(address, patience)
        except ImportError as missing:  # `ray` without `[default]` lacks requests
            raise Refused(
                f"ray: {missing.name} is missing here, which the engine needs. Install it: {REMEDY}"
            ) from None
        self._silence = (requests.exceptions.RequestException, OSError)
        self._stranger = import_module("ray.exceptions").AuthenticationError

    @property
    def sends_token(self) -> bool:
        """Whether each call bears a token of this user's (RAY_AUTH_MODE=token)."""
        return any(name.lower() == "authorization" for name in self._client._headers)

    def greet(self) -> None:
        """See that a cluster is there and runs the Ray that is installed here.

        Minor releases count: what the API promises across them was not tried.

        Raises:
            Unreachable: Nobody answers, or something else does.
            Refused: It is another Ray.
        """
        theirs = str(self._ask("GET", "/api/version").get("ray_version"))
        ours = str(self._ray.__version__)
        if not re.fullmatch(r"[0-9]+(\.[0-9a-z]+)+", theirs):  # it is shown as part of a command
            raise Unreachable(f"ray: what answers at {self.address} is not a Ray dashboard")
        if theirs.split(".")[:2] != ours.split(".")[:2]:
            raise Refused(
                f"ray: the cluster at {self.address} runs Ray {theirs}, here is {ours}. Have the cluster's here:"
                f" {REMEDY} 'ray[default]=={theirs}'"
            )

    def jobs(self) -> dict[str, RayJob]:
        """Return every submitted job that the cluster knows of, by submission id, in one call."""
        listed = self._told(lambda: self._client.list_jobs())
        return {job.submission_id: _read(job) for job in listed if job.submission_id}

    def nodes(self) -> list[Mapping[str, float]]:
        """Return what each node that is alive has in all: CPU, GPU, memory in bytes."""
        answer = self._ask("GET", f"/api/v0/nodes?detail=true&limit={MOST_NODES}")
        return [node["resources_total"] for node in answer["data"]["result"]["result"] if node["state"] == "ALIVE"]

    def submit(self, id: str, entrypoint: str, demand: Mapping[str, float], environment: Mapping[str, str]) -> None:
        """Hand a job over. One that is there already stays as it is: the answer to an earlier call was lost.

        Raises:
            Unreachable: Nobody answers; it may have been taken on.
            Refused: The cluster will not have it.
        """
        try:
            self._told(
                lambda: self._client.submit_job(
                    submission_id=id,
                    entrypoint=entrypoint,
                    runtime_env={"env_vars": dict(environment)},
                    entrypoint_num_cpus=demand["CPU"],
                    entrypoint_num_gpus=demand["GPU"],
                    entrypoint_memory=int(demand["memory"]) or None,
                ),
                passed_over="already exists",  # comes as HTTP 500 with a traceback
            )
        except _Answer:
            return

    def stop(self, id: str) -> None:
        """Ask a job to stop; one that ended, or that the cluster does not know, is passed over."""
        try:
            self._told(lambda: self._client.stop_job(id), passed_over="does not exist")
        except _Answer:
            return

    def _ask(self, method: str, endpoint: str) -> dict[str, Any]:
        return self._told(lambda: self._client.ask(method, endpoint))

    def _told(self, call: Any, passed_over: str | None = None) -> Any:
        """Return what a call returns; sort out what it raises, letting an answer with certain words through."""
        try:
            return call()
        except _Answer as answer:
            if passed_over is not None and passed_over in answer.text:
                raise
            last = answer.text.strip().splitlines()[-1:] or [""]
            said = f"ray: the cluster at {self.address} answers {answer.status}: {last[0][:300]}"
            raise (Refused if 400 <= answer.status < 500 else Unreachable)(said) from None
        except self._stranger as unknown:
            raise Refused(f"ray: the cluster at {self.address} wants a token: {str(unknown).splitlines()[0]}") from None
        except self._silence as silence:
            raise Unreachable(f"ray: no answer from {self.address} ({type(silence).__name__})") from None
        except ValueError as unreadable:  # no JSON, or not of this shape
            raise Unreachable(f"ray: what answers at {self.address} is not a Ray dashboard ({unreadable})") from None


def _client(address: str, patience: float) -> Any:
    sdk: Any = import_module("ray.dashboard.modules.job.sdk")
    ours: Any = sdk.JobSubmissionClient

    class Client(ours):
        """Ray's client with a time limit, which goes where it is told."""

        def __init__(self) -> None:
            self._client_ray_version = sdk.ray.__version__
            sdk.SubmissionClient.__init__(self, address=address)  # JobSubmissionClient's reads RAY_ADDRESS first

        def ask(self, method: str, endpoint: str) -> Any:
            answer = self._do_request(method, endpoint)
            return answer.json() if answer.status_code == 200 else self._raise_error(answer)

        def _do_request(self, method: str, endpoint: str, **asked: Any) -> Any:
            return ours._do_request(self, method, endpoint, timeout=patience, **asked)

        def _raise_error(self, answer: Any) -> None:
            raise _Answer(answer.status_code, answer.text)

    return Client()


def _read(job: Any) -> RayJob:
    return RayJob(
        id=job.submission_id,
        status=str(job.status),
        placed=job.driver_node_id is not None,
        error=str(job.error_type or ""),
        message=job.message or "",
    )
