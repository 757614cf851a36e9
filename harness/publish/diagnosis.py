"""A diagnosis as text: one table a world, the edges of all predictions in one, and what they come to in sentences.

Every rate stands with its Monte Carlo standard error. `truth` is the region that the estimand lies in, `wrong` is how
often a verdict contradicts it, `coverage` how often an interval that may decide holds it, `seeds` how many a cell it
took.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.decide.diagnosis.characteristics import CLAIM, Characteristics, Diagnosis, Rate
from harness.decide.diagnosis.designs import ENOUGH, MOST_SEEDS, Found
from harness.publish.numbers import MISSING, short
from harness.publish.width import WIDTH, Column, table, wrapped
from harness.spec import Hypothesis

MEANT = {
    "declared": "what the model of the declaration believes",
    "healthy": "no model is declared: every cell makes the healthy gain",
    "null": "every cell like the first, no collapse",
    "smooth": "from the lowest to the highest rank all changes evenly in log2 rank",
    "bimodal": "one more run in five collapses, in every cell",
    "pilot": "gains by rank as protocol tiny showed them",
}
EDGES = "edges: each prediction where its support, or its refutation, begins; the rest as declared"
RATES = ("supported", "refuted", "open", "wrong", "coverage")
WIDE = 9
BEYOND = 3.0
"""Standard errors above its level at which a rate of wrong verdicts is reported as too high."""


@dataclass(frozen=True, slots=True)
class Sought:
    """What the search for a design came to."""

    target: float
    found: Found | None
    cells: int
    """Cells of the hypothesis, each of which has its seeds."""

    @property
    def text(self) -> str:
        """The design in words."""
        if self.found is None:
            return f"no design of up to {MOST_SEEDS} seeds a cell reaches a power of {short(self.target)}"
        n = self.found.seeds
        return f"{n} seeds a cell ({n * self.cells} runs) would do: power {_rate(self.found.power)}"


def tables(diagnoses: Sequence[Diagnosis], width: int = WIDTH) -> str:
    """Return one table a world, and one for all worlds on edges, none wider than `width`."""
    wide = max(len(_edge(d)) for d in diagnoses) if any(d.edge_of for d in diagnoses) else 0
    wide = max(wide, *(len(c.id) for d in diagnoses for c in d.predictions), len(CLAIM))
    parts = [world(d, width, wide) for d in diagnoses if not d.edge_of]
    edges = {_edge(d): c for d in diagnoses if d.edge_of for c in d.predictions if c.id == d.edge_of}
    if edges:
        parts.append("\n".join([*wrapped(EDGES, width), *_table(list(edges), list(edges.values()), wide, width)]))
    return "\n\n".join(parts)


def world(said: Diagnosis, width: int = WIDTH, wide: int = 0, title: str = "") -> str:
    """Return the table of one world; `title` stands in place of its name and meaning, `wide` is of the names."""
    named = title or f"{said.world}: {MEANT.get(said.world, '')}"
    rows = (*said.predictions, said.claim)
    head = wrapped(f"{named}; {cost(said)}", width, "", "  ")
    return "\n".join([*head, *_table([row.id for row in rows], rows, max(wide, len(CLAIM)), width)])


def cost(said: Diagnosis) -> str:
    """Return the runs that a diagnosis expects: `37.4 ± 0.1 of 40 runs`."""
    return f"{said.runs:.1f} ± {said.runs_se:.1f} of {said.planned} runs"


def reading(hypothesis: Hypothesis, diagnoses: Sequence[Diagnosis], sought: Sought | None = None) -> list[str]:
    """Return what a diagnosis means, one sentence a line; a warning where the claim has too little power."""
    lines = [_errors(hypothesis, diagnoses)]
    declared = next((d for d in diagnoses if d.world == "declared"), None)
    if declared is None:
        return [*lines, "No model is declared, so nothing is said about power. Declare `model`."]
    lines += _power(declared, sought)
    weak = [
        f"{c.id} {_rate(c.correct)}" for c in declared.predictions if c.role != "primary" and c.correct.value < ENOUGH
    ]
    if weak:
        lines.append(f"Auxiliary predictions with a power below {short(ENOUGH, 1)}: {', '.join(weak)}.")
    return lines


def warning(name: str, claim: Characteristics) -> str:
    """Return the line that `harness validate` prints for a declaration with too little power; empty where it has it."""
    if claim.correct.value >= ENOUGH:
        return ""
    power = f"{_rate(claim.correct)} over {claim.correct.of} simulations"
    rule = f"below {short(ENOUGH, 1)}. `harness diagnose {name}` names a design that would do."
    return f"warning: {name}: the power of the claim in its own model is {power}, {rule}"


def as_json(said: Diagnosis) -> dict[str, Any]:
    """Return a diagnosis as plain values."""
    return {
        "world": said.world,
        "edge_of": said.edge_of or None,
        "runs": {"mean": said.runs, "se": said.runs_se, "planned": said.planned},
        "claim": _plain(said.claim),
        "predictions": [_plain(c) for c in said.predictions],
    }


def _plain(said: Characteristics) -> dict[str, Any]:
    rates: Mapping[str, Rate | None] = {
        "supported": said.supported,
        "refuted": said.refuted,
        "open": said.open,
        "wrong": said.wrong,
        "right": said.correct,
        "coverage": said.coverage,
    }
    found = {name: None if r is None else {"value": r.value, "se": r.se, "of": r.of} for name, r in rates.items()}
    return {"id": said.id, "role": said.role, "truth": said.truth.said, "seeds": said.seeds, **found}


def _errors(hypothesis: Hypothesis, diagnoses: Sequence[Diagnosis]) -> str:
    level = {p.id: max(hypothesis.levels(p)) for p in hypothesis.predictions}
    level[CLAIM] = max(level[p.id] for p in hypothesis.primary())
    found = [(d, c) for d in diagnoses for c in _judged(d)]
    high = [(d, c) for d, c in found if c.wrong.value > level[c.id] + BEYOND * c.wrong.se]
    if high:
        where = ", ".join(f"{c.id} in {d.world} {_rate(c.wrong)}" for d, c in high)
        return f"warning: wrong verdicts more often than the level: {where}."
    d, c = max(found, key=lambda pair: pair[1].wrong.value)
    least = min(level.values())
    levels = f"{least:g}" if least == max(level.values()) else f"{least:g} to {max(level.values()):g}"
    return f"Wrong verdicts: at most {_rate(c.wrong, 3)} in every world ({c.id}, {d.world}); the level is {levels}."


def _judged(said: Diagnosis) -> Iterator[Characteristics]:
    """Yield what a world is about: all of it, or the one prediction that it is an edge of, and the claim."""
    yield from (c for c in said.predictions if not said.edge_of or c.id == said.edge_of)
    yield said.claim


def _power(declared: Diagnosis, sought: Sought | None) -> list[str]:
    claim = declared.claim
    what = {"support": "is supported", "refute": "is refuted"}.get(claim.truth.said, "stays open")
    lines = [f"If the model is right, the claim {what} {_rate(claim.correct)} of the time, for {cost(declared)}."]
    if not claim.truth.supports:
        lines.append("warning: the claim is not true in its own model. Mend the model, or the claim.")
    if claim.correct.value < ENOUGH:
        lines.append(f"warning: a power below {short(ENOUGH, 1)}{': ' + sought.text if sought else ''}.")
    elif sought is not None:
        lines.append(f"For a power of {short(sought.target)}: {sought.text}.")
    return lines


def _edge(said: Diagnosis) -> str:
    return f"{said.edge_of}, {said.world.split()[0]}" if said.edge_of else ""


def _table(names: Sequence[str], said: Sequence[Characteristics], wide: int, width: int) -> list[str]:
    rates = [(one.supported, one.refuted, one.open, one.wrong, one.coverage) for one in said]
    columns = [Column("", names, "<", wide), Column("truth", [one.truth.said for one in said], "<", 7)]
    for i, name in enumerate(RATES):
        columns.append(Column(name, [_rate(each[i]) for each in rates], ">", WIDE))
    columns.append(Column("seeds", [f"{one.seeds:.1f}" for one in said], ">", WIDE))
    return table(columns, 1, width, indent="  ")


def _rate(rate: Rate | None, digits: int = 2) -> str:
    return MISSING if rate is None else f"{short(rate.value, digits)} ± {short(rate.se, digits)}"
