"""Commands say that they are at work for as long as they are, and end when they are told to."""

import errno
import fcntl
import os
import socket
from pathlib import Path
from typing import IO

import pytest

from harness.record.atomic import write_json
from harness.record.commands import at_work, end, ended, working
from harness.record.layout import Store


def test_a_command_is_listed_while_it_executes_and_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with at_work(store, "harness run live") as file:
        (one,) = working(store)
        assert (one.host, one.pid, one.line) == (socket.gethostname(), os.getpid(), "harness run live")
        assert not ended(file)
        end(one)
        assert ended(file)
    assert working(store) == []
    assert list(store.commands.iterdir()) == []


def test_what_was_told_to_a_killed_command_does_not_reach_a_later_one_of_its_number(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.commands.mkdir()
    (store.commands / f"{socket.gethostname()}-{os.getpid()}.end").touch()
    with at_work(store, "harness run live") as file:
        assert not ended(file)


def test_a_command_is_seen_where_only_files_open_for_writing_are_locked_exclusively(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS makes locks of ranges of bytes out of flock's."""
    store, flock = Store(tmp_path), fcntl.flock

    def by_range(file: int, operation: int) -> None:
        if operation & fcntl.LOCK_EX and fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", by_range)
    with at_work(store, "harness run live"):
        assert len(working(store)) == 1


def test_a_command_that_is_looked_at_as_it_begins_is_seen_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    looks: list[IO[str]] = []

    def let_go(_: float) -> None:
        looks.pop().close()

    monkeypatch.setattr("time.sleep", let_go)

    def created(file: Path, said: object) -> None:
        write_json(file, said)
        looks.append(file.open())
        fcntl.flock(looks[0], fcntl.LOCK_SH)

    monkeypatch.setattr("harness.record.commands.write_json", created)
    with at_work(store, "harness run live"):
        assert len(working(store)) == 1


def test_a_file_of_another_form_is_nobody(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.commands.mkdir()
    write_json(store.commands / "x-1.json", {"host": 1, "machine": 2, "began": "a"})
    (store.commands / "x-2.json").write_text("[")
    assert working(store) == []
