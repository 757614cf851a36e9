"""The table of trainer fields is what the installed TRL has, and says the types that TRL's annotations say."""

import dataclasses
import json
import typing
from enum import Enum
from importlib.metadata import version
from types import NoneType
from typing import Any

import pytest

from harness.spec.trainer import OWNED, POSITIVE, REQUIRED, SMALLEST, TRAINERS, WIDER, accepted, trainer_fields


def _default(field: "dataclasses.Field[Any]") -> Any:
    value = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    value = value.value if isinstance(value, Enum) else value
    try:
        json.dumps(value)
    except TypeError:
        return repr(value)
    return value


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
def test_the_table_is_the_installed_trl(name: str) -> None:
    import trl  # pyright: ignore[reportMissingTypeStubs]  # here, because it takes seconds and torch

    trainer: Any = getattr(trl, name)
    assert trainer_fields()["trl"] == version("trl")
    assert trainer_fields()[name] == {f.name: _default(f) for f in dataclasses.fields(trainer) if f.init}
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
