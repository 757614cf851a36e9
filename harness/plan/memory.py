"""What a run holds in the memory of its device at its peak: an estimate from declarations alone, in GiB.

Weights and optimiser states are counted exactly. Activations follow Korthikanti et al. 2022 (arXiv 2205.05198): 34
bytes a token, layer and unit of width in 16 bits, without attention scores, which fused attention does not store; with
checkpointing, two bytes a layer and one layer in full. Logits count up to 1 GiB, since TRL takes them in chunks. The
rest (context, allocator, fragmentation) is set at 3 GiB. Nothing of it was measured: take it to within a quarter.

Not here: memory of the host, which holds a second copy of the adapted matrices under vLLM (`train.drift`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.spec.adapter import AdaLora, AdapterSpec, Dora, Full, GraLora, Lora, Pissa, Quanta
from harness.spec.bases import Shape
from harness.spec.hardware import Hardware
from harness.spec.trainer import trainer_fields

GIB = 2**30
BYTES = {"float32": 4, "bfloat16": 2}
ADAM = 16
"""Bytes of a trained parameter of an adapter: itself, its gradient and two moments, each in float32."""
ACTIVATION = 34
"""Bytes a token, layer and unit of width in 16 bits."""
LOGITS, REST = 1.0, 3.0
"""GiB."""
ENGINE = 2.0
"""GiB that vLLM takes for itself, besides weights and cache."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Parts of the peak, GiB."""

    weights: float
    trained: float
    """What training adds to the weights: adapters, gradients, moments."""
    activations: float
    cache: float
    """Keys and values of the completions of an update, where the trainer itself generates; freed before it trains."""
    engine: float
    """vLLM's own share of the device: weights again, and a cache."""
    rest: float
    complete: bool
    """Whether the parameters of the method are known; if not, `trained` is left out."""

    @property
    def peak(self) -> float:
        """The sum at the worst moment: generation and training take turns unless an engine stays."""
        return self.weights + self.trained + self.engine + self.rest + max(self.activations, self.cache)


def trained_parameters(adapter: AdapterSpec, shape: Shape) -> tuple[int, int] | None:
    """Return how many parameters an adapter trains on a shape, and how many it holds frozen; None if not known here."""
    match adapter:
        case Full():
            return shape.parameters(), 0
        case Lora() | Pissa() | GraLora():
            return shape.layers * sum(adapter.rank * (rows + columns) for rows, columns in shape.matrices()), 0
        case Dora():  # a magnitude for each output besides
            each = (adapter.rank * (rows + columns) + rows for rows, columns in shape.matrices())
            return shape.layers * sum(each), 0
        case AdaLora():  # a value for each direction besides
            each = (adapter.start() * (rows + columns + 1) for rows, columns in shape.matrices())
            return shape.layers * sum(each), 0
        case Quanta():
            count = shape.layers * sum(_tensors(adapter, max(matrix)) for matrix in shape.matrices())
            return count, count  # the frozen start of every tensor
        case _:
            return None


def key_value_bytes(shape: Shape, dtype: str) -> int:
    """Return the bytes that generation keeps of each token: a key and a value in every layer."""
    return 2 * shape.layers * shape.key_heads * shape.head_width * BYTES[dtype]


def longest(hardware: Hardware, trainer: Mapping[str, Any]) -> int:
    """Return the tokens of the longest sequence."""
    return hardware.longest_prompt + trained_length(hardware, trainer)


def trained_length(hardware: Hardware, trainer: Mapping[str, Any]) -> int:
    """Return the most tokens that a completion may have; an SFT example has those of an average one."""
    return int(trainer.get("max_completion_length") or hardware.completion_tokens)


def checkpoints(trainer: Mapping[str, Any]) -> bool:
    """Return whether activations are computed again in the backward pass, by either of the field's names."""
    usual = trainer_fields()["GRPOConfig"].get("gradient_checkpointing", True)
    said = trainer.get("activation_checkpointing")
    return bool(trainer.get("gradient_checkpointing", usual) if said is None else said)


def engine_share(trainer: Mapping[str, Any]) -> float:
    """Return the share of the device that vLLM reserves; 0 where it is not used."""
    if not trainer.get("use_vllm"):
        return 0.0
    usual = trainer_fields()["GRPOConfig"]["vllm_gpu_memory_utilization"]
    return float(trainer.get("vllm_gpu_memory_utilization", usual))


def memory(
    adapter: AdapterSpec, shape: Shape, dtype: str, trainer: Mapping[str, Any], completions: int, hardware: Hardware
) -> Memory:
    """Return the parts of a run's peak; `completions` are generated together (0 under SFT)."""
    size, tokens = BYTES[dtype], longest(hardware, trainer)
    batch = int(trainer["per_device_train_batch_size"])
    layer = batch * tokens * shape.hidden_size * ACTIVATION * size / 2
    kept = batch * tokens * shape.hidden_size * size * shape.layers + layer if checkpoints(trainer) else None
    logits = min(LOGITS, batch * tokens * shape.vocabulary * 4 / GIB)
    engine = engine_share(trainer) * hardware.memory_gib
    known = trained_parameters(adapter, shape)
    return Memory(
        weights=shape.parameters() * size / GIB,
        trained=0.0 if known is None else _states(adapter, known, size) / GIB,
        activations=(layer * shape.layers if kept is None else kept) / GIB + logits,
        cache=0.0 if engine else completions * tokens * key_value_bytes(shape, dtype) / GIB,
        engine=engine,
        rest=REST,
        complete=known is not None,
    )


def _states(adapter: AdapterSpec, known: tuple[int, int], size: int) -> float:
    """Return the bytes that training adds: gradient and moments in the weights' own type under full fine-tuning."""
    trained, frozen = known
    return trained * 3 * size if isinstance(adapter, Full) else trained * ADAM + frozen * 4


def _tensors(adapter: Quanta, side: int) -> int:
    """Return the parameters of QuanTA's tensors over every pair of axes of a layer whose larger side is `side`."""
    axes = adapter.axes or (_equal_axis(int(adapter.d or 2), side),) * int(adapter.d or 2)
    return sum((a * b) ** 2 for i, a in enumerate(axes) for b in axes[i + 1 :])


def _equal_axis(d: int, side: int) -> int:
    """Return the smallest whole number whose d-th power covers the side."""
    size = 1
    while size**d < side:
        size += 1
    return size
