"""What the commands print with --json that plan, execute and decide."""

from typing import TYPE_CHECKING, Any, Literal, NotRequired

from pydantic import BaseModel, create_model, with_config
from typing_extensions import TypedDict

from harness.publish.answers.shape import DOCUMENTED, Object
from harness.record.verdict import Outcome, Verdict
from harness.spec.beside import Reported


def _with(name: str, doc: str, model: type[BaseModel], **more: Any) -> Any:
    """Return a model with the fields of another and some more, which are (type, description)."""
    fields: dict[str, Any] = {key: (field.annotation, field) for key, field in model.model_fields.items()}
    return create_model(name, __doc__=doc, __config__=model.model_config, **fields, **more)


if TYPE_CHECKING:  # types that are made of other models' fields are for the schema only
    Decided = Shown = Object
else:
    Decided = _with("Decided", "A verdict, and whether it passes.", Verdict, passed=(bool | None, ...))
    ReportedHere = _with("ReportedHere", "What others reported, and here.", Reported, here=(float | None, ...))
    Shown = create_model(
        "Shown",
        __base__=Decided,
        __doc__="A verdict, and what stands beside it.",
        rivals=(dict[str, Outcome | None], ...),
        stands=(str, ...),
        reported=(list[ReportedHere], ...),
    )


@with_config(DOCUMENTED)
class Test(TypedDict):
    """What a test came to."""

    verdicts: list[Shown]
    """Of the claims that were named, on each base and table; `passed` is true, false, or null where it is open."""
    rivals: list[Decided]
    """Of their rivals."""
    executed: int
    """Runs that it took."""
    failed: dict[str, str]
    """Why, by the id of the base or run."""


@with_config(DOCUMENTED)
class Verdicts(TypedDict):
    """What is stored: the newest verdict of each claim on each base and protocol."""

    verdicts: list[Shown]


@with_config(DOCUMENTED)
class Run(TypedDict):
    """What an execution came to."""

    executed: int
    planned: int
    failed: dict[str, str]
    """Why, by the id of the base or run."""


@with_config(DOCUMENTED)
class Memory(TypedDict):
    """What a run needs of a GPU."""

    gib: float
    complete: bool
    """False where something is not known, so that it is at least so much."""
    fits: bool


@with_config(DOCUMENTED)
class PlannedBase(TypedDict):
    """A base that runs start from."""

    base: str
    id: str
    state: str
    provisional: bool
    """Whether its id may change, as its revision is no commit yet."""
    gpu_hours: float | None


@with_config(DOCUMENTED)
class PlannedRun(TypedDict):
    """A run that a claim needs; its cost is in GPU-hours where hardware is declared, else in CPU-minutes."""

    run: str
    base: str
    cell: str
    seed: int
    block: str
    """The seeds that it is of: confirm, tune, explore, or of a later registration."""
    state: str
    """cached or new."""
    needed_by: list[str]
    """`claim/prediction`, each."""
    provisional: bool
    gpu_hours: NotRequired[float]
    memory: NotRequired[Memory]
    generated_tokens: NotRequired[float]
    cpu_minutes: NotRequired[float | None]
    """By finished runs of the store; null where nothing like it was run."""


@with_config(DOCUMENTED)
class PlannedCost(TypedDict):
    """What the new runs cost together."""

    gpu_hours: float
    cpu_minutes: float
    runs_without_cost: int


@with_config(DOCUMENTED)
class Plan(TypedDict):
    """The runs that are needed."""

    bases: list[PlannedBase]
    runs: list[PlannedRun]
    first_look: int
    """How many of the runs the first look needs."""
    new: PlannedCost
    unresolved: list[str]
    """Bases whose revision is no commit yet."""
    provisional: list[str]
    """What else is not known yet on which ids depend."""


@with_config(DOCUMENTED)
class Why(TypedDict):
    """Why a run is needed (`--why`)."""

    run: str
    needed_by: list[str]
    nearest: str | None
    """The existing run that differs in the fewest fields; null without any."""
    differs_in: dict[str, tuple[Any, Any]] | None
    """Wanted and existing value by field; empty where it is that run."""


@with_config(DOCUMENTED)
class Frozen(TypedDict):
    """A registration in force."""

    hypothesis: str
    protocol: str
    hash: str
    number: int
    """1, or more after amendments."""
    block: str
    """The seeds that its runs have."""
    registered_at: str
    """ISO 8601, UTC."""
    reason: str | None
    """Of an amendment."""
    changed: bool
    """Whether the declaration is another one by now, which exits 3."""


@with_config(DOCUMENTED)
class Register(TypedDict):
    """What is registered."""

    registrations: list[Frozen]


@with_config(DOCUMENTED)
class Command(TypedDict):
    """A command that executes runs."""

    host: str
    pid: int
    line: str
    began: float
    """Seconds since the epoch."""


@with_config(DOCUMENTED)
class Log(TypedDict):
    """What an attempt printed."""

    id: str
    attempt: int
    state: str
    log: str


@with_config(DOCUMENTED)
class CalledOff(TypedDict):
    """What calling jobs off came to."""

    jobs: dict[str, str]
    """What is to be told of each, by id."""
    commands: list[str]
    """Lines of the commands that end."""


@with_config(DOCUMENTED)
class Left(TypedDict):
    """A command that was left at work in the background."""

    pid: int
    log: str
    line: str


@with_config(DOCUMENTED)
class Status(TypedDict):
    """What the records say now. Of work: step, steps, reward and phase, as far as they are known."""

    store: str
    commands: list[Command]
    """Commands that execute runs of the store right now."""
    bases: dict[str, int]
    """How many, by state: new, running, interrupted, cancelled, failed, committed."""
    bases_running: dict[str, Object]
    """What each last said of its work, by id."""
    bases_failed: dict[str, str]
    """Why, by id."""
    runs: dict[str, int]
    runs_running: dict[str, Object]
    runs_failed: dict[str, str]
    engines: dict[str, Literal["queued", "running", "gone", "unreachable"]]
    """Where engines have the jobs that were handed to them and are not over, by id."""
    verdicts: list[tuple[str, str, str, str]]
    """Hypothesis, protocol, base and outcome."""


@with_config(DOCUMENTED)
class Claim(TypedDict):
    """What one hypothesis came to and took."""

    hypothesis: str
    outcomes: dict[str, str]
    """By base."""
    stands: dict[str, str]
    """What is left beside the rivals, by base."""
    runs: int
    """Runs that a plan of its own asks for."""
    executed: int
    shared: int
    cpu_minutes: float


@with_config(DOCUMENTED)
class Catalogue(TypedDict):
    """What all hypotheses came to and took."""

    hypotheses: list[Claim]
    left_out: dict[str, str]
    """Why it cannot be asked, by name."""
    apart: int
    """Runs of all plans, each on its own."""
    union: int
    executed: int
    bases: int
    cpu_minutes: float
    wall_minutes: float
