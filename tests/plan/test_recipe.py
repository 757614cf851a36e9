"""What batch, matching and warm-up make of a run: TRL's fields, and how many prompts it sees."""

from typing import TYPE_CHECKING, Any

import pytest

from harness.plan import misfit, planned_base, updates_of
from harness.plan.runset import planned_run
from harness.source import splits
from harness.spec import Arm, DeclarationError, Protocol

if TYPE_CHECKING:
    from tests.conftest import Made


def protocol(made: "Made", **grpo: Any) -> Protocol:
    """Return the pocket protocol: 160 prompts, 8 an update, 8 completions each."""
    found = made.bench().protocol
    return found.model_copy(update={"grpo": {**found.grpo, **grpo}})


def identity(protocol: Protocol, **factors: Any) -> dict[str, Any]:
    arm = Arm.model_validate({"rank": 8, **factors})
    return planned_run(planned_base("llama", protocol), arm.cell(protocol.given), 0, protocol).identity


def test_at_equal_samples_a_batch_four_times_as_large_makes_a_quarter_of_the_updates(made: "Made") -> None:
    shared = protocol(made)
    plain, larger = identity(shared), identity(shared, batch=256)
    assert larger["trainer"] == {**plain["trainer"], "per_device_train_batch_size": 256}
    assert (larger["task"], larger["seed"]) == (plain["task"], plain["seed"])
    assert larger["cell"] == {**plain["cell"], "batch": 256}


def test_at_equal_updates_it_sees_four_times_the_prompts(made: "Made") -> None:
    shared = protocol(made)
    plain, larger = identity(shared), identity(shared, batch=256, match="updates")
    assert larger["task"] == {**plain["task"], "training_prompts": 640}
    task = shared.task.model_copy(update={"training_prompts": 640})
    before, after = splits(shared.task), splits(task)
    assert after.training[:160] == before.training
    assert len(set(after.training)) == 640
    assert (after.evaluation, after.validation) == (before.evaluation, before.validation)


@pytest.mark.parametrize(
    ("factors", "expected"),
    [
        ({}, 20),  # 160 prompts, 8 an update
        ({"batch": 256}, 5),
        ({"batch": 256, "match": "updates"}, 20),
        ({"batch": 256, "algorithm": "sft"}, 5),
        ({"batch": 16}, 80),
    ],
)
def test_the_updates_of_a_cell_are_those_of_its_batch(made: "Made", factors: dict[str, Any], expected: int) -> None:
    shared = protocol(made)
    assert updates_of(Arm.model_validate({"rank": 8, **factors}).cell(shared.given), shared) == expected


def test_the_protocols_own_batch_is_no_other_cell(made: "Made") -> None:
    shared = protocol(made)
    assert identity(shared, batch=64) == identity(shared) == identity(shared, batch=64, match="updates")
    assert "batch" not in identity(shared)["cell"]


def test_accumulation_reaches_a_batch_where_the_protocol_accumulates(made: "Made") -> None:
    shared = protocol(made, per_device_train_batch_size=16, gradient_accumulation_steps=4)
    fields = identity(shared, batch=256)["trainer"]
    assert (fields["per_device_train_batch_size"], fields["gradient_accumulation_steps"]) == (16, 16)


def test_sft_sees_as_many_examples_as_grpo_prompts(made: "Made") -> None:
    assert identity(protocol(made), batch=256, algorithm="sft")["trainer"]["per_device_train_batch_size"] == 32


def test_a_warm_up_is_one_that_the_schedule_does_not_ignore(made: "Made") -> None:
    fields = identity(protocol(made), warmup_steps=5)["trainer"]
    assert (fields["warmup_steps"], fields["lr_scheduler_type"]) == (5, "constant_with_warmup")
    linear = identity(protocol(made, lr_scheduler_type="linear"), warmup_steps=5)["trainer"]
    assert (linear["warmup_steps"], linear["lr_scheduler_type"]) == (5, "linear")


@pytest.mark.parametrize(
    ("factors", "why"),
    [
        ({"batch": 60}, "batch 60 is no multiple of the 8 completions of a prompt"),
        ({"batch": 512}, "batch 512 takes 64 prompts an update, of which 160 are no whole number of updates"),
        ({"batch": 6400, "match": "updates"}, "takes 16000 prompts, and 9000 are not held out"),
        ({"warmup_steps": 21}, "a warm-up of 21 updates is longer than the run, of 20"),
        ({"warmup_steps": 6, "batch": 256}, "a warm-up of 6 updates is longer than the run, of 5"),
        ({"warmup_steps": 20}, ""),
        ({"batch": 256}, ""),
        ({}, ""),
    ],
)
def test_an_arm_that_cannot_be_run_is_told(made: "Made", factors: dict[str, Any], why: str) -> None:
    shared = protocol(made)
    found = misfit(Arm.model_validate({"rank": 8, **factors}).cell(shared.given), shared)
    assert why in found
    assert bool(found) == bool(why)


def test_a_misfit_is_a_mistake_of_the_hypothesis(made: "Made") -> None:
    made.declare("hypotheses/live.yaml", made.claim_text.replace("{rank: [8", "{batch: [60], rank: [8"))
    with pytest.raises(DeclarationError) as told:
        made.bench().hypotheses(["live"])
    assert "cannot run: batch 60 is no multiple of the 8 completions of a prompt. Change the arm." in str(told.value)


@pytest.mark.parametrize("method", ["adalora", "gralora"])
def test_an_adapter_without_the_protocols_scaling_is_a_mistake_and_no_traceback(made: "Made", method: str) -> None:
    scaling = "{policy: rank_stabilised, alpha: 16}"
    made.declare("runs/bench.yaml", made.protocol_text.replace("{policy: proportional, factor: 2.0}", scaling))
    claim = made.claim_text.replace("{rank: [8, 16]}", f"{{adapter: [{{method: {method}, rank: 8}}]}}")
    made.declare("hypotheses/live.yaml", claim)
    with pytest.raises(DeclarationError, match=r"an arm cannot run: .* in PEFT has no rank-stabilised form"):
        made.bench().hypotheses(["live"])


def test_matched_updates_of_no_other_batch_are_a_mistake_of_arms_too(made: "Made") -> None:
    made.declare("hypotheses/live.yaml", made.claim_text.replace("{rank: [8", "{match: [updates], rank: [8"))
    with pytest.raises(DeclarationError, match="updates are matched against the protocol's batch"):
        made.bench().hypotheses(["live"])
