"""`harness spectra`: what it prints and writes, where it finds things, and mistakes in a line."""

import json
import os
import pickle  # noqa: TID251 - made here, to show that it is never opened
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.record.atomic import write_json
from harness.record.ending import Reason
from harness.record.job import JobDirectory

if TYPE_CHECKING:
    from tests.conftest import Made

Call = Callable[..., Any]
torch: Any = import_module("torch")  # whose types do not bear the strict mode
load_file: Any = import_module("safetensors.torch").load_file
save_file: Any = import_module("safetensors.torch").save_file
Q = "model.layers.{}.self_attn.q_proj"
CONFIG = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "base_model_name_or_path": "lab/base"}


def draw(*shape: int, seed: int = 0) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def write_adapter(folder: Path, layers: int = 2, **config: Any) -> dict[str, Any]:
    """Write a LoRA adapter of 12 x 8 matrices, and return its updates by module."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Any] = {}
    updates: dict[str, Any] = {}
    for i in range(layers):
        b, a = draw(12, 2, seed=2 * i), draw(2, 8, seed=2 * i + 1)
        tensors |= {f"base_model.model.{Q.format(i)}.lora_{name}.weight": t for name, t in (("A", a), ("B", b))}
        updates[Q.format(i)] = 2.0 * b.double() @ a.double()
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({**CONFIG, **config}))
    return updates


def write_model(folder: Path, layers: int = 2, dtype: str = "float32", shift: float = 0.0) -> dict[str, Any]:
    """Write a model of 12 x 8 matrices, each moved by an update of rank one and this size."""
    folder.mkdir(parents=True, exist_ok=True)
    moved = {
        f"{Q.format(i)}.weight": (draw(12, 8, seed=i) + shift * draw(12, 1, seed=90) @ draw(1, 8, seed=91))
        for i in range(layers)
    }
    stored = {name: weight.to(getattr(torch, dtype)) for name, weight in moved.items()}
    save_file(
        {**stored, "model.embed_tokens.weight": draw(20, 8).to(getattr(torch, dtype))}, folder / "model.safetensors"
    )
    return stored


@pytest.fixture
def here(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Return a function that runs a command line in an empty folder that is no project."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return call


def sigma(matrix: Any) -> list[float]:
    return torch.linalg.svdvals(matrix.double()).tolist()


def test_an_adapter_without_a_project_is_measured(here: Call) -> None:
    updates = write_adapter(Path("adapter"))
    said = here("spectra", "adapter", "--json")
    assert (said.code, said.err) == (0, "")
    assert (said.json["target"], said.json["what"]) == ("adapter", "LORA adapter")
    assert [row["module"] for row in said.json["matrices"]] == list(updates)
    for row in said.json["matrices"]:
        assert (row["rows"], row["columns"], row["target"], row["source"]) == (12, 8, "update", "factors")
        assert row["singular_values"] == pytest.approx(sigma(updates[row["module"]])[:2], rel=1e-12)
        assert row["layer"] == int(row["module"].split(".")[2])
        assert (row["part"], row["kind"], row["role"]) == ("self_attn.q_proj", "q_proj", "hidden")
    lines = here("spectra", "adapter").out.splitlines()
    assert lines[0] == "adapter: LORA adapter"
    assert lines[1].split()[:4] == ["module", "shape", "sigma_1", "frobenius"]
    assert lines[2].split()[:2] == [Q.format(0), "12x8"]
    assert not Path(".harness").exists()


def test_a_model_is_measured_once(here: Call, tmp_path: Path) -> None:
    weights = write_model(Path("model"))
    said = here("spectra", "model", "--json").json
    roles = {row["module"]: (row["role"], row["layer"]) for row in said["matrices"]}
    assert roles == {
        "model.embed_tokens": ("embedding", -1),
        Q.format(0): ("hidden", 0),
        Q.format(1): ("hidden", 1),
    }
    for row in said["matrices"][1:]:
        assert row["singular_values"] == pytest.approx(sigma(weights[f"{row['module']}.weight"]), rel=1e-9)
        assert (row["target"], row["source"], row["dtype"]) == ("weights", "weights", "float32")
    kept = sorted((tmp_path / "cache" / "rlvr-harness" / "spectra").rglob("*.json"))
    assert len(kept) == 3
    kept[0].write_text(
        kept[0].read_text().replace('"rows": 12', '"rows": 12000').replace('"rows": 20', '"rows": 12000')
    )
    again = here("spectra", "model/model.safetensors", "--json").json["matrices"]
    assert 12000 in [row["rows"] for row in again]  # read, not measured


def test_leading_values_are_as_many_as_asked(here: Call) -> None:
    write_model(Path("model"))
    rows = here("spectra", "model", "--top", "3", "--json").json["matrices"]
    assert [(len(row["singular_values"]), row["complete"], row["effective_rank"]) for row in rows] == [
        (3, False, None)
    ] * 3


def test_a_tuned_model_is_compared_with_its_base(here: Call) -> None:
    write_model(Path("base"))
    write_model(Path("tuned"), shift=1.0)
    said = here("spectra", "tuned", "--against", "base", "--json")
    rows = {row["module"]: row for row in said.json["matrices"]}
    assert (said.err, said.json["base"], said.json["what"]) == ("", "base", "weights minus the base's")
    assert rows[Q.format(1)]["source"] == "fp32_difference"
    assert rows[Q.format(1)]["stable_rank"] == pytest.approx(1, abs=1e-6)
    assert rows[Q.format(1)]["changed_share"] == 1
    assert rows["model.embed_tokens"]["changed_share"] == rows["model.embed_tokens"]["frobenius"] == 0


def test_a_name_that_the_font_lacks_is_drawn_without_a_warning(here: Call) -> None:
    write_adapter(Path("模型"))
    assert here("spectra", "模型", "--figure", "drawn.png").err == "drawn.png: drawn\n"


def test_a_model_that_is_its_own_base_is_told(here: Call) -> None:
    write_model(Path("base"))
    said = here("spectra", "base", "--against", "base", "--figure", "zero.png")
    assert said.code == 0
    assert said.err.splitlines() == [
        "every matrix here is exactly zero: nothing differs from the base",
        "zero.png: drawn",
    ]


def test_a_difference_of_rounded_weights_is_marked_with_its_null_beside(here: Call) -> None:
    write_model(Path("base"), dtype="bfloat16")
    write_model(Path("tuned"), dtype="bfloat16", shift=0.01)
    said = here("spectra", "tuned", "--against", "base", "--json")
    assert "3 differences of weights stored in bfloat16" in said.err
    assert "such spectra enter no claim" in said.err
    assert said.json["notes"] == said.err.splitlines()
    found = [(row["module"], row["target"], row["source"]) for row in said.json["matrices"]]
    low = "low_precision_difference"
    each = (("update", low), ("null", "rounded_factors"))
    pairs = [(Q.format(i), target, source) for i in range(2) for target, source in each]
    assert found == [("model.embed_tokens", "update", low), *pairs]
    assert f"{Q.format(1)} (null)" in here("spectra", "tuned", "--against", "base", "-q").out


@pytest.mark.parametrize(("shift", "told"), [(1e-6, "up to "), (1e-8, "all of the largest")])
def test_a_difference_that_float32_rounds_away_is_told(here: Call, shift: float, told: str) -> None:
    write_model(Path("base"))
    write_model(Path("tuned"), shift=shift)
    said = here("spectra", "tuned", "--against", "base", "--json")
    assert said.err.startswith("2 updates are small beside what they were read from: their singular values may be off")
    assert told in said.err
    assert "so rounding may read as rank" in said.err
    assert said.json["notes"] == said.err.splitlines()
    for row in said.json["matrices"][1:]:
        exact = shift * float(draw(12, 1, seed=90).double().norm() * draw(1, 8, seed=91).double().norm())
        off = [abs(row["singular_values"][0] - exact), *row["singular_values"][1:]]  # of an update of rank one
        assert (row["source"], row["floor"]) == ("fp32_difference", 1.0)
        assert 1e-2 * row["singular_values"][0] < max(off) <= row["bound"] * row["singular_values"][0]
    write_model(Path("further"), shift=1.0)
    assert here("spectra", "further", "--against", "base").err == ""


def test_rounded_factors_since_a_start_in_the_base_are_marked_and_drawn(here: Call) -> None:
    write_model(Path("base"))
    write_adapter(Path("adapter"), init_lora_weights="pissa")
    file = Path("adapter/adapter_model.safetensors")
    save_file({name: tensor.bfloat16() for name, tensor in load_file(file).items()}, file)
    said = here("spectra", "adapter", "--against", "base", "--figure", "a.svg", "--json")
    assert "2 updates from a start rounded to bfloat16: rounding reads as rank; such spectra enter no claim" in said.err
    assert {(row["source"], row["dtype"]) for row in said.json["matrices"]} == {
        ("low_precision_difference", "bfloat16")
    }


def test_many_matrices_are_told_as_means(here: Call) -> None:
    write_adapter(Path("adapter"), layers=41)
    rows = here("spectra", "adapter", "--json").json["matrices"]
    lines = here("spectra", "adapter").out.splitlines()
    assert lines[1].startswith("41 matrices: means by module over the layers, then by layer")
    part = next(line for line in lines if line.startswith("self_attn.q_proj"))
    mean = sum(row["frobenius"] for row in rows) / 41
    assert part.split()[:4] == ["self_attn.q_proj", "41", part.split()[2], f"{mean:#.3g}"]
    assert sum(line.split()[:2] == [str(i), "1"] for line in lines for i in range(41)) == 41


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_lines_fit_the_terminal(here: Call, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    write_adapter(Path("adapter"))
    lines = here("spectra", "adapter").out.splitlines()
    assert max(map(len, lines)) <= columns
    assert all("q_proj" in line for line in lines[2:4])
    assert any(line.startswith("not shown at this width:") for line in lines) == (columns < 120)


def test_parquet_has_all_rows_with_the_definition_of_each_column(here: Call) -> None:
    parquet: Any = import_module("pyarrow.parquet")
    write_adapter(Path("adapter"))
    said = here("spectra", "adapter", "--parquet", "rows.parquet", "--json")
    table = parquet.read_table("rows.parquet")
    assert table.to_pylist() == said.json["matrices"]
    assert table.schema.metadata[b"what"] == b"LORA adapter"
    assert all(field.metadata[b"definition"] for field in table.schema)
    assert b"Roy and Vetterli" in table.schema.field("effective_rank").metadata[b"definition"]
    assert sorted(os.listdir()) == ["adapter", "rows.parquet"]


def test_a_figure_is_drawn(here: Call) -> None:
    write_adapter(Path("adapter"))
    assert here("spectra", "adapter", "--figure", "drawn.png").code == 0
    assert Path("drawn.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def commit(job: JobDirectory, write: Callable[[Path], Any]) -> None:
    attempt = job.claim({"engine": "test"})
    assert attempt is not None
    write(attempt.stage)
    write_json(attempt.stage / "result.json", {"job": job.id})
    assert attempt.commit()
    attempt.exit(Reason.OK)


@pytest.fixture
def runs(made: "Made", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the ids of four runs: an adapter, one that needs its base, full fine-tuning, and a new one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    bench = made.bench()
    plan = bench.plan(bench.hypotheses(["live"]), ["llama"])
    base = JobDirectory(made.store.bases / plan.bases[0].id)
    base.create({"id": base.id, "identity": plan.bases[0].identity})
    commit(base, lambda stage: write_model(stage))
    found = list(plan.runs[:4])
    for run in found:
        bench.run_job(run).create({"id": run.id, "identity": run.identity})
    commit(bench.run_job(found[0]), lambda stage: write_adapter(stage))
    commit(bench.run_job(found[1]), lambda stage: write_adapter(stage, init_lora_weights="pissa"))
    commit(bench.run_job(found[2]), lambda stage: write_model(stage, shift=1.0))
    return [run.id for run in found]


def test_a_run_is_found_by_the_beginning_of_its_id_and_knows_its_base(
    harness: Call, made: "Made", runs: list[str], tmp_path: Path
) -> None:
    updates = write_adapter(tmp_path / "same")
    said = harness("spectra", runs[0], "--json").json
    assert [row["frobenius"] for row in said["matrices"]] == pytest.approx([float(u.norm()) for u in updates.values()])
    assert said["base"] == str(next(made.store.bases.iterdir()) / "result")
    prefix = next(
        runs[0][:n] for n in range(1, len(runs[0]) + 1) if sum(run.startswith(runs[0][:n]) for run in runs) == 1
    )
    assert harness("spectra", prefix, "--json").json["path"] == str(made.store.runs / runs[0] / "result")
    started = harness("spectra", runs[1], "--json").json["matrices"]
    assert [len(row["singular_values"]) for row in started] == [4, 4]
    full = harness("spectra", runs[2], "--json").json["matrices"]
    assert {(row["module"], row["source"]) for row in full} >= {(Q.format(0), "fp32_difference")}


def test_a_run_has_its_place_in_the_base_that_the_store_keeps(
    harness: Call, made: "Made", runs: list[str], tmp_path: Path
) -> None:
    bases = import_module("harness.spectra.basis")
    weights = write_model(tmp_path / "base")
    kept = {name.removesuffix(".weight"): bases.singular_basis(weight) for name, weight in weights.items()}
    assert harness("spectra", runs[0], "--json").json["matrices"][0]["intruders"] is None
    base = next(made.store.bases.iterdir())
    spec = json.loads((base / "spec.json").read_text())
    shutil.rmtree(base)
    JobDirectory(base).create(spec)

    def write(stage: Path) -> None:
        write_model(stage)
        bases.write_bases(stage / "basis.safetensors", kept)

    commit(JobDirectory(base), write)
    for run in (runs[0], runs[2]):  # an adapter, full fine-tuning
        rows = harness("spectra", run, "--json").json["matrices"]
        assert [row["intruders"] is None for row in rows] == [row["kind"] == "embed_tokens" for row in rows]
        for row in (row for row in rows if row["kind"] == "q_proj"):
            assert row["intruders"] == row["intruder_sweep"][1]
            assert row["intruder_sweep"] == sorted(row["intruder_sweep"])
            assert row["intruders_borderline"] == [0, 0, 0]
            assert row["overlap"] is not None
    assert "intruders" in harness("spectra", runs[0]).out
    same = harness("spectra", runs[0], "--against", base.name, "--json").json["matrices"]
    assert same == harness("spectra", runs[0], "--json").json["matrices"]
    assert harness("spectra", base.name, "--json").json["matrices"][0]["intruders"] is None


def test_a_run_without_a_result_or_an_id_of_many_is_told(harness: Call, made: "Made", runs: list[str]) -> None:
    said = harness("spectra", runs[3])
    assert (said.code, f"{runs[3]} has no result: it is new. `harness run` makes it." in said.err) == (2, True)
    common = next(runs[0][:n] for n in range(len(runs[0]), 0, -1) if all(run.startswith(runs[0][:n]) for run in runs))
    said = harness("spectra", common)
    assert (said.code, f"4 runs begin with {common}" in said.err) == (2, True)
    (made.store.runs / runs[0] / "result" / "adapter_model.safetensors").write_bytes(b"changed")
    said = harness("spectra", runs[0])
    assert (said.code, "changed since it was committed" in said.err) == (3, True)


class Trap:
    """An object whose pickle, when it is read, makes a folder."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


def nothing(_: Path) -> None:
    """Leave the folder as it is."""


def cut(folder: Path) -> None:
    file = next(folder.glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-1])


def trap(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))


def trapped_adapter(folder: Path) -> None:
    (folder / "adapter_model.safetensors").unlink()
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Trap()))


def configured(**fields: Any) -> Callable[[Path], None]:
    return lambda folder: write_json(folder / "adapter_config.json", {**CONFIG, **fields})


def hostile(folder: Path) -> None:
    """Name a module so that a terminal which prints it as it is would be told to clear itself."""
    tensors = {"base_model.model.\x1b[2J.lora_A.weight": draw(2, 8)}
    save_file(tensors, folder / "adapter_model.safetensors")


MISTAKES: dict[str, tuple[Callable[[Path], Any], list[str], str]] = {
    "nowhere": (nothing, ["nowhere"], "nowhere: no such file or folder. Name one that exists. Runs are"),
    "no base": (nothing, ["adapter", "--against", "nowhere"], "nowhere: no such file or folder"),
    "empty": (
        lambda f: shutil.rmtree(f) or f.mkdir(),
        ["adapter"],
        "adapter: no safetensors file in this folder. Name",
    ),
    "cut": (cut, ["adapter"], "adapter_model.safetensors: truncated, or no safetensors file"),
    "pickle": (
        trap,
        ["adapter"],
        "pytorch_model.bin: a pickle, which can run code when it is read and is never opened.",
    ),
    "pickled adapter": (trapped_adapter, ["adapter"], "adapter_model.bin: a pickle, which can run code"),
    "needs a base": (configured(use_dora=True), ["adapter"], "Name the base: --against lab/base."),
    "another rank": (configured(r=3), ["adapter"], "factors of rank 2, where adapter_config.json declares 3."),
    "a method of nobody": (
        configured(peft_type="MAGIC"),
        ["adapter", "--against", "model"],
        "no config.json|is no method",
    ),
    "another base": (
        nothing,
        ["adapter", "--against", "other"],
        "q_proj.weight, which the adapter changes. Name the base",
    ),
    "no matrix in common": (nothing, ["model", "--against", "other"], "no matrix of the same name and shape as in"),
    "hostile": (hostile, ["adapter"], "?[2J: lora_A without lora_B. Save the adapter again."),
    "drawing": (nothing, ["adapter", "--figure", "x.gif"], "x.gif does not end in .png or .svg or .pdf. Name"),
    "no folder": (nothing, ["adapter", "--parquet", "no/x.parquet"], "no is no folder. Make it first."),
    "no such file system": (nothing, ["adapter", "--figure", "/proc/x.png"], "/proc/x.png cannot be written: "),
    "a device": (nothing, ["adapter", "--parquet", "device.parquet"], "/dev/null is no ordinary file. Name another."),
    "within a file": (nothing, ["adapter", "--figure", "model/config.json/x.png"], "config.json is no folder. Make it"),
    "a folder": (nothing, ["adapter", "--parquet", "taken.parquet"], "taken.parquet is a folder. Name a file."),
    "long": (nothing, ["adapter", "--parquet", f"{'x' * 300}.parquet"], "cannot be written: File name too long."),
    "weights": (nothing, ["adapter", "--parquet", "adapter/adapter_model.safetensors"], "does not end in .parquet"),
    "the same file": (
        nothing,
        ["adapter", "--parquet", "both.parquet", "--figure", "both.png"],
        "both.png is the file of --parquet. Name another.",
    ),
    "none": (nothing, ["adapter", "--top", "0"], "'--top'"),
    "empty name": (nothing, [""], "an empty name stands for nothing. Name a path, a run or a model on the Hub."),
    "long name": (nothing, ["x" * 300], "File name too long. Name another path."),
    "an address": (nothing, ["https://huggingface.co/lab/tiny"], "Models of the Hub are named ORG/NAME[@REVISION]."),
    "alike": (nothing, ["adaptr"], "adaptr: no such file or folder; adapter is there. Name one that exists."),
    "no configuration": (
        lambda f: (f / "adapter_config.json").unlink(),
        ["adapter"],
        "adapter: tensors of an adapter without its adapter_config.json, which says what they mean. Put the one",
    ),
    "factors of another library": (nothing, ["kohya.safetensors"], "tensors of an adapter without its adapter_config"),
    "an adapter as base": (nothing, ["model", "--against", "adapter"], "adapter: an adapter, and no base. Name the mo"),
    "a prompt": (configured(peft_type="PROMPT_TUNING"), ["adapter"], "PROMPT_TUNING learns a prompt and is no fixed"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_in_a_line_and_exits_2(here: Call, name: str) -> None:
    damage, arguments, told = MISTAKES[name]
    write_adapter(Path("adapter"))
    write_model(Path("model"))
    save_file({"another.weight": torch.eye(3)}, Path("other.safetensors"))
    save_file({"lora_unet_q.lora_down.weight": torch.eye(3)}, Path("kohya.safetensors"))
    (Path("model") / "config.json").write_text("{}")
    Path("taken.parquet").mkdir()
    Path("device.parquet").symlink_to("/dev/null")
    Path("both.png").symlink_to("both.parquet")
    damage(Path("adapter"))
    before = sorted(str(path) for path in Path().rglob("*"))
    said = here("spectra", *(argument.replace("other", "other.safetensors") for argument in arguments))
    assert (said.code, said.out) == (2, "")
    assert any(part in said.err for part in told.split("|"))
    assert "Error: " not in said.err
    assert said.err.splitlines()[1:] in ([], ["Try 'harness spectra --help' for help."])
    assert "Traceback" not in said.err
    assert "\x1b" not in said.err
    assert sorted(str(path) for path in Path().rglob("*")) == before  # no marker of an executed pickle, nothing written


@pytest.mark.slow
def test_a_model_that_cannot_be_had_exits_4(tmp_path: Path) -> None:
    """In a process of its own: the Hub's library reads its environment when it is imported."""
    command = [sys.executable, "-c", "from harness.cli import main; main()", "spectra", "lab/absent"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("lab/absent@main: no such path here, no answer from the Hub and no copy in ")
    assert len(done.stderr.splitlines()) == 1


def test_progress_is_told_after_two_seconds(here: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.cli.spectra.PATIENCE", 0.0)
    monkeypatch.setattr("harness.cli.spectra.EVERY", 0.0)
    write_adapter(Path("adapter"))
    told = [f"matrices measured: {done} of 2, 0 s" for done in (1, 2)]
    assert here("spectra", "adapter").err.splitlines() == told
    assert here("spectra", "adapter", "-q").err == ""


def test_what_cannot_be_kept_is_measured_all_the_same(here: Call, tmp_path: Path) -> None:
    write_model(Path("model"))
    (tmp_path / "cache").write_text("a file where the folder would be")
    said = here("spectra", "model")
    assert said.code == 0
    folder = tmp_path / "cache" / "rlvr-harness" / "spectra"
    assert said.err == f"{folder}: Not a directory; what is measured is not kept\n"
    assert here("spectra", "model", "-q").err == ""


def test_a_cache_that_fails_at_a_matrix_is_told_once(here: Call, tmp_path: Path) -> None:
    """The folder is there and can be written, but not what lies in it."""
    write_model(Path("model"))
    measured = here("spectra", "model", "--json").json["matrices"]
    for folder in (tmp_path / "cache" / "rlvr-harness" / "spectra").iterdir():
        shutil.rmtree(folder)
        folder.write_text("a file where the folder would be")
    said = here("spectra", "model", "--json")
    assert (said.code, said.json["matrices"]) == (0, measured)
    assert said.err.count("what is measured is not kept") == len(said.err.splitlines()) == 1


def test_what_may_not_be_read_is_named_as_such(here: Call) -> None:
    """As a user who is not root, to whom every file is open."""
    write_adapter(Path("adapter"))
    write_model(Path("model"))
    with tempfile.TemporaryDirectory() as folder:
        closed = Path(folder)
        shutil.copytree("adapter", closed / "adapter")
        shutil.copytree("adapter", closed / "sealed")
        shutil.copytree("model", closed / "model")
        closed.chmod(0o755)
        for name in ("adapter/adapter_model.safetensors", "model/model.safetensors", "sealed"):
            (closed / name).chmod(0)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            said = {name: here("-C", str(closed), "spectra", name) for name in ("adapter", "model", "sealed")}
        finally:
            os.seteuid(user)
            (closed / "sealed").chmod(0o755)
    for name, result in said.items():
        assert (result.code, result.out) == (2, ""), result.err
        assert result.err.startswith(f"{closed / name}")
        assert "this user may not read it. Change its permissions, or name a copy." in result.err


def test_a_file_that_cannot_be_finished_does_not_take_the_result_away(
    here: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_adapter(Path("adapter"))

    def full(path: Path, *_: Any) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("harness.spectra.table.write_parquet", full)
    said = here("spectra", "adapter", "--parquet", "rows.parquet", "--figure", "drawn.png")
    assert said.code == 4
    assert said.out.startswith("adapter: LORA adapter")
    assert said.err.splitlines() == ["rows.parquet: not written (No space left on device).", "drawn.png: drawn"]
    assert sorted(path.name for path in Path().iterdir()) == ["adapter", "drawn.png"]


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json"])
def test_a_file_of_an_adapter_stands_for_its_folder(here: Call, name: str) -> None:
    write_adapter(Path("adapter"))
    said = here("spectra", f"adapter/{name}", "--json").json
    assert said["what"] == "LORA adapter"
    assert said["matrices"] == here("spectra", "adapter", "--json").json["matrices"]


def test_what_is_left_out_is_told_by_reason(here: Call) -> None:
    write_adapter(Path("adapter"))
    file = Path("adapter/adapter_model.safetensors")
    load_file: Any = import_module("safetensors.torch").load_file
    more = {
        "base_model.model.lm_head.weight": draw(20, 8),
        "base_model.model.model.conv.lora_A.weight": draw(2, 3, 1, 1),
    }
    save_file({**load_file(file), **more}, file)
    assert here("spectra", "adapter").err.splitlines() == [
        "left out, saved whole beside the updates: base_model.model.lm_head.weight",
        "left out, no factor of a matrix: base_model.model.model.conv.lora_A.weight",
    ]
    write_model(Path("base"), layers=1)
    write_model(Path("tuned"), layers=2, shift=1.0)
    tuned = load_file(Path("tuned/model.safetensors"))
    changed = {"model.embed_tokens.weight": draw(21, 8), "model.experts": draw(2, 3, 3)}
    save_file({**tuned, **changed}, Path("tuned/model.safetensors"))
    assert here("spectra", "tuned", "--against", "base").err.splitlines() == [
        "left out, of another shape or type in the base: model.embed_tokens.weight",
        f"left out, not in the base: {Q.format(1)}.weight",
        "left out, no matrix of floating-point numbers: model.experts",
    ]
    assert here("spectra", "tuned").err == "left out, no matrix of floating-point numbers: model.experts\n"
    assert here("spectra", "base", "--against", "tuned").err.splitlines()[-1] == (
        f"left out, in the base alone: {Q.format(1)}.weight"
    )
