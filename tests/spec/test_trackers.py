"""`report_to`: which trackers there are, what a declaration may say, and that no identity knows of it."""

from typing import TYPE_CHECKING, Any

import pytest

from harness.plan import plan, registration_hash
from harness.spec import DeclarationError, Protocol, load_hypothesis, load_protocol
from harness.spec.trackers import TRACKERS, tracker_rule, trackers

if TYPE_CHECKING:
    from tests.conftest import Made


def declared(made: "Made", said: str = "") -> Protocol:
    text = made.protocol_text
    for field in ("max_completion_length: 5", "per_device_train_batch_size: 8"):
        assert text.count(field) == 1
        text = text.replace(field, f"{field}, {said}") if said else text
    return load_protocol(made.declare("runs/bench.yaml", text), "bench.yaml")


@pytest.mark.slow
def test_the_trackers_are_those_of_the_installed_transformers() -> None:
    from transformers.integrations import integration_utils

    assert set(TRACKERS) == set(integration_utils.INTEGRATION_TO_CALLBACK)


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ("report_to: tensorboard", ("tensorboard",)),
        ("report_to: [wandb, tensorboard, wandb]", ("wandb", "tensorboard")),
        ("report_to: none", ()),
        ("report_to: [none]", ()),
        ("report_to: []", ()),
        ("", ()),
    ],
)
def test_a_tracker_changes_no_id_no_seed_and_no_registration(said: str, named: tuple[str, ...], made: "Made") -> None:
    plain, tracked = declared(made), declared(made, said)
    assert (tracked.trackers("grpo"), tracked.trackers("sft")) == (named, named)
    claim = load_hypothesis(made.root / "hypotheses" / "live.yaml", "live.yaml")
    runs = plan({"live": claim}, tracked, None)
    assert [run.identity for run in runs.runs] == [run.identity for run in plan({"live": claim}, plain, None).runs]
    assert registration_hash(claim, tracked) == registration_hash(claim, plain)
    assert tracked.model_dump(mode="json") == plain.model_dump(mode="json")
    assert "tensorboard" not in repr([runs, tracked.model_dump_json()])


def test_a_copy_of_a_protocol_reports_where_the_protocol_does(made: "Made") -> None:
    tracked = declared(made, "report_to: tensorboard")
    assert tracked.model_copy(update={"title": "Another one"}).trackers("sft") == ("tensorboard",)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("report_to: tensorbord", '"tensorbord" is no tracker of transformers. Did you mean tensorboard?'),
        ("report_to: [wandb, 7]", "7 is no tracker of transformers. There are: azure_ml, clearml"),
        ("report_to: all", "all would be whatever is installed"),
        ("report_to: [none, wandb]", "names trackers and none"),
        ("report_to: null", "is not what trl.GRPOConfig takes here: text or a list"),
        ("report_to: {wandb: key}", "is not what trl.GRPOConfig takes here: text or a list"),
        ("run_name: mine", "set by the harness (trackers show a run by its id)"),
        ("project: mine", "set by the harness (trackers take their settings from the environment)"),
        ("trackio_space_id: me/space", "set by the harness"),
    ],
)
def test_mistakes_are_told_where_they_stand(said: str, told: str, made: "Made") -> None:
    with pytest.raises(DeclarationError) as raised:
        declared(made, said)
    (line,) = [line for line in raised.value.lines if " grpo." in line]
    assert told in line and line.startswith("bench.yaml:")


def test_a_rule_speaks_of_every_other_name_and_of_no_tracker() -> None:
    assert [name for name in (*TRACKERS, "none") if tracker_rule(name)] == []
    other: list[Any] = ["", "None", "TENSORBOARD", ["tensorboard", None], ["tensorboard", ["wandb"]]]
    assert all(tracker_rule(value) for value in other)
    assert trackers("none") == trackers([]) == ()
