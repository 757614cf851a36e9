"""What is known of a finished run from elsewhere: its log, its adapter, and what it states of itself.

Nothing is inferred that the files do not state. A fact without a source is None, and named in `unknown`; an accuracy is
as somebody stated it, measured by nobody here.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.record.trl_folder import LARGE, METRICS, SHAPE, Output, card_text, read_object
from harness.spec import DeclarationError
from harness.spec.problem import items, mapping, shown

NAMES = {
    "loss": "loss",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "reward": "reward",
    "reward_std": "reward_std",
    "frac_reward_zero_std": "frac_reward_zero_std",
    "entropy": "entropy",
    "completions/mean_length": "completion_length",
    "completions/clipped_ratio": "clipped_ratio",
}
"""TRL's name of a logged number, and the column of the `steps` shard, as our own runs have it (a test compares)."""
STATED = ("max_steps", "num_train_epochs", "train_batch_size", "logging_steps", "save_steps", "eval_steps")
"""What the log says of the trainer; the batch is that of all devices of a process."""
ALWAYS_UNKNOWN = ("seed", "task and evaluation set", "trainer arguments (training_args.bin)", "device")
ENTRIES, STEPS, NAME = 10**6, 2**31 - 1, 200
"""At most so many entries of a log, updates, and letters of a logged name."""
TRAINED = re.compile(r"^This model was trained with ([A-Za-z0-9_-]{1,20})", re.MULTILINE)
VERSION = re.compile(r"^- (PEFT|TRL|Transformers|Pytorch|Datasets|Tokenizers):? ([\w.+-]{1,40})$", re.MULTILINE)
PACKAGES = {"Pytorch": "torch"}

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Known:
    """What a folder says of its run."""

    steps: list[Row]
    """Rows of the `steps` shard, an entry of the log each: where not every update is logged, means since the last."""
    logged: list[Row]
    """Every number of the log, by its own name."""
    facts: dict[str, Any]


def known(output: Output) -> Known:
    """Return what the files of a run say; raise DeclarationError where one of them cannot be what its name says."""
    state = read_object(output.state, LARGE, strict=False) if output.state else {}
    steps, logged = _log(output, state)
    last = mapping(next((e for e in reversed(items(state.get("log_history"))) if "train_runtime" in mapping(e)), None))
    card, config = card_text(output), output.config
    stated = {file.name: _numbers(read_object(file)) for file in output.beside if file.name in METRICS}
    facts: dict[str, Any] = {
        "algorithm": found[1].lower() if (found := TRAINED.search(card)) else None,
        "base": _base(config),
        "adapter": {"method": "full"} if config is None else _adapter(output, config),
        "updates": _whole(state.get("global_step")),
        "train_seconds": _number(last.get("train_runtime")),
        "train_loss": _number(last.get("train_loss")),
        "trainer": {name: state[name] for name in STATED if _number(state.get(name)) is not None},
        "software": _software(output, card, config or {}),
        "stated": stated,
        "accuracy_stated": _accuracy(stated),
        "log": _about_log(output, steps, logged),
        "unread": list(output.unread),
    }
    lacking = [name for name, value in facts.items() if value is None or (value == {} and name != "stated")]
    facts["unknown"] = [*lacking, *([] if output.state else ["log"]), *ALWAYS_UNKNOWN]
    return Known(steps, logged, facts)


def _log(output: Output, state: Mapping[str, Any]) -> tuple[list[Row], list[Row]]:
    """Return the log's rows, by our columns and by its own names; of two entries of one update the later counts."""
    history = state.get("log_history", [])
    if not isinstance(history, list) or len(items(history)) > ENTRIES:
        raise DeclarationError([f"{output.state}: log_history is no list of at most {ENTRIES} entries. Restore it."])
    steps: dict[int, Row] = {}
    logged: list[Row] = []
    for entry in map(mapping, items(history)):
        step = _whole(entry.get("step"))
        if step is None:
            rule = f"step {shown(entry.get('step'))} in log_history is no whole number of updates. Restore the file."
            raise DeclarationError([f"{output.state}: {rule}"])
        said = {name: value for name, value in entry.items() if name != "step" and _is_number(value)}
        if "loss" in said:
            steps[step] = {"step": step, **{NAMES[name]: _number(v) for name, v in said.items() if name in NAMES}}
        logged += [{"step": step, "name": _name(name), "value": _number(value)} for name, value in said.items()]
    return [steps[step] for step in sorted(steps)], logged


def _about_log(output: Output, steps: list[Row], logged: list[Row]) -> dict[str, Any] | None:
    if output.state is None:
        return None
    broken = [row["name"] for row in logged if row["value"] is None]
    own = output.state.parent == output.folder
    return {
        "rows": len(steps),
        "from": output.state.name if own else f"{output.state.parent.name}/{output.state.name}",
        "not_finite": {name: broken.count(name) for name in dict.fromkeys(broken)},
    }


def _base(config: Mapping[str, Any] | None) -> dict[str, str | None] | None:
    name = _text((config or {}).get("base_model_name_or_path"))
    return {"name": name, "revision": _text((config or {}).get("revision"))} if name else None


def _adapter(output: Output, config: dict[str, Any]) -> dict[str, Any]:
    """Return the adapter in the fields that all methods of PEFT share, and its whole configuration beside."""
    method = config.get("peft_type")
    if not isinstance(method, str) or not re.fullmatch(r"[A-Z0-9_]{1,30}", method):
        rule = f"peft_type {shown(method)} is no method. Use the file that it was saved with."
        raise DeclarationError([f"{output.folder / 'adapter_config.json'}: {rule}"])
    rank, alpha = _whole(config.get("r")), _number(config.get("lora_alpha"))
    patterns = bool(config.get("rank_pattern") or config.get("alpha_pattern"))
    root = config.get("use_rslora") is True
    plain = rank and alpha is not None and not patterns
    return {
        "method": method.lower(),
        "rank": rank,
        "alpha": alpha,
        "multiplier": alpha / (rank**0.5 if root else rank) if plain and rank and alpha is not None else None,
        "targets": config.get("target_modules"),
        "config": config,
    }


def _software(output: Output, card: str, config: Mapping[str, Any]) -> dict[str, str]:
    """Return the versions that are stated: in the card, in the adapter's configuration, in that of a whole model."""
    found: list[tuple[str, str]] = VERSION.findall(card)
    said = {PACKAGES.get(name, name.lower()): version for name, version in found}
    if version := _text(config.get("peft_version")):
        said["peft"] = version
    shape = output.folder / SHAPE
    whole = read_object(shape) if output.config is None and shape in output.beside else {}
    if version := _text(whole.get("transformers_version")):
        said["transformers"] = version
    return said


def _accuracy(stated: Mapping[str, Mapping[str, float]]) -> float | None:
    """Return an accuracy between 0 and 1 that a file of metrics states, as itself or of an evaluation."""
    values = (numbers.get(name) for numbers in stated.values() for name in ("eval_accuracy", "accuracy"))
    return next((value for value in values if value is not None and 0 <= value <= 1), None)


def _numbers(said: Mapping[str, Any]) -> dict[str, float]:
    return {_name(name): number for name, value in said.items() if (number := _number(value)) is not None}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any) -> float | None:
    """Return a finite number, or None."""
    try:
        number = float(value) if _is_number(value) else math.nan
    except OverflowError:  # JSON has whole numbers of any length
        return None
    return number if math.isfinite(number) else None


def _whole(value: Any) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= STEPS
    return value if whole else None


def _text(value: Any) -> str | None:
    """Return a text that a stranger's file holds, printable and short, or None."""
    return _name(value) if isinstance(value, str) and value.strip() else None


def _name(value: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in value[:NAME])
