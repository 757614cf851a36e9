"""Stores that may only be read, folders that take nothing, and full disks: a line, exit 4, and nothing lost.

The mounts are real; where this user may not mount, the tests skip and say so.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from harness.campaign.readable import with_index
from harness.cli.main import status

if TYPE_CHECKING:
    from tests.conftest import Made

Files = dict[str, str]
TABLE = "rank,seed,accuracy,n_items,base_accuracy\n8,1,.5,500,.4\n8,2,.5,500,.4\n"


class Said(NamedTuple):
    code: int
    out: str
    err: str


Call = Callable[..., Said]


def files(folder: Path) -> Files:
    """Return the SHA-256 of every file below a folder, hidden ones too."""
    found = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


def mounted(*arguments: str) -> None:
    """Mount something, or skip."""
    if shutil.which("mount") is None:
        pytest.skip("no mount here")
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this user may not mount: {done.stderr.strip()[:80]}")


def unmounted(point: Path) -> None:
    subprocess.run(["umount", "-l", str(point)], check=True)


@pytest.fixture
def done(made: "Made", capsys: pytest.CaptureFixture[str]) -> "Made":
    """Return a project whose claims are registered and whose own is finished, with a verdict and a report."""
    made.bench().register_shelf()
    made.results(lambda _: 0.5)
    for command in (["test", "live", "--no-run"], ["report"]):
        assert status(["-C", str(made.root), *command]) == 0
    capsys.readouterr()
    made.declare("table.csv", TABLE)
    return made


@pytest.fixture
def call(made: "Made", capsys: pytest.CaptureFixture[str]) -> Call:
    """Return a function that runs a command in the project."""

    def run(*arguments: str) -> Said:
        capsys.readouterr()
        code = status(["-C", str(made.root), *arguments])
        printed = capsys.readouterr()
        return Said(code, printed.out, printed.err)

    return run


@pytest.fixture
def read_only(done: "Made") -> Iterator["Made"]:
    """Mount the store so that nothing can be written there."""
    root = str(done.store.root)
    mounted("--bind", "-o", "ro", root, root)
    yield done
    unmounted(done.store.root)


@pytest.fixture
def full(done: "Made", tmp_path: Path) -> Iterator[Path]:
    """Return a store on a disk without a byte to spare."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted("-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk))
    shutil.copytree(done.store.root, disk / "store", ignore=shutil.ignore_patterns("report"))
    fill = os.open(disk / "fill", os.O_CREAT | os.O_WRONLY)
    try:
        while True:
            os.write(fill, b"x" * 4096)
    except OSError:
        pass
    finally:
        os.close(fill)
    yield disk / "store"
    unmounted(disk)


READING = (
    ["status"],
    ["runs", "list"],
    ["verdict"],
    ["plan", "live"],
    ["catalogue"],
    ["report", "--check"],
    ["db", "query", "SELECT count(*) FROM run"],
    ["test", "live", "--no-run"],
    ["test", "live"],
    ["register", "live"],
)
"""What needs no file in the store, the finished test among it."""


def refused(said: Said, told: str) -> None:
    """Assert that a command ended in one line, and exit code 4."""
    assert said.code == 4, said
    assert said.out == ""
    *notes, last = said.err.splitlines()
    assert last.endswith(f"{told}. Choose another --store, or make room."), said.err
    assert not any(".csv" in note or "Traceback" in note for note in notes)


def test_a_store_that_may_only_be_read_is_read(read_only: "Made", call: Call, tmp_path: Path) -> None:
    before = files(read_only.store.root)
    for command in READING:
        said = call(*command)
        assert said.code == 0, (command, said.err)
    out = tmp_path / "elsewhere"
    assert call("report", "-o", str(out)).code == 0
    again = (path.relative_to(out) for path in out.rglob("*") if path.is_file())
    assert {str(p): (out / p).read_bytes() for p in again if p.suffix in (".tex", ".csv")} == {
        str(p.relative_to(read_only.store.report)): p.read_bytes()
        for p in read_only.store.report.rglob("*")
        if p.suffix in (".tex", ".csv")
    }
    assert files(read_only.store.root) == before


WRITING = (
    ["report"],
    ["db", "rebuild"],
    ["runs", "import", "table.csv", "--hypothesis", "live"],
    ["runs", "exclude", "RUN", "--reason", "its disk was full"],
)


def test_what_must_write_into_it_is_refused_in_a_line(read_only: "Made", call: Call) -> None:
    before, run = files(read_only.store.root), min(read_only.store.runs.iterdir()).name
    for command in WRITING:
        said = call(*(run if word == "RUN" else word for word in command))
        refused(said, "Read-only file system")
        where = said.err.splitlines()[-1].split(": ")[0]
        assert where.startswith((str(read_only.store.root), "the index"))
        assert "/." not in where.removeprefix(str(read_only.store.root))  # a hidden file in the making is nobody's
    assert files(read_only.store.root) == before
    assert not list(Path(read_only.root).glob(".*partial*"))


def test_what_was_not_registered_cannot_be_on_a_read_only_store(made: "Made", call: Call) -> None:
    made.store.root.mkdir()
    root = str(made.store.root)
    mounted("--bind", "-o", "ro", root, root)
    try:
        refused(call("register", "live"), "Read-only file system")
        refused(call("test", "live"), "Read-only file system")
        assert files(made.store.root) == {}
    finally:
        unmounted(made.store.root)


def test_a_full_disk_is_read_and_takes_nothing_in_part(full: Path, done: "Made", call: Call, tmp_path: Path) -> None:
    before, run = files(full), min(done.store.runs.iterdir()).name
    for command in (each for each in READING if "--check" not in each):
        said = call("--store", str(full), *command)
        assert said.code == 0, (command, said.err)
        assert files(full) == before, command
    for command in WRITING:
        said = call("--store", str(full), *(run if word == "RUN" else word for word in command))
        refused(said, "No space left on device")
        assert files(full) == before, command
    assert call("--store", str(full), "report", "-o", str(tmp_path / "elsewhere")).code == 0
    assert files(full) == before


def test_a_registration_on_a_full_disk_is_made_whole_or_not_at_all(full: Path, done: "Made", call: Call) -> None:
    done.declare("hypotheses/later.yaml", done.claim_text)
    before = files(full)
    said = call("--store", str(full), "register", "later")
    refused(said, "No space left on device")
    assert files(full) == before
    (full.parent / "fill").unlink()  # room is made, and the same command goes on
    assert call("--store", str(full), "register", "later").code == 0
    assert len(files(full)) == len(before) + 1


@pytest.fixture
def plainly(done: "Made") -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Return a function that runs a command as a user whom permissions bind, which they do not bind root."""
    bound = ["setpriv", "--inh-caps=-all", "--bounding-set=-dac_override,-dac_read_search,-fowner"]
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root without setpriv: permissions bind nobody here")

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [*(bound if os.geteuid() == 0 else []), sys.executable, "-m", "harness", *arguments]
        environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
        return subprocess.run(command, cwd=done.root, env=environment, capture_output=True, text=True, check=False)

    return run


def test_a_folder_without_permission_is_read_and_takes_nothing(
    done: "Made", plainly: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    before = files(done.store.root)
    folders = [done.store.root, *(path for path in done.store.root.rglob("*") if path.is_dir())]
    try:
        for folder in folders:
            folder.chmod(0o500)
        assert plainly("status").returncode == 0
        assert plainly("test", "live").returncode == 0
        said = plainly("db", "rebuild")
        refused(Said(said.returncode, said.stdout, said.stderr), "Permission denied")
        looked = plainly("doctor")
        assert looked.returncode == 0
        assert f"NO  store     {done.store.root}: Permission denied. Choose another --store." in looked.stdout
    finally:
        for folder in folders:
            folder.chmod(0o700)
    assert files(done.store.root) == before


def test_a_store_that_cannot_be_made_is_told(
    made: "Made", plainly: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o500)
    said = plainly("--store", str(closed / "store"), "register", "live")
    refused(Said(said.returncode, said.stdout, said.stderr), "Permission denied")
    assert f"{closed}/store: Permission denied" in said.stderr
    assert list(closed.iterdir()) == []


def test_doctor_looks_at_mounts_as_they_are(done: "Made", call: Call, full: Path) -> None:
    said = call("--store", str(full), "doctor")
    assert f"tmpfs, mounted at {full.parent}; what is in memory is gone when the machine restarts" in said.out
    assert "NO  space" in said.out
    point = done.root / "closed"
    point.mkdir()
    mounted("--bind", "-o", "ro", str(point), str(point))
    try:
        said = call("--store", str(point), "doctor")
        assert f"NO  store     {point}: Read-only file system. Choose another --store." in said.out
        assert said.code == 0
    finally:
        unmounted(point)


def test_an_index_made_elsewhere_is_that_of_the_store(read_only: "Made") -> None:
    from harness.store import query

    read_only.bench()
    measures = read_only.bench().measures()
    store = with_index(read_only.store, measures)
    assert store.index != read_only.store.index
    assert (store.runs, store.verdicts) == (read_only.store.runs, read_only.store.verdicts)
    assert query(store, "SELECT count(*) FROM run") == query(read_only.store, "SELECT count(*) FROM run")
