"""Adopted runs: finished runs from elsewhere, kept as they came, with what is known of them.

    adopted-runs/NAME/manifest.json    where it came from, when, and the checksum of every other file
                      facts.json       what is known; what is not, is named there (`record.trl_facts`)
                      steps.parquet  logged.parquet  spectrum.parquet
                      kept/            the files themselves: weights, configuration, log, metrics, card

Written under another name, then renamed, and never changed. Weights of an adapter are copied; those of a whole model
are linked where the disk allows it, so that their checksum tells when their owner changes them. No adopted run is in a
run set, so none enters a verdict: verdicts decide on runs by planned ids.
"""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.record.atomic import IntegrityError, read_json, sha256, sync, write_json
from harness.record.foreign import plain, reading
from harness.record.layout import Store
from harness.record.shards import LOGGED, write_rows, write_shard
from harness.record.trl_facts import Known
from harness.record.trl_folder import Output
from harness.spec import DeclarationError
from harness.spec.canonical import digest
from harness.spec.problem import mapping

NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
WEIGHTS = ".safetensors"


@dataclass(frozen=True, slots=True)
class AdoptedRun:
    """A run of somebody else's; its name is its id."""

    path: Path
    source: str
    """The folder's own name, or the model's on the Hub."""
    commit: str | None
    """Of a model on the Hub."""
    content: str
    """SHA-256 over the weights: the same ones under another name are no other run."""
    adopted_at: float
    """Seconds since the epoch."""
    files: Mapping[str, Mapping[str, Any]]
    """Bytes and SHA-256 by path in its folder."""

    @property
    def id(self) -> str:
        """The run's id."""
        return self.path.name

    @property
    def kept(self) -> Path:
        """The folder of the files as they came."""
        return self.path / "kept"

    def facts(self) -> dict[str, Any]:
        """Return what is known of it; raise IntegrityError where that has changed."""
        return read_json(self.verified("facts.json"))

    def verified(self, name: str) -> Path:
        """Return a file whose bytes are those that were adopted; raise IntegrityError otherwise."""
        file = self.path / name
        if name not in self.files or not file.is_file() or sha256(file) != self.files[name]["sha256"]:
            rule = f"not what was adopted. Restore it, or remove {self.path} and adopt the run again"
            raise IntegrityError(f"{file}: {rule}.")
        return file


def adopted_runs(store: Store) -> list[AdoptedRun]:
    """Return all adopted runs, sorted by name; raise IntegrityError where a manifest is damaged."""
    return [_read(path) for path in sorted(store.adopted_runs.glob("[!.]*/manifest.json"))]


def proper_name(named: str) -> str:
    """Return a name for an adopted run, made of what somebody calls it."""
    return re.sub(r"[^a-z0-9]+", "-", named.lower()).strip("-")[:63].rstrip("-")


def check_name(store: Store, name: str) -> None:
    """Raise DeclarationError where an adopted run cannot have this name."""
    if not NAME.fullmatch(name):
        rule = "is no name. Choose one of lower-case letters, digits and dashes with --as."
        raise DeclarationError([f"{name!r} {rule}"])
    if (store.runs / name).exists() or (store.bases / name).exists():
        raise DeclarationError([f"{name}: a run of this store has this id. Choose another name with --as."])


def content_of(output: Output) -> str:
    """Return the SHA-256 over the weights of a run, whatever their files are called."""
    return digest(sorted(sha256(file) for file in output.weights))


def same_run(store: Store, name: str, output: Output) -> AdoptedRun | None:
    """Return the run of this name where it is this very one, None where it is new.

    Raises:
        DeclarationError: the name is another run's, or this run is there under another name.
    """
    content = content_of(output)
    for run in adopted_runs(store):
        if run.id == name and run.content != content:
            rule = "another run has this name, and adopted runs never change. Choose another with --as."
            raise DeclarationError([f"{name}: {rule}"])
        if run.id != name and run.content == content:
            rule = f"these weights were adopted as {run.id}, and one run is not two. Use that name."
            raise DeclarationError([f"{name}: {rule}"])
    weights = {sha256(file) for file in output.weights}
    for manifest in store.runs.glob("*/result/manifest.json"):
        listed = mapping(mapping(read_json(manifest)).get("files"))
        own = {mapping(file).get("sha256") for at, file in listed.items() if at.endswith(WEIGHTS)}
        if own == weights:
            rule = f"these are the weights of {manifest.parents[1].name}, a run of this store. Use its id."
            raise DeclarationError([f"{name}: {rule}"])
    return next((run for run in adopted_runs(store) if run.id == name), None)


def adopt_run(
    store: Store,
    name: str,
    source: tuple[str, str | None],
    output: Output,
    known: Known,
    spectra: Sequence[Mapping[str, Any]],
) -> AdoptedRun:
    """Keep a run under a name that is free; `source` is what it is called where it came from, and the commit there.

    Raises:
        DeclarationError: another command took the name meanwhile.
    """
    store.make()
    store.adopted_runs.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=".partial-", dir=store.adopted_runs))
    try:
        stage.chmod(store.adopted_runs.stat().st_mode & 0o777)  # which a temporary folder has for its owner alone
        _keep(output, stage / "kept")
        write_json(stage / "facts.json", known.facts)
        write_shard(stage, "steps", known.steps)
        write_rows(stage / "logged.parquet", LOGGED, known.logged)
        write_shard(stage, "spectrum", spectra)
        files = sorted(path for path in stage.rglob("*") if path.is_file())
        listed = {str(p.relative_to(stage)): {"sha256": sha256(p), "bytes": p.stat().st_size} for p in files}
        about = {"source": source[0], "commit": source[1], "content": content_of(output), "adopted_at": time.time()}
        write_json(stage / "manifest.json", {**about, "files": listed})
        for file in files:
            sync(file)
        try:
            os.rename(stage, store.adopted_runs / name)
        except OSError:  # the folder is there: somebody was first
            if not (store.adopted_runs / name / "manifest.json").is_file():
                raise
            if same_run(store, name, output) is None:
                raise
        sync(store.adopted_runs)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return _read(store.adopted_runs / name / "manifest.json")


def _keep(output: Output, folder: Path) -> None:
    folder.mkdir()
    for file in (*output.beside, *([output.state] if output.state else [])):
        shutil.copyfile(file, folder / file.name)
    for file in output.weights:
        if output.config is not None:
            shutil.copyfile(file, folder / file.name)
            continue
        whole = file.resolve()
        try:
            os.link(whole, folder / file.name)
        except OSError:  # another disk, or one without such links
            (folder / file.name).symlink_to(whole)


def _read(manifest: Path) -> AdoptedRun:
    said = mapping(read_json(manifest))
    if set(said) != {"source", "commit", "content", "adopted_at", "files"}:
        rule = f"not the manifest of an adopted run. Restore it, or remove {manifest.parent}"
        raise IntegrityError(f"{manifest}: {rule}.")
    with reading(manifest):
        for name, file in mapping(said["files"]).items():
            plain(name)
            if not isinstance(file["sha256"], str) or type(file["bytes"]) is not int:
                raise TypeError(f"{name[:60]!r} has no size or no checksum")
        texts = (said["source"], said["content"], said["commit"] or "")
        if not all(isinstance(text, str) for text in texts) or not isinstance(said["adopted_at"], int | float):
            raise TypeError("source, commit and content are texts, adopted_at is a time")
    return AdoptedRun(manifest.parent, **said)
