"""What the page knows of each run that opens: curves, spectra, what it was set to that others were not, what it is.

Asked in a few statements over all runs, rounded to three significant digits and kept column by column; what many runs
share (the updates that are shown, values of settings) stands once. Curves are thinned to at most 60 of their updates,
evenly and with the first and the last, never averaged. Of a spectrum the page has the leading 16 singular values
relative to the first, each the median over the run's modules, and effective ranks by layer, medians over its modules.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.record.layout import Store
from harness.store import query

CURVES = ("reward", "loss", "grad_norm", "entropy", "completion_length")
"""Columns of `step` that are drawn."""
FACTS = ("algorithm", "method", "updates", "first_update_norm", "final_update_norm", "trainable_parameters")
"""Columns of `run` that are told."""
POINTS = 60
"""Most updates that a curve shows."""
LEADING = 16
"""Singular values that are shown."""
DIGITS = 3
OF = "run_id IN (SELECT unnest(?::VARCHAR[]))"
TARGETS = ("update", "null")


@dataclass(slots=True)
class Shared:
    """Values of which each is kept once, by the order in which they came."""

    values: list[Any] = field(default_factory=list[Any])
    _places: dict[str, int] = field(default_factory=dict[str, int])

    def place(self, value: Any) -> int:
        """Return the place of a value, which is kept if it is new."""
        key = json.dumps(value)
        if key not in self._places:
            self._places[key] = len(self.values)
            self.values.append(value)
        return self._places[key]


def run_details(store: Store, run_ids: Sequence[str]) -> dict[str, Any]:
    """Return what the page knows of those of the runs that the index has, as columns in the order of their ids.

    `id` names the runs. `facts` has a list for each of FACTS. `curves` has, for each of CURVES, a list of values for
    each run (null where the trainer logged none) at the updates `updates[at[run]]`, `of` how many there were. `spectra`
    and `ranks` have, for each of update and null, for each run, a list for each kept step `kept[kept_at[run]]`: of
    singular values, and of effective ranks by `layers`. `settings` has names, and for each its values and every run's
    place among them (null: not set); `common` counts those that are the same for all.
    """
    found, columns = _runs(store, run_ids)
    return {"id": found, **columns, **_curves(store, found), **_spectra(store, found)}


def rounded(value: float | None) -> float | int | None:
    """Return a number with three significant digits, whole where it is; None for what is no finite number."""
    if value is None or not math.isfinite(value):
        return None
    near = float(f"{value:.{DIGITS}g}")
    return int(near) if near.is_integer() and abs(near) < 1e15 else near


def thinned(n: int, most: int = POINTS) -> list[int]:
    """Return at most so many of the positions 0 to n - 1, evenly and with both ends."""
    return list(range(n)) if n <= most else [round(i * (n - 1) / (most - 1)) for i in range(most)]


def _runs(store: Store, run_ids: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    sql = f"SELECT run_id, identity, trainer, {', '.join(FACTS)} FROM run WHERE {OF} ORDER BY run_id"
    rows = query(store, sql, [list(run_ids)])[1]
    facts = {name: [_fact(row[3 + i]) for row in rows] for i, name in enumerate(FACTS)}
    return [row[0] for row in rows], {"facts": facts, **_settings([_set(row[1], row[2]) for row in rows])}


def _fact(value: Any) -> Any:
    return rounded(value) if isinstance(value, float) else value


def _set(identity: str, trainer: str | None) -> dict[str, str]:
    """Return what a run was set to, by dotted names: its identity, and the trainer's arguments beside it."""
    said = dict(_flat("", json.loads(identity)))
    told: dict[str, Any] = json.loads(trainer) if trainer else {}
    for part in ("declared", "set_by_harness", "library_defaults"):
        for name, value in _flat("trainer.", told.get(part) or {}):
            said.setdefault(name, value)
    return said


def _flat(prefix: str, value: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, each in value.items():
        if isinstance(each, dict) and each:
            yield from _flat(f"{prefix}{name}.", each)
        else:
            yield f"{prefix}{name}", each if isinstance(each, str) else json.dumps(each, ensure_ascii=False)


def _settings(runs: Sequence[dict[str, str]]) -> dict[str, Any]:
    """Return the settings in which runs differ."""
    names = list(dict.fromkeys(name for run in runs for name in run))
    differing = [name for name in names if len({run.get(name) for run in runs}) > 1]
    columns: list[dict[str, Any]] = []
    for name in differing:
        values = Shared()
        of = [values.place(run[name]) if name in run else None for run in runs]
        columns.append({"name": name, "values": values.values, "of": of})
    return {"settings": columns, "common": len(names) - len(differing)}


def _curves(store: Store, runs: Sequence[str]) -> dict[str, Any]:
    lists = ", ".join(f"list({name} ORDER BY step)" for name in ("step", *CURVES))
    sql = f"SELECT run_id, {lists} FROM step WHERE {OF} GROUP BY run_id ORDER BY run_id"
    found = {row[0]: row[1:] for row in query(store, sql, [list(runs)])[1]}
    updates, at, of = Shared(), list[int](), list[int]()
    curves: dict[str, list[Any]] = {name: [] for name in CURVES}
    for run in runs:
        steps, *series = found.get(run, ([], *([] for _ in CURVES)))
        places = thinned(len(steps))
        at.append(updates.place([steps[place] for place in places]))
        of.append(len(steps))
        for name, values in zip(CURVES, series, strict=True):
            kept = [rounded(values[place]) for place in places]
            curves[name].append(kept if any(value is not None for value in kept) else None)
    return {"updates": updates.values, "at": at, "of": of, "curves": curves}


def _spectra(store: Store, runs: Sequence[str]) -> dict[str, Any]:
    values = ", ".join(f"median(v[{i}] / nullif(v[1], 0))" for i in range(1, LEADING + 1))
    listed = ", ".join(f"'{target}'" for target in TARGETS)
    where = f"target IN ({listed}) AND {OF}"
    leading = f"SELECT run_id, target, step, singular_values[1:{LEADING}] AS v FROM spectrum WHERE {where}"
    spectra = _by_step(
        query(store, f"SELECT run_id, target, step, {values} FROM ({leading}) GROUP BY ALL", [list(runs)])[1]
    )
    by_layer = "SELECT run_id, target, step, layer, median(effective_rank) AS rank FROM spectrum WHERE {} GROUP BY ALL"
    sql = (
        "SELECT run_id, target, step, list(layer ORDER BY layer), list(rank ORDER BY layer) "
        f"FROM ({by_layer.format(where)}) GROUP BY ALL"
    )
    ranks = _by_step(query(store, sql, [list(runs)])[1])
    kept, layers = Shared(), Shared()
    kept_at, layers_at = list[int](), list[int]()
    said: dict[str, dict[str, list[Any]]] = {"spectra": {t: [] for t in TARGETS}, "ranks": {t: [] for t in TARGETS}}
    for run in runs:
        steps = sorted(spectra.get((run, "update"), {}))
        first = next(iter(ranks.get((run, "update"), {}).values()), ([], []))[0]
        kept_at.append(kept.place(steps))
        layers_at.append(layers.place(first))
        for target in TARGETS:
            here, by = spectra.get((run, target), {}), ranks.get((run, target), {})
            said["spectra"][target].append([_leading(here.get(step, ())) for step in steps])
            said["ranks"][target].append([_at_layers(by.get(step, ([], [])), first) for step in steps])
    return {"kept": kept.values, "kept_at": kept_at, "layers": layers.values, "layers_at": layers_at, **said}


def _by_step(rows: Sequence[tuple[Any, ...]]) -> dict[tuple[str, str], dict[int, tuple[Any, ...]]]:
    """Return rows of (run, target, step, ...) by run and target, then by step."""
    found: dict[tuple[str, str], dict[int, tuple[Any, ...]]] = {}
    for run, target, step, *rest in rows:
        found.setdefault((run, target), {})[step] = tuple(rest)
    return found


def _leading(values: Sequence[float | None]) -> list[float | int | None]:
    """Return the leading values without those beyond the last that there is."""
    kept = [rounded(value) for value in values]
    while kept and kept[-1] is None:
        kept.pop()
    return kept


def _at_layers(found: tuple[Any, ...], layers: Sequence[int]) -> list[float | int | None]:
    at = dict(zip(found[0], found[1], strict=True))
    return [rounded(at.get(layer)) for layer in layers]
