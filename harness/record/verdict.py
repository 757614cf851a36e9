"""What a decision says: outcomes with reasons, estimates with intervals, and the verdict that holds them.

A verdict carries no time and no attempt count: the same runs under the same declaration give the same bytes.
Nothing here computes; numbers are unrounded, and the publishing floor owns digits.
"""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

SCHEMA = 3
"""Version of a verdict's fields; files of another version are left alone, and what they say is decided again."""


class Outcome(StrEnum):
    """What a prediction or a hypothesis came to."""

    SUPPORTED = "supported"
    """The interval lies inside the region declared as support."""
    REFUTED = "refuted"
    """The interval lies inside the region declared as refutation: a positive finding, not a lack of one."""
    INCONCLUSIVE = "inconclusive"
    """Neither; the reason says why."""
    UNTESTED = "untested"
    """No run bears on it."""
    SUGGESTIVE_FOR = "suggestive for"
    """An exploratory result in the direction of support, after the false discovery rate was held."""
    SUGGESTIVE_AGAINST = "suggestive against"
    """An exploratory result in the direction of refutation, after the false discovery rate was held."""


class Reason(StrEnum):
    """Why the outcome is what it is."""

    IN_SUPPORT = "interval in the support region"
    """The interval at level alpha lies wholly in the support region."""
    IN_REFUTE = "interval in the refute region"
    """The interval at the refuting level lies wholly in the refute region."""
    STRADDLES = "interval in neither region"
    """The interval reaches across a boundary; more runs may resolve it."""
    MIXED_CELLS = "assumption failed: a cell has both collapsed and other runs"
    """A t interval for the mean of a bimodal cell is not trustworthy, so none decides."""
    MISSING_RUNS = "missing runs could change it"
    """Planned runs are missing and the outcome is not the same whatever they would have given."""
    AT_FLOOR = "assumption failed: the base is at the floor"
    """The base scores no better than chance would, so nothing can fall and keeping up says nothing."""
    NO_RUNS = "no runs"
    """At least one arm has no run at all."""
    TOO_FEW = "too few runs selected"
    """An arm that selects runs by their label found fewer than two, so its spread is unknown."""
    NO_SPREAD = "assumption failed: no variation between runs"
    """All runs of every arm gave the same response, on a scale whose sampling variance is unknown."""
    OFF_SCALE = "assumption failed: a response has no value on the declared scale"
    """A zero or negative response has no logarithm."""
    FUTILITY = "stopped for futility"
    """At a planned look the last one was unlikely to decide it, so no further run was spent."""
    UNDERPOWERED = "underpowered by design"
    """Not even perfect agreement of the planned units reaches the level."""
    NO_INFORMATION = "insufficient information"
    """What the results state does not suffice to decide: no seeds, no base accuracy or no number of problems."""
    FALSE_DISCOVERY = "no discovery"
    """An exploratory result that does not pass the false discovery rate."""


class Refutation(StrEnum):
    """In which way a prediction was refuted."""

    TOO_SMALL = "too small"
    """The effect is shown to be smaller than claimed."""
    WRONG_SIGN = "wrong sign"
    """The effect is shown to go the other way."""
    TOO_LARGE = "beyond the margin"
    """The effect is shown to be larger than claimed."""
    TOO_GRADUAL = "too gradual"
    """The drop is shown to be spread over more than one step."""
    OTHER_SIDE = "other side"
    """A mean or a probability is shown to lie on the other side."""
    COUNTEREXAMPLE = "counterexample"
    """One run or one cell is shown to be what the claim says there is none of."""


class RunLabel(StrEnum):
    """What became of a run, relative to its own base and to the pilot's healthy arm."""

    COLLAPSED = "collapsed"
    """Final accuracy below the declared share of the base's own."""
    DEGRADED = "degraded"
    """Not collapsed, but below its base."""
    NO_GAIN = "no gain"
    """At least its base, but not above it by more than the declared share of the healthy gain."""
    TRAINED = "trained"
    """Above its base by more than the declared share of the healthy gain."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Estimate(_Record):
    """An estimand's point estimate with one interval for each side of the decision."""

    name: str
    """What is estimated: `P(collapsed) r=128`, `a - b`, `share of the drop`."""
    unit: str
    """`probability`, `accuracy` (0 to 1) or `share`."""
    value: float | None
    """Point estimate; None where it is undefined."""
    low: float | None
    """Lower limit at one-sided level `alpha`; None is unbounded."""
    high: float | None
    """Upper limit at one-sided level `alpha`; None is unbounded."""
    refute_low: float | None
    """Lower limit at the one-sided level at which it may refute: its part of `refute_alpha` where several may."""
    refute_high: float | None
    """Upper limit at that level."""
    method: str
    """How the interval was made."""
    n_runs: int
    """Runs that the estimate rests on."""


class EffectSize(_Record):
    """A standardised effect, secondary to the estimate on its own scale."""

    name: str
    value: float


class CellSummary(_Record):
    """One cell as observed."""

    name: str
    planned: int
    n_runs: int
    mean: float | None
    """Mean over runs of the response; None without runs."""
    sd: float | None
    """Standard deviation between runs; None with fewer than two."""
    labels: dict[str, int]
    """How many runs carry each label."""
    launched: int | None = None
    """How many of the collapsed runs had first gained reward in training; None where none is known."""


class JudgedRun(_Record):
    """One run that counts, and what became of it."""

    run_id: str
    base: str
    """The base it is of, as the protocol names it, or the adopted table."""
    cell: str
    seed: int
    """Number of its seed, from 0."""
    accuracy: float
    label: RunLabel
    launched: bool | None = None
    """Whether it ever gained reward in training; None where that is unknown."""


class PredictionVerdict(_Record):
    """What one prediction came to."""

    id: str
    kind: str
    role: str
    statement: str
    outcome: Outcome
    reason: Reason
    how: Refutation | None
    """In which way it was refuted; None where it was not."""
    detail: str
    """One sentence with the figures that decide: `0/5 at each of r=8, 16, 32, 64`."""
    needs: str
    """The support region in words: `each P < 0.5`, `> -0.05`."""
    alpha: float
    refute_alpha: float
    look: int
    """The look at which this is the state, from 1."""
    looks: tuple[int, ...]
    """Runs a cell at each planned look."""
    settled: bool
    """Whether no further planned run can change it, or none will be spent."""
    p_support: float | None
    """Smallest level at which it would be supported on these runs; None if at none up to one half."""
    p_refute: float | None
    """Smallest level at which it would be refuted on these runs."""
    attainable_p: float | None
    """Smallest p that these units could have given; None where there is no such bound."""
    q: float | None
    """Exploratory only: p after Benjamini and Hochberg, over the exploratory predictions of the hypothesis."""
    runs_to_resolve: int | None
    """If inconclusive: further runs a cell that would decide it if estimate and spread stayed; None if unknown."""
    assumptions: str
    """What the decision conditions on."""
    failed_assumptions: tuple[str, ...]
    estimates: tuple[Estimate, ...]
    effect_sizes: tuple[EffectSize, ...]
    cells: tuple[CellSummary, ...]


class Registered(_Record):
    """Whether the declaration was frozen before its data."""

    hash: str
    """SHA-256 of declaration, protocol and evaluation set as they are now."""
    confirmatory: bool
    deviations: tuple[str, ...]
    """What costs the label: changed since registration, or older than it; empty when nothing does."""
    explored: bool = False
    """Whether its runs were asked for as an exploration."""
    held: tuple[str, ...] = ()
    """What was checked of the runs that count, and holds."""
    notes: tuple[str, ...] = ()
    """What a reader should know and does not cost the label, amendments among it."""
    violated: bool = False
    """Whether a deviation would silently have changed the verdict, so that the command exits 3."""


class MissingRun(_Record):
    """A planned run without a result, and why."""

    run_id: str
    cell: str
    reason: str


class Tried(_Record):
    """A candidate of a tuning: its mean accuracy on the validation split over its runs."""

    learning_rate_scale: float
    runs: int
    mean: float | None


class Tuned(_Record):
    """The learning rate that was chosen for an arm, as a multiple of the protocol's, and what it was chosen from."""

    arm: str
    learning_rate_scale: float | None
    """None where no candidate has all of its runs."""
    tried: tuple[Tried, ...]


class Verdict(_Record):
    """What a hypothesis came to on one base under one protocol."""

    schema_version: int
    hypothesis: str
    title: str
    claim: str
    base: str
    base_id: str
    base_accuracy: float | None
    """None where an adopted table does not say."""
    protocol: str
    outcome: Outcome
    reading: str
    recipe: tuple[str, ...]
    """The recipe in words, the pilot's rule among them."""
    collapsed_below: float | None
    trained_above: float | None
    n_items: int | None
    predictions: tuple[PredictionVerdict, ...]
    cells: tuple[CellSummary, ...]
    """Every cell of the run set on this base, once."""
    runs: tuple[JudgedRun, ...]
    """Every run that it rests on."""
    planned_runs: int
    used_runs: int
    missing: tuple[MissingRun, ...]
    registered: Registered
    not_shown: tuple[str, ...]
    directions: tuple[str, ...] = ()
    """Where several contrasts share an arm: in which direction each measure goes against each comparator."""
    tuned: tuple[Tuned, ...] = ()
    """The learning rates of tuned arms, on this base."""
    inputs: str
    """SHA-256 over registration, run manifests and decision code: equal inputs, equal verdict."""
    software: dict[str, str]

    @property
    def passed(self) -> bool | None:
        """True if supported, False if refuted, None if open."""
        return {Outcome.SUPPORTED: True, Outcome.REFUTED: False}.get(self.outcome)
