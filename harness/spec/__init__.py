"""What may be declared: hypotheses, predictions, adapters, protocols, and how a YAML file becomes one of them."""

from harness.spec.adapter import AdapterSpec, Lora, Scaling
from harness.spec.arms import Arm, Arms, Given
from harness.spec.bases import BaseRecipe, HubBase
from harness.spec.cell import Cell
from harness.spec.files import DeclarationError, load_hypothesis, load_protocol
from harness.spec.hypothesis import Hypothesis
from harness.spec.prediction import Prediction
from harness.spec.protocol import Protocol
from harness.spec.task import Addition, Arithmetic, CustomTask, Task, read_task

__all__ = [
    "AdapterSpec",
    "Addition",
    "Arithmetic",
    "Arm",
    "Arms",
    "BaseRecipe",
    "Cell",
    "CustomTask",
    "DeclarationError",
    "Given",
    "HubBase",
    "Hypothesis",
    "Lora",
    "Prediction",
    "Protocol",
    "Scaling",
    "Task",
    "load_hypothesis",
    "load_protocol",
    "read_task",
]
