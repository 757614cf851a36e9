"""Methods and configuration fields by PEFT's own names, checked against a table generated from one release.

So that a misspelt field of `{method: peft, ...}`, or a value of another type, is found before anything heavy is
imported. The table holds each field's default and annotation; which of the values of that type a run can have is said
in `peft_values`.
"""

import json
import math
from collections.abc import Collection, Mapping
from functools import cache
from importlib import resources
from typing import Any

from harness.spec.declared import FieldError
from harness.spec.messages import nearest, unknown
from harness.spec.peft_values import NO_MATRIX, value_problem
from harness.spec.problem import shown

OWNED = {
    "target_modules": "the protocol's recipe says which matrices are adapted",
    "exclude_modules": "the protocol's recipe says which matrices are adapted",
    "layers_to_transform": "the protocol's recipe says which matrices are adapted",
    "layers_pattern": "the protocol's recipe says which matrices are adapted",
    "modules_to_save": "an update is of the adapted matrices alone",
    "bias": "an update is of the adapted matrices alone",
    "task_type": "every task here is causal language modelling",
    "inference_mode": "a run trains",
    "base_model_name_or_path": "the run's identity names its base",
    "revision": "the run's identity names its base",
    "peft_type": "type, beside config, is that",
    "peft_version": "the run's record has it",
    "auto_mapping": "the harness loads what it trains",
    "fan_in_fan_out": "no base here stores its matrices that way, and PEFT would not do it",
    "init_v_bound": "a run begins at the base, where it is not used",
    "use_effective_conv2d": "no base here has a convolution",
    "runtime_offload_base_weight": "where the base lies is the executor's to say",
}
"""Fields that the harness sets or refuses, with the reason."""

OWNED_FAMILIES = {
    "_pattern": "its keys are regular expressions, of which PEFT leaves out those that match nothing",
    "target_svd_config": "its keys are modules, of which PEFT leaves out those that it does not find",
}
"""Ends of names, likewise: every matrix has what the adapter as a whole declares."""

SPECS = {
    "LORA": "lora, dora or pissa",
    "DORA": "dora",
    "PISSA": "pissa",
    "ADALORA": "adalora",
    "GRALORA": "gralora",
    "OFT": "oft",
    "VERA": "vera",
    "RANDLORA": "randlora",
    "MISS": "miss",
    "HRA": "hra",
    "QUANTA": "quanta",
    "FULL": "full",
}
"""Types that have a spec of their own here, also those that PEFT calls otherwise or does not have."""

_WORDS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "list": "a list",
    "dict": "a mapping",
    "null": "null",
}


@cache
def peft_fields() -> dict[str, Any]:
    """Return PEFT's adapter types with their fields' defaults (`types`) and annotations (`takes`), of one release."""
    return json.loads(resources.files("harness.spec").joinpath("peft_fields.json").read_text(encoding="utf-8"))


def check_config(kind: str, config: Mapping[str, Any]) -> None:
    """Raise FieldError at the first of type and fields that PEFT does not have, or that no run here can have.

    Raises:
        FieldError: an unknown type or field, a value of another type or out of range, one that the harness sets, or a
            method whose update is none of matrices.
    """
    types, release = peft_fields()["types"], f"PEFT {peft_fields()['peft']}"
    if reason := NO_MATRIX.get(kind.upper()):
        raise FieldError("type", f"{kind} {reason}. Use another method.")
    if rule := _not_declared_here(kind, types.keys(), release):
        raise FieldError("type", rule)
    for name, value in config.items():
        if reason := owned(name):
            raise FieldError("config", f"{name} is not the declaration's to set: {reason}. Remove it.")
        if name not in types[kind]:
            known = sorted(field for field in types[kind] if not owned(field))
            raise FieldError("config", unknown(f"{name} is no field of {kind} in {release}", nearest(name, known)))
        if rule := _other_type(name, value, peft_fields()["takes"][kind][name].split(" | ")):
            raise FieldError("config", f"{rule} PEFT's default is {json.dumps(types[kind][name])}.")
    if rule := value_problem(kind, config, types[kind]):
        raise FieldError("config", rule)


def owned(name: str) -> str | None:
    """Return why a field is not the declaration's to set, or None."""
    families = (reason for end, reason in OWNED_FAMILIES.items() if name.endswith(end))
    return OWNED.get(name) or next(families, None)


def _not_declared_here(kind: str, types: Collection[str], release: str) -> str:
    """Return why `kind` is no type to declare, with the one that was likely meant; empty where it is one."""
    written = shown(kind)
    if kind.upper() in SPECS:
        return f"{written} has a spec of its own. Write method: {SPECS[kind.upper()]}, without type and config."
    if kind in types:
        return ""
    known = {name: name for name in types} | {name: f"method: {method}" for name, method in SPECS.items()}
    near = kind.upper() if kind.upper() in known else nearest(kind.upper(), sorted(known))
    hint = f"; did you mean {known[near]}?" if near else "."
    return f"{written} is no method of {release} that adapts matrices{hint} Change it."


def _other_type(name: str, value: Any, takes: Collection[str]) -> str:
    """Return the rule where a value is not of a type that the field takes, by the names in the table; else nothing."""
    words = [json.loads(word) for word in takes if word.startswith('"')]
    kinds = {kind for kind in takes if not kind.startswith('"') and not (kind == "str" and words)}
    if value in words or _kind(value) in kinds or (_kind(value) == "int" and "float" in kinds):
        if isinstance(value, float) and not math.isfinite(value):
            return f"{name} {shown(value)} is not a finite number. Write an ordinary one."
        return ""
    wanted = [*(shown(word) for word in words), *(_WORDS.get(kind, kind) for kind in sorted(kinds))]
    return f"{name} {shown(value)} is not what PEFT takes here: {' or '.join(wanted)}. Write that."


def _kind(value: Any) -> str:
    return "null" if value is None else type(value).__name__
