"""What may be declared of the resources of a run, and what follows from it."""

from typing import Any

import pytest
from pydantic import ValidationError

from harness.spec.resources import Resources


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ({"gpus": 1.5}, "1.5 is neither whole nor one part of a device. Write 1, or 0.5."),
        ({"gpus": 0.4}, "0.4 is neither whole nor one part of a device"),
        ({"gpus": 0.75}, "0.75 is neither whole nor one part"),
        ({"gpus": 0.001}, "0.001 is neither whole nor one part"),
        ({"gpus": -1}, "greater than or equal to 0"),
        ({"gpus": 65}, "less than or equal to 64"),
        ({"gpus": 0.5, "launcher": "accelerate"}, "processes cannot share a part of a device"),
        ({"resume": "allowed"}, "resume: allowed and checkpoint_every go together"),
        ({"checkpoint_every": 10}, "resume: allowed and checkpoint_every go together"),
        ({"resume": "allowed", "checkpoint_every": 0}, "greater than or equal to 1"),
        ({"resume": "always"}, "'never' or 'allowed'"),
        ({"cpus": 0}, "greater than or equal to 1"),
        ({"memory_gib": 0}, "greater than 0"),
        ({"minutes": float("inf")}, "finite"),
        ({"grace_seconds": 3601}, "less than or equal to 3600"),
        ({"nodes": 2}, "Extra inputs are not permitted"),
        ({"cpus": "2"}, "valid integer"),
    ],
)
def test_what_cannot_be_given_is_refused(said: dict[str, Any], names: str) -> None:
    with pytest.raises(ValidationError, match=names.replace(".", r"\.")):
        Resources.model_validate(said)


@pytest.mark.parametrize(("gpus", "sharing"), [(0, 1), (1, 1), (8, 1), (0.5, 2), (1 / 3, 3), (0.333, 3), (0.1, 10)])
def test_a_fraction_is_shared_by_as_many_runs(gpus: float, sharing: int) -> None:
    assert Resources(gpus=gpus).sharing == sharing


@pytest.mark.parametrize(
    ("said", "processes", "threads"),
    [
        ({}, 1, 1),
        ({"cpus": 4}, 1, 4),
        ({"gpus": 2, "cpus": 4}, 1, 4),
        ({"launcher": "accelerate", "cpus": 2}, 2, 1),
        ({"launcher": "accelerate", "gpus": 4, "cpus": 8}, 4, 1),
        ({"launcher": "accelerate"}, 1, 1),
    ],
)
def test_processes_and_threads_follow(said: dict[str, Any], processes: int, threads: int) -> None:
    resources = Resources.model_validate(said)
    assert (resources.processes, resources.threads) == (processes, threads)


def test_what_was_given_is_read_back() -> None:
    given = Resources(gpus=1 / 3, memory_gib=1.5, minutes=10, resume="allowed", checkpoint_every=5)
    assert Resources.model_validate(given.model_dump(mode="json")) == given
