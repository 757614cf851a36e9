"""What the page knows of each run that opens: curves, spectra, what it was set to that others were not, what it is.

Asked in a few statements over all runs and kept column by column; what many runs share (the updates that are shown,
values of settings) stands once. Series of numbers are texts, rounded to three significant digits: `1 .375 6e-5`, with
nothing between the spaces where there is no value, and steps apart by `;`. Curves are thinned to at most 60 of their
updates, evenly and with the first and the last, never averaged. Of a spectrum the page has the leading 16 singular
values relative to the first, each the median over the run's modules, and effective ranks by layer, medians over its
modules.
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

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
NOT_FINITE = "not finite"
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

    `id` names the runs. `facts` has a list for each of FACTS (NOT_FINITE for infinity and NaN), `starts` the accuracies
    of the bases that they start from, checkpoints too (None: not in the index). `curves` has, for each of CURVES, the
    series of each run (None where the trainer logged none) at the updates `updates[at[run]]`, `of` how many there were.
    `spectra` and `ranks` have, for each of update and null, of each run the series of every kept step
    `kept[kept_at[run]]`: singular values, and effective ranks by `layers[layers_at[run]]`. `settings` has names, and
    for each its values and, at `patterns[of]`, every run's place among them (None: not set); `common` counts those that
    are the same for all.
    """
    found, columns = _runs(store, run_ids)
    return {"id": found, **columns, **_curves(store, found), **_spectra(store, found)}


def series(values: Iterable[float | None]) -> str:
    """Return numbers as a text, which is shorter than a list by the signs that numbers can do without."""
    return " ".join(map(_short, values))


def _short(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return ""
    near = float(f"{value:.{DIGITS}g}")
    if near.is_integer() and abs(near) < 1e6:
        return str(int(near))
    plain = repr(near).replace("0.", ".", 1) if abs(near) < 1 else repr(near)
    mantissa, _, power = f"{near:.{DIGITS - 1}e}".partition("e")
    spread = f"{mantissa.rstrip('0').rstrip('.')}e{int(power)}"
    return min(plain, spread, key=len)


def thinned(n: int, most: int = POINTS) -> list[int]:
    """Return at most so many of the positions 0 to n - 1, evenly and with both ends."""
    return list(range(n)) if n <= most else [round(i * (n - 1) / (most - 1)) for i in range(most)]


def _runs(store: Store, run_ids: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    told = ", ".join(f"r.{name}" for name in FACTS)
    sql = (
        f"SELECT r.run_id, r.identity, r.trainer, {told}, b.accuracy "
        f"FROM run AS r LEFT JOIN base AS b USING (base_id) WHERE {OF} ORDER BY r.run_id"
    )
    rows = query(store, sql, [list(run_ids)])[1]
    facts = {name: [_fact(row[3 + i]) for row in rows] for i, name in enumerate(FACTS)}
    identities = [dict(_flat("", json.loads(row[1]))) for row in rows]
    arguments = [_arguments(json.loads(row[2]) if row[2] else {}) for row in rows]
    starts = [row[-1] for row in rows]
    return [row[0] for row in rows], {"facts": facts, "starts": starts, **_settings(identities, arguments)}


def _fact(value: Any) -> Any:
    """Return what is told of a column's value; JSON has no number for one that is not finite."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else NOT_FINITE


def _arguments(trainer: dict[str, Any]) -> dict[str, str]:
    parts = ("declared", "set_by_harness", "library_defaults")
    return dict(pair for part in parts for pair in _flat("trainer.", trainer.get(part) or {}))


def _flat(prefix: str, value: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, each in value.items():
        if isinstance(each, dict) and each:
            yield from _flat(f"{prefix}{name}.", cast("dict[str, Any]", each))
        else:
            yield f"{prefix}{name}", each if isinstance(each, str) else json.dumps(each, ensure_ascii=False)


def _settings(identities: Sequence[dict[str, str]], arguments: Sequence[dict[str, str]]) -> dict[str, Any]:
    """Return the settings in which runs differ: of their identities, then the trainer's arguments beside them.

    An argument that only one of two trainers knows is no difference between runs of the other.
    """
    runs = [{**beside, **identity} for identity, beside in zip(identities, arguments, strict=True)]
    identity = dict.fromkeys(name for run in identities for name in run)
    beside = dict.fromkeys(name for run in arguments for name in run if name not in identity)
    differing = [name for name in identity if len({run.get(name) for run in runs}) > 1]
    differing += [name for name in beside if len({run[name] for run in runs if name in run}) > 1]
    patterns, columns = Shared(), list[dict[str, Any]]()
    for name in differing:
        values = Shared()
        of = [values.place(run[name]) if name in run else None for run in runs]
        columns.append({"name": name, "values": values.values, "of": patterns.place(of)})
    return {
        "settings": columns,
        "patterns": patterns.values,
        "common": len(identity) + len(beside) - len(differing),
    }


def _curves(store: Store, runs: Sequence[str]) -> dict[str, Any]:
    lists = ", ".join(f"list({name} ORDER BY step)" for name in ("step", *CURVES))
    sql = f"SELECT run_id, {lists} FROM step WHERE {OF} GROUP BY run_id ORDER BY run_id"
    found = {row[0]: row[1:] for row in query(store, sql, [list(runs)])[1]}
    updates, at, of = Shared(), list[int](), list[int]()
    curves: dict[str, list[Any]] = {name: [] for name in CURVES}
    for run in runs:
        steps, *logged = found.get(run, ([], *([] for _ in CURVES)))
        places = thinned(len(steps))
        at.append(updates.place([steps[place] for place in places]))
        of.append(len(steps))
        for name, values in zip(CURVES, logged, strict=True):
            kept = series(values[place] for place in places)
            curves[name].append(kept if kept.strip() else None)
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
        first = next((found[0] for found in ranks.get((run, "update"), {}).values()), list[int]())
        kept_at.append(kept.place(steps))
        layers_at.append(layers.place(first))
        for target in TARGETS:
            here, by = spectra.get((run, target), {}), ranks.get((run, target), {})
            said["spectra"][target].append(";".join(series(here.get(step, ())).rstrip() for step in steps))
            said["ranks"][target].append(";".join(_at_layers(by.get(step, ([], [])), first) for step in steps))
    return {"kept": kept.values, "kept_at": kept_at, "layers": layers.values, "layers_at": layers_at, **said}


def _by_step(rows: Sequence[tuple[Any, ...]]) -> dict[tuple[str, str], dict[int, tuple[Any, ...]]]:
    """Return rows of (run, target, step, ...) by run and target, then by step."""
    found: dict[tuple[str, str], dict[int, tuple[Any, ...]]] = {}
    for run, target, step, *rest in rows:
        found.setdefault((run, target), {})[step] = tuple(rest)
    return found


def _at_layers(found: tuple[Any, ...], layers: Sequence[int]) -> str:
    at = dict(zip(found[0], found[1], strict=True))
    return series(at.get(layer) for layer in layers)
