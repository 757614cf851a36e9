"""Trainer arguments: what the protocol declares, what the harness sets, and what is left at the library's default.

All three are kept in the run's record, because a default that a release changes would change a claim silently.
"""

import dataclasses
import json
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import peft
import torch
import trl
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from trl import GRPOConfig, SFTConfig

from harness.train.checkpoints import Checkpoints

CONFIGS: dict[str, type] = {"grpo": GRPOConfig, "sft": SFTConfig}


BESIDE = ("output_dir", "report_to", "run_name")
"""Fields that are in no record of a result: where a run writes, and what watches it."""


def trainer_arguments(
    algorithm: str,
    fields: dict[str, Any],
    seed: int,
    checkpoints: Checkpoints,
    processes: int = 1,
    reporting: dict[str, Any] | None = None,
) -> tuple[Any, dict[str, Any]]:
    """Return TRL's arguments object and the record of where each of its fields came from.

    Several processes share the batch that is declared for one. `reporting` are the fields of the trackers that watch
    the run.
    """
    config_type = CONFIGS[algorithm]
    ours: dict[str, Any] = {
        "output_dir": str(checkpoints.folder),
        "seed": seed,
        "logging_strategy": "steps",
        "logging_steps": 1,
        "disable_tqdm": True,
        **checkpoints.fields(_cycle(fields)),
    }
    shared = _shared(fields, processes)
    if shared and not torch.cuda.is_available():
        shared["use_cpu"] = True  # or each process trains by itself: only so does accelerate connect them without GPUs
    arguments = config_type(**{**fields, **shared}, **ours, **(reporting or {"report_to": "none"}))
    known = {f.name for f in dataclasses.fields(config_type) if f.init}
    record = {
        "config": config_type.__name__,
        "trl": trl.__version__,
        "declared": fields,
        "set_by_harness": {name: value for name, value in (ours | shared).items() if name not in BESIDE},
        "library_defaults": {
            name: _plain(getattr(arguments, name)) for name in sorted(known - {*fields, *ours, *shared, *BESIDE})
        },
    }
    return arguments, record


def _cycle(fields: dict[str, Any]) -> int:
    """Return the updates that share the completions of one generation."""
    ahead = fields.get("steps_per_generation") or fields.get("gradient_accumulation_steps", 1)
    return max(1, ahead // fields.get("gradient_accumulation_steps", 1)) * fields.get("num_iterations", 1)


def _shared(fields: dict[str, Any], processes: int) -> dict[str, Any]:
    """Return each process's share of the declared batch; raise ValueError where it has none."""
    if processes == 1:
        return {}
    batch = fields["per_device_train_batch_size"]
    if batch % processes:
        rule = "Change resources.gpus, or the batch."
        raise ValueError(f"per_device_train_batch_size {batch} cannot be shared by {processes} processes. {rule}")
    return {"per_device_train_batch_size": batch // processes}


def default_fields() -> dict[str, Any]:
    """Return the table of trainer fields and defaults that declarations are checked against."""
    table: dict[str, Any] = {"trl": trl.__version__}
    for config_type in CONFIGS.values():
        table[config_type.__name__] = {
            f.name: _plain(f.default_factory() if f.default is dataclasses.MISSING else f.default)  # type: ignore[misc]
            for f in dataclasses.fields(config_type)
            if f.init
        }
    return table


def peft_fields() -> dict[str, Any]:
    """Return the table of PEFT's methods that adapt matrices: their fields' defaults (`types`) and annotations."""
    table: dict[str, Any] = {"peft": peft.__version__, "types": {}, "takes": {}}
    for kind, config_type in PEFT_TYPE_TO_CONFIG_MAPPING.items():
        fields = [f for f in dataclasses.fields(config_type) if f.init]
        if kind.value in table["types"] or "target_modules" not in {f.name for f in fields} or kind.value == "QUANTA":
            continue  # prompts, which adapt no matrix, and our own
        hints = get_type_hints(config_type)
        table["types"][kind.value] = {f.name: _plain(_default(f)) for f in fields}
        table["takes"][kind.value] = {f.name: " | ".join(_taken(hints[f.name])) for f in fields}
    return table


def _taken(annotation: Any) -> list[str]:
    """Return the names of the types that an annotation takes, and the words that it lists, as JSON."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return sorted({name for kind in get_args(annotation) for name in _taken(kind)})
    if origin is Literal:
        return [json.dumps(word) for word in get_args(annotation)]
    return ["null" if annotation is types.NoneType else (origin or annotation).__name__]


def _default(field: Any) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return None if field.default_factory is dataclasses.MISSING else field.default_factory()


def _plain(value: Any) -> Any:
    value = getattr(value, "value", value)  # an enum member
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return repr(value)
