"""Adapters that do not fit a base's widths or a run's updates are mistakes of the declaration, with what would fit."""

import json
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import TypeAdapter

from harness.plan import unfit
from harness.spec import AdapterSpec, Cell, DeclarationError, Protocol
from harness.spec.adapter import Proportional, resolved

if TYPE_CHECKING:
    from tests.conftest import Made

SPEC: TypeAdapter[AdapterSpec] = TypeAdapter(AdapterSpec)


def why(protocol: Protocol, adapter: str | dict[str, Any], **cell: Any) -> str:
    """Return why an adapter does not fit the base llama of the tests: widths 64 and 128, runs of 20 updates."""
    declared = adapter if isinstance(adapter, dict) else {"method": "peft", "type": adapter, "config": cell.pop("c")}
    spec = resolved(SPEC.validate_json(json.dumps(declared)), Proportional())
    return unfit(Cell(adapter=spec, **cell), protocol, ["llama"])


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({"method": "oft", "block_size": 33}, "block_size 33 does not divide 64 and 128 as it must; of what does,"),
        ({"method": "oft", "block_size": 33}, "nearest are 2, 4, 8, 16, 32, 64 (base llama: hidden_size 64, "),
        ({"method": "oft", "block_size": 128}, "does not divide 64 and 128"),
        ({"method": "gralora", "rank": 9, "blocks": 3}, "blocks 3 does not divide 64 and 128"),
        ({"method": "gralora", "rank": 6, "blocks": 3}, "nearest are 1, 2 ("),  # which divide the rank too
        ({"method": "pissa", "rank": 65}, "rank 65 is more than fits; at most 64 does"),
        ({"method": "miss", "rank": 65}, "rank 65 is more than fits; at most 64 does"),
        ({"method": "quanta", "axes": [2, 3, 4]}, "product of 24, which would leave inputs or outputs out"),
        ({"method": "quanta", "axes": [8, 8]}, "it must be from 128 to 256"),
        ({"method": "quanta", "axes": [1000, 1000]}, "product of 1000000, which would mostly act on padding"),
        ({"method": "adalora", "rank": 8, "tinit": 10, "tfinal": 10}, "leave none of 20 updates to prune in"),
        ({"method": "adalora", "rank": 8, "tinit": 30}, "their sum must be at most 19"),
    ],
)
def test_what_does_not_fit_is_told_with_what_does(made: "Made", declared: dict[str, Any], says: str) -> None:
    assert says in why(made.bench().protocol, declared)


@pytest.mark.parametrize(
    "declared",
    [
        {"method": "lora", "rank": 256},  # a product of factors may be wider than the matrix
        {"method": "oft", "block_size": 64},
        {"method": "gralora", "rank": 8, "blocks": 4},
        {"method": "pissa", "rank": 64},
        {"method": "miss", "rank": 7},
        {"method": "quanta", "axes": [8, 16]},  # 128
        {"method": "quanta", "axes": [4, 8, 8]},  # 256
        {"method": "quanta", "d": 8},  # 2**8 = 256
        {"method": "adalora", "rank": 8, "tinit": 10, "tfinal": 9},
        {"method": "full"},
    ],
)
def test_what_fits_is_taken(made: "Made", declared: dict[str, Any]) -> None:
    assert why(made.bench().protocol, declared) == ""


@pytest.mark.parametrize(
    ("kind", "config", "says"),
    [
        ("C3A", {"init_weights": True}, "block_size 256 does not divide 64 and 128"),  # PEFT's default
        ("ROAD", {"group_size": 6}, "nearest are 2, 4, 8, 16, 32, 64 ("),
        ("BOFT", {"boft_block_size": 7}, "boft_block_size 7 does not divide 64 and 128"),
        ("BOFT", {"boft_block_size": 0, "boft_block_num": 64}, "boft_block_num 64 does not divide"),  # blocks of one
        ("VBLORA", {"init_vector_bank_bound": 1e-4}, "vector_length 256 does not divide"),
        ("PSOFT", {"r": 65}, "r 65 is more than fits; at most 64 does"),
        ("TINYLORA", {"r": 65}, "r 65 is more than fits"),
        ("ADAMSS", {"r": 65}, "r 65 is more than fits"),
        ("OSF", {"effective_rank": 64}, "at most 63 does"),  # it trains the directions beyond
        ("FOURIERFT", {"n_frequency": 4097, "init_weights": True}, "at most 4096 does"),  # 64 x 64
        ("WAVEFT", {"n_frequency": 4097}, "at most 4096 does"),
        ("SHIRA", {"r": 33}, "at most 32 does"),  # 64 x 64 / (64 + 64)
    ],
)
def test_pefts_other_methods_fit_too(made: "Made", kind: str, config: dict[str, Any], says: str) -> None:
    assert says in why(made.bench().protocol, kind, c=config)


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("ADAMSS", {}),  # whose default of 100 PEFT documents as a bound
        ("C3A", {"block_size": 64, "init_weights": True}),
        ("PSOFT", {}),
        ("OSF", {"effective_rank": 63}),
        ("SHIRA", {"r": 32}),
        ("WAVEFT", {"n_frequency": 4096}),
        ("LOHA", {"r": 300}),
    ],
)
def test_and_so_do_these(made: "Made", kind: str, config: dict[str, Any]) -> None:
    assert why(made.bench().protocol, kind, c=config) == ""


def test_the_updates_are_those_of_the_cell(made: "Made") -> None:
    adapter = {"method": "adalora", "rank": 8, "tinit": 5}
    protocol = made.bench().protocol
    assert why(protocol, adapter) == ""
    assert "leave none of 5 updates" in why(protocol, adapter, batch=256)  # a quarter of 20
    assert why(protocol, adapter, batch=256, match="updates") == ""


def declare(made: "Made", adapter: str) -> None:
    made.declare("hypotheses/live.yaml", made.claim_text.replace("{rank: [8, 16]}", f"{{adapter: [{adapter}]}}"))


def test_it_is_a_mistake_of_the_hypothesis(made: "Made") -> None:
    declare(made, "{method: oft, block_size: 33}")
    with pytest.raises(DeclarationError) as error:
        made.bench().hypotheses(["live"])
    assert len(error.value.lines) == 1
    assert error.value.lines[0].startswith("hypotheses/live.yaml predictions[0]: under protocol bench, ")
    assert "cannot run: block_size 33 does not divide 64 and 128" in error.value.lines[0]


def test_a_base_that_is_asked_for_is_looked_at_too(made: "Made") -> None:
    narrow = made.protocol_text.replace("qwen3, hidden_size: 64", "qwen3, hidden_size: 48")
    made.declare("runs/bench.yaml", narrow)
    declare(made, "{method: oft, block_size: 32}")
    bench = made.bench()
    claims = bench.hypotheses(["live"])  # which fit the protocol's own base
    bench.check_bases(claims, bench.planned_bases(["llama"]))
    with pytest.raises(DeclarationError, match=r"block_size 32 does not divide 48 and 128 .*nearest are 2, 4, 8, 16 "):
        bench.check_bases(claims, bench.planned_bases(["llama", "qwen"]))
