"""`harness runs`: the runs of a store, one by one, and which of them do not count."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import click
from pydantic import ValidationError

from harness.campaign.bench import Bench
from harness.cli.campaign import models as named_models
from harness.cli.jobs import job_named
from harness.cli.names import hypothesis_names, run_names
from harness.cli.session import Session, models_option, output_options, pass_session, protocol_option
from harness.plan import own_bases
from harness.record.atomic import read_json
from harness.record.exclusion import exclude as exclude_run
from harness.record.exclusion import excluded
from harness.record.foreign import reading
from harness.record.job import JobDirectory
from harness.record.layout import Store
from harness.spec import Cell


@click.group()
def command() -> None:
    """The runs of the store, whatever claims need them."""


@command.command(name="list")
@output_options
@pass_session
def list_(session: Session) -> int:
    """List every run with its cell, seed, base and state, and why it is excluded if it is."""
    reasons = excluded(session.store)
    said = [_listed(job, reasons) for job in _jobs(session.store)]
    wide = {key: max((len(str(run[key])) for run in said), default=0) for key in ("id", "cell", "base", "seed")}
    lines = [
        "  ".join([*(f"{run[key]!s:<{wide[key]}}" for key in wide), run["state"]])
        + (f"  excluded: {run['excluded']}" if run["excluded"] else "")
        for run in said
    ]
    session.emit(said, "\n".join(lines) or f"no runs in {session.store.runs}")
    return 0


@command.command()
@click.argument("run", shell_complete=run_names)
@output_options
@pass_session
def show(session: Session, run: str) -> int:
    """Show RUN (an id, or how one begins or ends): what it is identified by, its facts, its files."""
    job = job_named(_jobs(session.store), run)
    manifest: dict[str, Any] = job.manifest() or {"files": {}}
    said = {
        **_listed(job, excluded(session.store)),
        "path": str(job.path),
        "identity": job.spec()["identity"],
        "facts": read_json(job.verified("result.json")) if manifest["files"] else None,
        "files": manifest["files"],
    }
    session.emit(said, "\n".join(_lines(said)))
    return 0


@command.command()
@click.argument("run", shell_complete=run_names)
@click.option("--reason", metavar="TEXT", required=True, help="What is wrong with it, whatever it scored.")
@output_options
@pass_session
def exclude(session: Session, run: str, reason: str) -> int:
    """Take RUN out of every verdict from now on; it stays in the store, and there is no way back."""
    job = job_named(_jobs(session.store), run)
    in_force = exclude_run(session.store, job.id, reason)
    if in_force.reason != reason.strip():
        session.note(f"{job.id} was excluded before; the first reason stays")
    said = {"id": in_force.run_id, "reason": in_force.reason, "excluded_at": in_force.excluded_at}
    session.emit(said, f"{job.id}  excluded: {in_force.reason}")
    return 0


@command.command(name="import")
@click.argument("table", type=click.Path(path_type=Path))
@click.option(
    "--hypothesis", metavar="NAME", required=True, shell_complete=hypothesis_names, help="The claim that it bears on."
)
@click.option("--as", "name", metavar="NAME", help="What to call it (default: the file's name).")
@protocol_option
@output_options
@pass_session
def import_(session: Session, table: Path, hypothesis: str, name: str | None, protocol: str | None) -> int:
    """Adopt TABLE (.csv, .parquet) of finished runs, so that `test --models NAME` decides the claim on it.

    One row a run, or a (run, problem): rank, seed, accuracy (or problem, correct, samples), n_items, base_accuracy; if
    need be algorithm, scaling with factor or alpha, learning_rate_scale, batch, match, warmup_steps, and measures by
    name. The verdict is exploratory unless the claim was registered before.
    """
    from harness.campaign.adopted import adopt_table  # numpy, 0.1 s

    bench = Bench(session.shelf, session.store, session.protocol_name(protocol))
    claim = bench.hypotheses([hypothesis])[hypothesis]
    said = adopt_table(bench, hypothesis, claim, session.directory / table, name)
    session.emit(said.as_json(), "\n".join(said.lines()))
    return 0


@command.command()
@click.argument("hypothesis", metavar="NAME", shell_complete=hypothesis_names)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File (NAME-PROTOCOL.tar.gz).")
@protocol_option
@models_option
@output_options
@pass_session
def bundle(
    session: Session, hypothesis: str, output: Path | None, protocol: str | None, models: tuple[str, ...]
) -> int:
    """Pack what the verdicts on NAME rest on, without weights, so that anyone can decide it again."""
    from harness.campaign.bundle import again
    from harness.campaign.bundle import bundle as packed

    bench = Bench(session.shelf, session.store, session.protocol_name(protocol))
    claim = bench.hypotheses([hypothesis])[hypothesis]
    asked, tables = named_models(session, bench, models)
    bases = bench.planned_bases(own_bases(claim, bench.protocol)) if asked is None else asked
    out = session.directory / (output or Path(f"{hypothesis}-{bench.protocol_name}.tar.gz"))
    count = packed(bench, hypothesis, claim, bases, tables, out)
    text = f"{out}: {count} files. Unpack it and run there: {again(hypothesis, bases, tables)}"
    session.emit({"file": str(out), "files": count}, text)
    return 0


def _jobs(store: Store) -> list[JobDirectory]:
    return [JobDirectory(path.parent) for path in sorted(store.runs.glob("*/spec.json"))]


def _listed(job: JobDirectory, reasons: dict[str, str]) -> dict[str, Any]:
    identity = job.spec()["identity"]
    with reading(job.path / "spec.json"):
        return {
            "id": job.id,
            "cell": _cell(identity["cell"]),
            "seed": int(identity["seed"]),
            "base": str(identity["base_id"]),
            "state": str(job.state()),
            "excluded": reasons.get(job.id),
        }


def _cell(recorded: dict[str, Any]) -> str:
    """Return a recorded cell's name; of one that later rules refuse, its algorithm and method."""
    try:
        return Cell.model_validate(recorded, strict=False).slug()
    except ValidationError:
        return f"{recorded['algorithm']}-{recorded['adapter']['method']} (refused since)"


def _lines(said: dict[str, Any]) -> Iterator[str]:
    for key, value in said.items():
        if key == "files":
            yield "files:"
            yield from (f"  {name}  {file['bytes']} bytes  sha256 {file['sha256']}" for name, file in value.items())
        else:
            yield from _item(key, value, "")


def _item(name: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, dict) and value:
        yield f"{indent}{name}:"
        for key, inner in cast("dict[str, Any]", value).items():
            yield from _item(key, inner, indent + "  ")
    elif value is not None:
        yield f"{indent}{name}: {value}"
