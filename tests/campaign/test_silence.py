"""A run without a value of the measure decides nothing by its absence, and the verdict says why it has none."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from harness.campaign.adopted import adopt_table, verdict_on_table
from harness.campaign.verdicts import verdict_on
from harness.plan import PlannedRun
from harness.record.adopted import adopted
from harness.record.verdict import Outcome, PredictionVerdict, Reason, Verdict

if TYPE_CHECKING:
    from tests.conftest import Made

Row = dict[str, Any]
Spectra = Callable[[PlannedRun], list[Row]]

RANKS = """
title: Ranks show
claim: Update 4 of rank 16 spreads over more directions than that of rank 8.
source: a claim of the tests
design: {seeds: 6, looks: [6]}
predictions:
  - {id: more, kind: min_effect, role: primary, statement: Rank 16 spreads wider.,
     rationale: Half a direction is what one could see., margin: 0.5, measure: MEASURE,
     a: {rank: 16}, b: {rank: 8}}
"""
AT_FOUR = "stable_rank@4"


def row(run: PlannedRun, **fields: Any) -> Row:
    """Return a matrix at update 4: a stable rank of about 4 at rank 16 and 2 at rank 8, energies of .1 and .9."""
    wide, spread = run.cell.rank == 16, run.index / 1000
    top = (0.1 if wide else 0.9) + spread
    about: Row = {"step": 4, "target": "update", "module": "q", "source": "factors"}
    return {**about, "stable_rank": (4.0 if wide else 2.0) + spread, "top_energy": [top] * 5, **fields}


def decided(
    made: "Made",
    spectra: Spectra,
    measure: str = AT_FOUR,
    accuracy: Callable[[PlannedRun], float] = lambda _: 0.5,
    claim: str = RANKS,
) -> Verdict:
    """Return the verdict on runs that each have the rows of `spectra`, and an accuracy."""
    made.declare("hypotheses/ranks.yaml", claim.replace("MEASURE", measure))
    made.declare("runs/bench.yaml", f"{made.protocol_text}\nspectra_at: [4]\n")
    bench = made.bench()
    bench.register_shelf()
    hypotheses = bench.hypotheses(["ranks"])
    runs = bench.plan(hypotheses, ["llama"])
    made.base(runs.bases[0])
    for run in runs.runs:
        made.run(run, accuracy(run) + run.index / 1000, {"spectrum": spectra(run)})
    return verdict_on(bench, "ranks", hypotheses["ranks"], bench.planned_bases(()))


def only(verdict: Verdict) -> PredictionVerdict:
    (said,) = verdict.predictions
    return said


def silent_notes(verdict: Verdict) -> list[str]:
    return [note for note in verdict.registered.notes if "no value" in note]


@pytest.mark.parametrize("measure", [AT_FOUR, "stable_rank"])
def test_with_a_value_for_every_run_it_is_decided(made: "Made", measure: str) -> None:
    step = {"step": 4 if measure == AT_FOUR else 20}
    verdict = decided(made, lambda run: [row(run, **step)], measure)
    assert (verdict.outcome, silent_notes(verdict)) == (Outcome.SUPPORTED, [])
    assert verdict.registered.confirmatory
    assert only(verdict).estimates[0].value == pytest.approx(2.0)


def test_runs_without_a_value_leave_it_open_and_say_why(made: "Made") -> None:
    """Without bounds on a value, one run that has none could have had any."""

    def spectra(run: PlannedRun) -> list[Row]:
        if run.cell.rank == 16 and run.index in (1, 4):
            return [row(run, source="low_precision_difference")]
        return [] if run.cell.rank == 8 and run.index == 2 else [row(run)]

    verdict = decided(made, spectra)
    assert (only(verdict).outcome, only(verdict).reason) == (Outcome.INCONCLUSIVE, Reason.MISSING_RUNS)
    assert "3 of 12 planned runs missing" in only(verdict).detail
    why = "no spectrum at step 4: 1, update read from low-precision weights: 2"
    assert silent_notes(verdict) == [f"stable_rank@4: no value for 3 of 12 runs ({why})"]
    assert (verdict.missing, verdict.used_runs) == ((), 12)  # they have a result


def test_an_arm_without_any_value_tests_nothing(made: "Made") -> None:
    verdict = decided(made, lambda run: [row(run, stable_rank=None if run.cell.rank == 8 else 4.0)])
    assert (only(verdict).outcome, only(verdict).reason) == (Outcome.UNTESTED, Reason.NO_RUNS)
    assert only(verdict).detail == "no runs at b (6 without a value)"
    assert silent_notes(verdict) == ["stable_rank@4: no value for 6 of 12 runs (no value: 6)"]


def test_shares_take_the_worst_for_runs_without_one(made: "Made") -> None:
    """One of six at 0 or 1 moves a mean by at most 1/6: .1 - .9 stays far below .5 whatever it was."""

    def spectra(run: PlannedRun) -> list[Row]:
        return [] if run.cell.rank == 16 and run.index == 0 else [row(run)]

    verdict = decided(made, spectra, "top1_energy@4")
    assert (only(verdict).outcome, only(verdict).how) == (Outcome.REFUTED, "wrong sign")
    assert silent_notes(verdict) == ["top1_energy@4: no value for 1 of 12 runs (no spectrum at step 4: 1)"]


def test_a_collapsed_run_without_a_value_still_mixes_its_cell(made: "Made") -> None:
    """Without the rule of mixed cells these shares would refute it, as above."""

    def one_collapse(run: PlannedRun) -> float:
        return 0.01 if run.cell.rank == 16 and run.index == 0 else 0.5

    verdict = decided(
        made,
        lambda run: [] if one_collapse(run) < 0.1 else [row(run)],
        "top1_energy@4",
        one_collapse,
    )
    assert (only(verdict).outcome, only(verdict).reason) == (Outcome.INCONCLUSIVE, Reason.MIXED_CELLS)
    assert "side by side at a (1 of 6 collapsed)" in only(verdict).detail


def test_runs_that_a_selection_does_not_take_need_no_value(made: "Made") -> None:
    def half(run: PlannedRun) -> float:
        return 0.01 if run.index % 2 else 0.5

    def spectra(run: PlannedRun) -> list[Row]:
        return [] if run.index % 2 else [row(run)]

    selected = RANKS.replace("rank: 16}", "rank: 16, where: trained}").replace("rank: 8}", "rank: 8, where: trained}")
    verdict = decided(made, spectra, accuracy=half, claim=selected)
    assert only(verdict).outcome is Outcome.SUPPORTED
    assert [cell.n_runs for cell in only(verdict).cells] == [3, 3]
    living = selected.replace("where: trained", "where: collapsed")
    verdict = decided(made, spectra, accuracy=half, claim=living)
    assert (only(verdict).outcome, only(verdict).reason) == (Outcome.UNTESTED, Reason.TOO_FEW)
    assert only(verdict).detail == "too few runs of the label at a (0; 3 without a value), b (0; 3 without a value)"


def test_a_table_may_bear_a_column_of_values_at_a_step(made: "Made") -> None:
    made.declare("hypotheses/ranks.yaml", RANKS.replace("MEASURE", AT_FOUR))
    made.declare("runs/bench.yaml", f"{made.protocol_text}\nspectra_at: [4]\n")
    bench = made.bench()
    bench.register_shelf()
    claim = bench.hypotheses(["ranks"])["ranks"]
    columns = "rank,seed,accuracy,n_items,base_accuracy,stable_rank@4,stable_rank@04,accuracy@4"
    runs = [(r, s) for r in (8, 16) for s in range(6)]
    whole = [f"{r},{s},0.5,500,0.4,{r / 4 + s / 1000},9,9" for r, s in runs]
    gap = [line.replace("2.003", "") for line in whole]
    found: list[Verdict] = []
    for name, lines in (("whole", whole), ("gap", gap)):
        file = made.declare(f"{name}.csv", "\n".join([columns, *lines]) + "\n")
        said = adopt_table(bench, "ranks", claim, file, None).said
        assert said.ignored == ("accuracy@4", "stable_rank@04")
        table = adopted(bench.store, name)
        assert table is not None
        found.append(verdict_on_table(bench, "ranks", claim, table))
    assert [verdict.outcome for verdict in found] == [Outcome.SUPPORTED, Outcome.INCONCLUSIVE]
    assert only(found[0]).estimates[0].value == pytest.approx(2.0)
    assert silent_notes(found[0]) == []
    assert silent_notes(found[1]) == ["stable_rank@4: no value for 1 of 12 runs (no value in the table: 1)"]
