"""A user's mistakes: exit 2, one line each, no traceback; and where a command works."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.spec.shelf import shipped

if TYPE_CHECKING:
    from tests.conftest import Made

Call = Callable[..., Any]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["test", "nowhere"], "'nowhere' is not declared in hypotheses/. Known here: batch-non-rescue, "),
        (["plan", "nowhere"], "'nowhere' is not declared in hypotheses/"),
        (["run", "live", "nowhere"], "'nowhere' is not declared in hypotheses/"),
        (["register", "live", "nowhere"], "'nowhere' is not declared in hypotheses/"),
        (["register", "--protocol", "nowhere"], "'nowhere' is not declared in runs/."),
        (["register", "live", "--reason", "the margin was a slip"], "--reason belongs to --amend."),
        (["register", "--amend", "--reason", "the margin was a slip"], "--amend needs the NAME"),
        (["register", "live", "--amend"], "an amendment says why, in 10 printable characters or more"),
        (["register", "live", "--amend", "--reason", " too\n short "], "--reason 'too short': an amendment says why"),
        (["register", "live", "--amend", "--reason", "the margin\x1b was a slip"], "printable characters"),
        (["register", "live", "--amend", "--reason", "the margin was a slip"], "live: not registered yet"),
        (["show", "nowhere"], "'nowhere' is neither a hypothesis nor a protocol here."),
        (["test", "live", "--protocol", "nowhere"], "'nowhere' is not declared in runs/. Known here: bench"),
        (["test", "live", "--protocol", "../bench"], "'../bench' is no name of a file in runs/"),
        (["test", "../hypotheses/live"], "is no name of a file in hypotheses/"),
        (["test", "/etc/passwd"], "is no name of a file in hypotheses/"),
        (["test", "live", "--models", "gpt"], "protocol bench declares no base 'gpt'. Bases there: llama, qwen."),
        (["test", "live", "--workers", "0"], "'--workers'"),
        (["test", "live", "--frobnicate"], "No such option"),
        (["test"], "name the claims to test, or say --all"),
        (["frobnicate"], "No such command"),
        (["-C", "nowhere", "list"], "nowhere is no folder."),
        (["--store", "pyproject.toml", "status"], "pyproject.toml is no folder."),
        (["test", "live", "--no-run"], "no base has been made yet"),
        (["validate", "/etc/passwd"], "/etc/passwd:1 file: lies in no hypotheses/ or runs/ folder"),
        (["validate", "hypotheses/absent.yaml"], "hypotheses/absent.yaml:1 file: cannot be read"),
        (["validate", "pyproject.toml"], "lies in no hypotheses/ or runs/ folder"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_in_a_line_and_exits_2(harness: Call, made: "Made", arguments: list[str], told: str) -> None:
    said = harness(*arguments)
    assert said.code == 2
    assert told in said.out + said.err
    assert "Traceback" not in said.err
    assert not made.store.root.exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["tset"], "No such command 'tset'. Did you mean test?"),
        (["db", "qery"], "No such command 'qery'. Did you mean query?"),
        (["runs", "shw"], "No such command 'shw'. Did you mean show?"),
        (["xyzzy"], "No such command 'xyzzy'."),
        (["test", "live", "--protocl", "x"], "No such option '--protocl'. Did you mean --protocol?"),
        (["test", "live", "--frobnicate"], "No such option '--frobnicate'."),
        (["show"], "Missing argument 'NAME'."),
        (["diagnose", "live", "--sims", "3"], "Invalid value for '--sims': 3 is not in the range 10<=x<=1000000."),
        (["test"], "name the claims to test, or say --all."),
    ],
)
def test_a_mistake_of_usage_is_a_line_and_where_help_is(harness: Call, arguments: list[str], told: str) -> None:
    said = harness(*arguments)
    named = "harness" if arguments[0] in ("tset", "xyzzy") else f"harness {arguments[0]}"
    assert (said.code, said.out) == (2, "")
    assert said.err.splitlines() == [told, f"Try '{named} --help' for help."]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["test", "liev"], "'liev' is not declared in hypotheses/. Did you mean live? Known here: "),
        (["verdict", "liev"], "'liev' is not declared in hypotheses/. Did you mean live? Known here: "),
        (["show", "rank-colapse"], "neither a hypothesis nor a protocol here. Did you mean rank-collapse? Known: "),
        (["show", "bnech"], "Did you mean bench? Known: "),
        (["plan", "live", "--protocol", "bnech"], "'bnech' is not declared in runs/. Did you mean bench? Known here: "),
        (["doctor", "--protocol", "bnech"], "'bnech' is not declared in runs/. Did you mean bench? Known here: "),
        (["plan", "live", "--models", "lama"], "declares no base 'lama'. Did you mean llama? Bases there: "),
        (
            ["plan", "live", "--why", "llama64-grpo-lora-r9"],
            "of this name: llama64-grpo-lora-r9. Did you mean llama",
        ),
        (["runs", "show", "lama64-grpo-lora-r8"], "no run has this name: lama64-grpo-lora-r8. Did you mean llama64-"),
        (["spectra", "lama64-grpo-lora-r8"], "Did you mean llama64-grpo-lora-r"),
    ],
)
def test_the_name_that_was_meant_is_told(harness: Call, made: "Made", arguments: list[str], told: str) -> None:
    made.bench().register_shelf()
    made.results(lambda _: 0.5)
    said = harness(*arguments)
    assert (said.code, said.out) == (2, "")
    assert told in said.err
    assert "Error" not in said.err
    assert len(said.err.splitlines()) == 1


def test_a_measure_that_was_meant_is_told(harness: Call, made: "Made") -> None:
    prediction = "kind: mean_bound, direction: above, value: 0.2, cell: {rank: 8}, measure: acuracy}"
    head, rest = made.claim_text.split("kind: collapse_probability,")
    said_of = rest.split("event: collapsed,")[0] + "rationale: A fifth is what one could see., "
    made.declare("hypotheses/live.yaml", head + said_of + prediction + "\n")
    assert "did you mean accuracy?" in harness("plan", "live").err


def test_without_a_command_there_is_help(call: Call) -> None:
    said = call()
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("Usage: harness [OPTIONS] COMMAND")
    assert "Try '" not in said.err


def test_a_broken_declaration_stops_before_anything_is_run(harness: Call, made: "Made") -> None:
    made.declare("hypotheses/bad.yaml", made.claim_text.replace("seeds: 6", "seeds: many"))
    for command in ("test", "run", "plan", "show"):
        said = harness(command, "bad")
        assert said.code == 2
        assert said.err.startswith("hypotheses/bad.yaml:5 design.seeds: ")
        assert said.out == ""
    made.declare("runs/bench.yaml", made.protocol_text.replace("grpo: {learning_rate", "grpo: {learning_rat"))
    said = harness("test", "live")
    assert said.code == 2
    assert "runs/bench.yaml:11 grpo.learning_rat: no field of" in said.err
    assert not made.store.root.exists()


UNKEPT = (
    'hypotheses/live.yaml predictions[0].measure: under protocol bench, "stable_rank@5" has no value in cell '
    "(20 updates): a spectrum is kept after the first update, those of spectra_at and the last. Kept here: 1, 20. "
    "Name one of them, or leave @5 out for each run's last update."
)


@pytest.mark.parametrize(
    "command",
    [["validate"], ["validate", "hypotheses/live.yaml"], ["plan", "live"], ["test", "live"], ["register", "live"]],
)
def test_a_value_that_no_run_keeps_is_told_before_any_run(harness: Call, made: "Made", command: list[str]) -> None:
    prediction = "kind: mean_bound, direction: above, value: 2, cell: {rank: 8}, measure: stable_rank@5}"
    head, rest = made.claim_text.split("kind: collapse_probability,")
    said_of = rest.split("event: collapsed,")[0] + "rationale: Two directions are what one could see., "
    made.declare("hypotheses/live.yaml", head + said_of + prediction + "\n")
    said = harness(*command)
    assert said.code == 2
    assert [line for line in (said.out + said.err).splitlines() if "live" in line] == [UNKEPT]
    assert not made.store.root.exists()


def test_validate_holds_no_claim_against_a_protocol_that_is_mistaken_itself(harness: Call, made: "Made") -> None:
    made.declare("runs/bench.yaml", made.protocol_text.replace("heads: 4", "heads: 7"))
    said = harness("validate", "hypotheses/live.yaml")
    assert (said.code, said.out) == (0, "1 declarations, no mistake\n")
    assert said.err.startswith("no claim is held against protocol bench, for runs/bench.yaml:")


def test_validate_tells_every_mistake_of_every_file(harness: Call, made: "Made") -> None:
    assert harness("validate").code == 0
    made.declare("hypotheses/one.yaml", made.claim_text.replace("seeds: 6", "seeds: 0").replace("0.5", "2"))
    made.declare("hypotheses/two.yaml", "title: [")
    made.declare("hypotheses/Three.yaml", made.claim_text)
    made.declare("runs/four.yaml", made.protocol_text.replace("heads: 4", "heads: 7"))
    said = harness("validate", "--json")
    assert said.code == 2
    lines = said.json["mistakes"]
    assert {line.split(":")[0] for line in lines if line.startswith(("hypotheses/", "runs/"))} == {
        "hypotheses/one.yaml",
        "hypotheses/two.yaml",
        "runs/four.yaml",
    }
    assert len([line for line in lines if line.startswith("hypotheses/one.yaml")]) == 2
    assert any(line.startswith("'Three' is no name of a file in hypotheses/") for line in lines)
    assert harness("validate").out.splitlines() == [*lines, *said.json["warnings"]]
    assert harness("validate", "hypotheses/live.yaml", "runs/bench.yaml").out == "2 declarations, no mistake\n"
    only = harness("validate", "hypotheses/one.yaml", "hypotheses/live.yaml", "--json")
    assert (only.code, only.json["files"], len(only.json["mistakes"])) == (2, 2, 2)


def test_validate_refuses_a_file_that_no_command_could_name(harness: Call, made: "Made") -> None:
    for name in ("hypotheses/Three.yaml", "hypotheses/three.yml"):
        made.declare(name, made.claim_text)
        said = harness("validate", name)
        assert said.code == 2
        assert f"{name}:1 file: no command can name it. Call it NAME.yaml" in said.out


def test_a_link_out_of_the_project_is_not_followed(harness: Call, made: "Made", tmp_path: Path) -> None:
    (tmp_path / "stranger.yaml").write_text(made.claim_text)
    (made.root / "hypotheses" / "linked.yaml").symlink_to(tmp_path / "stranger.yaml")
    for command in ("test", "plan", "show"):
        said = harness(command, "linked")
        assert said.code == 2
        assert "hypotheses/linked.yaml:1 file: leads out of the project." in said.err
    assert harness("validate", "hypotheses/linked.yaml").code == 2
    assert harness("validate").code == 2
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "far.sql").write_text("-- one row per run\nSELECT 1")
    (made.root / "analysis").symlink_to(tmp_path / "other", target_is_directory=True)
    said = harness("db", "rebuild")
    assert said.code == 2
    assert "analysis/far.sql:1 file: leads out of the project." in said.err


def test_a_broken_measure_stops_a_test_with_its_file(harness: Call, made: "Made") -> None:
    made.bench().register_shelf()
    made.results(lambda _: 0.5)
    made.declare("analysis/mine.sql", "-- one row per run\nSELECT nothing FROM run")
    for command in (["test", "live", "--no-run"], ["db", "rebuild"]):
        said = harness(*command)
        assert said.code == 2
        assert said.err.startswith("analysis/mine.sql:1 SQL: ")
        assert "Traceback" not in said.err


def test_a_file_that_stands_before_a_shipped_one_is_told_in_one_line(harness: Call, made: "Made") -> None:
    made.declare("hypotheses/rank-collapse.yaml", made.claim_text.replace("Low ranks live", "Mine instead"))
    said = harness("list", "--json")
    assert said.json["hypotheses"]["rank-collapse"] == "Mine instead"
    assert said.err == "hypotheses/rank-collapse.yaml of this project stands before the shipped file of that name\n"
    assert harness("-q", "list").err == ""


def test_a_command_works_where_it_is_told_to(call: Call, made: "Made", tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert "live" not in call("list", "--json").json["hypotheses"]
    assert "live" in call("-C", str(made.root), "list", "--json").json["hypotheses"]
    assert "live" in call("-C", str(made.root / "runs"), "list", "--json").json["hypotheses"]  # a folder below
    assert call("-C", "../project", "db", "path").out == f"{made.store.index}\n"
    said = call("-C", "../project", "validate", "hypotheses/live.yaml")  # paths are meant from there, too
    assert (said.code, said.out) == (0, "1 declarations, no mistake\n")


def test_the_store_is_chosen_by_option_variable_setting_in_this_order(
    harness: Call, made: "Made", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def where(*arguments: str) -> Path:
        return Path(harness(*arguments, "db", "path", "--json").json["path"]).parent

    assert where() == made.root / ".harness"
    (made.root / "pyproject.toml").write_text('[tool.harness]\nprotocol = "bench"\nstore = "records"\n')
    assert where() == made.root / "records"
    monkeypatch.setenv("HARNESS_STORE", str(tmp_path / "variable"))
    assert where() == tmp_path / "variable"
    assert where("--store", str(tmp_path / "option")) == tmp_path / "option"
    monkeypatch.chdir(tmp_path)
    assert where("-C", "project", "--store", "mine").resolve() == made.root / "mine"


def test_the_protocol_is_chosen_by_option_variable_setting_in_this_order(
    harness: Call, made: "Made", monkeypatch: pytest.MonkeyPatch
) -> None:
    def base(*arguments: str) -> str:
        return harness("plan", "live", "--json", *arguments).json["bases"][0]["id"]

    made.declare("runs/wide.yaml", made.protocol_text.replace("hidden_size: 64", "hidden_size: 128"))
    made.declare("runs/wider.yaml", made.protocol_text.replace("hidden_size: 64", "hidden_size: 256"))
    assert base().startswith("llama64-")
    monkeypatch.setenv("HARNESS_PROTOCOL", "wide")
    assert base().startswith("llama128-")
    assert base("--protocol", "wider").startswith("llama256-")


@pytest.mark.parametrize(
    "text", ['[tool.harness]\nprotokol = "x"\n', "[tool.harness]\nstore = 3\n", "[tool]\nharness = 3\n"]
)
def test_a_mistaken_setting_is_told_with_its_file(harness: Call, made: "Made", text: str) -> None:
    (made.root / "pyproject.toml").write_text(text)
    said = harness("list")
    assert said.code == 2
    assert said.err.startswith(f"{made.root}/pyproject.toml:1 tool.harness")


def test_whoever_stops_reading_does_not_change_the_exit_code(made: "Made") -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", "from harness.cli import main; main()", "show", "bench"]
    done = subprocess.run(command, cwd=made.root, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


LOADED = """
import json, sys
from harness.spec.shelf import shipped
from harness.cli.main import status
heavy = {"torch", "transformers", "trl", "peft", "datasets", "scipy", "statsmodels", "pingouin", "numpy", "duckdb"}
for line in sys.argv[1:]:
    code = status(line.split())
    print("loaded", json.dumps([line, code, sorted(heavy & set(sys.modules))]))
"""
LIGHT = [
    "--help",
    "list",
    "show live",
    "register",
    "plan live",
    "status",
    "verdict",
    "validate",
    "db path",
    "test live",
]


def test_light_commands_load_nothing_heavy(harness: Call, made: "Made") -> None:
    made.bench().register_shelf()
    made.results(lambda _: 0.5)
    assert harness("test", "live").code == 0  # from here on it is a finished one
    command = [sys.executable, "-c", LOADED, *LIGHT]
    done = subprocess.run(command, cwd=made.root, capture_output=True, text=True, check=True)
    lines = [line.removeprefix("loaded ") for line in done.stdout.splitlines() if line.startswith("loaded ")]
    assert [json.loads(line) for line in lines] == [[command, 0, []] for command in LIGHT]


def test_a_shipped_claim_that_this_protocol_cannot_ask_is_no_mistake_of_the_project(
    harness: Call, made: "Made"
) -> None:
    said = harness("validate", "--json").json
    assert said["mistakes"] == []
    (told,) = [line for line in said["warnings"] if "failure-to-launch" in line]
    assert "no base has a checkpoint 'cold'" in told
    assert told.endswith("(a shipped claim, which this project need not ask)")
    own = (shipped() / "hypotheses" / "failure-to-launch.yaml").read_text()
    made.declare("hypotheses/failure-to-launch.yaml", own)
    again = harness("validate")
    assert again.code == 2
    assert "no base has a checkpoint 'cold'" in again.out
