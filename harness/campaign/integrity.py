"""What stands between a verdict and the label confirmatory, as far as registration tells.

A deviation costs the label; one that is a violation would also have changed what the claim says without a word. What
readers should know though it costs nothing is a note. Whether the runs themselves are sound is not judged here.
"""

from dataclasses import dataclass
from enum import StrEnum

from harness.campaign.bench import Bench
from harness.plan import RunSet, registration_hash
from harness.record.registration import Registration
from harness.source.seeds import CONFIRM
from harness.spec import Hypothesis


class Kind(StrEnum):
    """Why a verdict is not confirmatory."""

    EXPLORED = "explored"
    """The runs were asked for as an exploration, with seeds of their own; no registration governs them."""
    NEVER_REGISTERED = "never registered"
    """The declaration was never frozen."""
    CHANGED = "changed"
    """The declaration, the protocol or the evaluation set is not the one that was frozen, and no amendment says so."""
    OLDER_RUNS = "older runs"
    """Runs began before the registration in force, so their results could be known when it was written."""
    ADOPTED_BEFORE = "adopted before registration"
    """A table of results was adopted before the registration in force, so its results could be known."""
    UNPLANNED_LOOK = "unplanned look"
    """A table has more runs a cell than the design ever looks at."""
    REUSED_SEED = "reused seed"
    """Several results of one cell bear the same seed."""
    PILOT_SEED = "pilot seed"
    """Results bear seeds of the protocol's pilot, whose answers are known."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """One reason why a verdict is not confirmatory."""

    kind: Kind
    text: str
    violation: bool
    """Whether the verdict silently speaks of something else than what was registered."""


@dataclass(frozen=True, slots=True)
class Integrity:
    """What a registration has to say about a verdict."""

    deviations: tuple[Deviation, ...]
    """Empty: confirmatory, as far as registration tells."""
    notes: tuple[str, ...]
    """Amendments and late registrations, which cost nothing as their runs are fresh."""


def deviations(bench: Bench, name: str, hypothesis: Hypothesis, runs: RunSet) -> Integrity:
    """Return how a hypothesis and its runs depart from the registration in force.

    Raises:
        IntegrityError: a registration file is not what was written.
    """
    if bench.explore:
        return Integrity((Deviation(Kind.EXPLORED, "an exploration: no registration governs its runs", False),), ())
    registration = bench.registration(name)
    if registration is None:
        return Integrity((Deviation(Kind.NEVER_REGISTERED, "never registered", False),), ())
    found = changes(bench, hypothesis, registration)
    if older := bench.older_runs(registration, runs):
        text = f"{older} {'run is' if older == 1 else 'runs are'} older than the registration"
        found.append(Deviation(Kind.OLDER_RUNS, text, False))
    return Integrity(tuple(found), notes(registration))


def changes(bench: Bench, hypothesis: Hypothesis, registration: Registration) -> list[Deviation]:
    """Return what is not as registered, as at most one deviation."""
    changed = _changed(bench, hypothesis, registration)
    text = f"{changed} changed since registration ({registration.hash[:12]})"
    return [Deviation(Kind.CHANGED, text, True)] if changed else []


def _changed(bench: Bench, hypothesis: Hypothesis, registration: Registration) -> str:
    """Return what is not as registered, `declaration and protocol`; empty where all of it is."""
    now = bench.content(hypothesis)
    words = {
        "declaration": "declaration",
        "protocol_declaration": "protocol",
        "evaluation_set": "evaluation set",
        "code": "code",
    }
    changed = [word for key, word in words.items() if registration.content.get(key, now[key]) != now[key]]
    if not changed and registration.hash != registration_hash(hypothesis, bench.protocol):
        changed = ["what is hashed"]
    return " and ".join(changed)


def notes(registration: Registration) -> tuple[str, ...]:
    """Return what readers should know of a registration that is not the first of its shelf."""
    if registration.number > 1:
        return (f"amendment (registration {registration.number}, seeds {registration.block}): {registration.reason}",)
    if registration.block != CONFIRM:
        return (f"registered after runs that it would have shared had begun: fresh seeds ({registration.block})",)
    return ()
