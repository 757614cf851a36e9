"""How long the planner takes: many hypotheses of a thousand cells each, under one protocol.

    python benchmarks/planner.py

Planned is the union of the runs of all hypotheses, each once, with its identity, its id and everyone who asks for it:
`harness.plan.plan`, after the declarations were loaded. "100 hypotheses x 1,000 cells" is read in two ways, both of
which declarations allow, with windows over common grids so that neighbours overlap as the claims of one shelf do:

- seeds: 50 cells of 20 seeds each, 1,000 runs a hypothesis;
- cells: 1,000 cells (10 ranks x 10 rates x 10 warm-ups) of one seed each, the harder one: every cell has to be made of
  its factors, and identities share nothing but the protocol. Of 100 x 1,000 cells 50,680 are distinct.

Each is planned with 10, 100 and 1,000 hypotheses, in one run, interleaved, and in fresh processes: what is remembered
of an earlier plan does not count. Printed are medians of wall and processor time. The planner is one thread that
waits for nothing, so on an idle machine these are the same; the goals are held to processor time, which busy
neighbours inflate less. Ends with 1 where a reading takes 1.5 s or more at 100, or at 1,000 more than 15 times as
long as at 100. Beside it: the same ids by hashing the identity of every reference, as a planner without memory would,
on a sample.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from harness.plan import RunSet, plan
from harness.spec import Hypothesis, Protocol
from harness.spec.canonical import digest
from harness.spec.shelf import find_shelf

GOAL, GROWTH = 1.5, 15.0
"""Seconds at 100 hypotheses, and how many times as long ten times as many may take."""
HYPOTHESES = (10, 100, 1000)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--one", nargs=2, metavar=("READING", "HYPOTHESES"), help="Time one plan and print it.")
    said = parser.parse_args()
    if said.one:
        return once(said.one[0], int(said.one[1]))
    print(f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors, {said.repeats} repeats")
    missed = False
    for reading in ("seeds", "cells"):
        times: dict[int, list[tuple[float, float]]] = {count: [] for count in HYPOTHESES}
        distinct: dict[int, str] = {}
        for _ in range(said.repeats):
            for count in HYPOTHESES:
                wall, cpu, distinct[count] = measured(reading, count)
                times[count].append((wall, cpu))
        walls = {count: statistics.median(wall for wall, _ in found) for count, found in times.items()}
        for count, found in times.items():
            cpu, least = statistics.median(cpu for _, cpu in found), min(wall for wall, _ in found)
            print(f"{reading}: {count} x 1,000, {distinct[count]} distinct runs, wall {walls[count]:.2f} s", end="")
            print(f" (quickest {least:.2f}), processor {cpu:.2f} s")
        growth = statistics.median(
            more[1] / less[1] for more, less in zip(times[HYPOTHESES[2]], times[HYPOTHESES[1]], strict=True)
        )
        spent = statistics.median(cpu for _, cpu in times[HYPOTHESES[1]])
        missed |= told(f"{reading}: 100 x 1,000, processor seconds", spent, GOAL)
        missed |= told(f"{reading}: 1,000 over 100 hypotheses, processor time", growth, GROWTH)
    beside()
    return int(missed)


def told(what: str, value: float, most: float) -> bool:
    """Print a figure with its goal; return whether it is missed."""
    print(f"{what}: {value:.2f}, goal below {most:g}: {'pass' if value < most else 'MISS'}")
    return value >= most


def measured(reading: str, count: int) -> tuple[float, float, str]:
    """Return wall and processor seconds of one plan in a process of its own, and how many runs are in it."""
    command = [sys.executable, __file__, "--one", reading, str(count)]
    wall, cpu, distinct = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(wall), float(cpu), distinct


def once(reading: str, count: int) -> int:
    """Print the seconds that one plan takes."""
    protocol = declared()
    hypotheses = {f"claim-{i}": claim(reading, i) for i in range(count)}
    known = plan({"one": claim("seeds", 0)}, protocol, ["llama"])  # its problems are drawn once a process
    assert known.runs
    wall, cpu = time.perf_counter(), time.process_time()
    runs = plan(hypotheses, protocol, ["llama"])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    check(runs, count)
    print(wall, cpu, len(runs.runs))
    return 0


def check(runs: RunSet, count: int) -> None:
    """Check that nothing is missing: every reference is in it once, and ids are the hashes of the identities."""
    assert sum(len(run.needed_by) for run in runs.runs) == 1000 * count
    assert len({run.id for run in runs.runs}) == len(runs.runs)
    for run in runs.runs[:: max(1, len(runs.runs) // 100)]:
        assert run.id.endswith(digest(run.identity)[:12])


def declared() -> Protocol:
    """Return the shipped tiny protocol."""
    return find_shelf(Path(__file__).parent).protocol("tiny")


def claim(reading: str, number: int) -> Hypothesis:
    """Return a hypothesis that asks for 1,000 runs, some of which its neighbours ask for as well."""
    if reading == "seeds":
        ranks = [1 + (number * 7) % 200 + i for i in range(10)]
        among = {"rank": ranks, "learning_rate_scale": [(8 + number % 9 + i) / 16 for i in range(5)]}
    else:
        among = {
            "rank": [1 + number % 11 + i for i in range(10)],
            "learning_rate_scale": [(16 + number * 3 % 61 + i) / 64 for i in range(10)],
            "warmup_steps": [number * 5 % 47 + i for i in range(10)],
        }
    prediction = {
        "id": "live",
        "kind": "collapse_probability",
        "role": "primary",
        "statement": "Runs live in every one of these cells.",
        "rationale": "Below one half a user keeps the policy.",
        "event": "collapsed",
        "direction": "below",
        "probability": 0.5,
        "among": among,
    }
    content = {
        "title": "Runs of a window live",
        "claim": "Runs in this window of factors collapse less often than not.",
        "source": "benchmarks/planner.py",
        "design": {"seeds": 20 if reading == "seeds" else 1},
        "predictions": [prediction],
    }
    return Hypothesis.model_validate(content, strict=False)


def beside() -> None:
    """Print what hashing every reference by itself takes, on a sample of the runs."""
    runs = plan({"claim": claim("cells", 0)}, declared(), ["llama"]).runs
    began = time.process_time()
    for run in runs:
        assert run.id.endswith(digest(run.identity)[:12])
    each = (time.process_time() - began) / len(runs)
    print(f"hashing every reference by itself: {each * 1e6:.0f} us each, {each * 100_000:.1f} s for 100 x 1,000")


if __name__ == "__main__":
    sys.exit(main())
