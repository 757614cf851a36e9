"""`harness runs import` of finished runs, and what the other commands make of them."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]

from harness.record.adopted_runs import adopted_runs

if TYPE_CHECKING:
    from tests.conftest import Hub, Made

pytestmark = pytest.mark.slow
Call = Callable[..., Any]
COMMIT = "c0ffee1234" * 4
ASK = """
import sys
from harness.cli.main import status
code = status(["--json", "runs", "import", *sys.argv[1].split()])
if code:
    print(code)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep measured matrices where the test is."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_final_folder_becomes_a_run_of_the_store(harness: Call, made: "Made", trl_output: Path) -> None:
    said = harness("runs", "import", str(trl_output / "sft"))
    assert said.code == 0 and said.out.splitlines()[0] == "adopted as sft: lora r=4"
    assert "accuracy  0.375 as its files state it, unverified" in said.out
    assert "unopened  training_args.bin" in said.out and "It is in no verdict." in said.out
    (listed,) = harness("runs", "list", "--json").json
    assert listed == {
        "id": "sft",
        "cell": "sft-lora-r4",
        "seed": None,
        "base": str(trl_output / "base"),
        "state": "adopted",
        "excluded": None,
    }
    assert "unknown" in harness("runs", "list").out.split()
    shown = harness("runs", "show", "sft", "--json").json
    assert {"seed", "task and evaluation set", "trainer arguments (training_args.bin)"} <= set(
        shown["facts"]["unknown"]
    )
    assert shown["facts"]["spectra"] == {"matrices": 7, "unknown": None, "against": None}
    assert "state: adopted" in harness("runs", "show", "sf").out.splitlines()
    (steps,) = harness("db", "query", "SELECT count(*) AS n, max(step) AS last FROM adopted_step", "--json").json
    assert steps == {"n": 4, "last": 4}
    spectrum = "SELECT module, stable_rank, singular_values FROM adopted_spectrum WHERE target = 'update' ORDER BY 1"
    measured = {row["module"]: row for row in harness("db", "query", spectrum, "--json").json}
    tensors = load_file(trl_output / "sft" / "adapter_model.safetensors")
    for module, row in measured.items():  # against the matrix itself, formed and decomposed
        a, b = (tensors[f"base_model.model.{module}.lora_{part}.weight"].double() for part in "AB")
        sigma = np.linalg.svd((2.0 * b @ a).numpy(), compute_uv=False)[:4]
        assert row["singular_values"] == pytest.approx(list(sigma), rel=1e-9)
        assert row["stable_rank"] == pytest.approx(float((sigma**2).sum() / sigma[0] ** 2), rel=1e-9)
    assert len(measured) == 7
    assert harness("db", "rebuild").code == 0
    assert {row["module"]: row for row in harness("db", "query", spectrum, "--json").json} == measured


def test_the_same_run_again_changes_nothing_and_another_name_is_told(
    harness: Call, made: "Made", trl_output: Path
) -> None:
    harness("runs", "import", str(trl_output / "sft"))
    before = {path: path.stat().st_mtime_ns for path in made.store.adopted_runs.rglob("*")}
    again = harness("runs", "import", str(trl_output / "sft"), "--json")
    assert again.code == 0 and again.json["new"] is False
    told = harness("runs", "import", str(trl_output / "sft" / "checkpoint-4"))  # the same weights
    assert (told.code, told.out) == (2, "")
    assert told.err == "sft-checkpoint-4: these weights were adopted as sft, and one run is not two. Use that name.\n"
    assert {path: path.stat().st_mtime_ns for path in made.store.adopted_runs.rglob("*")} == before
    other = harness("runs", "import", str(trl_output / "sft" / "checkpoint-2"), "--json")
    assert other.code == 0 and other.json["name"] == "sft-checkpoint-2"


def test_an_update_that_needs_its_base_is_measured_with_it(harness: Call, made: "Made", trl_output: Path) -> None:
    alone = harness("runs", "import", str(trl_output / "dora"), "--as", "alone", "--json").json
    assert alone["matrices"] == 0 and "cannot be told from the adapter alone" in alone["spectra_unknown"]
    assert "spectra" in alone["facts"]["unknown"] and str(trl_output / "dora") not in alone["spectra_unknown"]
    shutil.rmtree(made.store.adopted_runs)
    base = str(trl_output / "base")
    assert harness("runs", "import", str(trl_output / "dora"), "--against", base, "--json").json["matrices"] == 7
    whole = harness("runs", "import", str(trl_output / "full"), "--against", base, "--json").json
    assert whole["facts"]["adapter"] == {"method": "full"} and whole["matrices"] > 7
    shown = harness("spectra", "full", "--against", base, "--json")
    assert shown.code == 0 and shown.json["what"] == "weights minus the base's"
    assert harness("runs", "import", str(trl_output / "full" / "checkpoint-2"), "--json").json["matrices"] == 0
    assert harness("runs", "import", str(trl_output / "grpo"), "--against", "nowhere").code == 2


def test_an_adopted_run_is_measured_and_compared_by_name(harness: Call, made: "Made", trl_output: Path) -> None:
    harness("runs", "import", str(trl_output / "sft"))
    harness("runs", "import", str(trl_output / "grpo"), "--as", "theirs")
    assert len(harness("spectra", "sft", "--json").json["matrices"]) == 7
    made.results(lambda _: 0.5)
    own = sorted(made.store.runs.iterdir())[0].name
    for pair in (("sft", "theirs"), (own, "theirs"), ("theirs", own[-12:])):
        said = harness("runs", "compare", *pair)
        assert said.code == 0 and "problems  not paired" in said.out
        assert harness("runs", "compare", *pair, "--json").code == 0
    assert "learning_rate" in harness("runs", "compare", own, "theirs").out
    again = harness("runs", "import", str(trl_output / "sft")).out
    kept = made.store.adopted_runs / "sft"
    assert f"To adopt it anew, with files mended or --against another base, remove {kept} and repeat." in again
    assert harness("runs", "compare", own, own, "--json").json["fields"] == []
    assert harness("runs", "compare", own, "nowhere").code == 2
    assert "no run has this name: sft" in harness("runs", "exclude", "sft", "--reason", "it is not ours").err
    file = next(made.store.adopted_runs.glob("sft/kept/*.safetensors"))
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    assert harness("spectra", "sft").code == 3


def test_mistakes_are_one_line_and_adopt_nothing(harness: Call, made: "Made", trl_output: Path, tmp_path: Path) -> None:
    sft = shutil.copytree(trl_output / "sft", tmp_path / "sft")
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "adapter_model.bin").write_bytes(b"\x80\x04.")
    of_peft = shutil.copytree(pickled, tmp_path / "of-peft")
    (of_peft / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 8, "lora_alpha": 16}')
    (tmp_path / "empty").mkdir()
    cut = shutil.copytree(sft, tmp_path / "cut")
    os.truncate(cut / "adapter_model.safetensors", 4000)
    mistakes = {
        "'../x' is no name": [str(sft), "--as", "../x"],
        "/pickled/adapter_model.bin: a pickle": [str(pickled)],
        "/of-peft/adapter_model.bin: a pickle": [str(of_peft)],
        "neither adapter_model.safetensors nor": [str(tmp_path / "empty")],
        "truncated, or no safetensors file": [str(cut)],
        "no such folder. Name one that exists.": ["./nowhere"],
        "runs/nowhere@main for a model on the Hub": ["runs/nowhere"],
        "--hypothesis is for a table": [str(sft), "--hypothesis", "live"],
        "adapter_model.safetensors: neither a folder nor a table": [str(sft / "adapter_model.safetensors")],
        "Missing option '--hypothesis'": ["nowhere.csv"],
        "no such file. Check the path.": ["nowhere.csv", "--hypothesis", "live"],
        "--against is for a run": ["nowhere.csv", "--hypothesis", "live", "--against", "x"],
    }
    for told, arguments in mistakes.items():
        said = harness("runs", "import", *arguments)
        assert (said.code, said.out) == (2, ""), told
        assert told in said.err and "Traceback" not in said.err
    assert adopted_runs(made.store) == []
    assert not made.store.adopted_runs.exists() or list(made.store.adopted_runs.iterdir()) == []


def test_weights_that_are_no_numbers_leave_the_spectra_unknown(
    harness: Call, made: "Made", trl_output: Path, tmp_path: Path
) -> None:
    from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]

    folder = shutil.copytree(trl_output / "sft", tmp_path / "diverged")
    file = folder / "adapter_model.safetensors"
    save_file({name: tensor * float("nan") for name, tensor in load_file(file).items()}, file)
    said = harness("runs", "import", str(folder), "--json").json
    assert "holds NaN or infinity" in said["spectra_unknown"] and said["matrices"] == 0


def test_an_adapter_of_the_hub_is_pinned_and_only_named_files_are_asked_for(
    hub: "Hub", trl_output: Path, tmp_path: Path
) -> None:
    point = trl_output / "grpo" / "checkpoint-3"
    files = {path.name: path.read_bytes() for path in point.iterdir() if path.is_file()}
    hub.put("lab/adapter", COMMIT, {**files, "handler.py": b"1/0", "original/x.safetensors": b""}, "main")
    hub.put("lab/pickled", COMMIT, {"adapter_config.json": b"{}", "adapter_model.bin": b""}, "main")
    hub.put("lab/whole", COMMIT, {"config.json": b"{}", "model.safetensors": b""}, "main")
    said = hub.ask(ASK, "lab/adapter --as theirs", tmp_path)
    assert (said["source"], said["commit"], said["name"]) == ("lab/adapter", COMMIT, "theirs")
    assert said["matrices"] == 7 and said["facts"]["updates"] == 3
    fetched = {path.partition("?")[0].rpartition("/")[2] for path in hub.asked if "/resolve/" in path}
    assert fetched == {"adapter_config.json", "adapter_model.safetensors", "trainer_state.json", "README.md"}
    assert all(f"/{COMMIT}/" in path for path in hub.asked if "/resolve/" in path)
    kept = json.loads((tmp_path / ".harness" / "adopted-runs" / "theirs" / "manifest.json").read_text())
    assert (kept["source"], kept["commit"]) == ("lab/adapter", COMMIT)
    assert hub.ask(ASK, "lab/adapter --as theirs", tmp_path)["new"] is False
    again = hub.ask(ASK, "lab/adapter@main --as theirs", tmp_path, offline=True)
    assert again["commit"] == COMMIT
    assert hub.ask(ASK, "lab/pickled", tmp_path) == 4
    assert hub.ask(ASK, "lab/whole", tmp_path) == 2
    assert hub.ask(ASK, "lab/nothing", tmp_path) == 4
    hub.gated.add("lab/adapter")
    assert hub.ask(ASK, "lab/adapter", tmp_path) == 4
