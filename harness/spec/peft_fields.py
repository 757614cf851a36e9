"""Methods and configuration fields by PEFT's own names, checked against a table generated from one release.

So that a misspelt field of `{method: peft, ...}` is found before anything heavy is imported. The table holds defaults,
so a field takes its default's type; one whose default is null takes any value.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from harness.spec.declared import FieldError
from harness.spec.messages import nearest, unknown
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
}
"""Fields that the harness sets or refuses, with the reason."""

SPECS = {
    "LORA": "lora, dora or pissa",
    "ADALORA": "adalora",
    "GRALORA": "gralora",
    "OFT": "oft",
    "VERA": "vera",
    "RANDLORA": "randlora",
    "MISS": "miss",
    "HRA": "hra",
}
"""Types that have a spec of their own here."""


@cache
def peft_fields() -> dict[str, Any]:
    """Return PEFT's adapter types with their fields' defaults, from the release named under `peft`."""
    return json.loads(resources.files("harness.spec").joinpath("peft_fields.json").read_text(encoding="utf-8"))


def check_config(kind: str, config: Mapping[str, Any]) -> None:
    """Raise FieldError at the first of type and fields that PEFT does not have, or that is not a declaration's to set.

    Raises:
        FieldError: an unknown type or field, a value of another type, or one that the harness sets.
    """
    types, release = peft_fields()["types"], f"PEFT {peft_fields()['peft']}"
    if kind in SPECS:
        raise FieldError("type", f"{kind} has a spec of its own. Write method: {SPECS[kind]}.")
    if kind not in types:
        raise FieldError("type", unknown(f"no method of {release} that adapts matrices", nearest(kind, sorted(types))))
    for name, value in config.items():
        if name in OWNED:
            raise FieldError("config", f"{name} is not the declaration's to set: {OWNED[name]}. Remove it.")
        if name not in types[kind]:
            known = sorted(types[kind].keys() - OWNED.keys())
            raise FieldError("config", unknown(f"{name} is no field of {kind} in {release}", nearest(name, known)))
        _check_type(name, value, types[kind][name])


def _check_type(name: str, value: Any, default: Any) -> None:
    """Raise FieldError where PEFT's default is a number and the value is none; other fields take several types."""
    number = isinstance(default, int | float) and not isinstance(default, bool)
    if number and value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise FieldError("config", f"{name} {shown(value)} is no number, and PEFT's default is {default!r}. Change it.")
