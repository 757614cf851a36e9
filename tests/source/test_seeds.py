import itertools

import pytest

from harness.source import derived_seed
from harness.source.seeds import CONFIRM, EXPLORE, PILOT, late_block

BLOCKS = (CONFIRM, PILOT, EXPLORE, late_block("ab" * 32, 1), late_block("ab" * 32, 2), late_block("cd" * 32, 1))


def test_a_seed_is_what_it_always_was() -> None:
    # sha256('["confirm",{"a":1},"e","b",0]') begins d2dc31f1 = 3537646065; half of it, rounded down
    assert derived_seed({"a": 1}, "e", "b", 0) == 0xD2DC31F1 // 2 == 1768823032


def test_seeds_differ_between_indices_blocks_bases_sets_and_protocols() -> None:
    places = itertools.product(BLOCKS, ({"lr": 1}, {"lr": 2}), ("set", "other"), ("base", "other"), range(50))
    seeds = [derived_seed(protocol, items, base, index, block) for block, protocol, items, base, index in places]
    assert len(set(seeds)) == len(seeds) == 2400  # two of them alike by chance: 2400^2 / 2 / 2^31 = .0013


@pytest.mark.parametrize(
    "block", ["", "Confirm", "confirmed", "late-abcdefabcdef-0", "late-abcdefabcdef", "late-xyz-1"]
)
def test_a_misspelt_block_gives_no_seed(block: str) -> None:
    with pytest.raises(ValueError, match="is no seed block"):
        derived_seed({}, "set", "base", 0, block)


def test_a_late_block_is_named_by_the_declaration_and_a_number() -> None:
    assert late_block("0123456789abcdef" * 4, 3) == "late-0123456789ab-3"


def test_seeds_have_31_bits_and_use_the_whole_range() -> None:
    seeds = [derived_seed({}, "set", "base", index) for index in range(500)]
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert min(seeds) < 2**31 / 50 < 2**31 * 49 / 50 < max(seeds)  # missing one end has chance .98^500 = 4e-5


def test_the_order_of_keys_does_not_count() -> None:
    assert derived_seed({"a": 1, "b": 2}, "e", "b", 0) == derived_seed({"b": 2, "a": 1}, "e", "b", 0)
