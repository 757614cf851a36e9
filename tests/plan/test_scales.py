"""The protocols of larger scale: the whole catalogue is planned and costed under them, without a network.

Their task is asked of data sets; for planning it is replaced by addition here, which needs no data. The number of
prompts, and with it every count and cost, stays theirs.
"""

import re
from pathlib import Path

import pytest

from harness.plan import RunSet, misfit, plan, planned_base, run_cost
from harness.spec import HubBase, Hypothesis, Protocol, load_hypothesis, load_protocol

ROOT = Path(__file__).parents[2]
ADDITION = """task: {name: addition, largest_operand: 99, split_seed: 5, evaluation_problems: 500,
  validation_problems: 500, training_prompts: %s}
"""
# What transformers counts for the published configurations.
PARAMETERS = {
    "meta-llama/Llama-3.1-8B": 8_030_261_248,
    "Qwen/Qwen3-8B-Base": 8_190_735_360,
    "allenai/Olmo-3-1025-7B": 7_298_011_136,
    "Qwen/Qwen3-0.6B-Base": 596_049_920,
    "allenai/OLMo-2-0425-1B": 1_484_916_736,
    "allenai/OLMo-2-0425-1B-early-training": 1_484_916_736,
    "EleutherAI/pythia-410m": 405_334_016,
}


def protocol(name: str, tmp_path: Path) -> Protocol:
    text = (ROOT / "runs" / f"{name}.yaml").read_text(encoding="utf-8")
    (prompts,) = re.findall(r"^  training_prompts: (\d+)", text, re.MULTILINE)
    text = re.sub(r"^task:\n(?:  .*\n)+", ADDITION % prompts, text, count=1, flags=re.MULTILINE)
    text = re.sub(r"^  (max_tokens|batch): \d+\n", "", text, flags=re.MULTILINE)
    file = tmp_path / f"{name}.yaml"
    file.write_text(text, encoding="utf-8")
    return load_protocol(file, file.name)


def catalogue() -> dict[str, Hypothesis]:
    names = sorted(path.stem for path in (ROOT / "hypotheses").glob("*.yaml"))
    return {name: load_hypothesis(ROOT / "hypotheses" / f"{name}.yaml", name) for name in names}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody be asked."""

    def nobody(*_: object, **__: object) -> None:
        raise AssertionError("somebody was asked")

    monkeypatch.setattr("socket.socket.connect", nobody)


def planned(protocol: Protocol) -> RunSet:
    """Return the runs of every claim that one base is enough for, on the default bases."""
    claims = {name: claim for name, claim in catalogue().items() if claim.design.bases is None}
    return plan(claims, protocol, protocol.default_bases)


@pytest.mark.parametrize("name", ["small", "paper"])
def test_every_claim_can_be_planned_and_every_run_is_costed(name: str, tmp_path: Path) -> None:
    declared = protocol(name, tmp_path)
    runs = planned(declared)
    assert {base.provisional for base in runs.bases} == {True}
    cells = {(run.base.name, run.cell) for run in runs.runs}
    assert len(cells) > 20
    for base, cell in cells:
        assert misfit(cell, declared) == "", (base, cell.slug())
        cost = run_cost(cell, base, declared)
        assert cost is not None
        assert 0.05 < cost.gpu_hours < 50


@pytest.mark.parametrize("name", ["small", "paper"])
def test_declared_shapes_are_those_of_the_published_models(name: str, tmp_path: Path) -> None:
    for base in protocol(name, tmp_path).bases.values():
        assert isinstance(base, HubBase)
        assert base.shape.parameters() == PARAMETERS[str(base.hub)]
        assert base.tokens is not None


@pytest.mark.parametrize("name", ["small", "paper"])
def test_nothing_that_was_not_measured_is_declared_as_measured(name: str, tmp_path: Path) -> None:
    declared = protocol(name, tmp_path)
    assert declared.thresholds.healthy_gain is None
    assert "to be set by `harness pilot`" in declared.thresholds.source
    assert declared.hardware is not None
    assert "none was measured" in declared.hardware.source
    assert declared.grpo["learning_rate"] in declared.pilot.learning_rates


def test_the_paper_s_low_ranks_fit_one_gpu_and_full_fine_tuning_does_not(tmp_path: Path) -> None:
    declared = protocol("paper", tmp_path)
    costs = {(run.base.name, run.cell): run_cost(run.cell, run.base.name, declared) for run in planned(declared).runs}
    for (base, cell), cost in costs.items():
        assert cost is not None
        if cell.adapter.method == "full":
            assert not cost.fits, base
        elif cell.rank is not None and cell.rank <= 64:
            assert cost.fits, (base, cell.slug())


def test_revisions_of_one_model_are_bases_of_their_own(tmp_path: Path) -> None:
    declared = protocol("paper", tmp_path)
    names = [name for name, base in declared.bases.items() if isinstance(base, HubBase) and base.family == "olmo"]
    assert len({planned_base(name, declared).id for name in names}) == len(names) == 4
