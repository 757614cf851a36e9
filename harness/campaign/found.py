"""Bases that exist: their revisions resolved to commits, and their files fetched before a job needs them.

Workers have no connection; whoever starts them fetches. What a revision was resolved to first stays in force.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from harness.plan import PlannedBase
from harness.record.layout import Store
from harness.record.revisions import keep, resolution
from harness.source.found import check_shape, folder_content
from harness.source.hub import HubError, commit_of, snapshot
from harness.spec import DeclarationError, HubBase, Protocol
from harness.spec.protocol import AT

Note = Callable[[str], None]


def with_resolved(protocol: Protocol, store: Store) -> Protocol:
    """Return the protocol with what this store has resolved its bases to; asks nobody."""
    found = {name: resolution(store, base) for name, base in _open(protocol).items()}
    return _pinned(protocol, {name: said.pin for name, said in found.items() if said is not None})


def resolve(protocol: Protocol, name: str, store: Store, root: Path | None, note: Note) -> None:
    """Resolve every base of the protocol `name` that names a branch, a tag or a folder, and record it.

    Says in a note where a branch has moved since it was resolved.

    Raises:
        DeclarationError: one that is not recorded yet cannot be resolved now.
    """
    lines: list[str] = []
    silent = False
    for called, base in _open(protocol).items():
        known = resolution(store, base)
        try:
            now = None if silent and base.hub else _now(base, root)
        except HubError as error:
            if known is None:
                lines.append(f"runs/{name}.yaml bases.{called}: {error}")
            continue
        silent = silent or (now is None and base.hub is not None)
        if now is None and known is None:
            rule = f"{base.place} is not resolved to a commit yet, and the Hub gives no answer"
            remedy = "Connect this machine, or declare the commit"
            lines.append(f"runs/{name}.yaml bases.{called}: {rule}. {remedy}.")
        elif now is not None and keep(store, base, now).pin != now:
            rule = f"{base.place} was {known.pin[:12] if known else 'another'} and is {now[:12]} now"
            note(f"{called}: {rule}; runs stay with the first. Declare the commit to take the other.")
    if lines:
        raise DeclarationError(lines)


def check_measured(protocol: Protocol, name: str) -> None:
    """Raise DeclarationError where a protocol is not ready for a registration, which would freeze it.

    Its pilot must have been run, and its bases resolved.
    """
    lines: list[str] = []
    if protocol.thresholds.healthy_gain is None:
        rule = "not measured yet, and the learning rate is not chosen"
        remedy = f"Declare what `harness pilot --protocol {name}` chooses"
        lines.append(f"runs/{name}.yaml thresholds.healthy_gain: {rule}. {remedy}; `--explore` needs neither.")
    for called, base in _open(protocol).items():
        rule = f"{base.place} is not resolved to a commit yet. Connect this machine, or declare the commit."
        lines.append(f"runs/{name}.yaml bases.{called}: {rule}")
    if lines:
        raise DeclarationError(lines)


def fetched(
    planned: Sequence[PlannedBase], protocol: Protocol, root: Path | None
) -> tuple[dict[str, Path], dict[str, str]]:
    """Return the folders of those bases that exist, and why others cannot be had, both by id.

    Raises:
        DeclarationError: one is not resolved, so that nothing on it has an identity yet.
    """
    folders: dict[str, Path] = {}
    failed: dict[str, str] = {}
    for one in planned:
        base = protocol.base(one.name)
        if not isinstance(base, HubBase):
            continue
        if one.provisional:
            rule = f"bases.{one.name}: {base.place} is not resolved to a commit yet"
            raise DeclarationError([f"{rule}. Connect this machine, or declare the commit."])
        try:
            folders[one.id] = fetch(one, base, root)
        except HubError as error:
            failed[one.id] = str(error)
    return folders, failed


def fetch(planned: PlannedBase, base: HubBase, root: Path | None) -> Path:
    """Return the folder of a base's files, downloaded where need be, after its shape was compared.

    Raises:
        HubError: it cannot be had, or is not what was declared or resolved.
    """
    said = planned.identity["found"]
    if base.hub is not None:
        online = commit_of(base.hub, said["commit"]) is not None
        folder = snapshot(base.hub, said["commit"], online=online)
    else:
        folder = folder_of(base, root)
        if folder_content(folder) != said["content"]:
            rule = "its files are not those that it was resolved to. Restore them, or declare another folder"
            raise HubError(f"{base.place}: {rule}.")
    check_shape(base, folder)
    return folder


def folder_of(base: HubBase, root: Path | None) -> Path:
    """Return the folder that a base declares, inside the project; raise HubError where it leads out of it."""
    here = (root or Path()).resolve()
    folder = (here / str(base.folder)).resolve()
    inside = [folder, *(path.resolve() for path in folder.iterdir())] if folder.is_dir() else [folder]
    if not all(path.is_relative_to(here) for path in inside):
        raise HubError(f"{base.place}: leads out of the project. Copy the model into it.")
    return folder


def _now(base: HubBase, root: Path | None) -> str | None:
    if base.hub is not None:
        return commit_of(base.hub, str(base.revision))
    return folder_content(folder_of(base, root))


def _open(protocol: Protocol) -> dict[str, HubBase]:
    """Return the bases and checkpoints of bases whose declaration itself does not fix them."""
    found = {name: protocol.base(name) for name in protocol.base_names()}
    return {name: base for name, base in found.items() if isinstance(base, HubBase) and base.pin is None}


def _pinned(protocol: Protocol, pins: dict[str, str]) -> Protocol:
    bases = dict(protocol.bases)
    for name, pin in pins.items():
        family, _, checkpoint = name.partition(AT)
        base = bases[family]
        assert isinstance(base, HubBase)
        bases[family] = base.with_pinned(checkpoint, pin) if checkpoint else base.pinned(pin)
    return protocol.model_copy(update={"bases": bases}) if pins else protocol
