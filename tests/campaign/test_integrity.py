"""What costs the label confirmatory, what would have changed a verdict unnoticed, and what is only told."""

import os
from typing import TYPE_CHECKING

import pytest

from harness.campaign.integrity import Deviation, Integrity, Kind, deviations
from harness.record.atomic import IntegrityError

if TYPE_CHECKING:
    from tests.conftest import Made


def told(made: "Made", explore: bool = False) -> Integrity:
    bench = made.bench()
    bench.explore = explore
    hypothesis = bench.hypotheses(["live"])
    return deviations(bench, "live", hypothesis["live"], bench.plan(hypothesis, ["llama"]))


def amend(made: "Made") -> str:
    """Change the claim and amend its registration; return the block of the amendment."""
    made.declare("hypotheses/live.yaml", made.claim_text.replace("probability: 0.5", "probability: 0.49"))
    bench = made.bench()
    return bench.amend(bench.hypotheses(["live"]), "the probability was a slip")["live"].block


def frozen(made: "Made") -> str:
    found = made.bench().registration("live")
    assert found is not None
    return found.hash[:12]


def test_registered_before_its_runs_there_is_nothing_to_say(made: "Made") -> None:
    made.bench().register_shelf()
    made.results(lambda _: 0.5)
    assert told(made) == Integrity((), ())


def test_never_registered(made: "Made") -> None:
    made.results(lambda _: 0.5)
    assert told(made).deviations == (Deviation(Kind.NEVER_REGISTERED, "never registered", False),)


def test_an_exploration_is_told_as_such_whatever_is_registered(made: "Made") -> None:
    made.bench().register_shelf()
    amend(made)
    (only,) = told(made, explore=True).deviations
    assert (only.kind, only.violation) == (Kind.EXPLORED, False)
    assert told(made, explore=True).notes == ()


@pytest.mark.parametrize(
    ("path", "old", "new", "what"),
    [
        ("hypotheses/live.yaml", "probability: 0.5", "probability: 0.49", "declaration"),
        ("hypotheses/live.yaml", "title: Low", "title: Lower", "declaration"),
        ("runs/bench.yaml", "collapsed_share: 0.25", "collapsed_share: 0.3", "protocol"),
        ("runs/bench.yaml", "split_seed: 5", "split_seed: 7", "protocol and evaluation set"),
    ],
)
def test_a_change_without_an_amendment_is_a_violation(made: "Made", path: str, old: str, new: str, what: str) -> None:
    made.bench().register_shelf()
    before = frozen(made)
    text = (made.root / path).read_text()
    assert text.count(old) == 1
    made.declare(path, text.replace(old, new))
    text = f"{what} changed since registration ({before})"
    assert told(made).deviations == (Deviation(Kind.CHANGED, text, True),)
    made.declare(path, (made.root / path).read_text().replace(new, old))
    assert told(made) == Integrity((), ())


def test_a_change_of_both_names_both(made: "Made") -> None:
    made.bench().register_shelf()
    made.declare("hypotheses/live.yaml", made.claim_text.replace("seeds: 6", "seeds: 7"))
    made.declare("runs/bench.yaml", made.protocol_text.replace("temperature: 1.0", "temperature: 0.9"))
    assert told(made).deviations[0].text.startswith("declaration and protocol changed since registration")


@pytest.mark.parametrize(("count", "text"), [(1, "1 run is older than"), (12, "12 runs are older than")])
def test_runs_older_than_the_registration_cost_the_label(made: "Made", count: int, text: str) -> None:
    made.bench().register_shelf()
    made.results(lambda _: 0.5)
    for claim in sorted(made.store.runs.glob("*/attempts/0001/claim.json"))[:count]:
        os.utime(claim, (1, 1))
    assert told(made).deviations == (Deviation(Kind.OLDER_RUNS, f"{text} the registration", False),)


def test_an_amendment_with_fresh_runs_is_a_note(made: "Made") -> None:
    made.bench().register_shelf()
    made.results(lambda _: 0.5)
    block = amend(made)
    made.results(lambda _: 0.5)
    note = f"amendment (registration 2, seeds {block}): the probability was a slip"
    assert block.startswith("late-")
    assert told(made) == Integrity((), (note,))


def test_a_late_registration_with_fresh_runs_is_a_note(made: "Made") -> None:
    made.results(lambda _: 0.5)
    made.bench().register_shelf()
    made.results(lambda _: 0.5)
    (note,) = told(made).notes
    assert told(made).deviations == ()
    assert note.startswith("registered after runs that it would have shared had begun: fresh seeds (late-")


def test_a_damaged_registration_is_no_absent_one(made: "Made") -> None:
    made.bench().register_shelf()
    path = made.store.registrations / "bench" / "live" / "0001.json"
    path.write_text(path.read_text().replace('"seeds": 6', '"seeds": 7'))
    with pytest.raises(IntegrityError, match=r"live/0001\.json: is not what was registered there"):
        told(made)
