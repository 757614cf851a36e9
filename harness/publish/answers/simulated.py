"""What `diagnose`, `pilot` and `frontier` print with --json."""

from typing import Literal, NotRequired

from pydantic import with_config
from typing_extensions import TypedDict

from harness.publish.answers.shape import DOCUMENTED, Object


@with_config(DOCUMENTED)
class Rate(TypedDict):
    """A share of simulations."""

    value: float
    se: float
    """Monte Carlo standard error."""
    of: int
    """Simulations."""


@with_config(DOCUMENTED)
class Characteristics(TypedDict):
    """How a prediction, or the claim, comes out in a world."""

    id: str
    role: str
    truth: str
    """The region that the estimand lies in: support, refute or neither."""
    seeds: float
    """Seeds a cell that it took, on average."""
    supported: Rate
    refuted: Rate
    open: Rate
    wrong: Rate
    """How often a verdict contradicts the truth."""
    right: Rate
    coverage: Rate | None
    """How often an interval that may decide holds the estimand; null of the claim."""


@with_config(DOCUMENTED)
class ExpectedRuns(TypedDict):
    """Runs that a decision takes."""

    mean: float
    se: float
    planned: int


@with_config(DOCUMENTED)
class World(TypedDict):
    """A design in one world."""

    world: str
    edge_of: str | None
    """The prediction whose support or refutation begins here."""
    runs: ExpectedRuns
    claim: Characteristics
    predictions: list[Characteristics]


@with_config(DOCUMENTED)
class Search(TypedDict):
    """The fewest seeds that have a power."""

    target: float
    seeds: int | None
    """Null where no design has it."""
    power: float | None


@with_config(DOCUMENTED)
class Varied(TypedDict):
    """A design with another value."""

    seeds: NotRequired[float]
    futility: NotRequired[float]
    unreachable: list[str]
    """Why this design could not decide."""
    diagnosis: World | None


@with_config(DOCUMENTED)
class Diagnose(TypedDict):
    """How often a claim comes out right and wrong: in several worlds, or with --vary in the declared one."""

    hypothesis: str
    protocol: str
    sims: int
    seed: int
    worlds: NotRequired[list[World]]
    search: NotRequired[Search | None]
    reading: NotRequired[list[str]]
    varied: NotRequired[str]
    values: NotRequired[list[Varied]]


@with_config(DOCUMENTED)
class Gain(TypedDict):
    """What the healthy arm gained."""

    learning_rate: float
    steps: int
    n_runs: int
    mean: float
    standard_error: float


@with_config(DOCUMENTED)
class Pilot(TypedDict):
    """What the protocol's rule chooses, and what it chose from."""

    protocol: str
    base_accuracy: float
    gains: list[Gain]
    steps: int
    learning_rate: float
    healthy_gain: float
    declared_steps: int
    declared_learning_rate: float
    declared_healthy_gain: float | None
    agrees: bool
    """Whether the protocol declares what the rule chooses."""


@with_config(DOCUMENTED)
class Interval(TypedDict):
    """A posterior median with the central 90 %."""

    value: float
    low: float
    high: float


@with_config(DOCUMENTED)
class Tried(TypedDict):
    """A run of a search."""

    run: str
    learning_rate: float
    seed: int
    collapsed: bool | None
    """Null without a result."""
    first_update_norm: float | None


@with_config(DOCUMENTED)
class FrontierArm(TypedDict):
    """A rank under a scaling policy."""

    rank: int
    scaling: Object
    """As protocols declare it."""
    multiplier: float
    end: str
    """Why the search ended."""
    critical_rate: Interval | None
    critical_first_update_norm: Interval | None
    runs: list[Tried]


@with_config(DOCUMENTED)
class Spread(TypedDict):
    """How far apart the arms are."""

    octaves: float
    noise: float
    q: float
    p: float


@with_config(DOCUMENTED)
class Ratio(TypedDict):
    """One spread over another."""

    value: float | None
    low: float
    high: float


@with_config(DOCUMENTED)
class Quantity(TypedDict):
    """A quantity that may line the arms up."""

    name: str
    spread: Spread
    to_rate: Ratio


@with_config(DOCUMENTED)
class Aligned(TypedDict):
    """All quantities over one group of arms."""

    group: str
    arms: int
    quantities: list[Quantity]
    better: Literal["norm", "rate", "neither"]
    least: str
    """The quantity of the smallest spread."""


@with_config(DOCUMENTED)
class Frontier(TypedDict):
    """The learning rates at which runs begin to collapse."""

    label: Literal["exploratory"]
    protocol: str
    base: str
    base_accuracy: float
    collapsed_below: float
    learning_rate: float
    """The protocol's own."""
    rates: list[float]
    """Those that may be tried."""
    seeds: int
    arms: list[FrontierArm]
    runs: int
    """Used."""
    grid: int
    """Runs of the whole grid."""
    aligned: list[Aligned]
