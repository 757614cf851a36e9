"""A plan as a table: a line for each base and cell, a column for each claim that asks, and what it would cost."""

from collections import Counter
from collections.abc import Sequence

from harness.campaign.outlook import Outlook
from harness.plan import PlannedRun
from harness.plan.cost import UNCERTAINTY
from harness.publish.width import WIDTH, Column, table
from harness.source.seeds import CONFIRM, TUNE
from harness.spec import Cell

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def plan_table(plan: Outlook, width: int = WIDTH) -> str:
    """Return the plan as text, its table in `width` columns; its last line counts the runs."""
    runs = plan.runs
    asked_for = Counter(reason for run in runs.runs for reason in run.needed_by)
    lines = [*_rows(plan, width), *_claims(plan)]
    lines += [f"{count:>4} runs for {reason}" for reason, count in asked_for.items()]
    if tuning := sum(run.block == TUNE for run in runs.runs):
        lines.append(f"{tuning:>4} runs to tune by; what their arms need then is counted at the protocol's own rate")
    late = Counter(run.block for run in runs.runs if run.block not in (CONFIRM, TUNE))
    lines += [f"{count:>4} runs with fresh seeds ({block}): older ones had begun" for block, count in late.items()]
    if plan.first < len(runs.runs):
        lines.append(f"{plan.first:>4} runs for the first look; the rest only where a prediction is still open")
    if plan.unresolved:
        rule = "no commit yet, so ids are provisional until `register` or `run` finds one"
        lines.append(f"unresolved: {', '.join(plan.unresolved)}: {rule}")
    if plan.unpinned:
        rule = "ids and seeds are provisional, counts are not. `harness register` finds it out"
        lines.append(f"not known yet: {', '.join(plan.unpinned)}. {rule}")
    lines += _costs(plan)
    saved = sum(asked_for.values()) - len(runs.runs)
    lines.append(
        f"{len(runs.runs)} runs in all on {len(runs.bases)} bases: {len(plan.new)} new, "
        f"{len(plan.there)} cached; sharing saves {saved}"
    )
    return "\n".join(lines)


def _rows(plan: Outlook, width: int) -> list[str]:
    cells: dict[tuple[str, Cell], list[PlannedRun]] = {}
    for run in plan.runs.runs:
        cells.setdefault((run.base.name, run.cell), []).append(run)
    have = [sum(run.id in plan.there for run in runs) for runs in cells.values()]
    each = [_each(plan, runs) for runs in cells.values()]
    columns = [
        Column("base", [base for base, _ in cells], "<"),
        Column("cell", [cell.slug() for _, cell in cells], "<"),
        Column("new", [str(len(runs) - n) for runs, n in zip(cells.values(), have, strict=True)], ">", 4),
        Column("cached", [str(n) for n in have], ">", 7),
        Column("each", [time for time, _ in each], ">", 10),
        Column("memory", [memory for _, memory in each], ">", 8),
        Column(f" {_letters(plan)}", [f" {_marks(plan, runs)}" for runs in cells.values()], "<"),
    ]
    return table(columns, 2, width, gap=" ")


def _marks(plan: Outlook, runs: Sequence[PlannedRun]) -> str:
    """Return a letter for each claim: whether it asks for these runs."""
    asking = {name.split("/")[0] for run in runs for name in run.needed_by}
    return "".join("x" if name in asking else "." for name in plan.hypotheses)


def _letters(plan: Outlook) -> str:
    return "".join(LETTERS[i % len(LETTERS)] for i in range(len(plan.hypotheses)))


def _each(plan: Outlook, runs: Sequence[PlannedRun]) -> tuple[str, str]:
    """Return what one run of a cell takes, time and memory, as far as it is known."""
    if (cost := plan.costs.get((runs[0].base.name, runs[0].cell))) is not None:
        at_least = "" if cost.memory.complete else ">"
        return f"{cost.gpu_hours:.2g} GPU-h", f"{at_least}{cost.memory.peak:.0f} GiB{'' if cost.fits else '!'}"
    found = next((plan.minutes[run.id] for run in runs if run.id in plan.minutes), None)
    return (f"{'' if found[1] else '~'}{found[0]:.2g} min" if found else "-"), "-"


def _claims(plan: Outlook) -> list[str]:
    """Return the key of the columns."""
    return [f"   {letter} {name}" for letter, name in zip(_letters(plan), plan.hypotheses, strict=True)]


def _costs(plan: Outlook) -> list[str]:
    lines: list[str] = []
    if plan.costs:
        bases = f", {sum(plan.base_hours.values()):.2g} of them for bases" if plan.base_hours else ""
        low, high = plan.gpu_hours / UNCERTAINTY, plan.gpu_hours * UNCERTAINTY
        rule = f"reckoned from declarations, to within a factor of {UNCERTAINTY:g}: {low:.3g} to {high:.3g}"
        lines.append(f"cost of what is new: {plan.gpu_hours:.3g} GPU-hours on {plan.gpu}{bases}; {rule}")
    tight = {(base, cell.slug()) for (base, cell), cost in plan.costs.items() if not cost.fits}
    if tight:
        gib = next(iter(plan.costs.values())).device_gib
        lines.append(
            f"! {len(tight)} cells need more memory than the {gib:.0f} GiB of {plan.gpu}, and cannot run there"
        )
    if plan.cpu_minutes:
        lines.append(
            f"cost of what is new: {plan.cpu_minutes:.3g} CPU-minutes, by finished runs of this store (~ of others)"
        )
    if plan.unknown:
        lines.append(
            f"{plan.unknown:>4} new runs of unknown cost: nothing like them was run, or no hardware is declared"
        )
    return lines
