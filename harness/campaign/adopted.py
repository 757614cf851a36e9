"""Verdicts on adopted tables: results of finished runs, whoever made them, decided by the same code as our own.

The table stands in the place of a base. Its runs came all at once, so they are decided once, on all of them, at the
level of the planned look that holds them; the order of rows means nothing. What it lacks leaves every prediction
untested; what speaks against it (seeds used twice, the pilot's seeds, more runs than planned, a registration that came
after the same results were first adopted) costs the label.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.campaign.bench import Bench
from harness.campaign.integrity import Deviation, Integrity, Kind, changes, notes
from harness.campaign.observed import Observed, ObservedRun, measures_of, relative_to, without_value
from harness.campaign.pilot import pilot_seeds
from harness.campaign.tables import Contents, TableRun, contents
from harness.campaign.verdicts import decision_code, frozen
from harness.decide import Landmarks
from harness.plan import RunSet, registration_hash
from harness.record.adopted import AdoptedTable, adopt, table_rows
from harness.record.verdict import MissingRun, RunLabel, Verdict
from harness.record.verdict_files import load, renew, save
from harness.spec import Cell, DeclarationError, Hypothesis
from harness.spec.canonical import digest
from harness.spec.measure import bounded_among


@dataclass(frozen=True, slots=True)
class Adoption:
    """What came of adopting a table, for whoever asked for it."""

    name: str
    hypothesis: str
    rows: int
    runs: Mapping[str, int]
    """Runs by cell that the hypothesis needs."""
    other_runs: int
    """Runs of cells that it does not need."""
    said: Contents
    registered: bool
    """Whether the hypothesis was registered before."""

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        about = {"lacking": self.said.lacking, "ignored_columns": list(self.said.ignored)}
        counts = {"rows": self.rows, "runs": dict(self.runs), "other_runs": self.other_runs}
        return {"name": self.name, "hypothesis": self.hypothesis, **counts, **about, "registered": self.registered}

    def lines(self) -> list[str]:
        """Return it as lines of text."""
        lines = [f"adopted as {self.name}: {self.rows} rows, {sum(self.runs.values()) + self.other_runs} runs"]
        lines += [f"  {cell:<24} {count or 'none'}" for cell, count in self.runs.items()]
        lines += [f"  {self.other_runs} runs of other cells"] if self.other_runs else []
        lines += [f"columns without a meaning here: {', '.join(self.said.ignored)}"] if self.said.ignored else []
        lines += [f"insufficient information: {self.said.lacking}"] if self.said.lacking else []
        before = "registered before: its verdict may be confirmatory"
        lines.append(before if self.registered else "not registered before: its verdict will be exploratory")
        return [*lines, f"next: harness test {self.hypothesis} --models {self.name}"]


def adopt_table(bench: Bench, hypothesis: str, claim: Hypothesis, file: Path, name: str | None) -> Adoption:
    """Read a table of finished runs, check that it can be read as such, and keep it.

    Raises:
        DeclarationError: it cannot be read, none of its runs bears on the claim, or its name is taken.
    """
    called = name or re.sub(r"[^a-z0-9]+", "-", file.stem.lower()).strip("-")
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,62}", called):
        rule = "is no name. Choose one of lower-case letters, digits and dashes with --as."
        raise DeclarationError([f"{called!r} {rule}"])
    if called in bench.protocol.bases:
        rule = f"is a base of protocol {bench.protocol_name}. Choose another name with --as."
        raise DeclarationError([f"{called!r} {rule}"])
    _can_be_in_a_table(hypothesis, claim)
    rows = table_rows(file)
    said = contents(bench, rows, file.name)
    given = bench.protocol.given
    cells = dict.fromkeys(cell for p in claim.predictions for cell in p.cells(given).values())
    runs = {cell.slug(): sum(run.cell == cell for run in said.runs) for cell in cells}
    if not any(runs.values()):
        rule = f"no row is a run of a cell that {hypothesis} needs: {', '.join(runs)}. Check the factors' columns."
        raise DeclarationError([f"{file.name}: {rule}"])
    kept = adopt(bench.store, called, file.name, rows)
    registration = bench.registration(hypothesis)
    before = registration is not None and registration.registered_at < kept.adopted_at
    return Adoption(called, hypothesis, len(rows), runs, len(said.runs) - sum(runs.values()), said, before)


def verdict_on_table(bench: Bench, name: str, hypothesis: Hypothesis, table: AdoptedTable) -> Verdict:
    """Return the verdict of a hypothesis on an adopted table, decided now unless it is stored.

    Raises:
        DeclarationError: the table cannot be read as runs, or the design combines bases.
    """
    _can_be_in_a_table(name, hypothesis)
    inputs = _inputs(bench, name, hypothesis, table)
    stored = load(bench.store, bench.protocol_name, name, table.name, inputs)
    if stored is not None:
        renew(bench.store, stored)
        return stored
    from harness.campaign.decision import Evidence, decided  # scipy, 2 s

    said = contents(bench, table.rows_read(), table.name)
    seen, found = _observed(bench, hypothesis, said)
    held = [f"results from elsewhere: {table.source}, {table.rows} rows, sha256 {table.sha256[:12]}; seeds as stated"]
    held += [f"columns that are not compared: {', '.join(said.ignored)}"] if said.ignored else []
    verdict = decided(
        Evidence(
            bench=bench,
            name=name,
            hypothesis=hypothesis,
            subject=table.name,
            subject_id=f"table {table.sha256[:12]}",
            runs=RunSet((), ()),
            bases=(),
            seen={table.name: seen},
            inputs=inputs,
            integrity=_integrity(bench, name, hypothesis, table, found),
            held=tuple(held),
        )
    )
    save(bench.store, verdict)
    return verdict


def _can_be_in_a_table(name: str, hypothesis: Hypothesis) -> None:
    """Raise DeclarationError for a claim that no table of finished runs can hold."""
    rule = ""
    if hypothesis.design.bases is not None:
        rule = "combines several bases, and a table is about one"
    elif hypothesis.design.tuning is not None:
        rule = "tunes the rate of its arms before their runs, and a table has no tuning"
    if rule:
        raise DeclarationError([f"{name}: {rule}. Test it on the protocol's own bases."])


def _inputs(bench: Bench, name: str, hypothesis: Hypothesis, table: AdoptedTable) -> str:
    registration = bench.registration(name)
    before = registration is not None and registration.registered_at < table.adopted_at
    declared = registration_hash(hypothesis, bench.protocol)
    measures = [path.read_text(encoding="utf-8") for path in bench.measures()]
    return digest([declared, frozen(registration), before, bench.explore, table.sha256, measures, decision_code()])


def _integrity(
    bench: Bench, name: str, hypothesis: Hypothesis, table: AdoptedTable, found: Sequence[Deviation]
) -> Integrity:
    registration = bench.registration(name)
    if bench.explore or registration is None:
        text = "an exploration: no registration governs it" if bench.explore else "never registered"
        kind = Kind.EXPLORED if bench.explore else Kind.NEVER_REGISTERED
        return Integrity((Deviation(kind, text, False), *found), ())
    said = changes(bench, hypothesis, registration)
    if registration.registered_at >= table.adopted_at:
        said.append(Deviation(Kind.ADOPTED_BEFORE, "the table was adopted before the registration", False))
    return Integrity((*said, *found), notes(registration))


def _observed(bench: Bench, hypothesis: Hypothesis, said: Contents) -> tuple[Observed, list[Deviation]]:
    """Return a table as observed runs, at most as many a cell as the design plans, and what speaks against it."""
    landmarks = Landmarks() if said.base_accuracy is None else relative_to(said.base_accuracy, bench, said.n_items or 1)
    given, seeds = bench.protocol.given, hypothesis.design.seeds
    cells = dict.fromkeys(cell for p in hypothesis.predictions for cell in p.cells(given).values())
    found: list[Deviation] = []
    runs: list[ObservedRun] = []
    reached: dict[Cell, int] = {}
    for cell in cells:
        there = [run for run in said.runs if run.cell == cell]
        unique = list({run.seed: run for run in reversed(there)}.values())[::-1]  # of a seed's results the first counts
        if len(unique) < len(there) and not said.lacking:
            text = f"{len(there) - len(unique)} results at {cell.slug()} bear a seed that another has"
            found.append(Deviation(Kind.REUSED_SEED, text, False))
        unique = unique if not said.lacking else there
        reached[cell] = min(len(unique), seeds)
        if len(unique) > seeds:
            unique = sorted(unique, key=lambda run: digest(run.seed))  # no order that somebody could have chosen
            text = f"{len(unique)} runs at {cell.slug()} where {seeds} are planned; {seeds} of them count"
            found.append(Deviation(Kind.UNPLANNED_LOOK, text, False))
        runs += [_run(run, i, landmarks) for i, run in enumerate(unique[:seeds])]
    found += _pilot_seeds(bench, said)
    missing = tuple(
        MissingRun(run_id=f"{cell.slug()} #{i + 1}", cell=cell.slug(), reason="not in the table")
        for cell in cells
        for i in range(reached[cell], seeds)
    )
    bounded = bounded_among(bench.shelf.measures(), measures_of(hypothesis.predictions))
    lacking = without_value(hypothesis.predictions, given, runs)
    seen = Observed(
        landmarks=landmarks,
        given=given,
        n_items=said.n_items,
        runs=tuple(runs) if not said.lacking else (),
        reached=reached,
        planned=len(cells) * seeds,
        missing=missing,
        bounded=bounded | {"accuracy"},
        silent={measure: dict.fromkeys(ids, "no value in the table") for measure, ids in lacking.items()},
        once=True,
        lacking=_lacking(hypothesis, said),
    )
    return seen, found


def _lacking(hypothesis: Hypothesis, said: Contents) -> str:
    if said.lacking:
        return said.lacking
    measures = measures_of(hypothesis.predictions)
    absent = [name for name in measures if said.runs and not any(name in run.values for run in said.runs)]
    absent += [name for name, by_item in measures.items() if by_item and not any(name in r.items for r in said.runs)]
    return f"no column for {', '.join(dict.fromkeys(absent))}" if absent else ""


def _run(run: TableRun, seed: int, landmarks: Landmarks) -> ObservedRun:
    became = landmarks.label(run.values["accuracy"]) or RunLabel.NO_GAIN  # unknown: nothing is decided on it
    items = {name: np.array([of[key] for key in sorted(of)]) for name, of in run.items.items()}
    return ObservedRun(f"{run.cell.slug()} seed {run.seed}", run.cell, seed, became, run.values, items)


def _pilot_seeds(bench: Bench, said: Contents) -> list[Deviation]:
    if said.lacking:
        return []
    known = pilot_seeds(bench.protocol)
    used = sum(run.seed in known for run in said.runs)
    return [Deviation(Kind.PILOT_SEED, f"{used} results bear seeds of the pilot", False)] if used else []
