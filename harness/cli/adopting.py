"""Adopting a finished run: from a folder that TRL or PEFT wrote, or an adapter on the Hub, to a run of the store."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from harness.campaign.bench import Bench
from harness.cli.session import Session
from harness.record.adopted_runs import AdoptedRun, adopt_run, check_name, proper_name, same_run
from harness.record.trl_facts import known
from harness.record.trl_folder import CARD, CHECKPOINT, CONFIG, METRICS, STATE, WEIGHTS, output
from harness.source.hub import commit_of, snapshot
from harness.spec.problem import mapping

HUB_ID = re.compile(r"(?P<repo>[\w.-]{1,96}/[\w.-]{1,96})(?:@(?P<revision>[\w./-]{1,255}))?")
FILES = (CONFIG, WEIGHTS, STATE, CARD, *METRICS)
"""What is asked for of an adapter on the Hub, and nothing else."""


def adopt(session: Session, target: str, name: str | None, against: str | None) -> int:
    """Adopt the run at `target` and print what is known of it.

    Raises:
        DeclarationError: no run, or one that cannot be adopted under this name.
        HubError: a model that cannot be had from the Hub.
    """
    folder, source, root = _found(session, target)
    theirs = output(folder, root)
    called = name or proper_name(_called(theirs.folder, source[0]))
    check_name(session.store, called)
    before = same_run(session.store, called, theirs)
    if before is not None:
        facts = before.facts()
        _told(session, before, facts, new=False)
        return 0
    said = known(theirs)
    from harness.cli.spectra import shard_rows  # torch, seconds

    rows, why = shard_rows(session, theirs.folder, said.facts["updates"], against)
    updates = sum(row["target"] == "update" for row in rows)
    said.facts["spectra"] = {"matrices": updates, "unknown": why, "against": against}
    said.facts["unknown"] = list(dict.fromkeys([*said.facts["unknown"], *(["spectra"] if why else [])]))
    run = adopt_run(session.store, called, source, theirs, said, rows)
    from harness.store import refresh  # duckdb, 0.2 s

    refresh(session.store, Bench(session.shelf, session.store, session.protocol_name(None)).measures())
    _told(session, run, said.facts, new=True)
    return 0


def _found(session: Session, target: str) -> tuple[Path, tuple[str, str | None], Path | None]:
    """Return the folder of a run, what it is called with its commit, and the folder that its files may link into."""
    here = session.directory / target
    if here.exists():
        return here, (here.resolve().name, None), None
    asked = None if ".." in target or target.startswith(".") else HUB_ID.fullmatch(target)
    mistyped = asked is not None and asked["revision"] is None and here.parent.is_dir()
    if asked is None or mistyped:
        hub = f", or {target}@main for a model on the Hub" if mistyped else ""
        raise click.ClickException(f"{target}: no such folder. Name one that exists{hub}.")
    repo, revision = asked["repo"], asked["revision"] or "main"
    absent = "no such folder here, "
    online = commit_of(repo, revision, f"{absent}and ") is not None
    folder = snapshot(repo, revision, online=online, kept=FILES, otherwise=absent)  # called by its commit
    if not (folder / CONFIG).exists():
        rule = f"no {CONFIG}, so no adapter, and of the Hub only adapters are adopted"
        raise click.ClickException(f"{target}: {rule}. `harness spectra {target}` measures it.")
    session.note(f"{target}: commit {folder.name}")
    return folder, (repo, folder.name), folder.parents[1]


def _called(folder: Path, source: str) -> str:
    """Return what a run is called unless its user says so: a checkpoint after the folder that holds it."""
    name = source.rpartition("/")[2]
    here = folder.resolve()
    if not CHECKPOINT.fullmatch(here.name):
        return name
    return f"{here.parent.name}-{here.name}"


def _told(session: Session, run: AdoptedRun, facts: dict[str, Any], *, new: bool) -> None:
    spectra = facts["spectra"]
    said = {
        "name": run.id,
        "source": run.source,
        "commit": run.commit,
        "new": new,
        "matrices": spectra["matrices"],
        "spectra_unknown": spectra["unknown"],
        "facts": facts,
    }
    session.emit(said, "\n".join(_lines(run, facts, new)))


def _lines(run: AdoptedRun, facts: dict[str, Any], new: bool) -> Iterator[str]:
    adapter, base, log = (mapping(facts[name]) for name in ("adapter", "base", "log"))
    rank = f" r={adapter['rank']}" if adapter.get("rank") else ""
    yield f"{'adopted as' if new else 'adopted before; nothing changed:'} {run.id}: {adapter['method']}{rank}"
    yield f"  base      {base.get('name') or 'unknown'}" + (f"@{base['revision']}" if base.get("revision") else "")
    rows = f"{log['rows']} updates logged ({log['from']}), of {facts['updates']}" if log else f"unknown: no {STATE}"
    yield f"  log       {rows}"
    for name, count in mapping(log.get("not_finite")).items():
        yield f"            {name} is NaN or infinite {count} times, kept as unknown"
    spectra = facts["spectra"]
    yield f"  spectra   {spectra['unknown'] or str(spectra['matrices']) + ' updates measured'}"
    if facts["accuracy_stated"] is not None:
        yield f"  accuracy  {facts['accuracy_stated']:g} as its files state it, unverified"
    yield f"  unknown   {', '.join(facts['unknown'])}"
    if facts["unread"]:
        yield f"  unopened  {', '.join(facts['unread'])}: pickles can run code"
    if not new:
        yield f"To adopt it anew, with files mended or --against another base, remove {run.path} and repeat."
    yield f"It is in no verdict. next: harness runs compare {run.id} RUN"
