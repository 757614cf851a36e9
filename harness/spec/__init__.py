"""What may be declared: hypotheses, predictions, adapters, protocols, and how a YAML file becomes one of them."""

from harness.spec.adapter import AdapterSpec, Cell, Scaling
from harness.spec.files import DeclarationError, load_hypothesis, load_protocol
from harness.spec.hypothesis import Hypothesis
from harness.spec.prediction import (
    Arm,
    Arms,
    Cliff,
    CollapseProbability,
    Interaction,
    MinEffect,
    NonInferiority,
    Prediction,
)
from harness.spec.protocol import BaseRecipe, Protocol
from harness.spec.task import Task

__all__ = [
    "AdapterSpec",
    "Arm",
    "Arms",
    "BaseRecipe",
    "Cell",
    "Cliff",
    "CollapseProbability",
    "DeclarationError",
    "Hypothesis",
    "Interaction",
    "MinEffect",
    "NonInferiority",
    "Prediction",
    "Protocol",
    "Scaling",
    "Task",
    "load_hypothesis",
    "load_protocol",
]
