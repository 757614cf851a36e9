"""What `harness doctor` says of a machine; nothing beyond this one is asked."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.campaign import machine
from harness.campaign.machine import Check, outside

if TYPE_CHECKING:
    from tests.conftest import Hub, Made

Call = Callable[..., Any]
FOUND = (Path(__file__).parents[1] / "found.yaml").read_text(encoding="utf-8")
HARDWARE = """
hardware: {gpu: T4, memory_gib: 15.0, flops: 65.0e12, utilisation: 0.3, bandwidth: 3.2e11, decode_utilisation: 0.4,
  prompt_tokens: 6, longest_prompt: 8, completion_tokens: 3, fixed_minutes: 1.0, source: supposed for these tests}
"""


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ask no Hub, look into an empty cache, and see no GPU."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("shutil.which", no_tool)


def no_tool(_: str) -> None:
    """Find no tool."""


def by_name(said: Any) -> dict[str, Any]:
    return {check["name"]: check for check in said.json["checks"]}


def test_it_looks_at_everything_and_leaves_nothing_behind(harness: Call, made: "Made") -> None:
    said = harness("doctor", "--json")
    assert said.code == 0
    checks = by_name(said)
    assert list(checks) == ["python", "packages", "cores", "memory", "gpus", "store", "locks", "space", "hub", "token"]
    assert (checks["python"]["ok"], checks["store"]["ok"], checks["locks"]["ok"]) == (True, True, True)
    assert checks["gpus"]["said"] == "none"
    assert checks["hub"]["said"].endswith("does not answer")
    assert not made.store.root.exists()
    assert not list(made.root.glob(".doctor-*"))
    assert said.json["protocols"]["bench"] == {"able": True, "missing": [], "notes": []}
    assert "ok  protocol  bench" in harness("doctor").out


def test_a_protocol_that_cannot_run_here_exits_4_and_says_what_is_missing(harness: Call, made: "Made") -> None:
    made.declare("runs/far.yaml", FOUND + HARDWARE)
    said = harness("doctor", "--protocol", "far")
    assert said.code == 4
    assert "NO  protocol  far cannot run here" in said.out
    assert "no GPU is seen; a run on llama takes about" in said.out
    assert "the Hub does not answer, and lab/mini-llama@main is not in" in said.out
    assert harness("doctor", "--protocol", "bench").code == 0
    assert harness("doctor").code == 0  # which was asked for none
    assert harness("doctor", "--protocol", "nowhere").code == 2


def test_a_mistaken_protocol_is_told_and_the_others_looked_at(harness: Call, made: "Made") -> None:
    made.declare("runs/bad.yaml", "title: x\n")
    said = harness("doctor", "--json")
    assert said.code == 0
    assert "bad" not in said.json["protocols"]
    assert "bad: runs/bad.yaml:1" in said.err


def test_a_token_is_never_printed(harness: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijkl")
    said = harness("doctor")
    assert "token     present" in said.out
    assert "hf_abc" not in said.out + said.err


def test_a_store_that_takes_no_files_is_told(harness: Call, made: "Made", monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    check = by_name(harness("doctor", "--json"))["store"]
    assert check["ok"] is False
    assert check["said"].endswith("Operation not permitted. Choose another --store.")


def test_a_disk_on_which_two_hold_one_lock_is_told(harness: Call, monkeypatch: pytest.MonkeyPatch) -> None:

    def granted(*_: object) -> None:
        """Grant every lock."""

    monkeypatch.setattr(fcntl, "flock", granted)
    check = by_name(harness("doctor", "--json"))["locks"]
    assert check["ok"] is False
    assert "two claims are held at once" in check["said"]


@pytest.mark.parametrize(
    ("installed", "wanted", "is_outside"),
    [
        ("2.13.0", ">=2.13,<3", False),
        ("2.13.0+cpu", ">=2.13,<3", False),
        ("2.12.9", ">=2.13,<3", True),
        ("3.0", ">=2.13,<3", True),
        ("3.0.1", ">=2.13,<3", True),
        ("1.16.0", ">=1.16,<1.17", False),
        ("1.17", ">=1.16,<1.17", True),
        ("0.21.10", ">=0.21.2,<0.22", False),
        ("6.0.3", "==6.0.3", False),
    ],
)
def test_versions_are_compared_by_their_numbers(installed: str, wanted: str, is_outside: bool) -> None:
    assert outside(installed, wanted) is is_outside


def test_packages_outside_their_range_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = ["torch<3,>=2.13", "absent-thing>=1", 'pytest>=9; extra == "dev"', "trl<1.17,>=1.16"]
    found = {"torch": "1.0", "trl": "1.16.0"}

    def requires(_: str) -> list[str]:
        return needed

    monkeypatch.setattr(machine, "requires", requires)
    monkeypatch.setattr(machine, "_version", found.get)
    (check,) = machine._versions()  # pyright: ignore[reportPrivateUsage]
    assert check == Check("packages", False, "torch 1.0 is outside <3,>=2.13; absent-thing is missing (>=1)")


def test_the_driver_s_list_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA H200, 143771'\necho 'Tesla, T4, 15360'\n")
    tool.chmod(0o755)

    def which(_: str) -> str:
        return str(tool)

    monkeypatch.setattr("shutil.which", which)
    assert machine.look().gpus == (("NVIDIA H200", 143771 / 1024), ("Tesla, T4", 15.0))


def test_a_hub_that_answers_is_told_from_one_that_does_not(hub: "Hub", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    assert machine.hub_answers()  # that it knows no such page is an answer
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert not machine.hub_answers()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"file://{hub.url}")
    assert not machine.hub_answers()
