"""`harness frontier`: what it prints and writes, that it resumes, and mistakes in a line."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.record.job import JobDirectory

if TYPE_CHECKING:
    from tests.conftest import Act, Made, Scripted

Call = Callable[..., Any]
Acting = Callable[["Act"], "Scripted"]
SHORT = ("frontier", "--ranks", "8,64", "--scaling", "proportional", "--resolution", "1", "--seeds", "1")


def outcome(made: "Made") -> "Act":
    """Return a script under which runs collapse where rate x sqrt(rank) is above .01."""

    def act(path: Path, _: int) -> None:
        if path.parent.name == "bases":
            made.finish(path, 0.4)
            return
        identity = JobDirectory(path).spec()["identity"]
        dose = identity["trainer"]["learning_rate"] * identity["cell"]["adapter"]["rank"] ** 0.5
        made.finish(path, 0.01 if dose > 0.01 else 0.5, first_update_norm=100 * dose)

    return act


def test_it_prints_draws_and_finds_its_runs_again(harness: Call, made: "Made", acting: Acting) -> None:
    executor = acting(outcome(made))
    said = harness(*SHORT, "--within", "0.25,16", "--figure", "frontier.svg")
    assert said.code == 0
    assert said.out.startswith("collapse frontier  protocol bench  base llama  exploratory, nothing registered\n")
    assert "frontier.svg: drawn" in said.err
    assert (made.root / "frontier.svg").read_text().startswith("<?xml")
    assert not made.store.registrations.exists()
    before = len(executor.started)
    again = harness(*SHORT, "--within", "0.25,16", "--json")
    assert len(executor.started) == before
    found = again.json
    assert found["label"] == "exploratory"
    assert found["runs"] == before - 1  # and the base
    assert found["grid"] == 2 * 7
    assert found["rates"] == [1e-3 * 2.0**k for k in range(-2, 5)]
    for arm, truth in zip(found["arms"], (0.01 / 8**0.5, 0.01 / 64**0.5), strict=True):
        assert arm["critical_rate"]["value"] == pytest.approx(truth, rel=0.5)  # a rung is an octave
        assert arm["critical_rate"]["low"] < truth < arm["critical_rate"]["high"]
        assert arm["critical_first_update_norm"]["value"] == pytest.approx(1, rel=0.5)
        assert {run["collapsed"] for run in arm["runs"]} == {True, False}
    assert found["aligned"] == []


def test_a_run_that_failed_is_told_and_ends_with_1(harness: Call, made: "Made", acting: Acting) -> None:
    def act(path: Path, n: int) -> None:
        if path.parent.name == "runs" and "x2-" in path.name:
            made.fail(path, "no gradient")
        else:
            outcome(made)(path, n)

    acting(act)
    said = harness("frontier", "--ranks", "8", "--scaling", "proportional", "--within", "1,4", "--seeds", "1")
    assert said.code == 1
    assert "no gradient" in said.err
    assert "no result" in said.out


def test_a_base_at_the_floor_is_told(harness: Call, made: "Made", acting: Acting) -> None:
    acting(lambda path, _: made.finish(path, 0.0))
    said = harness(*SHORT)
    assert said.code == 1
    assert said.err.splitlines()[-1].startswith("frontier of bench: base accuracy 0.000 on 500 problems")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--ranks", "8,x"], "'8,x' is no list of ranks from 1 to 65536. Write e.g. 8,32,128."),
        (["--ranks", "0"], "'0' is no list of ranks"),
        (["--ranks", ""], "'' is no list of ranks"),
        (["--scaling", "linear"], "'linear' is no policy. Write proportional, constant, rank_stabilised, with"),
        (["--scaling", "constant:"], "'constant:' is no policy"),
        (["--scaling", "constant:-3"], "'constant:-3' is no policy"),
        (["--scaling", "constant:inf"], "'constant:inf' is no policy"),
        (["--within", "2,4"], "'2,4' is no range of factors with 1 in it"),
        (["--within", "1,1"], "'1,1' is no range"),
        (["--within", "0.5"], "'0.5' is no range"),
        (["--within", "0,4"], "'0,4' is no range"),
        (["--within", "0.5,1,2"], "'0.5,1,2' is no range"),
        (["--models", "llama,qwen"], "llama, qwen are 2 bases. Name one."),
        (["--models", "gpt"], "protocol bench declares no base 'gpt'"),
        (["--figure", "frontier.gif"], "frontier.gif ends in none of .png, .svg, .pdf. Name one of them."),
        (["--figure", "nowhere/frontier.png"], "nowhere is no folder. Make it first."),
        (["--resolution", "0"], "0 is not in the range"),
        (["--seeds", "0"], "0 is not in the range"),
    ],
)
def test_mistakes_are_told_before_anything_runs(
    harness: Call, made: "Made", acting: Acting, arguments: list[str], told: str
) -> None:
    executor = acting(outcome(made))
    said = harness("frontier", *arguments)
    assert said.code == 2
    assert told in " ".join(said.err.replace("│", " ").split())
    assert executor.started == []
    assert not made.store.root.exists()


def test_policies_take_the_protocols_multiplier_or_a_number(harness: Call, made: "Made", acting: Acting) -> None:
    acting(outcome(made))
    line = ["frontier", "--ranks", "8", "--scaling", "constant,constant:8, rank_stabilised", "--json"]
    arms = harness(*line, "--resolution", "1", "--seeds", "1").json["arms"]
    assert [arm["scaling"] for arm in arms] == [
        {"policy": "constant", "alpha": 32.0},
        {"policy": "constant", "alpha": 8.0},
        {"policy": "rank_stabilised", "alpha": 8.0},
    ]
    assert [arm["multiplier"] for arm in arms] == [4.0, 1.0, pytest.approx(8 / 8**0.5)]
