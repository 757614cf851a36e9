"""Running a file of the user's own: exactly the bytes that were hashed, and its failures in one line."""

import hashlib
import os
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.source.code import call, finite, load, place, told
from harness.spec import DeclarationError


def refused(root: Path, name: str, sha256: str | None = None) -> str:
    with pytest.raises(DeclarationError) as caught:
        load(root, name, sha256)
    (line,) = caught.value.lines
    assert line.isprintable()
    return line


def write(root: Path, text: str, name: str = "m.py") -> str:
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text(text)
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_function_is_run_if_its_file_has_the_hash(tmp_path: Path) -> None:
    sha256 = write(tmp_path, "def f(x):\n    return x + 1\n")
    assert load(tmp_path, "m:f", sha256)(41) == 42
    assert load(tmp_path, "m:f")(41) == 42
    said = refused(tmp_path, "m:f", "0" * 64)
    assert said.startswith(f"m.py:1 m:f: {sha256[:12]} is not the hash 000000000000 that this is identified by")


def test_a_changed_file_is_not_run_under_the_old_hash(tmp_path: Path) -> None:
    sha256 = write(tmp_path, "def f(): return 1\n")
    trap = 'open(__file__ + ".ran", "w").close()\n'
    write(tmp_path, f"{trap}def f(): return 1\n")
    assert "the file has changed" in refused(tmp_path, "m:f", sha256)
    assert not (tmp_path / "m.py.ran").exists()


def test_no_compilation_is_kept_that_could_be_run_instead(tmp_path: Path) -> None:
    write(tmp_path, "def f(): return 1\n")
    os.utime(tmp_path / "m.py", ns=(10**18, 10**18))
    assert load(tmp_path, "m:f")() == 1
    write(tmp_path, "def f(): return 2\n")  # as long as before, and as old: what Python's own cache goes by
    os.utime(tmp_path / "m.py", ns=(10**18, 10**18))
    assert load(tmp_path, "m:f")() == 2
    assert [path.name for path in tmp_path.iterdir()] == ["m.py"]


def test_what_it_prints_goes_to_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "print('imported')\ndef f():\n    print('called')\n")
    call("m:f", load(tmp_path, "m:f"))
    assert capsys.readouterr() == ("", "imported\ncalled\n")


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("def f(): ...\n\n1 / 0\n", 3, "raised ZeroDivisionError: division by zero. Mend it."),
        ("def f(): ...\nimport sys\nsys.exit('enough')\n", 3, "raised SystemExit: enough."),
        ("def f(): ...\nraise ValueError('two\\nlines')\n", 2, "raised ValueError: two lines."),
        ("def f(): ...\nimport neighbour\n", 2, "raised ModuleNotFoundError: No module named 'neighbour'."),
        ("def f(): ...\nf = 3\n", 1, "the file's `def` is no function once the file has run."),
        ("def f(): ...\ndel f\n", 1, "the file's `def` is no function once the file has run."),
    ],
)
def test_a_file_that_fails_is_told_with_its_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    write(tmp_path, text, "deep/m.py")
    write(tmp_path, "", "neighbour.py")
    loaded = set(sys.modules)
    said = refused(tmp_path, "deep.m:f")
    assert said.startswith(f"deep/m.py:{line} deep.m:f: {says}")
    assert not [name for name in set(sys.modules) - loaded if name.startswith("harness_code") and "raised" in said]


def test_a_function_that_fails_is_told_with_the_line_of_its_own_file(tmp_path: Path) -> None:
    write(tmp_path, "import json\n\ndef f(text):\n    return json.loads(text)\n")
    with pytest.raises(DeclarationError) as caught:
        call("m:f", load(tmp_path, "m:f"), "{")
    assert caught.value.lines[0].startswith("m.py:4 m:f: raised JSONDecodeError: Expecting property name")
    assert caught.value.__cause__ is not None  # a worker's log has the traceback


def test_a_name_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    assert refused(tmp_path, "m:f").startswith("m:f: is in m.py, which is no file of the project")


def test_a_file_with_a_librarys_name_does_not_take_its_place(tmp_path: Path) -> None:
    import statistics

    write(tmp_path, "def mean(x): return 'mine'\n", "statistics.py")
    assert load(tmp_path, "statistics:mean")([1]) == "mine"
    assert sys.modules["statistics"] is statistics
    assert statistics.mean([1, 3]) == 2


def test_a_file_may_define_dataclasses(tmp_path: Path) -> None:
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\n"
    write(tmp_path, f"{text}def f(): return P(3).x\n")
    assert load(tmp_path, "m:f")() == 3


def test_messages_about_what_was_returned_begin_at_the_def(tmp_path: Path) -> None:
    write(tmp_path, "\n\ndef f(): ...\n")
    assert place("m:f", load(tmp_path, "m:f")) == "m.py:3 m:f"


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1.0),
        (True, 1.0),
        (-0.5, -0.5),
        (Fraction(1, 4), 0.25),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3.0),
        (float("nan"), None),
        (float("-inf"), None),
        (np.float32("inf"), None),
        (10**400, None),
        ("1", None),
        (None, None),
        (1j, None),
        ([1.0], None),
    ],
)
def test_a_number_is_finite_and_real(value: Any, number: float | None) -> None:
    assert finite(value) == number


def test_whatever_was_returned_is_told_in_a_short_line() -> None:
    loop: list[Any] = []
    loop.append(loop)
    for value in (loop, {(1, 2): "x\ny"}, "x" * 10_000, object(), [0] * 10_000):
        assert len(told(value)) < 200
        assert "\n" not in told(value)
