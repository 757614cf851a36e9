"""What SLURM answered, recorded with 22.05.8, and what is read in it."""

import pytest

from harness.execute import slurm_answers as answers

ARRAY = """\
1_3|PENDING|harness-0a1b2c3d
1_4|PENDING|harness-0a1b2c3d
1_0|COMPLETING|harness-0a1b2c3d
1_1|RUNNING|harness-0a1b2c3d
1_2|CANCELLED|harness-0a1b2c3d
2_0|SIGNALING|harness-99999999
2_1|FAILED|harness-99999999
3_N/A|RUNNING|hostname
4_0|RUNNING|a name|of three|harness-00000000
"""
"""`squeue --noheader --array --states=all --format=%F_%K|%T|%j`, while a task waited that was told to start again."""

CONFIG = """\
Configuration data as of 2026-11-30T17:44:02
AuthType                = auth/munge
ClusterName             = slurm_ilnsj7c3
MaxArraySize            = 1001
SchedulerParameters     = sched_min_interval=0,bf_interval=1

Slurmctld(primary) at vm is UP
"""

SILENCE = [
    "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
    "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
    "scancel: error: Kill job error on job id 1_1: Unable to contact slurm controller (connect failure)",
    "slurm_load_ctl_conf error: Unable to contact slurm controller (connect failure)",
    "sbatch: error: slurm_send_node_msg: auth_g_create: REQUEST_SUBMIT_BATCH_JOB has authentication error\n"
    "sbatch: error: Batch job submission failed: Protocol authentication error",
    "squeue: fatal: Could not establish a configuration source",
    "sbatch: error: Batch job submission failed: Resource temporarily unavailable",
    "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
]
REFUSALS = [
    "sbatch: error: invalid partition specified: nope\n"
    "sbatch: error: Batch job submission failed: Invalid partition name specified",
    "sbatch: error: Memory specification can not be satisfied\n"
    "sbatch: error: Batch job submission failed: Requested node configuration is not available",
    "sbatch: error: Batch job submission failed: Invalid job array specification",
    "sbatch: error: Batch job submission failed: Invalid feature specification",
    "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified",
]
FORGOTTEN = "slurm_load_jobs error: Invalid job id specified\n"


def test_tasks_are_told_apart_by_state_and_by_submission() -> None:
    assert answers.standings(ARRAY) == {
        "1_3-0a1b2c3d": "queued",
        "1_4-0a1b2c3d": "queued",
        "1_0-0a1b2c3d": "running",
        "1_1-0a1b2c3d": "running",
        "1_2-0a1b2c3d": "gone",
        "2_0-99999999": "running",
        "2_1-99999999": "gone",
    }
    assert answers.standings("") == {}


@pytest.mark.parametrize(
    ("state", "standing"),
    [
        ("REQUEUED", "queued"),
        ("REQUEUE_HOLD", "queued"),
        ("SPECIAL_EXIT", "queued"),
        ("CONFIGURING", "queued"),
        ("SUSPENDED", "running"),
        ("STAGE_OUT", "running"),
        ("A_STATE_OF_ANOTHER_RELEASE", "running"),  # an end is said only where it is known to be one
        ("TIMEOUT", "gone"),
        ("NODE_FAIL", "gone"),
        ("PREEMPTED", "gone"),
        ("OUT_OF_MEMORY", "gone"),
    ],
)
def test_every_state_stands_for_something(state: str, standing: str) -> None:
    assert answers.standings(f"7_1|{state}|harness-0a1b2c3d\n") == {"7_1-0a1b2c3d": standing}


@pytest.mark.parametrize("line", ["slurm_load_jobs error: what?", "7|RUNNING|harness-0a1b2c3d", "7_1|RUNNING"])
def test_a_listing_that_is_none_says_nothing_of_jobs(line: str) -> None:
    with pytest.raises(ValueError, match="is no line of"):
        answers.standings(f"7_0|RUNNING|harness-0a1b2c3d\n{line}\n")


def test_a_configuration_is_read() -> None:
    said = answers.configuration(CONFIG)
    assert (said["ClusterName"], said["MaxArraySize"]) == ("slurm_ilnsj7c3", "1001")
    assert said["SchedulerParameters"] == "sched_min_interval=0,bf_interval=1"


@pytest.mark.parametrize(
    ("printed", "array"),
    [("17\n", "17"), ("17;cluster\n", "17"), ("Welcome!\n17\n", "17"), ("", None), ("Submitted batch job\n", None)],
)
def test_the_array_is_the_last_thing_that_sbatch_prints(printed: str, array: str | None) -> None:
    assert answers.array_id(printed) == array


def test_silence_refusal_and_oblivion_are_three_things() -> None:
    assert all(answers.silent(words) and not answers.unknown(words) for words in SILENCE)
    assert not any(answers.silent(words) or answers.unknown(words) for words in REFUSALS)
    assert answers.unknown(FORGOTTEN)
    assert not answers.silent(FORGOTTEN)


def test_a_submission_is_in_doubt_only_where_the_controller_may_have_heard_it() -> None:
    assert [words for words in SILENCE if answers.in_doubt(words)] == [SILENCE[-1]]
    assert answers.in_doubt("sbatch: no answer within 45 s")


def test_what_is_over_need_not_be_cancelled() -> None:
    gone = "scancel: error: Kill job error on job id 17_0: Invalid job id specified\n"
    done = "scancel: error: Kill job error on job id 17_1: Job/step already completing or completed\n"
    assert answers.over(gone + done)
    assert not answers.over(gone + SILENCE[2])
