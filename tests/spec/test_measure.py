"""The first line of a measure's file."""

import pytest

from harness.spec.measure import Grain, MeasureHead, Steps, bounded_among, head_of, is_measure, measure_head, split


@pytest.mark.parametrize(
    ("line", "head"),
    [
        ("-- one row per run; a share, 0 to 1\n", MeasureHead(Grain.RUN, "a share, 0 to 1", bounded=True)),
        ("-- one row per LoRA run; a norm; of dW", MeasureHead(Grain.RUN, "a norm; of dW", bounded=False)),
        ("-- one row per GRPO run; a norm", MeasureHead(Grain.RUN, "a norm", bounded=False, algorithm="grpo")),
        ("-- one row per sft run; a norm", MeasureHead(Grain.RUN, "a norm", bounded=False, algorithm="sft")),
        (
            "-- one row per (GRPO run, problem); a norm",
            MeasureHead(Grain.ITEM, "a norm", bounded=False, algorithm="grpo"),
        ),
        (
            "-- one row per (GRPO run, last step); a norm",
            MeasureHead(Grain.STEP, "a norm", bounded=False, at=Steps.LAST, algorithm="grpo"),
        ),
        ("--one row per base ; nats", MeasureHead(Grain.BASE, "nats", bounded=False)),
        ("-- one row per (run, problem); 0 to 1", MeasureHead(Grain.ITEM, "0 to 1", bounded=True)),
        ("-- one row per (run, step); a norm", MeasureHead(Grain.STEP, "a norm", bounded=False, at=Steps.EVERY)),
        (
            "-- one row per (run, step with spectra); a norm",
            MeasureHead(Grain.STEP, "a norm", bounded=False, at=Steps.SPECTRA),
        ),
        ("-- one row per (run, last step); a norm", MeasureHead(Grain.STEP, "a norm", bounded=False, at=Steps.LAST)),
    ],
)
def test_a_head_states_grain_and_unit(line: str, head: MeasureHead) -> None:
    assert measure_head(line) == head


@pytest.mark.parametrize(
    "line",
    [
        "",
        "-- fine",
        "-- one row per run",
        "-- one row per run;  ",
        "-- one row per runner; 0 to 1",
        "-- one row per (run, layer); 0 to 1",
        "-- one row per (GRPO, step); 0 to 1",
        "-- one row per (a GRPO run, step); 0 to 1",
        "-- one row per (run, first step); 0 to 1",
        "-- one row per (run, last step with spectra); 0 to 1",
        "-- one row per base model; 0 to 1",
        "SELECT 1 -- one row per run; 0 to 1",
    ],
)
def test_anything_else_is_no_head(line: str) -> None:
    assert measure_head(line) is None


@pytest.mark.parametrize("grain", list(Grain))
def test_the_rows_of_a_grain_are_those_that_its_head_states(grain: Grain) -> None:
    head = measure_head(f"-- {grain.rows()}; a norm")
    assert head is not None
    assert head.grain is grain


@pytest.mark.parametrize(
    ("measure", "name", "step"),
    [
        ("stable_rank", "stable_rank", None),
        ("stable_rank@4", "stable_rank", 4),
        ("stable_rank@0", "stable_rank", 0),
        ("stable_rank@120", "stable_rank", 120),
        ("own:measure", "own:measure", None),
        # No step, so that nothing is read as the measure that it is not.
        ("stable_rank@04", "stable_rank@04", None),
        ("stable_rank@-1", "stable_rank@-1", None),
        ("stable_rank@4.0", "stable_rank@4.0", None),
        ("stable_rank@", "stable_rank@", None),
        ("stable_rank@٤", "stable_rank@٤", None),
        ("stable_rank@4@4", "stable_rank@4@4", None),
        ("stable_rank@4\n", "stable_rank@4\n", None),
        ("@4", "@4", None),
    ],
)
def test_a_measure_is_a_name_and_perhaps_a_step(measure: str, name: str, step: int | None) -> None:
    assert split(measure) == (name, step)
    assert is_measure(measure) == ("@" not in name)


@pytest.mark.parametrize("measure", ["", "Norm", "a-b", "own:measure@4", "9lives", "a b"])
def test_anything_else_is_no_measure(measure: str) -> None:
    assert not is_measure(measure)


def test_only_a_measure_of_steps_has_a_value_at_one() -> None:
    heads = {str(grain): MeasureHead(grain, "a share", bounded=True) for grain in Grain}
    assert {name: head_of(heads, name) for name in heads} == heads
    assert head_of(heads, "step@4") == heads["step"]
    assert [head_of(heads, f"{grain}@4") for grain in (Grain.RUN, Grain.ITEM, Grain.BASE)] == [None] * 3
    assert head_of(heads, "none") is None
    assert bounded_among(heads, ["step@4", "run", "run@4", "none"]) == {"step@4", "run"}
    assert bounded_among({"step": MeasureHead(Grain.STEP, "a norm", bounded=False)}, ["step", "step@4"]) == frozenset()


@pytest.mark.parametrize(
    ("updates", "every", "spectra"),
    [
        (80, list(range(1, 81)), [1, 2, 4, 32, 80]),
        (32, list(range(1, 33)), [1, 2, 4, 32]),
        (20, list(range(1, 21)), [1, 2, 4, 20]),
        (1, [1], [1]),
    ],
)
def test_values_are_kept_after_updates_that_are_made(updates: int, every: list[int], spectra: list[int]) -> None:
    assert list(Steps.EVERY.kept(updates, (2, 4, 32))) == every
    assert list(Steps.SPECTRA.kept(updates, (2, 4, 32))) == spectra
    assert list(Steps.LAST.kept(updates, (2, 4, 32))) == [updates]
