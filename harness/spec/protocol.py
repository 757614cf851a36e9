"""What all cells of a test share: bases, task, recipe, trainer fields, evaluation, thresholds and the pilot's rule.

Trainer fields bear TRL's own names; `trainer.py` knows which exist and `protocol_checks.py` which go together.
"""

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, PrivateAttr, model_validator

from harness.spec.adapter import PositiveFloat, Rank, Scaling
from harness.spec.arms import Given, Several
from harness.spec.bases import Base, BaseRecipe, Count, HubBase, Pretraining
from harness.spec.code import CodeName, Sha256, read
from harness.spec.declared import Declared, FieldError, unset
from harness.spec.hardware import Hardware
from harness.spec.protocol_checks import check, completions_per_update, prompts_per_update
from harness.spec.resources import Resources
from harness.spec.task import CustomTask, Task
from harness.spec.trackers import REPORT_TO, trackers
from harness.spec.trainer import OWNED, TRAINERS, trainer_fields

__all__ = [
    "OWNED",
    "TRAINERS",
    "BaseRecipe",
    "Evaluation",
    "HubBase",
    "Pilot",
    "Pretraining",
    "Protocol",
    "Recipe",
    "Thresholds",
    "check",
    "completions_per_update",
    "prompts_per_update",
    "trainer_fields",
]

AT = "@"
"""Between the name of a base and that of its checkpoint."""
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]


class Recipe(Declared):
    """What an adapter is given unless a hypothesis says otherwise, and what GRPO trains towards.

    `reward` is a function of the project, `(completion: str, answer: str) -> float`; without one it is the exact
    match that evaluation uses in any case. `reward_sha256` is that of its file; left out, it is filled in. `dtype` is
    that of the base in training; an update that is read as a difference of bfloat16 weights enters no claim.
    """

    scaling: Scaling
    target_modules: Literal["all-linear"]
    lora_dropout: Annotated[float, Field(ge=0, lt=1)]
    dtype: Annotated[Literal["float32", "bfloat16"], Field(exclude_if=unset("float32"))] = "float32"
    # Absent ones are in no identity, so that recipes without a reward are what they were before there was any.
    reward: Annotated[CodeName | None, Field(exclude_if=unset(None))] = None
    reward_sha256: Annotated[Sha256 | None, Field(exclude_if=unset(None))] = None

    @model_validator(mode="after")
    def _hash_of_something(self) -> "Recipe":
        if self.reward_sha256 and not self.reward:
            raise FieldError("reward_sha256", "is the hash of no reward. Remove it, or declare the reward.")
        return self


class Evaluation(Declared):
    """Sampled answers to each held-out problem; a run's accuracy is the share that is correct."""

    samples_per_problem: Annotated[int, Field(ge=1, le=64)]
    temperature: PositiveFloat
    max_tokens: Annotated[Count | None, Field(exclude_if=unset(None))] = None
    """Tokens of an answer in text at most; exact answers are given as many as the longest needs."""
    batch: Annotated[Count, Field(exclude_if=unset(512))] = 512
    """Sequences generated together; sampling depends on it, so it is no matter of the machine alone."""


class Thresholds(Declared):
    """When a run counts as collapsed or trained, relative to its own base and to the pilot's healthy arm.

    collapsed: final accuracy below `collapsed_share` x the base's own. trained: final accuracy above the base's own
    plus `trained_share` x `healthy_gain`, the gain that the healthy arm made in the pilot; null until a pilot has
    measured it, and nothing is registered before.
    """

    collapsed_share: Annotated[float, Field(gt=0, lt=1)]
    trained_share: Annotated[float, Field(gt=0, le=1)]
    healthy_gain: Annotated[float, Field(gt=0, lt=1)] | None
    source: Annotated[str, Field(min_length=10)]


class Pilot(Declared):
    """The rule by which learning rate, steps and healthy gain are chosen, written before any pilot run.

    It looks only at what the healthy arm does, on a base, an evaluation split and seeds of its own; a base that exists
    has no other of its kind, so there the pilot has the same one, and needs no `base_seed`. One standard error:
    the steps are the fewest of `steps` at which the best mean validation gain of the healthy rank, over the rates,
    reaches `enough_gain`, or else the most of them (the list ends where the protocol's time does); the rate is the
    largest of `learning_rates` whose mean gain at those steps is within one standard error of the best; the healthy
    gain is the mean gain at that rate and those steps, and must exceed two standard errors.
    """

    rule: Literal["one-standard-error"]
    healthy_rank: Rank
    learning_rates: Several[PositiveFloat]
    steps: Several[Count]
    enough_gain: Annotated[float, Field(gt=0, lt=1)]
    seeds: Annotated[int, Field(ge=3, le=100)]
    base_seed: Annotated[Annotated[int, Field(ge=0, lt=2**31)] | None, Field(exclude_if=unset(None))] = None
    split_seed: Annotated[int, Field(ge=0)]

    def in_words(self) -> str:
        """Return the rule as a card states it."""
        steps = ", ".join(map(str, self.steps))
        return (
            f"largest rate within one standard error of r = {self.healthy_rank}'s best validation gain in the pilot, "
            f"at the fewest of {steps} steps with a gain of {self.enough_gain:g}, else the most"
        )


class Protocol(Declared):
    """Everything that the cells of a test share."""

    title: Annotated[str, Field(min_length=3, max_length=300)]
    task: Task
    bases: Annotated[dict[Name, Base], Field(min_length=1)]
    default_bases: Several[Name]
    recipe: Recipe
    grpo: dict[str, JsonValue]
    sft: dict[str, JsonValue]
    evaluation: Evaluation
    thresholds: Thresholds
    pilot: Pilot
    hardware: Annotated[Hardware | None, Field(exclude_if=unset(None))] = None
    """What runs on bases that exist are costed on."""
    resources: Annotated[Resources, Field(exclude_if=unset(Resources()))] = Resources()
    """What an engine gives a run, or a base; it changes no result, so it is in no identity and in no registration."""
    spectra_at: Annotated[tuple[Count, ...], Field(max_length=64, exclude_if=unset(()))] = ()
    """Updates after which the spectrum of the policy's update is kept, besides the first and the last."""

    _trackers: dict[str, tuple[str, ...]] = PrivateAttr(default_factory=dict[str, tuple[str, ...]])
    """By algorithm; apart from the fields of the trainers, because those are what a run is identified by."""

    @model_validator(mode="after")
    def _trackers_apart(self) -> "Protocol":
        for key, fields in (("grpo", self.grpo), ("sft", self.sft)):
            if REPORT_TO in fields:
                self._trackers[key] = trackers(fields.pop(REPORT_TO))
        return self

    @model_validator(mode="after")
    def _in_order(self) -> "Protocol":
        if any(low >= high for low, high in pairwise(self.spectra_at)):
            raise FieldError("spectra_at", f"{list(self.spectra_at)} is not strictly increasing. Sort it.")
        return self

    def registered(self) -> dict[str, Any]:
        """Return what of the protocol a registration freezes: all that is meant to change a result."""
        return self.model_dump(mode="json", exclude={"hardware", "resources"})

    def base(self, name: str) -> BaseRecipe | HubBase:
        """Return a base, or one of its checkpoints: `llama`, `llama@cold`.

        Raises:
            KeyError: there is none of this name.
        """
        family, _, checkpoint = name.partition(AT)
        if checkpoint:
            return self.bases[family].at(checkpoint)
        return self.bases[family].model_copy(update={"checkpoints": {}})

    def base_names(self) -> tuple[str, ...]:
        """Return the names of all bases and, after each, of its checkpoints."""
        points = {name: [f"{name}{AT}{point}" for point in base.checkpoints] for name, base in self.bases.items()}
        return tuple(each for name, others in points.items() for each in (name, *others))

    def replicates(self, name: str) -> tuple[str, ...]:
        """Return what stands for `name` where bases are combined: its replicates, or itself where it has none."""
        points = self.bases[name].checkpoints if name in self.bases else {}
        return tuple(f"{name}{AT}{c}" for c, point in points.items() if point.replicate) or (name,)

    @model_validator(mode="after")
    def _pilot_has_a_base(self) -> "Protocol":
        made = [name for name in self.default_bases if isinstance(self.bases.get(name), BaseRecipe)]
        if made and self.pilot.base_seed is None:
            raise FieldError("pilot", f"base_seed: missing, and base {made[0]} is made from a seed. Add this field.")
        return self

    @property
    def given(self) -> Given:
        """What arms take from the protocol."""
        return Given(self.recipe.scaling, completions_per_update(self.grpo))

    def trainer(self, algorithm: Literal["grpo", "sft"]) -> dict[str, JsonValue]:
        """Return the declared trainer fields of an algorithm, by TRL's names."""
        return self.grpo if algorithm == "grpo" else self.sft

    def trackers(self, algorithm: str) -> tuple[str, ...]:
        """Return the trackers that runs of an algorithm report to; no identity and no registration knows of them."""
        return self._trackers.get(algorithm, ())

    def made(self, name: str) -> BaseRecipe:
        """Return the recipe of a base that is made on the spot; raise TypeError for one that exists."""
        base = self.base(name)
        if not isinstance(base, BaseRecipe):
            raise TypeError(f"base {name} exists: {base.place} is made from no recipe")
        return base

    def permitted(self, root: Path) -> "Protocol":
        """Return the protocol with permission to run the code that it names from the project `root`, and its hashes.

        Raises:
            CodeError: a function is not there.
        """
        update: dict[str, Any] = {}
        if isinstance(self.task, CustomTask):
            update["task"] = self.task.permitted(root)
        if self.recipe.reward:
            sha256 = self.recipe.reward_sha256 or read(root, self.recipe.reward).sha256
            update["recipe"] = self.recipe.model_copy(update={"reward_sha256": sha256})
        return self.model_copy(update=update) if update else self
