"""Every field of a trainer is accounted for: declared, set by the harness, or at the library's default."""

import dataclasses
from pathlib import Path

import pytest

from harness.spec import Protocol
from harness.spec.peft_fields import peft_fields as declared_peft_fields
from harness.spec.protocol import OWNED, trainer_fields
from harness.train.arguments import BESIDE, CONFIGS, default_fields, peft_fields, trainer_arguments
from harness.train.checkpoints import Checkpoints


@pytest.mark.parametrize("algorithm", ["grpo", "sft"])
def test_the_record_covers_every_field_once(algorithm: str, pocket: Protocol, tmp_path: Path) -> None:
    declared = dict(pocket.trainer(algorithm))  # type: ignore[arg-type]
    arguments, record = trainer_arguments(algorithm, declared, 7, Checkpoints(tmp_path))
    parts = [set(record[key]) for key in ("declared", "set_by_harness", "library_defaults")] + [set(BESIDE)]
    assert set.union(*parts) == {f.name for f in dataclasses.fields(arguments) if f.init}
    assert sum(map(len, parts)) == len(set.union(*parts))
    assert record["config"] == type(arguments).__name__
    for name, value in {**record["declared"], **record["set_by_harness"]}.items():
        realised = getattr(arguments, name)
        realised = getattr(realised, "value", realised)  # an enum member
        assert realised == value, name


@pytest.mark.parametrize("algorithm", ["grpo", "sft"])
def test_a_declared_precision_reaches_the_trainer(algorithm: str, pocket: Protocol, tmp_path: Path) -> None:
    declared = dict(pocket.trainer(algorithm))  # type: ignore[arg-type]
    arguments, _ = trainer_arguments(algorithm, declared, 7, Checkpoints(tmp_path))
    assert arguments.bf16 is False  # left out, TRL 1.16 turns it on
    assert arguments.activation_checkpointing is False


def test_what_the_harness_sets_cannot_be_declared(pocket: Protocol, tmp_path: Path) -> None:
    _, record = trainer_arguments("grpo", dict(pocket.grpo), 7, Checkpoints(tmp_path))
    assert {*record["set_by_harness"], "output_dir", "run_name"} <= set(OWNED)


def test_an_unknown_field_raises(pocket: Protocol, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="max_prompt_length"):
        trainer_arguments("grpo", {**pocket.grpo, "max_prompt_length": 8}, 7, Checkpoints(tmp_path))


def test_the_record_tells_nothing_of_the_machine(pocket: Protocol, tmp_path: Path) -> None:
    _, record = trainer_arguments("grpo", dict(pocket.grpo), 7, Checkpoints(tmp_path))
    assert str(tmp_path) not in repr(record)
    assert str(Path.home()) not in repr(record)


def test_declarations_are_checked_against_the_installed_release() -> None:
    assert default_fields() == trainer_fields(), "write it anew: python -m harness.train --fields"
    assert set(CONFIGS) == {"grpo", "sft"}
    assert peft_fields() == declared_peft_fields(), "write it anew: python -m harness.train --peft-fields"
