"""The verdict card: what a verdict says, on one screen, plain text.

The heading carries the user's pass or fail; what is claimed, what it rests on, what would make it doubtful and what it
does not cover stand below it in a fixed order.
"""

import textwrap
from collections.abc import Iterator

from harness.publish.numbers import estimate, short
from harness.record.verdict import CellSummary, Outcome, PredictionVerdict, Reason, Verdict

HEADING = {Outcome.SUPPORTED: "PASS", Outcome.REFUTED: "FAIL", Outcome.INCONCLUSIVE: "OPEN", Outcome.UNTESTED: "OPEN"}
WIDTH = 110
LABEL = 11


def card(verdict: Verdict) -> str:
    """Return the card's text, without a line break at its end."""
    return "\n".join(_lines(verdict))


def _lines(verdict: Verdict) -> Iterator[str]:
    label = "confirmatory" if verdict.registered.confirmatory else "exploratory"
    yield (
        f"{verdict.hypothesis}  {HEADING[verdict.outcome]}  {verdict.outcome}   "
        f"{label}   protocol {verdict.protocol}   base {verdict.base}"
    )
    yield from _block("claim", verdict.claim)
    for i, line in enumerate(verdict.recipe):
        yield from _block("recipe" if i == 0 else "", line)
    for role in ("primary", "auxiliary"):
        for i, prediction in enumerate(p for p in verdict.predictions if p.role == role):
            yield from _prediction(role if i == 0 else "", prediction)
    yield from _block("context", context(verdict))
    yield from _block("reading", verdict.reading)
    for i, line in enumerate(integrity(verdict)):
        yield from _block("integrity" if i == 0 else "", line)
    yield from _block("not shown", "; ".join(verdict.not_shown) or "nothing declared")


def context(verdict: Verdict) -> str:
    """Return the base's accuracy and every cell's mean over its runs, with what became of them."""
    parts = [f"base {short(verdict.base_accuracy)}"]
    parts += [f"{cell.name} {short(cell.mean)}{_labels(cell)}" for cell in verdict.cells]
    bounds = f"collapsed < {short(verdict.collapsed_below, 3)}, trained > {short(verdict.trained_above, 3)}"
    return "   ".join(parts) + f"   ({bounds}; {verdict.n_items} problems)"


def integrity(verdict: Verdict) -> list[str]:
    """Return whether registration, seeds and runs hold, one sentence a line."""
    registered = verdict.registered
    first = (
        f"registered {registered.hash[:12]} before the first run; derived seeds"
        if registered.confirmatory
        else "; ".join(registered.deviations)
    )
    lost = verdict.planned_runs - verdict.used_runs
    lines = [f"{first}; {lost} of {verdict.planned_runs} runs without a result"]
    lines += [f"{run.run_id}: {run.reason}" for run in verdict.missing[:5]]
    if len(verdict.missing) > 5:
        lines.append(f"and {len(verdict.missing) - 5} more (in --json)")
    return lines


def _prediction(label: str, said: PredictionVerdict) -> Iterator[str]:
    yield from _block(label, f"{said.id}: {said.outcome}. {said.statement}")
    yield from _block("", f"{said.detail}")
    for shown in said.estimates:
        yield from _block("", f"  {shown.name}: {estimate(shown)}  (n = {shown.n_runs} runs, {shown.method})")
    why = "" if said.reason in (Reason.IN_SUPPORT, Reason.IN_REFUTE) else f"; {said.reason}"
    effect = "".join(f"; {effect.name} {effect.value:.2f}" for effect in said.effect_sizes)
    yield from _block("", f"  needs {said.needs} at one-sided {100 * (1 - said.alpha):g} %{effect}{why}")


def _labels(cell: CellSummary) -> str:
    said = ", ".join(f"{count} {name}" for name, count in cell.labels.items() if count)
    return f" ({said})" if said else " (no runs)"


def _block(label: str, text: str) -> list[str]:
    indent = " " * LABEL
    return textwrap.wrap(
        text, WIDTH, initial_indent=f"{label:<{LABEL}}", subsequent_indent=indent, drop_whitespace=True
    ) or [label]
