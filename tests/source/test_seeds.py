import itertools
from typing import get_args

from harness.source import derived_seed
from harness.source.seeds import Space


def test_a_seed_is_what_it_always_was() -> None:
    # sha256('["confirm",{"a":1},"e","b",0]') begins d2dc31f1 = 3537646065; half of it, rounded down
    assert derived_seed({"a": 1}, "e", "b", 0) == 0xD2DC31F1 // 2 == 1768823032


def test_seeds_differ_between_indices_spaces_bases_sets_and_protocols() -> None:
    places = itertools.product(get_args(Space), ({"lr": 1}, {"lr": 2}), ("set", "other"), ("base", "other"), range(50))
    seeds = [derived_seed(protocol, items, base, index, space) for space, protocol, items, base, index in places]
    assert len(set(seeds)) == len(seeds) == 800


def test_seeds_have_31_bits_and_use_the_whole_range() -> None:
    seeds = [derived_seed({}, "set", "base", index) for index in range(500)]
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert min(seeds) < 2**31 / 50 < 2**31 * 49 / 50 < max(seeds)  # missing one end has chance .98^500 = 4e-5


def test_the_order_of_keys_does_not_count() -> None:
    assert derived_seed({"a": 1, "b": 2}, "e", "b", 0) == derived_seed({"b": 2, "a": 1}, "e", "b", 0)
