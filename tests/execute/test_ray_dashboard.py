"""The Ray engine before a dashboard that says what a test wants: other releases, silence, lost answers, time-outs."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from harness.execute.engine import Refused, Unreachable
from harness.execute.ray_jobs import RayExecutor, entrypoint
from harness.spec.engines import RaySettings
from harness.spec.resources import Resources

WORKER = ("worker",)
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="ray is missing: pip install 'rlvr-harness[ray]'")


@dataclass
class Head:
    """What a head has to say; jobs wait until a test changes their status."""

    url: str = ""
    version: str = "ours"
    nodes: list[dict[str, float]] = field(default_factory=lambda: [{"CPU": 2.0, "GPU": 2.0, "memory": 2.0**34}])
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    drops: int = 0
    """Submissions that are taken on and then not answered."""
    breaks: int = 0
    """The HTTP status that every request is answered by: 500 without a gcs_server, 401 without a token."""

    def answer(self, path: str, body: bytes) -> tuple[int, Any]:
        """Return status and content, or -1 for no answer."""
        if self.breaks:
            return self.breaks, "Traceback ...\nRpcError: failed to connect"
        if path == "/api/version":
            return 200, {"version": "4", "ray_version": self.version, "ray_commit": "", "session_name": "s"}
        if path.startswith("/api/v0/nodes"):
            listed = [{"state": "ALIVE", "resources_total": node} for node in self.nodes]
            listed.append({"state": "DEAD", "resources_total": {"CPU": 99.0, "GPU": 99.0, "memory": 2.0**40}})
            return 200, {"result": True, "data": {"result": {"result": listed}}}
        if path == "/api/jobs/" and not body:
            return 200, list(self.jobs.values())
        if path == "/api/jobs/":
            return self._submitted(json.loads(body))
        id = path.split("/")[3]
        self.jobs[id]["status"] = "STOPPED"
        return 200, {"stopped": True}

    def _submitted(self, asked: dict[str, Any]) -> tuple[int, Any]:
        id = asked["submission_id"]
        if id in self.jobs:
            return 500, f"Traceback ...\nValueError: Job with submission_id {id} already exists."
        self.jobs[id] = {"type": "SUBMISSION", "status": "PENDING", **asked}
        self.drops -= 1
        return (-1, None) if self.drops >= 0 else (200, {"job_id": id, "submission_id": id})

    def ended(self, id: str, error: str | None = None, status: str = "FAILED") -> None:
        """End a job."""
        self.jobs[id] |= {"status": status, "error_type": error, "message": f"why {id} ended"}


@pytest.fixture
def head() -> Iterator[Head]:
    """Return a head on this machine, of the release that is installed."""
    head = Head(version=__import__("ray").__version__)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content = head.answer(self.path, self.rfile.read(int(self.headers.get("Content-Length", 0))))
            if status < 0:
                self.close_connection = True
                return
            text = (content if isinstance(content, str) else json.dumps(content)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    head.url = f"http://127.0.0.1:{server.server_port}"
    yield head
    server.shutdown()
    server.server_close()


def executor(head: Head, folder: Path, backlog: int = 1, **resources: Any) -> RayExecutor:
    return RayExecutor(folder, WORKER, Resources(**resources), RaySettings(address=head.url, backlog=backlog))


def jobs(folder: Path, count: int) -> list[Path]:
    return [folder / f"job {number}" for number in range(count)]


@needs_ray
def test_what_is_handed_over_is_what_fits_and_the_backlog_in_order(head: Head, tmp_path: Path) -> None:
    head.jobs["somebody-elses"] = {"type": "SUBMISSION", "status": "RUNNING", "entrypoint": "x"} | {
        "submission_id": "somebody-elses"
    }
    engine = executor(head, tmp_path, backlog=2, gpus=1, memory_gib=1)
    handles = engine.submit(jobs(tmp_path, 7))
    assert list(head.jobs)[1:] == handles[:4]
    assert head.jobs[handles[0]]["entrypoint"] == f"exec worker '{tmp_path}/job 0'"
    assert head.jobs[handles[0]]["entrypoint_memory"] == 2**30
    assert set(engine.poll(handles).values()) == {"queued"}
    head.jobs[handles[0]]["status"] = "RUNNING"
    head.ended(handles[1], status="SUCCEEDED")
    stands = engine.poll(handles)
    assert [stands[handle] for handle in handles] == ["running", "gone", *["queued"] * 5]
    assert list(head.jobs)[1:] == handles[:5]
    engine.cancel(handles[4:6])
    assert head.jobs[handles[4]]["status"] == "STOPPED" and handles[5] not in head.jobs
    assert engine.poll(handles)[handles[5]] == "gone"
    assert list(head.jobs)[1:] == [*handles[:5], handles[6]]
    again = engine.submit(jobs(tmp_path, 1))
    assert again != handles[:1]


@needs_ray
@pytest.mark.parametrize(
    ("resources", "fit"),
    [
        ({"gpus": 1 / 7}, 2),  # fourteen sevenths, but two cores
        ({"gpus": 2}, 1),
        ({"gpus": 4}, 0),
        ({"cpus": 1}, 2),
        ({"memory_gib": 9}, 1),  # the node has 16
    ],
)
def test_every_resource_limits_what_fits(head: Head, tmp_path: Path, resources: dict[str, Any], fit: int) -> None:
    engine = executor(head, tmp_path, backlog=1, **resources)
    engine.submit(jobs(tmp_path, 5))
    assert len(head.jobs) == fit + 1


@needs_ray
def test_seven_sevenths_are_one_device_in_rays_arithmetic(head: Head, tmp_path: Path) -> None:
    head.nodes = [{"CPU": 64.0, "GPU": 1.0, "memory": 0.0}]
    engine = executor(head, tmp_path, backlog=1, gpus=1 / 7)
    engine.submit(jobs(tmp_path, 9))
    assert len(head.jobs) == 7 + 1
    [asked] = {job["entrypoint_num_gpus"] for job in head.jobs.values()}
    assert 7 * round(asked * 10_000) <= 10_000  # Ray counts in ten-thousandths, rounded


@needs_ray
def test_one_that_ray_failed_for_waiting_keeps_its_handle_and_waits_again(head: Head, tmp_path: Path) -> None:
    engine = executor(head, tmp_path, gpus=1)
    [handle] = engine.submit(jobs(tmp_path, 1))
    for turn in (f"{handle}.2", f"{handle}.3"):
        head.ended(list(head.jobs)[-1], "JOB_SUPERVISOR_ACTOR_START_TIMEOUT")
        assert engine.poll([handle]) == {handle: "queued"}
        assert list(head.jobs)[-1] == turn
    later = executor(head, tmp_path, gpus=1)
    head.jobs[f"{handle}.3"]["status"] = "RUNNING"
    assert later.poll([handle]) == {handle: "running"}
    later.cancel([handle])
    assert later.poll([handle]) == engine.poll([handle]) == {handle: "gone"}
    assert f"why {handle}.2 ended" in engine.log.read_text()


@needs_ray
@pytest.mark.parametrize("error", ["JOB_SUPERVISOR_ACTOR_DIED", "JOB_ENTRYPOINT_COMMAND_ERROR"])
def test_one_that_failed_otherwise_is_gone_and_its_reason_kept(head: Head, tmp_path: Path, error: str) -> None:
    engine = executor(head, tmp_path, gpus=1)
    [handle] = engine.submit(jobs(tmp_path, 1))
    head.ended(handle, error)
    assert engine.poll([handle]) == {handle: "gone"}
    assert list(head.jobs) == [handle]
    assert f"{error}: why {handle} ended" in engine.log.read_text()


@needs_ray
def test_what_ray_says_of_a_failure_is_kept_without_secrets(
    head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "opensesame-123456")
    engine = executor(head, tmp_path)
    [handle] = engine.submit(jobs(tmp_path, 1))
    head.ended(handle, "JOB_ENTRYPOINT_COMMAND_ERROR")
    head.jobs[handle]["message"] = "its last lines: no such key: opensesame-123456"
    engine.poll([handle])
    said = engine.log.read_text()
    assert "no such key: [SOME_API_KEY]" in said
    assert "opensesame" not in said


@needs_ray
def test_workers_get_the_folder_for_local_copies_and_no_address_of_a_store(
    head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_SCRATCH", "/local")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://me:hunter2@minio:9000")
    executor(head, tmp_path).submit(jobs(tmp_path, 1))
    (asked,) = head.jobs.values()
    assert asked["runtime_env"]["env_vars"].get("HARNESS_SCRATCH") == "/local"
    assert "minio" not in json.dumps(asked)


@needs_ray
def test_one_that_no_node_can_hold_is_let_go_once_ray_gives_up(head: Head, tmp_path: Path) -> None:
    engine = executor(head, tmp_path, gpus=8)
    [handle] = engine.submit(jobs(tmp_path, 1))
    assert engine.poll([handle]) == {handle: "queued"}  # a cluster that grows by itself may add such a node
    head.ended(handle, "JOB_SUPERVISOR_ACTOR_START_TIMEOUT")
    assert engine.poll([handle]) == {handle: "gone"}


@needs_ray
def test_an_answer_that_was_lost_makes_no_second_job(head: Head, tmp_path: Path) -> None:
    engine = executor(head, tmp_path, backlog=5, gpus=1)
    head.drops = 1
    handles = engine.submit(jobs(tmp_path, 3))  # the first is taken on, the answer lost; the others wait
    assert list(head.jobs) == handles[:1]
    assert set(engine.poll(handles).values()) == {"queued"}
    assert list(head.jobs) == handles


@needs_ray
def test_a_head_that_is_ill_silent_or_no_head_is_unreachable(head: Head, tmp_path: Path) -> None:
    engine = executor(head, tmp_path, gpus=1)
    handles = engine.submit(jobs(tmp_path, 3))
    head.breaks = 500
    for ask in (engine.poll, engine.cancel):
        with pytest.raises(Unreachable, match="answers 500: RpcError: failed to connect"):
            ask(handles)
    with pytest.raises(Unreachable):
        engine.submit(jobs(tmp_path, 1))
    head.breaks = 0
    head.jobs.clear()
    assert engine.poll(handles) == dict.fromkeys(handles, "gone")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = RaySettings(address=f"http://127.0.0.1:{silent.getsockname()[1]}")
        engine = RayExecutor(tmp_path, WORKER, Resources(), settings, patience=0.2)
        with pytest.raises(Unreachable, match=r"no answer from http://127\.0\.0\.1:"):
            engine.poll(handles)


@needs_ray
@pytest.mark.parametrize("status", [401, 403])
def test_a_cluster_that_wants_a_token_says_nothing_of_jobs(head: Head, tmp_path: Path, status: int) -> None:
    engine = executor(head, tmp_path, gpus=1)
    handles = engine.submit(jobs(tmp_path, 1))
    head.breaks = status
    with pytest.raises(Refused, match="wants a token"):
        engine.submit(jobs(tmp_path, 1))
    for ask in (engine.poll, engine.cancel):
        with pytest.raises(Unreachable, match="wants a token"):
            ask(handles)


@needs_ray
def test_what_waits_here_is_gone_for_a_later_driver(head: Head, tmp_path: Path) -> None:
    engine = executor(head, tmp_path, backlog=1, gpus=2)
    handles = engine.submit(jobs(tmp_path, 4))
    engine.close()
    stands = executor(head, tmp_path, gpus=2).poll(handles)
    assert [stands[handle] for handle in handles] == ["queued", "queued", "gone", "gone"]


@needs_ray
@pytest.mark.parametrize("version", ["2.9.3", "3.0.0", "2.6.0"])
def test_another_ray_than_ours_is_told_with_the_remedy(head: Head, tmp_path: Path, version: str) -> None:
    head.version = version
    with pytest.raises(Refused, match=rf"runs Ray {version}, here is .*'ray\[default\]=={version}'$") as told:
        executor(head, tmp_path).submit(jobs(tmp_path, 1))
    assert "\n" not in str(told.value)
    head.version = "2.60'; touch pwned #"
    with pytest.raises(Unreachable, match="is not a Ray dashboard"):
        executor(head, tmp_path).submit(jobs(tmp_path, 1))
    assert not head.jobs


def test_a_missing_package_is_told_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(Refused, match=r"^ray: ray is missing here.*: pip install 'rlvr-harness\[ray\]'$"):
        RayExecutor(tmp_path, WORKER, Resources(), RaySettings(address="http://127.0.0.1:8265"))


@needs_ray
@pytest.mark.parametrize("name", ["line\nbreak", "tab\tbed", "nul\0", "undecodable\udcff", "right\u202eleft"])
def test_paths_that_no_line_should_hold_are_refused(head: Head, tmp_path: Path, name: str) -> None:
    engine = executor(head, tmp_path)
    with pytest.raises(Refused, match="characters that no line of shell should hold"):
        engine.submit([tmp_path / "good", tmp_path / name])
    assert not head.jobs


def test_a_shell_reads_an_entrypoint_as_the_words_that_it_was_made_of(tmp_path: Path) -> None:
    words = ("printf", "%s\\n", "$HOME", "`id`", "a  b", "'", '"', "*", "; exit 3", "\\", "!x", "~", "#")
    done = subprocess.run(entrypoint(words, tmp_path / "$(id)"), shell=True, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [*words[2:], str(tmp_path / "$(id)")]


def test_secrets_are_not_passed(tmp_path: Path) -> None:
    settings = RaySettings(address="http://127.0.0.1:8265")
    for name in ("HF_TOKEN", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "MY_PASSWORD"):
        with pytest.raises(Refused, match=f"{name} would be readable at the dashboard"):
            RayExecutor(tmp_path, WORKER, Resources(), settings, environment={name: "x"})


def test_no_address_or_no_such_address_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    with pytest.raises(Refused, match="no address"):
        RayExecutor(tmp_path, WORKER, Resources(), RaySettings())
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "ray://127.0.0.1:10001")
    with pytest.raises(Refused, match="is no address of a dashboard"):
        RayExecutor(tmp_path, WORKER, Resources(), RaySettings())


@needs_ray
def test_the_address_may_come_from_the_environment(head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", f"{head.url}/")
    engine = RayExecutor(tmp_path, WORKER, Resources(), RaySettings())
    assert engine.name == f"ray {head.url}"
    assert engine.lasting


@needs_ray
@pytest.mark.parametrize(("own", "goes"), [("http://127.0.0.1:9", True), ("http://127.0.0.1:8", False), ("", False)])
def test_a_token_goes_only_where_the_users_own_environment_says(tmp_path: Path, own: str, goes: bool) -> None:
    program = f"""if True:
    from pathlib import Path
    from harness.execute.ray_jobs import RayExecutor, RaySettings, Resources
    RayExecutor(Path({str(tmp_path)!r}), ["worker"], Resources(), RaySettings(address="http://127.0.0.1:9"))
    """
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 32, "RAY_API_SERVER_ADDRESS": own}
    done = subprocess.run([sys.executable, "-c", program], env=os.environ | token, capture_output=True, text=True)
    assert (done.returncode == 0) == goes, done.stderr
    assert goes or "your Ray token would go where the project says, http://127.0.0.1:9" in done.stderr


def test_importing_the_engine_imports_no_ray() -> None:
    program = "import sys, harness.execute.ray_jobs; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
