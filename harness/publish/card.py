"""The verdict card: what a verdict says, on one screen, plain text.

The heading carries the user's pass or fail; below it, in a fixed order, what is claimed, what it rests on, what would
make it doubtful and what it does not cover. Estimates that agree in all figures share a line. What is said is settled
before it is laid out, so that a card is the same at every width.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from harness.campaign.beside import Beside, ReportedSaid, RivalSaid
from harness.publish.numbers import estimate, short
from harness.publish.width import WIDTH, wrapped
from harness.record.verdict import CellSummary, Outcome, PredictionVerdict, Reason, Tuned, Verdict

HEADING = {Outcome.SUPPORTED: "PASS", Outcome.REFUTED: "FAIL"}
"""What a heading says of an outcome; all others are OPEN."""
EXPECTED = ("not executed", "not in the table")
"""Reasons for a missing run that are counted, not listed."""
NOTHING = Beside()
LABEL = 12
OUTCOME = 13
"""Columns kept on the right for a prediction's outcome."""
TERMS = 48
"""Columns kept on the right of the heading, for the label, the protocol and the base."""


@dataclass(frozen=True, slots=True)
class _Block:
    """A text with a label on its left, and on the right of its first line an outcome where one was found."""

    label: str
    text: str
    outcome: str = ""

    def lines(self, width: int) -> list[str]:
        indent = " " * (LABEL + len(self.text) - len(self.text.lstrip()))
        room = width - max(OUTCOME, len(self.outcome) + 1) if self.outcome else width
        first = f"{self.label:<{LABEL}}" + indent[LABEL:]
        lines = wrapped(self.text.lstrip(), room, first, indent)
        return [f"{lines[0]:<{room}} {self.outcome}", *lines[1:]] if self.outcome else lines


def card(verdict: Verdict, beside: Beside = NOTHING, width: int = WIDTH) -> str:
    """Return the card's text in lines of at most `width` columns, without a line break at its end."""
    lines = _heading(verdict, beside, width)
    return "\n".join([*lines, *(line for block in _blocks_of(verdict, beside) for line in block.lines(width))])


def _heading(verdict: Verdict, beside: Beside, width: int) -> list[str]:
    label = "confirmatory" if verdict.registered.confirmatory else "exploratory"
    left = f"{verdict.hypothesis}  {HEADING.get(verdict.outcome, 'OPEN')}  {verdict.outcome}"
    if beside.reproduced_by and verdict.outcome is Outcome.SUPPORTED:
        left += f"; {_and(beside.reproduced_by)} would give the same"
    terms = f"{label}   protocol {verdict.protocol}   base {verdict.base}"
    line = f"{left:<{max(width - TERMS, 0)}}  {terms}"
    if len(line) <= width:
        return [line]
    indent = " " * LABEL
    return [*wrapped(left, width, "", indent), *wrapped(terms, width, indent)]


def _blocks_of(verdict: Verdict, beside: Beside) -> Iterator[_Block]:
    yield _Block("claim", verdict.claim)
    yield from _blocks("recipe", verdict.recipe)
    yield from _blocks("tuned", [tuned(said) for said in verdict.tuned])
    for role in ("primary", "auxiliary", "exploratory"):
        for i, prediction in enumerate(p for p in verdict.predictions if p.role == role):
            yield from _prediction(role if i == 0 else "", prediction)
    yield from _blocks("direction", verdict.directions)
    yield from _blocks("context", context(verdict))
    for i, rival in enumerate(beside.rivals):
        yield from _rival("rivals" if i == 0 else "", rival)
    yield from _blocks("reported", [reported(said) for said in beside.reported])
    yield _Block("reading", verdict.reading)
    yield _Block("stands", beside.stands)
    yield from _blocks("integrity", integrity(verdict))
    yield _Block("not shown", "; ".join(verdict.not_shown) or "nothing declared")


def tuned(said: Tuned) -> str:
    """Return the rate that was chosen for an arm, and the validation accuracies that it was chosen from."""
    most = max(each.runs for each in said.tried)
    tried = ", ".join(
        f"x{each.learning_rate_scale:g} {short(each.mean)}" + (" in one run" if each.runs == 1 < most else "")
        for each in said.tried
    )
    if said.learning_rate_scale is None:
        return f"{said.arm}: none chosen ({tried})"
    ends = (said.tried[0].learning_rate_scale, said.tried[-1].learning_rate_scale)
    edge = ", at the edge of the list" if said.learning_rate_scale in ends else ""
    return f"{said.arm}: rate x{said.learning_rate_scale:g}{edge}, by validation accuracy ({tried})"


def _rival(label: str, said: RivalSaid) -> Iterator[_Block]:
    """Yield a rival's cause with its outcome, and its primary predictions with theirs."""
    outcome = "no verdict" if said.outcome is None else str(said.outcome)
    yield _Block(label, f"{said.rival.explains} ({said.rival.hypothesis})", outcome)
    for prediction in said.verdict.predictions if said.verdict else ():
        if prediction.role == "primary":
            yield _Block("", f"  {prediction.statement} {prediction.outcome}: {prediction.detail}")


def reported(said: ReportedSaid) -> str:
    """Return what others reported, by whom, and what the same cell has here."""
    of = said.reported
    spread = "" if of.spread is None else f" +- {short(of.spread)}"
    what = of.result if of.value is None else f"{short(of.value)}{spread}"
    here = "" if of.arm is None else f"; here {short(said.here)}" if said.here is not None else "; not run here"
    return f"{of.setting}: {what} ({of.source}){here}"


def context(verdict: Verdict) -> list[str]:
    """Return the base's accuracy, every cell's mean over its runs with what became of them, and what labels mean."""
    said = cells(verdict)
    lines = ["   ".join(said[i : i + 3]) for i in range(0, len(said), 3)]
    return [*landmarks(verdict), *lines]


def landmarks(verdict: Verdict) -> list[str]:
    """Return the base's accuracy and what labels mean, in one sentence; nothing where the base's is unknown."""
    if verdict.base_accuracy is None:
        return []
    bounds = f"collapsed < {short(verdict.collapsed_below, 3)}, trained > {short(verdict.trained_above, 3)}"
    of = "" if verdict.n_items is None else f"{verdict.n_items} "
    return [f"base {short(verdict.base_accuracy)} on {of}held-out problems; {bounds}"]


def cells(verdict: Verdict) -> list[str]:
    """Return every cell's mean over its runs with what became of them."""
    return [f"{cell.name} {short(cell.mean)}{_labels(cell)}" for cell in verdict.cells]


def integrity(verdict: Verdict) -> list[str]:
    """Return whether registration, seeds and runs hold, one sentence a line."""
    registered = verdict.registered
    what = "the table was adopted" if verdict.base_id.startswith("table ") else "the first run"
    held = f"registered {registered.hash[:12]} before {what}"
    first = held if registered.confirmatory else "; ".join(registered.deviations)
    spared = sum(run.reason in EXPECTED for run in verdict.missing)
    lost = verdict.planned_runs - verdict.used_runs - spared
    not_needed = f", {spared} more were planned and not executed" if spared else ""
    lines = [f"{first}; {lost} of {verdict.planned_runs - spared} runs without a result{not_needed}"]
    lines += [*(registered.held if verdict.used_runs else ()), *registered.notes]
    telling = [run for run in verdict.missing if run.reason not in EXPECTED]
    lines += [f"{run.run_id}: {run.reason}" for run in telling[:5]]
    if len(telling) > 5:
        lines.append(f"and {len(telling) - 5} more (in --json)")
    return lines


def _prediction(label: str, said: PredictionVerdict) -> Iterator[_Block]:
    yield _Block(label, said.statement, str(said.outcome))
    yield from (_Block("", f"  {line}") for line in _estimates(said))
    effects = "".join(f"; {effect.name} {effect.value:.2g}" for effect in said.effect_sizes)
    over = f" over {len(said.looks)} looks" if len(said.looks) > 1 else ""
    yield _Block("", f"  needs {said.needs}; limits at one-sided {100 * (1 - said.alpha):g} %{over}{effects}")
    yield from (_Block("", f"  {text}") for text in terms(said))
    if said.reason not in (Reason.IN_SUPPORT, Reason.IN_REFUTE, Reason.STRADDLES):
        yield _Block("", f"  {said.reason}: {said.detail}")


def terms(said: PredictionVerdict) -> Iterator[str]:
    """Yield how it was decided: the look, in which way it was refuted, what more runs might do, what it is based on."""
    parts = [f"look {said.look} of {len(said.looks)}, {said.looks[said.look - 1]} runs a cell"]
    parts = parts if len(said.looks) > 1 else []
    parts += [f"refuted: {said.how}"] if said.how else []
    parts += [f"attainable p {said.attainable_p:.2g}"] if said.attainable_p is not None else []
    parts += [f"q {said.q:.2g} (false discovery rate)"] if said.q is not None else []
    if said.runs_to_resolve:
        runs = f"{said.runs_to_resolve} more run{'' if said.runs_to_resolve == 1 else 's'}"
        parts.append(f"{runs} a cell would resolve it at this estimate and spread")
    parts += [f"given {said.assumptions}"] if said.kind != "collapse_probability" and said.estimates else []
    if parts:
        yield "; ".join(parts)


def _estimates(said: PredictionVerdict) -> Iterator[str]:
    """Yield one line for neighbouring estimates that agree in value, limits, unit and number of runs.

    An association's units are bases, or families.
    """
    counted = "units" if said.kind == "association" else "runs"
    for figures, group in groupby(said.estimates, key=lambda each: (estimate(each), each.n_runs)):
        text, n = figures
        names = [each.name for each in group]
        every = "each " if len(names) > 1 else ""
        yield f"{_joined(names)}: {every}{text}, {every}{n} {counted}"


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _joined(names: Sequence[str]) -> str:
    """Return names as a list that says their common first word once: `P(collapsed) r=8, r=16`."""
    first = names[0].split(" ", 1)[0] + " "
    rest = [name.removeprefix(first) for name in names[1:]]
    return ", ".join([names[0], *rest])


def _labels(cell: CellSummary) -> str:
    said = [f"{count} {name}" for name, count in cell.labels.items() if count]
    if cell.launched is not None and cell.labels.get("collapsed"):
        never = cell.labels["collapsed"] - cell.launched
        ways = [f"{never} never launched"] if never else []
        ways += [f"{cell.launched} launched first"] if cell.launched else []
        said[0] += f": {', '.join(ways)}"
    return f" ({', '.join(said)})" if said else " (no runs)"


def _blocks(label: str, texts: Sequence[str]) -> Iterator[_Block]:
    yield from (_Block(label if i == 0 else "", text) for i, text in enumerate(texts))
