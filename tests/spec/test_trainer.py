"""The types that the table of trainer fields stands for are those of TRL's annotations.

That the table itself is what the installed TRL has is tested on the training floor, which makes it.
"""

import typing
from enum import Enum
from types import NoneType
from typing import Any

import pytest

from harness.spec.trainer import OWNED, POSITIVE, REQUIRED, SMALLEST, TRAINERS, WIDER, accepted, trainer_fields


def _json_types(hint: Any) -> set[type]:
    """Return the JSON types that a value of an annotation may have; an int may stand for a float."""
    if parts := [part for part in typing.get_args(hint) if typing.get_origin(hint) is not list]:
        return set[type]().union(*map(_json_types, parts))
    origin: Any = typing.get_origin(hint) or hint
    if issubclass(origin, Enum):
        return {str}
    return {int, float} if origin is float else {origin}


def _agree(taken: set[type], annotated: set[type]) -> bool:
    """Return whether every type is taken that TRL annotates, null aside, and no other."""
    return taken <= annotated and annotated - taken <= {NoneType}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(TRAINERS.values()))
def test_accepted_types_are_those_of_the_installed_trl(name: str) -> None:
    import trl  # pyright: ignore[reportMissingTypeStubs]  # here, because it takes seconds and torch

    trainer: Any = getattr(trl, name)
    hints = typing.get_type_hints(trainer)
    wrong = {
        field: (accepted(name, field), hints[field])
        for field in trainer_fields()[name].keys() - OWNED.keys()
        if accepted(name, field) and not _agree(set(accepted(name, field)), _json_types(hints[field]))
    }
    assert wrong == {}


def test_every_field_that_a_rule_names_exists() -> None:
    grpo, sft = (set(trainer_fields()[trainer]) for trainer in TRAINERS.values())
    assert {*OWNED, *WIDER, *SMALLEST, *REQUIRED, *POSITIVE} - (grpo | sft) == set()
    assert set(REQUIRED) - (grpo & sft) == set()


def test_accepted_types() -> None:
    assert accepted("GRPOConfig", "num_iterations") == (int,)
    assert accepted("GRPOConfig", "beta") == (int, float)
    assert accepted("GRPOConfig", "fp16") == (bool,)
    assert accepted("GRPOConfig", "loss_type") == (str,)
    assert accepted("GRPOConfig", "bf16") == ()  # its default is null
    assert accepted("SFTConfig", "max_length") == (int, NoneType)
