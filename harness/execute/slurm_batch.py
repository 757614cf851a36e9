"""How jobs are described to sbatch: options, the batch script, the list of jobs, and the environment that goes with it.

Nothing that a project says, no path and no worker's argument is ever put into shell text: settings are options of
their own argument, the script is the same for everybody and takes a list's path and the worker's command line as
arguments, and job directories are lines of the list. Only `setup` is shell, and wants permission.

sbatch hands its own environment to jobs and leaves it in the controller's state, which is a disk somewhere. It is
therefore given an environment that holds what a worker needs to start, by name, and nothing that is a secret by name
or an address with a password in it.
`--export=NIL` or a list of names would be shorter but have the node load the user's login environment, which takes
SLURM seconds to minutes, differs from this one, and is full of secrets again. What encloses the command (an allocation
of SLURM, options in SBATCH_*) is left out too: it would change what is submitted.
"""

import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.execute.engine import Refused
from harness.spec.engines import SlurmSettings
from harness.spec.resources import Resources
from harness.spec.secrets import USER_IN_ADDRESS

HEAD = """#!/bin/bash
# Written by rlvr-harness. Arguments: the list of jobs, how many share a task, and the worker's command line.
list=$1 share=$2
shift 2
"""

TAIL = """
mapfile -t -s "$((SLURM_ARRAY_TASK_ID * share))" -n "$share" jobs <"$list"
if [ "${#jobs[@]}" -eq 0 ]; then
    printf '%s has no job for task %s. Is the store visible on %s?\\n' "$list" "$SLURM_ARRAY_TASK_ID" "$HOSTNAME" >&2
    exit 78
fi
exec "$@" "${jobs[@]}"
"""
"""The worker takes the shell's place, so that signals reach it."""

LOG = "slurm-%A_%a.out"
"""In the working directory. What SLURM itself has to say of a task (its time is up, its node failed) is there too."""

KEPT = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ|VIRTUAL_ENV|PYTHON\w+|CONDA_\w+|LD_LIBRARY_PATH"
    r"|XDG_\w+_HOME|HF_\w+|TRANSFORMERS_\w+|TOKENIZERS_\w+|TORCH\w*|PYTORCH_\w+|TRITON_\w+|VLLM_\w+|NCCL_\w+"
    r"|CUDA_(HOME|PATH|CACHE_PATH)|WANDB_\w+|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|HARNESS_SCRATCH"
    r"|AWS_(ENDPOINT_URL\w*|PROFILE|REGION|DEFAULT_REGION|CA_BUNDLE)"
    r"|MODULE\w+|LOADEDMODULES|_LMFILES_|LMOD_\w+|BASH_ENV|BASH_FUNC_(module|ml|_module_raw)(%%|\(\))|SLURM_CONF"
)
SECRET = re.compile(r"TOKEN|KEY|SECRET|PASS|CREDENTIAL|AUTH|COOKIE|JWT", re.IGNORECASE)


def environment(of: Mapping[str, str]) -> dict[str, str]:
    """Return the part of an environment that SLURM's commands, and through sbatch the jobs, are given.

    `TMPDIR` and `XDG_RUNTIME_DIR` belong to this machine, and `CUDA_VISIBLE_DEVICES` to the allocation: left out.
    """
    kept = {name: value for name, value in of.items() if KEPT.fullmatch(name) and not SECRET.search(name)}
    return {name: value for name, value in kept.items() if not USER_IN_ADDRESS.search(value)}


def check_folder(folder: Path) -> None:
    r"""See that SLURM can write to logs here: it reads `%` and `\` as patterns even in the folder they are put into.

    Raises:
        Refused: the path holds one of them.
    """
    if any(sign in str(folder) for sign in "%\\\n"):
        raise Refused(f"{str(folder)!r}: SLURM reads %, \\ and line breaks as patterns. Keep the store elsewhere.")


def script(settings: SlurmSettings) -> str:
    """Return the batch script."""
    return HEAD + "\n".join(settings.setup) + TAIL


def listed(tasks: Sequence[Sequence[Path]]) -> bytes:
    """Return the list from which each task of an array takes its jobs, a line a job.

    Raises:
        Refused: a path holds a line break.
    """
    for job in (job for task in tasks for job in task):
        if "\n" in str(job):
            raise Refused(f"{str(job)!r}: a line break in the path of a job. Keep the store under another path.")
    return b"".join(os.fsencode(job) + b"\n" for task in tasks for job in task)


def options(resources: Resources, settings: SlurmSettings, *, tasks: int, name: str, folder: Path) -> list[str]:
    """Return sbatch's options for an array of so many tasks, of which each has `resources.sharing` jobs."""
    at_once = f"%{settings.at_once}" if settings.at_once else ""
    asked: dict[str, object] = {
        "array": f"0-{tasks - 1}{at_once}",
        "job-name": name,
        "chdir": folder,
        "output": LOG,
        "open-mode": "append",
        "export": "ALL",  # of the environment above
        "nodes": 1,
        "ntasks": 1,
        "cpus-per-task": resources.cpus * resources.sharing,
        "mem": _memory(resources),
        "time": _time(resources, settings),
        "gres": _devices(resources, settings),
        "signal": f"B:USR2@{settings.warning_seconds}",
        "partition": settings.partition,
        "account": settings.account,
        "qos": settings.qos,
        "constraint": settings.constraint,
        "reservation": settings.reservation,
    }
    return ["--parsable", "--requeue", *(f"--{key}={value}" for key, value in asked.items() if value is not None)]


def _memory(resources: Resources) -> str | None:
    """Return the host memory of a task."""
    gib = resources.memory_gib
    return None if gib is None else f"{math.ceil(gib * 1024) * resources.sharing}M"


def _time(resources: Resources, settings: SlurmSettings) -> int | None:
    """Return a task's limit in minutes: who keeps to `minutes` ends before a warning that comes when it should."""
    if resources.minutes is None:
        return None
    return math.ceil(resources.minutes + (resources.grace_seconds + settings.warning_seconds) / 60)


def _devices(resources: Resources, settings: SlurmSettings) -> str | None:
    """Return the devices of a task: whole ones, or one that its jobs share."""
    if resources.gpus == 0:
        return None
    of_type = f":{settings.gpu_type}" if settings.gpu_type else ""
    return f"gpu{of_type}:{1 if resources.sharing > 1 else int(resources.gpus)}"
