import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.record.atomic import IntegrityError, create_json, read_json, sha256, write_json, write_text

RACE = """
import sys
from pathlib import Path
from harness.record.atomic import create_json
path = Path(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print(create_json(path, {"by": sys.argv[2], "long": "x" * 100000}))
"""
REWRITE = """
import sys
from pathlib import Path
from harness.record.atomic import write_json
n = 0
while True:
    n += 1
    write_json(Path(sys.argv[1]), {"n": n, "long": [n] * 20000})
"""


def test_of_eight_creators_one_wins_and_its_file_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file.json"
    command = [sys.executable, "-c", RACE, str(path)]
    racers = [
        subprocess.Popen([*command, str(i)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for i in range(8)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    said = [racer.communicate("\n")[0].strip() for racer in racers]
    assert sorted(said) == ["False"] * 7 + ["True"]
    assert read_json(path) == {"by": str(said.index("True")), "long": "x" * 100000}
    assert list(path.parent.iterdir()) == [path]


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_json(path, {"n": 0, "long": [0] * 20000})
    with subprocess.Popen([sys.executable, "-c", REWRITE, str(path)]) as writer:
        seen: set[int] = set()
        while len(seen) < 20:
            value = json.loads(path.read_text())
            assert value["long"] == [value["n"]] * 20000
            seen.add(value["n"])
        writer.kill()
    assert read_json(path)["n"] >= max(seen)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.json"
    write_json(path, {"is": "old"})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_json(path, {"is": "new"})
    assert read_json(path) == {"is": "old"}
    with pytest.raises(OSError, match="No space"):
        create_json(tmp_path / "other.json", "new")
    assert not (tmp_path / "other.json").exists()


def test_a_number_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "file.json", float("nan"))
    assert list(tmp_path.iterdir()) == []


def test_text_is_utf8_and_replaced_whole(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "a longer first text")
    write_text(tmp_path / "file", "é")
    assert (tmp_path / "file").read_bytes() == b"\xc3\xa9"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_an_absent_file_is_none_and_a_broken_one_is_an_error(tmp_path: Path) -> None:
    assert read_json(tmp_path / "absent.json") is None
    (tmp_path / "broken.json").write_text('{"cut": ')
    with pytest.raises(ValueError, match="Expecting value"):
        read_json(tmp_path / "broken.json")


def test_the_checksum_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert sha256(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_damaged_file_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text("{")
    with pytest.raises(IntegrityError, match=r"spec.json: damaged .* Restore it, or remove"):
        read_json(tmp_path / "spec.json")
    assert read_json(tmp_path / "absent.json") is None
