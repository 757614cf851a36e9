"""Two runs beside each other: which fields of their configurations differ, and what they came to.

Either may be adopted, and then most fields are unknown, which is not the same as different. The run is the unit of
analysis: two runs decide nothing about their cells, so there is no test here, and counts of problems are counts.
"""

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.record.adopted import parquet_rows
from harness.record.adopted_runs import AdoptedRun
from harness.record.atomic import read_json
from harness.record.job import JobDirectory
from harness.spec.problem import items, mapping

ORIGINS = ("declared", "set_by_harness", "library_defaults")
SECTIONS = ("identity", "cell", "recipe", "trainer", "adapter", "software", "device")
APART = ("cell", "recipe", "trainer")
"""Parts of an identity that are sections of their own."""
LAST = 10
"""Entries of a log whose rewards are averaged."""
CONFIG = "adapter_config.json"

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Side:
    """One run, as far as it is known."""

    id: str
    adopted: bool
    fields: dict[str, Fields]
    """Value by field, by section."""
    results: dict[str, float | None]
    stated: frozenset[str] = frozenset()
    """Results that somebody stated and nobody here measured."""
    origins: dict[str, str] = field(default_factory=dict[str, str])
    """Of the trainer's fields."""
    answers: list[dict[str, Any]] | None = None
    """Rows of the last evaluation on the evaluation split."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is the same, what differs, and what is not known."""

    a: Side
    b: Side

    def fields(self) -> Iterator[dict[str, Any]]:
        """Yield the fields that differ or that one run alone is known to have, by section."""
        for section in SECTIONS:
            here, there = self.a.fields[section], self.b.fields[section]
            for name in dict.fromkeys((*here, *there)):
                unknown = [which for which, side in self._sides() if side.adopted and name not in side.fields[section]]
                if not unknown and _same(section, here.get(name), there.get(name)):
                    continue
                origin = [side.origins.get(name) if section == "trainer" else None for side in (self.a, self.b)]
                said = {"section": section, "field": name, "a": here.get(name), "b": there.get(name)}
                yield {**said, "unknown": unknown, "origin": origin}

    def equal(self) -> dict[str, int]:
        """Return how many fields are the same, by section."""
        return {
            section: sum(
                name in self.b.fields[section] and _same(section, value, self.b.fields[section][name])
                for name, value in self.a.fields[section].items()
            )
            for section in SECTIONS
        }

    def results(self) -> Iterator[dict[str, Any]]:
        """Yield what both, or one of them, came to."""
        for name in dict.fromkeys((*self.a.results, *self.b.results)):
            a, b = self.a.results.get(name), self.b.results.get(name)
            if a is None and b is None:
                continue
            difference = None if a is None or b is None else b - a
            stated = [which for which, side in self._sides() if name in side.stated]
            yield {"name": name, "a": a, "b": b, "difference": difference, "stated": stated}

    def problems(self) -> tuple[dict[str, int] | None, str | None]:
        """Return paired counts over the problems that both answered, or why there are none."""
        a, b = self.a, self.b
        if unanswered := [side.id for side in (a, b) if side.answers is None]:
            return None, f"no answers of {' and '.join(unanswered)} are kept"
        sets = [side.fields["identity"].get("evaluation_set") for side in (a, b)]
        if sets[0] != sets[1]:
            return None, "they answered different evaluation sets"
        here, there = ({row["problem"]: row for row in side.answers or ()} for side in (a, b))
        pairs = [(here[problem], there[problem]) for problem in here if problem in there]
        greedy = [(bool(x["greedy_correct"]), bool(y["greedy_correct"])) for x, y in pairs]
        often = [x["correct"] * y["samples"] - y["correct"] * x["samples"] for x, y in pairs]
        return {
            "problems": len(pairs),
            "both": greedy.count((True, True)),
            "only_a": greedy.count((True, False)),
            "only_b": greedy.count((False, True)),
            "neither": greedy.count((False, False)),
            "more_often_a": sum(more > 0 for more in often),
            "more_often_b": sum(more < 0 for more in often),
            "equally_often": sum(more == 0 for more in often),
        }, None

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        counts, why = self.problems()
        told = {"a": self.a.id, "b": self.b.id, "equal": self.equal(), "fields": list(self.fields())}
        return {**told, "results": list(self.results()), "problems": counts, "problems_unknown": why}

    def _sides(self) -> tuple[tuple[str, Side], tuple[str, Side]]:
        return ("a", self.a), ("b", self.b)


def side_of_run(job: JobDirectory) -> Side:
    """Return a run of the store; of one without a result only what was declared is there.

    Raises:
        IntegrityError: a file of its result is not what was committed.
    """
    identity: dict[str, Any] = job.spec()["identity"]
    manifest: dict[str, Any] = job.manifest() or {"files": {}}
    files = manifest["files"]
    facts: dict[str, Any] = (read_json(job.verified("result.json")) if "result.json" in files else None) or {}
    spent: dict[str, Any] = _spent(job, manifest)
    record = mapping(facts.get("trainer")) or {"declared": identity["trainer"]}
    config = read_json(job.verified(CONFIG)) if CONFIG in files else None
    steps = parquet_rows(job.verified("steps.parquet")) if "steps.parquet" in files else []
    spectrum = parquet_rows(job.verified("spectrum.parquet")) if "spectrum.parquet" in files else []
    answers = parquet_rows(job.verified("evaluation.parquet")) if "evaluation.parquet" in files else None
    return Side(
        id=job.id,
        adopted=False,
        fields={
            "identity": flat({key: value for key, value in identity.items() if key not in APART}),
            "cell": flat(identity["cell"]),
            "recipe": flat(identity["recipe"]),
            "trainer": {name: value for origin in ORIGINS for name, value in mapping(record.get(origin)).items()},
            "adapter": _adapter(config),
            "software": dict(mapping(facts.get("software"))),
            "device": {"device": spent["device"]} if "device" in spent else {},
        },
        results={
            **{name: facts.get(name) for name in ("accuracy", "updates", "first_update_norm", "final_update_norm")},
            **_last(steps),
            **{name: spent.get(name) for name in ("wall_seconds", "cpu_seconds", "peak_bytes")},
            **_spectra(spectrum),
        },
        origins={name: origin for origin in ORIGINS for name in mapping(record.get(origin))},
        answers=_final(answers),
    )


def side_of_adopted(run: AdoptedRun) -> Side:
    """Return an adopted run, as far as its files say; raise IntegrityError where they are not what was adopted."""
    facts = run.facts()
    base, adapter = mapping(facts["base"]), mapping(facts["adapter"])
    named = "@".join(filter(None, (base.get("name"), base.get("revision"))))
    spectrum = parquet_rows(run.verified("spectrum.parquet"))
    logging = mapping(facts["trainer"]).get("logging_steps")
    return Side(
        id=run.id,
        adopted=True,
        fields={
            "identity": {"base_id": named} if named else {},
            "cell": cell_of(facts["algorithm"], adapter),
            "recipe": {},
            "trainer": {} if logging is None else {"logging_steps": logging},
            "adapter": _adapter(adapter.get("config")),
            "software": dict(facts["software"]),
            "device": {},
        },
        results={
            "accuracy": facts["accuracy_stated"],
            "updates": facts["updates"],
            "final_update_norm": _norm(spectrum),
            **_last(parquet_rows(run.verified("steps.parquet"))),
            "train_seconds": facts["train_seconds"],
            **_spectra(spectrum),
        },
        stated=frozenset({"accuracy", "train_seconds"}),
    )


def flat(value: Mapping[str, Any], above: str = "") -> Fields:
    """Return a mapping of mappings as one, with dots in the names."""
    found: Fields = {}
    for name, inner in value.items():
        deeper = mapping(inner)
        found |= flat(deeper, f"{above}{name}.") if deeper else {f"{above}{name}": inner}
    return found


def cell_of(algorithm: str | None, adapter: Mapping[str, Any]) -> Fields:
    """Return what an adopted run's files say of its cell, in a cell's words: PEFT's DoRA is LoRA with an option."""
    dora = mapping(adapter.get("config")).get("use_dora") is True
    said = {
        "algorithm": algorithm,
        "adapter.method": "dora" if dora else adapter.get("method"),
        "adapter.rank": adapter.get("rank"),
    }
    return {name: value for name, value in said.items() if value is not None}


def _adapter(config: Any) -> Fields:
    """Return PEFT's configuration without what names the base, which stands elsewhere."""
    apart = ("base_model_name_or_path", "revision", "auto_mapping", "peft_version")
    return {name: value for name, value in mapping(config).items() if name not in apart}


def _same(section: str, a: Any, b: Any) -> bool:
    """Return whether two values are the same; PEFT's lists of names are sets, and are in no order."""
    here, there = items(a), items(b)
    if section in ("adapter", "recipe") and (here or there):
        return sorted(map(repr, here)) == sorted(map(repr, there))
    return a == b and (type(a) is type(b) or (_number(a) and _number(b)))  # 1 is 1.0, and true is not 1


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _spent(job: JobDirectory, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the attempt that was committed used."""
    if "attempt" not in manifest:
        return {}
    return mapping(read_json(job.path / "attempts" / f"{manifest['attempt']:04d}" / "timing.json"))


def _last(steps: list[Mapping[str, Any]]) -> dict[str, float | None]:
    """Return the end of a log: its last loss and reward, and the mean of its last rewards."""
    rewards = [row["reward"] for row in steps[-LAST:] if row["reward"] is not None]
    end: Mapping[str, Any] = steps[-1] if steps else {}
    mean = statistics.fmean(rewards) if rewards else None
    return {"last_loss": end.get("loss"), "last_reward": end.get("reward"), "reward_of_last_ten": mean}


def _updates(spectrum: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    updates = [row for row in spectrum if row["target"] == "update"]
    last = max((row["step"] or 0 for row in updates), default=0)
    return [row for row in updates if (row["step"] or 0) == last]


def _norm(spectrum: list[Mapping[str, Any]]) -> float | None:
    updates = _updates(spectrum)
    return sum(row["frobenius"] ** 2 for row in updates) ** 0.5 if updates else None


def _spectra(spectrum: list[Mapping[str, Any]]) -> dict[str, float | None]:
    """Return medians over the matrices of the last update."""
    found: dict[str, float | None] = {}
    for name in ("stable_rank", "effective_rank"):
        values = [row[name] for row in _updates(spectrum) if row[name] is not None]
        found[f"median_{name}"] = statistics.median(values) if values else None
    return found


def _final(answers: list[Mapping[str, Any]] | None) -> list[dict[str, Any]] | None:
    rows = [dict(row) for row in answers or () if row["split"] == "evaluation"]
    last = max((row["step"] for row in rows), default=0)
    return [row for row in rows if row["step"] == last] or None
