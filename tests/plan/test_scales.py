"""The protocols of larger scale: the whole catalogue is planned and costed under them, or told why not; no network."""

from pathlib import Path

import pytest

from harness.campaign.bench import Bench
from harness.plan import RunSet, misfit, plan, planned_base, run_cost
from harness.record.layout import Store
from harness.spec import HubBase, Protocol, load_protocol
from harness.spec.shelf import find_shelf

ROOT = Path(__file__).parents[2]
# What transformers counts for the published configurations.
PARAMETERS = {
    "meta-llama/Llama-3.1-8B": 8_030_261_248,
    "Qwen/Qwen3-8B-Base": 8_190_735_360,
    "allenai/Olmo-3-1025-7B": 7_298_011_136,
    "Qwen/Qwen3-0.6B-Base": 596_049_920,
    "allenai/OLMo-2-0425-1B": 1_484_916_736,
    "allenai/OLMo-2-0425-1B-early-training": 1_484_916_736,
    "EleutherAI/pythia-410m": 405_334_016,
    **{f"EleutherAI/pythia-410m-seed{seed}": 405_334_016 for seed in range(1, 10)},
}


MATURITY = "hypotheses/maturity.yaml: design.bases asks for 3 families x 2 budgets x 4 seeds, and "
TOLD = {
    "small": {
        "failure-to-launch": "hypotheses/failure-to-launch.yaml: base qwen has no checkpoint 'cold'. Name another",
        "maturity": MATURITY + "pythia@early-1, ",  # one family is there, and it is replicated
    },
    "paper": {
        "failure-to-launch": "hypotheses/failure-to-launch.yaml: base llama has no checkpoint 'cold'. Name another",
        "maturity": MATURITY + "llama, qwen, olmo are 3 x 1 x 1.",
    },
}


def protocol(name: str) -> Protocol:
    return load_protocol(ROOT / "runs" / f"{name}.yaml", f"{name}.yaml")


def bench(name: str, tmp_path: Path) -> Bench:
    return Bench(find_shelf(tmp_path), Store(tmp_path / "store"), name)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody be asked."""

    def nobody(*_: object, **__: object) -> None:
        raise AssertionError("somebody was asked")

    monkeypatch.setattr("socket.socket.connect", nobody)


def planned(bench: Bench) -> RunSet:
    """Return the runs of every claim that can be asked of the protocol's own bases."""
    return plan(bench.askable(bench.shelf.names("hypotheses"))[0], bench.protocol, None)


@pytest.mark.parametrize("name", ["small", "paper"])
def test_every_claim_is_planned_and_costed_or_told_why_not(name: str, tmp_path: Path) -> None:
    of = bench(name, tmp_path)
    told = of.askable(of.shelf.names("hypotheses"))[1]
    assert told.keys() == TOLD[name].keys()
    assert all(told[claim].startswith(why) for claim, why in TOLD[name].items())
    runs, declared = planned(of), of.protocol
    assert {base.provisional for base in runs.bases} == {True}
    cells = {(run.base.name, run.cell) for run in runs.runs}
    assert len(cells) > 20
    for base, cell in cells:
        assert misfit(cell, declared) == "", (base, cell.slug())
        cost = run_cost(cell, base, declared)
        assert cost is not None
        assert 0.05 < cost.gpu_hours < 50


@pytest.mark.parametrize(("name", "base"), [("small", "olmo"), ("small", "pythia"), ("paper", "olmo")])
def test_a_cold_base_is_there_where_early_revisions_are(name: str, base: str, tmp_path: Path) -> None:
    of = bench(name, tmp_path)
    claim = of.hypotheses(["failure-to-launch"])
    of.check_bases(claim, of.planned_bases([base]))
    runs = of.plan(claim, [base])
    assert {run.base.name for run in runs.runs} == {f"{base}@cold"}
    cold, final = (of.protocol.base(each) for each in (f"{base}@cold", base))
    assert isinstance(cold, HubBase) and isinstance(final, HubBase)
    assert cold.tokens and final.tokens and cold.tokens.count < final.tokens.count / 100
    assert run_cost(runs.runs[0].cell, f"{base}@cold", of.protocol) is not None


def test_one_family_is_replicated_for_two_budgets_and_no_seed_is_in_both() -> None:
    declared = protocol("small")
    found = [declared.base(name) for name in declared.replicates("pythia")]
    repositories = [base.hub for base in found if isinstance(base, HubBase)]
    assert len(set(repositories)) == len(found) == 8
    assert [base.budget() for base in found] == ["1.46801e+11 tokens"] * 4 + ["2.93601e+11 tokens"] * 4
    assert {base.family for base in found} == {"pythia"}


@pytest.mark.parametrize("name", ["small", "paper"])
def test_declared_shapes_are_those_of_the_published_models(name: str) -> None:
    declared = protocol(name)
    for base in map(declared.base, declared.base_names()):
        assert isinstance(base, HubBase)
        assert base.shape.parameters() == PARAMETERS[str(base.hub)]
        assert base.tokens is not None


@pytest.mark.parametrize("name", ["small", "paper"])
def test_nothing_that_was_not_measured_is_declared_as_measured(name: str) -> None:
    declared = protocol(name)
    assert declared.thresholds.healthy_gain is None
    assert "to be set by `harness pilot`" in declared.thresholds.source
    assert declared.hardware is not None
    assert "none was measured" in declared.hardware.source
    assert declared.grpo["learning_rate"] in declared.pilot.learning_rates


def test_the_paper_s_low_ranks_fit_one_gpu_and_full_fine_tuning_does_not(tmp_path: Path) -> None:
    of = bench("paper", tmp_path)
    costs = {(run.base.name, run.cell): run_cost(run.cell, run.base.name, of.protocol) for run in planned(of).runs}
    for (base, cell), cost in costs.items():
        assert cost is not None
        if cell.adapter.method == "full":
            assert not cost.fits, base
        elif cell.rank is not None and cell.rank <= 64:
            assert cost.fits, (base, cell.slug())


def test_revisions_of_one_model_are_bases_of_their_own() -> None:
    declared = protocol("paper")
    names = [name for name in declared.base_names() if name.startswith("olmo")]
    assert len({planned_base(name, declared).id for name in names}) == len(names) == 5
