"""What a project says of the engines that its runs go to: the `[tool.harness.slurm]` and `[tool.harness.ray]` tables.

A project may come from a stranger, so its settings are data: names of a site's things, in letters that no shell and no
batch script reads as anything else. Lines of shell (`setup`) are code, and want the permission that code wants.
"""

from typing import Annotated, Literal

from pydantic import Field

from harness.spec.declared import Declared

Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.,:@+=/&|*\[\]-]{0,200}$")]
"""A site's name for something; it never begins with a dash, so that no option can be made of it."""


class SlurmSettings(Declared):
    """How jobs are handed to SLURM."""

    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    constraint: Word | None = None
    reservation: Word | None = None
    gpu_type: Word | None = None
    """Type of GPU, as in `--gres=gpu:TYPE:1`."""
    at_once: Annotated[int, Field(ge=1)] | None = None
    """Jobs of an array that may run at a time."""
    warning_seconds: Annotated[int, Field(ge=10, le=3600)] = 60
    """How long before its time limit a job is told (`--signal`)."""
    setup: Annotated[tuple[str, ...], Field(max_length=50)] = ()
    """Lines of shell before the worker starts, such as `module load cuda`. Code: only with --allow-code."""


class RaySettings(Declared):
    """How jobs are handed to a Ray cluster."""

    address: Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9_.:\[\]-]+(/[A-Za-z0-9_./-]*)?$")] | None = None
    """Of the cluster's dashboard, such as http://127.0.0.1:8265; left out, RAY_API_SERVER_ADDRESS says."""
    backlog: Annotated[int, Field(ge=1, le=1000)] = 4
    """Jobs that may wait at the cluster beyond those at work: a job that waits too long for its device fails there."""


ENGINES: tuple[Literal["local", "slurm", "ray"], ...] = ("local", "slurm", "ray")
"""Names of the engines."""
