"""Protocols on published questions, from the command line: planned without them, refused without them, then pinned."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Made, Published

Call = Callable[..., Any]
TASK = """task:
  name: dataset
  training: {format: gsm8k, split: train, folder: data/gsm8k}
  prompt: "{question}"
  verifier: math-verify
  split_seed: 5
  evaluation_problems: 500
  validation_problems: 500
  training_prompts: 80
"""
WHY = "not known yet: gsm8k in data/gsm8k. ids and seeds are provisional, counts are not. `harness register`"


@pytest.fixture
def project(made: "Made") -> "Made":
    """Return a project on a set that is not there, with a model of the Hub as its base."""
    made.in_text(TASK)
    return made


def test_a_set_that_is_not_there_is_planned_and_marked_and_nothing_else(harness: Call, project: "Made") -> None:
    said = harness("plan", "live")
    assert said.code == 0
    assert "12 runs in all on 1 bases: 12 new" in said.out
    assert any(line.startswith(WHY) for line in said.out.splitlines())
    assert harness("plan", "live", "--json").json["provisional"] == ["gsm8k in data/gsm8k"]
    for command in (("register", "live"), ("run", "live"), ("test", "live"), ("pilot",)):
        refused = harness(*command)
        assert refused.code == 2
        assert refused.err.startswith("gsm8k in data/gsm8k: no such folder in the project ")
        assert refused.err.count("\n") == 1
    assert not (project.store.root / "registrations").exists()


def test_once_it_is_there_registering_makes_ids_final(
    harness: Call, project: "Made", published: "type[Published]"
) -> None:
    before = {run["run"] for run in harness("plan", "live", "--json").json["runs"]}
    rows = published.gsm8k(project.root / "data" / "gsm8k")
    published.parquet(project.root / "data" / "gsm8k" / "main" / "train-00000-of-00001.parquet", [*rows, rows[0]])
    said = harness("register", "live")
    assert said.code == 0
    assert said.err == "task: 1 questions occur twice: left out\n"
    planned = harness("plan", "live", "--json").json
    assert planned["provisional"] == []
    assert before.isdisjoint(run["run"] for run in planned["runs"])
    assert harness("register", "live", "--json").json["registrations"][0]["changed"] is False
