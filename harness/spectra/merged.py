"""Updates of any PEFT method as merged weight minus base weight, one layer at a time.

PEFT itself merges, in a float64 copy of each adapted layer, so the difference carries no rounding of the merge; the
base is loaded whole, in float32, and never changed. Only classes of transformers and PEFT are built: no code of the
model's own, no pickle, no network. Slower than the factors' own core by orders of magnitude: every update is a matrix.
"""

import copy
import difflib
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import Any

import torch

from harness.spectra.adapter_config import AdapterConfig
from harness.spectra.checkpoint import Checkpoint, CheckpointError
from harness.spectra.dense import Dense, of_its_rank
from harness.spectra.norms import frobenius
from harness.spectra.precision import COARSE, called, is_low, shaken, together
from harness.spectra.spectrum import Source

PREFIX = "base_model.model."
WITHOUT_MATRIX = ("XLORA", "POLY", "TRAINABLE_TOKENS", "ADAPTION_PROMPT")
"""Methods that are no fixed update of a matrix, beside those that learn a prompt."""


def merged(config: AdapterConfig, weights: Checkpoint, base: Checkpoint) -> Iterator[tuple[str, Dense]]:
    """Yield (module, merged minus base) for every adapted matrix.

    Raises:
        CheckpointError: an unknown method, one that changes no matrix, a base without configuration, or an adapter that
            does not fit it.
    """
    check_method(config)
    if not (base.folder / "config.json").is_file():
        rule = f"no config.json, which the update of {config.kind} needs beside the weights"
        raise CheckpointError(f"{base.folder}: {rule}. Name the folder of the base model.")
    model = _loaded(config, weights, base)
    found, stored = False, weights.dtype(weights.names()[0])
    for name, layer in _adapted(model):
        found, dtype = True, stored
        before = base.tensor(f"{name.removeprefix(PREFIX)}.weight")  # the layer's own may be changed by the start
        try:
            after = merged_weight(layer)
            w = (after - before.double()).T if _inputs_first(layer) else after - before.double()
        except Exception as error:
            raise config.error(f"PEFT cannot merge {config.kind} ({_line(error)})", "Name a merged model") from None
        error, held = merging_error(after), together(part for _, part in own_parameters(layer))
        source = Source.FP32_DIFFERENCE
        if lost := rounded_away(layer, after, before.double(), held):
            source, error, dtype = Source.LOW_PRECISION_DIFFERENCE, error + lost, called(held)
        yield name.removeprefix(PREFIX), Dense(w, source, dtype, error, of_its_rank(w, error))
    if not found:
        raise config.error(f"{config.kind} changes no matrix of this base", "Name an adapter of another kind")


def check_method(config: AdapterConfig) -> None:
    """Raise CheckpointError where PEFT does not know the method, or where it is no fixed update of matrices."""
    from peft import PeftType, PromptLearningConfig  # 5 s, which adapters with factors of their own do not need
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    if config.kind not in PeftType.__members__:
        alike = difflib.get_close_matches(config.kind[:40].upper(), PeftType.__members__, n=1)
        remedy = (
            f"Use PEFT's name of it, such as {alike[0]}"
            if alike
            else "Name an adapter of a method that it has, or update it"
        )
        raise config.error(f"peft_type {config.kind[:40]!r} is no method of the installed PEFT", remedy)
    declared = PEFT_TYPE_TO_CONFIG_MAPPING[PeftType[config.kind]]
    if config.kind in WITHOUT_MATRIX or issubclass(declared, PromptLearningConfig):
        what = "learns a prompt" if issubclass(declared, PromptLearningConfig) else "changes other things"
        rule = f"{config.kind} {what} and is no fixed update of matrices, so it has no spectrum"
        raise config.error(rule, "Name an adapter of another kind")


def _loaded(config: AdapterConfig, weights: Checkpoint, base: Checkpoint) -> torch.nn.Module:
    """Return the base with the adapter beside its weights; raise CheckpointError where not all of it fits."""
    from peft import PeftModel, get_peft_model_state_dict
    from transformers import AutoModelForCausalLM

    try:
        with _quietly():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                base.folder,
                dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
            model, report = loaded
            adapted = PeftModel.from_pretrained(model, str(config.file.parent), torch_device="cpu")
            expected = get_peft_model_state_dict(adapted, save_embedding_layers=False).keys()
    except Exception as error:  # both libraries raise what they please, for reasons that lie in these two folders
        rule = f"PEFT cannot load {config.kind} on {base.folder} ({_line(error)})"
        raise config.error(rule, "Name the base that it was trained on") from None
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])[0]
        raise CheckpointError(f"{base.folder}: no {missing}, which the model needs. Name the whole base model.")
    unlike = sorted(
        name for name in set(expected) ^ set(weights.names()) if name.removeprefix(PREFIX) not in base.names()
    )
    if unlike:
        rule = f"{config.kind} on {base.folder} and {weights.path.name} do not both have {unlike[0]}"
        raise config.error(rule, "Name the base that it was trained on")
    return adapted.eval()


def _adapted(model: torch.nn.Module) -> Iterator[tuple[str, Any]]:
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, layer in model.named_modules():
        if isinstance(layer, BaseTunerLayer):
            weight = getattr(layer.get_base_layer(), "weight", None)
            if isinstance(weight, torch.Tensor) and weight.dim() == 2:
                yield name, layer


@torch.no_grad()
def merged_weight(layer: Any, instead: Mapping[str, torch.Tensor] | None = None) -> torch.Tensor:
    """Return the weight of a PEFT layer with its adapter merged, float64, from a copy: the layer stays as it is.

    `instead`: values for parameters of the adapter, by their names within the layer, that are merged in their place.
    """
    with _quietly():
        copied = copy.deepcopy(layer).double()
        for name, value in (instead or {}).items():
            copied.get_parameter(name).copy_(value)
        copied.merge()
    return copied.get_base_layer().weight.detach()


@torch.no_grad()
def rounded_away(layer: Any, after: torch.Tensor, before: torch.Tensor, held: torch.dtype) -> float:
    """Return by how much the rounding of an adapter's numbers to `held` changes its merge, where that is told, else 0.

    It is where the type is coarser than float32 and that is a share of the update: numbers that moved little from where
    they began, such as IA3's from one, lie within a few steps of it. Measured, not bounded: by one merge of numbers
    that are shaken within half a step. An update of exactly zero is none.
    """
    if not is_low(held) or not (norm := frobenius(after - before)):
        return 0.0
    drawn = torch.Generator().manual_seed(0)
    instead = {name: shaken(part, held, drawn) for name, part in own_parameters(layer)}
    lost = frobenius(merged_weight(layer, instead) - after)
    return lost if lost > COARSE * norm else 0.0


def own_parameters(layer: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the adapter's parameters of a layer by their names within it."""
    return ((name, p.detach()) for name, p in layer.named_parameters() if not name.startswith("base_layer."))


def merging_error(merged: torch.Tensor) -> float:
    """Return a bound on the norm of the rounding of a merge in float64: some products over the longer side."""
    return max(merged.shape) * torch.finfo(torch.float64).eps * frobenius(merged)


def _inputs_first(layer: Any) -> bool:
    from transformers.pytorch_utils import Conv1D

    return isinstance(layer.get_base_layer(), Conv1D)


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep both libraries' bars, reports and warnings off the terminal; what matters of them is checked here."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(), redirect_stdout(sys.stderr):  # BOFT prints how its extension is compiled
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")[:200] or type(error).__name__
