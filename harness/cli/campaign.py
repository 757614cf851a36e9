"""What `test`, `run`, `verdict` and `pilot` share: executing with progress, cards beside their rivals, failures."""

import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from harness.campaign import engines
from harness.campaign.bench import Bench
from harness.campaign.beside import beside
from harness.campaign.engines import Engine
from harness.campaign.execution import Progress
from harness.campaign.filesystem import lock_warning
from harness.cli.session import Session
from harness.execute import Executor
from harness.plan import PlannedBase, RunSet
from harness.publish.card import card
from harness.record.adopted import AdoptedTable, adopted
from harness.record.commands import at_work, ended
from harness.record.verdict import Verdict
from harness.record.verdict_files import as_json
from harness.spec import Hypothesis

FAILED = 1
TOUCHED = 15.0
"""Seconds between signs of life of a command."""


def pin(session: Session, bench: Bench) -> None:
    """Pin what the protocol leaves open, and tell what moved or was left out; nothing to do for most protocols."""
    bench.resolve(session.note)
    for line in bench.pin():
        session.note(line)


def asked(bench: Bench, names: Sequence[str]) -> dict[str, Hypothesis]:
    """Return the hypotheses named, or the whole shelf where none is."""
    return bench.hypotheses(tuple(dict.fromkeys(names)) or bench.shelf.names("hypotheses"))


def tell_left_out(session: Session, left_out: Mapping[str, str]) -> None:
    """Note each claim that cannot be asked here, with the reason."""
    for name, why in left_out.items():
        session.note(f"left out: {name} ({why})")


def models(
    session: Session, bench: Bench, named: Sequence[str]
) -> tuple[tuple[PlannedBase, ...] | None, list[AdoptedTable]]:
    """Return the bases and the adopted tables among the names of --models; None, the protocol's choice, without any."""
    tables = [table for name in named if (table := adopted(session.store, name)) is not None]
    others = [name for name in named if name not in {table.name for table in tables}]
    return bench.planned_bases(others) if others else () if tables else None, tables


def executor(session: Session, bench: Bench, engine: Engine, workers: int | None) -> Executor:
    """Return an executor on an engine."""
    return engines.executor(engine, session.store, session.shelf, bench.protocol.resources, workers)


def execute(
    session: Session, bench: Bench, runs: RunSet, engine: Engine, workers: int | None, note: str = ""
) -> list[Progress]:
    """Execute what is missing and keep the index fresh meanwhile; return the ends of bases and runs.

    `note` is said beside the progress of the runs, such as the look that they are for.
    """
    from harness.publish.progress import ShownProgress

    if not bench.unfinished(runs):
        return []
    session.store.make()
    if (warning := lock_warning(session.store.root)) is not None:
        session.note_once(warning)
    with (
        ShownProgress(quiet=session.quiet) as shown,
        at_work(session.store, shlex.join(["harness", *session.typed])) as file,
    ):

        def watch(progress: Progress) -> None:
            shown.show(progress)
            _touch(file)
            if ended(file):
                session.note("called off by `harness cancel --all`")
                raise KeyboardInterrupt

        try:
            return bench.execute(runs, lambda: executor(session, bench, engine, workers), watch, note)
        except KeyboardInterrupt:
            if engine != "local" and not ended(file) and any(job.handle() for job in bench.unfinished(runs)):
                session.note(f"what {engine} has goes on; `harness cancel --all` stops it")
            raise


def _touch(file: Path) -> None:
    """Give a sign of life, now and then."""
    with suppress(OSError):
        if time.time() - file.stat().st_mtime > TOUCHED:
            file.touch()


def as_shown(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as --json prints it."""
    return {**as_json(verdict), "passed": verdict.passed}


def shown(
    bench: Bench, claims: Sequence[Verdict], verdicts: Sequence[Verdict], width: int
) -> tuple[list[dict[str, Any]], str]:
    """Return the claims' verdicts as --json prints them and as cards, each beside its rivals' among `verdicts`."""
    said: list[dict[str, Any]] = []
    cards: list[str] = []
    for verdict in claims:
        others = beside(bench, verdict, verdicts)
        rivals = {rival.rival.hypothesis: rival.outcome and str(rival.outcome) for rival in others.rivals}
        reported = [{**one.reported.model_dump(mode="json"), "here": one.here} for one in others.reported]
        said.append({**as_shown(verdict), "rivals": rivals, "stands": others.stands, "reported": reported})
        cards.append(card(verdict, others, width))
    return said, "\n\n".join(cards)


def tell_failures(failed: Mapping[str, str]) -> None:
    """Print one line for each job without a result."""
    for job, why in failed.items():
        click.echo(f"{job}: {why}", err=True)
