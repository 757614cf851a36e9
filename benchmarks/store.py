"""How fast results are written, taken into the index and asked, beside SQLite and MLflow on the same data, in one run.

    python benchmarks/store.py --mlflow /tmp/mlflow/bin/python

MLflow needs an older pyarrow than the harness, so it gets an interpreter of its own, which times itself:

    python3 -m venv /tmp/mlflow && /tmp/mlflow/bin/pip install mlflow==3.17.2

1,000 job directories, committed through the record: 200 steps of the steps shard's ten columns, an evaluation of 500
problems x 8 samples, and a spectrum of 224 matrices with 16 singular values each. The shard of an evaluation keeps
counts, a row a problem. Compared is like with like, what each kind of user would store:

- SQLite: item rows (run, problem, sample, correct), steps and spectra in tables, an index on each key; accuracy and
  pass@8 are asked of these rows there, and of the same item rows in a DuckDB table here. Item rows are 4 million; where
  the harness asks its counts instead, that is the ratio "counts against items".
- MLflow: the same nine metrics x 200 steps as the steps shard, by `log_batch` of 1,000, on 10 runs, in the file store
  and in the SQLite store, beside the writing of that shard; its summary is the mean of the last 20 steps of one
  metric, by `get_metric_history`, beside that of all runs in one query, divided by their number.

Every query is asked of all stores in turn, on connections that are open, interleaved; medians. What opening the index
takes, which the harness does for every query, is printed beside. Ends with 1 where a ratio misses its goal.
Not compared: servers, several writers, networks.
"""

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from harness.plan.runset import PlannedRun, plan, planned_run
from harness.record.atomic import write_json
from harness.record.ending import Reason
from harness.record.job import JobDirectory
from harness.record.layout import Store
from harness.record.shards import write_shard
from harness.spec.shelf import find_shelf
from harness.store import query, refresh

STEPS, PROBLEMS, SAMPLES, MATRICES, VALUES, MLFLOW_RUNS = 200, 500, 8, 224, 16, 10
METRICS = (
    "loss",
    "learning_rate",
    "grad_norm",
    "reward",
    "reward_std",
    "frac_reward_zero_std",
    "entropy",
    "completion_length",
    "clipped_ratio",
)
GOALS = {
    "shard write over MLflow sqlite ingest": 50,
    "shard write over MLflow file ingest": 50,
    "summary query over MLflow sqlite": 5,
    "summary query over MLflow file": 5,
    "accuracy of item rows, DuckDB over SQLite indexed": 4,
    "pass@8 of item rows, DuckDB over SQLite indexed": 4,
    "spectra summary, DuckDB over SQLite indexed": 4,
    "accuracy, counts over item rows": 5,
    "pass@8, counts over item rows": 5,
}
MLFLOW = """
import json, logging, os, statistics, sys, time
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
logging.disable(logging.CRITICAL)
from mlflow.entities import Metric
from mlflow.tracking import MlflowClient
uri, rows = sys.argv[1], json.load(open(sys.argv[2]))
client = MlflowClient(tracking_uri=uri)
experiment = client.create_experiment("benchmark")
client.log_metric(client.create_run(experiment).info.run_id, "warm", 0.0)
ingest, runs = [], []
for row in rows:
    began = time.perf_counter()
    run = client.create_run(experiment).info.run_id
    points = [Metric(f"m{k}", value, 0, step) for step, values in enumerate(row) for k, value in enumerate(values)]
    for at in range(0, len(points), 1000):
        client.log_batch(run, metrics=points[at : at + 1000])
    client.set_terminated(run)
    ingest.append(time.perf_counter() - began)
    runs.append(run)
def asked():
    began = time.perf_counter()
    for run in runs:
        last = sorted(client.get_metric_history(run, "m3"), key=lambda point: point.step)[-20:]
        statistics.fmean(point.value for point in last)
    return (time.perf_counter() - began) / len(runs)
print(json.dumps(statistics.median(ingest)), flush=True)
for line in sys.stdin:
    print(json.dumps(asked()), flush=True)
"""

Rows = Sequence[Mapping[str, Any]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mlflow", type=Path, required=True, help="The interpreter that has MLflow.")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    said = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors; {said.runs} runs, {said.repeats} repeats")
    with tempfile.TemporaryDirectory() as folder:
        return compared(Path(folder), said.mlflow, said.runs, said.repeats)


def compared(folder: Path, mlflow: Path, count: int, repeats: int) -> int:
    """Print all times and ratios; return the exit status."""
    store = Store(folder / "store")
    began = time.perf_counter()
    writes = written(store, count)
    spent("job directories made, s a run", (time.perf_counter() - began) / count)
    spent("of these, the shard of steps (median)", statistics.median(writes))
    ingested(store)
    sqlite, items = both_of_items(folder, store)
    spent("opening the index and asking it something, s", timed(lambda: query(store, "SELECT 1")))
    index = duckdb.connect(str(store.index), read_only=True, config={"threads": 1})
    clients = {kind: served(mlflow, folder, kind) for kind in ("sqlite", "file")}
    times: dict[str, list[float]] = {}
    for _ in range(repeats):
        for name, ask in asked(index, sqlite, items).items():
            times.setdefault(name, []).append(timed(ask))
        for kind, (process, _) in clients.items():
            times.setdefault(f"MLflow {kind}", []).append(answer(process, "ask\n"))
    found = {name: statistics.median(each) for name, each in times.items()}
    for name, value in found.items():
        spent(f"query: {name}, s", value)
    for process, _ in clients.values():
        process.communicate()
    of_run = found["summary"] / count  # of all runs at once, which is how the index is asked
    ratios = {
        **{f"shard write over MLflow {kind} ingest": clients[kind][1] / statistics.median(writes) for kind in clients},
        **{f"summary query over MLflow {kind}": found[f"MLflow {kind}"] / of_run for kind in clients},
        "accuracy of item rows, DuckDB over SQLite indexed": found["accuracy sqlite"] / found["accuracy items"],
        "pass@8 of item rows, DuckDB over SQLite indexed": found["pass@8 sqlite"] / found["pass@8 items"],
        "spectra summary, DuckDB over SQLite indexed": found["spectra sqlite"] / found["spectra"],
        "accuracy, counts over item rows": found["accuracy items"] / found["accuracy"],
        "pass@8, counts over item rows": found["pass@8 items"] / found["pass@8"],
    }
    beside = found["MLflow file"] * MLFLOW_RUNS / found["summary of 10"]
    print(f"summary of {MLFLOW_RUNS} runs of {count} in the index, over MLflow file with {MLFLOW_RUNS}: {beside:.1f}x")
    missed = 0
    for name, goal in GOALS.items():
        missed += ratios[name] < goal
        print(f"{name}: {ratios[name]:.1f}x, goal {goal}x: {'pass' if ratios[name] >= goal else 'MISS'}")
    return int(missed > 0)


def written(store: Store, count: int) -> list[float]:
    """Commit so many results; return the seconds that the steps of each took to write."""
    shelf = find_shelf(Path(__file__).parent)
    protocol = shelf.protocol("tiny")
    hypothesis = shelf.hypothesis("rank-collapse")
    runs = plan({"rank-collapse": hypothesis}, protocol, ["llama"]).runs
    cells = list(dict.fromkeys(run.cell for run in runs))
    planned = [planned_run(runs[0].base, cells[i % len(cells)], i, protocol) for i in range(count)]
    return [committed(store, run, np.random.default_rng(i)) for i, run in enumerate(planned)]


def committed(store: Store, run: PlannedRun, rng: np.random.Generator) -> float:
    """Commit one result with all that the index takes; return the seconds that writing its steps took."""
    job = JobDirectory(store.runs / run.id)
    job.create({"id": run.id, "identity": run.identity})
    attempt = job.claim({"engine": "benchmark"})
    assert attempt is not None
    write_json(attempt.stage / "result.json", facts(run))
    shards = rows_of(rng)
    took = timed(lambda: write_shard(attempt.stage, "steps", shards["steps"]))
    for kind in ("evaluation", "spectrum"):
        write_shard(attempt.stage, kind, shards[kind])
    assert attempt.commit()
    attempt.exit(Reason.OK)
    return took


def rows_of(rng: np.random.Generator) -> dict[str, Rows]:
    """Return a run's rows: of every update, every problem, every matrix."""
    steps = rng.random((STEPS, len(METRICS)))
    correct = rng.binomial(SAMPLES, rng.random(PROBLEMS))
    values = np.sort(rng.random((MATRICES, VALUES)), axis=1)[:, ::-1]
    return {
        "steps": [{"step": i + 1, **dict(zip(METRICS, row, strict=True))} for i, row in enumerate(steps.tolist())],
        "evaluation": [
            {
                "step": STEPS,
                "split": "evaluation",
                "problem": i,
                "samples": SAMPLES,
                "correct": k,
                "greedy_correct": k > 4,
            }
            for i, k in enumerate(correct.tolist())
        ],
        "spectrum": [
            {
                "step": STEPS,
                "target": "update",
                "module": f"layers.{i // 7}.m{i % 7}",
                "frobenius": float(np.sqrt((row**2).sum())),
                "effective_rank": float(VALUES * row.mean()),
                "stable_rank": float((row**2).sum() / row[0] ** 2),
                "singular_values": row.tolist(),
            }
            for i, row in enumerate(values)
        ],
    }


def facts(run: PlannedRun) -> dict[str, Any]:
    """Return the facts of a result as a worker writes them."""
    adapter = {"multipliers": [2.0], "trainable_parameters": 100, "trainable_share": 0.1}
    norms = {"first_update_norm": 0.25, "final_update_norm": 2.5}
    weights = {"base_weights": "w", "base_weights_after": "w", "first_rollouts": None}
    return {"job": run.id, "updates": STEPS, "adapter": adapter, **norms, **weights, "software": {}, "trainer": {}}


def ingested(store: Store) -> None:
    """Print what a refresh takes: of everything, of nothing new, and of ten new ones."""
    aside = store.root / "aside"
    aside.mkdir()
    for path in sorted(store.runs.iterdir())[:10]:
        path.rename(aside / path.name)
    spent("refresh of all but 10 runs, s", timed(lambda: refresh(store, [])))
    spent("refresh with nothing new, s", timed(lambda: refresh(store, [])))
    for path in sorted(aside.iterdir()):
        path.rename(store.runs / path.name)
    spent("refresh with 10 new runs, s", timed(lambda: refresh(store, [])))
    print(f"index: {store.index.stat().st_size / 2**20:.0f} MiB")


def both_of_items(folder: Path, store: Store) -> tuple[sqlite3.Connection, duckdb.DuckDBPyConnection]:
    """Return SQLite with everything in it, indexed, and DuckDB with a row an answer, as eval_item of SPECTRA has it."""
    items = duckdb.connect(str(folder / "items.duckdb"), config={"threads": 1})
    items.execute("SET enable_progress_bar = false")
    items.execute(f"ATTACH '{store.index}' AS made (READ_ONLY)")
    items.execute(
        "CREATE TABLE item AS SELECT run_id, problem, sample, sample < correct AS correct FROM ("
        "SELECT *, unnest(range(samples)) AS sample FROM made.evaluation) ORDER BY run_id, problem, sample"
    )
    sqlite = sqlite3.connect(folder / "all.sqlite")
    sqlite.execute("CREATE TABLE item (run_id TEXT, problem INT, sample INT, correct INT)")
    sqlite.execute(f"CREATE TABLE step (run_id TEXT, step INT, {', '.join(f'{name} REAL' for name in METRICS)})")
    sqlite.execute(
        "CREATE TABLE spectrum (run_id TEXT, module TEXT, effective_rank REAL, stable_rank REAL, sigma BLOB)"
    )
    began = time.perf_counter()
    taken = items.execute("SELECT run_id, problem, sample, correct::INT FROM item")
    while part := taken.fetchmany(100_000):
        sqlite.executemany("INSERT INTO item VALUES (?, ?, ?, ?)", part)
    steps = items.execute(f"SELECT run_id, step, {', '.join(METRICS)} FROM made.step").fetchall()
    sqlite.executemany(f"INSERT INTO step VALUES ({', '.join('?' * (2 + len(METRICS)))})", steps)
    spectra = items.execute(
        "SELECT run_id, module, effective_rank, stable_rank, singular_values FROM made.spectrum"
    ).fetchall()
    blobs = ((*row[:4], np.array(row[4], dtype=np.float32).tobytes()) for row in spectra)
    sqlite.executemany("INSERT INTO spectrum VALUES (?, ?, ?, ?, ?)", blobs)
    for table, keys in {"item": "run_id, problem, correct", "step": "run_id, step", "spectrum": "module"}.items():
        sqlite.execute(f"CREATE INDEX of_{table} ON {table} ({keys})")
    sqlite.execute("ANALYZE")
    sqlite.commit()
    spent("SQLite: all rows and indexes, s", time.perf_counter() - began)
    return sqlite, items


def asked(
    index: duckdb.DuckDBPyConnection, sqlite: sqlite3.Connection, items: duckdb.DuckDBPyConnection
) -> dict[str, Callable[[], Sequence[Any]]]:
    """Return the questions, each with the same answer from every store."""
    accuracy = "SELECT run_id, avg(correct) FROM item GROUP BY run_id"
    passed = (
        "SELECT run_id, avg(k / 8.0), avg(CASE WHEN k > 0 THEN 1.0 ELSE 0.0 END) FROM "
        "(SELECT run_id, problem, sum(correct) AS k FROM item GROUP BY run_id, problem) AS each_problem GROUP BY run_id"
    )
    counted = "SELECT run_id, sum(correct) / sum(samples) FROM evaluation GROUP BY run_id"
    counted_passed = "SELECT run_id, avg(correct / samples), avg((correct > 0)::INT) FROM evaluation GROUP BY run_id"
    spectra = "SELECT module, avg(effective_rank), avg(stable_rank) FROM spectrum GROUP BY module"
    last = f"SELECT run_id, avg(reward) FROM step WHERE step > {STEPS - 20}"
    some = f"{last} AND list_contains(?, run_id) GROUP BY run_id"
    ten = [row[0] for row in index.execute("SELECT run_id FROM run ORDER BY run_id LIMIT 10").fetchall()]
    return {
        "accuracy": lambda: index.execute(counted).fetchall(),
        "accuracy items": lambda: items.execute(accuracy.replace("correct)", "correct::INT)")).fetchall(),
        "accuracy sqlite": lambda: sqlite.execute(accuracy).fetchall(),
        "pass@8": lambda: index.execute(counted_passed).fetchall(),
        "pass@8 items": lambda: items.execute(passed.replace("(correct)", "(correct::INT)")).fetchall(),
        "pass@8 sqlite": lambda: sqlite.execute(passed).fetchall(),
        "spectra": lambda: index.execute(spectra).fetchall(),
        "spectra sqlite": lambda: sqlite.execute(spectra).fetchall(),
        "summary": lambda: index.execute(f"{last} GROUP BY run_id").fetchall(),
        "summary sqlite": lambda: sqlite.execute(f"{last} GROUP BY run_id").fetchall(),
        "summary of 10": lambda: index.execute(some, [ten]).fetchall(),
    }


def served(mlflow: Path, folder: Path, kind: str) -> tuple[subprocess.Popen[str], float]:
    """Start MLflow on a store of its own; return it, waiting for questions, and its seconds a run of ingest."""
    rows = folder / "metrics.json"
    rng = np.random.default_rng(7)
    rows.write_text(json.dumps(rng.random((MLFLOW_RUNS, STEPS, len(METRICS))).tolist()))
    uri = f"sqlite:///{folder / 'mlflow.db'}" if kind == "sqlite" else (folder / "mlruns").as_uri()
    command = [str(mlflow), "-W", "ignore", "-c", MLFLOW, uri, str(rows)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    took = answer(process)
    spent(f"MLflow {kind}: ingest of a run (1,800 points), s", took)
    return process, took


def answer(process: subprocess.Popen[str], question: str = "") -> float:
    """Return the next number that a process prints, after asking for it."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(question)
    process.stdin.flush()
    while line := process.stdout.readline():
        try:
            return float(line)
        except ValueError:  # a line of the library
            continue
    raise RuntimeError("MLflow ended without an answer; run its interpreter by hand to see why")


def timed(ask: Callable[[], object]) -> float:
    began = time.perf_counter()
    ask()
    return time.perf_counter() - began


def spent(what: str, seconds: float) -> None:
    print(f"{what}: {seconds:.4f}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
