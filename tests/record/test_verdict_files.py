import os
from pathlib import Path

from harness.record.layout import Store
from harness.record.verdict import Outcome, Verdict
from harness.record.verdict_files import latest, load, renew, save, text


def kept(store: Store, verdict: Verdict, age: float) -> Verdict:
    """Save a verdict as one of `age` seconds ago."""
    before = set(store.verdicts.glob("*/*"))
    save(store, verdict)
    (path,) = set(store.verdicts.glob("*/*")) - before
    then = path.stat().st_mtime - age
    os.utime(path, (then, then))
    return verdict


def test_a_verdict_comes_back_as_it_went_in(tmp_path: Path, verdict: Verdict) -> None:
    store = Store(tmp_path)
    save(store, verdict)
    again = load(store, "bench", "claim", "llama", verdict.inputs)
    assert again == verdict
    assert again is not None
    assert again.base_accuracy == 0.1 + 0.2  # to the last bit
    assert text(again) == text(verdict)


def test_equal_verdicts_give_equal_text_and_another_number_another(verdict: Verdict) -> None:
    assert text(verdict) == text(Verdict.model_validate_json(text(verdict)))
    assert text(verdict) != text(verdict.model_copy(update={"base_accuracy": 0.3}))
    assert text(verdict).endswith("}\n")


def test_other_inputs_have_no_verdict(tmp_path: Path, verdict: Verdict) -> None:
    store = Store(tmp_path)
    save(store, verdict)
    assert load(store, "bench", "claim", "llama", "b" * 64) is None
    assert load(store, "bench", "claim", "qwen", verdict.inputs) is None
    assert load(store, "tiny", "claim", "llama", verdict.inputs) is None


def test_a_new_verdict_leaves_the_old_one_alone(tmp_path: Path, verdict: Verdict) -> None:
    store = Store(tmp_path)
    save(store, verdict)
    save(store, verdict.model_copy(update={"inputs": "b" * 64, "outcome": Outcome.REFUTED}))
    assert load(store, "bench", "claim", "llama", verdict.inputs) == verdict
    assert len(list(store.verdicts.glob("*/*"))) == 2


def test_latest_is_the_newest_of_each_claim_protocol_and_base(tmp_path: Path, verdict: Verdict) -> None:
    store = Store(tmp_path)
    kept(store, verdict.model_copy(update={"inputs": "0" * 64}), age=20)
    newest = kept(store, verdict.model_copy(update={"inputs": "1" * 64}), age=10)
    kept(store, verdict.model_copy(update={"inputs": "2" * 64}), age=30)
    qwen = kept(store, verdict.model_copy(update={"base": "qwen"}), age=40)
    tiny = kept(store, verdict.model_copy(update={"protocol": "tiny"}), age=50)
    other = kept(store, verdict.model_copy(update={"hypothesis": "another"}), age=60)
    assert latest(store) == [other, newest, qwen, tiny]
    assert latest(store, "claim") == [newest, qwen, tiny]
    assert latest(store, "nowhere") == []


def test_an_older_verdict_can_be_the_newest_again(tmp_path: Path, verdict: Verdict) -> None:
    store = Store(tmp_path)
    old = kept(store, verdict, age=20)
    new = kept(store, verdict.model_copy(update={"inputs": "b" * 64}), age=10)
    assert latest(store) == [new]
    renew(store, old)
    assert latest(store) == [old]
    assert load(store, "bench", "claim", "llama", old.inputs) == old


def test_what_is_the_newest_already_is_not_touched(tmp_path: Path, verdict: Verdict) -> None:
    store = Store(tmp_path)
    kept(store, verdict, age=10)
    (path,) = store.verdicts.glob("*/*")
    before = path.stat().st_mtime_ns
    renew(store, verdict)
    assert path.stat().st_mtime_ns == before


def test_explorations_are_kept_apart(tmp_path: Path, verdict: Verdict) -> None:
    store = Store(tmp_path)
    explored = verdict.registered.model_copy(update={"explored": True, "confirmatory": False})
    save(store, verdict)
    save(store, verdict.model_copy(update={"registered": explored, "inputs": "b" * 64}))
    assert [found.registered.explored for found in latest(store)] == [False, True]


def test_a_file_of_another_version_is_passed_over(tmp_path: Path, verdict: Verdict) -> None:
    store = Store(tmp_path)
    save(store, verdict.model_copy(update={"schema_version": 1}))
    assert latest(store) == []
    assert load(store, verdict.protocol, verdict.hypothesis, verdict.base, verdict.inputs) is None


def test_an_empty_store_has_none(tmp_path: Path) -> None:
    assert latest(Store(tmp_path / "absent")) == []


def test_passed_is_open_unless_decided(verdict: Verdict) -> None:
    passed = {outcome: verdict.model_copy(update={"outcome": outcome}).passed for outcome in Outcome}
    decided = {Outcome.SUPPORTED: True, Outcome.REFUTED: False}
    assert passed == {outcome: decided.get(outcome) for outcome in Outcome}
