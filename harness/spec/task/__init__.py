"""What is learnt: a task whose answers a program can check, and how its problems are split.

Every kind has `split_seed`, `evaluation_problems`, `validation_problems` and `training_prompts`; the floor above makes
the problems (`harness.source.splits`).
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from harness.spec.task.arithmetic import Addition, Arithmetic, Hard
from harness.spec.task.common import CONTEXT, LONGEST_ANSWER, RESERVED
from harness.spec.task.custom import CustomTask
from harness.spec.task.dataset import COMMIT, Columns, DataSet, DatasetTask
from harness.spec.task.reasoning import ReasoningTask
from harness.spec.task.text import Chat, TextTask

__all__ = [
    "COMMIT",
    "CONTEXT",
    "LONGEST_ANSWER",
    "RESERVED",
    "Addition",
    "Arithmetic",
    "Chat",
    "Columns",
    "CustomTask",
    "DataSet",
    "DatasetTask",
    "Hard",
    "ReasoningTask",
    "Task",
    "TextTask",
    "read_task",
]

Task = Annotated[Addition | Arithmetic | CustomTask | DatasetTask | ReasoningTask, Field(discriminator="name")]

_TASK: TypeAdapter[Task] = TypeAdapter(Task)


def read_task(said: Mapping[str, Any]) -> Task:
    """Return the task that an identity holds; raise ValidationError where it holds none."""
    return _TASK.validate_json(json.dumps(said))
