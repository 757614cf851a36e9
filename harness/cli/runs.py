"""`harness runs`: the runs of a store, one by one, those adopted from elsewhere, and which of them do not count."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import click
from pydantic import ValidationError

from harness.campaign.bench import Bench
from harness.cli.campaign import models as named_models
from harness.cli.jobs import job_named
from harness.cli.main import MACHINE
from harness.cli.names import all_run_names, hypothesis_names, run_names
from harness.cli.session import Session, models_option, output_options, pass_session, protocol_option
from harness.plan import own_bases
from harness.record.adopted_runs import AdoptedRun, adopted_runs
from harness.record.atomic import read_json
from harness.record.exclusion import exclude as exclude_run
from harness.record.exclusion import excluded
from harness.record.foreign import reading
from harness.record.job import JobDirectory
from harness.record.layout import Store
from harness.record.tracking import event_folders
from harness.spec import Cell
from harness.spec.problem import mapping

TABLES = (".csv", ".parquet")


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
    said += [_listed_adopted(run) for run in adopted_runs(session.store)]
    wide = {key: max((len(_or_unknown(run[key])) for run in said), default=0) for key in ("id", "cell", "base", "seed")}
    lines = [
        "  ".join([*(f"{_or_unknown(run[key]):<{wide[key]}}" for key in wide), run["state"]])
        + (f"  excluded: {run['excluded']}" if run["excluded"] else "")
        for run in said
    ]
    session.emit(said, "\n".join(lines) or f"no runs in {session.store.runs}")
    return 0


@command.command()
@click.argument("run", shell_complete=all_run_names)
@output_options
@pass_session
def show(session: Session, run: str) -> int:
    """Show RUN (an id, or how one begins or ends): what it is identified by, its facts, its files."""
    job = job_named(_all(session.store), run)
    if isinstance(job, AdoptedRun):
        about = {"source": job.source, "commit": job.commit, "adopted_at": job.adopted_at, "content": job.content}
        said = {**_listed_adopted(job), "path": str(job.path), "identity": about, "events": list[str]()}
        said |= {"facts": job.facts(), "files": dict(job.files)}
        session.emit(said, "\n".join(_lines(said)))
        return 0
    manifest: dict[str, Any] = job.manifest() or {"files": {}}
    said = {
        **_listed(job, excluded(session.store)),
        "path": str(job.path),
        "identity": job.spec()["identity"],
        "events": [str(folder.relative_to(job.path)) for folder in event_folders(job.path)],
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


@command.command()
@click.argument("a", metavar="A", shell_complete=all_run_names)
@click.argument("b", metavar="B", shell_complete=all_run_names)
@output_options
@pass_session
def compare(session: Session, a: str, b: str) -> int:
    """Show in what runs A and B differ, and what each came to; either may be adopted (ids, or how one begins or ends).

    What is not known of an adopted run is told as unknown, what is the same as a count. Two runs decide nothing about
    their cells, so nothing is tested.
    """
    from harness.campaign.comparison import Comparison, side_of_adopted, side_of_run  # pyarrow, 0.2 s
    from harness.publish.comparison import comparison_lines

    known = _all(session.store)
    found = [job_named(known, name) for name in (a, b)]
    sides = [side_of_adopted(run) if isinstance(run, AdoptedRun) else side_of_run(run) for run in found]
    comparison = Comparison(*sides)
    session.emit(comparison.as_json(), "\n".join(comparison_lines(comparison)))
    return 0


@command.command(name="import")
@click.argument("target", metavar="TABLE|FOLDER|HUB_ID[@REVISION]")
@click.option("--hypothesis", metavar="NAME", shell_complete=hypothesis_names, help="The claim that a table bears on.")
@click.option("--as", "name", metavar="NAME", help="What to call it (default: the name of the file or folder).")
@click.option("--against", metavar="BASE", help="The base of a run, where its adapter alone does not tell its update.")
@protocol_option
@output_options
@pass_session
def import_(
    session: Session, target: str, hypothesis: str | None, name: str | None, against: str | None, protocol: str | None
) -> int:
    """Adopt a finished run (a folder of TRL or PEFT, an adapter on the Hub), or a table of runs for a claim.

    A run is kept with its log, its adapter and its spectra; it can be listed, compared and queried, and is in no
    verdict. Pickles are never opened, so what only training_args.bin knows is unknown.

    A table (.csv, .parquet) is one that `test --models NAME` decides the claim on. One row a run, or a (run, problem):
    rank, seed, accuracy (or problem, correct, samples), n_items, base_accuracy; if need be algorithm, scaling with
    factor or alpha, learning_rate_scale, batch, match, warmup_steps, and measures by name. The verdict is exploratory
    unless the claim was registered before.
    """
    table = session.directory / target
    if not table.is_file() and table.suffix not in TABLES:
        return _adopt(session, target, hypothesis, name, against)
    if hypothesis is None and table.suffix not in TABLES:
        raise click.ClickException(f"{target}: neither a folder nor a table ({', '.join(TABLES)}). Name the folder.")
    if hypothesis is None:
        raise click.UsageError("Missing option '--hypothesis': a table bears on a claim.")
    if against is not None:
        raise click.UsageError("--against is for a run: a table states its base_accuracy.")
    from harness.campaign.adopted import adopt_table  # numpy, 0.1 s

    bench = Bench(session.shelf, session.store, session.protocol_name(protocol))
    claim = bench.hypotheses([hypothesis])[hypothesis]
    said = adopt_table(bench, hypothesis, claim, table, name)
    session.emit(said.as_json(), "\n".join(said.lines()))
    return 0


def _adopt(session: Session, target: str, hypothesis: str | None, name: str | None, against: str | None) -> int:
    if hypothesis is not None:
        raise click.UsageError("--hypothesis is for a table: an adopted run is in no verdict.")
    from harness.cli.adopting import adopt
    from harness.source.hub import HubError

    try:
        return adopt(session, target, name, against)
    except HubError as error:
        click.echo(str(error), err=True)
        return MACHINE


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


def _all(store: Store) -> list[JobDirectory | AdoptedRun]:
    return [*_jobs(store), *adopted_runs(store)]


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


def _listed_adopted(run: AdoptedRun) -> dict[str, Any]:
    facts = run.facts()
    adapter, base = mapping(facts["adapter"]), mapping(facts["base"])
    cell = "-".join(filter(None, (facts["algorithm"], adapter["method"])))
    return {
        "id": run.id,
        "cell": f"{cell}-r{adapter['rank']}" if adapter.get("rank") else cell,
        "seed": None,
        "base": base.get("name"),
        "state": "adopted",
        "excluded": None,
    }


def _or_unknown(value: Any) -> str:
    return "unknown" if value is None else str(value)


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
    elif value is not None and value != []:
        yield f"{indent}{name}: {value}"
