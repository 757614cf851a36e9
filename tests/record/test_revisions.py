"""What a branch meant when it was first asked for stays in force."""

from pathlib import Path

from harness.record.layout import Store
from harness.record.revisions import keep, resolution
from harness.spec import HubBase
from harness.spec.bases import Shape

SHAPE = Shape(architecture="llama", hidden_size=16, layers=1, intermediate_size=24, heads=2, vocabulary=99)


def named(revision: str, hub: str = "lab/mini") -> HubBase:
    return HubBase(hub=hub, revision=revision, family="llama", shape=SHAPE)


def test_the_first_resolution_stays_in_force(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert resolution(store, named("main")) is None
    first = keep(store, named("main"), "a" * 40)
    assert (first.pin, first.place) == ("a" * 40, "lab/mini@main")
    assert keep(store, named("main"), "b" * 40) == first == resolution(store, named("main"))


def test_every_revision_of_every_model_has_a_record_of_its_own(tmp_path: Path) -> None:
    store = Store(tmp_path)
    places = [named("a/b"), named("a-b"), named("a"), named("a", "lab/other"), named("a", "other/mini")]
    places.append(HubBase(folder="lab/mini", family="llama", shape=SHAPE))
    for i, base in enumerate(places):
        keep(store, base, f"{i:040x}")
    assert [found.pin for base in places if (found := resolution(store, base))] == [f"{i:040x}" for i in range(6)]
    assert len(list(store.revisions.rglob("*.json"))) == 6
