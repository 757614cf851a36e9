"""One module's update from what PEFT saved for it: LoRA, AdaLoRA, DoRA, PiSSA, OLoRA, QuanTA.

What PEFT does on loading is done here on tensors alone. Its AdaLoRA multiplies by alpha over the rank it started with
(plus 1e-5), whatever was pruned since. The start of PiSSA and OLoRA is computed again from the base as PEFT computes
it, in float32, signs as in the trained factors; the update is s (B A - B0 A0), of twice the rank.

That start is another machine's to the error of float32 in a decomposition: relative to the base, times how ill
conditioned the start is (PiSSA's last value and the next are nearly one, OLoRA's columns nearly dependent). The floor
covers it. Factors that were rounded to bfloat16 or float16 hide a change under the rounding of their start, as weights
do; such updates are marked as the differences of low precision that they are.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from harness.spectra.adapter_config import AdapterConfig
from harness.spectra.checkpoint import FLOATS, Checkpoint, CheckpointError
from harness.spectra.dora import Dora
from harness.spectra.lora import LowRank
from harness.spectra.moved import Moved
from harness.spectra.precision import called, eps, precision
from harness.spectra.quanta import Quanta
from harness.spectra.saved_quanta import saved_quanta
from harness.spectra.spectrum import Source
from harness.spectra.update import Update

REPEATABLE = ("pissa", "olora")
"""Starts that take from the base what the base itself tells."""
_OWN_BASE = "Name the base that it was trained on."
_ORDER = {True: "inputs", False: "outputs"}
"""What a weight's first axis is, by fan_in_fan_out."""
START = 4
"""Error of a start in float32 in units of eps, of the base's norm and of its condition: up to 1.7 (PiSSA, ||W||_2) and
0.8 (OLoRA, ||W||_F) measured, of 16 x 16 to 1024 x 1024, Gaussian, graded, and with a gap of 1e-4."""
PEFT_EPSILON = 1e-5
"""Added by PEFT to the rank that AdaLoRA's alpha is divided by."""


@dataclass(frozen=True, slots=True)
class Factors:
    """The tensors of one adapted module: names by part, such as `lora_A`."""

    config: AdapterConfig
    weights: Checkpoint
    module: str
    parts: Mapping[str, str]

    def update(self, base: Checkpoint | None) -> Update:
        """Return the module's update; where `base` is given, its matrix must have the update's shape.

        Raises:
            CheckpointError: a factor without the other, shapes or ranks that do not fit, or numbers that are no update.
        """
        try:
            return self._update(base)
        except CheckpointError:
            raise
        except ValueError as error:  # of LowRank, Dora and Quanta, which do not know where their tensors came from
            rule, _, remedy = str(error).partition(". ")
            raise self._error(rule, remedy.rstrip(".") or "Save the adapter again") from None

    def _update(self, base: Checkpoint | None) -> Update:
        if self.config.kind == "QUANTA":
            return self._quanta(base)
        if "lora_embedding_A" in self.parts or "lora_embedding_B" in self.parts:
            return self._embedding(base)
        b, a = self._pair("lora_A", "lora_B")
        adaptive = self.config.kind == "ADALORA"
        found = self._adaptive(b, a) if adaptive else LowRank(b, a, self._multiplier(a.shape[0]))
        if base is None:
            return found
        name = self._checked(base, (found.rows, found.columns))
        dora = self.config.true("use_dora")
        if self.config.start not in REPEATABLE:
            return self._dora(found, base, name) if dora else found
        moved = self._since_start(found, self._oriented(base.tensor(name)))
        if not dora:
            return moved
        rounded = moved.source is Source.LOW_PRECISION_DIFFERENCE
        return self._dora(moved.product, base, name, getattr(torch, moved.dtype) if rounded else None, moved.error)

    def _pair(self, a_part: str, b_part: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Return B (outputs, r) and A (r, inputs)."""
        for part, other in ((a_part, b_part), (b_part, a_part)):
            if part not in self.parts:
                raise self._error(f"{other} without {part}", "Save the adapter again")
        a, b = self._tensor(a_part), self._tensor(b_part)
        if a.dim() != 2 or b.dim() != 2 or b.shape[1] != a.shape[0]:
            rule = f"{b_part} {tuple(b.shape)} and {a_part} {tuple(a.shape)} share no rank"
            raise self._error(rule, "Save the adapter again")
        return b, a

    def _multiplier(self, rank: int) -> float:
        declared = self.config.rank(self.module)
        if rank != declared:
            rule = f"factors of rank {rank}, where {self.config.file.name} declares {declared}"
            raise self._error(rule, "Use the configuration that they were saved with")
        return self.config.multiplier(self.module, rank)

    def _embedding(self, base: Checkpoint | None) -> LowRank:
        b, a = self._pair("lora_embedding_A", "lora_embedding_B")
        if self.config.true("use_dora") or self.config.start in REPEATABLE:
            raise self._error("DoRA, PiSSA and OLoRA of an embedding are not read", "Name an adapter without it")
        found = LowRank(a.T, b.T, self._multiplier(a.shape[0]))
        if base is not None:
            self._checked(base, (found.rows, found.columns), transposed=False)
        return found

    def _quanta(self, base: Checkpoint | None) -> Quanta:
        found = saved_quanta(self.config, self.weights, self.parts)
        if base is not None:
            self._checked(base, (found.rows, found.columns))
        return found

    def _adaptive(self, b: torch.Tensor, a: torch.Tensor) -> LowRank:
        e = self._tensor("lora_E")
        if e.numel() != a.shape[0]:
            rule = f"lora_E {tuple(e.shape)} and lora_A {tuple(a.shape)} share no rank"
            raise self._error(rule, "Save the adapter again")
        alpha, rank = self.config.number("lora_alpha"), self.config.whole("init_r")
        multiplier = (alpha if alpha > 0 else rank) / (rank + PEFT_EPSILON)
        return LowRank(b, a.double() * e.double().view(-1, 1), multiplier)

    def _since_start(self, found: LowRank, weight: torch.Tensor) -> Moved:
        b, a, multiplier = found.b_mr, found.a_rn, found.multiplier
        b0, a0, sensitivity = self._start(weight.float(), len(a), multiplier)
        sign = torch.where((b.float() * b0).sum(0) + (a.float() * a0).sum(1) < 0, -1.0, 1.0)
        held = max(precision(b), precision(a), torch.float32, key=eps)
        rounded = held != torch.float32
        sizes = torch.linalg.norm(b0, dim=0) * torch.linalg.norm(a0, dim=1)
        untold = START * eps(held) * abs(multiplier) * float(sizes.sum())
        error = untold + START * eps(torch.float32) * sensitivity
        source = Source.LOW_PRECISION_DIFFERENCE if rounded else Source.FACTORS
        b0, a0 = b0 * sign, a0 * sign.view(-1, 1)
        return Moved(b, a, b0, a0, multiplier, called(held), source, untold, error)

    def _start(self, weight: torch.Tensor, rank: int, multiplier: float) -> tuple[torch.Tensor, torch.Tensor, float]:
        """Return the factors at the start, and the base's norm times the condition of their product."""
        if rank > min(weight.shape):
            rule = f"rank {rank} is more than {self.module}.weight {tuple(weight.shape)} has to start from"
            raise self._error(rule, "Name the base that it was trained on")
        if self.config.start == "pissa":
            u, sigma, vh = torch.linalg.svd(weight, full_matrices=False)
            root = (sigma[:rank] / multiplier).sqrt()
            last, following = (float(sigma[i]) if i < len(sigma) else 0.0 for i in (rank - 1, rank))
            gap = last - following
            condition = 1 + (last / gap if gap else math.inf) if following else 1.0
            return u[:, :rank] * root, root.view(-1, 1) * vh[:rank], condition * float(sigma[0])
        if self.config.true("fan_in_fan_out"):  # PEFT itself starts it with factors that do not fit
            raise self._error("OLoRA of a matrix that is stored inputs first is not read", "Name another adapter")
        q, r = torch.linalg.qr(weight)
        values = torch.linalg.svdvals(r[:rank, :rank].double())
        condition = float(values[0] / values[-1]) if values[-1] else math.inf
        return q[:, :rank], r[:rank], condition * float(torch.linalg.norm(r))

    def _dora(
        self, found: LowRank, base: Checkpoint, name: str, began: torch.dtype | None = None, error: float = 0.0
    ) -> Dora:
        magnitude = self._tensor("lora_magnitude_vector").flatten()
        if magnitude.numel() != found.rows:
            rule = f"lora_magnitude_vector has {magnitude.numel()} entries for {found.rows} outputs"
            raise self._error(rule, "Save the adapter again")
        weight = self._oriented(base.tensor(name))
        return Dora(weight, found.b_mr, found.a_rn, found.multiplier, magnitude, began=began, error=error)

    def _checked(self, base: Checkpoint, shape: tuple[int, int], transposed: bool = True) -> str:
        """Return the name of the module's matrix in the base, which has the shape (outputs, inputs)."""
        name = f"{self.module}.weight"
        if name not in base.names():
            raise CheckpointError(f"{base.path}: no {name}, which the adapter changes. {_OWN_BASE}")
        if (kept := base.dtype(name)) not in FLOATS.values():
            rule = f"{name} is stored as {kept}, which holds codes and not the numbers themselves"
            raise CheckpointError(f"{base.path}: {rule}. Name a base that is not quantised.")
        stored = base.shape(name)
        turned = transposed and self.config.true("fan_in_fan_out")
        if (stored[::-1] if turned else stored) == shape:
            return name
        if transposed and (stored if turned else stored[::-1]) == shape:
            rule = f"fan_in_fan_out {str(turned).lower()} says that {name} is stored {_ORDER[turned]} first"
            remedy = f"Set it to {str(not turned).lower()}, or name the base that it was trained on"
            raise self.config.error(f"{rule}, but in {base.path} it is stored {_ORDER[not turned]} first", remedy)
        rule = f"{name} is {stored}, and the adapter's update {shape[::-1] if turned else shape}"
        raise CheckpointError(f"{base.path}: {rule}. {_OWN_BASE}")

    def _oriented(self, weight: torch.Tensor) -> torch.Tensor:
        """Return a stored weight with the outputs first."""
        return weight.T if self.config.true("fan_in_fan_out") else weight

    def _tensor(self, part: str) -> torch.Tensor:
        if part not in self.parts:
            raise self._error(f"no {part}", "Save the adapter again")
        if (stored := self.weights.dtype(self.parts[part])) not in FLOATS.values():
            rule = f"{part} is stored as {stored}, which holds codes and not the numbers themselves"
            raise self._error(rule, "Name an adapter that is not quantised")
        return self.weights.tensor(self.parts[part])

    def _error(self, rule: str, remedy: str) -> CheckpointError:
        return CheckpointError(f"{self.weights.path}: {self.module}: {rule}. {remedy}.")
