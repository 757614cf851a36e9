"""Whether a machine can run a protocol, and what is missing: declarations held against what the machine has. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from harness.campaign.machine import GIB, Machine
from harness.plan import run_cost
from harness.plan.memory import BYTES
from harness.source.verifier import missing as lacking
from harness.source.verifier import verifier_of
from harness.spec import Arm, HubBase, Protocol
from harness.spec.resources import Resources
from harness.spec.task import TextTask

SPARE = 1.1
"""Times the weights that the disk should have free: tokenizers, spectra and the runs themselves come besides."""


@dataclass(frozen=True, slots=True)
class Ability:
    """What a machine makes of a protocol."""

    missing: tuple[str, ...]
    """Why it cannot run here, each with what would do; empty where it can."""
    notes: tuple[str, ...]
    """What else stands between the protocol and a verdict, whatever the machine."""

    @property
    def able(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing


def ability(protocol: Protocol, name: str, machine: Machine) -> Ability:
    """Return whether `machine` can run the protocol `name` on its default bases."""
    found = {called: base for called in protocol.default_bases if isinstance(base := protocol.bases[called], HubBase)}
    missing = [*_device(protocol, found, machine), *_files(protocol, found, machine)] if found else []
    bare = bool(found) and protocol.hardware is not None and not machine.gpus  # which `_device` told, with the memory
    missing += _resources(protocol.resources, machine, besides_gpus=bare)
    task = protocol.task
    if isinstance(task, TextTask) and verifier_of(task) not in machine.installed:
        missing.append(lacking(task).removesuffix("."))
    return Ability(tuple(missing), tuple(_notes(protocol, name, found)))


def _device(protocol: Protocol, found: dict[str, HubBase], machine: Machine) -> Iterator[str]:
    """Yield what the device lacks; the memory is that of the pilot's healthy rank, the least that is ever run."""
    if protocol.hardware is None:
        return
    cell = Arm(rank=protocol.pilot.healthy_rank).cell(protocol.given)
    peaks = {called: cost.memory.peak for called in found if (cost := run_cost(cell, called, protocol)) is not None}
    most = max(peaks, key=lambda called: peaks[called])
    largest = max((gib for _, gib in machine.gpus), default=0.0)
    if not machine.gpus:
        yield f"no GPU is seen; a run on {most} takes about {peaks[most]:.0f} GiB of one"
    elif largest < peaks[most]:
        yield f"a run on {most} takes about {peaks[most]:.0f} GiB, and the largest GPU has {largest:.0f}"
    if protocol.grpo.get("use_vllm"):
        if "vllm" not in machine.installed:
            yield "vllm is not installed, and grpo.use_vllm asks for it"
        host = max(_weights(base, protocol) for base in found.values()) / GIB
        if machine.host_gib is not None and machine.host_gib < 2 * host:
            yield f"{2 * host:.0f} GiB of host memory keep the base as it is, and this host has {machine.host_gib:.0f}"


def _resources(resources: Resources, machine: Machine, *, besides_gpus: bool) -> Iterator[str]:
    """Yield what one run declares to want and the machine has not."""
    if resources.gpus > len(machine.gpus) and not besides_gpus:
        yield f"resources: a run wants {resources.gpus:g} GPUs, and {len(machine.gpus)} are seen"
    if machine.cores is not None and resources.cpus > machine.cores:
        yield f"resources: a run wants {resources.cpus} cores, and this machine has {machine.cores}"
    if machine.host_gib is not None and (resources.memory_gib or 0) > machine.host_gib:
        yield f"resources: a run wants {resources.memory_gib:g} GiB of memory, and this host has {machine.host_gib:.0f}"


def _files(protocol: Protocol, found: dict[str, HubBase], machine: Machine) -> Iterator[str]:
    """Yield the bases that cannot be had, and the space that they want."""
    absent = {called: base for called, base in found.items() if base.hub and not _cached(base, machine)}
    if absent and not machine.hub:
        places = ", ".join(base.place for base in absent.values())
        yield f"the Hub does not answer, and {places} {'is' if len(absent) == 1 else 'are'} not in {machine.cache}"
    need = SPARE * sum(_weights(base, protocol) for base in absent.values()) / GIB
    if need > machine.free_gib:
        yield f"{need:.0f} GiB of weights are to be fetched, and {machine.free_gib:.0f} GiB are free at {machine.cache}"


def _notes(protocol: Protocol, name: str, found: dict[str, HubBase]) -> Iterator[str]:
    if protocol.thresholds.healthy_gain is None:
        yield f"learning rate and healthy gain are not measured: `harness pilot --protocol {name}` chooses them"
    loose = [base.place for base in found.values() if base.pin is None]
    if loose:
        yield f"not resolved to a commit yet: {', '.join(loose)}"
    if isinstance(protocol.task, TextTask) and (unknown := protocol.task.unpinned()):
        yield f"not known yet of its task: {', '.join(unknown)}"


def _cached(base: HubBase, machine: Machine) -> bool:
    """Return whether the commit, or whatever the revision meant last, is in the Hub's cache."""
    home = machine.cache / f"models--{str(base.hub).replace('/', '--')}"
    ref = home / "refs" / str(base.revision)
    pin = base.pin or (ref.read_text().strip() if ref.is_file() else None)
    return pin is not None and (home / "snapshots" / pin / "config.json").exists()


def _weights(base: HubBase, protocol: Protocol) -> float:
    """Return the bytes of a base's weights in the protocol's type; files in another are larger or smaller."""
    return base.shape.parameters() * BYTES[protocol.recipe.dtype]
