"""What runs are costed on: a device by its data sheet, what share of it is reached, and how long texts are.

It says what a run would take, not what it comes to, so it is in no identity and in no registration.
"""

from typing import Annotated

from pydantic import Field

from harness.spec.declared import Declared
from harness.spec.scaling import PositiveFloat

Share = Annotated[float, Field(gt=0, le=1)]
Tokens = Annotated[int, Field(ge=1)]


class Hardware(Declared):
    """The device of one run, and what a run does to it on average."""

    gpu: Annotated[str, Field(min_length=2, max_length=60)]
    memory_gib: PositiveFloat
    """Of the device, in all."""
    flops: PositiveFloat
    """Operations a second of dense matrix products in the recipe's dtype, by the data sheet."""
    utilisation: Share
    """Share of `flops` that training reaches."""
    bandwidth: PositiveFloat
    """Bytes a second that the device reads from its memory, by the data sheet."""
    decode_utilisation: Share
    """Share of `bandwidth` that generation reaches."""
    prompt_tokens: Tokens
    """Mean."""
    longest_prompt: Tokens
    completion_tokens: Tokens
    """Mean; the longest is the trainer's max_completion_length."""
    fixed_minutes: Annotated[float, Field(ge=0)]
    """Start, spectra and saving, whatever the run's length."""
    source: Annotated[str, Field(min_length=10, max_length=600)]
    """Where the shares and lengths come from: measured, or supposed."""
