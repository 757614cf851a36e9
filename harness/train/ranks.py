"""Which of the processes of a run this is, where `accelerate launch` has started several.

They share each update's batch and hold the same weights (data-parallel); the first one alone looks at the policy,
scores it and writes files, while the others wait for it at the next exchange of gradients.
"""

import os
from typing import Any

import torch


def first() -> bool:
    """Return whether this is the process that writes."""
    return int(os.environ.get("RANK", "0")) == 0


def count() -> int:
    """Return how many processes make up the run."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def meet() -> None:
    """Wait until every process of the run is here."""
    if torch.distributed.is_initialized():
        torch.distributed.barrier()


def gathered(value: Any) -> list[Any]:
    """Return the value that each process gave, in their order; all of them have to call."""
    if not torch.distributed.is_initialized():
        return [value]
    found: list[Any] = [None] * count()
    torch.distributed.all_gather_object(found, value)
    return found


def lost(error: BaseException) -> bool:
    """Return whether an error says no more than that another process of the run is gone."""
    told = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "remote process exited")
    return count() > 1 and isinstance(error, RuntimeError) and any(said in str(error) for said in told)
