"""Derived seeds: nobody chooses one, so nobody can choose a lucky one.

Seed i is a hash of the protocol's training content, the evaluation set, the base's recipe, i, and a block. Runs are
reproducible to the bit, so a seed that was used is a known answer: whatever must not know the answers of another gets
a block of its own. That two blocks share none of their seeds is as good as certain, not guaranteed: seeds have 31 bits.
"""

import re
from typing import Any

from harness.spec.canonical import digest

CONFIRM = "confirm"
"""The shelf's block: hypotheses that were registered before their runs began share its runs."""
PILOT = "pilot"
"""What a protocol is chosen by."""
TUNE = "tune"
"""What the learning rates of tuned arms are chosen by."""
EXPLORE = "explore"
"""Runs that no registration governs."""

_BLOCK = re.compile(rf"{CONFIRM}|{PILOT}|{TUNE}|{EXPLORE}|late-[0-9a-f]{{12}}-[1-9][0-9]*")


def late_block(registration_hash: str, number: int) -> str:
    """Return the block of a declaration, by its hash, that came after runs which it would have shared."""
    return f"late-{registration_hash[:12]}-{number}"


def derived_seed(protocol: Any, evaluation_set: str, base: str, index: int, block: str = CONFIRM) -> int:
    """Return seed number `index` (from 0) of a block, a 31-bit integer as every library accepts.

    Raises:
        ValueError: no such block; a misspelt one would draw seeds of its own unnoticed.
    """
    if _BLOCK.fullmatch(block) is None:
        raise ValueError(f"{block!r} is no seed block. Use {CONFIRM}, {PILOT}, {TUNE}, {EXPLORE} or a late block.")
    return int(digest([block, protocol, evaluation_set, base, index])[:8], 16) >> 1
