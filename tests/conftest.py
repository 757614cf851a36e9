"""A project of a test's own, with results made by hand: committed job directories without any training.

Results go through the same claim and commit as real ones; only their numbers are chosen. `Made` and `Scripted` reach
the tests as fixtures; for annotations, import them from `tests.conftest` under TYPE_CHECKING.
"""

import hashlib
import json
import os
import pty
import re
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from harness.campaign.bench import Bench
from harness.execute.engine import Standing
from harness.plan import PlannedBase, PlannedRun
from harness.record.atomic import write_json
from harness.record.ending import Reason as Ended
from harness.record.job import JobDirectory
from harness.record.layout import Store
from harness.record.shards import write_shard
from harness.record.verdict import (
    SCHEMA,
    CellSummary,
    Estimate,
    Outcome,
    PredictionVerdict,
    Reason,
    Registered,
    Verdict,
)
from harness.spec.shelf import find_shelf

os.environ.pop("COLUMNS", None)  # a terminal's width; processes of tests side by side are given one

PROTOCOL = """
title: A protocol of the tests
task: {name: addition, largest_operand: 99, split_seed: 5, evaluation_problems: 500, validation_problems: 500,
       training_prompts: 160}
bases:
  llama: {architecture: llama, hidden_size: 64, layers: 2, heads: 4, intermediate_size: 128,
          pretraining: &made {steps: 100, batch_size: 32, learning_rate: 1.0e-3, seed: 1}}
  qwen: {architecture: qwen3, hidden_size: 64, layers: 2, heads: 4, intermediate_size: 128, pretraining: *made}
default_bases: [llama]
recipe: {scaling: {policy: proportional, factor: 2.0}, target_modules: all-linear, lora_dropout: 0.0}
grpo: {learning_rate: 1.0e-3, lr_scheduler_type: constant, num_train_epochs: 1, per_device_train_batch_size: 64,
       num_generations: 8, max_completion_length: 5, bf16: false}
sft: {learning_rate: 1.0e-3, lr_scheduler_type: constant, num_train_epochs: 1, per_device_train_batch_size: 8,
      bf16: false}
evaluation: {samples_per_problem: 4, temperature: 1.0}
thresholds: {collapsed_share: 0.25, trained_share: 0.5, healthy_gain: 0.12, source: chosen for these tests}
pilot: {rule: one-standard-error, healthy_rank: 8, learning_rates: [1.0e-4, 1.0e-3, 1.0e-2], steps: [10, 20],
        enough_gain: 0.1, seeds: 3, base_seed: 1001, split_seed: 6}
"""
"""20 updates of 8 prompts. A base at .4 makes runs below .1 collapsed and runs above .46 trained."""

CLAIM = """
title: Low ranks live
claim: GRPO at ranks 8 and 16 collapses less often than not.
source: a claim of the tests
design: {seeds: 6}
predictions:
  - {id: live, kind: collapse_probability, role: primary, statement: Runs live at both ranks., event: collapsed,
     rationale: Below one half a user keeps the policy., direction: below, probability: 0.5, among: {rank: [8, 16]}}
"""
"""Twelve runs on a base: no collapse in 6 at either rank supports it (at one half the chance is 1/64 = .016), all of
twelve refutes it, which is about the mean over the ranks."""

TOLD_OF_TERMINALS = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TTY_INTERACTIVE"}
"""Variables that the terminal of a test does not inherit."""
SOFTWARE = dict.fromkeys(("torch", "transformers", "trl", "peft"), "1.0")
UPDATES = 20
PROBLEMS, SAMPLES = 10, 100

Shards = Mapping[str, Sequence[Mapping[str, Any]]]
"""Rows by kind."""


FOUND_BASES = """bases:
  llama: {hub: lab/mini-llama, revision: main, commit: %s, family: llama, shape: {architecture: llama, hidden_size: 16,
    layers: 1, intermediate_size: 24, heads: 2, kv_heads: 1, vocabulary: 99}}
default_bases""" % ("c0ffee1234" * 4)


LONG = (
    "manual/test_commands_shown.py",
    "execute/test_commands_on_engines.py",
    "execute/test_engines_under_chaos.py",
    "exchange/test_delivery.py",
    "store/test_killed.py",
    "execute/test_ray_jobs.py",
    "execute/test_chaos.py",
    "train/test_processes.py",
)
"""Files of tests that take a minute or more, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first, in the order of their names here."""
    tests = Path(__file__).parent
    places = {tests / name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path, len(LONG)))


@dataclass
class Made:
    """A project folder with a protocol `bench` and a claim `live`, and a store to fill."""

    root: Path

    def __post_init__(self) -> None:
        self.root.mkdir(exist_ok=True)
        (self.root / "pyproject.toml").write_text('[tool.harness]\nprotocol = "bench"\n')
        self.declare("runs/bench.yaml", PROTOCOL)
        self.declare("hypotheses/live.yaml", CLAIM)

    @property
    def store(self) -> Store:
        """The project's store."""
        return Store(self.root / ".harness")

    @property
    def protocol_text(self) -> str:
        """The text of the protocol `bench` as it is made."""
        return PROTOCOL

    @property
    def claim_text(self) -> str:
        """The text of the claim `live` as it is made."""
        return CLAIM

    def declare(self, path: str, text: str) -> Path:
        """Write a declaration."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def in_text(self, task: str) -> None:
        """Give the protocol `bench` a task in text and, as its only base, a model of the Hub at a declared commit."""
        text = re.sub(r"task: \{.*?\}\n", lambda _: task, PROTOCOL, count=1, flags=re.DOTALL)
        text = re.sub(r"bases:\n.*?default_bases", lambda _: FOUND_BASES, text, count=1, flags=re.DOTALL)
        self.declare("runs/bench.yaml", text.replace("temperature: 1.0}", "temperature: 1.0, max_tokens: 8}"))

    def bench(self) -> Bench:
        """Return a bench that reads the declarations as they are now."""
        return Bench(find_shelf(self.root), self.store, "bench")

    def results(self, accuracy: Callable[[PlannedRun], float | None], *names: str, base: float = 0.4) -> None:
        """Commit the bases (at accuracy `base`) and runs that claims need (default: live); None leaves a run out."""
        bench = self.bench()
        runs = bench.plan(bench.hypotheses(names or ("live",)), bench.bases(()))
        for planned in runs.bases:
            self.base(planned, base)
        for run in runs.runs:
            value = accuracy(run)
            if value is not None:
                self.run(run, value)

    def base(self, planned: PlannedBase, accuracy: float = 0.4, kept: Shards | None = None) -> JobDirectory:
        """Commit a base unless it is there."""
        job = JobDirectory(self.store.bases / planned.id)
        if job.manifest() is None:
            job.create({"id": planned.id, "identity": planned.identity})
            self.finish(job.path, accuracy, kept)
        return job

    def run(
        self, planned: PlannedRun, accuracy: float, kept: Shards | None = None, weights: bytes = b"", **facts: Any
    ) -> JobDirectory:
        """Commit a run unless it is there."""
        job = JobDirectory(self.store.runs / planned.id)
        if job.manifest() is None:
            job.create({"id": planned.id, "identity": planned.identity})
            self.finish(job.path, accuracy, kept, weights, **facts)
        return job

    def finish(
        self, path: Path, accuracy: float, kept: Shards | None = None, weights: bytes = b"", **facts: Any
    ) -> None:
        """Claim the job at `path` and commit a result of this accuracy on both splits, in steps of .001.

        Rows in `kept` stand in place of those made up for their kind; without `weights` there is no file of them.
        """
        job = JobDirectory(path)
        identity = job.spec()["identity"]
        base = identity["kind"] == "base"
        looks = [(0 if base else UPDATES, "evaluation")]
        looks += [(step, "validation") for step in ([0] if base else identity["validate_at"])]
        shards: dict[str, list[dict[str, Any]]] = {
            "evaluation": [row for step, split in looks for row in scored(accuracy, step, split)]
        }
        if not base:
            shards["steps"] = [{"step": i, "loss": 1 / i, "reward": accuracy} for i in range(1, UPDATES + 1)]
        said = {**(_base_facts if base else _run_facts)(job.id, accuracy), **facts}
        self.commit(job, said, {**shards, **(kept or {})}, weights)

    def commit(self, job: JobDirectory, facts: Mapping[str, Any], shards: Shards, weights: bytes = b"") -> None:
        """Claim a job and commit a result with these facts and rows."""
        attempt = job.claim({"engine": "test"})
        assert attempt is not None, f"{job.path} is {job.state()}"
        write_json(attempt.stage / "result.json", facts)
        for kind, rows in shards.items():
            write_shard(attempt.stage, kind, rows)
        if weights:
            full = job.spec()["identity"]["cell"]["adapter"]["method"] == "full"
            (attempt.stage / f"{'model' if full else 'adapter_model'}.safetensors").write_bytes(weights)
        assert attempt.commit()
        attempt.exit(Ended.OK)

    def fail(self, path: Path, message: str) -> None:
        """Claim the job at `path` and leave it with an error of its own."""
        attempt = JobDirectory(path).claim({"engine": "test"})
        assert attempt is not None
        attempt.exit(Ended.USER_ERROR, message)


def scored(accuracy: float, step: int, split: str) -> list[dict[str, Any]]:
    """Return evaluation rows of this accuracy over ten problems; greedy answers are right for the first ones."""
    right = round(accuracy * PROBLEMS * SAMPLES)
    return [
        {
            "step": step,
            "split": split,
            "problem": i,
            "samples": SAMPLES,
            "correct": right // PROBLEMS + (i < right % PROBLEMS),
            "greedy_correct": i < round(accuracy * PROBLEMS),
        }
        for i in range(PROBLEMS)
    ]


def _at_once(_: int) -> None:
    """Stand in for a flush to the disk, which takes most of the time of a small commit."""


def _base_facts(job_id: str, accuracy: float) -> dict[str, Any]:
    scores = {"accuracy": accuracy, "validation_accuracy": accuracy}
    return {"job": job_id, **scores, "updates": 100, "parameters": 1000, "base_weights": "w", "software": SOFTWARE}


def _run_facts(job_id: str, accuracy: float) -> dict[str, Any]:
    return {
        "job": job_id,
        "accuracy": accuracy,
        "updates": UPDATES,
        "first_update_norm": 0.25,
        "final_update_norm": 2.5,
        "adapter": {"multipliers": [2.0], "trainable_parameters": 100, "trainable_share": 0.1},
        "base_weights": "w",
        "base_weights_after": "w",
        "first_rollouts": {"sha256": hashlib.sha256(job_id.encode()).hexdigest()},
        "software": SOFTWARE,
        "trainer": {"config": "GRPOConfig", "declared": {}, "set_by_harness": {"seed": 1}, "library_defaults": {}},
    }


Act = Callable[[Path, int], None]


@dataclass
class Scripted:
    """An executor that does to each job what a script says, given the job's folder and how often it was started."""

    act: Act
    log: Path = Path("executor.log")
    name: str = "scripted"
    lasting: bool = False
    interval: float = 0.0
    started: list[str] = field(default_factory=list[str])
    """Job ids, in the order in which they were started."""
    closed: bool = False
    _queued: list[str] = field(default_factory=list[str])

    def submit(self, jobs: Sequence[Path]) -> list[str]:
        """Queue jobs."""
        handles = [str(job) for job in jobs]
        assert not set(handles) & set(self._queued), "submitted twice"
        self._queued += handles
        return handles

    def poll(self, handles: Sequence[str]) -> dict[str, Standing]:
        """Execute the first queued job to its end, and say where all stand."""
        if self._queued:
            path = Path(self._queued.pop(0))
            self.started.append(path.name)
            self.act(path, self.started.count(path.name))
        return {handle: "queued" if handle in self._queued else "gone" for handle in handles}

    def cancel(self, handles: Sequence[str]) -> None:
        """Nothing here runs long enough to be stopped."""
        raise AssertionError(f"nobody cancels {handles} in these tests")

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True


@dataclass
class Hub:
    """A server that speaks the Hub's language, with models and data sets of the test's own at several revisions."""

    url: str = ""
    asked: list[str] = field(default_factory=list[str])
    """Paths, in the order in which they were asked for."""
    files: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict[str, dict[str, dict[str, bytes]]])
    """Repository: commit: file: content; that of a data set is called `datasets/OWNER/NAME`."""
    refs: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    """Repository: branch or tag: commit."""
    gated: set[str] = field(default_factory=set[str])

    def put(self, repo: str, commit: str, files: dict[str, bytes], *refs: str) -> None:
        """Put one commit of a repository there, and let branches name it."""
        self.files.setdefault(repo, {})[commit] = files
        self.refs.setdefault(repo, {}).update(dict.fromkeys(refs, commit))

    def ask(self, code: str, said: str, home: Path, offline: bool = False) -> Any:
        """Return what a fresh process prints that takes this server for the Hub, and keeps its copies in `home`.

        The library reads its environment when it is imported.
        """
        environment = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "1" if offline else "0",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "OMP_NUM_THREADS": "1",
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": ":".join(sys.path),
        }
        command = [sys.executable, "-c", code, said]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=home, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body for a path."""
        self.asked.append(path)
        parts = path.split("?")[0].strip("/").split("/")
        if parts[0] == "api":
            repo = "/".join(parts[2:4] if parts[1] == "models" else parts[1:4])
            return self._about(repo, parts[5] if len(parts) > 5 else "main", parts[4:5])
        of_set = parts[0] == "datasets"
        repo, rest = "/".join(parts[: 2 + of_set]), parts[2 + of_set :]
        content = self.files.get(repo, {}).get("".join(rest[1:2]), {}).get("/".join(rest[2:]))
        if rest[:1] != ["resolve"] or content is None:
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        tag = hashlib.sha256(content).hexdigest()
        return 200, {"ETag": f'"{tag}"', "X-Repo-Commit": rest[1]}, content

    def _about(self, repo: str, revision: str, kind: list[str]) -> tuple[int, dict[str, str], bytes]:
        if repo in self.gated:
            return 403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"}, b""
        if repo not in self.files:
            return 404, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}, b""
        commit = self.refs[repo].get(revision, revision)
        if commit not in self.files[repo]:
            return 404, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"}, b""
        here = self.files[repo][commit]
        if kind == ["tree"]:
            tree = [{"type": "file", "path": n, "size": len(here[n]), "oid": "0" * 40} for n in here]
            return 200, {}, json.dumps(tree).encode()
        name = repo.removeprefix("datasets/")
        about = {"id": name, "modelId": name, "sha": commit, "siblings": [{"rfilename": name} for name in here]}
        return 200, {}, json.dumps(about).encode()


@pytest.fixture
def hub() -> Iterator[Hub]:
    """Return a server on this machine that holds nothing yet."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = hub.answer(unquote(self.path))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    yield hub
    server.shutdown()
    server.server_close()


def pytest_report_header() -> str:
    """Return the versions that results rest on."""
    return ", ".join(f"{name} {version(name)}" for name in ("torch", "trl", "peft", "duckdb", "pydantic"))


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """Return a project of the test's own, with nothing in its store; whether bytes reach the disk is not tested."""
    monkeypatch.setattr(os, "fsync", _at_once)
    return Made(tmp_path / "project")


@pytest.fixture
def verdict() -> Verdict:
    """Return a supported verdict with one prediction, written by hand; vary it with `model_copy(update=...)`."""
    estimate = Estimate(
        name="P(collapsed) r=8",
        unit="probability",
        value=0.0,
        low=None,
        high=1 / 3,
        refute_low=None,
        refute_high=0.4,
        method="by hand",
        n_runs=5,
    )
    cell = CellSummary(name="grpo-lora-r8", planned=5, n_runs=5, mean=0.5, sd=0.1, labels={"trained": 5})
    prediction = PredictionVerdict(
        id="live",
        kind="collapse_probability",
        role="primary",
        statement="Runs live.",
        outcome=Outcome.SUPPORTED,
        reason=Reason.IN_SUPPORT,
        how=None,
        detail="collapsed 0/5 at r=8",
        needs="P < 0.5",
        alpha=0.05,
        refute_alpha=0.05,
        look=1,
        looks=(5,),
        settled=True,
        p_support=0.03125,
        p_refute=None,
        attainable_p=None,
        q=None,
        runs_to_resolve=None,
        assumptions="independent runs",
        failed_assumptions=(),
        estimates=(estimate,),
        effect_sizes=(),
        cells=(cell,),
    )
    return Verdict(
        schema_version=SCHEMA,
        hypothesis="claim",
        title="A title",
        claim="A claim that says something.",
        base="llama",
        base_id="llama64-0123456789ab",
        base_accuracy=0.1 + 0.2,
        protocol="bench",
        outcome=Outcome.SUPPORTED,
        reading="Supported: live (collapsed 0/5 at r=8).",
        recipe=("lr 0.001 constant",),
        collapsed_below=0.075,
        trained_above=0.36,
        n_items=500,
        predictions=(prediction,),
        cells=(cell,),
        runs=(),
        planned_runs=5,
        used_runs=5,
        missing=(),
        registered=Registered(hash="f" * 64, confirmatory=True, deviations=()),
        not_shown=("anything else",),
        inputs="a" * 64,
        software={"harness": "0"},
    )


@pytest.fixture
def scripted() -> type[Scripted]:
    """Return the class of scripted executors."""
    return Scripted


class Published:
    """Published sets in miniature, written in the layout and the columns that each has on the Hub."""

    @staticmethod
    def gsm8k(folder: Path, split: str = "train", rows: int = 1100, start: int = 0) -> list[dict[str, Any]]:
        """Write a split of GSM8K as Parquet and return its rows; row i asks for i and 2 (i + 1)."""
        numbers = ((i, 2 * (i + 1), 3 * i + 2) for i in range(start, start + rows))
        made = [
            {
                "question": f"Ann has {a} pears and buys {b}.  How many has she?",
                "answer": f"She has {a}+{b} = <<{a}+{b}={c}>>{c:,}.\n#### {c:,}",
            }
            for a, b, c in numbers
        ]
        Published.parquet(folder / "main" / f"{split}-00000-of-00001.parquet", made)
        return made

    @staticmethod
    def deepmath(folder: Path, rows: int = 1200) -> list[dict[str, Any]]:
        """Write DeepMath-103K as two Parquet files and return its rows; row i has difficulty 3, 3.5, ... 9 in turn."""
        made = [
            {
                "question": f"Evaluate the limit of $\\frac{{{i}n}}{{2n+1}}$.",
                "final_answer": f"\\dfrac{{{i}}}{{2}}",
                "difficulty": 3 + (i % 13) / 2,
                "topic": "Mathematics -> Calculus",
                "r1_solution_1": f"It tends to {i / 2}. \\boxed{{\\dfrac{{{i}}}{{2}}}}",
            }
            for i in range(rows)
        ]
        half = rows // 2
        Published.parquet(folder / "data" / "train-00000-of-00002.parquet", made[:half])
        Published.parquet(folder / "data" / "train-00001-of-00002.parquet", made[half:])
        return made

    @staticmethod
    def math500(folder: Path, rows: int = 500) -> list[dict[str, Any]]:
        """Write MATH-500 as JSON lines and return its rows; row i has the answer 1/(i + 2)."""
        made = [
            {
                "problem": f"What is the reciprocal of ${i + 2}$?",
                "solution": f"It is $\\boxed{{\\frac{{1}}{{{i + 2}}}}}$.",
                "answer": f"\\frac{{1}}{{{i + 2}}}",
                "subject": "Prealgebra",
                "level": 1 + i % 5,
                "unique_id": f"test/prealgebra/{i}.json",
            }
            for i in range(rows)
        ]
        Published.lines(folder / "test.jsonl", made)
        return made

    @staticmethod
    def parquet(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows as one Parquet file."""
        file.parent.mkdir(parents=True, exist_ok=True)
        table: Any = import_module("pyarrow").Table.from_pylist([dict(row) for row in rows])
        import_module("pyarrow.parquet").write_table(table, file)

    @staticmethod
    def lines(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows as JSON lines."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="session")
def published() -> type[Published]:
    """Return the class that writes published sets in miniature."""
    return Published


@pytest.fixture(scope="session")
def terminal() -> Callable[..., str]:
    """Return a function that runs a command on a terminal of so many columns and returns all that came there."""

    def run(command: Sequence[str], columns: int = 80, cwd: Path | None = None, **variables: str) -> str:
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, columns))
        known = {name: value for name, value in os.environ.items() if name not in TOLD_OF_TERMINALS}
        environment = {**known, "PYTHONPATH": ":".join(sys.path), "TERM": "xterm-256color", **variables}
        asked = subprocess.Popen(command, cwd=cwd, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        said = b""
        with suppress(OSError):  # which is how Linux tells that the other side has closed
            while part := os.read(ours, 65536):
                said += part
        asked.wait()
        os.close(ours)
        return said.decode().replace("\r\n", "\n")

    return run


@pytest.fixture(scope="session")
def trl_output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of what TRL wrote just now (`tests/trl_output.py` says what); none may be changed."""
    folder = tmp_path_factory.mktemp("trl")
    command = [sys.executable, str(Path(__file__).with_name("train") / "trl_output.py"), str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return folder
