"""A member added at run time behaves as the declared ones do, under every interpreter that is installed."""

import enum
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.train import peft_type
from harness.train.peft_type import extend

INTERPRETERS = ("running", "python3.11", "python3.12", "python3.13")

FACTS = """
import copy, importlib.util, json, sys

def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

extend = load("peft_type", sys.argv[1]).extend
PeftType = load("peft_types", sys.argv[2]).PeftType
before = list(PeftType)
added = extend(PeftType, "QUANTA", "QUANTA")
again = extend(PeftType, "QUANTA", "QUANTA")
print(json.dumps({
    "same": again is added is PeftType.QUANTA is PeftType("QUANTA") is PeftType["QUANTA"] is copy.deepcopy(added),
    "growth": len(PeftType) - len(before),
    "kept": list(PeftType)[:-1] == before and all(PeftType(m.value) is m for m in before),
    "last": list(PeftType)[-1] is next(reversed(PeftType)) is added,
    "listed": "QUANTA" in list(PeftType) and "QUANTA" in PeftType.__members__ and added in PeftType,
    "instance": isinstance(added, PeftType) and isinstance(added, str),
    "equal": added == "QUANTA" and added != PeftType.LORA and hash(added) == hash("QUANTA"),
    "key": {added: 1}["QUANTA"] == {"QUANTA": 1}[added] == 1,
    "json": json.dumps({"peft_type": added}),
    "alike": [f(added) == f(PeftType.LORA).replace("LORA", "QUANTA") for f in (str, repr, format, "{}".format)],
    "name": [added.name, added.value],
}))
"""


def started(name: str) -> str:
    """Return the interpreter's path, or skip with its name where it is missing or does not start."""
    path = sys.executable if name == "running" else shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not on PATH")
    if subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip(f"{name} is on PATH and does not start")
    return path


@pytest.mark.parametrize("name", INTERPRETERS)
def test_pefts_own_enumeration_takes_the_member(name: str) -> None:
    peft = importlib.util.find_spec("peft")
    assert peft is not None and peft.origin is not None
    theirs = Path(peft.origin).parent / "utils" / "peft_types.py"  # which imports the standard library only
    command = [started(name), "-W", "error", "-c", FACTS, str(peft_type.__file__), str(theirs)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    facts: dict[str, Any] = json.loads(said.stdout)
    assert facts.pop("growth") == 1
    assert facts.pop("json") == '{"peft_type": "QUANTA"}'
    assert facts.pop("name") == ["QUANTA", "QUANTA"]
    assert facts.pop("alike") == [True] * 4
    assert facts and all(value is True for value in facts.values()), facts


class Metal(str, enum.Enum):  # noqa: UP042  # the form of PEFT's own
    IRON = "iron"
    TIN = "tin"

    def shout(self) -> str:
        return self.value.upper()


def test_an_added_member_has_the_methods_of_its_class() -> None:
    zinc = extend(Metal, "ZINC", "zinc")
    assert zinc.shout() == "ZINC"
    assert [metal.value for metal in Metal] == ["iron", "tin", "zinc"]
    with pytest.raises(ValueError, match="'lead' is not a valid Metal"):
        Metal("lead")
    with pytest.raises(AttributeError):
        Metal.ZINC = "other"  # pyright: ignore[reportAttributeAccessIssue]


def test_a_declared_member_is_returned() -> None:
    assert extend(Metal, "IRON", "iron") is Metal.IRON


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("IRON", "steel", "Metal.IRON is 'iron' already, not 'steel'"),
        ("STEEL", "iron", "'iron' is the value of Metal.IRON already, so STEEL cannot have it"),
        ("shout", "loud", "Metal.shout is an attribute already, and no member"),
    ],
)
def test_what_is_taken_is_refused(name: str, value: str, rule: str) -> None:
    before = len(Metal)
    with pytest.raises(ValueError, match=rule):
        extend(Metal, name, value)
    assert len(Metal) == before


def test_an_enumeration_of_numbers_is_refused() -> None:
    class Number(enum.Enum):
        ONE = 1

    with pytest.raises(TypeError, match="Number is no enumeration of strings"):
        extend(Number, "TWO", "2")
