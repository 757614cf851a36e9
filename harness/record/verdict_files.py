"""Verdict files: one for every set of inputs that was decided, never changed."""

import json
import os
from pathlib import Path
from typing import Any, cast

from harness.record.atomic import IntegrityError, read_json, write_text
from harness.record.foreign import reading
from harness.record.layout import Store
from harness.record.verdict import SCHEMA, Verdict


def save(store: Store, verdict: Verdict) -> None:
    """Write the verdict under its inputs; the same inputs give the same file."""
    folder = store.verdicts / verdict.protocol
    store.make()
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / _name(verdict.hypothesis, verdict.base, verdict.inputs), text(verdict))


def replace(store: Store, verdict: Verdict, other: Verdict) -> None:
    """Put another verdict in the place of one, in a store of verdicts made again, where no file is a record."""
    (store.verdicts / verdict.protocol / _name(verdict.hypothesis, verdict.base, verdict.inputs)).unlink()
    save(store, other)


def load(store: Store, protocol: str, hypothesis: str, base: str, inputs: str) -> Verdict | None:
    """Return the verdict that was decided on these inputs, or None."""
    path = store.verdicts / protocol / _name(hypothesis, base, inputs)
    return _read(path) if path.is_file() else None


def renew(store: Store, verdict: Verdict) -> None:
    """Make a stored verdict the newest of its hypothesis, base and protocol again, as its inputs are back in force."""
    if verdict not in latest(store, verdict.hypothesis):
        os.utime(store.verdicts / verdict.protocol / _name(verdict.hypothesis, verdict.base, verdict.inputs))


def latest(store: Store, hypothesis: str | None = None) -> list[Verdict]:
    """Return the newest verdict of each hypothesis, base and protocol, explorations apart, in the order of their names.

    Files of another version of the fields are passed over.
    """
    return [verdict for _, verdict in newest(store) if hypothesis in (None, verdict.hypothesis)]


def newest(store: Store) -> list[tuple[Path, Verdict]]:
    """Return the files of the verdicts that `latest` returns, each with its verdict, in the same order."""
    found: dict[tuple[str, str, str, bool], tuple[float, Path, Verdict]] = {}
    for path in sorted(store.verdicts.glob("*/*.json")):
        verdict = _read(path)
        if verdict is None:
            continue
        key = (verdict.hypothesis, verdict.protocol, verdict.base, verdict.registered.explored)
        time = os.stat(path).st_mtime
        if key not in found or found[key][0] <= time:
            found[key] = (time, path, verdict)
    return [found[key][1:] for key in sorted(found)]


def text(verdict: Verdict) -> str:
    """Return a verdict's JSON text, equal for equal verdicts."""
    return json.dumps(as_json(verdict), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def as_json(verdict: Verdict) -> dict[str, object]:
    """Return a verdict as plain values."""
    return verdict.model_dump(mode="json")


def _read(path: Path) -> Verdict | None:
    try:
        said: Any = read_json(path)
    except IntegrityError:
        said = None
    if not isinstance(said, dict) or "schema_version" not in said:
        raise IntegrityError(f"{path}: not a verdict. Remove it; `harness test` decides again.")
    if cast("dict[str, Any]", said)["schema_version"] != SCHEMA:
        return None
    with reading(path):
        return Verdict.model_validate_json(path.read_text(encoding="utf-8"))


def _name(hypothesis: str, base: str, inputs: str) -> str:
    return f"{hypothesis}--{base}--{inputs[:12]}.json"
