"""Where things are kept: everything that is not derivable is an append-only file under the store folder."""

from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Store:
    """A store folder, `.harness` by default. The index is derived: deleting it loses nothing."""

    root: Path
    apart: Path | None = None
    """Where index, verdicts and tunings go instead, so that records are read again and the store is left alone."""

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
    def adopted_runs(self) -> Path:
        """Finished runs from elsewhere."""
        return self.root / "adopted-runs"

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
        return self._made / "index.duckdb"

    @property
    def report(self) -> Path:
        """Where reports go unless told otherwise."""
        return self.root / "report"

    def pilot(self, protocol: str) -> "Store":
        """Return the separate store of a protocol's pilot; no verdict ever reads it."""
        return Store(self.root / "pilots" / protocol)
