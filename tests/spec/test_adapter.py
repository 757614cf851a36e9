"""Alpha and multiplier under the three scaling policies, and cell names that never merge two cells."""

from itertools import combinations, product

import pytest

from harness.spec.adapter import Constant, Lora, Proportional, RankStabilised, exact
from harness.spec.cell import Cell


@pytest.mark.parametrize(
    ("scaling", "rank", "alpha", "multiplier"),
    [
        (Proportional(), 8, 16.0, 2.0),  # practice: alpha = 2r
        (Proportional(), 256, 512.0, 2.0),
        (Proportional(factor=0.5), 8, 4.0, 0.5),
        (Constant(policy="constant", alpha=16.0), 8, 16.0, 2.0),
        (Constant(policy="constant", alpha=16.0), 256, 16.0, 0.0625),  # 16 / 256
        (RankStabilised(policy="rank_stabilised", alpha=16.0), 4, 16.0, 8.0),  # 16 / 2
        (RankStabilised(policy="rank_stabilised", alpha=16.0), 256, 16.0, 1.0),  # 16 / 16
    ],
)
def test_alpha_and_multiplier(
    scaling: Proportional | Constant | RankStabilised, rank: int, alpha: float, multiplier: float
) -> None:
    adapter = Lora(rank=rank, scaling=scaling)
    assert (adapter.alpha(), adapter.multiplier()) == (alpha, multiplier)


@pytest.mark.parametrize(
    ("value", "text"), [(2.0, "2"), (0.5, "0.5"), (1e-7, "1e-07"), (2.0000001, "2.0000001"), (100.0, "100"), (3, "3")]
)
def test_exact_reads_back_equal(value: float, text: str) -> None:
    assert exact(value) == text
    assert float(text) == value


def test_slugs() -> None:
    def slug(scaling: Proportional | Constant | RankStabilised) -> str:
        return Cell(adapter=Lora(rank=8, scaling=scaling)).slug()

    assert slug(Proportional()) == "grpo-lora-r8"
    assert slug(Proportional(factor=4)) == "grpo-lora-r8-a4r"
    assert slug(Constant(policy="constant", alpha=4)) == "grpo-lora-r8-a4"
    assert slug(RankStabilised(policy="rank_stabilised", alpha=4)) == "grpo-lora-r8-rs4"
    sft = Cell(algorithm="sft", adapter=Lora(rank=1, scaling=Proportional()), learning_rate_scale=0.1)
    assert sft.slug() == "sft-lora-r1-lrx0.1"


def test_distinct_cells_have_distinct_slugs() -> None:
    numbers = (1.0, 2.0, 2.0000001, 16.0, 1e-7)
    scalings: list[Proportional | Constant | RankStabilised] = []
    for number in numbers:
        scalings += [
            Proportional(factor=number),
            Constant(policy="constant", alpha=number),
            RankStabilised(policy="rank_stabilised", alpha=number),
        ]
    cells = [
        Cell(algorithm=algorithm, adapter=Lora(rank=rank, scaling=scaling), learning_rate_scale=scale)
        for algorithm, rank, scaling, scale in product(("grpo", "sft"), (1, 2, 16), scalings, numbers)
    ]
    slugs = [cell.slug() for cell in cells]
    assert len(slugs) == 2 * 3 * 15 * 5
    assert len(set(slugs)) == len(slugs), [pair for pair in combinations(slugs, 2) if pair[0] == pair[1]][:3]
