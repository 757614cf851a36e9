"""The problems of addition and of arithmetic: every expression once, with its exact value, easy or hard."""

from collections.abc import Iterator
from itertools import product

from harness.spec.task import Addition, Arithmetic, Hard

Keyed = tuple[str, str, str]
"""What a problem is ordered by, its prompt and its answer."""


def sums(task: Addition) -> Iterator[Keyed]:
    """Yield every pair of operands."""
    operands = range(task.largest_operand + 1)
    return ((f"{a}+{b}", f"{a}+{b}=", str(a + b)) for a in operands for b in operands)


def expressions(task: Arithmetic) -> tuple[list[Keyed], list[Keyed]]:
    """Return the easy problems and the hard ones; all are easy where no threshold is declared."""
    easy: list[Keyed] = []
    hard: list[Keyed] = []
    for terms in task.terms:
        for operations in product(task.operations, repeat=terms - 1):
            for operands in product(range(task.largest_operand + 1), repeat=terms):
                said = _spelt(operands, operations)
                part = hard if task.hard and _is_hard(task.hard, operands, operations) else easy
                part.append((said, f"{said}=", str(_value(operands, operations))))
    return easy, hard


def _spelt(operands: tuple[int, ...], operations: tuple[str, ...]) -> str:
    return str(operands[0]) + "".join(f"{o}{n}" for o, n in zip(operations, operands[1:], strict=True))


def _is_hard(hard: Hard, operands: tuple[int, ...], operations: tuple[str, ...]) -> bool:
    return (
        (hard.from_terms is not None and len(operands) >= hard.from_terms)
        or (hard.from_operand is not None and max(operands) >= hard.from_operand)
        or not set(operations).isdisjoint(hard.operations or ())
    )


def _value(operands: tuple[int, ...], operations: tuple[str, ...]) -> int:
    """Return the value of an expression: products first, then from left to right."""
    total, signed = 0, operands[0]
    for operation, operand in zip(operations, operands[1:], strict=True):
        if operation == "*":
            signed *= operand
        else:
            total, signed = total + signed, operand if operation == "+" else -operand
    return total + signed
