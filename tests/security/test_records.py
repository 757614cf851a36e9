"""Records from elsewhere: malformed, endless, nested, or leading out of the store; a line each, never a traceback.

Checksums are made anew after a change of a result, as somebody would who forges one.
"""

import copy
import hashlib
import json
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from harness.cli.main import status
from harness.record.atomic import IntegrityError, read_json
from harness.record.job import JobDirectory
from harness.record.verdict import Verdict
from harness.record.verdict_files import save

if TYPE_CHECKING:
    from tests.conftest import Made

VALUES: list[Any] = [
    None,
    True,
    -1,
    1e308,
    10**400,
    "",
    "../../../etc/passwd",
    "/etc/passwd",
    "x" * 100_000,
    "a\x00b",
    "\x1b]0;owned\x07",
    "\ud800",
    "\u202e<script>alert(1)</script>",
    "\\input{/etc/passwd}",
    [],
    {},
    [[[[[]]]]],
    {"a": {"b": 1}},
]
BYTES = [
    b"",
    b"{",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"null",
    b"[]",
    b"\x00" * 100,
    b"9" * 5000,
    b'{"files": {"../../spec.json": {"sha256": "x", "bytes": 1}}}',
]
COMMANDS = (["runs", "list"], ["status"], ["verdict"])
SLOW = (["db", "rebuild"], ["plan", "live"], ["test", "live", "--no-run"], ["report"])


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of every value in a value, its own first."""
    yield place
    inner: Any = ()
    if isinstance(value, dict | list):
        inner = (
            cast("dict[str, Any]", value).items() if isinstance(value, dict) else enumerate(cast("list[Any]", value))
        )
    for key, each in inner:
        yield from places(each, (*place, key))


def mutated(value: Any, random_: random.Random) -> bytes:
    """Return the JSON of a value in which one part is gone, or is something else."""
    place, other = random_.choice(list(places(value))), random_.choice([*VALUES, "gone"])
    if not place:
        return json.dumps(other).encode()
    root = inner = copy.deepcopy(value)
    for key in place[:-1]:
        inner = inner[key]
    if other == "gone":
        del inner[place[-1]]
    else:
        inner[place[-1]] = other
    return json.dumps(root).encode()


def resealed(result: Path) -> None:
    """Write the checksum of result.json into the manifest, as whoever changed it would."""
    manifest = json.loads((result / "manifest.json").read_text())
    manifest["files"]["result.json"]["sha256"] = hashlib.sha256((result / "result.json").read_bytes()).hexdigest()
    (result / "manifest.json").write_text(json.dumps(manifest))


def two_runs(made: "Made") -> list[str]:
    """Commit a base and two runs; return the ids of the runs."""
    bench = made.bench()
    needed = bench.plan(bench.hypotheses(["live"]), ["llama"])
    made.base(needed.bases[0])
    return [made.run(run, 0.5).id for run in needed.runs[:2]]


def outside(root: Path, inner: Path) -> dict[str, bytes]:
    """Return every file below `root` that is not below `inner`."""
    files = (p for p in sorted(root.rglob("*")) if p.is_file() and not p.is_relative_to(inner))
    return {str(p): p.read_bytes() for p in files}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_mutated_records_are_told_in_lines_and_nothing_outside_is_touched(
    made: "Made", verdict: Verdict, tmp_path: Path, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    random_, here = random.Random(seed), ["-C", str(made.root), "--store", str(made.store.root)]
    (run, _), store = two_runs(made), made.store.root
    save(made.store, verdict.model_copy(update={"hypothesis": "live"}))
    pristine = tmp_path / "pristine"
    shutil.copytree(store, pristine)
    before = outside(tmp_path, store)
    refused = 0
    for turn in range(25):
        shutil.rmtree(store)
        shutil.copytree(pristine, store)
        file = random_.choice(sorted(store.rglob("*.json")))
        file.write_bytes(
            random_.choice(BYTES) if random_.random() < 0.3 else mutated(json.loads(file.read_text()), random_)
        )
        if file.name == "result.json" and random_.random() < 0.8:
            resealed(file.parent)
        for command in (*COMMANDS, ["runs", "show", run], *((SLOW[turn % 4],) if turn % 3 == 0 else ())):
            code = status([*here, *command])  # a traceback would end the test here
            said = capsys.readouterr()
            assert code in (0, 2, 3), (command, said.err)
            assert "\x1b" not in said.out + said.err
            refused += code == 3
    assert refused > 5  # most of this is no record any more
    assert outside(tmp_path, store) == before


@pytest.mark.parametrize("content", BYTES)
def test_a_file_that_is_no_record_is_told_by_its_name(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "spec.json"
    file.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"spec\.json: (damaged|is not what)"):
        JobDirectory(tmp_path).spec()


def test_a_pipe_a_folder_and_a_file_without_an_end_are_no_records(tmp_path: Path) -> None:
    """A pipe would be waited for, and a sparse file of a terabyte read, for ever."""
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.json").mkdir()
    with (tmp_path / "sparse.json").open("wb") as file:
        file.truncate(2**40)
    (tmp_path / "zeros.json").symlink_to("/dev/zero")
    for name in ("pipe", "folder", "sparse", "zeros"):
        with pytest.raises(IntegrityError, match=rf"{name}\.json: damaged"):
            read_json(tmp_path / f"{name}.json")


@pytest.mark.parametrize("part", [".", "result", "attempts"])
@pytest.mark.parametrize(
    "command", [["runs", "list"], ["runs", "show", "RUN"], ["db", "rebuild"], ["test", "live", "--no-run"]]
)
def test_a_folder_that_is_a_link_is_not_followed(
    made: "Made", tmp_path: Path, capsys: pytest.CaptureFixture[str], part: str, command: list[str]
) -> None:
    run, _ = two_runs(made)
    folder = made.store.runs / run / part
    elsewhere = tmp_path / "elsewhere"
    shutil.move(folder, elsewhere)
    folder.symlink_to(elsewhere)
    code = status(["-C", str(made.root), *(run if word == "RUN" else word for word in command)])
    said = capsys.readouterr()
    assert code == 3
    assert said.out == "" or "without 1 that are not what was committed" in said.out  # `db rebuild` takes the others
    assert said.err.splitlines()[-1].startswith(f"{made.store.runs / run / part}: leads out of the store. Put a copy")


@pytest.mark.parametrize("part", ["result", "attempts"])
@pytest.mark.parametrize("command", [["runs", "show", "RUN"], ["db", "rebuild"], ["test", "live", "--no-run"]])
def test_a_file_in_the_place_of_a_folder_is_told(
    made: "Made", capsys: pytest.CaptureFixture[str], part: str, command: list[str]
) -> None:
    run, _ = two_runs(made)
    folder = made.store.runs / run / part
    shutil.rmtree(folder)
    folder.write_text("a file")
    code = status(["-C", str(made.root), *(run if word == "RUN" else word for word in command)])
    said = capsys.readouterr()
    assert code == 3
    assert said.err.splitlines()[-1].startswith(f"{folder}: is no folder. Restore it, or move {folder.parent} out")


def test_a_file_of_a_result_that_is_a_link_to_another_is_not_read(made: "Made", tmp_path: Path) -> None:
    """One to the bytes that were committed may be: so are the weights of a base on another disk."""
    run, _ = two_runs(made)
    job = JobDirectory(made.store.runs / run)
    secret = tmp_path / "secret"
    shutil.move(job.result / "result.json", secret)
    (job.result / "result.json").symlink_to(secret)
    assert job.verified("result.json").read_bytes() == secret.read_bytes()
    secret.write_text('{"a secret": "of this user"}')
    with pytest.raises(IntegrityError, match=r"result\.json: changed since it was committed\."):
        job.verified("result.json")


@pytest.mark.parametrize("name", ["../spec.json", "/etc/passwd", "a/../../spec.json", "", "a\x00b", "x" * 2000])
def test_a_manifest_names_files_of_its_folder_only(made: "Made", name: str) -> None:
    run, _ = two_runs(made)
    job = JobDirectory(made.store.runs / run)
    manifest = json.loads((job.result / "manifest.json").read_text())
    manifest["files"][name] = {"sha256": "0" * 64, "bytes": 1}
    (job.result / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(IntegrityError, match=r"manifest\.json: is not what this version writes .* no name of a file"):
        job.manifest()
    with pytest.raises(IntegrityError):
        job.verified(name)


def test_what_a_terminal_would_obey_is_printed_as_its_code(made: "Made", capsys: pytest.CaptureFixture[str]) -> None:
    bench = made.bench()
    run = bench.plan(bench.hypotheses(["live"]), ["llama"]).runs[0]
    job = JobDirectory(made.store.runs / run.id)
    job.create({"id": run.id, "identity": run.identity})
    made.fail(job.path, "\x1b[2J\x1b]0;owned\x07 \u202eLIVE \x9b31m done")
    assert status(["-C", str(made.root), "status"]) == 0
    said = capsys.readouterr()
    assert "failed: user_error: \\x1b[2J\\x1b]0;owned\\x07 \\u202eLIVE \\x9b31m done" in said.out


SOFTWARE = dict.fromkeys(("transformers", "trl"), "1.0")  # peft is not said


def test_a_number_that_is_not_finite_is_a_text_in_json(made: "Made", capsys: pytest.CaptureFixture[str]) -> None:
    run, _ = two_runs(made)
    result = made.store.runs / run / "result"
    facts = json.loads((result / "result.json").read_text())
    (result / "result.json").write_text(json.dumps({**facts, "final_update_norm": float("nan"), "x": float("-inf")}))
    resealed(result)
    assert status(["-C", str(made.root), "--json", "runs", "show", run]) == 0
    shown = json.loads(capsys.readouterr().out)["facts"]
    assert (shown["final_update_norm"], shown["x"]) == ("NaN", "-Infinity")


HOSTILE = "</script><script>alert(1)</script>\\input{/etc/passwd}$\\write18{id}$ ![x](javascript:alert(1))"


def test_what_records_say_of_machines_and_software_is_text_in_a_report(
    made: "Made", capsys: pytest.CaptureFixture[str]
) -> None:
    here, hostile = ["-C", str(made.root)], {**SOFTWARE, "torch": HOSTILE, HOSTILE: "1"}
    bench = made.bench()
    needed = bench.plan(bench.hypotheses(["live"]), ["llama"])
    made.base(needed.bases[0])
    for run in needed.runs:
        made.run(run, 0.5, software=hostile, trainer={"config": HOSTILE, "declared": {HOSTILE: HOSTILE}})
        end = made.store.runs / run.id / "attempts" / "0001" / "timing.json"
        end.write_text(json.dumps({"cpu_seconds": 1.0, "wall_seconds": 1.0, "peak_bytes": 1, "device": HOSTILE}))
    assert status([*here, "test", "live", "--no-run"]) == 0
    assert status([*here, "report"]) == 0
    capsys.readouterr()
    report = made.store.report
    page = (report / "report.html").read_text()
    assert page.count("<script") == page.count("</script>")
    assert "<script>alert" not in page
    assert any("alert(1)" in file.read_text(errors="replace") for file in report.rglob("*.*"))  # it is told somewhere
    for file in report.rglob("*.tex"):
        assert "\\input{/etc/passwd}" not in file.read_text()
        assert "\\write18" not in file.read_text()
    assert "![x](javascript:" not in (report / "report.md").read_text()


def test_the_line_about_a_record_is_short(made: "Made") -> None:
    run, _ = two_runs(made)
    job = JobDirectory(made.store.runs / run)
    (job.result / "manifest.json").write_text(json.dumps({"files": {"../" + "x" * 10**6: {}}}))
    with pytest.raises(IntegrityError) as caught:
        job.manifest()
    assert len(str(caught.value).replace(str(job.path), "")) < 300
