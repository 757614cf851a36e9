"""The updates in a folder that PEFT saved: adapter_config.json and adapter_model.safetensors, a matrix at a time.

From the adapter's own tensors: LoRA (rank-stabilised, with patterns of ranks and alphas, of embeddings), AdaLoRA,
QuanTA. With the base beside: DoRA, whose update depends on it; PiSSA and OLoRA, whose factors start in the place of a
part of the base, so that the update is what they moved since; and every other method, as PEFT merges it.

An update has (outputs, inputs) rows and columns, also where the weight is stored the other way round (GPT-2); that of
an embedding has the shape of its weight, (entries, width). Not told from ordinary LoRA: an adapter that was trained on
a residual base which its user saved, and whose configuration no longer says so.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from harness.spectra.adapter_config import NAME, AdapterConfig, read_config
from harness.spectra.checkpoint import PICKLES, Checkpoint, CheckpointError, unreadable
from harness.spectra.factors import REPEATABLE, Factors
from harness.spectra.merged import check_method, merged
from harness.spectra.table import EMBEDDINGS, HEADS
from harness.spectra.update import Update

WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
FACTORS = re.compile(r"(?P<module>.+)\.(?P<part>lora_(?:embedding_)?[AB]|lora_E|lora_magnitude_vector)(?:\.weight)?")
QUANTA = re.compile(r"(?P<module>.+)\.(?P<part>quanta_(?:weight|start)\.\d+|quanta_shape)")
SAVED = re.compile(r"^base_model\.model\.|(^|[._])(lora_(embedding_)?[ABE]|lora_(up|down|magnitude_vector)|hada_w\d)\b")
"""In the names of an adapter's tensors: PEFT's beginning, or how several libraries call factors."""
PARTS = {"LORA": FACTORS, "ADALORA": FACTORS, "QUANTA": QUANTA}
"""How the tensors of an update are named, for methods whose tensors tell it."""
LOST_STARTS = ("pissa", "corda", "lora_ga", "loftq")
"""Starts that take from the base what nobody can compute again: random, or from data. (`pissa` alone is repeatable.)"""
MERGED_ONLY = ("use_bdlora", "kasa_config", "monteclora_config")
"""Variants of LoRA whose tensors mean something else."""
FLAGS = ("fan_in_fan_out", "use_dora", "use_rslora", "use_qalora")
"""Fields that are true or false; a word such as "false" would be read as true."""
NO_UPDATE = {
    "alora_invocation_tokens": "activated LoRA changes a matrix for some tokens only",
    "arrow_config": "Arrow chooses among adapters for every token",
    "use_qalora": "QA-LoRA's factors act on pooled inputs of a quantised base",
    "target_parameters": "its factors belong to stacks of experts, not to matrices",
    "megatron_config": "its layers are Megatron's",
}


def updates(folder: Path, base: Checkpoint | None = None) -> Iterator[tuple[str, Update]]:
    """Yield (module, update) for every adapted matrix in `folder`; no more than one is held in memory.

    Raises:
        CheckpointError: files that cannot be read, tensors that fit neither each other, nor the configuration, nor the
            base, or a method that needs a base and has none.
    """
    return AdapterFolder(folder).updates(base)


class AdapterFolder:
    """A saved adapter: its configuration, and which of its tensors belong to which module."""

    def __init__(self, folder: Path) -> None:
        self.config: AdapterConfig = read_config(folder)
        self.weights = _weights(folder)
        self._parts: dict[str, dict[str, str]] = {}
        for name in self.weights.names():
            found = PARTS[self.kind].fullmatch(name.removeprefix(PREFIX)) if self.from_tensors else None
            if found and (self.kind == "QUANTA" or len(self.weights.shape(name)) <= 2):
                self._parts.setdefault(found["module"], {})[found["part"]] = name

    @property
    def kind(self) -> str:
        """The method, by PEFT's name."""
        return self.config.kind

    @property
    def called(self) -> str:
        """The method, with the variant of LoRA that it is."""
        variant = (
            "DoRA" if self.config.true("use_dora") else self.config.start if self.config.start in REPEATABLE else ""
        )
        return f"{self.kind} ({variant})" if variant else self.kind

    @property
    def from_tensors(self) -> bool:
        """Whether the updates follow from the adapter's tensors, instead of from PEFT's merge with the base."""
        return self.kind in PARTS and not any(self.config.on(field) for field in MERGED_ONLY)

    def count(self) -> int | None:
        """Return how many matrices are adapted; None where only the merge tells."""
        return len(self._parts) if self.from_tensors else None

    def skipped(self) -> tuple[str, ...]:
        """Return the tensors that belong to no update of a matrix: modules saved whole, biases, convolutions.

        Of a method that PEFT merges, the weights of embeddings, heads and modules that are declared to be saved whole.
        """
        if not self.from_tensors:
            return tuple(name for name in self.weights.names() if self.is_whole(name))
        used = {name for parts in self._parts.values() for name in parts.values()}
        return tuple(name for name in self.weights.names() if name not in used)

    def is_whole(self, name: str) -> bool:
        """Return whether a tensor is a module's own weight or bias, saved as it is beside the updates."""
        module, _, last = name.removeprefix(PREFIX).rpartition(".")
        if last not in ("weight", "bias"):
            return False
        owner = module.rpartition(".")[2]
        if self.from_tensors:
            return not owner.startswith(("lora_", "quanta_"))
        declared = self.config.fields.get("modules_to_save")
        return owner in EMBEDDINGS | HEADS or (isinstance(declared, list) and owner in declared)

    def updates(self, base: Checkpoint | None = None) -> Iterator[tuple[str, Update]]:
        """Yield (module, update) for every adapted matrix, as the function `updates` does."""
        self._check(base)
        if not self.from_tensors:
            yield from merged(self.config, self.weights, self._needed(base))
            return
        if not self._parts:
            raise CheckpointError(f"{self.weights.path}: no factors of a matrix. Name the folder that PEFT saved.")
        for module, parts in self._parts.items():
            yield module, Factors(self.config, self.weights, module, parts).update(base)

    def _check(self, base: Checkpoint | None) -> None:
        """Raise CheckpointError where configuration and names alone tell that there is no update to be had."""
        for field in FLAGS:
            self.config.true(field)
        for field, reason in NO_UPDATE.items():
            if self.config.on(field):
                raise self.config.error(f"{field}: {reason}", "Name an adapter of another kind")
        start = self.config.start
        if start.startswith(LOST_STARTS) and start not in REPEATABLE:
            rule = f"the factors of {start} stand for a part of the base that cannot be computed again"
            remedy = "Save it with path_initial_model_for_weight_conversion, or name the tuned model --against its base"
            raise self.config.error(rule, remedy)
        self._not_contradictory()
        if not self.from_tensors:
            check_method(self.config)  # before a base is asked for: of a prompt none would help
            self._as_peft_reads_it()
        if self.config.true("use_dora") or start in REPEATABLE or not self.from_tensors:
            self._needed(base)

    def _as_peft_reads_it(self) -> None:
        """Raise CheckpointError where PEFT, which goes by the name alone, would open another file, such as a pickle."""
        if self.weights.path.name != WEIGHTS:
            rule = f"PEFT merges {self.kind}, and reads {WEIGHTS} alone"
            raise CheckpointError(f"{self.weights.path}: {rule}. Give the file of the weights that name.")

    def _not_contradictory(self) -> None:
        """Raise CheckpointError where there are trained tensors that the configuration says nothing of."""
        stray = {} if self.config.true("use_dora") else {"lora_magnitude_vector": "use_dora is not true"}
        stray |= {"lora_E": "peft_type is LORA and not ADALORA"} if self.kind == "LORA" else {}
        for module, parts in self._parts.items():
            for part, said in stray.items():
                if part in parts:
                    rule = f"{said}, but {self.weights.path.name} holds {part} of {module}"
                    raise self.config.error(rule, "Use the configuration that it was saved with")

    def _needed(self, base: Checkpoint | None) -> Checkpoint:
        if base is None:
            what = "DoRA" if self.config.true("use_dora") else self.config.start or self.kind
            remedy = f"Name the base: --against {self.config.base or 'BASE'}"
            raise self.config.error(f"the update of {what} cannot be told from the adapter alone", remedy)
        return base


def _weights(folder: Path) -> Checkpoint:
    """Return the adapter's tensors, by PEFT's name of the file or in the only file of that folder."""
    file = folder / WEIGHTS
    if file.exists():
        return Checkpoint(file)
    if not any(entry.suffix in (".safetensors", *PICKLES) for entry in folder.iterdir()):
        raise CheckpointError(
            f"{folder}: {NAME} without {WEIGHTS} beside it. Put there the one that was saved with it."
        )
    found = Checkpoint(folder)
    if not holds_adapter(found):
        rule = f"no {WEIGHTS} beside {NAME}, and the other weights are no adapter's"
        raise CheckpointError(f"{folder}: {rule}. Put it there, or name the file of the other weights.")
    return found


def adapter_folder(path: Path) -> Path | None:
    """Return the folder of the saved adapter that `path` is, or whose weights or configuration it names."""
    folder = path.parent if path.name in (WEIGHTS, NAME) and not path.is_dir() else path
    try:
        return folder if (folder / NAME).exists() else None
    except OSError as error:
        raise unreadable(folder, error) from None


def holds_adapter(checkpoint: Checkpoint) -> bool:
    """Return whether the tensors are called as those of an adapter, of PEFT or another library."""
    return any(SAVED.search(name) for name in checkpoint.names())
