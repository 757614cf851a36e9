"""Code of the user's own through the command line: refused without --allow-code, used with it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Made

Call = Callable[..., Any]

POCKET = (Path(__file__).parents[1] / "pocket.yaml").read_text()
TASK = '  name: custom\n  code: mine:products\n  alphabet: "0123456789*="\n  longest_answer: 2\n'
MINE = """
from pathlib import Path
print("run")
(Path(__file__).parent / "ran").touch()
def products():
    return [(f"{a}*{b}=", str(a * b % 100)) for a in range(32) for b in range(32)]
def near(completion, answer):
    return 0.75
"""
NO_PERMISSION = "is code, which runs only with permission. Read it, then repeat with --allow-code."


@pytest.fixture
def own(made: "Made") -> str:
    """Return the text of the project's protocol, which now names a task and a reward."""
    lines = POCKET.splitlines(keepends=True)
    addition = "".join(line for line in lines if "name: addition" in line or "largest_operand" in line)
    text = POCKET.replace(addition, TASK).replace("lora_dropout: 0.0", "lora_dropout: 0.0\n  reward: mine:near")
    assert text.count("mine:") == 2
    made.declare("runs/bench.yaml", text)
    made.declare("mine.py", MINE)
    return text


def mistakes(text: str) -> list[str]:
    task, reward = (text[: text.index(part)].count("\n") + 1 for part in ("code: mine", "reward: mine"))
    return [
        f'runs/bench.yaml:{task} task.code: "mine:products" {NO_PERMISSION}',
        f'runs/bench.yaml:{reward} recipe.reward: "mine:near" {NO_PERMISSION}',
    ]


@pytest.mark.parametrize("command", [["test", "live"], ["run", "live"], ["plan"], ["pilot"], ["show", "bench"]])
def test_without_permission_a_command_is_refused_before_anything_is_run(
    harness: Call, made: "Made", own: str, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_ALLOW_CODE", "0")
    said = harness(*command)
    assert (said.code, said.out) == (2, "")
    assert said.err.splitlines() == mistakes(own)
    assert not (made.root / "ran").exists()
    assert not made.store.root.exists()


def test_validate_and_list_tell_what_is_refused(harness: Call, made: "Made", own: str) -> None:
    said = harness("validate", "runs/bench.yaml")
    assert (said.code, said.out.splitlines()) == (2, mistakes(own))
    listed = harness("list")
    assert listed.code == 0
    told = "refused    bench: names code of this project; read it, then repeat with --allow-code"
    assert told in listed.out.splitlines()
    assert harness("list", "--json").json["broken"] == {"bench": mistakes(own)}
    made.declare("runs/bench.yaml", own.replace("samples_per_problem: 1", "samples_per_problem: 0"))
    assert "broken     bench: 3 mistakes (harness validate)" in harness("list").out  # there is more to mend
    assert not (made.root / "ran").exists()


def test_with_permission_validate_makes_the_problems_and_loads_the_reward(
    harness: Call, made: "Made", own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "bench" in harness("--allow-code", "list", "--json").json["protocols"]
    assert not (made.root / "ran").exists()  # it lists titles, and runs nothing
    said = harness("--allow-code", "validate", "runs/bench.yaml")
    assert (said.code, said.out) == (0, "1 declarations, no mistake\n")
    assert said.err == "run\n" * 2  # what a file prints is never part of the answer
    made.declare("mine.py", MINE.replace("range(32)]", "range(31)]"))
    monkeypatch.setenv("HARNESS_ALLOW_CODE", "1")
    said = harness("validate", "runs/bench.yaml")
    assert (said.code, said.out) == (
        2,
        "mine.py:5 mine:products: returned 992 problems; evaluation, validation and training need 1006. "
        "Return more, or ask for fewer.\n",
    )
    made.declare("mine.py", MINE + "raise RuntimeError('broken')\n")
    said = harness("validate", "runs/bench.yaml")
    assert (said.code, said.out) == (2, "mine.py:9 mine:products: raised RuntimeError: broken. Mend it.\n")


def test_a_mistake_of_the_code_ends_a_command_without_a_traceback(harness: Call, made: "Made", own: str) -> None:
    made.declare("mine.py", MINE.replace("str(a * b % 100)", "a * b"))
    for command in (["plan", "live"], ["test", "live"]):
        said = harness("--allow-code", *command)
        assert (said.code, said.out) == (2, "")
        assert said.err.splitlines()[-1].startswith("mine.py:5 mine:products: problem 0 is ('0*0=', 0), no (prompt,")
        assert "Traceback" not in said.err


def test_a_project_without_code_needs_no_permission_and_loses_nothing_by_it(harness: Call, made: "Made") -> None:
    plain = harness("plan", "live", "--json").json
    assert harness("--allow-code", "plan", "live", "--json").json == plain


@pytest.mark.slow
def test_a_task_and_a_reward_of_ones_own_from_declaration_to_result(harness: Call, made: "Made", own: str) -> None:
    made.declare("torch.py", "raise SystemExit('a stranger')\n")  # no worker takes a project's file for a library
    claim = made.claim_text.replace("rank: [8, 16]", "rank: [2]")
    made.declare("hypotheses/live.yaml", claim)
    said = harness("--allow-code", "run", "live", "--workers", "2", "--json")
    assert said.code == 0, said.err
    assert said.json["executed"] == 6
    base, *runs = (path for kind in ("bases", "runs") for path in (made.store.root / kind).glob("*/result/result.json"))
    assert set(json.loads(base.read_text())["code"]) == {"mine:products"}
    assert len(runs) == 6
    for path in runs:
        assert set(json.loads(path.read_text())["code"]) == {"mine:products", "mine:near"}
    rewards = harness("--allow-code", "db", "rebuild")
    assert rewards.code == 0, rewards.err
    rows = harness("db", "query", "SELECT DISTINCT reward FROM step JOIN run USING (run_id)", "--json")
    assert rows.json == [{"reward": 0.75}]
    tested = harness("--allow-code", "test", "live", "--json")
    assert (tested.code, tested.json["executed"]) == (0, 0)
    assert harness("test", "live").code == 2
    assert harness("test", "live", "--no-run").err.splitlines() == mistakes(own)
    made.declare("mine.py", MINE.replace("0.75", "0.5"))
    states = {run["state"] for run in harness("--allow-code", "plan", "live", "--json").json["runs"]}
    assert states == {"new"}
