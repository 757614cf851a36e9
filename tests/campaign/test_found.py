"""Bases that exist, from a branch on a server of the test's own to a committed run; no network."""

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.campaign.bench import Bench
from harness.campaign.found import fetched, with_resolved
from harness.campaign.pilot import run_pilot
from harness.plan import PlannedBase, planned_base
from harness.publish.pilot import pilot_table
from harness.source.hub import HubError
from harness.spec import DeclarationError, HubBase

if TYPE_CHECKING:
    from tests.conftest import Hub, Made, Scripted

FOUND = (Path(__file__).parents[1] / "found.yaml").read_text(encoding="utf-8")
FIRST, SECOND = "a1" * 20, "b2" * 20
MODEL = """
import sys, torch
from transformers import LlamaConfig, LlamaForCausalLM
from harness.train.tokenizer import character_tokenizer
torch.manual_seed(0)
config = LlamaConfig(hidden_size=16, num_hidden_layers=1, intermediate_size=24, num_attention_heads=2,
                     num_key_value_heads=1, vocab_size=99, pad_token_id=0, bos_token_id=1, eos_token_id=2)
LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(sys.argv[1])
character_tokenizer("".join(map(chr, range(32, 127)))).save_pretrained(sys.argv[1])
"""


def project(made: "Made", text: str = FOUND) -> None:
    """Declare the protocol with one base, at a branch."""
    lines = text[: text.index("  early:")] + text[text.index("default_bases") :]
    made.declare("runs/bench.yaml", lines)


class Answers:
    """What stands in for the server where only its answers matter."""

    def __init__(self, **commits: str | None) -> None:
        self.commits = commits
        self.asked: list[str] = []

    def commit_of(self, repo: str, revision: str) -> str | None:
        self.asked.append(f"{repo}@{revision}")
        if revision not in self.commits:
            raise HubError(f"{repo}@{revision}: no such revision of this model. Name a branch, tag or commit.")
        return self.commits[revision]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """Return a Hub that answers with a first commit for `main`."""
    hub = Answers(main=FIRST)
    monkeypatch.setattr("harness.campaign.found.commit_of", hub.commit_of)
    return hub


def base_of(bench: Bench) -> HubBase:
    base = bench.protocol.bases["llama"]
    assert isinstance(base, HubBase)
    return base


def test_a_branch_is_resolved_once_and_its_move_is_told(made: "Made", server: Answers) -> None:
    project(made)
    bench, told = made.bench(), list[str]()
    loose = bench.planned_bases(())[0]
    assert loose.provisional
    bench.resolve(told.append)
    assert told == []
    fixed = bench.planned_bases(())[0]
    assert (base_of(bench).commit, fixed.provisional) == (FIRST, False)
    server.commits["main"] = SECOND
    again = made.bench()
    again.resolve(told.append)
    assert again.planned_bases(())[0] == fixed
    (line,) = told
    assert line == (
        "llama: lab/mini-llama@main was a1a1a1a1a1a1 and is b2b2b2b2b2b2 now; runs stay with the first. "
        "Declare the commit to take the other."
    )


def test_checkpoints_are_resolved_with_their_base_and_arms_start_from_them(made: "Made", server: Answers) -> None:
    point = "checkpoints: {cold: {revision: step1}, seed-1: {hub: lab/seed-1, revision: step9, replicate: true}}, "
    project(made, FOUND.replace("revision: main, family: llama", f"revision: main, {point}family: llama"))
    claim = made.claim_text.replace("among: {rank: [8, 16]}", "among: {rank: [8], checkpoint: [cold]}")
    made.declare("hypotheses/live.yaml", claim)
    server.commits |= {"step1": SECOND, "step9": "c3" * 20}
    bench = made.bench()
    loose = bench.plan(bench.hypotheses(["live"]), ["llama"])
    assert {(run.base.name, run.subject, run.base.provisional) for run in loose.runs} == {("llama@cold", "llama", True)}
    bench.resolve()
    assert server.asked == ["lab/mini-llama@main", "lab/mini-llama@step1", "lab/seed-1@step9"]
    runs = bench.plan(bench.hypotheses(["live"]), ["llama"])
    assert {run.base.identity["found"]["commit"] for run in runs.runs} == {SECOND}
    assert not any(base.provisional for base in runs.bases)
    assert bench.planned_bases(["llama@seed-1"])[0].identity["found"]["hub"] == "lab/seed-1"
    frozen = bench.register(bench.hypotheses(["live"]))["live"].content["protocol_declaration"]["bases"]["llama"]
    assert [frozen["checkpoints"][name]["commit"] for name in ("cold", "seed-1")] == [SECOND, "c3" * 20]


def test_a_checkpoint_that_is_not_there_is_told_by_its_name(made: "Made", server: Answers) -> None:
    point = "checkpoints: {cold: {revision: step1}}, "
    project(made, FOUND.replace("revision: main, family: llama", f"revision: main, {point}family: llama"))
    with pytest.raises(DeclarationError) as error:
        made.bench().resolve()
    assert [line.partition("lab/")[0] for line in error.value.lines] == ["runs/bench.yaml bases.llama@cold: "]


def test_what_is_resolved_needs_no_hub_and_what_is_not_says_so(made: "Made", server: Answers) -> None:
    project(made)
    server.commits["main"] = None  # no answer
    with pytest.raises(DeclarationError) as error:
        made.bench().resolve()
    assert error.value.lines == [
        "runs/bench.yaml bases.llama: lab/mini-llama@main is not resolved to a commit yet, and the Hub gives no "
        "answer. Connect this machine, or declare the commit."
    ]
    server.commits["main"] = FIRST
    made.bench().resolve()
    server.commits["main"] = None
    made.bench().resolve()
    assert base_of(made.bench()).commit == FIRST


def test_a_declared_commit_asks_nobody(made: "Made", server: Answers) -> None:
    project(made, FOUND.replace("lab/mini-llama, revision: main", f"lab/mini-llama, revision: main, commit: {SECOND}"))
    bench = made.bench()
    bench.resolve()
    assert server.asked == []
    assert bench.planned_bases(())[0].identity["found"]["commit"] == SECOND


def test_nothing_is_registered_on_what_is_not_resolved_or_not_measured(made: "Made", server: Answers) -> None:
    project(made, FOUND.replace("healthy_gain: 0.12", "healthy_gain: null"))
    bench = made.bench()
    with pytest.raises(DeclarationError) as error:
        bench.register_shelf()
    assert [line.split("not ")[0] for line in error.value.lines] == [
        "runs/bench.yaml thresholds.healthy_gain: ",
        "runs/bench.yaml bases.llama: lab/mini-llama@main is ",
    ]
    assert not made.store.registrations.exists()


def test_a_registration_holds_the_commit(made: "Made", server: Answers) -> None:
    project(made)
    bench = made.bench()
    bench.resolve()
    frozen = bench.register(bench.hypotheses(["live"]))["live"]
    assert frozen.content["protocol_declaration"]["bases"]["llama"]["commit"] == FIRST
    server.commits["main"] = SECOND
    again = made.bench()
    again.resolve()
    assert again.register(again.hypotheses(["live"]))["live"] == frozen


def test_nothing_is_executed_on_a_base_that_is_not_resolved(made: "Made", server: Answers) -> None:
    project(made)
    bench = made.bench()
    runs = bench.plan(bench.hypotheses(["live"]), ["llama"])

    def never() -> Any:
        raise AssertionError("an executor was made")

    with pytest.raises(DeclarationError, match=r"bases\.llama: lab/mini-llama@main is not resolved to a commit yet\."):
        bench.execute(runs, never, lambda _: None)


def test_a_folder_is_resolved_by_its_content_and_held_to_it(made: "Made") -> None:
    text = FOUND.replace("hub: lab/mini-llama, revision: main, family", "folder: models/mini, family")
    project(made, text)
    folder = made.root / "models" / "mini"
    with pytest.raises(DeclarationError, match=r"no such folder\. Put the model there"):
        made.bench().resolve()
    folder.mkdir(parents=True)
    shape = {"model_type": "llama", "hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 24}
    shape |= {"num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 99}
    for name in ("model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_text(name)
    (folder / "config.json").write_text(json.dumps(shape))
    bench = made.bench()
    bench.resolve()
    planned = bench.planned_bases(())
    assert fetched(planned, bench.protocol, made.root) == ({planned[0].id: folder}, {})
    (folder / "model.safetensors").write_text("others")
    told = list[str]()
    again = made.bench()
    again.resolve(told.append)
    assert again.planned_bases(()) == planned
    assert len(told) == 1
    _, failed = fetched(planned, again.protocol, made.root)
    assert failed[planned[0].id].endswith("not those that it was resolved to. Restore them, or declare another folder.")


def test_a_link_out_of_the_project_is_no_folder_of_it(made: "Made", tmp_path: Path) -> None:
    project(made, FOUND.replace("hub: lab/mini-llama, revision: main, family", "folder: models/mini, family"))
    (made.root / "models").mkdir()
    (tmp_path / "elsewhere").mkdir()
    link = made.root / "models" / "mini"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DeclarationError, match=r"leads out of the project\. Copy the model into it"):
        made.bench().resolve()
    link.unlink()
    link.mkdir()
    (link / "model.safetensors").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DeclarationError, match=r"leads out of the project\. Copy the model into it"):
        made.bench().resolve()


def test_a_pilot_has_the_same_base_with_other_problems_and_other_seeds(
    made: "Made", server: Answers, scripted: "type[Scripted]", monkeypatch: pytest.MonkeyPatch
) -> None:
    project(made, FOUND.replace("healthy_gain: 0.12", "healthy_gain: null"))
    asked: list[dict[str, Any]] = []

    def fetch(planned: PlannedBase, base: HubBase, root: Path | None) -> Path:
        asked.append(planned.identity["found"])
        return made.root

    monkeypatch.setattr("harness.campaign.found.fetch", fetch)
    facts: dict[str, Any] = {"shape": {"architecture": "llama", "hidden_size": 16, "layers": 1}}

    def act(path: Path, _: int) -> None:
        base = path.parent.name == "bases"
        made.finish(path, 0.4 if base else 0.6, **(facts if base else {}))

    bench = made.bench()
    bench.resolve()
    choice = run_pilot(bench, lambda: scripted(act), lambda _: None)
    assert choice.healthy_gain == pytest.approx(0.2)
    assert (choice.declared_healthy_gain, choice.agrees) == (None, False)
    assert asked == [{"hub": "lab/mini-llama", "commit": FIRST, "prompting": "plain"}]
    piloted = [json.loads(path.read_text()) for path in made.store.pilot("bench").runs.glob("*/spec.json")]
    ours = bench.plan(bench.hypotheses(["live"]), ["llama"]).runs
    assert {spec["identity"]["base_id"] for spec in piloted}.isdisjoint(run.base.id for run in ours)
    assert {spec["identity"]["seed"] for spec in piloted}.isdisjoint(run.identity["seed"] for run in ours)
    assert "healthy gain none" in pilot_table(choice, bench.protocol.pilot.in_words())


def test_resolutions_are_those_of_the_store(made: "Made", server: Answers) -> None:
    project(made)
    bench = made.bench()
    bench.resolve()
    declared = bench.shelf.protocol("bench")
    assert planned_base("llama", with_resolved(declared, made.store)).id == bench.planned_bases(())[0].id
    assert planned_base("llama", with_resolved(declared, made.store.pilot("bench"))).provisional


@pytest.mark.slow
def test_from_a_branch_on_the_hub_to_a_committed_run(made: "Made", hub: "Hub", tmp_path: Path) -> None:
    """Two processes: the first resolves, fetches, scores and trains; the second finds all of it, without the Hub."""
    subprocess.run([sys.executable, "-c", MODEL, str(tmp_path / "model")], check=True, capture_output=True)
    files = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    hub.put("lab/mini-llama", FIRST, {**files, "pytorch_model.bin": b"x", "modeling.py": b"x"}, "main")
    project(made)
    made.declare("hypotheses/live.yaml", made.claim_text.replace("rank: [8, 16]", "rank: [8]"))

    def harness(*arguments: str, url: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "HF_ENDPOINT": url,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": ":".join(sys.path),
        }
        line = [sys.executable, "-c", "from harness.cli import main; main()", *arguments]
        return subprocess.run(line, capture_output=True, text=True, env=environment, cwd=made.root, check=False)

    first = harness("run", "live", "--workers", "1", "--json", url=hub.url)
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["executed"] == 6
    assert not [path for path in hub.asked if "pytorch_model.bin" in path or "modeling" in path]
    (base,) = made.store.bases.iterdir()
    said = json.loads((base / "result" / "result.json").read_text())
    assert said["found"] == {"hub": "lab/mini-llama", "commit": FIRST, "prompting": "plain"}
    again = harness("run", "live", "--json", url="http://127.0.0.1:9")  # where nobody answers
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["executed"] == 0
    found = harness("db", "rebuild", url="http://127.0.0.1:9")
    assert found.returncode == 0, found.stderr
    rows = harness("db", "query", "SELECT architecture, updates FROM base", "--json", url="http://127.0.0.1:9")
    assert json.loads(rows.stdout) == [{"architecture": "llama", "updates": None}]
