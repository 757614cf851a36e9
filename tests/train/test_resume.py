"""Runs that are stopped and go on from a checkpoint: what is kept, what repeats, and what a resumed run comes to."""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from harness.record.atomic import sha256
from harness.record.job import JobDirectory, State
from harness.spec import Cell
from harness.spec.adapter import (
    AdaLora,
    Dora,
    Full,
    GraLora,
    Hra,
    Lora,
    Miss,
    Oft,
    PeftMethod,
    Pissa,
    Proportional,
    Quanta,
    RandLora,
    Vera,
)
from harness.spec.resources import Resources
from harness.train.supervise import OK

UPDATES, EVERY, SPECTRA_AT = 12, 4, 7
MAY = Resources(resume="allowed", checkpoint_every=EVERY)
LORA = Lora(rank=4, scaling=Proportional())
ADALORA = AdaLora(method="adalora", rank=4, scaling=Proportional())
ADAPTERS: dict[str, Any] = {
    "lora": LORA,
    "dora": Dora(method="dora", rank=4, scaling=Proportional()),
    "pissa": Pissa(method="pissa", rank=4, scaling=Proportional()),
    "gralora": GraLora(method="gralora", rank=4, scaling=Proportional()),
    "oft": Oft(method="oft", block_size=4),
    "vera": Vera(method="vera", rank=4),
    "randlora": RandLora(method="randlora", rank=4),
    "miss": Miss(method="miss", rank=4),
    "hra": Hra(method="hra", rank=4),
    "quanta": Quanta(method="quanta", d=2),
    "quanta-norms": Quanta(method="quanta", d=2, unfreeze_norms=True),
    "full": Full(method="full"),
    "ia3": PeftMethod(method="peft", type="IA3"),
    "loha": PeftMethod(method="peft", type="LOHA", config={"r": 4}),
    "fourierft": PeftMethod(method="peft", type="FOURIERFT", config={"n_frequency": 8, "init_weights": True}),
}


@pytest.fixture
def laboratory(fresh: Any) -> Any:
    """Return a laboratory whose runs make twelve updates."""
    return longer(fresh)


def longer(laboratory: Any, **fields: Any) -> Any:
    """Return the laboratory with 24 training prompts, and other trainer fields."""
    protocol = laboratory.protocol
    task = protocol.task.model_copy(update={"training_prompts": 24})
    said = {
        "task": task,
        "spectra_at": (SPECTRA_AT,),
        "grpo": {**protocol.grpo, **fields},
        "sft": {**protocol.sft, **fields},
    }
    return replace(laboratory, protocol=protocol.model_copy(update=said))


def resumable(laboratory: Any, cell: Cell) -> JobDirectory:
    """Return the job of a run that may resume, its base made."""
    laboratory.base()
    job = laboratory.job(laboratory.planned(cell))
    job.give(MAY)
    return job


def paid() -> None:
    """Have completions rewarded by their token ids, so that a policy that knows nothing learns something."""
    from harness.train import reward

    def rewards(self: Any, completions: list[list[int]], answers: list[str], rows: list[int]) -> list[float]:
        self.counts.update(one.judgement for one in self._exam.marked(completions, answers, rows))
        return [sum(ids) % 5 / 4 for ids in completions]

    reward.ExactAnswer._rewards = rewards


def killed_after(update: int) -> Callable[[], None]:
    """Return what has a trainer's supervisor killed as soon as the checkpoint after an update is whole."""

    def inside() -> None:
        paid()
        from harness.train.checkpoints import Keeper

        save = Keeper.on_save

        def saved(self: Any, args: Any, state: Any, control: Any, **more: Any) -> None:
            save(self, args, state, control, **more)
            if state.global_step == update:
                os.kill(os.getppid(), signal.SIGKILL)
                time.sleep(60)

        Keeper.on_save = saved

    return inside


def asked_after(update: int) -> Callable[[], None]:
    """Return what has a trainer's supervisor asked to stop after an update, the trainer waiting for its word."""

    def inside() -> None:
        paid()
        from harness.train.checkpoints import Keeper

        end = Keeper.on_step_end

        def ended(self: Any, args: Any, state: Any, control: Any, **more: Any) -> Any:
            if state.global_step == update:
                os.kill(os.getppid(), signal.SIGTERM)
                while not self.asked:
                    time.sleep(0.01)
            return end(self, args, state, control, **more)

        Keeper.on_step_end = ended

    return inside


def facts(job: JobDirectory) -> dict[str, Any]:
    return json.loads((job.result / "result.json").read_text())


def rows(job: JobDirectory, kind: str) -> list[dict[str, Any]]:
    return pq.read_table(job.result / f"{kind}.parquet").to_pylist()


def log(job: JobDirectory) -> str:
    return (job.attempts()[-1] / "log.txt").read_text()


def weights(job: JobDirectory) -> str:
    (file,) = job.result.glob("*.safetensors")
    return sha256(file)


def over(laboratory: Any, cell: Cell, tmp: Path) -> JobDirectory:
    """Return the same run undisturbed, in a store of its own."""
    other = replace(laboratory, root=tmp / "undisturbed")
    job = resumable(other, cell)
    assert other.execute(job, paid) == OK, job.last_exit()
    return job


def gone(job: JobDirectory) -> None:
    """Wait until nobody is at work: a killed supervisor's trainer dies a moment later."""
    while job.state() is State.RUNNING:
        time.sleep(0.02)
    assert job.state() is State.INTERRUPTED


def resumed(laboratory: Any, cell: Cell, inside: Callable[[], None], *, last: int) -> JobDirectory:
    """Return a run that was stopped as `inside` says, went on from its checkpoint after `last`, and was committed."""
    job = resumable(laboratory, cell)
    laboratory.execute(job, inside)
    gone(job)
    found = job.checkpoint()
    assert found is not None
    assert found[0] == last
    assert laboratory.execute(job, paid) == OK, job.last_exit()
    assert facts(job)["resumed_at"] == [last]
    assert [row["step"] for row in rows(job, "steps")] == list(range(1, UPDATES + 1))
    return job


@pytest.mark.parametrize("name", ADAPTERS)
def test_what_resumes_comes_to_the_same_bits(name: str, laboratory: Any, tmp_path: Path) -> None:
    cell = Cell(algorithm="sft", adapter=ADAPTERS[name])
    job = resumed(laboratory, cell, killed_after(EVERY), last=EVERY)
    same(job, over(laboratory, cell, tmp_path), EVERY)


def same(job: JobDirectory, whole: JobDirectory, last: int) -> None:
    """Check that a run that went on after `last` came to the same as one that was never stopped."""
    assert facts(job) == {**facts(whole), "resumed_at": [last]}
    for kind in ("steps", "spectrum", "evaluation"):
        assert rows(job, kind) == rows(whole, kind)
    assert weights(job) == weights(whole)


@pytest.mark.parametrize(
    ("fields", "last"),
    [
        ({}, 4),
        ({"num_iterations": 2, "num_train_epochs": 0.5}, 4),
        ({"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}, 4),
        ({"steps_per_generation": 2}, 4),
        ({"steps_per_generation": 3}, 6),  # the first multiple of 3 updates beyond the 4 that were declared
    ],
)
def test_grpo_goes_on_after_a_whole_generation_to_the_same_bits(
    fields: dict[str, Any], last: int, laboratory: Any, tmp_path: Path
) -> None:
    laboratory = longer(laboratory, **fields)
    cell = Cell(algorithm="grpo", adapter=LORA)
    job = resumed(laboratory, cell, killed_after(last), last=last)
    whole = over(laboratory, cell, tmp_path)
    same(job, whole, last)
    said = facts(job)
    assert said["updates"] == UPDATES
    assert len(said["first_rollouts"]["texts"]) == 8
    assert said["first_update_norm"] > 0
    assert {row["step"] for row in rows(job, "spectrum")} == {1, SPECTRA_AT, UPDATES}
    assert {path.name for path in job.path.iterdir()} == {"spec.json", "resources.json", "attempts", "result"}
    assert not list(job.path.glob("attempts/*/trainer"))


@pytest.mark.parametrize(("fields", "equal"), [({}, True), ({"steps_per_generation": 3}, False)])
def test_a_run_that_is_asked_to_stop_does_so_after_the_update_under_way(
    fields: dict[str, Any], equal: bool, laboratory: Any, tmp_path: Path
) -> None:
    """In the middle of a generation the rest of it is lost, and the run is another sample of its cell from there on."""
    laboratory = longer(laboratory, **fields)
    cell = Cell(algorithm="grpo", adapter=LORA)
    job = resumed(laboratory, cell, asked_after(5), last=5)
    first = json.loads((job.attempts()[0] / "exit.json").read_text())
    assert first == {
        "reason": "preempted",
        "message": "it was asked to end, by its engine or by hand (SIGTERM)",
        "checkpoint": 5,
    }
    whole = over(laboratory, cell, tmp_path)
    if equal:
        return same(job, whole, 5)
    assert facts(job)["first_rollouts"] == facts(whole)["first_rollouts"]
    ours, theirs = rows(job, "steps"), rows(whole, "steps")
    assert ours[:5] == theirs[:5]
    assert ours[5:] != theirs[5:]
    assert weights(job) != weights(whole)
    return None


def test_a_run_may_be_stopped_as_often_as_need_be(laboratory: Any, tmp_path: Path) -> None:
    cell = Cell(algorithm="sft", adapter=LORA)
    job = resumable(laboratory, cell)
    for often, inside in enumerate((killed_after(4), asked_after(6), killed_after(8), killed_after(UPDATES)), start=1):
        laboratory.execute(job, inside)
        gone(job)
        assert len(job.attempts()) == often
    assert laboratory.execute(job, paid) == OK, job.last_exit()  # nothing is left but to score it
    whole = over(laboratory, cell, tmp_path)
    assert facts(job)["resumed_at"] == [4, 6, 8, UPDATES]
    assert facts(job) == {**facts(whole), "resumed_at": [4, 6, 8, UPDATES]}
    assert weights(job) == weights(whole)


def test_a_checkpoint_holds_no_model_card_and_nobody_is_asked_for_one(laboratory: Any) -> None:
    job = resumable(laboratory, Cell(algorithm="grpo", adapter=LORA))

    def inside() -> None:
        import socket

        def refused(*_: Any, **__: Any) -> None:
            raise AssertionError("a run connects to nobody")

        socket.socket.connect = refused
        socket.getaddrinfo = refused
        killed_after(EVERY)()

    laboratory.execute(job, inside)
    gone(job)
    found = job.checkpoint()
    assert found is not None
    assert {path.name for path in found[1].iterdir()} >= {"COMPLETE", "harness.json", "adapter_model.safetensors"}
    assert not list(job.path.rglob("README.md"))


def test_adalora_begins_again_and_says_so(laboratory: Any) -> None:
    job = resumable(laboratory, Cell(algorithm="sft", adapter=ADALORA))

    def inside() -> None:
        from harness.train import run

        run._save = lambda *_: os.kill(os.getpid(), signal.SIGKILL)

    laboratory.execute(job, inside)
    assert job.state() is State.INTERRUPTED
    assert job.checkpoint() is None
    assert "PEFT cannot load AdaLoRA's pruned ranks, so a stopped run begins again" in log(job)
    assert laboratory.execute(job) == OK, job.last_exit()
    assert facts(job)["resumed_at"] == []
    assert [row["step"] for row in rows(job, "steps")] == list(range(1, UPDATES + 1))


def test_what_may_not_resume_keeps_no_checkpoint_and_begins_again(laboratory: Any) -> None:
    job = resumable(laboratory, Cell(algorithm="sft", adapter=LORA))
    job.give(Resources())

    def inside() -> None:
        from harness.train import run

        run._save = lambda *_: os.kill(os.getpid(), signal.SIGKILL)

    laboratory.execute(job, inside)
    assert not (job.attempts()[0] / "trainer").exists()
    assert laboratory.execute(job) == OK
    assert facts(job)["resumed_at"] == []
