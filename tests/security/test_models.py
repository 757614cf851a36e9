"""Models from strangers: pickles under other names, files that lead elsewhere, templates that reach for Python.

That pickles called .bin or .pt are never opened, and that no code of a model is run, is tested in tests/spectra and
tests/train.
"""

import io
import os
import pickle  # noqa: TID251 - made here, to show that it is never opened
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import save

from harness.source.found import read_config
from harness.source.hub import HubError
from harness.spectra.checkpoint import Checkpoint, CheckpointError

if TYPE_CHECKING:
    from tests.conftest import Hub

COMMIT = "a" * 40
WEIGHTS = save({"model.layers.0.self_attn.q_proj.weight": torch.eye(4)})


class Trap:
    """An object whose pickle, when it is read, makes a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def zipped(content: bytes) -> bytes:
    """Return what torch.save writes: a zip file with a pickle in it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", content)
    return file.getvalue()


@pytest.mark.parametrize("form", [bytes, zipped])
@pytest.mark.parametrize("name", ["model.safetensors", "adapter_model.safetensors"])
def test_a_pickle_that_is_called_safetensors_is_never_opened(tmp_path: Path, form: Any, name: str) -> None:
    marker = tmp_path / "executed"
    (tmp_path / name).write_bytes(form(pickle.dumps(Trap(marker))))
    with pytest.raises(CheckpointError, match="truncated, or no safetensors file"):
        Checkpoint(tmp_path / name)
    assert not marker.exists()


def test_pickles_beside_the_weights_are_not_opened(tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    (tmp_path / "model.safetensors").write_bytes(WEIGHTS)
    for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth", "x.ckpt"):
        (tmp_path / name).write_bytes(pickle.dumps(Trap(marker)))
    assert Checkpoint(tmp_path).matrices() == ("model.layers.0.self_attn.q_proj.weight",)
    assert not marker.exists()
    pickle.loads((tmp_path / "training_args.bin").read_bytes())
    assert marker.exists()  # they would have


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 100_000, b"[]", b"\xff", b"9" * 5000])
def test_a_configuration_made_to_exhaust_the_reader_is_told(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "config.json").write_bytes(text)
    with pytest.raises(HubError, match=r"config\.json: no JSON object\. Download the model again\."):
        read_config(tmp_path)


ASK = """
import json, sys
from harness.spectra.hub import HubError, resolve
try:
    folder, commit = resolve(sys.argv[1])
    print(json.dumps(sorted(p.name for p in folder.iterdir())))
except (HubError, FileNotFoundError) as error:
    print(json.dumps(str(error)))
"""
LEADING_OUT = ["../../../outside.json", "/outside.safetensors", "a/../../outside.json", "..", "../outside.safetensors"]


@pytest.mark.slow
def test_a_hub_whose_files_lead_elsewhere_writes_nothing_there(hub: "Hub", tmp_path: Path) -> None:
    hub.put("lab/tiny", COMMIT, {"model.safetensors": WEIGHTS, **dict.fromkeys(LEADING_OUT, b"{}")}, "main")
    home = tmp_path / "inner" / "home"
    home.mkdir(parents=True)
    said = hub.ask(ASK, "lab/tiny", home)
    assert said == ["model.safetensors"] or isinstance(said, str)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written
    assert all(path.is_relative_to(home) for path in written)
    assert not [path for path in written if "outside" in path.name]


@pytest.mark.slow
@pytest.mark.parametrize("commit", ["../../../../tmp/x", "a/../../../b"])
def test_a_hub_whose_commit_leads_elsewhere_is_refused(hub: "Hub", tmp_path: Path, commit: str) -> None:
    hub.put("lab/tiny", commit, {"model.safetensors": WEIGHTS}, "main")
    home = tmp_path / "inner" / "home"
    home.mkdir(parents=True)
    said = hub.ask(ASK, "lab/tiny", home)
    assert "not a commit" in said
    assert all(path.is_relative_to(home) for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os.mkdir('MARKER') }}",
        "{% for m in messages %}{{ m.update({'content': 'x'}) }}{% endfor %}",
        "{{ lipsum.__globals__['os'].mkdir('MARKER') }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
    ],
)
def test_a_chat_template_that_reaches_for_python_fails(tmp_path: Path, template: str) -> None:
    from harness.train.tokenizer import character_tokenizer

    tokenizer: Any = character_tokenizer("0123456789+=")
    tokenizer.chat_template = template.replace("MARKER", str(tmp_path / "executed"))
    with pytest.raises(Exception, match=re.compile("unsafe|undefined|no loader|not safely", re.IGNORECASE)):
        tokenizer.apply_chat_template([{"role": "user", "content": "1+1="}], tokenize=False)
    assert not (tmp_path / "executed").exists()
