"""A problem, the parts that problems are cut into, and the order in which they are cut."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from harness.spec.canonical import digest


@dataclass(frozen=True, slots=True)
class Item:
    """A problem as the model sees it, and the one answer that is correct."""

    prompt: str
    answer: str
    solution: str = ""
    """What SFT learns to write, where that is not the bare answer."""
    row: int = -1
    """Number of the row or problem that it was made from, where it has one."""


@dataclass(frozen=True, slots=True)
class Splits:
    """Disjoint parts, except that `training` is contained in `pretraining`."""

    evaluation: tuple[Item, ...]
    validation: tuple[Item, ...]
    training: tuple[Item, ...]
    pretraining: tuple[Item, ...]


def cut(items: Sequence[Item], evaluation: int, validation: int, training: int) -> Splits:
    """Return ordered problems cut in this order: evaluation, validation, training and the rest."""
    held_out = evaluation + validation
    return Splits(
        evaluation=tuple(items[:evaluation]),
        validation=tuple(items[evaluation:held_out]),
        training=tuple(items[held_out : held_out + training]),
        pretraining=tuple(items[held_out:]),
    )


def order(seed: int, key: str) -> bytes:
    """Return what a problem is ordered by: a hash, so that no library's generator has a part in it."""
    return hashlib.sha256(f"{seed}:{key}".encode("utf-8", "backslashreplace")).digest()


@lru_cache(maxsize=16)
def items_hash(items: tuple[Item, ...]) -> str:
    """Return the SHA-256 of an ordered list of problems with their answers."""
    return digest([[item.prompt, item.answer] for item in items])
