"""The first line of a measure's file."""

import pytest

from harness.spec.measure import Grain, MeasureHead, measure_head


@pytest.mark.parametrize(
    ("line", "head"),
    [
        ("-- one row per run; a share, 0 to 1\n", MeasureHead(Grain.RUN, "a share, 0 to 1", bounded=True)),
        ("-- one row per GRPO run; a norm; of dW", MeasureHead(Grain.RUN, "a norm; of dW", bounded=False)),
        ("--one row per base ; nats", MeasureHead(Grain.BASE, "nats", bounded=False)),
        ("-- one row per (run, problem); 0 to 1", MeasureHead(Grain.ITEM, "0 to 1", bounded=True)),
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
        "-- one row per base model; 0 to 1",
        "SELECT 1 -- one row per run; 0 to 1",
    ],
)
def test_anything_else_is_no_head(line: str) -> None:
    assert measure_head(line) is None
