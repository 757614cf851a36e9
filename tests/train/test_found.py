"""Bases that exist: miniature checkpoints in the Hub's own cache layout, loaded, scored and trained by real jobs."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    GPTNeoXConfig,
    LlamaConfig,
    Olmo2Config,
    Olmo3Config,
    PreTrainedTokenizerFast,
    Qwen3Config,
)

from harness.plan.runset import planned_base
from harness.record.job import JobDirectory
from harness.record.shards import write_shard
from harness.source import splits
from harness.spec import Cell, HubBase, Lora, Protocol, load_protocol
from harness.spec.adapter import Proportional, Quanta
from harness.spectra.basis import basis_modules
from harness.train import found, load, spectra
from harness.train.load import load_found
from harness.train.tokenizer import character_tokenizer

TEMPLATE = "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[assistant]"
CONFIGS: dict[str, Any] = {
    "llama": LlamaConfig,
    "qwen3": Qwen3Config,
    "olmo2": Olmo2Config,
    "olmo3": Olmo3Config,
    "gpt_neox": GPTNeoXConfig,
}


def commit_of(base: HubBase) -> str:
    return hashlib.sha1(base.place.encode()).hexdigest()


def in_cache(cache: Path, base: HubBase, make: Callable[[Path], None]) -> Path:
    """Put what `make` writes into a folder into a Hub cache, laid out as the library lays it out; return the commit's.

    Content lies under its hash in blobs/, a commit is a folder of links to it, and a branch is a file with a commit.
    """
    home = cache / f"models--{str(base.hub).replace('/', '--')}"
    raw = cache / "raw" / commit_of(base)
    raw.mkdir(parents=True)
    make(raw)
    snapshot = home / "snapshots" / commit_of(base)
    for folder in (snapshot, home / "blobs", home / "refs"):
        folder.mkdir(parents=True, exist_ok=True)
    for file in raw.iterdir():
        blob = home / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
        if not blob.exists():
            file.rename(blob)
        (snapshot / file.name).symlink_to(os.path.relpath(blob, snapshot))
    (home / "refs" / str(base.revision)).write_text(commit_of(base))
    return snapshot


def tokenizer_of(base: HubBase) -> PreTrainedTokenizerFast:
    letters = "".join(map(chr, range(32, 127)))
    made = character_tokenizer(letters)
    if base.shape.architecture == "gpt_neox":  # as many do, it has no padding token
        made = PreTrainedTokenizerFast(tokenizer_object=made.backend_tokenizer, bos_token="<bos>", eos_token="<eos>")
    if base.prompting == "chat":
        made.chat_template = TEMPLATE
    return made


def model_of(base: HubBase, folder: Path, **more: Any) -> None:
    """Write a model of the declared shape, in bfloat16 with a temperature of its own, and what is never read."""
    shape, tokenizer = base.shape, tokenizer_of(base)
    fields: dict[str, Any] = {"num_key_value_heads": shape.key_heads}
    fields |= {"head_dim": shape.head_dim} if shape.head_dim else {}
    config = CONFIGS[shape.architecture](
        hidden_size=shape.hidden_size,
        num_hidden_layers=shape.layers,
        intermediate_size=shape.intermediate_size,
        num_attention_heads=shape.heads,
        vocab_size=shape.vocabulary,
        tie_word_embeddings=shape.tied,
        max_position_embeddings=128,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        **({} if shape.architecture == "gpt_neox" else fields),
        **more,
    )
    torch.manual_seed(int(commit_of(base)[:6], 16))
    model: Any = AutoModelForCausalLM.from_config(config).to(torch.bfloat16)
    model.generation_config.update(do_sample=True, temperature=0.01, top_p=0.01)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "pytorch_model.bin").write_bytes(b"never read")
    (folder / "modeling_mini.py").write_text("raise SystemExit('code of a model was run')\n")
    (folder / "result.json").write_text("{}")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Hub cache with every base of the protocol."""
    cache = tmp_path_factory.mktemp("cache")
    for base in declared().bases.values():
        assert isinstance(base, HubBase)
        in_cache(cache, base, lambda folder, base=base: model_of(base, folder))
    return cache


@pytest.fixture(autouse=True)
def here(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the library look into that cache, and ask nobody."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def declared() -> Protocol:
    return load_protocol(Path(__file__).parents[1] / "found.yaml", "found.yaml")


def pinned(protocol: Protocol | None = None) -> Protocol:
    """Return the protocol with every base resolved."""
    protocol = protocol or declared()
    bases = {name: base.model_copy(update={"commit": commit_of(base)}) for name, base in protocol.bases.items()}  # type: ignore[arg-type]
    return protocol.model_copy(update={"bases": bases})


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Any:
    """Return a laboratory whose bases exist."""
    from tests.train.conftest import Laboratory

    return Laboratory(tmp_path_factory.mktemp("store"), pinned())


def facts(job: JobDirectory) -> dict[str, Any]:
    return json.loads((job.result / "result.json").read_text())


@pytest.mark.parametrize("name", ["llama", "qwen", "olmo2", "olmo3", "pythia"])
def test_every_architecture_is_scored_and_trained_in_bfloat16_with_adapters_in_float32(name: str, lab: Any) -> None:
    base, run = lab.base(name), lab.run(lab.cell(algorithm="sft"), base=name)
    made, said = facts(base), facts(run)
    declared = lab.protocol.bases[name]
    assert made["parameters"] == declared.shape.parameters()
    assert (made["dtype"], made["shape"]["architecture"]) == ("bfloat16", declared.shape.architecture)
    assert said["loaded_weights"] == said["base_weights"] == said["base_weights_after"] == made["base_weights"]
    assert said["adapter"]["adapted_matrices"] == len(declared.shape.matrices()) * declared.shape.layers
    assert {t.dtype for t in load_file(run.result / "adapter_model.safetensors").values()} == {torch.float32}
    assert said["final_update_norm"] > 0
    assert facts(lab.run(lab.cell(), base=name))["updates"] == 2


def test_two_revisions_are_two_bases_with_weights_of_their_own(lab: Any) -> None:
    late, early = lab.base("llama"), lab.base("early")
    assert late.id.startswith("mini-llama-") and early.id.startswith("mini-llama-stage1-step10-")
    assert facts(late)["base_weights"] != facts(early)["base_weights"]
    assert facts(late)["found"]["commit"] == commit_of(lab.protocol.bases["llama"])
    assert (
        lab.planned(lab.cell(), base="llama").identity["seed"] != lab.planned(lab.cell(), base="early").identity["seed"]
    )


def test_the_weights_are_the_cache_s_own_bytes_and_nothing_else_is_taken(lab: Any, cache: Path) -> None:
    base = lab.base("llama")
    snapshot = cache / "models--lab--mini-llama" / "snapshots" / facts(base)["found"]["commit"]
    assert (base.result / "model.safetensors").samefile(snapshot / "model.safetensors")
    assert {path.name for path in base.result.iterdir()} == {
        *("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
        *("evaluation.parquet", "manifest.json", "result.json", "spectrum.parquet", "basis.safetensors"),
    }


def test_the_repository_s_own_sampling_settings_are_dropped(lab: Any) -> None:
    """The repository's own temperature of .01 would make every sample the most likely answer."""
    loaded = load_found(lab.base("llama").result, "bfloat16", "plain")
    assert loaded.model.generation_config.temperature in (None, 1.0)
    assert loaded.model.generation_config.eos_token_id == loaded.tokenizer.eos_token_id


def test_a_tokenizer_without_padding_pads_with_its_end_on_the_left(lab: Any) -> None:
    tokenizer = load_found(lab.base("pythia").result, "bfloat16", "plain").tokenizer
    assert (tokenizer.pad_token, tokenizer.padding_side) == ("<eos>", "left")
    assert facts(lab.base("pythia"))["tokenizer"]["pad"] == "<eos>"


def test_prompts_stand_in_the_chat_template_with_one_beginning(lab: Any, tmp_path: Path) -> None:
    base = lab.base("qwen")
    loaded = load_found(base.result, "bfloat16", "chat")
    item = splits(lab.protocol.task).training[0]
    shown = loaded.rendered(splits(lab.protocol.task)).training[0]
    assert shown.prompt == f"[user]{item.prompt}[assistant]"
    assert shown.answer == item.answer
    ids = loaded.tokenizer(shown.prompt).input_ids
    assert ids.count(loaded.tokenizer.bos_token_id) == 1
    assert facts(base)["tokenizer"]["chat_template_sha256"] == hashlib.sha256(TEMPLATE.encode()).hexdigest()
    assert facts(lab.base("llama"))["tokenizer"]["chat_template_sha256"] is None


def test_the_trainer_sees_the_chat_template(lab: Any, tmp_path: Path) -> None:
    from harness.train import run

    kept = tmp_path / "prompts.json"

    class Reward(run.ExactAnswer):
        def __call__(self, completion_ids: Any, answer: Any, **more: Any) -> Any:
            kept.write_text(json.dumps(more["prompts"]))
            return super().__call__(completion_ids, answer, **more)

    def inside() -> None:
        run.ExactAnswer = Reward

    lab.base("qwen")
    job = lab.job(lab.planned(lab.cell(), 7, "qwen"))
    assert lab.execute(job, inside) == 0, job.last_exit()
    assert all(prompt.startswith("[user]") for prompt in json.loads(kept.read_text()))


def test_quanta_suits_the_widths(lab: Any) -> None:
    cell = Cell(algorithm="sft", adapter=Quanta(method="quanta", d=3))
    said = facts(lab.run(cell, base="llama"))
    # 16 takes axes of 3 (27), 24 of 3 (27): seven matrices of three tensors of 9 x 9
    assert said["adapter"]["trainable_parameters"] == 7 * 3 * 81
    assert said["base_weights"] == said["base_weights_after"]


def test_a_truncated_basis_gives_the_same_relative_norm(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    base = lab.base("llama").result
    monkeypatch.setattr(spectra, "LARGE", 4)
    monkeypatch.setattr(spectra, "KEPT", 3)
    copy = lab.root / "copy"
    copy.mkdir()
    found.link_files(base, copy)
    write_shard(copy, "spectrum", spectra.base_rows(copy, keep=True))
    norms = spectra._frozen_norms(copy)
    modules = basis_modules(base / spectra.BASIS)
    assert len(modules) == 7
    for module in modules:
        assert spectra.read_basis(copy / spectra.BASIS, module).kept == 3
        whole = spectra.read_basis(base / spectra.BASIS, module)
        assert norms[module] == pytest.approx(float(whole.sigma_k.double().square().sum().sqrt()), rel=1e-5)


def refused(tmp_path: Path, change: Callable[[dict[str, Any]], None], prompting: str = "plain") -> str:
    base = declared().bases["llama"]
    assert isinstance(base, HubBase)
    model_of(base, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    change(config)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError) as error:
        load_found(tmp_path, "bfloat16", prompting)
    return str(error.value)


def test_an_architecture_of_its_own_code_is_refused_and_its_code_not_run(tmp_path: Path) -> None:
    def change(config: dict[str, Any]) -> None:
        config |= {"model_type": "mini", "auto_map": {"AutoModelForCausalLM": "modeling_mini.Mini"}}

    assert 'model_type "mini" is none of gpt_neox, llama, olmo2, olmo3, qwen3.' in refused(tmp_path, change)


def test_code_beside_a_known_architecture_is_not_run(tmp_path: Path) -> None:
    base = declared().bases["llama"]
    assert isinstance(base, HubBase)
    model_of(base, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "modeling_mini.Mini", "AutoConfig": "modeling_mini.Mini"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert type(load.load_found(tmp_path, "bfloat16", "plain").model).__module__.startswith("transformers.models.llama")


def test_a_chat_without_a_template_is_refused(tmp_path: Path) -> None:
    assert "its tokenizer has no chat template. Declare plain." in refused(tmp_path, lambda _: None, "chat")


def test_a_commit_that_is_not_in_the_cache_is_told(lab: Any) -> None:
    protocol = lab.protocol
    bases = {"llama": protocol.bases["llama"].model_copy(update={"commit": "f" * 40})}
    planned = planned_base("llama", protocol.model_copy(update={"bases": bases}))
    job = JobDirectory(lab.root / "bases" / planned.id)
    job.create({"id": planned.id, "identity": planned.identity})
    assert lab.execute(job) == 1
    end = job.last_exit()
    assert end is not None
    assert "no answer from the Hub and no copy in" in end.message


def test_lora_takes_the_scaling_of_the_recipe(lab: Any) -> None:
    cell = Cell(algorithm="sft", adapter=Lora(rank=4, scaling=Proportional()))
    assert facts(lab.run(cell, base="llama"))["adapter"]["multipliers"] == [2.0]
