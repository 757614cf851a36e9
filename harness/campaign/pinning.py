"""Pinning a protocol's task: which commit, which rows, which version of the verifier.

`pinned` says what this store and this machine know already, without a connection: that is what `plan` sees. `pin` finds
the rest out, keeps the rows in the store, where workers without a connection read them, and reads every correct answer
once; a run needs it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from harness.record.atomic import create_json
from harness.record.data import keep_pin, keep_rows, pinned_rows
from harness.record.layout import Store
from harness.source import Item, Splits
from harness.source.dataset import in_folder, on_hub
from harness.source.questions import text_splits
from harness.source.rows import DataError, kept, read_rows, row_error, rows_file
from harness.source.verifier import Verifier, installed, missing, verifier_of
from harness.spec import DeclarationError, Protocol
from harness.spec.canonical import digest
from harness.spec.task import DataSet, DatasetTask, TextTask

T = TypeVar("T", bound=TextTask)
HUB, VERIFIER = "hub", "verifier"
"""What a pin is filed under that is of no folder."""


@dataclass(frozen=True, slots=True)
class Pinner:
    """Where a task's sets are looked for, and kept."""

    store: Store
    root: Path | None
    """The project, in which declared folders are."""

    def pinned(self, protocol: Protocol) -> Protocol:
        """Return the protocol with its task pinned as far as is known here; asks nobody."""
        if not isinstance(protocol.task, TextTask):
            return protocol
        return protocol.model_copy(update={"task": self._pinned(protocol.task)})

    def pin(self, protocol: Protocol) -> tuple[Protocol, list[str]]:
        """Return the protocol with its task pinned, and what is to be told of it, a line each.

        Raises:
            DeclarationError: a set cannot be had, is not what was pinned, or has too few questions; the verifier is
                not installed or not the declared version; a correct answer cannot be read.
        """
        if not isinstance(protocol.task, TextTask):
            return protocol, []
        if isinstance(protocol.task, DatasetTask):
            for one in protocol.task.sets:
                self._find(one)
        task = self._pinned(protocol.task)
        _has_verifier(task)
        keep_pin(self.store, {"verifier_of": verifier_of(task)}, VERIFIER, {"version": task.verifier_version})
        parts, removed = text_splits(task)
        told = [f"task: {removed.told()}"] if removed.told() else []
        self._read_answers(task, parts)
        return protocol.model_copy(update={"task": task}), told

    def _pinned(self, task: T) -> T:
        version = {"verifier_version": task.verifier_version or self._verifier(task)}
        if not isinstance(task, DatasetTask):
            return task.model_copy(update=version)
        sets = {"training": self._known(task.training)}
        if task.evaluation is not None:
            sets["evaluation"] = self._known(task.evaluation)
        return task.model_copy(update={**version, **sets}).at(self.store.rows)

    def _verifier(self, task: TextTask) -> str | None:
        """Return the version that this store's runs are scored by, or the installed one where there is none yet."""
        pin = pinned_rows(self.store, {"verifier_of": verifier_of(task)}, VERIFIER)
        return pin["version"] if pin is not None else installed(task)

    def _known(self, declared: DataSet) -> DataSet:
        """Return a set with what is known of it, as it is declared where nothing is."""
        pin = pinned_rows(self.store, _said(declared), self._state(declared))
        if pin is None or declared.sha256 not in (None, pin["sha256"]):
            return declared
        return declared.model_copy(update={"revision": pin["revision"], "folder": None, "sha256": pin["sha256"]})

    def _state(self, declared: DataSet) -> str | None:
        """Return what a pin is filed under: the state of a folder's files, or that the Hub was asked."""
        if declared.folder is None:
            return HUB
        try:
            files = in_folder(declared, self.root)
        except DeclarationError:
            return None
        return digest([[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files])[:16]

    def _find(self, declared: DataSet) -> None:
        """Have a set's rows in the store and on record; raise DataError where they cannot be had."""
        known = self._known(declared)
        if known.sha256 is not None and rows_file(self.store.rows, known.sha256).is_file():
            return
        if declared.revision is None and declared.folder is None:
            raise DataError([f"{declared.told()}: nothing says where its rows are. Declare a revision or a folder."])
        if declared.folder is not None:
            files, commit = in_folder(declared, self.root), None
        else:
            place = on_hub(known)  # at the commit that was found before, if one was
            files, commit = place.files, place.commit
        content, sha256 = kept(read_rows(declared, files))
        for one, what in ((declared.sha256, "sha256"), (known.sha256, "pinned before")):
            if one not in (None, sha256):
                rule = f"its rows have the hash {sha256}, not {one} ({what})"
                raise DataError([f"{declared.told()}: {rule}. Restore the files, or declare the new hash."])
        keep_rows(self.store, content, sha256)
        pin = {"revision": commit, "sha256": sha256, "rows": content.count(b"\n"), "files": [f.name for f in files]}
        keep_pin(self.store, _said(declared), self._state(declared) or HUB, pin)

    def _read_answers(self, task: TextTask, parts: Splits) -> None:
        """Raise DataError with every correct answer that the verifier cannot read; done once for a task."""
        record = self.store.checked / f"{digest(task.model_dump(mode='json'))[:16]}.json"
        if not isinstance(task, DatasetTask) or record.is_file():
            return
        lines: list[str] = []
        with Verifier(task) as verifier:
            for data_set, items in _by_set(task, parts):
                lines += [
                    str(row_error(data_set, item.row, f"math-verify cannot read its answer {item.answer!r}"))
                    for item in items
                    if not verifier.readable(item.answer)
                ]
        if lines:
            raise DataError(lines)
        create_json(record, {"answers": sum(len(items) for _, items in _by_set(task, parts))})


def _by_set(task: DatasetTask, parts: Splits) -> Iterator[tuple[DataSet, tuple[Item, ...]]]:
    """Yield each set with the problems that are used of it."""
    held_out = task.evaluation or task.training
    yield held_out, parts.evaluation
    yield (held_out if task.validation_from == "evaluation" else task.training), parts.validation
    yield task.training, parts.training


def _said(declared: DataSet) -> dict[str, Any]:
    return declared.model_dump(mode="json", exclude={"sha256", "difficulty"})


def _has_verifier(task: TextTask) -> None:
    have = installed(task)
    if have is None:
        raise DataError([f"task: {missing(task)}"])
    if task.verifier_version != have:
        rule = f"{have} is installed, and runs of this task are scored by {task.verifier_version}. Install that."
        raise DataError([f"task.verifier_version: {rule}"])
