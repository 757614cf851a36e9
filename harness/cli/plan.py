"""`harness plan`: which runs are needed, by whom, which of them exist, and why a run is not one that exists."""

from collections import Counter
from collections.abc import Sequence

import click

from harness.campaign.bench import Bench
from harness.campaign.foreseen import foreseen
from harness.campaign.looks import at_first
from harness.cli.campaign import asked
from harness.cli.session import Session, models_option, output_options, pass_session, protocol_option
from harness.plan import Difference, PlannedRun, RunSet, nearest
from harness.record.job import JobDirectory, State
from harness.source.seeds import CONFIRM, TUNE


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME...]")
@protocol_option
@models_option
@click.option("--why", metavar="RUN", help="Why this run is needed, and how it differs from the nearest that exists.")
@output_options
@pass_session
def command(
    session: Session, names: tuple[str, ...], protocol: str | None, models: tuple[str, ...], why: str | None
) -> int:
    """Show the runs that the claims NAME need (all claims without one); registers and executes nothing."""
    bench = Bench(session.shelf, session.store, session.protocol_name(protocol))
    hypotheses = asked(bench, names)
    bench.check_bases(hypotheses, bench.planned_bases(models) if models else None)
    runs = foreseen(bench, hypotheses, bench.bases(models) if models else None)
    if why is not None:
        return _why(session, bench, runs, why)
    there = {run.id for run in runs.runs if bench.run_job(run).state() is State.COMMITTED}
    listed = [
        {
            "run": run.id,
            "base": run.base.name,
            "cell": run.cell.slug(),
            "seed": run.identity["seed"],
            "block": run.block,
            "state": "cached" if run.id in there else "new",
            "needed_by": run.needed_by,
        }
        for run in runs.runs
    ]
    bases = [{"base": base.name, "id": base.id, "state": str(bench.base_job(base).state())} for base in runs.bases]
    first = at_first(hypotheses, runs)
    unknown = list(bench.unpinned())
    said = {"bases": bases, "runs": listed, "first_look": first, "provisional": unknown}
    session.emit(said, "\n".join([_text(runs, there, first), *_provisional(unknown)]))
    return 0


def _text(runs: RunSet, there: set[str], first: int) -> str:
    asked_for = Counter(reason for run in runs.runs for reason in run.needed_by)
    cells = Counter((run.base.name, run.cell.slug()) for run in runs.runs)
    cached = Counter((run.base.name, run.cell.slug()) for run in runs.runs if run.id in there)
    wide = max((len(cell) for _, cell in cells), default=4)
    lines = [f"{'base':<10} {'cell':<{wide}} {'new':>4} {'cached':>7}"]
    for key, total in cells.items():
        lines.append(f"{key[0]:<10} {key[1]:<{wide}} {total - cached[key]:>4} {cached[key]:>7}")
    lines += [f"{count:>4} runs for {reason}" for reason, count in asked_for.items()]
    tuning = sum(run.block == TUNE for run in runs.runs)
    lines += [f"{tuning:>4} runs to tune by; what their arms need then is counted at the protocol's own rate"] * bool(
        tuning
    )
    late = Counter(run.block for run in runs.runs if run.block not in (CONFIRM, TUNE))
    lines += [f"{count:>4} runs with fresh seeds ({block}): older ones had begun" for block, count in late.items()]
    if first < len(runs.runs):
        lines.append(f"{first:>4} runs for the first look; the rest only where a prediction is still open")
    saved = sum(asked_for.values()) - len(runs.runs)
    lines.append(
        f"{len(runs.runs)} runs in all on {len(runs.bases)} bases: {len(runs.runs) - len(there)} new, "
        f"{len(there)} cached; sharing saves {saved}"
    )
    return "\n".join(lines)


def _provisional(unknown: Sequence[str]) -> list[str]:
    """Return a line where identities are not final, because something that they rest on is not known yet."""
    rule = "ids and seeds are provisional, counts are not. `harness register` finds it out"
    return [f"not known yet: {', '.join(unknown)}. {rule}"] if unknown else []


def _why(session: Session, bench: Bench, runs: RunSet, why: str) -> int:
    planned = [run for run in runs.runs if run.id.startswith(why) or run.id.endswith(why)]
    if len(planned) != 1:
        told = "no planned run" if not planned else f"{len(planned)} planned runs"
        raise click.ClickException(f"{told} of this name: {why}. `harness plan --json` lists them all.")
    run = planned[0]
    existing = (JobDirectory(path) for path in sorted(bench.store.runs.glob("*")))
    committed = [(job.id, job.spec()["identity"]) for job in existing if job.state() is State.COMMITTED]
    found = nearest(run.identity, committed)
    said = {"run": run.id, "needed_by": run.needed_by, "nearest": found.run_id if found else None}
    session.emit({**said, "differs_in": found.fields if found else None}, _why_text(run, found))
    return 0


def _why_text(run: PlannedRun, found: Difference | None) -> str:
    lines = [run.id, *(f"  needed by {reason}" for reason in run.needed_by)]
    if found is None:
        return "\n".join([*lines, "  no run exists yet"])
    if not found.fields:
        return "\n".join([*lines, "  it exists"])
    lines.append(f"  nearest existing run: {found.run_id}; it differs in")
    lines += [f"    {key}: wanted {wanted}, has {has}" for key, (wanted, has) in found.fields.items()]
    return "\n".join(lines)
