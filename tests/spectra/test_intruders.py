"""Intruders against the definition by full decompositions, against PEFT's own count, and against planted ones."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora.intruders import reduce_intruder_dimension
from torch import nn

from harness.spectra.basis import singular_basis
from harness.spectra.dense import Dense
from harness.spectra.dora import Dora
from harness.spectra.intruders import Intruders, intruders
from harness.spectra.lora import LowRank
from harness.spectra.spectrum import Source

SHAPES = [(40, 40), (50, 30), (30, 50), (300, 300), (340, 280), (280, 340)]


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def weight_of(rows: int, columns: int) -> torch.Tensor:
    """Return a matrix whose singular values fall as a power, so that its leading vectors are well apart."""
    p = min(rows, columns)
    u, v = (torch.linalg.qr(normal(n, p, seed=seed)).Q for n, seed in ((rows, 11), (columns, 12)))
    return u * torch.arange(1, p + 1, dtype=torch.float64).pow(-0.5) @ v.T


def low_rank(rows: int, columns: int, size: float, r: int = 6, seed: int = 1) -> LowRank:
    update = LowRank(normal(rows, r, seed=seed), normal(r, columns, seed=seed + 1), 1.0)
    return LowRank(update.b_mr, update.a_rn, size / update.frobenius())


def matrix(update: LowRank) -> torch.Tensor:
    return update.multiplier * update.b_mr @ update.a_rn


def definition(weight: torch.Tensor, change: torch.Tensor, k: int = 10) -> torch.Tensor:
    """Return the largest absolute cosine of each of the k leading left vectors of the sum with all of the base's."""
    base, tuned = (torch.linalg.svd(w, full_matrices=False).U for w in (weight, weight + change))
    return (tuned.T @ base).abs().max(dim=1).values[:k]


def counts(found: Intruders) -> list[tuple[float, int, int]]:
    return [(count.epsilon, count.least, count.most) for count in found.counts]


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
@pytest.mark.parametrize("size", [0.1, 2.0, 20.0])
@pytest.mark.parametrize("form", ["factors", "operator", "operator and weight"])
def test_counts_are_those_of_the_definition(rows: int, columns: int, size: float, form: str) -> None:
    weight, update = weight_of(rows, columns), low_rank(rows, columns, size)
    truth = definition(weight, matrix(update))
    given = update if form == "factors" else Dense(matrix(update), Source.FP32_DIFFERENCE, "float64")
    found = intruders(given, singular_basis(weight), weight=weight if form == "operator and weight" else None)
    assert found.cosines == pytest.approx(truth.tolist(), abs=2e-5)
    assert counts(found) == [(e, int((truth < e).sum()), int((truth < e).sum())) for e in (0.3, 0.5, 0.7)]
    assert (found.settled, set(found.beyond)) == (True, {0.0})
    values = torch.linalg.svdvals(weight + matrix(update))[:10]
    assert found.singular_values == pytest.approx(values.tolist(), rel=1e-6)


@pytest.mark.parametrize(("rows", "columns"), [(40, 40), (340, 280), (280, 340)])
def test_dora_is_counted_through_its_products(rows: int, columns: int) -> None:
    weight, factors = weight_of(rows, columns), low_rank(rows, columns, 4.0)
    magnitude = weight.norm(dim=1) * (1.5 + 0.5 * torch.sin(torch.arange(rows)))
    update = Dora(weight, factors.b_mr, factors.a_rn, factors.multiplier, magnitude)
    truth = definition(weight, update.dense())
    found = intruders(update, singular_basis(weight))
    assert found.cosines == pytest.approx(truth.tolist(), abs=1e-4)
    assert [count.least for count in found.counts] == [int((truth < e).sum()) for e in (0.3, 0.5, 0.7)]


@pytest.mark.parametrize(("rows", "columns"), [(48, 48), (64, 32), (32, 64)])
@pytest.mark.parametrize("size", [0.5, 3.0, 12.0])
def test_peft_counts_the_same(rows: int, columns: int, size: float) -> None:
    base = nn.Sequential(nn.Linear(columns, rows, bias=False)).double()
    weight, update = weight_of(rows, columns), low_rank(rows, columns, size)
    with torch.no_grad():
        base[0].weight.copy_(weight)  # type: ignore[operator]
    config = LoraConfig(r=6, lora_alpha=6, target_modules=["0"])
    model = get_peft_model(base, config, autocast_adapter_dtype=False)  # pyright: ignore[reportArgumentType]
    layer = model.get_submodule("base_model.model.0")
    with torch.no_grad():
        layer.get_submodule("lora_B.default").weight.copy_(update.multiplier * update.b_mr)  # type: ignore[operator]
        layer.get_submodule("lora_A.default").weight.copy_(update.a_rn)  # type: ignore[operator]
    said: list[str] = []
    reduce_intruder_dimension(model, logging_sink=said.append)
    number = 0 if said[0].endswith("No intruders") else int(said[0].rsplit(" ", 1)[1])
    found = intruders(update, singular_basis(weight), epsilons=(0.5,))
    assert counts(found) == [(0.5, number, number)]
    assert number > 0 or size < 3


@pytest.mark.parametrize("n", [20, 300])
def test_planted_intruders_are_found(n: int) -> None:
    """Base diag(n, .., 1), and 4 n along (e_1 + .. + e_m) / sqrt(m) on the left and right, m = 16.

    Its direction has the cosine 1/4 with each of 16 base vectors, up to what the base's own 16 values add.
    """
    weight = torch.diag(torch.arange(n, 0, -1, dtype=torch.float64))
    direction = torch.zeros(n, 1, dtype=torch.float64)
    direction[:16] = 0.25
    planted = LowRank(direction, direction.T, 4.0 * n)
    found = intruders(planted, singular_basis(weight), k=1)
    assert found.cosines[0] == pytest.approx(0.25, abs=0.05)
    assert counts(found) == [(0.3, 1, 1), (0.5, 1, 1), (0.7, 1, 1)]


def test_two_by_two_in_closed_form() -> None:
    """[[2, 0], [0, 1]] + [[0, c], [c, 0]] is symmetric: its eigenvectors are turned by theta, tan 2 theta = 2 c."""
    c = 0.75
    update = LowRank(torch.eye(2, dtype=torch.float64), torch.tensor([[0.0, c], [c, 0.0]], dtype=torch.float64))
    found = intruders(update, singular_basis(torch.diag(torch.tensor([2.0, 1.0]))))
    theta = torch.atan(torch.tensor(2 * c)) / 2
    assert found.cosines == pytest.approx([float(theta.cos())] * 2, abs=1e-6)
    # (3 +- sqrt(1 + 4 c^2)) / 2
    assert found.singular_values == pytest.approx(((3 + 3.25**0.5) / 2, (3 - 3.25**0.5) / 2), rel=1e-6)


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_no_update_brings_no_intruder(rows: int, columns: int) -> None:
    nothing = LowRank(torch.zeros(rows, 2), normal(2, columns).float())
    for weight in (weight_of(rows, columns), torch.eye(rows, columns)):  # the identity has one value throughout
        found = intruders(nothing, singular_basis(weight))
        assert found.cosines == pytest.approx([1.0] * 10, abs=1e-6)
        assert counts(found) == [(0.3, 0, 0), (0.5, 0, 0), (0.7, 0, 0)]


@pytest.mark.parametrize(("rows", "columns"), [(40, 40), (340, 280)])
def test_a_truncated_basis_bounds_the_count(rows: int, columns: int) -> None:
    weight, update = weight_of(rows, columns), low_rank(rows, columns, 3.0)
    truth = definition(weight, matrix(update))
    ranges = set()
    for keep in (1, 3, 12, 25, 39, min(rows, columns) - 1):
        found = intruders(update, singular_basis(weight, keep), weight=weight)
        assert all(cosine <= exact + 1e-4 for cosine, exact in zip(found.cosines, truth, strict=True))
        reach = [max(pair) for pair in zip(found.cosines, found.beyond, strict=True)]
        assert all(bound >= exact - 1e-4 for bound, exact in zip(reach, truth, strict=True))
        for count in found.counts:
            assert count.least <= int((truth < count.epsilon).sum()) <= count.most
            ranges.add(count.most > count.least)
        assert found.settled == all(count.least == count.most for count in found.counts)
    assert ranges == {True, False}


def test_what_settles_a_suspect() -> None:
    """Base diag(8, .., 1), keep 4; a tuned leading vector (.4 on each of the first four, .6 on the fifth).

    4 * .16 + .36 = 1: no kept cosine reaches .5, and the one that was not kept is .6 = sqrt(1 - .64).
    """
    weight = torch.diag(torch.arange(8.0, 0, -1)).double()
    direction = torch.tensor([[0.4, 0.4, 0.4, 0.4, 0.6, 0, 0, 0]], dtype=torch.float64).T
    update = LowRank(direction, direction.T, 1e7)
    found = intruders(update, singular_basis(weight, 4), k=1, epsilons=(0.3, 0.5, 0.61), weight=weight)
    assert found.cosines[0] == pytest.approx(0.4, abs=1e-5)
    assert found.beyond[0] == pytest.approx(0.6, abs=1e-5)
    assert counts(found) == [(0.3, 0, 0), (0.5, 0, 1), (0.61, 1, 1)]
    assert not found.settled
    whole = intruders(update, singular_basis(weight), k=1, epsilons=(0.3, 0.5, 0.61))
    assert counts(whole) == [(0.3, 0, 0), (0.5, 0, 0), (0.61, 1, 1)]


def test_a_cosine_at_the_threshold_is_marked() -> None:
    direction = torch.tensor([[0.8, 0.6, 0.0]], dtype=torch.float64).T
    update = LowRank(direction, direction.T, 1e6)
    basis = singular_basis(torch.diag(torch.tensor([3.0, 2.0, 1.0])))
    found = intruders(update, basis, k=1, epsilons=(0.5, 0.80005))
    assert [count.borderline for count in found.counts] == [0, 1]
    assert found.borderline
    assert not intruders(update, basis, k=1).borderline


def test_two_calls_agree_to_the_bit() -> None:
    weight, update = weight_of(300, 300), low_rank(300, 300, 3.0)
    basis = singular_basis(weight)
    assert intruders(update, basis) == intruders(update, basis)


def test_questions_that_have_no_answer_raise() -> None:
    weight, update = weight_of(40, 30), low_rank(40, 30, 1.0)
    basis = singular_basis(weight)
    with pytest.raises(ValueError, match=r"an update \(40, 30\) and a basis of \(30, 40\) are not of one matrix"):
        intruders(update, singular_basis(weight.T))
    with pytest.raises(ValueError, match="Pass the weight as well"):
        intruders(update, singular_basis(weight, 5))
    with pytest.raises(ValueError, match=r"a weight \(30, 40\) are not of one matrix"):
        intruders(update, basis, weight=weight.T)
    with pytest.raises(ValueError, match="k 0"):
        intruders(update, basis, k=0)
    with pytest.raises(ValueError, match="thresholds in"):
        intruders(update, basis, epsilons=(0.5, 1.5))


def test_a_basis_of_few_vectors_has_few_directions() -> None:
    found = intruders(low_rank(3, 7, 1.0, r=2), singular_basis(normal(3, 7)))
    assert (len(found.cosines), len(found.singular_values), len(found.beyond)) == (3, 3, 3)
