"""How many runs a machine has at work at a time, and which devices each sees."""

import time
from pathlib import Path

import pytest

from harness.execute import local as module
from harness.execute.local import LocalExecutor, forks, local_slots
from harness.spec.resources import Resources

DEVICES = ("0", "GPU-b", "2", "3", "4")


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "available_cores", lambda: 8)


@pytest.mark.parametrize(("cpus", "slots"), [(1, 8), (2, 4), (3, 2), (8, 1)])
def test_without_devices_cores_decide(cpus: int, slots: int) -> None:
    assert local_slots(Resources(cpus=cpus), ()) == [None] * slots


@pytest.mark.parametrize(
    ("gpus", "slots"),
    [
        (1, [("0",), ("GPU-b",), ("2",), ("3",), ("4",)]),
        (2, [("0", "GPU-b"), ("2", "3")]),  # one is left over
        (5, [DEVICES]),
    ],
)
def test_whole_devices_belong_to_one_run(gpus: int, slots: list[tuple[str, ...]]) -> None:
    assert local_slots(Resources(gpus=gpus), DEVICES) == slots


def test_runs_that_share_devices_are_spread_over_them_first() -> None:
    assert local_slots(Resources(gpus=1 / 3), ("0", "1")) == [("0",), ("1",)] * 3
    assert local_slots(Resources(gpus=0.5), ("0",)) == [("0",), ("0",)]


@pytest.mark.parametrize(
    ("resources", "devices", "message"),
    [
        (Resources(gpus=2), ("0",), "a run wants 2 GPUs, and this machine has 1 devices."),
        (Resources(gpus=0.5), (), "a run wants 0.5 GPUs, and this machine has 0 devices."),
        (Resources(cpus=9), (), "a run wants 9 cores, and this machine has 8 cores."),
    ],
)
def test_too_few_is_told_with_the_remedy(resources: Resources, devices: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message) as told:
        local_slots(resources, devices)
    assert str(told.value).endswith("Lower it in the protocol, or name another --executor.")


def test_who_names_a_number_gets_it() -> None:
    assert local_slots(Resources(), (), 3) == [None] * 3
    assert local_slots(Resources(gpus=1), ("0", "1"), 3) == [("0",), ("1",), ("0",)]
    assert local_slots(Resources(gpus=1), ("0", "1"), 1) == [("0",)]
    assert local_slots(Resources(cpus=9), (), 2) == [None] * 2


def test_only_runs_of_one_thread_without_a_device_are_forked() -> None:
    assert forks(Resources())
    for other in (Resources(cpus=2), Resources(gpus=1), Resources(gpus=0.5), Resources(launcher="accelerate")):
        assert not forks(other)


@pytest.mark.parametrize(
    ("resources", "devices", "seen"),
    [
        (Resources(gpus=2), ("0", "GPU-b", "2", "3"), ["0,GPU-b", "2,3"]),
        (Resources(gpus=0.5), ("5",), ["5", "5"]),
        (Resources(cpus=4), (), ["untouched", "untouched"]),
    ],
)
def test_each_worker_sees_its_slots_devices(
    resources: Resources, devices: tuple[str, ...], seen: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "untouched")
    tell = ["sh", "-c", 'printf %s "$CUDA_VISIBLE_DEVICES" > "$1.part"; mv "$1.part" "$1"; sleep 600', "sh"]
    executor = LocalExecutor(tmp_path / "log", tell, local_slots(resources, devices), grace=1.0)
    jobs = [tmp_path / name for name in ("one", "two", "three")]
    try:
        handles = executor.submit(jobs)
        standing = executor.poll(handles)
        assert [standing[handle] for handle in handles] == ["running", "running", "queued"]
        deadline = time.monotonic() + 60
        while not all(job.exists() for job in jobs[:2]) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert [job.read_text() for job in jobs[:2]] == seen
    finally:
        executor.close()
