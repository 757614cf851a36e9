"""What all answers share: an attribute's docstring is the description of its field in the schema."""

from typing import Any

from pydantic import ConfigDict

DOCUMENTED = ConfigDict(use_attribute_docstrings=True)
Object = dict[str, Any]
"""A mapping whose keys are not fixed here; where its field is described, it is said where they are."""
