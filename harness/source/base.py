"""The identity of a base: its recipe or its commit, and all that its training and scoring depend on."""

from typing import Any

from harness.source.items import evaluation_hash, splits
from harness.source.split import items_hash
from harness.spec import BaseRecipe, HubBase, Task
from harness.spec.protocol import Evaluation

SCHEMA = 1


def base_identity(
    base: BaseRecipe | HubBase, task: Task, evaluation: Evaluation, dtype: str = "float32"
) -> dict[str, Any]:
    """Return the identity fields of a base; the hash of its weights is recorded when it is made, not part of this.

    A base that exists is scored in the type that runs train it in, so `dtype` is among its fields.
    """
    scored = {"evaluation_set": evaluation_hash(task), "evaluation": evaluation.model_dump(mode="json")}
    common = {"schema": SCHEMA, "kind": "base", "task": task.model_dump(mode="json"), **scored}
    if isinstance(base, HubBase):
        return {**common, "found": base.identity(), "dtype": dtype}
    pretraining = items_hash(splits(task).pretraining)
    return {**common, "recipe": base.model_dump(mode="json"), "pretraining_set": pretraining}
