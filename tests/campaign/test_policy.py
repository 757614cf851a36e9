"""What is repeated, how often, and what a user is told when it is not."""

import pytest

from harness.campaign.policy import MAX_LOST, REMEDIES, REPEATS, Losses
from harness.record.ending import Exit, Reason

NEVER = (*(Reason.USER_ERROR, Reason.NAN, Reason.OOM_HOST, Reason.OOM_DEVICE, Reason.TIMEOUT, Reason.CANCELLED),)


def repeats(*ends: Exit) -> list[bool]:
    losses = Losses()
    return [losses.repeat(end) for end in ends]


def test_every_end_without_a_result_has_a_rule() -> None:
    assert set(REPEATS) == set(Reason) - {Reason.OK}


@pytest.mark.parametrize("reason", NEVER)
def test_what_the_next_attempt_would_meet_again_is_not_repeated(reason: Reason) -> None:
    assert repeats(Exit(reason, "x")) == [False]


@pytest.mark.parametrize(("reason", "often"), [(Reason.KILLED, MAX_LOST), (Reason.PREEMPTED, 20)])
def test_what_came_from_outside_is_repeated_a_number_of_times(reason: Reason, often: int) -> None:
    assert repeats(*[Exit(reason, "")] * (often + 2)) == [True] * often + [False] * 2


def test_reasons_are_counted_apart() -> None:
    killed, preempted = Exit(Reason.KILLED, ""), Exit(Reason.PREEMPTED, "")
    assert repeats(*[killed, preempted] * MAX_LOST, killed, preempted) == [True] * 2 * MAX_LOST + [False, True]


@pytest.mark.parametrize("reason", [Reason.KILLED, Reason.PREEMPTED, Reason.TIMEOUT])
def test_an_attempt_that_made_progress_is_not_counted(reason: Reason) -> None:
    assert repeats(*[Exit(reason, "", n) for n in range(1, 50)]) == [True] * 49


@pytest.mark.parametrize("reason", [Reason.KILLED, Reason.TIMEOUT])
def test_a_checkpoint_that_stood_before_is_no_progress(reason: Reason) -> None:
    ends = [Exit(reason, "", 4)] * (2 + REPEATS[reason])
    assert repeats(*ends) == [True, *[True] * REPEATS[reason], False]
    assert repeats(Exit(reason, "", 4), *[Exit(reason, "", 3)] * (1 + REPEATS[reason]))[-1] is False


@pytest.mark.parametrize("reason", [Reason.USER_ERROR, Reason.NAN, Reason.OOM_HOST, Reason.OOM_DEVICE])
def test_an_error_of_the_runs_own_is_not_repeated_whatever_its_progress(reason: Reason) -> None:
    assert repeats(Exit(reason, "", 100)) == [False]


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        ([Exit(Reason.USER_ERROR, "ValueError: no")], "ValueError: no"),
        ([Exit(Reason.KILLED, "")], ""),
        ([Exit(Reason.KILLED, "by SIGSEGV")], "by SIGSEGV"),
        ([Exit(Reason.KILLED, "")] * 4, "killed 4 times"),
        ([Exit(Reason.KILLED, "by SIGSEGV")] * 4, "killed 4 times; the last time: by SIGSEGV"),
        ([Exit(Reason.NAN, "loss is nan")], "nan: loss is nan"),
        ([Exit(Reason.OOM_HOST, "held 9 GiB")], f"oom_host: held 9 GiB. {REMEDIES[Reason.OOM_HOST]}"),
        ([Exit(Reason.OOM_DEVICE, "x")], f"oom_device: x. {REMEDIES[Reason.OOM_DEVICE]}"),
        ([Exit(Reason.TIMEOUT, "x")], f"timeout: x. {REMEDIES[Reason.TIMEOUT]}"),
        ([Exit(Reason.CANCELLED, "called off")], f"cancelled: called off. {REMEDIES[Reason.CANCELLED]}"),
    ],
)
def test_what_a_user_is_told(ends: list[Exit], told: str) -> None:
    losses = Losses()
    for end in ends:
        losses.repeat(end)
    assert losses.told(ends[-1]) == told


def test_a_remedy_names_what_can_be_declared() -> None:
    from harness.spec.resources import Resources

    said = " ".join(REMEDIES.values())
    for name in ("memory_gib", "gpus", "minutes"):
        assert f"resources.{name}" in said
        assert name in Resources.model_fields
    assert "resume: allowed" in REMEDIES[Reason.TIMEOUT]
