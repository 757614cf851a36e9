"""Trainer fields by TRL's own names: which exist, which the harness sets itself, and what value each takes.

They are checked against a table generated from the release that it names, so that a misspelt field is found before
anything heavy is imported. The table holds defaults, so a field takes its default's type; one whose default is null
takes any value. What combinations TRL accepts is TRL's to say.
"""

import json
import math
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from harness.spec.messages import nearest, unknown
from harness.spec.problem import Problem, items, mapping, shown
from harness.spec.trackers import REPORT_TO, tracker_rule

TRAINERS = {"grpo": "GRPOConfig", "sft": "SFTConfig"}
OWNED = {
    "output_dir": "runs write into their own attempt directory",
    "seed": "seeds are derived from the protocol",
    "data_seed": "seeds are derived from the protocol",
    "run_name": "trackers show a run by its id",
    "project": "trackers take their settings from the environment",
    "logging_strategy": "every step is recorded",
    "logging_steps": "every step is recorded",
    "save_strategy": "resources.resume and checkpoint_every say whether and when a run keeps checkpoints",
    "save_steps": "resources.checkpoint_every says when a run keeps checkpoints",
    "save_total_limit": "two checkpoints are kept, of which one is whole at any moment",
    "disable_tqdm": "progress is shown by the command",
    "vllm_mode": "an engine shares the device of the run that it serves",
    "vllm_group_port": "an engine shares the device of the run that it serves",
    "vllm_tensor_parallel_size": "an engine shares the device of the run that it serves",
    "resume_from_checkpoint": "resources.resume says whether a run goes on from its last checkpoint",
    "trust_remote_code": "code that a model brings is never run",
    "model_init_kwargs": "bases are loaded by the harness, in the recipe's dtype",
    "chat_template_path": "prompts are plain text, and declarations name no files",
    "push_to_hub": "nothing leaves this machine",
    "log_completions_hub_repo": "nothing leaves this machine",
    "deepspeed": "declarations name no files",
    "fsdp": "each process of a run holds the whole model",
    "local_rank": "the launcher says which process is which",
}
"""Trainer fields that the harness sets or refuses, with the reason."""

OWNED_FAMILIES = {
    "hub_": "nothing leaves this machine",
    "trackio_": "metrics are kept in the run's record",
    "vllm_server_": "an engine shares the device of the run that it serves",
}
"""Beginnings of names, likewise."""

REQUIRED = ("learning_rate", "per_device_train_batch_size")
"""What decides a claim is declared, not left to a default."""

SMALLEST = {
    "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "num_generations": 2,  # an advantage is relative to the other completions of its prompt
}
"""Least values of the fields from which the harness computes how many updates a run makes."""

POSITIVE = ("learning_rate", "num_train_epochs")

WIDER: dict[str, tuple[type, ...]] = {
    "debug": (str, list),
    "eval_delay": (int, float),
    "include_num_input_tokens_seen": (str, bool),
    "max_completion_length": (int, type(None)),
    "max_length": (int, type(None)),
    "pad_to_multiple_of": (str, int),
    "report_to": (str, list),
    "save_steps": (int, float),
    "warmup_steps": (int, float),
}
"""Fields of which TRL takes more types than the default's; null only where it means no limit."""

_WORDS: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    type(None): "null",
}


@cache
def trainer_fields() -> dict[str, Any]:
    """Return TRL's trainer fields with their defaults, as generated from the release named under `trl`."""
    return json.loads(resources.files("harness.spec").joinpath("trainer_fields.json").read_text(encoding="utf-8"))


def accepted(trainer: str, name: str) -> tuple[type, ...]:
    """Return the JSON types that a field of TRL's class `trainer` takes; none for any."""
    default: bool | int | float | str | list[Any] | None = trainer_fields()[trainer][name]
    if default is None:
        return ()
    if name in WIDER:
        return WIDER[name]
    return (int, float) if isinstance(default, float) else (type(default),)


def trainer_problems(key: str, fields: Mapping[str, Any]) -> list[Problem]:
    """Return the mistakes among the trainer fields declared under `key`, one at most for each field."""
    missing = "missing: what decides a claim is declared, not left to a default. Add this field."
    meant = {_meant(key, name) for name in fields}
    problems = [Problem((key, name), missing) for name in REQUIRED if name not in fields and name not in meant]
    for name, value in fields.items():
        if rule := _rule(key, name, value):
            problems.append(Problem((key, name), rule))
    return problems


def _owned(name: str) -> str | None:
    """Return why a field is not the declaration's to set, or None."""
    families = (reason for start, reason in OWNED_FAMILIES.items() if name.startswith(start))
    return OWNED.get(name) or next(families, None)


def _meant(key: str, name: str) -> str | None:
    """Return the field that an unknown one seems to mean, or None."""
    known = trainer_fields()[TRAINERS[key]]
    return None if name in known else nearest(name, sorted(known.keys() - OWNED.keys()))


def _rule(key: str, name: str, value: Any) -> str | None:
    trainer, known = TRAINERS[key], trainer_fields()[TRAINERS[key]]
    if reason := _owned(name):
        return f"set by the harness ({reason}). Remove it."
    if name not in known:
        return unknown(f"no field of trl.{trainer} ({trainer_fields()['trl']})", _meant(key, name))
    if not _finite(value):
        return f"{shown(value)} is not a finite number. Write an ordinary number."
    types = accepted(trainer, name)
    if types and type(value) not in types:
        wanted = " or ".join(_WORDS[kind] for kind in types if not (kind is int and float in types))
        return f"{shown(value)} is not what trl.{trainer} takes here: {wanted}. Write that."
    if name == REPORT_TO:
        return tracker_rule(value)
    if name in POSITIVE and not value > 0:
        return f"{shown(value)} is out of range: it must be greater than 0. Change it."
    if name in SMALLEST and value < SMALLEST[name]:
        return f"{shown(value)} is out of range: it must be at least {SMALLEST[name]}. Change it."
    return None


def _finite(value: Any) -> bool:
    """Return whether no number in a value, however deep, is NaN or infinite: such a value has no identity."""
    if isinstance(value, float):
        return math.isfinite(value)
    return all(map(_finite, [*items(value), *mapping(value).values()]))
