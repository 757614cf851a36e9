"""`harness test`: register, plan, run what is missing, decide, print the card."""

import click

from harness.campaign.bench import Bench
from harness.campaign.verdicts import verdict_on
from harness.cli.campaign import FAILED, asked, execute, tell_failures
from harness.cli.session import (
    Session,
    models_option,
    output_options,
    pass_session,
    protocol_option,
    workers_option,
)
from harness.publish.card import card
from harness.record.verdict import Outcome, Verdict
from harness.record.verdict_files import as_json

GATE = {Outcome.SUPPORTED: 0, Outcome.REFUTED: 10, Outcome.INCONCLUSIVE: 11, Outcome.UNTESTED: 12}
WORST = (Outcome.REFUTED, Outcome.UNTESTED, Outcome.INCONCLUSIVE, Outcome.SUPPORTED)
"""From worst to best, where several verdicts are gated together."""


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@protocol_option
@models_option
@workers_option
@click.option("--no-run", is_flag=True, help="Decide on the runs that exist; execute none.")
@click.option("--gate", is_flag=True, help="Exit 0 supported, 10 refuted, 11 inconclusive, 12 untested.")
@output_options
@pass_session
def command(
    session: Session,
    names: tuple[str, ...],
    protocol: str | None,
    models: tuple[str, ...],
    workers: int | None,
    no_run: bool,
    gate: bool,
) -> int:
    """Run what the claims NAME need on each base, decide, and print their verdict cards.

    What exists is not run again: repeating the command resumes, and a finished one only prints.
    """
    bench = Bench(session.shelf, session.store, session.protocol_name(protocol))
    hypotheses = asked(bench, names)
    runs = bench.plan(hypotheses, bench.bases(models))
    progress = [] if no_run else execute(session, bench, runs, workers)
    tell_failures(bench.failed)
    made = [base for base in runs.bases if bench.base_job(base).manifest() is not None]
    if not made and no_run:
        raise click.ClickException("no base has been made yet, so there is nothing to decide. Repeat without --no-run.")
    verdicts = [verdict_on(bench, name, hypotheses[name], base) for base in made for name in hypotheses]
    executed = sum(part.executed for part in progress if part.what == "runs")
    if not executed and not no_run and not bench.failed:
        session.note(f"all {len(runs.runs)} runs are there; none executed")
    said = [{**as_json(verdict), "passed": verdict.passed} for verdict in verdicts]
    cards = _cards(verdicts) or "no verdict: no base was made"
    session.emit({"verdicts": said, "executed": executed, "failed": bench.failed}, cards)
    if bench.failed:
        return FAILED
    return GATE[_worst(verdicts)] if gate else 0


def _cards(verdicts: list[Verdict]) -> str:
    return "\n\n".join(card(verdict) for verdict in verdicts)


def _worst(verdicts: list[Verdict]) -> Outcome:
    """Return the worst outcome; a verdict that is not confirmatory never counts as supported."""
    outcomes = {
        Outcome.INCONCLUSIVE if v.outcome is Outcome.SUPPORTED and not v.registered.confirmatory else v.outcome
        for v in verdicts
    }
    return next(outcome for outcome in WORST if outcome in outcomes)
