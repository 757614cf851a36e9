"""`harness run`: execute what is missing, decide nothing."""

import click

from harness.campaign.bench import Bench
from harness.campaign.engines import Engine
from harness.campaign.execution import Progress
from harness.campaign.foreseen import needed, unfinished_tunings
from harness.cli.campaign import FAILED, asked, execute, pin, tell_failures
from harness.cli.detached import leave_at_work
from harness.cli.names import hypothesis_names
from harness.cli.session import (
    Session,
    engine_option,
    explore_option,
    models_option,
    output_options,
    pass_session,
    protocol_option,
    workers_option,
)
from harness.plan import RunSet, union


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME...]", shell_complete=hypothesis_names)
@protocol_option
@models_option
@workers_option
@engine_option
@explore_option
@click.option("--detach", is_flag=True, help="Leave the command at work in the background.")
@output_options
@pass_session
def command(
    session: Session,
    names: tuple[str, ...],
    protocol: str | None,
    models: tuple[str, ...],
    workers: int | None,
    engine: Engine,
    explore: bool,
    detach: bool,
) -> int:
    """Execute the runs that the claims NAME need (all claims of the shelf without one)."""
    if detach:
        return leave_at_work(session)
    bench = Bench(session.shelf, session.store, session.protocol_name(protocol), explore)
    pin(session, bench)
    hypotheses, bases = asked(bench, names), bench.bases(models) if models else None
    bench.check_bases(hypotheses, bench.planned_bases(models) if models else None)
    bench.register_shelf()  # before planning: a registration decides the seeds
    progress: list[Progress] = []
    tuning = RunSet((), ())
    while (open_ones := unfinished_tunings(bench, hypotheses, bases)).runs:
        progress += execute(session, bench, open_ones, engine, workers, "to tune by")
        tuning = union([tuning, open_ones])
    own = needed(bench, hypotheses, bases)
    progress += execute(session, bench, own, engine, workers)
    tell_failures(bench.failed)
    runs = union([tuning, own])
    executed = sum(part.executed for part in progress if part.what.startswith("runs"))
    failed = sum(run.id in bench.failed for run in runs.runs)
    text = f"{executed} runs executed, {len(runs.runs) - executed - failed} were there already"
    session.emit({"executed": executed, "planned": len(runs.runs), "failed": bench.failed}, text)
    return FAILED if bench.failed else 0
