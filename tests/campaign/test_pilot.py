"""The pilot's rule against tables written by hand, and a whole pilot on runs made by hand."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.campaign.execution import Progress
from harness.campaign.pilot import Gain, RuleFailed, choose, pilot_protocol, run_pilot, stored_choices
from harness.plan import plan
from harness.record.job import JobDirectory
from harness.source import splits
from harness.spec import Protocol

if TYPE_CHECKING:
    from tests.conftest import Made, Scripted

RATES = (1e-4, 1e-3, 1e-2)
Table = dict[int, tuple[tuple[float, float], ...]]
"""Steps: mean gain and standard error at each of the three rates. A gain of .1 is enough."""

CASES: list[tuple[str, Table, int, float]] = [
    ("the largest within one SE of the best", {10: ((0.20, 0.01), (0.21, 0.02), (0.195, 0.01)), 20: ((0.3, 0.01),) * 3},
     10, 1e-2),
    ("just outside one SE", {10: ((0.20, 0.01), (0.21, 0.02), (0.189, 0.01)), 20: ((0.3, 0.01),) * 3}, 10, 1e-3),
    ("the SE of the best counts, not its own", {10: ((0.20, 0.01), (0.21, 0.01), (0.18, 0.05)), 20: ((0.3, 0.01),) * 3},
     10, 1e-3),
    ("a smaller rate that is best stays if the larger are worse", {10: ((0.2, 0.01), (0.1, 0.01), (0.0, 0.01)),
     20: ((0.3, 0.01),) * 3}, 10, 1e-4),
    ("the fewest steps with enough", {10: ((0.09, 0.01),) * 3, 20: ((0.05, 0.01), (0.12, 0.01), (0.02, 0.01))},
     20, 1e-3),
    ("just enough is enough", {10: ((0.02, 0.01), (0.1, 0.01), (0.02, 0.01)), 20: ((0.5, 0.01),) * 3}, 10, 1e-3),
    ("never enough: the most steps", {10: ((0.08, 0.01),) * 3, 20: ((0.02, 0.01), (0.09, 0.01), (0.03, 0.01))},
     20, 1e-3),
]  # fmt: skip


def gains(table: Table) -> list[Gain]:
    return [
        Gain(rate, steps, 3, mean, error)
        for steps, row in table.items()
        for rate, (mean, error) in zip(RATES, row, strict=True)
    ]


@pytest.fixture
def protocol(made: "Made") -> Protocol:
    return made.bench().protocol


@pytest.mark.parametrize(("table", "steps", "rate"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_rule_chooses(protocol: Protocol, table: Table, steps: int, rate: float) -> None:
    shuffled = gains(table)[::-1]
    choice = choose("bench", protocol, 0.4, shuffled)
    assert (choice.steps, choice.learning_rate) == (steps, rate)
    assert choice.healthy_gain == table[steps][RATES.index(rate)][0]
    assert choice.gains == tuple(shuffled)


def test_the_choice_is_held_against_the_declaration(protocol: Protocol) -> None:
    # declared: 160 prompts / 8 an update = 20 steps, rate 1e-3, gain .12
    table: Table = {10: ((0.0, 0.01),) * 3, 20: ((0.0, 0.01), (0.1204, 0.01), (0.0, 0.01))}
    choice = choose("bench", protocol, 0.4, gains(table))
    assert (choice.declared_steps, choice.declared_learning_rate, choice.declared_healthy_gain) == (20, 1e-3, 0.12)
    assert choice.agrees
    table[20] = ((0.0, 0.01), (0.1206, 0.01), (0.0, 0.01))  # .121 to the third decimal
    assert not choose("bench", protocol, 0.4, gains(table)).agrees


def test_no_healthy_arm_is_no_choice(protocol: Protocol) -> None:
    with pytest.raises(RuleFailed, match=r"at 20 steps and learning rate 0.01 is 0.020, its standard error 0.010"):
        choose("bench", protocol, 0.4, gains({10: ((0.0, 0.01),) * 3, 20: ((0.02, 0.01),) * 3}))


def test_a_pilot_differs_in_base_seed_split_and_length_only(protocol: Protocol) -> None:
    pilot = pilot_protocol(protocol)
    before, after = protocol.model_dump(), pilot.model_dump()
    assert {base["pretraining"].pop("seed") for base in after["bases"].values()} == {1001}
    for base in before["bases"].values():
        base["pretraining"].pop("seed")
    assert (after["task"].pop("split_seed"), after["task"].pop("training_prompts")) == (6, 20 * 8)
    before["task"].pop("split_seed")
    before["task"].pop("training_prompts")
    assert after == before
    assert protocol.made("llama").pretraining.seed == 1  # the declaration itself is left alone


def test_a_pilots_problems_are_split_another_way(protocol: Protocol) -> None:
    ours, theirs = splits(protocol.task), splits(pilot_protocol(protocol).task)
    assert set(ours.evaluation) != set(theirs.evaluation)


def quiet(_: Progress) -> None:
    """Watch nothing."""


def test_a_pilot_runs_apart_chooses_and_keeps_its_record(
    made: "Made", scripted: "type[Scripted]", monkeypatch: pytest.MonkeyPatch
) -> None:

    def act(path: Path, _: int) -> None:
        identity = JobDirectory(path).spec()["identity"]
        if identity["kind"] == "base":
            made.finish(path, 0.3)
        else:
            rate = identity["trainer"]["learning_rate"]
            made.finish(path, {1e-4: 0.33, 1e-3: 0.5, 1e-2: 0.05}[rate] + identity["seed"] % 5 / 100)

    bench, executor = made.bench(), scripted(act)
    choice = run_pilot(bench, lambda: executor, quiet)
    assert len(executor.started) == 1 + 3 * 3
    assert choice.base_accuracy == 0.3
    assert (choice.steps, choice.learning_rate) == (10, 1e-3)
    seeds = [
        spec["seed"] % 5 / 100
        for path in (made.store.root / "pilots" / "bench" / "runs").iterdir()
        if (spec := JobDirectory(path).spec()["identity"])["trainer"]["learning_rate"] == 1e-3
    ]
    assert choice.healthy_gain == pytest.approx(0.2 + sum(seeds) / 3)
    mean = sum(seeds) / 3
    error = (sum((seed - mean) ** 2 for seed in seeds) / 2 / 3) ** 0.5  # sd with n - 1, over the root of n
    assert [gain.standard_error for gain in choice.gains if gain.learning_rate == 1e-3] == pytest.approx([error] * 2)
    (kept,) = stored_choices(made.store, "bench")
    assert kept["learning_rate"] == 1e-3
    assert len(kept["runs"]) == 9

    confirming = plan(bench.hypotheses(["live"]), bench.protocol, ["llama"])
    assert len(bench.unfinished(confirming)) == 13  # no verdict can rest on a pilot's run
    assert run_pilot(made.bench(), lambda: pytest.fail("executed again"), quiet) == choice
    assert len(stored_choices(made.store, "bench")) == 1


def test_a_pilot_with_a_failed_run_says_which(
    made: "Made", scripted: "type[Scripted]", monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = scripted(lambda path, _: made.fail(path, "out of luck"))
    with pytest.raises(RuntimeError, match=r"10 jobs of the pilot failed; llama64-\w+: out of luck"):
        run_pilot(made.bench(), lambda: executor, quiet)
    assert stored_choices(made.store, "bench") == []
