"""What no single field of a protocol shows: bases that are not declared, and arms that would not be comparable.

GRPO's batch counts completions, SFT's counts examples; an arm is comparable when one update of either sees the same
number of prompts. A label means something where sampling of problems alone does not give it. Each check stands aside
where what it compares is itself mistaken, so that a mistake is told once.
"""

import math
from collections.abc import Mapping
from typing import Any

from harness.spec.problem import Problem, items, mapping, shown
from harness.spec.task_checks import check_task
from harness.spec.trainer import TRAINERS, trainer_fields, trainer_problems

SAME = ("learning_rate", "num_train_epochs", "max_steps")
"""Trainer fields that the arms share, because they set how far a run goes."""
CLEAR = 3.0
"""Standard errors of item sampling between a limit of a label and the accuracies that it tells apart."""


def check(raw: Mapping[str, Any]) -> list[Problem]:
    """Return the mistakes that no single field shows, from the raw mapping, whatever else is wrong with it."""
    trainers = {key: trainer_problems(key, mapping(raw[key])) for key in TRAINERS if isinstance(raw.get(key), dict)}
    problems = [problem for found in trainers.values() for problem in found] + _undeclared_bases(raw)
    problems += _labels_are_noise(raw)
    sound = {key for key, found in trainers.items() if not found}
    grpo = mapping(raw.get("grpo"))
    problems += check_task(raw, _of("grpo", grpo, "max_completion_length") if "grpo" in sound else None)
    if "grpo" not in sound:
        return problems
    prompts = prompts_per_update(grpo)
    if prompts is None:
        rule = (
            f"{completions_per_update(grpo)} completions an update are no multiple of num_generations "
            f"{_of('grpo', grpo, 'num_generations')}, so a prompt would be cut in two. Change one."
        )
        problems.append(Problem(("grpo", "per_device_train_batch_size"), rule))
    else:
        problems += _epoch_fits(mapping(raw.get("task")), prompts)
    return problems + (_arms_match(grpo, mapping(raw["sft"]), prompts) if "sft" in sound else [])


def completions_per_update(grpo: Mapping[str, Any]) -> int:
    """Return how many completions one GRPO update sees on one device."""
    return grpo["per_device_train_batch_size"] * _of("grpo", grpo, "gradient_accumulation_steps")


def prompts_per_update(grpo: Mapping[str, Any]) -> int | None:
    """Return how many prompts one GRPO update sees, or None where completions do not divide evenly."""
    completions, generations = completions_per_update(grpo), _of("grpo", grpo, "num_generations")
    return completions // generations if completions % generations == 0 else None


def _of(key: str, fields: Mapping[str, Any], name: str) -> Any:
    """Return a trainer field as declared, else TRL's default."""
    return fields.get(name, trainer_fields()[TRAINERS[key]][name])


def _undeclared_bases(raw: Mapping[str, Any]) -> list[Problem]:
    if not isinstance(raw.get("bases"), dict):
        return []
    bases = mapping(raw["bases"])
    return [
        Problem(
            ("default_bases", i), f"{shown(name)} is none of the declared bases {shown(sorted(bases))}. Declare it."
        )
        for i, name in enumerate(items(raw.get("default_bases")))
        if isinstance(name, str) and name not in bases
    ]


def _labels_are_noise(raw: Mapping[str, Any]) -> list[Problem]:
    """Return a mistake where the limit of "collapsed" is too near zero or the base's own accuracy, as far as known."""
    share = mapping(raw.get("thresholds")).get("collapsed_share")
    problems = mapping(raw.get("task")).get("evaluation_problems")
    if type(share) is not float or not 0 < share < 1 or type(problems) is not int or problems < 1:
        return []
    for base in mapping(raw.get("bases")).values():
        accuracy = mapping(mapping(base).get("pretraining")).get("until_accuracy")
        if type(accuracy) is not float or not 0 < accuracy < 1:
            continue
        limit = share * accuracy
        for what, mode in (("zero", 0.0), ("the base's own", accuracy)):
            noise = CLEAR * _item_se(mode, problems)
            if abs(limit - mode) < noise:
                rule = (
                    f"{share:g} of a base at {accuracy:g} is {limit:.3f}, within {CLEAR:g} standard errors "
                    f"({noise:.3f}) of {what} on {problems} problems: run labels would be noise. Change it, or "
                    "evaluate more problems."
                )
                return [Problem(("thresholds", "collapsed_share"), rule)]
    return []


def _item_se(accuracy: float, problems: int) -> float:
    """Return the standard error of an accuracy over problems; Laplace's share makes 0 and 1 uncertain too."""
    p = (accuracy * problems + 1) / (problems + 2)
    return math.sqrt(p * (1 - p) / problems)


def _arms_match(grpo: Mapping[str, Any], sft: Mapping[str, Any], prompts: int | None) -> list[Problem]:
    problems: list[Problem] = []
    examples = sft["per_device_train_batch_size"] * _of("sft", sft, "gradient_accumulation_steps")
    if prompts is not None and examples != prompts:
        rule = (
            f"{examples} examples an update, GRPO has {prompts} prompts: the SFT arm would make another number of "
            f"updates. Make them {prompts}."
        )
        problems.append(Problem(("sft", "per_device_train_batch_size"), rule))
    for name in SAME:
        here, there = _of("sft", sft, name), _of("grpo", grpo, name)
        if here != there:
            rule = f"{shown(here)} here, {shown(there)} under grpo: the arms would differ in more than the loss."
            problems.append(Problem(("sft", name), f"{rule} Make them equal."))
    return problems


def _epoch_fits(task: Mapping[str, Any], prompts: int) -> list[Problem]:
    training = task.get("training_prompts")
    if type(training) is not int or training < 1 or training % prompts == 0:
        return []
    rule = f"{training} prompts are no whole number of updates of {prompts}. Use a multiple of {prompts}."
    return [Problem(("task", "training_prompts"), rule)]
