"""Commands say that they are at work for as long as they are, and end when they are told to."""

import os
import socket
from pathlib import Path

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


def test_a_file_of_another_form_is_nobody(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.commands.mkdir()
    write_json(store.commands / "x-1.json", {"host": 1, "machine": 2, "began": "a"})
    (store.commands / "x-2.json").write_text("[")
    assert working(store) == []
