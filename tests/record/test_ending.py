"""How an attempt ended is read back as it was said, and leaves its job in a state that policy can go by."""

import json
from typing import Any

import pytest

from harness.record.ending import STATE_AFTER, Exit, Reason, State


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("checkpoint", [None, 0, 12])
def test_what_was_said_is_read_back(reason: Reason, checkpoint: int | None) -> None:
    end = Exit(reason, 'said "so": ä', checkpoint)
    assert Exit.read(json.loads(json.dumps(end.as_json()))) == end


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ({"reason": "abducted", "message": "by aliens"}, Exit(Reason.KILLED, "abducted: by aliens")),
        ({"reason": "OK", "message": "x"}, Exit(Reason.KILLED, "OK: x")),  # another's word for it
        ({}, Exit(Reason.KILLED, ": ")),
        ([], Exit(Reason.KILLED, ": ")),
        (None, Exit(Reason.KILLED, ": ")),
        ({"reason": "nan", "message": "x", "checkpoint": "7"}, Exit(Reason.NAN, "x")),
    ],
)
def test_what_is_none_of_ours_counts_as_killed(said: Any, read: Exit) -> None:
    assert Exit.read(said) == read


def test_a_checkpoint_is_told_only_where_there_is_one() -> None:
    assert Exit(Reason.KILLED, "x").as_json() == {"reason": "killed", "message": "x"}
    assert Exit(Reason.KILLED, "x", 3).as_json() == {"reason": "killed", "message": "x", "checkpoint": 3}


def test_what_came_from_outside_leaves_a_job_that_can_be_repeated() -> None:
    outside = {Reason.OK, Reason.PREEMPTED, Reason.LOST_CLAIM, Reason.KILLED}
    assert set(Reason) - set(STATE_AFTER) == outside
    assert {reason for reason, state in STATE_AFTER.items() if state is State.CANCELLED} == {Reason.CANCELLED}
    assert set(STATE_AFTER.values()) == {State.FAILED, State.CANCELLED}
