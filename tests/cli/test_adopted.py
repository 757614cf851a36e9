"""Results from elsewhere, and declarations that changed, through the command line."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from harness.record.verdict_files import latest

if TYPE_CHECKING:
    from tests.conftest import Made

Call = Callable[..., Any]

ROWS = [f"{rank},{seed},{0.5 + seed / 1000},500,0.4" for rank in (8, 16) for seed in range(6)]
TABLE = "\n".join(["rank,seed,accuracy,n_items,base_accuracy", *ROWS]) + "\n"


def test_a_table_goes_from_import_to_a_gated_verdict_and_into_a_bundle(harness: Call, made: "Made") -> None:
    (made.root / "theirs.csv").write_text(TABLE)
    assert harness("register", "live").code == 0
    said = harness("runs", "import", "theirs.csv", "--hypothesis", "live")
    assert said.code == 0
    assert "adopted as theirs: 12 rows, 12 runs" in said.out
    assert "registered before: its verdict may be confirmatory" in said.out
    assert "next: harness test live --models theirs" in said.out
    verdict = harness("test", "live", "--models", "theirs", "--gate")
    assert verdict.code == 0
    assert verdict.out.startswith("live  PASS  supported")
    assert "before the table was adopted" in verdict.out and "theirs.csv, 12 rows" in verdict.out
    packed = harness("runs", "bundle", "live", "--models", "theirs", "-o", "out.tar.gz")
    assert packed.code == 0 and (made.root / "out.tar.gz").is_file()
    assert "harness test live --models theirs --no-run" in packed.out


def test_what_cannot_be_adopted_is_a_line_and_exit_2(harness: Call, made: "Made") -> None:
    (made.root / "theirs.csv").write_text("rank,accuracy\n8,1.5\n")
    said = harness("runs", "import", "theirs.csv", "--hypothesis", "live")
    assert said.code == 2
    assert "theirs.csv row 1: its accuracy is not between 0 and 1" in said.err and "Traceback" not in said.err
    assert harness("runs", "import", "nowhere.csv", "--hypothesis", "live").code == 2
    assert harness("test", "live", "--models", "nowhere").code == 2


def test_one_digit_of_a_margin_costs_label_line_and_success(harness: Call, made: "Made") -> None:
    made.results(lambda run: 0.5 + run.index / 1000)
    for claim in made.store.runs.glob("*"):
        claim.rename(made.root / claim.name)  # registered before its runs, as `test` does it
    harness("register")
    for folder in made.root.glob("llama64-*"):
        folder.rename(made.store.runs / folder.name)
    assert harness("test", "live", "--no-run", "--gate").code in (0, 11)
    made.declare("hypotheses/live.yaml", made.claim_text.replace("probability: 0.5", "probability: 0.4"))
    said = harness("test", "live", "--no-run", "--gate")
    assert said.code == 3
    assert "exploratory" in said.out.splitlines()[0] and "PASS" not in said.out
    assert "declaration changed since registration" in said.out
    assert "harness register live --amend --reason TEXT" in said.err


def test_a_custom_estimand_that_misbehaves_is_told_without_a_traceback(harness: Call, made: "Made") -> None:
    (made.root / "own.py").write_text("def two(arms, alpha):\n    return 1.0, 2.0\n")
    text = made.claim_text.split("predictions:")[0] + (
        "predictions:\n  - {id: own, kind: custom, role: primary, statement: It is larger than one.,\n"
        "     rationale: A number of our own choice., estimand: 'own:two', direction: above, value: 1.0,\n"
        "     among: {rank: [8]}}\n"
    )
    made.declare("hypotheses/own.yaml", text)
    (made.root / "theirs.csv").write_text(TABLE)
    assert harness("runs", "import", "theirs.csv", "--hypothesis", "own").code == 2  # code needs leave
    assert harness("--allow-code", "runs", "import", "theirs.csv", "--hypothesis", "own").code == 0
    said = harness("--allow-code", "test", "own", "--models", "theirs")
    assert said.code == 2
    assert "own:two: returned (1.0, 2.0). Return (estimate, low, high)." in said.err and "Traceback" not in said.err
    assert latest(made.store) == []


def test_a_damaged_verdict_is_an_integrity_error(harness: Call, made: "Made") -> None:
    (made.root / "theirs.csv").write_text(TABLE)
    harness("runs", "import", "theirs.csv", "--hypothesis", "live")
    harness("test", "live", "--models", "theirs")
    (path,) = made.store.verdicts.glob("*/*.json")
    path.write_text("[]")
    said = harness("verdict")
    assert said.code == 3
    assert "not a verdict. Remove it; `harness test` decides again." in said.err
