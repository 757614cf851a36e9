"""Tasks of reasoning-gym by name: problems made from a seed, each scored by its own scorer.

Its generators draw problem i from seed + i, so sets of neighbouring seeds share nearly all their problems. All splits
are therefore cut from one set, and a question that occurs twice in it counts once.
"""

from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from harness.spec.declared import FieldError
from harness.spec.task.text import TextTask

SET_BY_HARNESS = ("seed", "size")


class ReasoningTask(TextTask):
    """Problems of one of reasoning-gym's data sets.

    The reward is the score that the set's own scorer gives, from 0 to 1; an answer is correct if that is 1.
    """

    name: Literal["reasoning-gym"]
    dataset: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,60}$")]
    config: Annotated[dict[str, JsonValue], Field(default_factory=dict)]
    """Fields of the set's configuration, by reasoning-gym's names."""
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    size: Annotated[int, Field(ge=1, le=1_000_000)]
    """Problems that are made; what repeats is left out, so make some more than are needed."""
    answer_tag: Annotated[str, Field(pattern=r"^[a-z]{1,20}$")] | None = "answer"
    """The answer stands between the last <answer> and </answer>; with null, it is all of the completion."""

    @model_validator(mode="after")
    def _parts_fit(self) -> "ReasoningTask":
        want = self.evaluation_problems + self.validation_problems + self.training_prompts
        if want > self.size:
            rule = f"{self.size} problems are made, evaluation, validation and training need {want}"
            raise FieldError("size", f"{rule}. Make more, or ask for fewer.")
        if self.evaluation_problems < 500:
            rule = f"{self.evaluation_problems} is out of range: it must be at least 500"
            raise FieldError("evaluation_problems", f"{rule}. Change it.")
        if own := next((name for name in SET_BY_HARNESS if name in self.config), None):
            raise FieldError("config", f"{own} stands beside config, not in it. Move it out.")
        return self

    def taught(self, answer: str) -> str:
        """Return what SFT learns to write: the answer where the scorer looks for it."""
        return answer if self.answer_tag is None else f"<{self.answer_tag}>{answer}</{self.answer_tag}>"

    def unpinned(self) -> tuple[str, ...]:
        """Return what is not known yet, in words; empty where the task is pinned."""
        return () if self.verifier_version else ("the version of reasoning-gym",)

    def evaluated_on(self) -> tuple[str, ...]:
        """Return the fields that decide the evaluation problems: also the library's version, which makes them."""
        return (*super().evaluated_on(), "dataset", "config", "seed", "size", "verifier_version")
