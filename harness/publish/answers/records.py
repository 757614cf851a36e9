"""What the commands print with --json that are about runs, their weights and their index."""

from typing import Any, NotRequired

from pydantic import with_config
from typing_extensions import TypedDict

from harness.publish.answers.shape import DOCUMENTED, Object


@with_config(DOCUMENTED)
class ListedRun(TypedDict):
    """A run of the store."""

    id: str
    cell: str
    seed: int
    base: str
    """The id of its base."""
    state: str
    """new, running, interrupted, failed or committed."""
    excluded: str | None
    """Why, where it is excluded."""


@with_config(DOCUMENTED)
class KeptFile(TypedDict):
    """A file of a result."""

    bytes: int
    sha256: str


@with_config(DOCUMENTED)
class ShownRun(ListedRun):
    """A run with what it is identified by and what it gave."""

    path: str
    identity: Object
    facts: Object | None
    """result.json of a committed run."""
    files: dict[str, KeptFile]


@with_config(DOCUMENTED)
class Excluded(TypedDict):
    """An exclusion in force."""

    id: str
    reason: str
    excluded_at: float
    """Seconds since 1970."""


@with_config(DOCUMENTED)
class Imported(TypedDict):
    """An adopted table."""

    name: str
    hypothesis: str
    rows: int
    runs: dict[str, int]
    """Of the claim, by cell."""
    other_runs: int
    lacking: str | None
    """What it does not say and a verdict needs."""
    ignored_columns: list[str]
    registered: bool
    """Whether the claim was registered before."""


@with_config(DOCUMENTED)
class Bundled(TypedDict):
    """A bundle that was written."""

    file: str
    files: int


@with_config(DOCUMENTED)
class IndexPath(TypedDict):
    """Where the index is."""

    path: str


@with_config(DOCUMENTED)
class Rebuilt(TypedDict):
    """An index that was made again."""

    jobs: int
    path: str
    damaged: dict[str, str]
    """Why results are left out, by the id of their run or base: file, rule and remedy."""


@with_config(DOCUMENTED)
class Report(TypedDict):
    """A report that was written."""

    folder: str
    verdicts: int
    files: list[str]
    """Paths in the folder."""


@with_config(DOCUMENTED)
class Checked(TypedDict):
    """A report that was checked."""

    folder: str
    differences: list[str]
    """One line each; none where every number is what the run directories give."""


Query = list[dict[str, Any]]


@with_config(DOCUMENTED)
class Matrix(TypedDict):
    """The spectrum of one matrix; the columns are defined in docs/spectra.md and in the Parquet files themselves."""

    module: str
    layer: int
    part: str
    kind: str
    role: str
    target: str
    rows: int
    columns: int
    source: str
    dtype: str
    kernel: str
    bound: float | None
    floor: float | None
    complete: bool
    frobenius: float
    effective_rank: float | None
    effective_rank_energy: float | None
    stable_rank: float | None
    participation_ratio: float | None
    top_energy: list[float] | None
    alpha: float | None
    alpha_ks: float | None
    alpha_xmin: float | None
    overlap: float | None
    overlap_chance: float | None
    intruders: int | None
    intruders_unsettled: int | None
    intruder_sweep: list[int] | None
    intruders_borderline: list[int] | None
    changed_share: float | None
    singular_values: list[float] | None


@with_config(DOCUMENTED)
class Spectra(TypedDict):
    """The spectra of what was named."""

    target: str
    """As it was named."""
    what: str
    """In words."""
    path: str
    commit: NotRequired[str]
    """Of a model of the Hub."""
    base: NotRequired[str]
    """Path of the base that it was held against."""
    notes: list[str]
    matrices: list[Matrix]
