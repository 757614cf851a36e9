"""`harness test`: register, plan, run what is missing look by look, decide, print the card."""

from collections.abc import Mapping, Sequence

import click

from harness.campaign.bench import Bench
from harness.campaign.beside import with_rivals
from harness.campaign.engines import Engine
from harness.campaign.looks import due
from harness.campaign.verdicts import made_subjects, verdict_on
from harness.cli.campaign import FAILED, as_shown, asked, execute, pin, shown, tell_failures, tell_left_out
from harness.cli.campaign import models as named_models
from harness.cli.names import hypothesis_names
from harness.cli.session import (
    Session,
    engine_option,
    explore_option,
    models_option,
    no_rivals_option,
    output_options,
    pass_session,
    protocol_option,
    workers_option,
)
from harness.plan import PlannedBase
from harness.record.adopted import AdoptedTable
from harness.record.verdict import Outcome, Verdict
from harness.spec import Hypothesis

INTEGRITY = 3
GATE = {Outcome.SUPPORTED: 0, Outcome.REFUTED: 10, Outcome.INCONCLUSIVE: 11, Outcome.UNTESTED: 12}
WORST = (Outcome.REFUTED, Outcome.UNTESTED, Outcome.INCONCLUSIVE, Outcome.SUPPORTED)
"""From worst to best, where several verdicts are gated together."""


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME...]", shell_complete=hypothesis_names)
@click.option("--all", "every", is_flag=True, help="Test every claim that this protocol can ask.")
@protocol_option
@models_option
@workers_option
@engine_option
@explore_option
@no_rivals_option
@click.option("--no-run", is_flag=True, help="Decide on the runs that exist; execute none.")
@click.option("--gate", is_flag=True, help="Exit 0 supported, 10 refuted, 11 inconclusive, 12 untested.")
@output_options
@pass_session
def command(
    session: Session,
    names: tuple[str, ...],
    every: bool,
    protocol: str | None,
    models: tuple[str, ...],
    workers: int | None,
    engine: Engine,
    explore: bool,
    no_rivals: bool,
    no_run: bool,
    gate: bool,
) -> int:
    """Run what the claims NAME and their rivals need on each base, decide, and print the claims' verdict cards.

    Runs come look by look, until every prediction is settled. What exists is not run again: repeating the command
    resumes, and a finished one only prints. --models also takes the names of adopted tables (`harness runs import`).
    """
    if bool(names) == every:
        both = f"--all takes every claim, {names[0]} among them. Leave one out." if names else ""
        raise click.UsageError(both or "name the claims to test, or say --all.")
    bench = Bench(session.shelf, session.store, session.protocol_name(protocol), explore, retry=not no_run)
    if not no_run:
        pin(session, bench)
    bases, tables = named_models(session, bench, models)
    claims, left_out = bench.askable(bench.shelf.names("hypotheses"), bases) if every else (asked(bench, names), {})
    hypotheses, rivals_left_out = (claims, {}) if no_rivals else with_rivals(bench, claims, bases)
    tell_left_out(session, left_out | rivals_left_out)
    if bases != ():
        bench.check_bases(hypotheses, bases)
    if not no_run and bases != ():
        bench.register_shelf()  # before planning: a registration decides the seeds
    executed = 0 if no_run else _look_by_look(session, bench, hypotheses, bases, engine, workers)
    tell_failures(bench.failed)
    found = {name: made_subjects(bench, hypothesis, bases) for name, hypothesis in hypotheses.items()}
    if not any(found.values()) and no_run and not tables:
        absent = f"none of {', '.join(base.name for base in bases)}" if bases else "no base"
        raise click.ClickException(f"{absent} has been made yet, so nothing is to decide. Repeat without --no-run.")
    verdicts = [
        verdict_on(bench, name, hypothesis, subject)
        for name, hypothesis in hypotheses.items()
        for subject in found[name]
    ]
    verdicts += [
        _on_table(bench, name, hypothesis, table) for name, hypothesis in hypotheses.items() for table in tables
    ]
    if bases != () and not executed and not no_run and not bench.failed:
        session.note("no run executed: every prediction is settled")
    asked_for = [verdict for verdict in verdicts if verdict.hypothesis in claims]
    said, cards = shown(bench, asked_for, verdicts, session.width)
    others = [as_shown(verdict) for verdict in verdicts if verdict.hypothesis not in claims]
    stage = {"verdicts": said, "rivals": others, "executed": executed, "failed": bench.failed}
    session.emit(stage, cards or "no verdict: no base was made")
    return _status(session, asked_for, bench, gate=gate)


def _look_by_look(
    session: Session,
    bench: Bench,
    hypotheses: Mapping[str, Hypothesis],
    bases: Sequence[PlannedBase] | None,
    engine: Engine,
    workers: int | None,
) -> int:
    """Execute what the open predictions need until none is open; return how many runs it took."""
    executed, last = 0, None
    while (now := due(bench, hypotheses, bases)) is not None and now.runs != last:
        ends = execute(
            session, bench, now.runs, engine, workers, f"look {now.look} of {now.looks}" if now.looks > 1 else ""
        )
        executed += sum(part.executed for part in ends if part.what.startswith("runs"))
        last = now.runs  # whatever is missing now has failed: asking again would change nothing
    return executed


def _on_table(bench: Bench, name: str, hypothesis: Hypothesis, table: AdoptedTable) -> Verdict:
    from harness.campaign.adopted import verdict_on_table  # numpy, 0.1 s

    return verdict_on_table(bench, name, hypothesis, table)


def _status(session: Session, verdicts: list[Verdict], bench: Bench, *, gate: bool) -> int:
    """Return the exit status: changed declarations and results go before failed runs, these before the gate."""
    changed = [verdict for verdict in verdicts if verdict.registered.violated]
    for verdict in changed:
        rule = "Restore the declaration, or `harness register {0} --amend --reason TEXT`, or `test --explore`."
        said = "; ".join(verdict.registered.deviations)
        click.echo(f"{verdict.hypothesis} on {verdict.base}: {said}. {rule.format(verdict.hypothesis)}", err=True)
    for told in bench.damaged.values():
        click.echo(f"{told} Until then it counts as missing.", err=True)
    if changed or bench.damaged:
        return INTEGRITY
    if bench.failed:
        return FAILED
    return GATE[_worst(verdicts)] if gate else 0


def _worst(verdicts: list[Verdict]) -> Outcome:
    """Return the worst outcome; what is only suggestive is open."""
    open_ones = (Outcome.SUGGESTIVE_FOR, Outcome.SUGGESTIVE_AGAINST)
    outcomes = {Outcome.INCONCLUSIVE if v.outcome in open_ones else v.outcome for v in verdicts}
    return next((outcome for outcome in WORST if outcome in outcomes), Outcome.UNTESTED)
