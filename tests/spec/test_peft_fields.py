"""`method: peft`: every mistake that PEFT's own table, or a trial on a small model, shows is told in one line."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from harness.spec.adapter import AdapterSpec
from harness.spec.peft_fields import OWNED, SPECS, owned, peft_fields
from harness.spec.peft_values import BOUNDS, NO_MATRIX
from tests.spec.conftest import Told

SPEC: TypeAdapter[AdapterSpec] = TypeAdapter(AdapterSpec)
TRAINED = sorted(peft_fields()["types"].keys() - SPECS.keys() - NO_MATRIX.keys())
CLAIM = """\
title: A claim
claim: What is predicted here.
source: these tests
predictions:
  - id: one
    kind: mean_bound
    role: primary
    statement: It is as predicted.
    rationale: The text that explains the number.
    direction: above
    value: 0.5
    cell: {adapter: %s}
design: {seeds: 8}
"""


def told(**declared: Any) -> str:
    """Return the one mistake that is told of an adapter; empty where there is none."""
    try:
        SPEC.validate_python(declared)
    except ValidationError as error:
        (only,) = error.errors()
        return only["msg"].removeprefix("Value error, ")
    return ""


def peft(kind: str, **config: Any) -> str:
    return told(method="peft", type=kind, config=config)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("c3a", '"c3a" is no method of PEFT 0.21.2 that adapts matrices; did you mean C3A? Change it.'),
        ("C3B", "did you mean C3A?"),
        ("IA-3", "did you mean IA3?"),
        ("QUANTA", '"QUANTA" has a spec of its own. Write method: quanta, without type and config.'),
        ("quanta", "Write method: quanta,"),
        ("lora", "Write method: lora, dora or pissa,"),
        ("DORA", "Write method: dora,"),
        ("ADALORRA", "did you mean method: adalora?"),
        ("BANANA", '"BANANA" is no method of PEFT 0.21.2 that adapts matrices. Change it.'),
        ("LN_TUNING", "would train all of the linear layers that the recipe names, and no layer norm. Use another"),
        ("PREFIX_TUNING", "learns a prompt, which is no update of a matrix. Use another method."),
        ("xlora", "has another update for every input. Use another method."),
    ],
)  # fmt: skip
def test_a_type_that_is_none_says_which_was_meant(kind: str, says: str) -> None:
    assert says in peft(kind)


def test_the_hints_stand_in_the_file_where_they_are_mended(hypothesis_mistakes: Told) -> None:
    def line(adapter: str) -> str:
        (only,) = hypothesis_mistakes(CLAIM % adapter)
        return only

    assert line("{method: peft, type: c3a}").startswith('f.yaml:12 predictions[0].cell.adapter.type: "c3a" is no ')
    assert line("{method: peft, type: LOHA, config: {r: 8.5}}") == (
        "f.yaml:12 predictions[0].cell.adapter.config: r 8.5 is not what PEFT takes here: a whole number. Write that. "
        "PEFT's default is 8."
    )
    said = line('{method: quanta, d: 3, unfreeze_norms: "yes"}')
    assert said.endswith('unfreeze_norms: "yes" is neither true nor false. Write true or false, without quotes.')


@pytest.mark.parametrize("value", [8.5, "8", None, True, [8], {}, float("nan")])
@pytest.mark.parametrize("kind", [kind for kind in TRAINED if peft_fields()["takes"][kind].get("r") == "int"])
def test_a_rank_is_a_whole_number_for_every_method_that_has_one(kind: str, value: Any) -> None:
    assert peft(kind, r=value).startswith("r ")
    assert "a whole number. Write that." in peft(kind, r=value)


@pytest.mark.parametrize("kind", TRAINED)
def test_every_field_of_every_method_refuses_another_type(kind: str) -> None:
    for name, takes in peft_fields()["takes"][kind].items():
        if owned(name):
            assert peft(kind, **{name: "anything"}).startswith(f"{name} is not the declaration's to set: ")
            continue
        assert "dict" not in takes  # so that a mapping is a value of another type for all of them
        assert peft(kind, **{name: {}}).startswith(f"{name} {{}} is not what PEFT takes here: ")
        if "null" not in takes:
            assert peft(kind, **{name: None}).startswith(f"{name} null is not what PEFT takes here: ")
        if takes == "float":
            assert "is not a finite number" in peft(kind, **{name: float("inf")})


@pytest.mark.parametrize("kind", TRAINED)
def test_every_number_of_every_method_has_bounds(kind: str) -> None:
    for name, takes in peft_fields()["takes"][kind].items():
        if owned(name) or not {"int", "float"} & set(takes.split(" | ")):
            continue
        assert name in BOUNDS or name.endswith("dropout"), f"{kind}.{name}: a new field of PEFT needs its bounds"
        assert "is out of range: it must be" in peft(kind, **{name: -2})


@pytest.mark.parametrize(
    ("kind", "config", "says"),
    [
        ("LOHA", {"r": 0}, "r 0 is out of range: it must be at least 1 and at most 65536. Change it."),
        ("LOHA", {"module_dropout": 1.0}, "must be at least 0 and less than 1"),
        ("LOHA", {"rr": 3}, "rr is no field of LOHA in PEFT 0.21.2; did you mean r? Remove or rename it."),
        ("LOHA", {"peft_type": "LORA"}, "peft_type is not the declaration's to set: type, beside config, is that."),
        ("LOHA", {"rank_pattern": {"q_proj": 2}}, "regular expressions, of which PEFT leaves out those that match"),
        ("OSF", {"target_svd_config": {"q": 2}}, "of which PEFT leaves out those that it does not find"),
        ("LOHA", {"init_weights": False}, "does not begin at the base, from which updates are counted. Write true."),
        ("HIRA", {"init_weights": None}, 'Write true or "gaussian".'),
        ("C3A", {}, 'init_weights "xavier_uniform", PEFT\'s default, does not begin at the base'),
        ("FOURIERFT", {"n_frequency": 8}, "init_weights false, PEFT's default, does not begin at the base"),
        ("VBLORA", {}, "init_vector_bank_bound is 0.02 by default, which is no start at the base. Write 1.0e-4"),
        ("UNILORA", {"init_theta_d_bound": 0.1}, "at most 0.0001 (a run begins at the base"),
        ("DEFT", {"para": True}, "para true does not begin at the base"),
        ("ROAD", {"variant": "road_3"}, '"road_1" or "road_2" or "road_4". Write that.'),
        ("ROAD", {"group_size": 7}, "group_size 7 is odd"),
        ("BOFT", {"boft_n_butterfly_factor": 2}, "it must be 1 (PEFT makes it 1 wherever"),
        ("BOFT", {"boft_block_num": 2}, "Write 0 for one of them, and only one."),
        ("BOFT", {"boft_block_size": 0}, "Write 0 for one of them, and only one."),
        ("PSOFT", {"cayley_neumann_eps": 0.5}, "does nothing unless use_cayley_neumann is true."),
        ("ADAMSS", {"init_warmup": 3}, "init_warmup does nothing unless use_asa is true."),
        ("ADAMSS", {"use_asa": True, "init_warmup": 9, "final_warmup": 9}, "is not below final_warmup 9"),
        ("GLORA", {"config_A_B": "none", "config_C": "none", "config_D_E": "none"}, "so nothing trains"),
        ("IA3", {"feedforward_modules": ["mlp"]}, "Name some of q_proj, k_proj"),
        ("OSF", {"effective_rank": 1.5}, "neither a share below 1 nor a whole number"),
        ("VBLORA", {"init_vector_bank_bound": 1e-4, "topk": 300}, "topk 300 is more than num_vectors 256"),
        ("SUPERTUNING", {"lora_alpha": 2.0}, "do nothing without r. Add r, or remove them."),
    ],
)
def test_what_no_run_could_train_is_told(kind: str, config: dict[str, Any], says: str) -> None:
    assert says in peft(kind, **config)


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("LOHA", {"r": 4, "module_dropout": 0}),  # a whole number is a number
        ("C3A", {"block_size": 8, "init_weights": True}),
        ("DEFT", {"alpha": None}),  # optional
        ("OSF", {"effective_rank": 0.5}),
        ("LOKR", {"decompose_factor": -1, "init_weights": "lycoris"}),
        ("ADAMSS", {"use_asa": True, "init_warmup": 2, "final_warmup": 9}),
        ("SUPERTUNING", {"r": 4, "lora_alpha": 8.0}),
        ("BOFT", {"boft_block_num": 4, "boft_block_size": 0}),
        ("IA3", {"feedforward_modules": ["down_proj"]}),
        ("VBLORA", {"init_vector_bank_bound": 1e-4}),
    ],
)
def test_what_a_run_can_train_is_taken(kind: str, config: dict[str, Any]) -> None:
    assert peft(kind, **config) == ""


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({"method": "hra", "rank": 7}, "7 is odd, and only pairs of reflections begin at the base. Make it even."),
        ({"method": "gralora", "rank": 9}, "9 is no multiple of 2 blocks, which share the rank. Change one."),
        ({"method": "oft", "block_size": 1}, "greater than or equal to 2"),
    ],
)
def test_specs_of_our_own_refuse_what_would_train_nothing_or_elsewhere(declared: dict[str, Any], says: str) -> None:
    assert says in told(**declared)


def test_reasons_are_of_fields_and_methods_that_there_are() -> None:
    fields = {name for kind in peft_fields()["types"].values() for name in kind}
    assert OWNED.keys() <= fields
    assert BOUNDS.keys() <= fields
    assert TRAINED
