"""Experiment trackers: the values of `report_to`, by transformers' names.

A tracker watches a run and is not meant to change its result, so `report_to` stands among the fields of a trainer and
is in no run's identity and in no registration. A tracker that talks to a network takes its settings and its token from
the environment of whoever starts the run; declarations hold neither.
"""

from typing import Any

from harness.spec.messages import nearest
from harness.spec.problem import items, shown

REPORT_TO = "report_to"
NONE = "none"
TRACKERS = (
    "azure_ml", "clearml", "codecarbon", "comet_ml", "dagshub", "dvclive", "flyte", "kubeflow", "mlflow", "neptune",
    "swanlab", "tensorboard", "trackio", "wandb",
)  # fmt: skip
"""What transformers has a callback for; a test holds it against the installed release."""


def trackers(value: Any) -> tuple[str, ...]:
    """Return the trackers that a sound value of `report_to` names, each once."""
    named = [value] if isinstance(value, str) else items(value)
    return tuple(dict.fromkeys(name for name in named if name != NONE))


def tracker_rule(value: Any) -> str | None:
    """Return what is wrong with a text or list as a value of `report_to`, or None."""
    named = [value] if isinstance(value, str) else items(value)
    for name in named:
        if name == "all":
            return "all would be whatever is installed where a run happens to be. Name the trackers."
        if name == NONE and len(named) > 1:
            return f"{shown(value)} names trackers and none. Write one or the other."
        if name != NONE and name not in TRACKERS:
            near = nearest(name, TRACKERS) if isinstance(name, str) else None
            hint = f" Did you mean {near}?" if near else ""
            return f"{shown(name)} is no tracker of transformers.{hint} There are: {', '.join(TRACKERS)}, or none."
    return None
