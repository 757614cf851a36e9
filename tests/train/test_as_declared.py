"""What PEFT realises is what was declared, for every method; and its errors are told of the declaration."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from peft import PeftType, get_peft_model
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

from harness.plan import planned_updates, unfit
from harness.source import splits
from harness.spec import Cell, Lora, Protocol
from harness.spec.adapter import AdaLora, GraLora, Hra, Miss, Oft, PeftMethod, Pissa, Proportional, Quanta, Vera
from harness.spec.peft_fields import SPECS, peft_fields
from harness.spec.peft_values import LINEAR, NO_MATRIX
from harness.train.adapters import declared_fields, peft_config
from harness.train.arguments import trainer_arguments
from harness.train.as_declared import by_declaration, check_realised
from harness.train.base import new_model
from harness.train.checkpoints import Checkpoints
from harness.train.exam import Exam
from harness.train.reward import ExactAnswer
from harness.train.run import _trainer  # pyright: ignore[reportPrivateUsage]
from harness.train.tokenizer import character_tokenizer
from harness.train.updates import start, updates

if TYPE_CHECKING:
    from tests.train.conftest import Laboratory

TOKENIZER = character_tokenizer()
USUAL = Proportional()
FITTING: dict[str, dict[str, Any]] = {
    "BOFT": {"boft_block_size": 8},
    "C3A": {"block_size": 8, "init_weights": True},
    "FOURIERFT": {"n_frequency": 20, "init_weights": True},
    "PSOFT": {"r": 4},
    "ROAD": {"group_size": 4},
    "SHIRA": {"r": 2},
    "UNILORA": {"init_theta_d_bound": 1e-4},
    "VBLORA": {"vector_length": 4, "init_vector_bank_bound": 1e-4},
    "WAVEFT": {"n_frequency": 20},
}
"""Configurations of the methods whose defaults do not fit a base of width 16, or do not begin at it."""
TRAINED = sorted(peft_fields()["types"].keys() - SPECS.keys() - NO_MATRIX.keys())


def base(protocol: Protocol) -> Any:
    torch.manual_seed(0)
    return new_model(protocol.made("llama"), TOKENIZER)


def adapted(spec: Any, protocol: Protocol) -> Any:
    config: Any = peft_config(spec, protocol.recipe, 10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # BOFT's of its extension, OFT's of the size that it changes
        return get_peft_model(base(protocol), config)


def check(spec: Any, protocol: Protocol) -> None:
    check_realised(adapted(spec, protocol), spec, declared_fields(spec, protocol.recipe, 10))


@pytest.mark.parametrize("kind", TRAINED)
def test_every_method_of_peft_trains_what_it_declares_from_the_base(
    kind: str, pocket: Protocol, tmp_path: Path
) -> None:
    spec = PeftMethod(method="peft", type=kind, config=FITTING.get(kind, {}))
    assert unfit(Cell(adapter=spec), pocket, ["llama"]) == ""
    policy = adapted(spec, pocket)
    check_realised(policy, spec, declared_fields(spec, pocket.recipe, 10))
    base(pocket).save_pretrained(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: Any = dict(updates(policy, spec, start(policy, spec, tmp_path)))
    assert len(found) == 7
    # Matrices of 16 x 16 from N(0, .02) have a norm of about .32; a share of 1e-5 of it is 3e-6.
    assert max(float(torch.linalg.norm(update.w)) for update in found.values()) < 3e-6


@pytest.mark.parametrize(
    "spec",
    [
        Oft(method="oft", block_size=8),
        Pissa(method="pissa", rank=16, scaling=USUAL),
        AdaLora(method="adalora", rank=4, scaling=USUAL),
        GraLora(method="gralora", rank=4, scaling=USUAL),
        Lora(rank=40, scaling=USUAL),
        Quanta(method="quanta", axes=(4, 4)),
        Vera(method="vera"),
        Miss(method="miss", rank=7),
        Hra(method="hra", rank=4),
    ],
)
def test_what_fits_is_realised(spec: Any, pocket: Protocol) -> None:
    check(spec, pocket)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (Oft(method="oft", block_size=7), "PEFT made oft_block_size 8 of 7. Declare what fits this base."),
        (Oft.model_construct(method="oft", block_size=1), "self_attn.q_proj, nothing trains"),
        (Pissa(method="pissa", rank=17, scaling=USUAL), "PEFT made a rank of 16 of 17"),
        (Quanta(method="quanta", axes=(2, 4)), "16 inputs or outputs do not fit into 8"),
        (PeftMethod(method="peft", type="DEFT", config={"r": 17}), "PEFT made r 16 of 17"),
    ],
)
def test_what_peft_changes_is_an_error_that_names_both(spec: Any, says: str, pocket: Protocol) -> None:
    assert unfit(Cell(adapter=spec), pocket, ["llama"]) != ""  # found long before, where the widths are known
    with pytest.raises(ValueError, match=says):
        check(spec, pocket)


def test_an_error_of_peft_names_the_declaration_and_others_stay_as_they_are(pocket: Protocol) -> None:
    spec = PeftMethod(method="peft", type="PSOFT", config={"r": 17})
    said = r"^adapter PSOFT r=17: PEFT cannot make, .*\(ValueError: `r` \(17\) must be"
    with pytest.raises(ValueError, match=said), by_declaration(spec):
        adapted(spec, pocket)
    with pytest.raises(KeyError, match="ours"), by_declaration(spec):
        raise KeyError("ours")


def test_a_run_that_would_train_something_else_ends_with_one_line(fresh: "Laboratory") -> None:
    def ended(spec: Any) -> str:
        job = fresh.job(fresh.planned(Cell(adapter=spec)))
        assert fresh.execute(job) == 1
        said: Any = job.last_exit()
        return said.message

    fresh.base()
    assert ended(Oft(method="oft", block_size=7)).endswith(
        "PEFT made oft_block_size 8 of 7. Declare what fits this base."
    )
    assert ended(PeftMethod(method="peft", type="PSOFT", config={"r": 17})).startswith(
        "ValueError: adapter PSOFT r=17: PEFT cannot make, run or merge it here (ValueError: `r` (17) must be less"
    )


@pytest.mark.parametrize(
    ("algorithm", "fields"),
    [
        ("grpo", {}),
        ("grpo", {"num_iterations": 2}),
        ("grpo", {"steps_per_generation": 2}),
        ("grpo", {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 4}),
        ("grpo", {"num_train_epochs": 1.5}),
        ("grpo", {"max_steps": 2}),
        ("sft", {"per_device_train_batch_size": 4}),
        ("sft", {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 1, "num_train_epochs": 1.5}),
    ],
)
def test_as_many_updates_are_planned_as_trl_makes(
    algorithm: Any, fields: dict[str, Any], pocket: Protocol, tmp_path: Path
) -> None:
    cell = Cell(algorithm=algorithm, adapter=Lora(rank=2, scaling=USUAL))
    declared = {**pocket.trainer(algorithm), **fields}
    items = splits(pocket.task).training
    arguments, _ = trainer_arguments(algorithm, declared, 0, Checkpoints(tmp_path))
    common = {"model": base(pocket), "args": arguments, "processing_class": TOKENIZER}
    common["peft_config"] = peft_config(cell.adapter, pocket.recipe, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the libraries' own, of each other
        trainer = _trainer(cell, items, Exam(TOKENIZER), ExactAnswer(TOKENIZER), {**common, "callbacks": []})
        trainer.train()
    assert planned_updates(algorithm, declared, len(items)) == trainer.state.global_step


def test_the_words_of_the_declarations_are_those_of_the_libraries(pocket: Protocol) -> None:
    linear = {name.rpartition(".")[2] for name, m in base(pocket).named_modules() if isinstance(m, torch.nn.Linear)}
    assert linear == {*LINEAR, "lm_head"}
    known = {kind.value for kind in PeftType}
    assert known >= NO_MATRIX.keys()
    adapting = {kind.value for kind in PEFT_TYPE_TO_CONFIG_MAPPING} - NO_MATRIX.keys() - SPECS.keys()
    assert adapting == set(TRAINED), "a new method of PEFT: try it, and say in NO_MATRIX where it has no update"
