"""How long the report takes and how large its page is, on a store of a thousand runs made by hand.

    python benchmarks/report.py FOLDER

FOLDER is filled once (about two minutes): a project with one claim on twelve bases, 84 runs each, and their twelve
verdicts. Runs go through the same claim and commit as real ones; only their numbers are drawn, not trained: 80 updates,
and spectra of 14 modules at 7 steps, each beside its null. The time is the median of three turns in one process, all
formats and figures, on an index that is up to date. Goals: under 30 seconds, the page under 5 MB.

Not covered: writing the files, and runs of thousands of updates (the page thins them to 60).
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from harness.campaign.bench import Bench
from harness.campaign.findings import findings
from harness.campaign.verdicts import made_subjects, verdict_on
from harness.plan import PlannedRun
from harness.publish.report.report import Asked, Report, report
from harness.record.atomic import write_json
from harness.record.ending import Reason
from harness.record.job import JobDirectory
from harness.record.layout import Store
from harness.record.shards import write_shard
from harness.spec.shelf import find_shelf

SECONDS, MEGABYTES = 30.0, 5.0
BASES = 12
UPDATES = 80
KEPT = (1, 2, 4, 8, 16, 32, 80)
LAYERS = 2
MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
VALUES = 64
PROBLEMS, SAMPLES = 500, 4

PROTOCOL = """
title: A protocol of a benchmark
task: {name: addition, largest_operand: 99, split_seed: 5, evaluation_problems: 500, validation_problems: 500,
       training_prompts: 640}
bases: {$bases}
default_bases: [$names]
recipe: {scaling: {policy: proportional, factor: 2.0}, target_modules: all-linear, lora_dropout: 0.0}
grpo: {learning_rate: 1.0e-3, lr_scheduler_type: constant, num_train_epochs: 1, per_device_train_batch_size: 64,
       num_generations: 8, max_completion_length: 5, bf16: false}
sft: {learning_rate: 1.0e-3, lr_scheduler_type: constant, num_train_epochs: 1, per_device_train_batch_size: 8,
      bf16: false}
evaluation: {samples_per_problem: 4, temperature: 1.0}
thresholds: {collapsed_share: 0.25, trained_share: 0.5, healthy_gain: 0.12, source: chosen for a benchmark}
pilot: {rule: one-standard-error, healthy_rank: 8, learning_rates: [1.0e-4, 1.0e-3, 1.0e-2], steps: [10, 20],
        enough_gain: 0.1, seeds: 3, base_seed: 1001, split_seed: 6}
"""
BASE = """{architecture: llama, hidden_size: 256, layers: 2, heads: 4, intermediate_size: 512,
           pretraining: {steps: 100, batch_size: 32, learning_rate: 1.0e-3, seed: $seed}}"""
CLAIM = """
title: Low ranks live and high ranks collapse
claim: GRPO at ranks up to 64 collapses less often than not, and rank 8 gains more than rank 128 does.
source: a claim of a benchmark
design: {seeds: 14}
predictions:
  - {id: live, kind: collapse_probability, role: primary, statement: Runs live at low ranks., event: collapsed,
     rationale: Below one half a user keeps the policy., direction: below, probability: 0.5,
     among: {rank: [8, 16, 32, 64]}}
  - {id: die, kind: collapse_probability, role: auxiliary, statement: Runs die at high ranks., event: collapsed,
     rationale: Above one half a user loses the policy., direction: above, probability: 0.5, among: {rank: [128, 256]}}
  - {id: gap, kind: min_effect, role: auxiliary, statement: Rank 8 gains more than rank 128., margin: 0.1,
     rationale: Ten points are what a user would notice., a: {rank: 8}, b: {rank: 128}}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bases", type=int, default=BASES, help="one verdict and 84 runs each")
    said = parser.parse_args()
    folder: Path = said.folder.resolve()
    if not (folder / "pyproject.toml").is_file():
        fill(folder, said.bases)
    shelf, store = find_shelf(folder), Store(folder / ".harness")
    findings(shelf, store, ("live",))  # so that the index is up to date, as `harness test` leaves it

    def whole() -> Report:
        return report(findings(shelf, store, ("live",)), shelf, Asked(("live",)))

    made, took = timed(whole)
    (text,) = (file.encoded for file in made.files if file.path == "report.html")
    runs = len(list(store.runs.iterdir()))
    held = took < SECONDS and len(text) / 1e6 < MEGABYTES
    print(f"{runs} runs, {len(made.tables)} tables, {len(made.files)} files")
    print(f"report {took:.1f} s (goal {SECONDS:g}), page {len(text) / 1e6:.2f} MB (goal {MEGABYTES:g})")
    print("pass" if held else "FAIL")
    return int(not held)


def timed(work: Callable[[], Any], turns: int = 3) -> tuple[Any, float]:
    """Return what the work gives and the median of its wall seconds."""
    spent: list[float] = []
    given: Any = None
    for _ in range(turns):
        began = time.perf_counter()
        given = work()
        spent.append(time.perf_counter() - began)
    return given, statistics.median(spent)


def fill(folder: Path, bases: int) -> None:
    """Declare the project, commit its runs and decide its claim on every base."""
    for at, text in {"runs/bench.yaml": protocol(bases), "hypotheses/live.yaml": CLAIM}.items():
        (folder / at).parent.mkdir(parents=True, exist_ok=True)
        (folder / at).write_text(text)
    os.fsync = lambda _: None  # ten thousand flushes to the disk are not what is measured
    (folder / "pyproject.toml").write_text('[tool.harness]\nprotocol = "bench"\n')
    bench = Bench(find_shelf(folder), Store(folder / ".harness"), "bench")
    hypotheses = bench.hypotheses(("live",))
    bench.register(hypotheses)
    planned = bench.plan(hypotheses, bench.bases(()))
    rng = np.random.default_rng(20260423)
    for base in planned.bases:
        job = created(bench.store.bases / base.id, {"id": base.id, "identity": base.identity})
        commit(job, base_facts(job.id), {"evaluation": scored(0.4, 0, rng)})
    for number, run in enumerate(planned.runs):
        job = created(bench.store.runs / run.id, {"id": run.id, "identity": run.identity})
        accuracy = accuracy_of(run, rng)
        rows = {"evaluation": scored(accuracy, UPDATES, rng), "steps": steps(accuracy, rng), "spectrum": spectra(rng)}
        commit(job, run_facts(job.id, accuracy, rng), rows)
        if number % 100 == 99:
            print(f"{number + 1} of {len(planned.runs)} runs made", file=sys.stderr)
    for subject in made_subjects(bench, hypotheses["live"], None):
        verdict_on(bench, "live", hypotheses["live"], subject)


def protocol(bases: int) -> str:
    """Return the protocol with so many bases, alike but for their seed."""
    names = [f"base-{i}" for i in range(1, bases + 1)]
    made = [f"{name}: {Template(BASE).substitute(seed=i)}" for i, name in enumerate(names, 1)]
    return Template(PROTOCOL).substitute(bases=",\n  ".join(made), names=", ".join(names))


def accuracy_of(run: PlannedRun, rng: np.random.Generator) -> float:
    """Return an accuracy that falls to the floor at ranks 128 and 256."""
    low = run.cell.slug() not in ("grpo-lora-r128", "grpo-lora-r256")
    return float(rng.normal(0.52, 0.02) if low else max(rng.normal(0.01, 0.01), 0.0))


def created(path: Path, said: Mapping[str, Any]) -> JobDirectory:
    job = JobDirectory(path)
    job.create(said)
    return job


def commit(job: JobDirectory, facts: Mapping[str, Any], rows: Mapping[str, list[dict[str, Any]]]) -> None:
    attempt = job.claim({"engine": "benchmark"})
    if attempt is None:
        raise SystemExit(f"{job.path}: another result is there. Give an empty folder.")
    write_json(attempt.stage / "result.json", facts)
    for kind, each in rows.items():
        write_shard(attempt.stage, kind, each)
    attempt.commit()
    attempt.exit(Reason.OK)


def scored(accuracy: float, step: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    correct = rng.binomial(SAMPLES, min(accuracy, 1.0), PROBLEMS)
    about = {"step": step, "samples": SAMPLES}
    return [
        {**about, "split": split, "problem": i, "correct": int(right), "greedy_correct": bool(right > 1)}
        for split in (("evaluation", "validation") if step == 0 else ("evaluation",))
        for i, right in enumerate(correct)
    ]


def steps(accuracy: float, rng: np.random.Generator) -> list[dict[str, Any]]:
    noise = rng.normal(0, 0.05, (UPDATES, 6))
    return [
        {
            "step": i + 1,
            "loss": noise[i, 0],
            "learning_rate": 1e-3,
            "grad_norm": 1 + noise[i, 1],
            "reward": accuracy + noise[i, 2],
            "reward_std": 0.3 + noise[i, 3],
            "frac_reward_zero_std": 0.1,
            "entropy": 1 + noise[i, 4],
            "completion_length": 4 + noise[i, 5],
            "clipped_ratio": 0.0,
        }
        for i in range(UPDATES)
    ]


def spectra(rng: np.random.Generator) -> list[dict[str, Any]]:
    values = np.sort(rng.lognormal(0, 1, (len(KEPT), 2, LAYERS * len(MODULES), VALUES)), axis=-1)[..., ::-1]
    return [
        {
            "step": step,
            "target": target,
            "module": f"model.layers.{place // len(MODULES)}.{MODULES[place % len(MODULES)]}",
            "layer": place // len(MODULES),
            "kind": MODULES[place % len(MODULES)],
            "frobenius": float(np.sqrt(np.sum(values[i, j, place] ** 2))),
            "effective_rank": float(rng.uniform(20, 60)),
            "stable_rank": float(rng.uniform(2, 6)),
            "singular_values": values[i, j, place].tolist(),
        }
        for i, step in enumerate(KEPT)
        for j, target in enumerate(("update", "null"))
        for place in range(LAYERS * len(MODULES))
    ]


SOFTWARE = dict.fromkeys(("torch", "transformers", "trl", "peft"), "1.0")


def base_facts(job_id: str) -> dict[str, Any]:
    scores = {"accuracy": 0.4, "validation_accuracy": 0.4, "updates": 100, "parameters": 1000}
    return {"job": job_id, **scores, "base_weights": "w", "software": SOFTWARE}


def run_facts(job_id: str, accuracy: float, rng: np.random.Generator) -> dict[str, Any]:
    first, last = rng.uniform(0.2, 1.0), rng.uniform(2.0, 8.0)
    return {
        "job": job_id,
        "accuracy": accuracy,
        "updates": UPDATES,
        "first_update_norm": first,
        "final_update_norm": last,
        "adapter": {"multipliers": [2.0], "trainable_parameters": 100_000, "trainable_share": 0.1},
        "base_weights": "w",
        "base_weights_after": "w",
        "first_rollouts": {"sha256": job_id},
        "software": SOFTWARE,
        "trainer": {"config": "GRPOConfig", "declared": {}, "set_by_harness": {"seed": 1}, "library_defaults": {}},
    }


if __name__ == "__main__":
    sys.exit(main())
