"""How commands name jobs of the store: by id, or by how one begins or ends; and the engines that may have them."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

import click

from harness.campaign.engines import reachable
from harness.campaign.reconcile import Reach
from harness.cli.mistakes import meant, nearest_run
from harness.cli.session import Session
from harness.record.job import JobDirectory
from harness.record.layout import Store


def jobs_in(store: Store) -> list[JobDirectory]:
    """Return every job of a store, bases first."""
    found = (path.parent for kind in (store.bases, store.runs) for path in sorted(kind.glob("*/spec.json")))
    return [JobDirectory(path) for path in found]


class _Named(Protocol):
    """Something that has an id."""

    @property
    def id(self) -> str: ...


N = TypeVar("N", bound=_Named)


def job_named(known: Sequence[N], named: str) -> N:
    """Return the one job whose id is `named`, or begins or ends so; raise ClickException where it is not just one."""
    like = [job for job in known if named and (job.id.startswith(named) or job.id.endswith(named))]
    exact = [job for job in like if job.id == named]
    if len(exact or like) != 1:
        told = f"{len(like)} runs have" if like else "no run has"
        hint = "" if like else meant(nearest_run(named, (job.id for job in known)))
        raise click.ClickException(f"{told} this name: {named}.{hint} `harness runs list` shows them all.")
    return (exact or like)[0]


def in_reach(session: Session, jobs: Sequence[JobDirectory]) -> Reach:
    """Return the engines of this project that have handles of these jobs."""
    named = {said["engine"] for job in jobs if (said := job.handle()) is not None}
    return reachable(named, session.store, session.shelf) if named else {}
