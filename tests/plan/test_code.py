"""Code of the user's own is part of what a run is: changed code gives other runs, and no code changes nothing."""

import hashlib
from typing import TYPE_CHECKING

import pytest

from harness.campaign.pilot import pilot_protocol
from harness.plan import RunSet, plan, registration_hash
from harness.plan.runset import planned_base
from harness.source import splits
from harness.spec import Protocol, load_hypothesis, load_protocol

if TYPE_CHECKING:
    from tests.conftest import Made

ADDITION = "name: addition, largest_operand: 99,"
CUSTOM = 'name: custom, code: "mine:sums", alphabet: "0123456789+=", longest_answer: 3,'
SCALING = "lora_dropout: 0.0}"
REWARD = 'lora_dropout: 0.0, reward: "mine:near"}'
MINE = """
def sums():
    return [(f"{a}+{b}=", str(a + b)) for a in range(100) for b in range(100)]
def near(completion, answer):
    return 0.5
"""


def protocol(made: "Made", *edits: tuple[str, str], code: str = MINE) -> Protocol:
    text = made.protocol_text
    for old, new in edits:
        assert text.count(old) == 1
        text = text.replace(old, new)
    made.declare("mine.py", code)
    return load_protocol(made.declare("runs/bench.yaml", text), "bench.yaml", made.root)


def runs(made: "Made", shared: Protocol) -> RunSet:
    return plan({"live": load_hypothesis(made.root / "hypotheses" / "live.yaml", "live.yaml")}, shared, ["llama"])


def test_a_recipe_without_a_reward_is_what_it_was_before_there_was_any(made: "Made") -> None:
    plain = runs(made, protocol(made)).runs[0]
    assert set(plain.identity["recipe"]) == {"scaling", "target_modules", "lora_dropout"}
    assert plain.id == "llama64-grpo-lora-r8-84902213e13f"  # as in test_runset


@pytest.mark.parametrize(("edit", "base_too"), [((ADDITION, CUSTOM), True), ((SCALING, REWARD), False)])
def test_changed_code_gives_other_runs(made: "Made", edit: tuple[str, str], base_too: bool) -> None:
    before = runs(made, protocol(made, edit))
    again = runs(made, protocol(made, edit))
    after = runs(made, protocol(made, edit, code=MINE + "# a remark\n"))
    assert before == again
    assert not {run.id for run in before.runs} & {run.id for run in after.runs}
    assert (before.bases[0].id != after.bases[0].id) is base_too


def test_the_name_and_the_hash_stand_in_the_identity(made: "Made") -> None:
    sha256 = hashlib.sha256(MINE.encode()).hexdigest()
    planned = runs(made, protocol(made, (ADDITION, CUSTOM), (SCALING, REWARD)))
    for identity in (planned.bases[0].identity, planned.runs[0].identity):
        assert (identity["task"]["code"], identity["task"]["sha256"]) == ("mine:sums", sha256)
        assert str(made.root) not in str(identity)  # another folder gives the same runs
    recipe = planned.runs[0].identity["recipe"]
    assert (recipe["reward"], recipe["reward_sha256"]) == ("mine:near", sha256)


def test_a_registration_freezes_the_code(made: "Made") -> None:
    claim = load_hypothesis(made.root / "hypotheses" / "live.yaml", "live.yaml")
    for edit in ((ADDITION, CUSTOM), (SCALING, REWARD)):
        frozen = registration_hash(claim, protocol(made, edit))
        assert registration_hash(claim, protocol(made, edit)) == frozen
        assert registration_hash(claim, protocol(made, edit, code=MINE + "\n")) != frozen


def test_a_pilot_splits_the_same_problems_otherwise(made: "Made") -> None:
    shared = protocol(made, (ADDITION, CUSTOM))
    pilot = pilot_protocol(shared)
    assert {*splits(pilot.task).pretraining, *splits(pilot.task).evaluation, *splits(pilot.task).validation} == {
        *(*splits(shared.task).pretraining, *splits(shared.task).evaluation, *splits(shared.task).validation)
    }
    assert splits(pilot.task).evaluation != splits(shared.task).evaluation
    assert planned_base("llama", pilot).id != planned_base("llama", shared).id
