import time
from pathlib import Path

import pytest

from harness.record.atomic import IntegrityError
from harness.record.exclusion import exclude, excluded
from harness.record.job import JobDirectory
from harness.record.layout import Store
from harness.spec import DeclarationError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    for name in ("run-a", "run-b"):
        JobDirectory(store.runs / name).create({"id": name, "identity": {}})
    return store


def test_an_exclusion_says_why_and_when(store: Store) -> None:
    before = time.time()
    assert excluded(store) == {}
    said = exclude(store, "run-b", "  the disk of its host was dying ")
    assert (said.run_id, said.reason) == ("run-b", "the disk of its host was dying")
    assert before <= said.excluded_at <= time.time()
    assert excluded(store) == {"run-b": "the disk of its host was dying"}
    assert [path.name for path in store.exclusions.iterdir()] == ["run-b.json"]


def test_the_first_reason_stays(store: Store) -> None:
    first = exclude(store, "run-a", "trained on the wrong machine")
    assert exclude(store, "run-a", "its accuracy does not fit") == first
    exclude(store, "run-b", "trained there as well")
    assert excluded(store) == {"run-a": "trained on the wrong machine", "run-b": "trained there as well"}


def test_a_reason_has_ten_characters(store: Store) -> None:
    with pytest.raises(DeclarationError, match=r"run-a reason: 'too short' has fewer than 10 characters\. Say what"):
        exclude(store, "run-a", " too short   ")
    assert excluded(store) == {}
    exclude(store, "run-a", "ten digits")
    assert list(excluded(store)) == ["run-a"]


@pytest.mark.parametrize("name", ["run-c", "", "..", "../runs/run-a", "run-a/"])
def test_only_a_run_of_the_store_can_be_excluded(store: Store, name: str) -> None:
    with pytest.raises(DeclarationError, match="is no run in"):
        exclude(store, name, "a reason of some length")
    assert not store.exclusions.exists()


def test_a_damaged_exclusion_is_told_as_such(store: Store) -> None:
    exclude(store, "run-a", "trained on the wrong machine")
    (store.exclusions / "run-a.json").write_text("{")
    with pytest.raises(IntegrityError, match=r"run-a\.json: damaged"):
        excluded(store)
