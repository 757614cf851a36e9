"""A bundle: what a verdict rests on, small enough to hand on, from which anyone decides it again.

It is a project with a store, packed as one tar file: the declarations of the claim and of its rivals, the measures, the
registrations, and of every base and run its identity, the moments and ends of its attempts, and its result without
weights. Times of files are
kept, because a run older than its registration is told by them. Names of hosts and logs stay behind. Unpacked, `harness
test NAME --no-run` decides it; the stored verdicts lie beside it for comparison, outside the store.
"""

import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from harness.campaign.bench import Bench
from harness.campaign.beside import with_rivals
from harness.campaign.tuning import tuned_on
from harness.campaign.verdicts import runs_of, subject_name, subjects
from harness.plan import PlannedBase
from harness.record.adopted import AdoptedTable, first_adoption
from harness.record.job import JobDirectory
from harness.record.layout import Store
from harness.record.verdict import Verdict
from harness.record.verdict_files import latest, text
from harness.spec import DeclarationError, Hypothesis
from harness.spec.code import is_code, source_file

WEIGHTS = ".safetensors"


def bundle(
    bench: Bench,
    name: str,
    hypothesis: Hypothesis,
    bases: Sequence[PlannedBase],
    tables: Sequence[AdoptedTable],
    out: Path,
) -> int:
    """Write a bundle of a hypothesis on bases and adopted tables to `out`; return how many files are in it.

    Raises:
        DeclarationError: no verdict on it is stored, so nothing could be compared with.
    """
    about = {subject_name(subject) for subject in subjects(bench, hypothesis, bases) if subject}
    about |= {table.name for table in tables}
    verdicts = [v for v in latest(bench.store, name) if v.protocol == bench.protocol_name and v.base in about]
    if not verdicts:
        rule = f"no verdict on {', '.join(sorted(about))} is stored. `harness test {name}` makes one."
        raise DeclarationError([f"{name}: {rule}"])
    claims = with_rivals(bench, {name: hypothesis}, bases)[0]
    verdicts += [v for v in latest(bench.store) if v.hypothesis in claims and _beside(v, verdicts[0])]
    partial = out.with_name(out.name + ".partial")
    count = 0
    with tarfile.open(partial, "w:gz") as tar:
        root = f"{name}-{bench.protocol_name}"
        for file, at in dict(_files(bench, claims, bases, tables)).items():
            tar.add(file, f"{root}/{at}", recursive=False, filter=_anonymous)
            count += 1
        for at, said, like in _made(bench, claims, bases, tables):
            _write(tar, f"{root}/{at}", said, like)
            count += 1
        for verdict in verdicts:
            of = "" if verdict.hypothesis == name else f"{verdict.hypothesis}-"
            _write(tar, f"{root}/verdict-{of}{verdict.base}.json", text(verdict), None)
            count += 1
    partial.replace(out)
    return count


def _beside(verdict: Verdict, own: Verdict) -> bool:
    """Return whether a verdict is a rival's in the place of a claim's own."""
    place = (own.protocol, own.base_id, own.registered.explored)
    return verdict.hypothesis != own.hypothesis and place == (
        verdict.protocol,
        verdict.base_id,
        verdict.registered.explored,
    )


def _files(
    bench: Bench, claims: Mapping[str, Hypothesis], bases: Sequence[PlannedBase], tables: Sequence[AdoptedTable]
) -> Iterator[tuple[Path, str]]:
    """Yield what is taken as it is, with its place in the project; some of it more than once."""
    shelf, store = bench.shelf, bench.store
    yield from ((shelf.path("hypotheses", name), f"hypotheses/{name}.yaml") for name in _named(bench, claims))
    yield shelf.path("runs", bench.protocol_name), f"runs/{bench.protocol_name}.yaml"
    yield from ((shelf.path("analysis", measure), f"analysis/{measure}.sql") for measure in shelf.names("analysis"))
    for code in _code(bench, claims):
        assert shelf.code_root is not None
        file = source_file(shelf.code_root, code)
        yield file, str(file.relative_to(shelf.code_root))
    kept = [store.registrations / bench.protocol_name / name for name in claims]
    kept += [table.file.parent for table in tables]
    kept += sorted(store.pins.glob("*"))  # which rows a declared set means; the rows decide nothing
    for folder in kept:
        yield from ((file, _place(store, file)) for file in sorted(folder.glob("*")) if file.is_file())
    firsts = (first_adoption(store, table.content) for table in tables)
    yield from ((file, _place(store, file)) for file in firsts if file.is_file())
    for job in _jobs(bench, claims, bases):
        yield job.path / "spec.json", _place(store, job.path / "spec.json")
        results = sorted(job.result.rglob("*")) if job.manifest() else []
        yield from ((file, _place(store, file)) for file in results if file.is_file() and file.suffix != WEIGHTS)
        ends = (attempt / "exit.json" for attempt in job.attempts())
        yield from ((end, _place(store, end)) for end in ends if end.is_file())
        exclusion = store.exclusions / f"{job.id}.json"
        if exclusion.is_file():
            yield exclusion, _place(store, exclusion)


def _named(bench: Bench, claims: Mapping[str, Hypothesis]) -> list[str]:
    """Return the claims and every rival that one of them, or a rival of theirs, names: none is valid without."""
    found, open_ones = list(claims), list(claims)
    while open_ones:
        for rival in bench.shelf.hypothesis(open_ones.pop()).rivals:
            if rival.hypothesis not in found:
                found.append(rival.hypothesis)
                open_ones.append(rival.hypothesis)
    return found


def again(name: str, bases: Sequence[PlannedBase], tables: Sequence[AdoptedTable]) -> str:
    """Return the command that decides a bundle."""
    named = ",".join([*(base.name for base in bases), *(table.name for table in tables)])
    return f"harness test {name} --models {named} --no-run"


def _made(
    bench: Bench, claims: Mapping[str, Hypothesis], bases: Sequence[PlannedBase], tables: Sequence[AdoptedTable]
) -> Iterator[tuple[str, str, Path | None]]:
    """Yield what is written for the bundle: its place, its text, and the file whose time it bears."""
    yield "pyproject.toml", f'[tool.harness]\nprotocol = "{bench.protocol_name}"\n', None
    command = again(next(iter(claims)), bases, tables)
    command = command.replace("harness", "harness --allow-code", 1) if _code(bench, claims) else command
    yield "README.txt", f"Decide it again: {command}\nStored verdicts: verdict-*.json\n", None
    for job in _jobs(bench, claims, bases):
        for attempt in job.attempts():
            claim = attempt / "claim.json"
            yield _place(bench.store, claim), json.dumps({"engine": "bundle"}), claim


def _code(bench: Bench, claims: Mapping[str, Hypothesis]) -> list[str]:
    predictions = [p for hypothesis in claims.values() for p in hypothesis.predictions]
    named = [getattr(p, key, "") for p in predictions for key in ("measure", "estimand")]
    named += [str(getattr(bench.protocol.task, "code", "")), str(getattr(bench.protocol.recipe, "reward", ""))]
    return list(dict.fromkeys(code for code in named if is_code(code)))


def _jobs(bench: Bench, claims: Mapping[str, Hypothesis], bases: Sequence[PlannedBase]) -> Iterator[JobDirectory]:
    found = [
        runs_of(bench, name, hypothesis, subject)
        for name, hypothesis in claims.items()
        for subject in subjects(bench, hypothesis, bases)
    ]
    found += [
        tuned_on(bench, name, hypothesis, base).runs
        for name, hypothesis in claims.items()
        for base in bases
        if hypothesis.design.tuning
    ]
    parts = {base.id: bench.base_job(base) for runs in found for base in runs.bases}
    parts |= {run.id: bench.run_job(run) for runs in found for run in runs.runs}
    jobs = parts.values()
    return (job for job in jobs if (job.path / "spec.json").is_file())


def _place(store: Store, file: Path) -> str:
    return f".harness/{file.relative_to(store.root)}"


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info


def _write(tar: tarfile.TarFile, at: str, said: str, like: Path | None) -> None:
    info = tarfile.TarInfo(at)
    content = said.encode()
    info.size, info.mode = len(content), 0o644
    info.mtime = like.stat().st_mtime if like else 0
    tar.addfile(info, io.BytesIO(content))
