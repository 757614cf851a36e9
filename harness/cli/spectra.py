"""`harness spectra`: singular values of any adapter, checkpoint or run; needs no project.

Heavy libraries are loaded here, and only when the command runs.
"""

import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.main import MACHINE, OK
from harness.cli.mistakes import meant, nearest_run
from harness.cli.names import run_names_or_files
from harness.cli.outputs import Output, outputs
from harness.cli.session import Session, output_options, pass_session
from harness.publish.terminal import drawn_over
from harness.publish.width import WIDTH
from harness.record.adopted_runs import adopted_runs
from harness.record.job import JobDirectory, State
from harness.record.shards import SPECTRUM

if TYPE_CHECKING:
    from harness.spectra.frozen import Kept
    from harness.spectra.survey import Survey

ENDINGS = {"--parquet": (".parquet",), "--figure": (".png", ".svg", ".pdf")}
WEIGHTS = ("adapter_model.safetensors", "model.safetensors")
PATIENCE = 2.0
"""Seconds before progress is told."""
EVERY = 15.0
"""Seconds between lines of progress where standard error is no terminal."""
LOW_PRECISION = "low_precision_difference"

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where weights lie, and what is known of them beside."""

    path: Path
    commit: str | None = None
    """The commit of a model of the Hub."""
    base: "_Place | None" = None
    """The base that a run started from."""
    bases: Path | None = None
    """The singular bases of the matrices there, of a base of the store."""


@click.command()
@click.argument("target", metavar="PATH|RUN|HUB_ID[@REVISION]", shell_complete=run_names_or_files)
@click.option(
    "--against",
    metavar="BASE",
    shell_complete=run_names_or_files,
    help="The base: a path, run or model on the Hub (a run knows its own).",
)
@click.option("--top", type=click.IntRange(min=1), metavar="K", help="Only K leading values of full matrices; faster.")
@click.option("--parquet", type=click.Path(path_type=Path), help="Write a row per matrix to this .parquet file.")
@click.option("--figure", type=click.Path(path_type=Path), help="Draw it: .png, .svg or .pdf.")
@output_options
@pass_session
def command(
    session: Session, target: str, against: str | None, top: int | None, parquet: Path | None, figure: Path | None
) -> int:
    """Measure the spectra of an adapter's updates, a checkpoint's weights, or with --against what tuning changed.

    TARGET is a folder that PEFT saved, a safetensors file or model folder, a run of the store, or a model on the Hub.
    Weights that were measured before are not measured again.
    """
    asked = outputs(session.directory, {"--parquet": parquet, "--figure": figure}, ENDINGS)
    from harness.spectra.checkpoint import CheckpointError
    from harness.spectra.hub import HubError
    from harness.spectra.survey import survey

    try:
        place = _place(session, target)
        origin = _place(session, against) if against else place.base
        base, bases = (None, None) if origin is None else (origin.path, origin.bases)
        found = survey(place.path, base, _kept(session), top, bases)
        rows = list(_told(session, found))
    except CheckpointError as error:
        raise click.ClickException(_printable(str(error))) from None
    except HubError as error:
        click.echo(_printable(str(error)), err=True)
        return MACHINE
    about = {"target": target, "what": found.what, "path": str(place.path)}
    about |= {"commit": place.commit} if place.commit else {}
    about |= {"base": str(base)} if base else {}
    notes = list(_notes(found, rows))
    for note in notes:
        click.echo(note, err=True)
    session.emit({**about, "notes": notes, "matrices": rows}, "\n".join(_lines(about, rows, session.room or WIDTH)))
    return _write(session, rows, about, asked)


def shard_rows(session: Session, folder: Path, step: int | None, against: str | None) -> tuple[list[Row], str | None]:
    """Return the rows of the `spectrum` shard of what was trained in `folder`, or none and the reason.

    Raises:
        click.ClickException: `against` names nothing that can be read.
    """
    from harness.spectra.checkpoint import CheckpointError
    from harness.spectra.hub import HubError
    from harness.spectra.survey import survey

    try:
        origin = _place(session, against) if against else None
    except HubError as error:
        raise click.ClickException(_printable(str(error))) from None
    base, bases = (None, None) if origin is None else (origin.path, origin.bases)
    try:
        rows = list(_told(session, survey(folder, base, _kept(session), None, bases)))
    except CheckpointError as error:
        return [], _printable(str(error)).replace(f"{folder}/", "").replace(str(folder), folder.name)
    if all(row["target"] == "weights" for row in rows):
        return [], "what training changed in a whole model is known beside its base only: --against BASE"
    return [{"step": step, **{name: row[name] for name in SPECTRUM if name in row}} for row in rows], None


def _place(session: Session, named: str) -> _Place:
    """Return what a path, a run, a base of the store, or a model on the Hub stands for, in this order."""
    from harness.spectra.hub import resolve

    if not named.strip():
        raise click.ClickException("an empty name stands for nothing. Name a path, a run or a model on the Hub.")
    try:
        exists = (session.directory / named).exists()
    except OSError as error:  # of a folder on the way that may not be read, or a name that is too long
        raise click.ClickException(f"{_printable(named)}: {error.strerror}. Name another path.") from None
    job = None if exists else _job(session, named)
    if job is not None:
        return _result(session, job)
    if not exists and (run := next((run for run in adopted_runs(session.store) if run.id == named), None)):
        for file in (name for name in run.files if name.endswith(".safetensors")):
            run.verified(file)
        return _Place(run.kept)
    try:
        path, commit = resolve(named, session.directory, bars=not session.quiet and drawn_over(sys.stderr))
    except FileNotFoundError as error:
        runs = "" if "/" in named or "." in named else " Runs are named by their ids (`harness runs list`)."
        runs += meant(nearest_run(named, (path.name for path in session.store.runs.glob("*")))) if runs else ""
        models = " Models of the Hub are named ORG/NAME[@REVISION]." if runs or "@" in named or "://" in named else ""
        raise click.ClickException(_printable(f"{error}{runs}{models}")) from None
    if not exists:
        session.note(f"{named}: commit {commit}")
    return _Place(path, commit)


def _job(session: Session, named: str) -> JobDirectory | None:
    """Return the run, or base, whose id is or begins with `named`."""
    if not named or "/" in named or named.startswith("."):
        return None
    folders = (session.store.runs, session.store.bases)
    jobs = [
        path.parent for folder in folders for path in folder.glob("*/spec.json") if path.parent.name.startswith(named)
    ]
    exact = [path for path in jobs if path.name == named]
    if len(exact or jobs) > 1:
        raise click.ClickException(f"{len(jobs)} runs begin with {named}. `harness runs list` shows them all.")
    return JobDirectory((exact or jobs)[0]) if jobs else None


def _result(session: Session, job: JobDirectory) -> _Place:
    if job.state() is not State.COMMITTED:
        raise click.ClickException(f"{job.id} has no result: it is {job.state()}. `harness run` makes it.")
    manifest: dict[str, Any] = job.manifest() or {}
    for name in WEIGHTS:
        if name in manifest["files"]:
            job.verified(name)
    base = JobDirectory(session.store.bases / str(job.spec()["identity"].get("base_id")))
    known = base.path.is_dir() and base.state() is State.COMMITTED
    own = _Place(base.result, bases=_bases(base)) if known else None
    return _Place(job.result, base=own, bases=_bases(job))


def _bases(job: JobDirectory) -> Path | None:
    """Return the file of singular bases that a base keeps; None of a run."""
    from harness.spectra.basis import BASIS

    manifest: dict[str, Any] = job.manifest() or {}
    return job.verified(BASIS) if BASIS in manifest["files"] else None


def _kept(session: Session) -> "Kept":
    """Return where measured matrices are kept."""
    from harness.spectra.frozen import Kept

    named = os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
    folder = Path(os.path.expanduser(named)) / "rlvr-harness" / "spectra"
    return Kept(folder if folder.is_absolute() else None, session.note)


def _told(session: Session, found: "Survey") -> Iterator[Row]:
    """Yield the rows; after two seconds, tell on standard error how many matrices are done."""
    began = said = time.monotonic()
    done, line = 0, drawn_over(sys.stderr)
    planned = "" if found.matrices is None else f" of {found.matrices}"
    for row in found.rows:
        yield row
        done += row["target"] != "null"
        now = time.monotonic()
        if session.quiet or now - began < PATIENCE or now - said < (0.2 if line else min(EVERY, now - began)):
            continue
        said = now
        text = f"matrices measured: {done}{planned}, {now - began:.0f} s"
        click.echo(f"\r\x1b[K{text}" if line else text, err=True, nl=not line)
    if line and said != began:
        click.echo("\r\x1b[K", err=True, nl=False)


def _notes(found: "Survey", rows: list[Row]) -> Iterator[str]:
    rounded = [row for row in rows if row["source"] == LOW_PRECISION and row["target"] == "update"]
    if rounded:
        dtypes = ", ".join(sorted({row["dtype"] for row in rounded}))
        shares = [row["changed_share"] for row in rounded if row["changed_share"] is not None]
        changed = f" ({100 * sum(shares) / len(shares):.3g} % of entries changed)" if shares else ""
        see = ", see the null rows" if any(row["target"] == "null" for row in rows) else ""
        what = f"differences of weights stored in {dtypes}" if shares else f"updates from a start rounded to {dtypes}"
        remedy = "Compare float32 weights" if shares else "Train and save it in float32"
        yield (f"{len(rounded)} {what}{changed}: rounding reads as rank{see}; such spectra enter no claim. {remedy}.")
    if small := [row for row in rows if _is_small(row)]:
        worst = max(row["bound"] for row in small)
        yield (
            f"{len(small)} updates are small beside what they were read from: their singular values may be off by "
            f"{_share(worst)} of the largest, so rounding may read as rank"
        )
    if not any(row["frobenius"] for row in rows):
        yield "every matrix here is exactly zero" + (": nothing differs from the base" if "base" in found.what else "")
    for reason, names in found.skipped.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        yield _printable(f"left out, {reason}: {', '.join(names[:3])}{more}")


def _is_small(row: Row) -> bool:
    """Whether rounding may be as large as the values of an update, and nothing else says so."""
    return row["target"] == "update" and row["source"] != LOW_PRECISION and row["frobenius"] > 0 and row["floor"] >= 1


def _share(bound: float) -> str:
    return "all" if bound >= 1 else f"up to {100 * bound:.2g} %"


def _write(session: Session, rows: list[Row], about: dict[str, str], asked: dict[str, Output]) -> int:
    """Write the files that were asked for, and return the exit status: a full disk does not take the result away."""
    status = OK
    for output in asked.values():
        try:
            output.write(_writer(output.option, rows, about))
        except OSError as error:
            click.echo(_printable(f"{output.named}: not written ({error.strerror or error})."), err=True)
            status = MACHINE
        else:
            done = f"{len(rows)} rows" if output.option == "--parquet" else "drawn"
            session.note(_printable(f"{output.named}: {done}"))
    return status


def _writer(option: str, rows: list[Row], about: dict[str, str]) -> Callable[[Path], None]:
    if option == "--parquet":
        from harness.spectra.table import write_parquet

        return lambda path: write_parquet(path, rows, about)
    from harness.publish.spectra import draw

    def quietly(path: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a name in letters that the font lacks is drawn as boxes
            draw(rows, path, _printable(f"{about['target']}: {about['what']}"))

    return quietly


def _lines(about: dict[str, str], rows: list[Row], width: int) -> Iterator[str]:
    from harness.publish.spectra_table import table

    beside = "".join(f"  {name} {about[name]}" for name in ("commit", "base") if name in about)
    yield _printable(f"{about['target']}: {about['what']}{beside}")
    yield from (_printable(line) for line in table(rows, width))


def _printable(text: str) -> str:
    """Return `text` without control characters, which the names in a stranger's file may hold."""
    return "".join(c if c.isprintable() else "?" for c in text)
