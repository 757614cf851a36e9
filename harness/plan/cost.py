"""What a run would cost: GPU-hours and memory, from declarations alone, without a network or a device.

Operations a token: 2 N forward; backward 2 N for the activations and 2 N more for weights that train; 2 N again where
activations are computed anew; 2 N for each further look at log-probabilities (vLLM's correction, a reference model).
Generation reads the weights and every kept key and value once a token, at the declared share of the device's
bandwidth, and never faster than its operations allow. Around it stand the hand-over of weights to an engine and a
tenth for everything else. The lengths of completions decide more than all of this: take hours to within a factor of 2
either way, and replace them by the first five updates of a run.

The cost of a base that is made on the spot is not estimated but looked up among finished runs (`campaign.spent`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.plan.memory import ENGINE, GIB, Memory, checkpoints, engine_share, key_value_bytes, longest, memory
from harness.plan.recipe import trainer_of, updates_of
from harness.spec import Cell, HubBase, Protocol
from harness.spec.adapter import Full
from harness.spec.hardware import Hardware
from harness.spec.protocol import completions_per_update

UNCERTAINTY = 2.0
"""Factor by which hours may be off, either way."""
STEP = {True: 2e-4, False: 1e-3}
"""Seconds a layer and generated token that a call costs whatever the batch: in vLLM, and in transformers. Supposed."""
LINK = 20e9
"""Bytes a second between host and device: a pinned copy over PCIe 4. Supposed."""
OTHER = 0.1
"""Share of a run's work that is none of the above. Supposed."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run takes."""

    gpu_hours: float
    memory: Memory
    device_gib: float
    generated: int
    """Tokens that the policy writes in training."""
    trained: int
    """Tokens that it is trained on, prompts included."""
    operations: float
    """Floating-point operations of training, without generation."""

    @property
    def fits(self) -> bool:
        """Whether the peak stays within the device."""
        return self.memory.peak <= self.device_gib


def run_cost(cell: Cell, name: str, protocol: Protocol) -> Cost | None:
    """Return the cost of a run of `cell` on the base `name`; None where nobody declared what to reckon with."""
    base, hardware = protocol.base(name), protocol.hardware
    if not isinstance(base, HubBase) or hardware is None:
        return None
    trainer = trainer_of(cell, protocol)
    grpo = cell.algorithm == "grpo"
    batch = completions_per_update(trainer) if grpo else _examples(trainer)
    updates = updates_of(cell, protocol)
    tokens = updates * batch * (hardware.prompt_tokens + hardware.completion_tokens)
    held = memory(cell.adapter, base.shape, protocol.recipe.dtype, trainer, batch if grpo else 0, hardware)
    operations = float(tokens) * _per_token(cell, trainer) * base.shape.parameters()
    seconds = operations / (hardware.flops * hardware.utilisation)
    if grpo:
        seconds += updates * (_generation(batch, base, protocol, trainer) + _hand_over(held, trainer))
    seconds = seconds * (1 + OTHER) + _scoring(base, protocol) + 60 * hardware.fixed_minutes
    return Cost(
        gpu_hours=seconds / 3600,
        memory=held,
        device_gib=hardware.memory_gib,
        generated=updates * batch * hardware.completion_tokens if grpo else 0,
        trained=tokens,
        operations=operations,
    )


def base_cost(name: str, protocol: Protocol) -> float | None:
    """Return the GPU-hours of scoring a base on both held-out splits; None where nothing is declared to reckon with."""
    base, hardware = protocol.base(name), protocol.hardware
    if not isinstance(base, HubBase) or hardware is None:
        return None
    return (2 * _scoring(base, protocol) + 60 * hardware.fixed_minutes) / 3600


def sequences_at_once(base: HubBase, hardware: Hardware, dtype: str, trainer: Mapping[str, Any]) -> int | None:
    """Return how many of the longest sequences vLLM's cache holds at once; None without an engine."""
    share = engine_share(trainer)
    if not share:
        return None
    weights = base.shape.parameters() * (4 if dtype == "float32" else 2) / GIB
    room = share * hardware.memory_gib - weights - ENGINE
    return max(0, int(room * GIB / (longest(hardware, trainer) * key_value_bytes(base.shape, dtype))))


def _examples(trainer: Mapping[str, Any]) -> int:
    return int(trainer["per_device_train_batch_size"]) * int(trainer.get("gradient_accumulation_steps", 1))


def _per_token(cell: Cell, trainer: Mapping[str, Any]) -> float:
    """Return the operations a trained token and parameter of the model."""
    once = 2 + (4 if isinstance(cell.adapter, Full) else 2) + (2 if checkpoints(trainer) else 0)
    if cell.algorithm != "grpo":
        return once
    corrected = bool(trainer.get("use_vllm")) and trainer.get("vllm_importance_sampling_correction", True)
    looks = 2 * bool(corrected) + 2 * bool(trainer.get("beta"))
    return once * int(trainer.get("num_iterations", 1)) + looks


def _generation(batch: int, base: HubBase, protocol: Protocol, trainer: Mapping[str, Any]) -> float:
    """Return the seconds in which an update's completions are written.

    An engine takes the next sequence when one ends; the trainer itself writes on until the longest has ended.
    """
    hardware, dtype = protocol.hardware, protocol.recipe.dtype
    assert hardware is not None
    engine = bool(trainer.get("use_vllm"))
    together = max(1, min(batch, sequences_at_once(base, hardware, dtype, trainer) or batch))
    steps = hardware.completion_tokens if engine else longest(hardware, trainer) - hardware.longest_prompt
    return batch / together * steps * _step(together, base, protocol, engine=engine)


def _step(together: int, base: HubBase, protocol: Protocol, *, engine: bool) -> float:
    """Return the seconds of one token of so many sequences."""
    hardware, shape = protocol.hardware, base.shape
    assert hardware is not None
    size = 4 if protocol.recipe.dtype == "float32" else 2
    seen = hardware.prompt_tokens + hardware.completion_tokens / 2
    read = shape.parameters() * size + together * seen * key_value_bytes(shape, protocol.recipe.dtype)
    by_memory = read / (hardware.bandwidth * hardware.decode_utilisation)
    by_operations = 2 * shape.parameters() * together / (hardware.flops * hardware.utilisation)
    return max(by_memory, by_operations) + STEP[engine] * shape.layers


def _hand_over(held: Memory, trainer: Mapping[str, Any]) -> float:
    """Return the seconds in which merged weights go to the engine and the base is put back: one pass over the link."""
    return 2 * held.weights * GIB / LINK if trainer.get("use_vllm") else 0.0


def _scoring(base: HubBase, protocol: Protocol) -> float:
    """Return the seconds in which the held-out problems are answered: sampled answers, and the most likely one."""
    hardware, most = protocol.hardware, protocol.grpo.get("max_completion_length")
    assert hardware is not None
    answers = protocol.task.evaluation_problems * (protocol.evaluation.samples_per_problem + 1)
    most = protocol.evaluation.max_tokens or most
    steps = most if isinstance(most, int) else hardware.completion_tokens
    together = min(answers, protocol.evaluation.batch)
    return answers / together * steps * _step(together, base, protocol, engine=False)
