"""The identity of a base that is made on the spot: its recipe, and all that its training and scoring depend on."""

from typing import Any

from harness.source.items import evaluation_hash, splits
from harness.source.split import items_hash
from harness.spec import BaseRecipe, Task
from harness.spec.protocol import Evaluation

SCHEMA = 1


def base_identity(recipe: BaseRecipe, task: Task, evaluation: Evaluation) -> dict[str, Any]:
    """Return the identity fields of a base; the hash of its weights is recorded when it is made, not part of this."""
    parts = splits(task)
    return {
        "schema": SCHEMA,
        "kind": "base",
        "recipe": recipe.model_dump(mode="json"),
        "task": task.model_dump(mode="json"),
        "pretraining_set": items_hash(parts.pretraining),
        "evaluation_set": evaluation_hash(task),
        "evaluation": evaluation.model_dump(mode="json"),
    }
