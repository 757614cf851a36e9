"""Where things are kept: everything that is not derivable is an append-only file under the store folder.

A store that is made here is its maker's alone. Who shares one makes the folder first, with the permissions that it is
to have: what exists is never changed, and what is made in it has what umask and the folder's set-group-id bit give.
"""

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Store:
    """A store folder, `.harness` by default. The index is derived: deleting it loses nothing."""

    root: Path
    apart: Path | None = None
    """Where index, verdicts and tunings go instead, so that records are read again and the store is left alone."""

    indexed: Path | None = None
    """Where the index alone goes instead, of a store that may only be read."""
    outer: Path | None = None
    """The store that this one lies in, if any."""

    def make(self) -> None:
        """Make the store's folder unless it is there, for its user alone."""
        if self.outer is not None:
            Store(self.outer).make()
        elif not self.root.is_dir():
            self.root.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):  # another command is as fast
                os.mkdir(self.root, 0o700)
        self.root.mkdir(parents=True, exist_ok=True)

    def indexed_in(self, folder: Path) -> "Store":
        """Return the same store with its index in another folder."""
        return replace(self, indexed=folder)

    def made_again_in(self, folder: Path) -> "Store":
        """Return the same records with all that is made of them in another folder."""
        return replace(self, apart=folder)

    @property
    def _made(self) -> Path:
        return self.apart or self.root

    @property
    def bases(self) -> Path:
        """Job directories of bases."""
        return self.root / "bases"

    @property
    def runs(self) -> Path:
        """Job directories of runs."""
        return self.root / "runs"

    @property
    def commands(self) -> Path:
        """Commands at work."""
        return self.root / "commands"

    @property
    def engines(self) -> Path:
        """What engines are handed beside the jobs, and what they print."""
        return self.root / "engines"

    @property
    def registrations(self) -> Path:
        """Frozen declarations."""
        return self.root / "registrations"

    @property
    def verdicts(self) -> Path:
        """Verdict files."""
        return self._made / "verdicts"

    @property
    def exclusions(self) -> Path:
        """Runs that were taken out by hand."""
        return self.root / "exclusions"

    @property
    def tunings(self) -> Path:
        """What tuning runs have come to."""
        return self._made / "tunings"

    @property
    def adopted(self) -> Path:
        """Tables of finished runs from elsewhere."""
        return self.root / "adopted"

    @property
    def rows(self) -> Path:
        """Rows of published sets, each in the file of its hash."""
        return self.root / "data" / "rows"

    @property
    def pins(self) -> Path:
        """Which rows declarations were found to mean."""
        return self.root / "data" / "pins"

    @property
    def checked(self) -> Path:
        """Tasks whose correct answers were all read once."""
        return self.root / "data" / "checked"

    @property
    def revisions(self) -> Path:
        """Which commits the revisions of bases were resolved to."""
        return self.root / "revisions"

    @property
    def index(self) -> Path:
        """The DuckDB index of the records."""
        return (self.indexed or self._made) / "index.duckdb"

    @property
    def report(self) -> Path:
        """Where reports go unless told otherwise."""
        return self.root / "report"

    def pilot(self, protocol: str) -> "Store":
        """Return the separate store of a protocol's pilot; no verdict ever reads it."""
        return Store(self.root / "pilots" / protocol, outer=self.outer or self.root)
