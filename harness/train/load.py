"""A base as a job loads it: model, tokenizer, and how prompts are put to it.

A base that was made on the spot is loaded as it was saved. One that exists brings settings of its own, of which three
are replaced: padding goes to the left, as generation needs it, with the end token where there is no padding token; and
the repository's sampling settings (a temperature, a top_p) are dropped, so that the protocol's alone hold. Safetensors
only; code that a model brings is never run.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from harness.source import Item, Splits
from harness.source.found import read_config
from harness.spec.bases import Shape
from harness.spec.problem import shown

ARCHITECTURES = frozenset(get_args(Shape.model_fields["architecture"].annotation))


@dataclass(frozen=True, slots=True)
class Loaded:
    """A base in memory."""

    model: Any
    tokenizer: Any
    prompting: str
    """`plain`, or `chat`: prompts stand in the tokenizer's chat template."""

    def rendered(self, parts: Splits) -> Splits:
        """Return the problems as the model sees them."""
        if self.prompting == "plain":
            return parts
        names = ("evaluation", "validation", "training", "pretraining")
        return Splits(**{name: tuple(map(self._rendered, getattr(parts, name))) for name in names})

    def _rendered(self, item: Item) -> Item:
        """Return the item in the chat template, without a beginning that the tokenizer puts there itself."""
        said = [{"role": "user", "content": item.prompt}]
        text = self.tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True)
        begin = self.tokenizer.bos_token
        if begin and text.startswith(begin) and self.tokenizer("").input_ids[:1] == [self.tokenizer.bos_token_id]:
            text = text.removeprefix(begin)
        return replace(item, prompt=text)


def load_made(folder: Path, dtype: str) -> Loaded:
    """Return a base that was made on the spot."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    return Loaded(model, AutoTokenizer.from_pretrained(folder), "plain")


def load_found(folder: Path, dtype: str, prompting: str) -> Loaded:
    """Return a base that exists, from its folder.

    Raises:
        ValueError: an architecture that is not tried here, no end token, or no chat template where one is wanted.
    """
    kind = read_config(folder).get("model_type")
    if kind not in ARCHITECTURES:
        rule = f"model_type {shown(kind)} is none of {', '.join(sorted(ARCHITECTURES))}"
        raise ValueError(f"{folder}: {rule}. Name a model of one of these.")
    given: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(folder, **given)
    if tokenizer.eos_token_id is None:
        raise ValueError(f"{folder}: its tokenizer has no end token, without which no answer ends. Name another model.")
    if prompting == "chat" and not tokenizer.chat_template:
        raise ValueError(f"{folder}: prompting is chat, and its tokenizer has no chat template. Declare plain.")
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    kind = getattr(torch, dtype)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=kind, use_safetensors=True, **given)
    tokens = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")}
    tokens["eos_token_id"] = model.generation_config.eos_token_id or tokens["eos_token_id"]  # some models have several
    model.generation_config = GenerationConfig(**tokens)
    if torch.cuda.is_available():
        model.to("cuda")
    return Loaded(model, tokenizer, prompting)


def tokenizer_facts(folder: Path, tokenizer: Any) -> dict[str, Any]:
    """Return what a result records of a tokenizer: hashes of its file and of its chat template, and special tokens."""
    template = tokenizer.chat_template
    return {
        "sha256": hashlib.sha256((folder / "tokenizer.json").read_bytes()).hexdigest(),
        "chat_template_sha256": hashlib.sha256(str(template).encode()).hexdigest() if template else None,
        "pad": tokenizer.pad_token,
        "bos": tokenizer.bos_token,
        "eos": tokenizer.eos_token,
        "tokens": len(tokenizer),
    }
