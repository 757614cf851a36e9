"""The engine that a command's runs go to, made from the protocol's resources and the project's settings."""

import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from harness.campaign.machine import driver_gpus
from harness.campaign.reachable import unfit_folder
from harness.execute import Executor, LocalExecutor, Refused, Unreachable
from harness.execute.local import forks, local_slots
from harness.execute.worker import server, worker
from harness.record.layout import Store
from harness.spec.resources import Resources
from harness.spec.shelf import Shelf

Engine = Literal["local", "slurm", "ray"]


class Unable(RuntimeError):
    """This machine cannot do what was asked; the text says what it lacks, and the remedy."""


def executor(engine: Engine, store: Store, shelf: Shelf, resources: Resources, at_once: int | None = None) -> Executor:
    """Return an executor on an engine; `at_once` is how many runs a machine has at work at a time, where one says so.

    Raises:
        Unable: this machine has not what a run wants, or not what the engine needs.
    """
    store.make()
    made = {"slurm": _slurm, "ray": _ray}
    try:
        if engine == "local":
            inner: Executor = _local(store.root / "executor.log", resources, at_once, shelf)
        else:
            inner = made[engine](store.engines, resources, shelf)
    except Refused as error:
        raise Unable(str(error)) from None
    except Unreachable as error:
        raise Unable(f"{str(error).rstrip('.')}. `harness doctor` says which engines answer.") from None
    url = shelf.settings.get("exchange")
    return _exchanged(inner, url, store) if url else inner


def _exchanged(inner: Executor, url: str, store: Store) -> Executor:
    """Return an executor whose workers find and deliver jobs at a URL."""
    from harness.execute.exchanged import ExchangedExecutor  # fsspec, 0.2 s, which few projects need
    from harness.record.object_url import objects_at
    from harness.record.objects import Unfit

    if (rule := unfit_folder(url, store.root)) is not None:
        inner.close()
        raise Unable(f"exchange {url}: {rule}")
    try:
        return ExchangedExecutor(inner, objects_at(url), store.root)
    except Unfit as error:
        raise Unable(str(error)) from None


def reachable(handles_of: Collection[str], store: Store, shelf: Shelf) -> dict[str, Executor]:
    """Return executors that can be asked about jobs, by the name that their handles bear; those at hand only."""
    found: dict[str, Executor] = {}
    for engine in ("slurm", "ray"):
        if any(name.startswith(engine) for name in handles_of):
            with suppress(Unable):
                one = executor(engine, store, shelf, Resources())
                found[one.name] = one
    return found


def _slurm(folder: Path, resources: Resources, shelf: Shelf) -> Executor:
    from harness.execute.slurm import SlurmExecutor

    allowed = shelf.code_root is not None
    return SlurmExecutor(folder / "slurm", _worker(shelf), resources, shelf.slurm, setup_allowed=allowed)


def _ray(folder: Path, resources: Resources, shelf: Shelf) -> Executor:
    from harness.execute.ray_jobs import RayExecutor

    return RayExecutor(folder / "ray", _worker(shelf), resources, shelf.ray)


def _local(log: Path, resources: Resources, at_once: int | None, shelf: Shelf) -> LocalExecutor:
    try:
        slots = local_slots(resources, devices() if resources.gpus else (), at_once)
    except ValueError as error:
        raise Unable(str(error)) from None
    command = server(shelf.code_root) if forks(resources) and "exchange" not in shelf.settings else None
    return LocalExecutor(log, _worker(shelf), slots, server=command, grace=resources.grace_seconds + 10)


def _worker(shelf: Shelf) -> list[str]:
    return worker(shelf.code_root, shelf.settings.get("exchange"))


def devices() -> Sequence[str]:
    """Return the names by which CUDA_VISIBLE_DEVICES calls this process's GPUs."""
    if (seen := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in seen.split(",") if name]
    return [str(number) for number, _ in enumerate(driver_gpus())]
