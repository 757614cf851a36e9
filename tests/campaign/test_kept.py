"""A measure that runs of an arm's algorithm have none of, or none at an update, is a mistake before anything is run."""

from typing import TYPE_CHECKING

import pytest

from harness.spec import DeclarationError

if TYPE_CHECKING:
    from tests.conftest import Made

SPREAD = """
title: Ranks spread
claim: Rank 16 spreads over more directions than rank 8.
source: a claim of the tests
design: {seeds: 6}
predictions:
  - {id: first, kind: min_effect, role: primary, statement: Rank 16 is more accurate., margin: 0.1,
     rationale: Half a direction is what one could see., a: {rank: 16}, b: {rank: 8}}
  - {id: more, kind: min_effect, role: auxiliary, statement: Rank 16 spreads wider., margin: 0.1,
     rationale: Half a direction is what one could see., measure: MEASURE, ARMS}
"""
ALIKE = "a: {rank: 16}, b: {rank: 8}"
"""20 updates each."""
LARGER = "a: {rank: 8, batch: 256}, b: {rank: 8}"
"""5 updates and 20."""
LEFT = "Name one of them, or leave {at} out for each run's last update."


def told(made: "Made", measure: str, arms: str, spectra_at: str) -> list[str]:
    """Return the mistakes of a claim on a measure, its file and prediction and the protocol taken off."""
    made.declare("hypotheses/spread.yaml", SPREAD.replace("MEASURE", measure).replace("ARMS", arms))
    made.declare("runs/bench.yaml", f"{made.protocol_text}\nspectra_at: {spectra_at}\n")
    try:
        made.bench().hypotheses(["spread"])
    except DeclarationError as error:
        start = "hypotheses/spread.yaml predictions[1].measure: under protocol bench, "
        assert all(line.startswith(start) for line in error.lines)
        return [line.removeprefix(start) for line in error.lines]
    return []


@pytest.mark.parametrize(
    ("measure", "arms", "spectra_at"),
    [
        ("stable_rank", ALIKE, "[]"),
        *((f"stable_rank@{step}", ALIKE, "[2, 4, 40]") for step in (1, 2, 4, 20)),
        *((f"reward_at@{step}", ALIKE, "[]") for step in (1, 7, 20)),
        ("principal_overlap", LARGER, "[]"),
        ("principal_overlap@20", ALIKE, "[]"),
        ("stable_rank@4", LARGER, "[4]"),
        ("stable_rank@5", LARGER, "[5]"),
        ("stable_rank@5", "a: {rank: 8, batch: 256}, b: {rank: 16, batch: 256}", "[]"),
        ("reward_at@20", "a: {rank: 8, batch: 256, match: updates}, b: {rank: 8}", "[]"),
    ],
)
def test_updates_at_which_every_run_keeps_a_value(made: "Made", measure: str, arms: str, spectra_at: str) -> None:
    assert told(made, measure, arms, spectra_at) == []


SPECTRA = "a spectrum is kept after the first update, those of spectra_at and the last"


@pytest.mark.parametrize(
    ("measure", "arms", "spectra_at", "lacking", "why", "kept"),
    [
        ("stable_rank@5", ALIKE, "[2, 4]", "a (20 updates), b (20 updates)", SPECTRA, "1, 2, 4, 20"),
        ("stable_rank@40", ALIKE, "[2, 40]", "a (20 updates), b (20 updates)", SPECTRA, "1, 2, 20"),
        ("update_norm@0", ALIKE, "[]", "a (20 updates), b (20 updates)", SPECTRA, "1, 20"),
        ("stable_rank@8", LARGER, "[2, 8]", "a (5 updates)", SPECTRA, "1, 2"),
        ("stable_rank@5", LARGER, "[2, 8]", "b (20 updates)", SPECTRA, "1, 2"),
        ("reward_at@6", LARGER, "[]", "a (5 updates)", "it has one after every update that they make", "1 to 5"),
        ("intruder_count@4", ALIKE, "[4]", "a (20 updates), b (20 updates)",
         "it is computed after the last update only", "20"),
    ],
)  # fmt: skip
def test_another_update_is_a_mistake(
    made: "Made", measure: str, arms: str, spectra_at: str, lacking: str, why: str, kept: str
) -> None:
    (line,) = told(made, measure, arms, spectra_at)
    remedy = LEFT.format(at=measure[measure.index("@") :])
    assert line == f'"{measure}" has no value in {lacking}: {why}. Kept here: {kept}. {remedy}'


def test_where_arms_share_no_update_only_their_last_ones_are_left(made: "Made") -> None:
    (line,) = told(made, "overlap_excess@20", LARGER, "[]")
    assert line.startswith('"overlap_excess@20" has no value in a (5 updates): ')
    assert line.endswith(". Kept here: none that all arms share. Leave @20 out for each run's last update.")


def test_an_arm_that_cannot_run_is_told_for_that_alone(made: "Made") -> None:
    made.declare("runs/bench.yaml", made.protocol_text)
    arms = "a: {rank: 8, batch: 60}, b: {rank: 8}"
    made.declare("hypotheses/spread.yaml", SPREAD.replace("MEASURE", "stable_rank@1").replace("ARMS", arms))
    with pytest.raises(DeclarationError) as caught:
        made.bench().hypotheses(["spread"])
    (line,) = caught.value.lines
    assert "a cannot run: batch 60 is no multiple" in line


def test_a_measure_of_ones_own_may_say_at_which_updates_it_has_values(made: "Made") -> None:
    made.declare("analysis/mine.sql", "-- one row per (run, last step); 0 to 1\nSELECT run_id, 1 AS step, 1 AS value")
    (line,) = told(made, "mine@4", ALIKE, "[4]")
    assert line.startswith('"mine@4" has no value in a (20 updates), b (20 updates): it is computed after the last')
    made.declare("analysis/mine.sql", "-- one row per (run, step); 0 to 1\nSELECT run_id, 1 AS step, 1 AS value")
    assert told(made, "mine@4", ALIKE, "[]") == []


SFT_ARM = "a: {rank: 8}, b: {algorithm: sft, rank: 8}"
REWARDS = ("reward_at", "reward_at@3", "reward_at@40", "final_reward", "peak_reward", "groups_without_gradient")


@pytest.mark.parametrize("measure", REWARDS)
def test_a_reward_of_an_arm_that_has_none_is_a_mistake(made: "Made", measure: str) -> None:
    (line,) = told(made, measure, SFT_ARM, "[]")
    remedy = "Contrast GRPO arms alone, or name a measure that every arm has."
    assert line == f'"{measure}" has no value in b (SFT): only GRPO runs have one. {remedy}'
    if measure != "reward_at@40":  # of 20 updates
        assert told(made, measure, ALIKE, "[]") == []


def test_what_runs_of_both_algorithms_have_is_none(made: "Made") -> None:
    for measure in ("accuracy", "first_update_norm", "stable_rank", "stable_rank@1"):
        assert told(made, measure, SFT_ARM, "[]") == [], measure


@pytest.mark.parametrize("measure", ["final_reward", "reward_at@3"])
def test_a_contrast_over_both_algorithms_has_no_reward(made: "Made", measure: str) -> None:
    arms = "a: {rank: 16}, b: {rank: 8}, c: {algorithm: sft, rank: 16}, d: {algorithm: sft, rank: 8}"
    made.declare("runs/bench.yaml", made.protocol_text)
    four = SPREAD.replace("MEASURE", measure).replace("ARMS", arms)
    made.declare("hypotheses/spread.yaml", four.replace("{id: more, kind: min_effect", "{id: more, kind: interaction"))
    with pytest.raises(DeclarationError, match=r"has no value in c \(SFT\), d \(SFT\): only GRPO runs have one"):
        made.bench().hypotheses(["spread"])


def test_a_measure_of_ones_own_may_be_of_one_algorithm(made: "Made") -> None:
    for head, arms, lacking in (("SFT run", ALIKE, "a (GRPO), b (GRPO)"), ("(GRPO run, step)", SFT_ARM, "b (SFT)")):
        made.declare("analysis/mine.sql", f"-- one row per {head}; 0 to 1\nSELECT run_id, 1 AS step, 1 AS value")
        (line,) = told(made, "mine", arms, "[]")
        assert line.startswith(f'"mine" has no value in {lacking}: only ')
    made.declare("analysis/mine.sql", "-- one row per LoRA run; 0 to 1\nSELECT run_id, 1 AS value")
    assert told(made, "mine", SFT_ARM, "[]") == []
