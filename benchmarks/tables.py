"""Whether the rates of `harness diagnose` hold for what `harness test` says: simulated tables, registered and adopted.

    python benchmarks/tables.py --tables 2000 --commands 20

Draws tables of finished runs from the worlds of `diagnose`, registers the claim first, adopts each table and decides it
through the function behind `test`, all in one process; some also through the commands themselves, which must say the
same. A table's runs come all at once and are decided once, so both sides take the claim with its last look only.
Printed per world and prediction: how often supported and refuted on tables / in the diagnosis, and the
difference in Monte Carlo standard errors. Ends with 1 if any differs by more than 4, or a command disagrees.
"""

import argparse
import json
import math
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from harness.campaign.adopted import adopt_table, verdict_on_table
from harness.campaign.bench import Bench
from harness.campaign.expected import expected
from harness.decide.diagnosis.alternatives import others
from harness.decide.diagnosis.characteristics import Diagnosis, Rate
from harness.decide.diagnosis.simulation import diagnose
from harness.decide.diagnosis.worlds import Drawn, World, draw
from harness.record.adopted import adopted
from harness.record.layout import Store
from harness.record.verdict import Outcome, Verdict
from harness.spec.cell import Cell
from harness.spec.shelf import find_shelf

LIMIT = 4.0
"""Standard errors that a difference may have."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hypothesis", default="rank-collapse")
    parser.add_argument("--protocol", default="tiny")
    parser.add_argument("--tables", type=int, default=2000)
    parser.add_argument("--commands", type=int, default=20)
    said = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return compared(said.hypothesis, said.protocol, said.tables, said.commands, Path(folder))


def compared(name: str, protocol: str, tables: int, commands: int, folder: Path) -> int:
    """Print both sides and return the exit status."""
    root = at_once(name, folder / "project")
    bench = Bench(find_shelf(root), Store(folder / "store"), protocol)
    hypothesis = bench.hypotheses([name])[name]
    bench.register({name: hypothesis})
    world = expected(bench, hypothesis)
    worlds = (world, *others(hypothesis, world))
    rng = np.random.default_rng(20260423)
    worst, disagreed, began, spent = 0.0, 0, time.perf_counter(), 0.0
    for number, true in enumerate(worlds):
        count = tables // len(worlds)
        verdicts: list[Verdict] = []
        for i in range(count):
            file = folder / f"{true.name}-{i}.csv"
            write(file, true, draw(true, hypothesis.design.seeds, rng), hypothesis.design.seeds)
            at = time.perf_counter()
            verdict = decided(bench, name, file)
            spent += time.perf_counter() - at
            verdicts.append(verdict)
            if i < commands // len(worlds) + (number < commands % len(worlds)):
                disagreed += by_command(root, folder / "by-command", name, protocol, file) != str(verdict.outcome)
        worst = max(worst, shown(true.name, verdicts, diagnose(hypothesis, true, count, np.random.default_rng(number))))
    total = tables // len(worlds) * len(worlds)
    print(f"{total} tables adopted and decided, {1000 * spent / total:.0f} ms each; {commands} through the commands,")
    print(f"{disagreed} of which said otherwise; {time.perf_counter() - began:.0f} s in all")
    print(f"furthest from the diagnosis: {worst:.1f} standard errors, allowed {LIMIT}")
    return int(worst > LIMIT or disagreed > 0)


def at_once(name: str, root: Path) -> Path:
    """Make a project with the claim as shipped, but for its looks, and return its folder."""
    text = find_shelf(Path(__file__).parent).path("hypotheses", name).read_text()
    seeds = re.search(r"^  seeds: (\d+)$", text, re.MULTILINE)
    assert seeds is not None
    (root / "hypotheses").mkdir(parents=True)
    (root / "pyproject.toml").write_text("[tool.harness]\n")
    single = text if "\n  looks:" in text else text.replace(seeds[0], f"{seeds[0]}\n  looks: [{seeds[1]}]")
    (root / "hypotheses" / f"{name}.yaml").write_text(single)
    return root


def write(file: Path, world: World, drawn: Mapping[Cell, Drawn], seeds: int) -> None:
    """Write the runs of a world as somebody would who has only accuracies to give."""
    lines = ["algorithm,rank,seed,accuracy,n_items,base_accuracy"]
    for cell, runs in drawn.items():
        rows = zip(range(seeds), runs.accuracies, strict=True)
        about = f"{world.n_items},{world.base!r}"
        lines += [f"{cell.algorithm},{cell.rank},{s},{float(accuracy)!r},{about}" for s, accuracy in rows]
    file.write_text("\n".join(lines) + "\n")


def decided(bench: Bench, name: str, file: Path) -> Verdict:
    """Adopt a table and decide it, by the functions behind `runs import` and `test`."""
    hypothesis = bench.hypotheses([name])[name]
    adoption = adopt_table(bench, name, hypothesis, file, None)
    table = adopted(bench.store, adoption.name)
    assert table is not None and adoption.registered
    verdict = verdict_on_table(bench, name, hypothesis, table)
    assert verdict.registered.confirmatory, verdict.registered.deviations
    return verdict


def by_command(root: Path, store: Path, name: str, protocol: str, file: Path) -> str:
    """Return the outcome that the commands give for a table, in a store of their own."""

    def run(*arguments: str) -> str:
        base = [
            sys.executable,
            "-c",
            "from harness.cli import main; main()",
            "-C",
            str(root),
            "--store",
            str(store),
            "--json",
            "-q",
        ]
        return subprocess.run([*base, *arguments], check=True, capture_output=True, text=True).stdout

    run("register", name, "--protocol", protocol)
    adopted_as = json.loads(run("runs", "import", str(file), "--hypothesis", name, "--protocol", protocol))["name"]
    said = json.loads(run("test", name, "--protocol", protocol, "--models", adopted_as))
    return str(said["verdicts"][0]["outcome"])


def shown(world: str, verdicts: list[Verdict], diagnosis: Diagnosis) -> float:
    """Print a world's rates on both sides; return the largest difference in standard errors."""
    print(f"{world}: {len(verdicts)} tables")
    worst = 0.0
    for said in (*diagnosis.predictions, diagnosis.claim):
        outcomes = [outcome(verdict, said.id) for verdict in verdicts]
        parts: list[str] = []
        for word, there in ((Outcome.SUPPORTED, said.supported), (Outcome.REFUTED, said.refuted)):
            here = Rate(sum(found is word for found in outcomes), len(outcomes))
            off = distance(here, there)
            worst = max(worst, off)
            parts.append(f"{word} {here.value:.3f} / {there.value:.3f} ({off:.1f})")
        print(f"  {said.id:<28} {'   '.join(parts)}")
    return worst


def outcome(verdict: Verdict, prediction: str) -> Outcome:
    """Return what a prediction came to, or the claim itself."""
    return next((said.outcome for said in verdict.predictions if said.id == prediction), verdict.outcome)


def distance(a: Rate, b: Rate) -> float:
    """Return the difference of two rates in its standard error under one common rate."""
    pooled = (a.events + b.events) / (a.of + b.of)
    error = math.sqrt(pooled * (1 - pooled) * (1 / a.of + 1 / b.of))
    return abs(a.value - b.value) / error if error else 0.0


if __name__ == "__main__":
    sys.exit(main())
