"""Derived seeds: nobody chooses one, so nobody can choose a lucky one.

Seed i is a hash of the protocol's training content, the evaluation set, the base's recipe and i. Pilots draw from a
space of their own, because runs are reproducible to the bit: a piloted seed is a known answer.
"""

from typing import Any, Literal

from harness.spec.canonical import digest

Space = Literal["confirm", "pilot"]


def derived_seed(protocol: Any, evaluation_set: str, base: str, index: int, space: Space = "confirm") -> int:
    """Return seed number `index` (from 0), a 31-bit integer as every library accepts."""
    return int(digest([space, protocol, evaluation_set, base, index])[:8], 16) >> 1
