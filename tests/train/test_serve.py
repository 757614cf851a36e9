"""The server's own half of the protocol; what it does to real jobs is tested with the local executor."""

import json
import os
import signal

import pytest

from harness.train.serve import Server


def said(out: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.splitlines()]


def test_a_job_that_cannot_be_forked_is_told_as_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_memory() -> int:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(os, "fork", no_memory)
    Server()._obey({"run": "store/runs/a"})
    out, err = capsys.readouterr()
    assert said(out) == [{"ended": "store/runs/a", "status": 1}]
    assert "store/runs/a: cannot fork: [Errno 12] Cannot allocate memory" in err


def test_starts_and_ends_are_told_with_the_status_of_the_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "fork", iter([101, 102]).__next__)
    server = Server()
    server._obey({"run": "a"})
    server._obey({"run": "b"})
    dead = iter([(102, 9), (101, 77 << 8), (0, 0)])  # wait(2): killed by signal 9; exit status 77
    monkeypatch.setattr(os, "waitpid", lambda pid, flags: next(dead))
    server._reap()
    assert said(capsys.readouterr().out) == [
        {"started": "a", "pid": 101},
        {"started": "b", "pid": 102},
        {"ended": "b", "status": -9},
        {"ended": "a", "status": 77},
    ]


def test_only_the_cancelled_job_is_asked_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "fork", iter([101, 102]).__next__)
    monkeypatch.setattr(os, "kill", lambda pid, number: asked.append((pid, number)))
    server = Server()
    server._obey({"run": "a"})
    server._obey({"run": "b"})
    server._obey({"cancel": "b"})
    server._obey({"cancel": "unknown"})
    assert asked == [(102, signal.SIGTERM)]


def test_lines_may_arrive_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    obeyed: list[dict[str, str]] = []
    pieces = iter([b'{"run": "a"}\n{"ru', b'n": "b"}\n', b""])
    monkeypatch.setattr("select.select", lambda *_: ([0], [], []))
    monkeypatch.setattr(os, "read", lambda *_: next(pieces))
    server = Server()
    monkeypatch.setattr(server, "_obey", obeyed.append)
    assert [server._listen() for _ in range(3)] == [True, True, False]
    assert obeyed == [{"run": "a"}, {"run": "b"}]
