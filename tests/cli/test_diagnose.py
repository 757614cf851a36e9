"""`harness diagnose` and the warning of `harness validate`: what they say, and that they touch no store."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Made

Call = Callable[..., Any]

MODEL = """
model:
  base: 0.4
  sd: 0.02
  expected: [{among: {rank: [8, 16]}, mean: 0.5, collapse: COLLAPSE}]
"""


def with_model(made: "Made", collapse: float) -> None:
    made.declare("hypotheses/live.yaml", made.claim_text + MODEL.replace("COLLAPSE", str(collapse)))


def test_a_claim_is_put_to_its_worlds(harness: Call, made: "Made") -> None:
    with_model(made, 0.0)
    said = harness("diagnose", "live", "--sims", "50")
    assert said.code == 0
    assert said.out.startswith("live  protocol bench  6 seeds a cell  50 simulations a world\n")
    for name in ("declared: ", "null: ", "smooth: ", "bimodal: ", "pilot: ", "edges: ", "live, refute"):
        assert f"\n{name}" in said.out or f"\n  {name}" in said.out
    assert (
        "If the model is right, the claim is supported 1.00 ± .02 of the time, for 12.0 ± 0.0 of 12 runs." in said.out
    )
    assert "warning" not in said.out
    assert not made.store.root.exists()
    assert harness("diagnose", "live", "--sims", "50").out == said.out
    assert harness("diagnose", "live", "--sims", "50", "--seed", "1").out != said.out


def test_everything_is_there_as_json(harness: Call, made: "Made") -> None:
    with_model(made, 0.0)
    said = harness("diagnose", "live", "--sims", "20", "--target", "0.5", "--json").json
    worlds = ["declared", "null", "smooth", "bimodal", "pilot", "support edge of live", "refute edge of live"]
    assert [w["world"] for w in said["worlds"]] == worlds
    assert said["worlds"][0]["claim"]["supported"]["value"] == 1
    assert (said["hypothesis"], said["protocol"], said["sims"], said["seed"]) == ("live", "bench", 20, 0)
    # 0/5 bounds each of two cells at .451, and 10 of 10 refute; with four seeds 0/4 bounds at .527
    assert said["search"] == {"target": 0.5, "seeds": 5, "power": 1}
    assert len(said["reading"]) == 3


def test_a_claim_with_too_little_power_is_told_what_would_do(harness: Call, made: "Made") -> None:
    with_model(made, 0.05)
    said = harness("diagnose", "live", "--sims", "400", "--json").json
    # 0/6 in both cells: .95^12 = .540. Of eight one collapse is allowed: (.95^8 + 8 x .95^7 x .05)^2 = .889
    claim = said["worlds"][0]["claim"]["supported"]
    assert claim["value"] == pytest.approx(0.54, abs=4 * claim["se"])
    assert said["search"]["seeds"] == 8
    assert said["reading"][2].startswith("warning: a power below .8: 8 seeds a cell (16 runs) would do: power .")
    shown = harness("validate", "hypotheses/live.yaml")
    assert shown.code == 0
    assert shown.out.splitlines()[0] == "1 declarations, no mistake"
    assert shown.out.splitlines()[1].startswith("warning: live: the power of the claim in its own model is .5")
    assert len(harness("validate", "hypotheses/live.yaml", "--json").json["warnings"]) == 1
    warnings = harness("validate", "--json").json["warnings"]
    assert not [line for line in warnings if "power" in line]  # only of files that are named


def test_a_claim_with_power_is_validated_without_a_word(harness: Call, made: "Made") -> None:
    with_model(made, 0.0)
    assert harness("validate", "hypotheses/live.yaml").out == "1 declarations, no mistake\n"
    assert harness("validate", "hypotheses/live.yaml", "runs/bench.yaml").code == 0


def test_a_faulty_protocol_is_no_mistake_of_the_claim(harness: Call, made: "Made") -> None:
    with_model(made, 0.0)
    made.declare("runs/bench.yaml", made.protocol_text.replace("heads: 4", "heads: 7"))
    said = harness("validate", "hypotheses/live.yaml")
    assert said.code == 0
    assert "live: power not simulated, for runs/bench.yaml:" in said.err


def test_without_a_model_nothing_is_said_about_power(harness: Call, made: "Made") -> None:
    said = harness("diagnose", "live", "--sims", "20")
    assert said.code == 0
    assert "\nhealthy: no model is declared: every cell makes the healthy gain; " in said.out
    assert said.out.endswith("No model is declared, so nothing is said about power. Declare `model`.\n")


def test_designs_are_compared_and_those_that_cannot_decide_are_shown_as_such(harness: Call, made: "Made") -> None:
    with_model(made, 0.0)
    said = harness("diagnose", "live", "--sims", "20", "--vary", "seeds=3,5,8")
    assert "\nseeds 3, declared world: cannot be decided\n  predictions[0].probability: the support region" in said.out
    assert "\nseeds 5, declared world; 10.0 ± 0.0 of 10 runs\n" in said.out
    # At eight, the looks are 3, 5 and 8; five without a collapse leave room for three, which would not support
    assert "\nseeds 8, declared world; 16.0 ± 0.0 of 16 runs\n" in said.out
    rows = harness("diagnose", "live", "--sims", "20", "--vary", "futility=0,0.5", "--json").json["values"]
    assert [row["futility"] for row in rows] == [0, 0.5]
    assert rows[0]["diagnosis"] == rows[1]["diagnosis"]  # a count has no futility rule


def test_progress_is_told_beside_the_result(harness: Call, made: "Made", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.cli.diagnose.EVERY", 0.0)
    with_model(made, 0.0)
    assert "declared: 10 of 10\n" in harness("diagnose", "live", "--sims", "10").err
    assert harness("diagnose", "live", "--sims", "10", "--quiet").err == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "'nowhere' is not declared in hypotheses/"),
        (["live", "--protocol", "nowhere"], "'nowhere' is not declared in runs/"),
        (["live", "--sims", "1"], "'--sims'"),
        (["live", "--target", "1"], "'--target'"),
        (["live", "--target", "0.9"], "none is declared. Declare one."),
        (["live", "--target", "0.9", "--vary", "seeds=5"], "Give one of them."),
        (["live", "--vary", "seeds"], "'seeds' is neither seeds=N,"),
        (["live", "--vary", "seeds=2.5"], "Write e.g. seeds=3,5,8."),
        (["live", "--vary", "futility=1"], "'futility=1' is neither"),
        (["live", "--vary", "margin=0.1"], "'margin=0.1' is neither"),
        (["live", "--figure", "a.svg"], "--figure draws what --vary shows. Give it too"),
        (["live", "--vary", "seeds=5", "--figure", "a.gif"], "a.gif does not end in .png or .svg or .pdf."),
        (["live", "--vary", "seeds=5", "--figure", "nowhere/a.svg"], "is no folder. Make it first."),
    ],
)
def test_mistakes_are_told_in_a_line(harness: Call, arguments: list[str], told: str) -> None:
    said = harness("diagnose", *arguments)
    assert said.code == 2
    assert told in " ".join((said.out + said.err).split())
    assert "Traceback" not in said.err


@pytest.mark.parametrize("name", ["power.svg", "power.pdf", "power.png"])
def test_what_is_varied_is_drawn(harness: Call, made: "Made", name: str) -> None:
    with_model(made, 0.05)
    asked = ("diagnose", "live", "--sims", "20", "--vary", "seeds=3,5,8", "--figure", name)
    said = harness(*asked)
    assert (said.code, said.err) == (0, f"{name}: drawn\n")
    first = (made.root / name).read_bytes()
    assert harness(*asked).out == said.out
    assert (made.root / name).read_bytes() == first
