"""Two runs beside each other: fields that differ, unknown ones, and counts over paired problems by hand."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.campaign.comparison import Comparison, Side, cell_of, flat, side_of_adopted, side_of_run
from harness.plan import PlannedRun
from harness.publish.comparison import comparison_lines
from harness.record.adopted_runs import adopt_run
from harness.record.job import JobDirectory
from harness.record.trl_facts import known
from harness.record.trl_folder import output

if TYPE_CHECKING:
    from tests.conftest import Made


def answers(*problems: tuple[int, bool]) -> list[dict[str, Any]]:
    """Return rows of the evaluation: of ten sampled answers so many right, and whether the most likely one was."""
    rows = [
        {"step": 20, "split": "evaluation", "problem": i, "samples": 10, "correct": correct, "greedy_correct": greedy}
        for i, (correct, greedy) in enumerate(problems)
    ]
    early = {"step": 5, "split": "evaluation", "problem": 0, "samples": 10, "correct": 10, "greedy_correct": True}
    return [early, {**early, "split": "validation", "step": 20}, *rows]


def spectrum(*ranks: float) -> list[dict[str, Any]]:
    each = {"step": 20, "target": "update", "frobenius": 3.0}
    ranked = enumerate(ranks)
    rows = [{**each, "module": f"m{i}", "stable_rank": rank, "effective_rank": 2 * rank} for i, rank in ranked]
    return [{**rows[0], "step": 1, "stable_rank": 99.0}, {**rows[0], "target": "null", "stable_rank": 99.0}, *rows]


@pytest.fixture
def pair(made: "Made") -> tuple[PlannedRun, PlannedRun]:
    """Return two committed runs, at ranks 8 and 16."""
    bench = made.bench()
    runs = bench.plan(bench.hypotheses(["live"]), ["llama"]).runs
    a, b = (next(run for run in runs if run.cell.adapter.rank == rank) for rank in (8, 16))  # type: ignore[union-attr]
    steps = [{"step": i, "loss": 1.0 / i, "reward": i / 20} for i in range(1, 21)]
    kept_a = {"evaluation": answers((9, True), (5, True), (0, False), (3, False)), "spectrum": spectrum(1.0, 2.0, 5.0)}
    kept_b = {"evaluation": answers((9, True), (6, False), (0, False), (2, True)), "spectrum": spectrum(1.5, 2.5)}
    software = {"torch": "2.0", "trl": "1.0"}
    made.run(a, 0.5, {**kept_a, "steps": steps})
    made.run(b, 0.25, {**kept_b, "steps": steps}, software=software)
    return a, b


def compared(made: "Made", pair: tuple[PlannedRun, PlannedRun]) -> Comparison:
    return Comparison(*(side_of_run(made.bench().run_job(run)) for run in pair))


def test_fields_that_differ_are_told_and_equal_ones_are_counted(
    made: "Made", pair: tuple[PlannedRun, PlannedRun]
) -> None:
    found = compared(made, pair)
    fields = {(row["section"], row["field"]): (row["a"], row["b"]) for row in found.fields()}
    assert fields == {
        ("cell", "adapter.rank"): (8, 16),
        ("software", "torch"): ("1.0", "2.0"),
        ("software", "transformers"): ("1.0", None),
        ("software", "peft"): ("1.0", None),
    }
    assert not any(row["unknown"] for row in found.fields())
    identity = {key: value for key, value in pair[0].identity.items() if key not in ("cell", "recipe", "trainer")}
    assert found.equal()["identity"] == len(flat(identity))
    assert found.equal()["software"] == 1


def test_results_are_those_of_the_records(made: "Made", pair: tuple[PlannedRun, PlannedRun]) -> None:
    found = {row["name"]: row for row in compared(made, pair).results()}
    assert (found["accuracy"]["a"], found["accuracy"]["b"], found["accuracy"]["difference"]) == (0.5, 0.25, -0.25)
    assert (found["last_reward"]["a"], found["last_loss"]["a"]) == (1.0, 0.05)
    assert found["reward_of_last_ten"]["a"] == pytest.approx(0.775)  # the mean of 11/20 to 20/20
    assert (found["median_stable_rank"]["a"], found["median_stable_rank"]["b"]) == (2.0, 2.0)
    assert (found["median_effective_rank"]["a"], found["median_effective_rank"]["b"]) == (4.0, 4.0)
    assert not any(row["stated"] for row in found.values())


def test_problems_are_paired_by_hand(made: "Made", pair: tuple[PlannedRun, PlannedRun]) -> None:
    """Most likely answers: both on 0, a alone on 1, neither on 2, b alone on 3; sampled: equal, b, equal, a."""
    counts, why = compared(made, pair).problems()
    assert why is None
    assert counts == {
        "problems": 4, "both": 1, "only_a": 1, "only_b": 1, "neither": 1,
        "more_often_a": 1, "more_often_b": 1, "equally_often": 2,
    }  # fmt: skip


def test_runs_on_other_problems_are_not_paired(made: "Made", pair: tuple[PlannedRun, PlannedRun]) -> None:
    a = side_of_run(made.bench().run_job(pair[0]))
    made.declare("runs/bench.yaml", made.protocol_text.replace("split_seed: 5", "split_seed: 8"))
    bench = made.bench()
    other = bench.plan(bench.hypotheses(["live"]), ["llama"]).runs[0]
    made.run(other, 0.5)
    found = Comparison(a, side_of_run(bench.run_job(other)))
    assert found.problems() == (None, "they answered different evaluation sets")


def test_a_run_without_a_result_has_its_declaration_alone(made: "Made", pair: tuple[PlannedRun, PlannedRun]) -> None:
    bench = made.bench()
    new = bench.plan(bench.hypotheses(["live"]), ["llama"]).runs[-1]
    job = JobDirectory(bench.run_job(new).path)
    job.create({"id": new.id, "identity": new.identity})
    found = Comparison(side_of_run(bench.run_job(pair[0])), side_of_run(job))
    assert found.problems() == (None, f"no answers of {new.id} are kept")
    assert {row["name"]: row["b"] for row in found.results()}["accuracy"] is None


@pytest.mark.slow
def test_what_an_adopted_run_does_not_say_is_unknown(
    made: "Made", pair: tuple[PlannedRun, PlannedRun], trl_output: Path
) -> None:
    theirs = output(trl_output / "sft")
    adopted = side_of_adopted(adopt_run(made.store, "theirs", ("sft", None), theirs, known(theirs), spectrum(4.0)))
    found = Comparison(side_of_run(made.bench().run_job(pair[0])), adopted)
    fields = {(row["section"], row["field"]): row for row in found.fields()}
    assert fields["cell", "algorithm"]["b"] == "sft" and fields["cell", "algorithm"]["unknown"] == []
    config = theirs.config or {}
    assert fields["cell", "adapter.rank"]["b"] == config["r"] and fields["cell", "adapter.rank"]["unknown"] == []
    assert ("cell", "adapter.method") not in fields  # LoRA, both of them
    assert fields["cell", "adapter.scaling.policy"]["unknown"] == ["b"]
    assert fields["identity", "seed"]["unknown"] == ["b"] and fields["identity", "seed"]["b"] is None
    assert fields["identity", "base_id"]["b"] == str(trl_output / "base")
    assert fields["recipe", "lora_dropout"]["unknown"] == ["b"]
    results = {row["name"]: row for row in found.results()}
    assert (results["accuracy"]["b"], results["accuracy"]["stated"]) == (0.375, ["b"])
    assert (results["wall_seconds"]["b"] if "wall_seconds" in results else None) is None
    assert results["median_stable_rank"]["b"] == 4.0
    assert found.problems() == (None, "no answers of theirs are kept")
    text = "\n".join(comparison_lines(found))
    assert "0.375 as stated" in text and "unknown" in text


def test_what_peft_calls_lora_with_an_option_is_dora() -> None:
    adapter = {"method": "lora", "rank": 8, "config": {"peft_type": "LORA", "use_dora": True}}
    assert cell_of("grpo", adapter) == {"algorithm": "grpo", "adapter.method": "dora", "adapter.rank": 8}
    assert cell_of(None, {"method": "full"}) == {"adapter.method": "full"}


def test_a_default_against_a_declaration_and_folded_defaults() -> None:
    empty: dict[str, dict[str, Any]] = {
        name: {} for name in ("identity", "cell", "recipe", "trainer", "adapter", "software", "device")
    }
    a = Side(
        "a",
        False,
        {**empty, "trainer": {"beta": 0.1, "seed": 1}},
        {},
        origins={"beta": "declared", "seed": "set_by_harness"},
    )
    defaults = {"beta": "library_defaults", "seed": "set_by_harness"}
    b = Side("b", False, {**empty, "trainer": {"beta": 0.0, "seed": True}}, {}, origins=defaults)
    text = "\n".join(comparison_lines(Comparison(a, b)))
    assert "beta  0.1" in text and "0.0 (library default)" in text
    assert "seed  1 (set by the harness)" in text  # which true is not
    theirs = Side("c", True, empty, {})
    text = "\n".join(comparison_lines(Comparison(b, theirs)))
    assert "1 library defaults of one, unknown of the other" in text and "beta" not in text


WEIGHED = (("a", [0.3, 0.7]), ("b", [0.7, 0.3]))


def test_lists_of_names_are_compared_as_sets() -> None:
    empty: dict[str, dict[str, Any]] = {
        name: {} for name in ("identity", "cell", "recipe", "trainer", "adapter", "software", "device")
    }
    a, b = (
        Side(name, False, {**empty, "adapter": {"target_modules": names, "r": r}}, {})
        for name, names, r in (("a", ["q", "k"], 8), ("b", ["k", "q"], 8.0))
    )
    assert list(Comparison(a, b).fields()) == []
    assert Comparison(a, b).equal()["adapter"] == 2
    a, b = (Side(name, False, {**empty, "trainer": {"reward_weights": each}}, {}) for name, each in WEIGHED)
    assert [(row["a"], row["b"]) for row in Comparison(a, b).fields()] == [([0.3, 0.7], [0.7, 0.3])]
