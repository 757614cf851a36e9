"""A folder as an exchange whose file system fails: it is waited for, and no finished result is lost over it."""

import errno
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.execute import LocalExecutor, Unreachable
from harness.execute.exchanged import ExchangedExecutor
from harness.record.exchange import ExchangedJob
from harness.record.job import JobDirectory
from harness.record.object_folder import FolderObjects
from harness.record.objects import Away, Objects, Unfit
from harness.train.courier import carry
from harness.train.patience import Rhythm
from harness.train.supervise import FAILED, HEEDED, LOST_CLAIM, OK

RHYTHM = Rhythm(beat=0.1, again=0.05, start=5, patience=20)
WORKER = """
import sys, time
from pathlib import Path
from harness.record.ending import Reason
from harness.record.job import JobDirectory
attempt = JobDirectory(Path(sys.argv[1])).claim({})
checkpoint = attempt.scratch / "checkpoint-1"
checkpoint.mkdir(parents=True)
(checkpoint / "COMPLETE").touch()
with (attempt.path / "log.txt").open("w") as log:
    log.writelines(f"line {number:02d}, key opensesame-123456\\n" for number in range(50))
time.sleep(1)
(attempt.stage / "result.json").write_text("{}")
attempt.commit()
attempt.exit(Reason.OK)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "exchange"
    folder.mkdir()
    return folder


@pytest.fixture
def carried(folder: Path, scratch: Path, tmp_path: Path) -> Iterator[Callable[[], int]]:
    """Return what carries the one job of the exchange, in this process."""
    (tmp_path / "worker.py").write_text(WORKER)
    there(folder).offer({"id": "r", "identity": {"seed": 1}}, {"resume": "allowed", "checkpoint_every": 1})
    before = {number: signal.getsignal(number) for number in HEEDED}
    yield lambda: carry(f"file://{folder}/runs/r", [sys.executable, str(tmp_path / "worker.py")], RHYTHM)
    for number, handler in before.items():
        signal.signal(number, handler)


def there(folder: Path) -> ExchangedJob:
    return ExchangedJob(FolderObjects(folder), "runs/r")


def failing(
    patch: pytest.MonkeyPatch, name: str, number: int, part: str = "", times: int = sys.maxsize
) -> list[tuple[Any, ...]]:
    """Have a function fail so many times where an argument holds a text; return the arguments of those calls."""
    module, _, attribute = name.rpartition(".")
    owner: Any = {"os": os, "Path": Path}[module]
    real, failed = getattr(owner, attribute), list[tuple[Any, ...]]()

    def fails(*given: Any, **more: Any) -> Any:
        if part in " ".join(map(str, given)) and len(failed) < times:
            failed.append(given)
            raise OSError(number, os.strerror(number), str(given[0]))
        return real(*given, **more)

    patch.setattr(owner, attribute, fails)
    return failed


ASKED: dict[str, tuple[str, Callable[[Objects, Path], object]]] = {
    "put": ("os.replace", lambda objects, _: objects.put("a/b", b"")),
    "create": ("os.link", lambda objects, _: objects.create("a/c", b"")),
    "create, with its first bytes": ("Path.write_bytes", lambda objects, _: objects.create("a/c", b"")),
    "upload": ("os.replace", lambda objects, file: objects.upload(file, "a/b")),
    "upload, with its folder": ("Path.mkdir", lambda objects, file: objects.upload(file, "c/b")),
    "entries": ("os.scandir", lambda objects, _: objects.entries("a")),
    "read": ("Path.read_bytes", lambda objects, _: objects.read("a/b")),
    "remove": ("Path.unlink", lambda objects, _: objects.remove("a/b")),
    "download": ("Path.open", lambda objects, file: objects.download("a/b", file)),
    "now": ("Path.touch", lambda objects, _: objects.now()),
}


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.ENOSPC, errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("asked", ASKED)
def test_what_a_folder_says_of_itself_is_silence_or_a_right_that_is_missing(
    asked: str, number: int, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects, (fails, ask) = FolderObjects(folder), ASKED[asked]
    objects.put("a/b", b"there")
    (tmp_path / "file").write_bytes(b"here")
    with monkeypatch.context() as patch:
        failing(patch, fails, number)
        right = number in (errno.EACCES, errno.EROFS)
        said = f"^exchange {objects.url}: {os.strerror(number)}"
        with pytest.raises(Unfit if right else Away, match=said + (r"\. Give this account" if right else "$")):
            ask(objects, tmp_path / "file")
    assert [path.name for path in folder.rglob(".*")] == []  # and nothing half written is left
    assert objects.read("a/c") is None


def test_a_folder_without_hard_links_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, "os.link", errno.EPERM)
    with pytest.raises(Unfit, match="two can create the same object there"):
        FolderObjects(folder).create("a", b"")


def test_an_error_of_a_file_here_is_one_of_the_system(objects: Objects, tmp_path: Path) -> None:
    objects.put("a", b"x" * 100)
    with pytest.raises(OSError, match="No space left on device") as told:
        objects.download("a", Path("/dev/full"))
    assert told.value.errno == errno.ENOSPC
    with pytest.raises(FileNotFoundError):
        objects.upload(tmp_path / "none", "b")
    assert objects.read("b") is None


def test_a_command_takes_what_a_folder_says_of_itself_for_silence(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = JobDirectory(tmp_path / "store" / "runs" / "r")
    job.create({"id": "r", "identity": {"seed": 1}})
    inner = LocalExecutor(tmp_path / "log", ["true"], [None])
    executor = ExchangedExecutor(inner, FolderObjects(folder), tmp_path / "store")
    with monkeypatch.context() as patch, pytest.raises(Unreachable, match=r"exchange .*: Stale file handle"):
        failing(patch, "os.link", errno.ESTALE)
        executor.submit([job.path])
    with monkeypatch.context() as patch, pytest.raises(Unreachable, match=r"exchange .*: Stale file handle"):
        failing(patch, "os.scandir", errno.ESTALE, str(folder))
        executor.poll(["runs/r of an engine"])
    executor.close()


def test_without_a_folder_for_local_copies_nothing_is_claimed(
    carried: Callable[[], int],
    folder: Path,
    scratch: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HARNESS_SCRATCH", str(scratch / "gone"))
    assert carried() == FAILED
    assert "No such file or directory" in (said := capsys.readouterr().err)
    assert said.endswith("'. Nothing was begun.\n")
    assert there(folder).look().newest == 0
    monkeypatch.setenv("HARNESS_SCRATCH", str(scratch))
    assert there(folder).claim({}) == 1
    assert carried() == LOST_CLAIM  # somebody has it
    assert list(scratch.iterdir()) == []


def test_a_sign_of_life_that_fails_once_is_not_the_last(
    carried: Callable[[], int], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = failing(monkeypatch, "os.replace", errno.ESTALE, "0001.beat", times=1)
    beats: list[float] = []
    beat = ExchangedJob.beat

    def counted(job: ExchangedJob, number: int, said: Any) -> None:
        beat(job, number, said)
        beats.append(job.objects.now())

    monkeypatch.setattr(ExchangedJob, "beat", counted)
    assert carried() == OK
    assert len(failed) == 1
    assert len(beats) > 2
    assert f"exchange file://{folder}: Stale file handle; waiting" in capsys.readouterr().err


@pytest.mark.parametrize(("fails", "part"), [("os.replace", "data/0001/result.json"), ("os.link", "/COMMIT")])
def test_a_finished_result_waits_for_room_at_the_exchange(
    fails: str, part: str, carried: Callable[[], int], folder: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = failing(monkeypatch, fails, errno.EDQUOT, part, times=2)
    assert carried() == OK
    assert len(failed) == 2
    assert there(folder).manifest() is not None
    assert there(folder).read("attempts/0001.exit.json") == {"reason": "ok", "message": "", "timing": None}
    assert list(scratch.iterdir()) == []


def test_a_result_that_cannot_be_read_here_is_kept_and_said_where(
    carried: Callable[[], int],
    folder: Path,
    scratch: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    failing(monkeypatch, "Path.open", errno.EIO, "result/result.json")
    assert carried() == FAILED
    (kept,) = scratch.glob("*/runs/r/result")
    assert (kept / "manifest.json").is_file()
    assert f"runs/r: not delivered; its result lies in {kept}" in capsys.readouterr().err
    end = there(folder).read("attempts/0001.exit.json")
    assert end is not None and (end["reason"], "Input/output error" in end["message"]) == ("killed", True)


@pytest.mark.parametrize(("fails", "part"), [("os.replace", "checkpoints/0001/1"), ("Path.rglob", "checkpoint-1")])
def test_a_checkpoint_that_cannot_be_kept_does_not_end_a_run(
    fails: str, part: str, carried: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = failing(monkeypatch, fails, errno.EIO, part)
    assert carried() == OK
    assert len(failed) > 0


def test_the_end_of_a_log_is_whole_lines_without_secrets(
    carried: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "opensesame-123456")
    monkeypatch.setattr("harness.train.courier.LOG_END", 31 * 10 + 12)  # in the middle of the eleventh key
    logs: list[str] = []

    def kept(_: ExchangedJob, __: int, content: bytes) -> None:
        logs.append(content.decode())

    monkeypatch.setattr(ExchangedJob, "log", kept)
    assert carried() == OK
    assert len(logs) > 0
    for log in logs:
        assert re.fullmatch(r"(line \d\d, key \[SOME_API_KEY\]\n){10,12}", log)
