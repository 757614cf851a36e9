"""Identities are stable: golden hashes, equal for equal values, none for what has no canonical form."""

import math
from datetime import date
from typing import Any

import pytest

from harness.spec.canonical import canonical, canonical_json, digest


@pytest.mark.parametrize(
    ("value", "sha256"),
    [
        # printf '{}' | sha256sum, and likewise below
        ({}, "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"),
        (None, "74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b"),
    ],
)
def test_golden_hashes_of_the_simplest_values(value: Any, sha256: str) -> None:
    assert digest(value) == sha256


def test_golden_json_and_hash_of_a_nested_value() -> None:
    value = {"b": [1.0, 0.1, -0.0, 1e-7, True, None], "a": {"é": "ü\n"}}
    assert canonical_json(value) == '{"a":{"é":"ü\\n"},"b":[1,0.1,0,1e-07,true,null]}'
    # printf '%s' '{"a":{"é":"ü\n"},"b":[1,0.1,0,1e-07,true,null]}' | sha256sum
    assert digest(value) == "127806defd2425c6e423991a5ff26e60a49fbefc80522ea3d81f1c3d4f6db346"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (0, -0.0),
        (0.0, -0.0),
        ((1, 2), [1, 2]),
        ({"a": 1, "b": 2}, {"b": 2.0, "a": 1.0}),
        (1e15, 10**15),
    ],
)
def test_equal_values_hash_alike(one: Any, other: Any) -> None:
    assert digest(one) == digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, "1"), (1, True), (0, False), (0, None), ("", None), ([], {}), ([1, 2], [2, 1]), (0.1, 0.1 + 1e-17 * 2)],
)
def test_different_values_hash_apart(one: Any, other: Any) -> None:
    assert digest(one) != digest(other)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused_however_deep(number: float) -> None:
    with pytest.raises(ValueError, match="has no canonical form: identities are made of finite numbers"):
        digest({"a": [{"b": number}]})


@pytest.mark.parametrize(
    ("value", "name"),
    [({1, 2}, "set"), (frozenset({1}), "frozenset"), (b"a", "bytes"), (date(2026, 1, 1), "date"), (1 + 2j, "complex")],
)
def test_what_is_not_json_is_refused(value: Any, name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} has no canonical form: use JSON values"):
        digest([value])


@pytest.mark.parametrize("key", [1, None, True, (1, 2)])
def test_a_key_that_is_no_text_is_refused(key: Any) -> None:
    with pytest.raises(TypeError, match="has no canonical form: keys are strings"):
        digest({key: 1})


def test_canonical_leaves_its_argument_alone() -> None:
    value = {"a": [1.0]}
    assert canonical(value) == {"a": [1]}
    assert type(value["a"][0]) is float
