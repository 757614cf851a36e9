"""The execution loop with a scripted executor: what is repeated, what is not, what is waited for."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.campaign.execution import Progress, execute
from harness.campaign.policy import MAX_LOST
from harness.execute import Refused, Standing, Unreachable
from harness.plan import RunSet
from harness.record.ending import Reason
from harness.record.job import JobDirectory, State

if TYPE_CHECKING:
    from tests.conftest import Made, Scripted


@pytest.fixture
def runs(made: "Made") -> RunSet:
    bench = made.bench()
    return bench.plan(bench.hypotheses(["live"]), ["llama"])


def jobs(made: "Made", runs: RunSet, n: int) -> list[JobDirectory]:
    found = [JobDirectory(made.store.runs / run.id) for run in runs.runs[:n]]
    for job, run in zip(found, runs.runs, strict=False):
        job.create({"id": run.id, "identity": run.identity})
    return found


def kill(path: Path) -> None:
    """Claim a job and go away without a word, as a killed process does."""
    attempt = JobDirectory(path).claim({})
    assert attempt is not None
    os.close(attempt.lock)


def nothing(_: Path, __: int) -> None:
    """Do not even claim the job."""


UNBEGUN = "its process ended before it began; see /logs/of/the/engine"


def quiet(_: Progress) -> None:
    """Watch nothing."""


def test_jobs_are_executed_in_order_and_counted(made: "Made", runs: RunSet, scripted: "type[Scripted]") -> None:
    executor = scripted(lambda path, _: made.finish(path, 0.5))
    three = jobs(made, runs, 3)
    seen: list[tuple[int, int]] = []
    end = execute("runs", three, executor, lambda progress: seen.append((progress.done, len(progress.running))))
    assert executor.started == [job.id for job in three]
    assert (end.what, end.planned, end.done, end.executed, end.failed) == ("runs", 3, 3, 3, {})
    assert seen == [(1, 0), (2, 0), (3, 0)]
    assert end.running == {}


def test_what_is_committed_is_not_executed_again(made: "Made", runs: RunSet, scripted: "type[Scripted]") -> None:
    three = jobs(made, runs, 3)
    made.finish(three[1].path, 0.5)
    executor = scripted(lambda path, _: made.finish(path, 0.5))
    end = execute("runs", three, executor, quiet)
    assert executor.started == [three[0].id, three[2].id]
    assert (end.planned, end.done, end.executed) == (3, 3, 2)


def test_nothing_to_do_asks_the_executor_for_nothing(made: "Made", runs: RunSet, scripted: "type[Scripted]") -> None:
    (job,) = jobs(made, runs, 1)
    made.finish(job.path, 0.5)
    executor = scripted(lambda path, _: pytest.fail(f"executed {path}"))
    assert execute("runs", [job], executor, quiet).done == 1


@pytest.mark.parametrize("kills", [1, MAX_LOST])
def test_a_killed_job_is_repeated(made: "Made", runs: RunSet, scripted: "type[Scripted]", kills: int) -> None:
    executor = scripted(lambda path, n: kill(path) if n <= kills else made.finish(path, 0.5))
    (job,) = jobs(made, runs, 1)
    end = execute("runs", [job], executor, quiet)
    assert end.failed == {}
    assert end.executed == 1
    assert len(job.attempts()) == kills + 1


def test_a_job_that_is_killed_every_time_is_given_up(made: "Made", runs: RunSet, scripted: "type[Scripted]") -> None:
    executor = scripted(lambda path, _: kill(path))
    (job,) = jobs(made, runs, 1)
    end = execute("runs", [job], executor, quiet)
    assert end.failed == {job.id: "killed 4 times"}
    assert (end.done, end.executed, len(job.attempts())) == (0, 0, MAX_LOST + 1)


def test_a_process_that_never_began_points_to_the_engines_log(
    made: "Made", runs: RunSet, scripted: "type[Scripted]"
) -> None:
    executor = scripted(nothing, log=Path("/logs/of/the/engine"))
    (job,) = jobs(made, runs, 1)
    end = execute("runs", [job], executor, quiet)
    assert end.failed == {job.id: f"killed 4 times; the last time: {UNBEGUN}"}


def test_an_error_of_the_runs_own_is_not_repeated(made: "Made", runs: RunSet, scripted: "type[Scripted]") -> None:
    executor = scripted(lambda path, _: made.fail(path, "ValueError: rank 0"))
    (job,) = jobs(made, runs, 1)
    end = execute("runs", [job], executor, quiet)
    assert executor.started == [job.id]
    assert end.failed == {job.id: f"ValueError: rank 0 (see {job.attempts()[0] / 'log.txt'})"}


def test_an_earlier_commands_error_is_tried_once_more(made: "Made", runs: RunSet, scripted: "type[Scripted]") -> None:
    (job,) = jobs(made, runs, 1)
    made.fail(job.path, "OSError: no space")
    executor = scripted(lambda path, _: made.finish(path, 0.5))
    assert execute("runs", [job], executor, quiet).executed == 1


def test_one_bad_job_does_not_hold_up_the_others(made: "Made", runs: RunSet, scripted: "type[Scripted]") -> None:
    three = jobs(made, runs, 3)

    def act(path: Path, _: int) -> None:
        made.fail(path, "no") if path == three[0].path else made.finish(path, 0.5)

    end = execute("runs", three, scripted(act), quiet)
    assert (end.done, end.executed, list(end.failed)) == (2, 2, [three[0].id])


def elsewhere(job: JobDirectory, then: Callable[[], None]) -> Callable[[Progress], None]:
    """Return a watch that lets another command, which holds the job, go on after it was looked at three times."""
    looks: list[Progress] = []

    def watch(progress: Progress) -> None:
        looks.append(progress)
        if len(looks) == 3:
            assert job.state() is State.RUNNING
            assert progress.running == {job.id: {"step": 3}}
            then()

    return watch


def test_a_job_that_another_command_has_claimed_is_waited_for(
    made: "Made", runs: RunSet, scripted: "type[Scripted]"
) -> None:
    (job,) = jobs(made, runs, 1)
    attempt = job.claim({})
    assert attempt is not None
    attempt.tell({"step": 3})

    def commit() -> None:
        (attempt.stage / "result.json").write_text("{}")
        assert attempt.commit()

    executor = scripted(lambda path, _: pytest.fail(f"executed {path}"))
    end = execute("runs", [job], executor, elsewhere(job, commit))
    assert executor.started == []
    assert (end.done, end.executed, end.failed) == (1, 0, {})


def test_a_job_whose_claimer_dies_is_taken_over(made: "Made", runs: RunSet, scripted: "type[Scripted]") -> None:
    (job,) = jobs(made, runs, 1)
    attempt = job.claim({})
    assert attempt is not None
    attempt.tell({"step": 3})
    executor = scripted(lambda path, _: made.finish(path, 0.5))
    end = execute("runs", [job], executor, elsewhere(job, lambda: attempt.exit(Reason.PREEMPTED)))
    assert (end.done, end.executed) == (1, 1)
    assert len(job.attempts()) == 2


def test_the_rest_takes_as_long_as_the_pace_so_far() -> None:
    progress = Progress("runs", planned=10, done=4, executed=2, failed={"x": "no"}, seconds=8.0)
    assert progress.remaining_seconds() == 20.0  # 4 s a run, 10 - 4 - 1 left
    assert Progress("runs", planned=10, done=4).remaining_seconds() is None


def test_a_bench_makes_bases_first_and_closes_its_executor(
    made: "Made", runs: RunSet, scripted: "type[Scripted]"
) -> None:
    executor = scripted(lambda path, _: made.finish(path, 0.5))
    bases, done = made.bench().execute(runs, lambda: executor, quiet)
    assert executor.started == [runs.bases[0].id, *(run.id for run in runs.runs)]
    assert (bases.what, bases.executed, done.what, done.executed) == ("bases", 1, "runs", 12)
    assert executor.closed
    assert made.bench().execute(runs, lambda: pytest.fail("started an executor for nothing"), quiet) == []


def test_runs_of_a_failed_base_are_left_out_with_the_reason(made: "Made", scripted: "type[Scripted]") -> None:
    bench = made.bench()
    runs = bench.plan(bench.hypotheses(["live"]), ["llama", "qwen"])

    def act(path: Path, _: int) -> None:
        made.fail(path, "no luck") if path.name == runs.bases[0].id else made.finish(path, 0.5)

    executor = scripted(act)
    bases, done = bench.execute(runs, lambda: executor, quiet)
    assert list(bases.failed) == [runs.bases[0].id]
    assert (done.planned, done.executed) == (12, 12)
    lost = [run.id for run in runs.runs if run.base.name == "llama"]
    assert set(bench.failed) == {runs.bases[0].id, *lost}
    assert all(bench.failed[name].startswith("its base failed: no luck") for name in lost)
    assert not set(lost) & set(executor.started)


def test_an_executor_is_closed_when_the_user_interrupts(made: "Made", runs: RunSet, scripted: "type[Scripted]") -> None:
    def interrupt(_: Path, __: int) -> None:
        raise KeyboardInterrupt

    executor = scripted(interrupt)
    with pytest.raises(KeyboardInterrupt):
        made.bench().execute(runs, lambda: executor, quiet)
    assert executor.closed


def test_a_result_of_another_identity_under_the_same_id_is_refused(
    made: "Made", runs: RunSet, scripted: "type[Scripted]"
) -> None:
    JobDirectory(made.store.bases / runs.bases[0].id).create({"identity": {"other": 1}})
    executor = scripted(lambda path, _: pytest.fail(f"executed {path}"))
    with pytest.raises(ValueError, match="holds another identity under this id"):
        made.bench().execute(runs, lambda: executor, quiet)
    assert executor.closed


def lasting(scripted: "type[Scripted]", act: Callable[[Path, int], None]) -> "Scripted":
    executor = scripted(act)
    executor.lasting, executor.name = True, "slurm here"
    return executor


def test_a_later_command_takes_up_what_the_engine_still_has(
    made: "Made", runs: RunSet, scripted: "type[Scripted]"
) -> None:
    (job,) = jobs(made, runs, 1)
    executor = lasting(scripted, lambda path, _: made.finish(path, 0.5))
    executor.submit([job.path])  # by a command that was killed then
    job.handed_over("slurm here", str(job.path), 0)
    end = execute("runs", [job], executor, quiet)
    assert executor.started == [job.id]  # and "submitted twice" was not raised
    assert (end.executed, end.repeated) == (1, 0)


def test_what_the_engine_never_had_or_forgot_is_handed_over_and_no_loss(
    made: "Made", runs: RunSet, scripted: "type[Scripted]"
) -> None:
    (job,) = jobs(made, runs, 1)
    job.handed_over("slurm here", "of another life", 0)
    end = execute("runs", [job], lasting(scripted, lambda path, _: made.finish(path, 0.5)), quiet)
    assert (end.executed, end.repeated) == (1, 0)
    assert job.handle() == {"engine": "slurm here", "handle": str(job.path), "attempts": 0}


@pytest.mark.parametrize("earlier", [Reason.USER_ERROR, Reason.OOM_HOST, Reason.TIMEOUT, Reason.CANCELLED, None])
def test_how_an_earlier_command_left_a_run_is_no_end_for_a_later_one(
    made: "Made", runs: RunSet, scripted: "type[Scripted]", earlier: Reason | None
) -> None:
    """The handle that it kept is no word of the engine's on what this command hands over."""
    (job,) = jobs(made, runs, 1)
    job.handed_over("slurm here", "of the earlier one", 0)
    attempt = job.claim({})
    assert attempt is not None
    if earlier is None:
        os.close(attempt.lock)
    else:
        attempt.exit(earlier, "boom")
    executor = lasting(scripted, lambda path, _: made.fail(path, "ValueError: rank 0"))
    end = execute("runs", [job], executor, quiet)
    assert executor.started == [job.id]
    assert "ValueError: rank 0" in end.failed[job.id] and end.repeated == 0
    assert job.handle() == {"engine": "slurm here", "handle": str(job.path), "attempts": 1}


def test_a_failed_run_that_its_engine_has_again_is_taken_up(
    made: "Made", runs: RunSet, scripted: "type[Scripted]"
) -> None:
    """A requeued one: its first attempt was preempted, and the engine begins the second by itself."""
    (job,) = jobs(made, runs, 1)
    attempt = job.claim({})
    assert attempt is not None
    attempt.exit(Reason.PREEMPTED, "wanted back")
    executor = lasting(scripted, lambda path, _: made.finish(path, 0.5))
    executor.submit([job.path])
    job.handed_over("slurm here", str(job.path), 0)
    end = execute("runs", [job], executor, quiet)
    assert (executor.started, end.executed, end.repeated) == ([job.id], 1, 0)


def test_a_handle_of_another_engine_is_not_asked_for(made: "Made", runs: RunSet, scripted: "type[Scripted]") -> None:
    (job,) = jobs(made, runs, 1)
    job.handed_over("slurm there", "1_0", 0)
    executor = lasting(scripted, lambda path, _: made.finish(path, 0.5))
    assert execute("runs", [job], executor, quiet).executed == 1
    assert executor.started == [job.id]


def test_an_engine_that_does_not_answer_is_waited_for_and_nothing_is_taken_for_gone(
    made: "Made", runs: RunSet, scripted: "type[Scripted]"
) -> None:
    (job,) = jobs(made, runs, 1)
    executor = lasting(scripted, lambda path, _: made.finish(path, 0.5))
    answers = iter([True, False, False, True])
    poll, submit = executor.poll, executor.submit

    def polled(handles: Sequence[str]) -> dict[str, Standing]:
        if not next(answers, True):
            raise Unreachable("Unable to contact slurm controller")
        return poll(handles) if job.attempts() or executor.started else dict.fromkeys(handles, "queued")

    executor.poll = polled  # type: ignore[method-assign]
    seen: list[str] = []
    calls: list[int] = []
    executor.submit = lambda folders: calls.append(1) or submit(folders)  # type: ignore[method-assign, func-returns-value]

    def watch(progress: Progress) -> None:
        seen.append(progress.trouble)
        if len(seen) == 4:
            executor.started.append("let go on")

    end = execute("runs", [job], executor, watch)
    assert seen[:4] == ["", *["Unable to contact slurm controller"] * 2, ""]
    assert len(calls) == 1
    assert (end.executed, end.repeated, end.failed) == (1, 0, {})


def test_what_an_engine_refuses_fails_with_its_words(made: "Made", runs: RunSet, scripted: "type[Scripted]") -> None:
    two = jobs(made, runs, 2)
    executor = scripted(nothing)

    def refuse(_: Sequence[Path]) -> list[str]:
        raise Refused("sbatch: error: invalid partition specified: gpu")

    executor.submit = refuse  # type: ignore[method-assign]
    end = execute("runs", two, executor, quiet)
    assert end.failed == {job.id: "sbatch: error: invalid partition specified: gpu" for job in two}


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (Reason.OOM_HOST, "oom_host: m. Raise resources.memory_gib"),
        (Reason.OOM_DEVICE, "oom_device: m. Give the run more of a device"),
        (Reason.TIMEOUT, "timeout: m. Raise resources.minutes"),
        (Reason.NAN, "nan: m"),
    ],
)
def test_what_the_next_attempt_would_meet_again_is_not_repeated(
    made: "Made", runs: RunSet, scripted: "type[Scripted]", reason: Reason, told: str
) -> None:
    (job,) = jobs(made, runs, 1)

    def end_so(path: Path, _: int) -> None:
        attempt = JobDirectory(path).claim({})
        assert attempt is not None
        attempt.exit(reason, "m")

    end = execute("runs", [job], scripted(end_so), quiet)
    assert end.failed[job.id].startswith(told)
    assert len(job.attempts()) == 1


def test_attempts_that_make_progress_are_repeated_without_end(
    made: "Made", runs: RunSet, scripted: "type[Scripted]"
) -> None:
    (job,) = jobs(made, runs, 1)

    def goes_on(path: Path, number: int) -> None:
        if number == 30:
            return made.finish(path, 0.5)
        attempt = JobDirectory(path).claim({})
        assert attempt is not None
        return attempt.exit(Reason.TIMEOUT, "time", checkpoint=number)

    end = execute("runs", [job], scripted(goes_on), quiet)
    assert (end.executed, end.repeated, len(job.attempts())) == (1, 29, 30)


def test_why_nothing_can_be_handed_over_is_told_until_it_can(
    made: "Made", runs: RunSet, scripted: "type[Scripted]"
) -> None:
    (job,) = jobs(made, runs, 1)
    executor = scripted(lambda path, _: made.finish(path, 0.5))
    submit, answers = executor.submit, iter([False, False, True])

    def submitted(folders: Sequence[Path]) -> list[str]:
        if not next(answers):
            raise Unreachable("exchange file:///away: nobody answers")
        return submit(folders)

    executor.submit = submitted  # type: ignore[method-assign]
    seen: list[str] = []
    end = execute("runs", [job], executor, lambda progress: seen.append(progress.trouble))
    assert seen == [*["exchange file:///away: nobody answers"] * 2, ""]
    assert end.executed == 1


def test_what_is_called_off_while_nobody_answers_is_not_waited_for(
    made: "Made", runs: RunSet, scripted: "type[Scripted]"
) -> None:
    (job,) = jobs(made, runs, 1)
    executor = scripted(nothing)

    def never(_: Sequence[Path]) -> list[str]:
        raise Unreachable("nobody answers")

    executor.submit = never  # type: ignore[method-assign]
    end = execute("runs", [job], executor, lambda _: job.call_off())
    assert end.failed == {job.id: "cancelled: called off. Repeat the command to execute it after all."}
