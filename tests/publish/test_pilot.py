from dataclasses import replace

from harness.campaign.pilot import Choice, Gain
from harness.publish.pilot import pilot_table

CHOICE = Choice(
    protocol="bench",
    base_accuracy=0.3456,
    gains=(
        Gain(1e-3, 20, 3, 0.1204, 0.0123),
        Gain(1e-3, 10, 3, 0.05, 0.01),
        Gain(1e-4, 10, 3, -0.0104, 0.001),
        Gain(1e-4, 20, 3, 0.0, 0.0),
    ),
    steps=20,
    learning_rate=1e-3,
    healthy_gain=0.1204,
    declared_steps=20,
    declared_learning_rate=1e-3,
    declared_healthy_gain=0.12,
)


def test_the_table_has_a_row_a_rate_and_a_column_a_number_of_steps() -> None:
    lines = pilot_table(CHOICE, "the rule in words").splitlines()
    assert lines[0].endswith("(0.346), with standard error and runs.")
    assert lines[2:6] == [
        "| learning rate | 10 steps | 20 steps |",
        "|---|---|---|",
        "| 0.0001 | -0.010 ± 0.001 (n=3) | +0.000 ± 0.000 (n=3) |",
        "| 0.001 | +0.050 ± 0.010 (n=3) | +0.120 ± 0.012 (n=3) |",
    ]
    assert lines[7] == "Rule: the rule in words."
    assert lines[8] == "Chosen: 20 steps, learning rate 0.001, healthy gain 0.120 (as declared)."


def test_a_cell_without_runs_keeps_its_column() -> None:
    some = replace(CHOICE, gains=CHOICE.gains[:1] + CHOICE.gains[2:])
    assert "| 0.001 |  | +0.120 ± 0.012 (n=3) |" in pilot_table(some, "rule").splitlines()


def test_a_choice_that_is_not_declared_says_what_to_change() -> None:
    last = pilot_table(replace(CHOICE, declared_steps=10), "rule").splitlines()[-1]
    assert last.endswith(
        "(the protocol declares 10 steps, learning rate 0.001, healthy gain 0.120: change it to the rule's choice)."
    )
