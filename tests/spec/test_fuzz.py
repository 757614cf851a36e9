"""Whatever is done to a shipped declaration, the outcome is a declaration or DeclarationError, never anything else."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.spec import DeclarationError, Hypothesis, Protocol, load_hypothesis, load_protocol
from harness.spec.canonical import digest

PROJECT = Path(__file__).parents[2]

# fmt: off
ODD = [
    "null", "[]", "{}", "-1", "0", "1", ".nan", "-.inf", "1e999", "5e-324", "0.9999999999999999", "1e-17", "true",
    "9" * 18, "9" * 30, "9" * 5000, "-" + "9" * 400, "x", "''", "'8'", '"\\0"', '"\\ud800"', '"\\UFFFFFFFF"', "é",
    "[[]]", "[null]", "[1, 1]", "[x, [y]]", "{a: 1}", "{a: {a: {a: .nan}}}", "{kind: cliff, cliff: 1}", "{1: 2}",
    "{<<: {a: 1}}", "[" * 25 + "]" * 25, "&z [*z]", "*nowhere", "!x y", "!!set {a}", "? a", "- a", "|\n", "%", "@",
    "{policy: constant}", "{policy: [constant]}", "a: b: c", "#", "[128, 64]", "[1e3]", "\x00", "\x07", "\t", "\ufeff",
]
# fmt: on

TOLD = re.compile(r"f\.yaml:[1-9][0-9]* \S.*: .+\.")
UNTRANSLATED = re.compile(r"Input should|is refused:|Value error|Traceback|validation error|ErrorDetails")


def _mutated(text: str, rng: np.random.Generator) -> str:
    """Return `text` with one to three lines deleted, repeated, moved, cut, re-indented or given an odd value."""
    lines = text.splitlines()
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(lines)))
        odd = ODD[int(rng.integers(len(ODD)))]
        key, colon, _ = lines[at].partition(":")
        numbers = [found.span() for found in re.finditer(r"(?<=[ \[])[\w.-]+(?=[,\]} ]|$)", lines[at])]
        match int(rng.integers(9)):
            case 0:
                del lines[at]
            case 1:
                lines.insert(int(rng.integers(len(lines))), lines[at])
            case 2:
                lines[at] = " " * int(rng.integers(8)) + lines[at].lstrip()
            case 3:
                lines[at] = lines[at][: int(rng.integers(len(lines[at]) + 1))]
            case 4 if numbers:
                start, end = numbers[int(rng.integers(len(numbers)))]
                lines[at] = lines[at][:start] + odd + lines[at][end:]
            case 5:
                lines[at] = lines[at].replace(key.strip(" -"), odd, 1)
            case _:
                lines[at] = f"{key}{colon} {odd}"
        lines = lines or [""]
    return "\n".join(lines) + "\n"


def _mangled(content: bytes, rng: np.random.Generator) -> bytes:
    """Return `content` with a few bytes replaced by arbitrary ones."""
    mangled = bytearray(content)
    for at in rng.integers(len(mangled), size=rng.integers(1, 5)):
        mangled[at] = rng.integers(256)
    return bytes(mangled)


@pytest.mark.parametrize(
    ("source", "load"),
    [("hypotheses/rank-collapse.yaml", load_hypothesis), ("runs/smoke.yaml", load_protocol)],
)
def test_every_mutation_is_a_declaration_or_a_declaration_error(
    source: str, load: Callable[[Path, str], Hypothesis | Protocol], tmp_path: Path
) -> None:
    rng = np.random.default_rng(20261123)
    shipped = (PROJECT / source).read_bytes()
    path = tmp_path / "f.yaml"
    outcomes = {"valid": 0, "refused": 0}
    for turn in range(300):
        changed = _mangled(shipped, rng) if turn % 6 == 0 else _mutated(shipped.decode(), rng).encode()
        path.write_bytes(changed)
        try:
            declared = load(path, "f.yaml")
        except DeclarationError as error:
            outcomes["refused"] += 1
            last = changed.count(b"\n") + 1
            for line in error.lines:
                assert TOLD.fullmatch(line), (turn, line)
                assert not UNTRANSLATED.search(line), (turn, line)
                assert line.isprintable(), (turn, line)
                assert int(line.split(":")[1].split(" ")[0]) <= last, (turn, line)
            assert len(set(error.lines)) == len(error.lines), (turn, error.lines)
        else:
            outcomes["valid"] += 1
            assert len(digest(declared.model_dump(mode="json"))) == 64, turn
    assert min(outcomes.values()) > 10, outcomes
