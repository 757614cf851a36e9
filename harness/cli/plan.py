"""`harness plan`: which runs are needed, by whom, which exist, what others cost, why a run is none that exists."""

from collections.abc import Mapping, Sequence

import click

from harness.campaign.bench import Bench
from harness.campaign.beside import with_rivals
from harness.campaign.foreseen import foreseen
from harness.campaign.outlook import Outlook, outlook
from harness.cli.campaign import asked, tell_left_out
from harness.cli.mistakes import meant, nearest_run
from harness.cli.names import hypothesis_names, run_names
from harness.cli.session import (
    Session,
    models_option,
    no_rivals_option,
    output_options,
    pass_session,
    protocol_option,
)
from harness.plan import Difference, PlannedBase, PlannedRun, RunSet, nearest
from harness.publish.plan import plan_table
from harness.record.job import JobDirectory, State
from harness.spec import Hypothesis


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME...]", shell_complete=hypothesis_names)
@protocol_option
@models_option
@no_rivals_option
@click.option(
    "--why",
    metavar="RUN",
    shell_complete=run_names,
    help="Why this run is needed, and how it differs from the nearest that exists.",
)
@output_options
@pass_session
def command(
    session: Session,
    names: tuple[str, ...],
    protocol: str | None,
    models: tuple[str, ...],
    no_rivals: bool,
    why: str | None,
) -> int:
    """Show the runs that the claims NAME and their rivals need (all claims without one), and execute nothing.

    Needs no network: a base whose revision is not resolved to a commit yet is planned and marked.
    """
    bench = Bench(session.shelf, session.store, session.protocol_name(protocol))
    bases, planned = (bench.bases(models), bench.planned_bases(models)) if models else (None, None)
    hypotheses = asked(bench, names) if names else _catalogue(session, bench, planned)
    if names and not no_rivals:
        hypotheses, left_out = with_rivals(bench, hypotheses, planned)
        tell_left_out(session, left_out)
    if names:
        bench.check_bases(hypotheses, planned)
    if why is not None:
        return _why(session, bench, foreseen(bench, hypotheses, bases), why)
    found = outlook(bench, hypotheses, bases)
    session.emit(_said(bench, found), plan_table(found, session.width))
    return 0


def _catalogue(session: Session, bench: Bench, bases: Sequence[PlannedBase] | None) -> Mapping[str, Hypothesis]:
    """Return every claim that the protocol can ask of these bases, or of its own choice; say of the others why not."""
    _ = bench.protocol  # its own mistakes are raised here
    found, left_out = bench.askable(session.shelf.names("hypotheses"), bases)
    tell_left_out(session, left_out)
    return found


def _said(bench: Bench, found: Outlook) -> dict[str, object]:
    listed = [
        {
            "run": run.id,
            "base": run.base.name,
            "cell": run.cell.slug(),
            "seed": run.identity["seed"],
            "block": run.block,
            "state": "cached" if run.id in found.there else "new",
            "needed_by": run.needed_by,
            "provisional": run.base.provisional,
            **_cost(found, run),
        }
        for run in found.runs.runs
    ]
    bases = [
        {
            "base": base.name,
            "id": base.id,
            "state": str(bench.base_job(base).state()),
            "provisional": base.provisional,
            "gpu_hours": found.base_hours.get(base.name),
        }
        for base in found.runs.bases
    ]
    totals = {"gpu_hours": found.gpu_hours, "cpu_minutes": found.cpu_minutes, "runs_without_cost": found.unknown}
    open_ones = {"unresolved": found.unresolved, "provisional": found.unpinned}
    return {"bases": bases, "runs": listed, "first_look": found.first, "new": totals, **open_ones}


def _cost(found: Outlook, run: PlannedRun) -> dict[str, object]:
    if (cost := found.costs.get((run.base.name, run.cell))) is not None:
        memory = {"gib": cost.memory.peak, "complete": cost.memory.complete, "fits": cost.fits}
        return {"gpu_hours": cost.gpu_hours, "memory": memory, "generated_tokens": cost.generated}
    spent = found.minutes.get(run.id)
    return {"cpu_minutes": spent[0] if spent else None}


def _why(session: Session, bench: Bench, runs: RunSet, why: str) -> int:
    planned = [run for run in runs.runs if run.id.startswith(why) or run.id.endswith(why)]
    if len(planned) != 1:
        told = "no planned run" if not planned else f"{len(planned)} planned runs"
        hint = "" if planned else meant(nearest_run(why, (run.id for run in runs.runs)))
        raise click.ClickException(f"{told} of this name: {why}.{hint} `harness plan --json` lists them all.")
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
