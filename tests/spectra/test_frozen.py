"""Spectra of weights and of what tuning changed, against the decomposition; what is kept, and what is not."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from harness.spectra import frozen
from harness.spectra.changes import changes, unshared
from harness.spectra.checkpoint import Checkpoint, CheckpointError
from harness.spectra.frozen import Kept, Measured, content_key, frozen_spectra, measured
from harness.spectra.spectrum import Source

NOWHERE = Kept(None)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def write(folder: Path, **tensors: torch.Tensor) -> Checkpoint:
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "model.safetensors")
    return Checkpoint(folder)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [(60, 90), (90, 60), (1, 5), (70, 70)])
def test_all_values_are_those_of_the_decomposition(dtype: torch.dtype, shape: tuple[int, int], tmp_path: Path) -> None:
    weight = draw(*shape).to(dtype)
    name, found = next(frozen_spectra(write(tmp_path, w=weight, bias=torch.ones(3)), NOWHERE))
    sigma = torch.linalg.svdvals(weight.double())
    assert name == "w"
    assert found.spectrum.complete
    assert found.spectrum.singular_values == pytest.approx(sigma.tolist(), rel=1e-6)
    energy = sigma**2
    assert found.spectrum.participation_ratio == pytest.approx(float(energy.sum() ** 2 / (energy**2).sum()), rel=1e-6)
    assert (found.tail is not None) == (min(shape) >= 50)


def test_leading_values_come_with_the_norms_of_the_whole(tmp_path: Path) -> None:
    weight = draw(80, 120).float()
    _, found = next(frozen_spectra(write(tmp_path, w=weight), NOWHERE, top=5))
    sigma = torch.linalg.svdvals(weight.double())
    assert not found.spectrum.complete
    assert found.spectrum.singular_values == pytest.approx(sigma[:5].tolist(), rel=1e-4)
    assert found.spectrum.frobenius == pytest.approx(float(sigma.norm()), rel=1e-6)
    expected = float((sigma**2).sum() ** 2 / (sigma**4).sum())
    assert found.spectrum.participation_ratio == pytest.approx(expected, rel=1e-6)
    assert (found.spectrum.effective_rank, found.tail) == (None, None)


def test_what_is_kept_is_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the matrix has another name, in another file; another type, shape or question is another matrix."""
    weight, kept = draw(60, 60).float(), Kept(tmp_path / "kept")
    first = list(frozen_spectra(write(tmp_path / "a", w=weight, zero=torch.zeros(2, 3)), kept))
    asked: list[tuple[int, ...]] = []

    def counted(matrix: torch.Tensor, top: int | None = None) -> Measured:
        asked.append(tuple(matrix.shape))
        return measured(matrix, top)

    monkeypatch.setattr(frozen, "measured", counted)
    again = list(frozen_spectra(write(tmp_path / "b", other=weight, zero=torch.zeros(2, 3)), kept))
    assert [found for _, found in again] == [found for _, found in first]
    assert asked == []
    list(frozen_spectra(write(tmp_path / "c", w=weight.view(30, 120), d=weight.double()), kept))
    list(frozen_spectra(write(tmp_path / "d", w=weight), kept, top=3))
    assert asked == [(60, 60), (30, 120), (60, 60)]


def test_one_bit_is_another_matrix() -> None:
    zero = torch.zeros(2, 2)
    keys = {
        content_key((zero,), None),
        content_key((-zero,), None),
        content_key((zero.view(1, 4),), None),
        content_key((zero.view(torch.int32),), None),
        content_key((zero,), 3),
        content_key((zero, zero), None),
        content_key((zero,), None, "null"),
    }
    assert len(keys) == 7
    assert content_key((torch.eye(3).T,), None) == content_key((torch.eye(3),), None)


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"spectrum": {}, "tail": null}'])
def test_a_damaged_file_is_made_again(damage: str, tmp_path: Path) -> None:
    checkpoint, kept = write(tmp_path / "a", w=draw(5, 5)), Kept(tmp_path / "kept")
    first = list(frozen_spectra(checkpoint, kept))
    [file] = (tmp_path / "kept").rglob("*.json")
    whole = file.read_text()
    file.write_text(damage)
    assert list(frozen_spectra(checkpoint, kept)) == first
    assert file.read_text() == whole


SLOW = """
import sys, time
from pathlib import Path
from harness.spectra import frozen
from harness.spectra.checkpoint import Checkpoint
measure = frozen.measured
def slowly(matrix, top=None):
    print("measuring", flush=True)
    time.sleep(float(sys.argv[3]))
    return measure(matrix, top)
frozen.measured = slowly
for name, _ in frozen.frozen_spectra(Checkpoint(Path(sys.argv[1])), frozen.Kept(Path(sys.argv[2]))):
    print(name, flush=True)
"""


@pytest.mark.slow
def test_a_killed_command_goes_on_where_it_stopped(tmp_path: Path) -> None:
    write(tmp_path / "model", **{f"w{i}": draw(6, 6, seed=i) for i in range(4)})
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SLOW, str(tmp_path / "model"), str(tmp_path / "kept")]
    with subprocess.Popen([*command, "1"], stdout=subprocess.PIPE, text=True, env=environment) as first:
        assert first.stdout is not None
        lines = [first.stdout.readline().strip() for _ in range(3)]
        time.sleep(0.2)
        first.send_signal(signal.SIGKILL)
    assert lines == ["measuring", "w0", "measuring"]
    files = sorted((tmp_path / "kept").rglob("*.json"))
    assert len(files) == 1
    assert json.loads(files[0].read_text())["spectrum"]["rows"] == 6
    done = subprocess.run([*command, "0"], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split() == ["w0", "measuring", "w1", "measuring", "w2", "measuring", "w3"]


PEAK = """
import sys
from pathlib import Path
from harness.spectra import frozen
from harness.spectra.checkpoint import Checkpoint
for _ in frozen.frozen_spectra(Checkpoint(Path(sys.argv[1])), frozen.Kept(None), top=1):
    pass
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_peak_of_memory_does_not_grow_with_the_layers(tmp_path: Path) -> None:
    """Matrices of 4 MiB: 48 of them are 192 MiB."""
    peaks: list[int] = []
    for count in (4, 48):
        matrices = {f"w{i}": draw(1024, 1, seed=i).float() @ draw(1, 1024).float() for i in range(count)}
        write(tmp_path / str(count), **matrices)
        command = [sys.executable, "-c", PEAK, str(tmp_path / str(count))]
        # glibc otherwise keeps up to 100 MiB of freed blocks of this size for later, however many layers there are
        large = {"MALLOC_MMAP_THRESHOLD_": "1048576"}
        environment = {**os.environ, **large, "PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 16 * 1024  # KiB: four matrices


def tuned(tmp_path: Path, dtype: torch.dtype) -> tuple[Checkpoint, Checkpoint, torch.Tensor]:
    """Return a model after an update of rank 2 and a hundredth of its norm, the one before, and the update."""
    before = draw(100, 80).float().to(dtype)
    update = draw(100, 2, seed=1) @ draw(2, 80, seed=2)
    update *= 1e-2 * float(before.double().norm()) / float(update.norm())
    after = (before.double() + update).to(dtype)
    return write(tmp_path / "after", w=after), write(tmp_path / "before", w=before), update


def test_a_change_in_float32_is_the_update(tmp_path: Path) -> None:
    after, before, update = tuned(tmp_path, torch.float32)
    [change] = changes(after, before, NOWHERE)
    sigma = torch.linalg.svdvals(update)
    assert (change.source, change.dtype, change.null) == (Source.FP32_DIFFERENCE, "float32", None)
    assert change.found.spectrum.singular_values[:2] == pytest.approx(sigma[:2].tolist(), rel=1e-4)
    assert change.found.spectrum.effective_rank == pytest.approx(2, abs=0.1)
    assert change.changed_share > 0.99


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_change_in_low_precision_is_marked_and_its_null_shows_why(dtype: torch.dtype, tmp_path: Path) -> None:
    """Rounding alone reads as many ranks more than the update's two and the null's eight."""
    after, before, _ = tuned(tmp_path, dtype)
    [change] = changes(after, before, Kept(tmp_path / "kept"))
    assert (change.source, change.dtype) == (Source.LOW_PRECISION_DIFFERENCE, str(dtype).removeprefix("torch."))
    same = (after.tensor("w") == before.tensor("w")).double().mean()
    assert change.changed_share == pytest.approx(1 - float(same))
    assert change.null is not None
    for found, rank in ((change.found, 2), (change.null, 8)):
        assert found.spectrum.effective_rank is not None
        assert found.spectrum.effective_rank > 1.2 * rank
        assert len([s for s in found.spectrum.singular_values if s > 0]) > 70
    assert change.null.spectrum.frobenius == pytest.approx(change.found.spectrum.frobenius, rel=0.1)
    assert list(changes(after, before, Kept(tmp_path / "kept"))) == [change]
    assert list(changes(after, before, NOWHERE)) == [change]


def test_an_unchanged_matrix_has_no_null(tmp_path: Path) -> None:
    weight = draw(4, 4).bfloat16()
    [change] = changes(write(tmp_path / "a", w=weight), write(tmp_path / "b", w=weight), NOWHERE)
    assert (change.found.spectrum.frobenius, change.changed_share, change.null) == (0.0, 0.0, None)


def test_matrices_without_a_partner_are_told(tmp_path: Path) -> None:
    one = write(tmp_path / "a", w=draw(4, 4), e=draw(5, 4), own=draw(2, 2), v=torch.ones(3))
    two = write(tmp_path / "b", w=draw(4, 4), e=draw(6, 4), theirs=draw(2, 2), v=torch.ones(3))
    assert unshared(one, two) == ("e", "own", "theirs")
    assert [change.name for change in changes(one, two, NOWHERE)] == ["w"]
    three = write(tmp_path / "c", x=draw(4, 4))
    with pytest.raises(CheckpointError, match=r"no matrix of the same name and shape as in .*\. Name the base"):
        next(changes(one, three, NOWHERE))


def test_a_matrix_that_diverged_is_named_when_its_turn_comes(tmp_path: Path) -> None:
    bad: Any = draw(3, 3)
    bad[0, 0] = float("nan")
    found = frozen_spectra(write(tmp_path, a=draw(3, 3), b=bad), NOWHERE)
    assert next(found)[0] == "a"
    with pytest.raises(CheckpointError, match="b: holds NaN or infinity"):
        next(found)
