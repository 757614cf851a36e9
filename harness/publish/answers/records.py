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
    seed: int | None
    """Null of an adopted run, whose seed is unknown."""
    base: str | None
    """The id of its base; of an adopted run the name that its files state, null where they state none."""
    state: str
    """new, running, interrupted, failed, committed, or adopted: a finished run from elsewhere, in no verdict."""
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
    """Of an adopted run: where it came from, and when."""
    events: list[str]
    """Folders of a tracker's events, in the run's own; empty without a tracker that writes files."""
    facts: Object | None
    """result.json of a committed run; what is known of an adopted one, with what is not under `unknown`."""
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
class AdoptedRun(TypedDict):
    """An adopted run."""

    name: str
    source: str
    commit: str | None
    """Of a model on the Hub."""
    new: bool
    """False where this very run had this name before, and nothing changed."""
    matrices: int
    """Updates whose spectra are known."""
    spectra_unknown: str | None
    """Why there are none."""
    facts: Object


@with_config(DOCUMENTED)
class DifferentField(TypedDict):
    """A field of the configuration that differs, or that is not known of one."""

    section: str
    """identity, cell, recipe, trainer, adapter, software or device."""
    field: str
    a: Any
    """Null where the run has no such field, or it is unknown."""
    b: Any
    unknown: list[str]
    """`a`, `b`: of which it is not known."""
    origin: list[str | None]
    """Of a trainer's field, for both: declared, set_by_harness or library_defaults."""


@with_config(DOCUMENTED)
class ComparedResult(TypedDict):
    """A number that the runs came to; null is unknown."""

    name: str
    a: float | None
    b: float | None
    difference: float | None
    """b minus a."""
    stated: list[str]
    """`a`, `b`: for which somebody stated it and nobody here measured it."""


@with_config(DOCUMENTED)
class PairedProblems(TypedDict):
    """Counts of problems that both answered: by the most likely answer, and by the share of sampled ones."""

    problems: int
    both: int
    only_a: int
    only_b: int
    neither: int
    more_often_a: int
    more_often_b: int
    equally_often: int


@with_config(DOCUMENTED)
class Compared(TypedDict):
    """Two runs beside each other."""

    a: str
    b: str
    equal: dict[str, int]
    """Fields of the configuration that are the same, by section."""
    fields: list[DifferentField]
    results: list[ComparedResult]
    problems: PairedProblems | None
    problems_unknown: str | None
    """Why there are no paired counts."""


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
