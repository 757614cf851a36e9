"""What is compared: the trainable update of a frozen base.

Every method is a typed spec by the names of its own literature. A method that scales its update by alpha takes the
protocol's scaling policy unless it declares its own; the others have no such multiplier, so equal learning rates do not
mean equal steps: what was realised (multiplier, trainable parameters, norm of the first update) is in every run's
record. A PEFT method without a spec of its own is one line: `{method: peft, type: LOHA, config: {r: 8}}`.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, model_validator

from harness.spec.canonical import digest
from harness.spec.declared import Declared, FieldError
from harness.spec.peft_fields import check_config
from harness.spec.scaling import (
    Constant,
    PositiveFloat,
    Proportional,
    RankStabilised,
    Scaling,
    exact,
    scaling_slug,
)

__all__ = [
    "AdapterSpec",
    "Constant",
    "Lora",
    "PositiveFloat",
    "Proportional",
    "Rank",
    "RankStabilised",
    "Scaling",
    "exact",
    "resolved",
]

Rank = Annotated[int, Field(ge=1, le=65536)]
Count = Annotated[int, Field(ge=1, le=65536)]


class _Adapter(Declared):
    """What every spec can say of itself."""

    def slug(self) -> str:
        """Return a readable name, distinct for distinct specs: the method, the rank, and what is not the default."""
        parts = [str(getattr(self, "method"))]  # noqa: B009  # which every spec declares as a literal of its own
        for name, field in type(self).model_fields.items():
            value: Any = getattr(self, name)
            if name == "method":
                continue
            if name == "rank":
                parts.append(f"r{value}")
            elif name == "scaling":
                default = field.default
                parts += scaling_slug(value) if value is not None and value != default else []
            elif value != field.default:
                parts.append(name.replace("_", "") + _short(value))
        return "-".join(parts)

    def in_words(self) -> str:
        """Return the spec as an estimate names it: `DoRA r=16`, with what differs from the default."""
        said = [NAMES[str(getattr(self, "method"))]]  # noqa: B009  # as above
        for name, field in type(self).model_fields.items():
            value: Any = getattr(self, name)
            if name == "method" or value == field.default:
                continue
            said.append(value.in_words() if name == "scaling" else f"{'r' if name == 'rank' else name}={_said(value)}")
        return " ".join(said)


class _Scaled(_Adapter):
    """A spec with a rank whose update is multiplied by alpha / rank, or alpha / sqrt(rank)."""

    rank: Rank
    scaling: Scaling | None = None

    def alpha(self) -> float:
        """Return the numerator of the multiplier, PEFT's `lora_alpha`; raise ValueError where it is left open."""
        if self.scaling is None:
            raise ValueError(f"{self.slug()} has no scaling yet. Resolve it with the protocol's.")
        return self.scaling.factor * self.rank if isinstance(self.scaling, Proportional) else self.scaling.alpha

    def multiplier(self) -> float:
        """Return the nominal multiplier of the update."""
        return self.alpha() / (self.rank**0.5 if isinstance(self.scaling, RankStabilised) else self.rank)


class Lora(_Scaled):
    """dW = multiplier B A (Hu et al. 2021, arXiv 2106.09685), with B zero at the start."""

    method: Literal["lora"] = "lora"


class Dora(_Scaled):
    """LoRA's direction with a trained magnitude for each output (Liu et al. 2024, arXiv 2402.09353)."""

    method: Literal["dora"]


class Pissa(_Scaled):
    """LoRA from the leading singular directions of the base, which is left with the rest (arXiv 2404.02948).

    The update is what the factors have moved since the start: multiplier (B A - B0 A0).
    """

    method: Literal["pissa"]


class AdaLora(_Scaled):
    """LoRA as B diag(e) A whose ranks are pruned by importance to `rank` on average (arXiv 2303.10512).

    Starts at `initial_rank` (default: one and a half times the rank, rounded up), prunes from update `tinit` on and
    stops `tfinal` updates before the end. PEFT multiplies by alpha over the rank at the start, also after pruning.
    """

    method: Literal["adalora"]
    initial_rank: Rank | None = None
    tinit: Annotated[int, Field(ge=0)] = 0
    tfinal: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _starts_above(self) -> "AdaLora":
        if self.initial_rank is not None and self.initial_rank < self.rank:
            rule = f"{self.initial_rank} is below rank {self.rank}, and directions are only pruned. Raise it."
            raise FieldError("initial_rank", rule)
        if isinstance(self.scaling, RankStabilised):
            raise FieldError("scaling", "AdaLoRA in PEFT has no rank-stabilised form. Use another policy.")
        return self

    def start(self) -> int:
        """Return the rank at the start."""
        return self.initial_rank or -(-3 * self.rank // 2)


class GraLora(_Scaled):
    """LoRA in each of `blocks` x `blocks` parts of the matrix (arXiv 2505.20355)."""

    method: Literal["gralora"]
    blocks: Count = 2

    @model_validator(mode="after")
    def _has_that_scaling(self) -> "GraLora":
        if isinstance(self.scaling, RankStabilised):
            raise FieldError("scaling", "GraLoRA in PEFT has no rank-stabilised form. Use another policy.")
        return self

    @model_validator(mode="after")
    def _shares_the_rank(self) -> "GraLora":
        if self.rank % self.blocks:
            rule = f"{self.rank} is no multiple of {self.blocks} blocks, which share the rank. Change one."
            raise FieldError("rank", rule)
        return self


class Oft(_Adapter):
    """Rotation of the outputs in blocks of `block_size` (Qiu et al. 2023, arXiv 2306.07280)."""

    method: Literal["oft"]
    block_size: Annotated[int, Field(ge=2, le=65536)] = 32


class Vera(_Adapter):
    """Trained vectors around frozen random factors that all layers share (Kopiczko et al. 2023, arXiv 2310.11454)."""

    method: Literal["vera"]
    rank: Rank = 256
    d_initial: PositiveFloat = 0.1
    projection_seed: Annotated[int, Field(ge=0, lt=2**31)] = 0


class RandLora(_Adapter):
    """A full-rank sum of frozen random factors with trained diagonals (Albert et al. 2025, arXiv 2502.00987)."""

    method: Literal["randlora"]
    rank: Rank = 32
    alpha: Annotated[int, Field(ge=1)] | None = None
    """Numerator of the multiplier alpha / rank; PEFT practice, and the default here, is 20 x rank."""
    projection_seed: Annotated[int, Field(ge=0, lt=2**31)] = 0


class Miss(_Adapter):
    """One trained matrix, shared by shards of the inputs (MiSS, arXiv 2409.15371)."""

    method: Literal["miss"]
    rank: Rank = 64


class Hra(_Adapter):
    """A chain of `rank` Householder reflections (Yuan et al. 2024, arXiv 2405.17484)."""

    method: Literal["hra"]
    rank: Rank = 8

    @model_validator(mode="after")
    def _in_pairs(self) -> "Hra":
        if self.rank % 2:  # equal neighbours undo each other; PEFT draws the reflections of an odd chain at random
            rule = f"{self.rank} is odd, and only pairs of reflections begin at the base. Make it even."
            raise FieldError("rank", rule)
        return self


class Quanta(_Adapter):
    """Tensors over every pair of axes of the reshaped hidden vector (Chen et al. 2024, arXiv 2406.00132).

    Either `d`, the number of axes, each the smallest whole number whose d-th power covers the layer, or the `axes`
    themselves. The update is the tensors' product minus that of their frozen start, so it begins at exactly zero.
    `unfreeze_norms` also trains every parameter whose name contains "norm", as the authors' code does.
    """

    method: Literal["quanta"]
    d: Annotated[int, Field(ge=2, le=8)] | None = None
    axes: Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(min_length=2, max_length=8)] | None = None
    unfreeze_norms: bool = False

    @model_validator(mode="after")
    def _one_way(self) -> "Quanta":
        if (self.d is None) == (self.axes is None):
            raise FieldError("d", "neither or both of d and axes are declared. Declare one of them.")
        return self


class Full(_Adapter):
    """Full fine-tuning: every parameter of the base trains, and nothing is frozen."""

    method: Literal["full"]


class PeftMethod(_Adapter):
    """Any other method of PEFT, by PEFT's own names: its type and the fields of its configuration."""

    method: Literal["peft"]
    type: Annotated[str, Field(min_length=1, max_length=32)]
    config: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue])

    @model_validator(mode="after")
    def _known(self) -> "PeftMethod":
        check_config(self.type, self.config)
        return self

    def __hash__(self) -> int:
        return hash((self.type, digest(self.config)))

    def slug(self) -> str:
        """Return the type with, where fields are declared, the beginning of their hash."""
        return self.type.lower().replace("_", "") + (f"-{digest(self.config)[:6]}" if self.config else "")

    def in_words(self) -> str:
        """Return the type with its declared fields."""
        return " ".join([self.type, *(f"{name}={_said(value)}" for name, value in sorted(self.config.items()))])


AdapterSpec = Annotated[
    Lora | Dora | Pissa | AdaLora | GraLora | Oft | Vera | RandLora | Miss | Hra | Quanta | Full | PeftMethod,
    Field(discriminator="method"),
]


def resolved(adapter: AdapterSpec, scaling: Scaling) -> AdapterSpec:
    """Return the spec with the protocol's `scaling` where it takes one and declares none."""
    takes = isinstance(adapter, Lora | Dora | Pissa | AdaLora | GraLora) and adapter.scaling is None
    return adapter.model_copy(update={"scaling": scaling}) if takes else adapter


NAMES = {
    "lora": "LoRA",
    "dora": "DoRA",
    "pissa": "PiSSA",
    "adalora": "AdaLoRA",
    "gralora": "GraLoRA",
    "oft": "OFT",
    "vera": "VeRA",
    "randlora": "RandLoRA",
    "miss": "MiSS",
    "hra": "HRA",
    "quanta": "QuanTA",
    "full": "full fine-tuning",
}
"""Methods as their authors write them."""


def _short(value: Any) -> str:
    if isinstance(value, bool):
        return ""
    if isinstance(value, tuple | list):
        return "x".join(_short(item) for item in value)  # pyright: ignore[reportUnknownVariableType]
    return exact(value) if isinstance(value, float) else str(value)


def _said(value: Any) -> str:
    return exact(value) if isinstance(value, float) else _short(value) or "yes"
