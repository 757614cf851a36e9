"""`harness register`, and what `plan`, `test` and `run` do about registrations."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from harness.record.registration import history

if TYPE_CHECKING:
    from tests.conftest import Act, Made, Scripted

Call = Callable[..., Any]
Acting = Callable[["Act"], "Scripted"]
AMEND = ("--amend", "--reason", "the probability\n was a slip")


def change(made: "Made") -> None:
    made.declare("hypotheses/live.yaml", made.claim_text.replace("probability: 0.5", "probability: 0.49"))


def test_it_registers_what_is_named_and_repeating_it_changes_nothing(harness: Call, made: "Made") -> None:
    said = harness("register", "live", "--json")
    (one,) = said.json["registrations"]
    (found,) = history(made.store, "live", "bench")
    assert said.code == 0
    assert one == {
        "hypothesis": "live",
        "protocol": "bench",
        "hash": found.hash,
        "number": 1,
        "block": "confirm",
        "registered_at": one["registered_at"],
        "reason": None,
        "changed": False,
    }
    assert one["registered_at"].endswith("+00:00")
    assert harness("register", "live", "--json").json == said.json
    line = f"live  {found.hash[:12]}  registration 1  seeds confirm  {one['registered_at']}\n"
    assert harness("register", "live").out == line
    assert [path.name for path in (made.store.registrations / "bench").iterdir()] == ["live"]


def test_without_a_name_it_registers_all_valid_ones_and_names_the_others(harness: Call, made: "Made") -> None:
    made.declare("hypotheses/bad.yaml", "title: x\n")
    said = harness("register")
    assert said.code == 0
    assert "live" in [line.split()[0] for line in said.out.splitlines()]
    assert said.err.splitlines() == [
        f"{name}: mistaken under protocol bench, not registered (harness validate)"
        for name in ("bad", "failure-to-launch")  # a shipped one, from a checkpoint that is not there
    ]
    assert not (made.store.registrations / "bench" / "bad").exists()
    assert harness("register", "live", "bad").code == 2


def test_a_changed_declaration_is_told_with_the_remedy_and_exits_3(harness: Call, made: "Made") -> None:
    harness("register", "live")
    (first,) = (made.store.registrations / "bench" / "live").iterdir()
    frozen = first.read_bytes()
    change(made)
    said = harness("register")
    assert said.code == 3
    assert "`harness register live --amend --reason TEXT`" in said.out
    assert harness("register", "live", "--json").json["registrations"][0]["changed"] is True
    assert first.read_bytes() == frozen
    amended = harness("register", "live", *AMEND, "--json")
    assert amended.code == 0
    assert amended.json["registrations"][0]["number"] == 2
    assert amended.json["registrations"][0]["reason"] == "the probability was a slip"
    assert first.read_bytes() == frozen
    assert harness("register", "live").code == 0
    assert harness("register", "live").out.endswith("  amended: the probability was a slip\n")


def test_an_amendment_that_amends_nothing_is_refused(harness: Call, made: "Made") -> None:
    harness("register", "live")
    said = harness("register", "live", *AMEND)
    assert said.code == 2
    assert said.out == ""
    assert "live: as registered" in said.err
    assert len(history(made.store, "live", "bench")) == 1


def test_a_damaged_registration_exits_3_and_is_named(harness: Call, made: "Made") -> None:
    harness("register", "live")
    path = made.store.registrations / "bench" / "live" / "0001.json"
    path.write_text("{")
    for command in (["register"], ["plan", "live"], ["test", "live"]):
        said = harness(*command)
        assert said.code == 3
        assert f"{path}: is damaged" in said.err
        assert "Traceback" not in said.err


def test_plan_registers_nothing_and_shows_the_seeds_to_come(harness: Call, made: "Made") -> None:
    made.results(lambda run: 0.5 if run.index == 0 else None)
    said = harness("plan", "live", "--json").json
    assert not made.store.registrations.exists()
    assert {run["state"] for run in said["runs"]} == {"new"}
    (block,) = {run["block"] for run in said["runs"]}
    assert f"  12 runs with fresh seeds ({block}): older ones had begun" in harness("plan", "live").out
    assert harness("register", "live", "--json").json["registrations"][0]["block"] == block
    assert harness("plan", "live", "--json").json == said


def test_a_late_claim_is_confirmed_on_fresh_runs_only(harness: Call, made: "Made", acting: Acting) -> None:
    made.results(lambda _: 0.01)
    acting(lambda path, _: made.finish(path, 0.5))
    said = harness("test", "live", "--json")
    assert said.json["executed"] == 12
    (verdict,) = said.json["verdicts"]
    assert (verdict["outcome"], verdict["registered"]["confirmatory"]) == ("supported", True)


def test_an_exploration_runs_on_other_seeds_and_registers_nothing(harness: Call, made: "Made", acting: Acting) -> None:
    acting(lambda path, _: made.finish(path, 0.4 if path.parent.name == "bases" else 0.5))
    assert harness("run", "live", "--explore", "--json").json["executed"] == 12
    said = harness("test", "live", "--explore", "--gate", "--json")
    assert said.json["executed"] == 0
    assert said.json["verdicts"][0]["registered"]["confirmatory"] is False
    assert said.code == 11  # supported, but nothing is confirmed
    assert not made.store.registrations.exists()
    assert harness("test", "live", "--no-run", "--json").json["verdicts"][0]["used_runs"] == 0
    confirmed = harness("test", "live", "--gate", "--json")
    assert (confirmed.code, confirmed.json["executed"]) == (0, 12)
    assert history(made.store, "live", "bench")[0].block == "confirm"


def test_an_amended_claim_is_tested_on_fresh_runs(harness: Call, made: "Made", acting: Acting) -> None:
    acting(lambda path, _: made.finish(path, 0.4 if path.parent.name == "bases" else 0.5))
    assert harness("test", "live", "--json").json["executed"] == 12
    change(made)
    unamended = harness("test", "live", "--json").json
    assert unamended["executed"] == 0
    assert unamended["verdicts"][0]["registered"]["confirmatory"] is False
    assert harness("register", "live", *AMEND).code == 0
    amended = harness("test", "live", "--json").json
    assert amended["executed"] == 12
    assert amended["verdicts"][0]["registered"]["confirmatory"] is True
