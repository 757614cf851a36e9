"""Logs without secrets."""

import stat
from pathlib import Path

import pytest

from harness.record import scrubbed
from harness.record.scrubbed import scrub


def test_secrets_leave_a_log_and_all_else_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "planted-secret")
    log = tmp_path / "log.txt"
    log.write_bytes(b"step 1\n\xff\xfe planted-secret\nGET https://a:b@h/x\nlast")
    log.chmod(0o640)
    assert scrub(log)
    assert log.read_bytes() == b"step 1\n\xff\xfe [HF_TOKEN]\nGET https://[secret]@h/x\nlast"
    assert stat.S_IMODE(log.stat().st_mode) == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["log.txt"]


def test_a_log_without_secrets_is_not_written_again(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("step 1\n")
    before = log.stat().st_ino
    assert not scrub(log)
    assert log.stat().st_ino == before
    assert not scrub(tmp_path / "none.txt")


def test_a_secret_across_two_windows_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrubbed, "WINDOW", 10)
    monkeypatch.setenv("HF_TOKEN", "planted-secret")
    log = tmp_path / "log.txt"
    log.write_text("x planted-secret y\n" * 5)
    assert scrub(log)
    assert log.read_text() == "x [HF_TOKEN] y\n" * 5
