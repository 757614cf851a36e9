"""DoRA's updates against what PEFT itself merges, in float64, and against arithmetic on dW formed directly."""

import copy
from dataclasses import fields

import mpmath
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from harness.spectra.dora import Dora
from harness.spectra.rescaled import DoraBase, Rescaled
from harness.spectra.spectrum import Source

SHAPES = [(7, 5), (5, 7), (40, 40), (96, 30), (30, 96)]


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def trained(rows: int, columns: int, r: int = 3, seed: int = 0) -> Dora:
    """Return an update whose rows grew by some 2 percent, with a direction of some 10 percent of the base."""
    weight, b, a = (
        normal(rows, columns, seed=seed),
        0.1 * normal(rows, r, seed=seed + 1),
        normal(r, columns, seed=seed + 2),
    )
    magnitude = weight.norm(dim=1) * (1 + 0.02 * normal(rows, seed=seed + 3))
    return Dora(weight, b, a, 0.7, magnitude)


def direct(weight: torch.Tensor, b: torch.Tensor, a: torch.Tensor, s: float, magnitude: torch.Tensor) -> torch.Tensor:
    """Return W' - W0 by the paper's formula."""
    tuned = weight + s * b @ a
    return magnitude.view(-1, 1) * tuned / tuned.norm(dim=1, keepdim=True) - weight


def adapted(rows: int, columns: int, dtype: torch.dtype, seed: int = 0, **fields: object) -> nn.Module:
    torch.manual_seed(seed)  # PEFT draws from the global generator
    base = nn.Sequential(nn.Linear(columns, rows, bias=False)).to(dtype)
    config = LoraConfig(r=3, lora_alpha=6, target_modules=["0"], use_dora=True, **fields)  # pyright: ignore[reportArgumentType]
    return get_peft_model(base, config)  # pyright: ignore[reportArgumentType] - any module is adapted


def read(model: nn.Module) -> Dora:
    layer = model.get_submodule("base_model.model.0")
    weight, b, a = (layer.get_submodule(x).weight for x in ("base_layer", "lora_B.default", "lora_A.default"))
    magnitude = layer.get_submodule("lora_magnitude_vector.default").weight
    return Dora(weight, b, a, 2.0, magnitude)  # type: ignore[arg-type]


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_the_update_is_what_peft_merges(rows: int, columns: int) -> None:
    model = adapted(rows, columns, torch.float64)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter += 0.1 * torch.randn_like(parameter)
    found = read(model)
    base = found.weight_mn.clone()
    merged = copy.deepcopy(model).merge_and_unload()  # pyright: ignore[reportCallIssue] - a PeftModel
    truth = merged.get_submodule("0").weight.detach() - base  # type: ignore[union-attr]
    assert torch.linalg.norm(found.dense() - truth) < 1e-13 * torch.linalg.norm(base)
    assert found.frobenius() == pytest.approx(float(truth.norm()), rel=1e-12)
    assert found.spectrum().singular_values == pytest.approx(torch.linalg.svdvals(truth).tolist(), rel=1e-9, abs=1e-13)
    assert (found.rows, found.columns, found.dtype, found.source) == (rows, columns, "float64", "factors")


@pytest.mark.parametrize("base_dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [True, False])
def test_an_untrained_adapter_changes_nothing(base_dtype: torch.dtype, autocast: bool) -> None:
    torch.manual_seed(0)
    base = nn.Sequential(nn.Linear(4096, 64, bias=False)).to(base_dtype)
    config = LoraConfig(r=3, lora_alpha=6, target_modules=["0"], use_dora=True)
    found = read(get_peft_model(base, config, autocast_adapter_dtype=autocast))  # pyright: ignore[reportArgumentType]
    assert found.frobenius() == 0.0
    assert found.parts() == (0.0, 0.0)
    assert not found.dense().any()
    spectrum = found.spectrum()
    assert (spectrum.singular_values, spectrum.effective_rank) == ((0.0,) * 64, None)
    assert found.directions(4).shape == (64, 0)
    null = found.random(torch.Generator().manual_seed(0))
    assert null is not None
    assert (null.frobenius(), found.source, found.error) == (0.0, Source.FACTORS, 0.0)


def test_what_a_bfloat16_base_rounds_at_the_start_is_told() -> None:
    # bfloat16 has steps of 2^-8 to 2^-7 of a number: rounding to it is off by 2^-8 / sqrt(12) = .0011 to .0023
    found = read(adapted(64, 512, torch.bfloat16))
    assert 0.0011 < found.start_rounding / float(torch.linalg.norm(found.weight_mn.double())) < 0.0023
    # the magnitudes that PEFT stores are off by just that much
    layer = adapted(64, 512, torch.bfloat16).get_submodule("base_model.model.0")
    magnitude = layer.get_submodule("lora_magnitude_vector.default").weight.detach().double()  # type: ignore[operator]
    off = (magnitude - found.squares_m.sqrt()).norm()
    assert found.start_rounding == pytest.approx(float(off), rel=1e-6)
    assert read(adapted(64, 512, torch.float32)).start_rounding < 1e-7 * float(found.weight_mn.double().norm())


def test_a_trained_bfloat16_base_keeps_what_its_start_rounded() -> None:
    model = adapted(64, 512, torch.bfloat16)
    model.get_submodule("base_model.model.0.lora_B.default").weight.data.fill_(1e-9)  # type: ignore[union-attr,operator]
    found = read(model)
    assert found.frobenius() == pytest.approx(found.start_rounding, rel=1e-4)


STARTS = (None, torch.bfloat16, torch.float16)


def moved(held: torch.dtype, began: torch.dtype | None, size: float, told: bool = False) -> Dora:
    """Return an update of a weight held in `held` that moved by `size`, from row norms rounded to `began`.

    The magnitudes themselves are float32; `told` says as the run does in which type they began.
    """
    weight = normal(300, 200).to(held)
    a, b = normal(3, 200, seed=2).float(), (0.01 * size * normal(300, 3, seed=1)).float()
    norms = weight.double().norm(dim=1)
    start = norms if began is None else norms.to(began).double()
    magnitude = (start * (1 + 0.1 * size * normal(300, seed=3))).float()
    return Dora(weight, b, a, 1.0, magnitude, began=(began or torch.float32) if told else None)


def assert_marked(found: Dora, began: torch.dtype | None) -> None:
    if began is None:
        assert (found.source, found.dtype) == (Source.FACTORS, "float32")
        assert found.random(torch.Generator().manual_seed(0)) is not None
    else:
        assert (found.source, found.dtype) == (Source.LOW_PRECISION_DIFFERENCE, str(began).removeprefix("torch."))
        assert found.random(torch.Generator().manual_seed(0)) is None


@pytest.mark.parametrize("size", [1e-3, 1e-2, 1e-1])
@pytest.mark.parametrize("began", STARTS)
@pytest.mark.parametrize("held", [torch.bfloat16, torch.float16, torch.float32])
def test_a_start_that_a_run_rounded_is_marked(held: torch.dtype, began: torch.dtype | None, size: float) -> None:
    """What the start rounded reads as rank: the exact start is not marked, in whatever type the weight is stored."""
    assert_marked(moved(held, began, size, told=True), began)


@pytest.mark.parametrize(
    ("held", "began", "size"),
    [
        (torch.bfloat16, torch.bfloat16, 1e-3),
        (torch.bfloat16, torch.bfloat16, 1e-2),
        (torch.bfloat16, torch.bfloat16, 1e-1),
        (torch.bfloat16, None, 1e-3),  # trained in float32 from what was released in bfloat16
        (torch.bfloat16, None, 1e-2),
        (torch.float16, torch.float16, 1e-3),
        (torch.float16, None, 1e-3),
        (torch.float32, torch.bfloat16, 1e-3),  # trained in bfloat16 from what was released in float32
        (torch.float32, None, 1e-3),
        (torch.float32, None, 1e-1),
    ],
)
def test_magnitudes_tell_where_they_began(held: torch.dtype, began: torch.dtype | None, size: float) -> None:
    assert_marked(moved(held, began, size), began)
    assert_marked(moved(torch.float32 if began is None else held, began, size), began)


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float32])
def test_magnitudes_that_were_rounded_after_training_are_marked(stored: torch.dtype) -> None:
    exact = moved(torch.float32, None, 1e-2)
    magnitude = (exact.weight_mn.double() + exact.dense()).norm(dim=1).bfloat16().to(stored)
    found = Dora(exact.weight_mn, exact.b_mr, exact.a_rn, 1.0, magnitude)
    assert (found.source, found.dtype) == (Source.LOW_PRECISION_DIFFERENCE, "bfloat16")


@pytest.mark.parametrize("began", [*STARTS, torch.float32])
@pytest.mark.parametrize("size", [1e-4, 1e-2, 1.0])
def test_what_the_start_rounded_is_within_the_bound(began: torch.dtype | None, size: float) -> None:
    """Against what training made: the same change from exact row norms."""
    found, exact = moved(torch.float32, began, size, told=began is not None), moved(torch.float32, None, size)
    spectrum, truth = found.spectrum(), torch.linalg.svdvals(exact.dense())
    off = (torch.tensor(spectrum.singular_values, dtype=torch.float64) - truth).abs()
    least = spectrum.kernel.floor * spectrum.singular_values[0]
    assert bool((off <= spectrum.kernel.bound * truth.clamp(min=least)).all())
    assert spectrum.kernel.floor == 1.0 or began is not torch.bfloat16 or size == 1.0


def test_a_magnitude_alone_is_an_update() -> None:
    weight = normal(9, 6)
    found = Dora(weight, torch.zeros(9, 2), torch.ones(2, 6), 1.0, 1.01 * weight.norm(dim=1))
    # every row a hundredth longer
    assert torch.allclose(found.dense(), 0.01 * weight, rtol=1e-12, atol=0)
    assert found.parts() == pytest.approx((0.01 * float(weight.norm()), 0.0), rel=1e-12)


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_the_identities_hold(rows: int, columns: int) -> None:
    found = trained(rows, columns)
    truth = direct(found.weight_mn, *_given(rows, columns))
    assert torch.allclose(found.dense(), truth, rtol=1e-12, atol=1e-13)
    gram = truth @ truth.T if rows <= columns else truth.T @ truth
    assert torch.linalg.norm(found.gram() - gram) < 1e-12 * torch.linalg.norm(gram)
    assert found.frobenius() == pytest.approx(float(truth.norm()), rel=1e-12)
    scaling, direction = found.parts()
    assert scaling == pytest.approx(float((found.change_m.view(-1, 1) * found.weight_mn).norm()), rel=1e-12)
    assert direction == pytest.approx(float((found.b_mr @ found.a_rn).norm()), rel=1e-12)
    x, y = normal(columns, 4, seed=8), normal(rows, 4, seed=9)
    assert torch.allclose(found.times(x), truth @ x, rtol=1e-11, atol=1e-12)
    assert torch.allclose(found.adjoint_times(y), truth.T @ y, rtol=1e-11, atol=1e-12)
    assert found.times(x.float()).dtype == torch.float32


def _given(rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor, float, torch.Tensor]:
    magnitude = normal(rows, columns).norm(dim=1) * (1 + 0.02 * normal(rows, seed=3))
    return 0.1 * normal(rows, 3, seed=1), normal(3, columns, seed=2), 0.7, magnitude


@pytest.mark.parametrize("size", [1e-2, 1e-5, 1e-8])
def test_small_updates_are_resolved_down_to_their_floor(size: float) -> None:
    """Against 50 digits: the smaller dW is beside W0, the more of it m / ||w|| - 1 loses, and the floor says so."""
    weight, b, a = normal(8, 6), size * normal(8, 2, seed=1), normal(2, 6, seed=2)
    magnitude = weight.norm(dim=1) * (1 + size * normal(8, seed=3))
    spectrum = Dora(weight, b, a, 0.7, magnitude).spectrum()
    with mpmath.workdps(50):
        w = mpmath.matrix(weight.tolist())
        tuned = w + mpmath.mpf(0.7) * mpmath.matrix(b.tolist()) * mpmath.matrix(a.tolist())
        for i, m in enumerate(magnitude.tolist()):
            ratio = mpmath.mpf(m) / mpmath.norm(tuned[i, :], 2)
            for j in range(6):
                tuned[i, j] *= ratio
        exact = [float(value) for value in mpmath.svd_r(tuned - w, compute_uv=False)]
    resolved = [
        pair for pair in zip(spectrum.singular_values, exact, strict=True) if pair[1] > spectrum.kernel.floor * exact[0]
    ]
    assert len(resolved) == 6 or size == 1e-8
    assert len(resolved) >= 2
    for value, truth in resolved:
        assert value == pytest.approx(truth, rel=spectrum.kernel.bound)


@pytest.mark.parametrize(("rows", "columns"), [(520, 600), (600, 520)])
def test_the_gram_matrix_of_larger_ones_keeps_its_bound(rows: int, columns: int) -> None:
    found = trained(rows, columns)
    spectrum = found.spectrum()
    truth = torch.linalg.svdvals(found.dense())
    assert spectrum.kernel.name == "dora gram"
    resolved = truth > spectrum.kernel.floor * truth[0]
    assert int(resolved.sum()) == 520
    off = (torch.tensor(spectrum.singular_values, dtype=torch.float64) / truth - 1).abs()
    assert float(off[resolved].max()) < 1e-8
    assert spectrum.frobenius == pytest.approx(found.frobenius(), rel=1e-10)
    u = torch.linalg.svd(found.dense()).U[:, :3]
    assert torch.linalg.svdvals(u.T @ found.directions(3)).tolist() == pytest.approx([1.0] * 3, abs=1e-6)


def test_one_base_serves_many_updates() -> None:
    first = trained(520, 520)
    base = DoraBase.of(first.weight_mn)
    again = Dora(first.weight_mn, *_given(520, 520), base)
    assert again.base is base
    assert again.spectrum() == first.spectrum()


def test_parts_that_cancel_raise_the_floor() -> None:
    """B A shortens every row by a thousandth and m restores its length, so that both parts leave next to nothing."""
    weight = normal(520, 2, seed=5) @ normal(2, 530, seed=6)
    b, a = -1e-3 * weight, torch.eye(530, dtype=torch.float64)
    small = 1e-8 * normal(520, 530, seed=7)
    found = Dora(weight, b + small, a, 1.0, weight.norm(dim=1))
    spectrum, truth = found.spectrum(), torch.linalg.svdvals(direct(weight, b + small, a, 1.0, weight.norm(dim=1)))
    assert sum(found.parts()) > 100 * found.frobenius()
    assert spectrum.kernel.floor > 1e-4
    for value, exact in zip(spectrum.singular_values, truth.tolist(), strict=True):
        if exact > spectrum.kernel.floor * float(truth[0]):
            assert value == pytest.approx(exact, rel=1e-3)


def test_rows_that_the_direction_all_but_cancels_keep_their_norm() -> None:
    weight = normal(4, 6)
    b = -weight.clone()
    b[0] *= 1 - 1e-9
    b[1:] *= 0.5
    truth = direct(weight, b, torch.eye(6, dtype=torch.float64), 1.0, weight.norm(dim=1))
    found = Dora(weight, b, torch.eye(6, dtype=torch.float64), 1.0, weight.norm(dim=1))
    # the paper's formula itself loses nine of sixteen digits of the first row's length
    assert torch.allclose(found.dense(), truth, rtol=1e-5, atol=1e-6)


def test_the_null_keeps_form_shape_and_norm() -> None:
    found = trained(40, 30)
    null = found.random(torch.Generator().manual_seed(1))
    assert type(null) is Rescaled
    assert null.frobenius() == pytest.approx(found.frobenius(), rel=1e-12)
    assert float(null.dense().norm()) == pytest.approx(found.frobenius(), rel=1e-12)
    # the same lengthening of rows, in another order and of another size
    shares = [torch.sort(x.change_m / x.change_m.norm()).values for x in (found, null)]
    assert torch.allclose(*shares, rtol=1e-12, atol=1e-14)
    assert null.parts() == pytest.approx(found.parts(), rel=0.1)
    again = found.random(torch.Generator().manual_seed(1))
    assert all(
        torch.equal(getattr(null, f.name), getattr(again, f.name))
        for f in fields(Rescaled)
        if isinstance(getattr(null, f.name), torch.Tensor)
    )


def test_the_coarsest_type_is_told() -> None:
    weight, b, a = normal(4, 3).bfloat16(), normal(4, 2).float(), normal(2, 3).float()
    assert Dora(weight, b, a, 1.0, weight.float().norm(dim=1)).dtype == "float32"
    assert Dora(weight, b, a, 1.0, weight.float().norm(dim=1).half()).dtype == "float16"


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", ["weight", "B", "A", "magnitude", "multiplier"])
def test_what_is_no_number_has_no_spectrum(bad: float, place: str) -> None:
    given = {"weight": normal(4, 3), "B": normal(4, 2), "A": normal(2, 3), "magnitude": normal(4).abs()}
    multiplier = 1.0
    if place == "multiplier":
        multiplier = bad
    else:
        given[place].view(-1)[1] = bad
    with pytest.raises(ValueError, match=f"{place}.*has no spectrum"):
        Dora(given["weight"], given["B"], given["A"], multiplier, given["magnitude"])


def test_what_does_not_fit_raises_with_its_shapes() -> None:
    with pytest.raises(ValueError, match=r"\(4, 2\), \(2, 3\), \(3,\) do not fit a weight \(4, 3\)"):
        Dora(normal(4, 3), normal(4, 2), normal(2, 3), 1.0, normal(3))
    with pytest.raises(ValueError, match="share no rank"):
        Dora(normal(4, 3), normal(4, 1), normal(2, 3), 1.0, normal(4))


def test_a_row_of_zeros_has_no_direction() -> None:
    weight = normal(4, 3)
    weight[2] = 0
    with pytest.raises(ValueError, match="row 2 of W0 \\+ s B A is zero"):
        Dora(weight, torch.zeros(4, 2), normal(2, 3), 1.0, weight.norm(dim=1))
