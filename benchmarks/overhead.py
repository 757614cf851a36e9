"""What the harness costs beside a plain script that makes the same trainer call.

    python benchmarks/overhead.py --protocol smoke --pairs 5          # one run, in CPU seconds
    python benchmarks/overhead.py --protocol smoke --whole --sample 1 # the whole run set, in wall seconds
    python benchmarks/overhead.py --protocol smoke --start            # ways to pay for the import

One run: the harness's worker and `plain_grpo.py` take turns with the same base, prompts, seed and trainer fields; each
pair's adapters must agree to the bit, so both did the same work. `training` is the trainer's construction and its
`train()`. `process` is the worker from fork to the commit, beside the script without its import; the script scores
sampled answers only, keeps no log of updates, no spectrum and no checksums.

Whole: `harness test` in a fresh store, beside the script started once a run, one after the other. Both sides find the
base ready. With --sample N the script runs N seeds of each cell and the rest is extrapolated from the cell's mean.

Everything is single-threaded; CPU seconds are comparable on a shared machine, wall seconds are not. Linux or macOS.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.execute import LocalExecutor
from harness.execute.local import available_cores
from harness.execute.worker import server, worker
from harness.plan import PlannedRun, plan
from harness.plan.runset import planned_base, planned_run
from harness.record.atomic import read_json, sha256, write_json
from harness.record.job import JobDirectory
from harness.record.layout import Store
from harness.record.process import THREADS
from harness.source import splits
from harness.spec import Cell, Lora, Protocol
from harness.spec.adapter import RankStabilised
from harness.spec.shelf import Shelf, find_shelf

PLAIN = Path(__file__).with_name("plain_grpo.py")
ENVIRONMENT = {**os.environ, **THREADS, "HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
SILENT = {"report_to": "none", "save_strategy": "no", "disable_tqdm": True}
SET_BY_HARNESS = {**SILENT, "logging_strategy": "steps", "logging_steps": 1}
RANKS, START_RUNS = (8, 128), 6


@dataclass(frozen=True)
class Bench:
    """A protocol, and a store in which its base is made once."""

    shelf: Shelf
    name: str
    cache: Store
    scratch: Path

    @property
    def protocol(self) -> Protocol:
        """The protocol."""
        return self.shelf.protocol(self.name)

    @property
    def base(self) -> str:
        """The name of the base that runs start from."""
        return self.protocol.default_bases[0]

    def prepare(self) -> None:
        """Make the base unless it is there."""
        planned = planned_base(self.base, self.protocol)
        job = JobDirectory(self.cache.bases / planned.id)
        job.create({"id": planned.id, "identity": planned.identity})
        executed(self.cache.root / "executor.log", [job])

    def fresh_store(self, name: str) -> Store:
        """Return a new store that holds the base and nothing else."""
        store = Store(self.scratch / name)
        planned = planned_base(self.base, self.protocol)
        shutil.copytree(self.cache.bases / planned.id, store.bases / planned.id)
        return store

    def run(self, rank: int, index: int) -> PlannedRun:
        """Return a GRPO run at the protocol's scaling."""
        cell = Cell(adapter=Lora(rank=rank, scaling=self.protocol.recipe.scaling))
        return planned_run(planned_base(self.base, self.protocol), cell, index, self.protocol)

    def plain(self, run: PlannedRun, output: Path) -> dict[str, Any]:
        """Execute a run by the plain script; return what it says and its wall seconds."""
        output.mkdir(parents=True)
        parameters = output / "parameters.json"
        write_json(parameters, self._parameters(run, output))
        began = time.monotonic()
        command = [sys.executable, str(PLAIN), str(parameters)]
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return {**json.loads(done.stdout.splitlines()[-1]), "wall_seconds": time.monotonic() - began}

    def _parameters(self, run: PlannedRun, output: Path) -> dict[str, Any]:
        adapter, recipe, parts = run.cell.adapter, self.protocol.recipe, splits(self.protocol.task)
        assert isinstance(adapter, Lora)
        own = {"seed": run.identity["seed"], "output_dir": str(output / "trainer")}
        return {
            "algorithm": run.cell.algorithm,
            "base": str(self.cache.bases / run.base.id / "result"),
            "training": [[item.prompt, item.answer] for item in parts.training],
            "evaluation": [[item.prompt, item.answer] for item in parts.evaluation],
            "samples_per_problem": self.protocol.evaluation.samples_per_problem,
            "temperature": self.protocol.evaluation.temperature,
            "trainer": {**run.identity["trainer"], **SET_BY_HARNESS, **own},
            "lora": {
                "task_type": "CAUSAL_LM",
                "r": adapter.rank,
                "lora_alpha": adapter.alpha(),
                "use_rslora": isinstance(adapter.scaling, RankStabilised),
                "lora_dropout": recipe.lora_dropout,
                "target_modules": recipe.target_modules,
                "bias": "none",
            },
            "output": str(output),
        }


def executed(log: Path, jobs: list[JobDirectory], slots: int = 1, *, fork: bool = True) -> None:
    """Execute jobs that are not committed, and raise where one gives no result."""
    executor = LocalExecutor(log, worker(), [None] * slots, server=server() if fork else None)
    try:
        handles = executor.submit([job.path for job in jobs if job.manifest() is None])
        while set(executor.poll(handles).values()) - {"gone"}:
            time.sleep(0.02)
    finally:
        executor.close()
    for job in jobs:
        if job.manifest() is None:
            raise RuntimeError(f"{job.path}: {job.last_exit()}; see {log}")


def job_of(store: Store, run: PlannedRun) -> JobDirectory:
    """Return the job of a run in a store."""
    job = JobDirectory(store.runs / run.id)
    job.create({"id": run.id, "identity": run.identity})
    return job


def pairs(bench: Bench, count: int) -> dict[str, Any]:
    """Return CPU seconds of the harness and of the plain script, pair by pair, and the medians of their ratios."""
    found: dict[str, Any] = {}
    for rank in RANKS:
        rows = [_pair(bench, rank, index) for index in range(count)]
        found[f"r={rank}"] = {
            "pairs": rows,
            **{
                f"{part}_{what}": statistics.median(_value(row, part, what) for row in rows)
                for part in ("training", "process")
                for what in ("harness", "plain", "ratio")
            },
        }
    return found


def _pair(bench: Bench, rank: int, index: int) -> dict[str, float]:
    run, folder = bench.run(rank, index), bench.scratch / f"pair-{rank}-{index}"
    store = bench.fresh_store(f"store-{rank}-{index}")
    job, said = job_of(store, run), {}
    for side in ("harness", "plain") if index % 2 else ("plain", "harness"):
        if side == "plain":
            said = bench.plain(run, folder)
        else:
            executed(store.root / "executor.log", [job])
    ours, theirs = (sha256(path / "adapter_model.safetensors") for path in (job.result, folder))
    if ours != theirs:
        raise RuntimeError(f"rank {rank}, seed {index}: the adapters differ, so the two did not do the same work")
    timing = read_json(job.attempts()[-1] / "timing.json")
    return {
        "training_harness": timing["train_cpu_seconds"],
        "training_plain": said["train_cpu_seconds"],
        "process_harness": timing["cpu_seconds"],
        "process_plain": said["cpu_seconds"] - said["import_cpu_seconds"],
        "import_plain": said["import_cpu_seconds"],
    }


def _value(row: dict[str, float], part: str, what: str) -> float:
    return row[f"{part}_harness"] / row[f"{part}_plain"] if what == "ratio" else row[f"{part}_{what}"]


def whole(bench: Bench, hypothesis: str, sample: int) -> dict[str, Any]:
    """Return wall seconds of a whole test by the harness, and of the plain script run by run."""
    runs = plan({hypothesis: bench.shelf.hypothesis(hypothesis)}, bench.protocol, [bench.base]).runs
    store = bench.fresh_store("whole")
    command = [sys.executable, "-c", "from harness.cli import main; main()", "-q", "--store", str(store.root)]
    began = time.monotonic()
    subprocess.run([*command, "test", hypothesis, "--protocol", bench.name], check=True, stdout=subprocess.DEVNULL)
    harness = time.monotonic() - began
    by_cell: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        if run.index < sample:
            said = bench.plain(run, bench.scratch / f"plain-{run.id}")
            by_cell[run.cell.slug()].append(said["wall_seconds"])
    seeds = max(run.index for run in runs) + 1
    plain = sum(statistics.mean(walls) * seeds for walls in by_cell.values())
    return {
        "runs": len(runs),
        "cores": available_cores(),
        "base": "made beforehand on both sides, counted on neither",
        "sampled": f"{min(sample, seeds)} of {seeds} seeds of each of {len(by_cell)} cells",
        "plain_wall_by_cell": by_cell,
        "harness_wall_seconds": harness,
        "plain_wall_seconds": plain,
        "ratio": harness / plain,
    }


def starts(bench: Bench) -> dict[str, Any]:
    """Return wall and CPU seconds of the same runs under each way to start a run's process; the bits must agree."""
    ways = {"fork server": (True, False), "fork server, no gc.freeze": (True, True), "fresh processes": (False, False)}
    found: dict[str, Any] = {}
    results: dict[str, list[dict[str, str]]] = {}
    for way, (fork, thawed) in ways.items():
        store = bench.fresh_store(way.replace(" ", "-"))
        jobs = [job_of(store, bench.run(8, index)) for index in range(START_RUNS)]
        with _without_freeze(bench.scratch, thawed):
            cpu, wall = _children_cpu(), time.monotonic()
            executed(store.root / "executor.log", jobs, available_cores(), fork=fork)
            found[way] = {"wall_seconds": time.monotonic() - wall, "cpu_seconds": _children_cpu() - cpu}
        results[way] = [{path.name: sha256(path) for path in job.result.iterdir()} for job in jobs]
    for way, files in results.items():
        if files != results["fork server"]:
            raise RuntimeError(f"{way}: the results are not those of the fork server to the bit")
    return {"runs": START_RUNS, "slots": available_cores(), "identical": True, "ways": found}


@contextmanager
def _without_freeze(scratch: Path, thawed: bool) -> Generator[None]:
    """Have every Python process started meanwhile ignore gc.freeze()."""
    if thawed:
        (scratch / "thawed").mkdir(exist_ok=True)
        (scratch / "thawed" / "sitecustomize.py").write_text("import gc\ngc.freeze = lambda: None\n")
        os.environ["PYTHONPATH"] = str(scratch / "thawed")
    try:
        yield
    finally:
        os.environ.pop("PYTHONPATH", None)


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def table(found: dict[str, Any]) -> str:
    """Return the figures as a small table."""
    lines: list[str] = []
    for rank, said in found.get("pairs", {}).items():
        for part in ("training", "process"):
            ours, theirs, ratio = (said[f"{part}_{what}"] for what in ("harness", "plain", "ratio"))
            lines.append(f"{rank:6} {part:9} harness {ours:7.2f}  plain {theirs:7.2f} CPU s  ratio {ratio:.3f}")
    if said := found.get("whole"):
        lines.append(f"{said['runs']} runs on {said['cores']} cores; base {said['base']}; plain: {said['sampled']}")
        ours, theirs = said["harness_wall_seconds"], said["plain_wall_seconds"]
        lines.append(f"whole  harness {ours:7.1f}  plain {theirs:7.1f} wall s  ratio {said['ratio']:.3f}")
    for way, said in found.get("start", {}).get("ways", {}).items():
        lines.append(f"{way:27} wall {said['wall_seconds']:6.1f} s  CPU {said['cpu_seconds']:6.1f} s")
    return "\n".join(lines)


def main() -> None:
    """Measure what was asked for and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--protocol", default="smoke")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of runs a rank")
    parser.add_argument("--whole", action="store_true", help="the whole run set instead")
    parser.add_argument("--sample", type=int, default=1, help="seeds a cell that the plain script runs under --whole")
    parser.add_argument("--start", action="store_true", help="ways to start a run's process instead")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    chosen = parser.parse_args()
    shelf = find_shelf(Path.cwd())
    with tempfile.TemporaryDirectory() as scratch:
        cache = Store((shelf.root or Path.cwd()) / ".harness" / "benchmark")
        cache.root.mkdir(parents=True, exist_ok=True)
        bench = Bench(shelf, chosen.protocol, cache, Path(scratch))
        bench.prepare()
        if chosen.whole:
            found = {"whole": whole(bench, "rank-collapse", chosen.sample)}
        elif chosen.start:
            found = {"start": starts(bench)}
        else:
            found = {"pairs": pairs(bench, chosen.pairs)}
    print(table(found))
    if chosen.json:
        write_json(chosen.json, {"protocol": chosen.protocol, **found})


if __name__ == "__main__":
    main()
