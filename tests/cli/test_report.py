"""`harness report` and its check: a difference anywhere is found and named by its cell."""

import json
import math
import re
import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.campaign.verdicts import verdict_on
from harness.plan import PlannedRun
from harness.record.verdict_files import latest, save

if TYPE_CHECKING:
    from tests.cli.conftest import Said
    from tests.conftest import Act, Made, Scripted

Call = Callable[..., "Said"]
Acting = Callable[["Act"], "Scripted"]


def scores(run: PlannedRun) -> float:
    return 0.5 + run.index / 1000


@pytest.fixture
def written(harness: Call, made: "Made") -> Path:
    """Return the folder of a report on a decided claim."""
    bench = made.bench()
    bench.register_shelf()
    made.results(scores, "live")
    verdict_on(bench, "live", bench.hypotheses(["live"])["live"], bench.planned_bases(()))
    assert harness("report", "-q").code == 0
    return made.store.report


def altered(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) >= 1, (file, old)
    file.write_text(text.replace(old, new, 1))


def test_a_report_says_where_it_is(harness: Call, written: Path, made: "Made") -> None:
    said = harness("report", "-o", "there", "--json").json
    assert said["folder"] == str(Path("there").absolute()) or Path(said["folder"]).resolve() == made.root / "there"
    assert said["verdicts"] == 1
    for file in said["files"]:
        assert (made.root / "there" / file).is_file()
    assert {"appendix.tex", "report.md", "report.html", "cells.json"} <= set(said["files"])
    assert harness("report").out.startswith(f"1 verdict, {len(list((written / 'tables').glob('*.tex')))} tables in ")


def test_an_untouched_report_passes_its_check(harness: Call, written: Path) -> None:
    said = harness("report", "--check")
    assert (said.code, said.out) == (0, f"every number in {written} is what the run directories give\n")


ALTERED = {
    "tables/live-bench-llama-cells.tex": ("& 6 & 6 & .50", "& 6 & 6 & .51", "row name grpo-lora-r8, Accuracy [95 %]: "),
    "tables/live-bench-llama-cells.csv": (",6,6,0.5", ",6,7,0.5", "row name grpo-lora-r8, planned: the file says 7, "),
    "tables/verdicts.tex": (
        "12 of 12",
        "12 of 13",
        "Runs: the file says 12 of 13, the run directories give 12 of 12",
    ),
    "report.md": ("| 0/6 ", "| 1/6 ", "Collapsed [95 %]: the file says 1/6"),
    "appendix.tex": ("collapsed below 0.100", "collapsed below 0.200", "the file says "),
    "cells.json": ('"0/6 [', '"1/6 [', "the file says "),
}
"""By file, what stands there, what is put in its place, and what the check says of it."""


def test_every_altered_digit_is_found_and_its_cell_named(harness: Call, written: Path) -> None:
    for file, (old, new, _) in ALTERED.items():
        altered(written / file, old, new)
    said = harness("report", "--check")
    assert said.code == 3
    lines = said.out.splitlines()
    for file, (_, _, told) in ALTERED.items():
        (line,) = (line for line in lines if line.startswith(file))
        assert told in line
    assert len(lines) == len(ALTERED)


def test_an_altered_evaluation_row_is_found_and_every_cell_named(harness: Call, written: Path, made: "Made") -> None:
    (first,) = sorted(made.store.runs.glob("*-r8-*"))[:1]
    shard = first / "result" / "evaluation.parquet"
    parquet: Any = import_module("pyarrow.parquet")
    table = parquet.read_table(shard)
    rows: dict[str, list[Any]] = table.to_pydict()
    at = rows["split"].index("evaluation")
    rows["correct"][at] += 10
    parquet.write_table(table.from_pydict(rows, schema=table.schema), shard)
    said = harness("report", "--check")
    assert said.code == 3
    assert f"{shard}: changed since it was committed" in said.out
    cell = (
        r"tables/live-bench-llama-cells.csv:2 Cells, row name grpo-lora-r8, mean: the file says 0\.50\d+, .* give 0\.50"
    )
    assert re.search(cell, said.out)
    assert harness("report", "--check", "--json").json["differences"]
    assert len(latest(made.store)) == 1  # the store itself was left alone


def test_an_altered_verdict_file_is_found(harness: Call, written: Path, made: "Made") -> None:
    (verdict,) = latest(made.store)
    (prediction,) = verdict.predictions
    (first, *rest) = prediction.estimates
    moved = prediction.model_copy(update={"estimates": (first.model_copy(update={"high": 0.123}), *rest)})
    save(made.store, verdict.model_copy(update={"predictions": (moved,)}))
    assert harness("report").code == 0
    said = harness("report", "--check")
    assert said.code == 3
    assert "row id live, position 1, Estimate [limits]: the file says .00 [.00, .12]" in said.out


def test_a_verdict_that_cannot_be_decided_again_is_told(harness: Call, written: Path, made: "Made") -> None:
    made.declare("hypotheses/live.yaml", made.claim_text.replace("probability: 0.5", "probability: 0.6"))
    said = harness("report", "--check")
    assert said.code == 3
    assert "live on llama (protocol bench): declaration, measures, results or deciding code are not those" in said.out


def test_a_missing_file_a_missing_report_and_a_missing_result(harness: Call, written: Path, made: "Made") -> None:
    (written / "report.md").unlink()
    assert "report.md: is missing. `harness report` writes it." in harness("report", "--check").out
    shard = next(made.store.runs.glob("*/result/evaluation.parquet"))
    shard.unlink()
    said = harness("report", "--check")
    assert said.code == 3
    assert f"{shard}: gone since it was committed" in said.out
    shutil.rmtree(written)
    said = harness("report", "--check")
    assert (said.code, "no report here. `harness report` writes one." in said.err) == (2, True)


def test_what_was_asked_is_what_is_checked(harness: Call, written: Path) -> None:
    assert harness("report", "live", "--format", "csv,tex", "-o", "part").code == 0
    assert harness("report", "--check", "-o", "part").code == 0
    assert harness("report", "--check", "live").code == 2
    assert "'pdf' is none of tex, md, html, csv" in harness("report", "--format", "tex,pdf").err


def test_what_is_left_of_a_former_report_goes_and_what_is_strange_is_told(harness: Call, written: Path) -> None:
    assert harness("report", "live", "--format", "csv").code == 0
    assert not list(written.glob("tables/*.tex")) and not (written / "report.html").exists()
    (written / "tables" / "own.tex").write_text("42")
    said = harness("report", "--check")
    assert (said.code, said.out) == (
        3,
        "tables/own.tex: is not part of the report. Remove it, or write the report anew.\n",
    )


def irregular(run: PlannedRun, of: int = 0) -> float:
    """Return a number between .4 and .6 whose sums depend, in the last digit, on the order of their parts."""
    return 0.5 + math.sin(7.3 * run.index + (run.cell.rank or 0) + of) / 10


def spectrum(run: PlannedRun) -> list[dict[str, object]]:
    """Return spectra of two matrices after the last of twenty updates."""
    names = ("frobenius", "stable_rank", "effective_rank", "participation_ratio")
    return [
        {
            **{
                "step": 20,
                "target": "update",
                "module": f"m{i}",
                "source": "factors",
                "top_energy": [irregular(run, i)],
            },
            **{name: irregular(run, i + k) for k, name in enumerate(names)},
        }
        for i in range(2)
    ]


def test_runs_that_came_in_two_batches_give_the_same_report(harness: Call, made: "Made") -> None:
    bench = made.bench()
    bench.register_shelf()
    planned = bench.plan(bench.hypotheses(["live"]), ["llama"])
    made.base(planned.bases[0])
    for run in planned.runs:
        made.run(run, round(irregular(run), 3), {"spectrum": spectrum(run)})
    held = made.root / "held"
    held.mkdir()
    for folder in sorted(made.store.runs.iterdir())[::2]:
        folder.rename(held / folder.name)
    assert harness("db", "rebuild").code == 0
    for folder in held.iterdir():
        folder.rename(made.store.runs / folder.name)
    verdict_on(bench, "live", bench.hypotheses(["live"])["live"], bench.planned_bases(()))
    assert harness("report").code == 0
    assert "spectra" in (made.store.report / "cells.json").read_text()
    assert harness("report", "--check").out.startswith("every number in ")


def test_a_measure_that_nothing_rests_on_leaves_the_report_right(harness: Call, written: Path, made: "Made") -> None:
    made.declare("analysis/own.sql", "-- one row per run; one, 0 to 1\nSELECT run_id, 1.0 AS value FROM run")
    assert harness("report", "--check").out.startswith("every number in ")


def test_pictures_of_another_release_are_not_compared(harness: Call, written: Path) -> None:
    said = json.loads((written / "cells.json").read_text())
    (written / "cells.json").write_text(json.dumps({**said, "drawn_with": "matplotlib 1.0"}, indent=1) + "\n")
    for picture in written.glob("figures/*.svg"):
        picture.write_text("another")
    told = harness("report", "--check")
    assert "drawn by matplotlib 1.0 and are not compared" in told.err
    assert [line for line in told.out.splitlines() if not line.startswith("cells.json")] == []
    (written / "cells.json").write_text("[]")
    assert (harness("report", "--check").code, harness("report").code) == (3, 3)


def test_a_report_goes_into_no_folder_of_other_files_and_into_no_file(harness: Call, made: "Made") -> None:
    for folder, rule in (
        ("hypotheses", "holds other files and no report. Name a folder that is empty or not there yet."),
        (".", "holds other files and no report."),
        ("pyproject.toml/x", "pyproject.toml is no folder. Name another."),
    ):
        said = harness("report", "-o", folder)
        assert (said.code, rule in said.err) == (2, True), said.err
    assert not (made.root / "appendix.tex").exists()
    assert "'benhc' is not declared in runs/. Did you mean bench?" in harness("report", "--protocol", "benhc").err


def test_a_verdict_cut_short_is_the_one_file_that_is_named(harness: Call, written: Path, made: "Made") -> None:
    (path,) = made.store.verdicts.glob("*/*.json")
    path.write_bytes(path.read_bytes()[:200])
    said = harness("report")
    assert (said.code, said.err) == (3, f"{path}: not a verdict. Remove it; `harness test` decides again.\n")


def test_names_are_checked(harness: Call, written: Path) -> None:
    assert "'lvie' is not declared in hypotheses/. Did you mean live?" in harness("report", "lvie").err
    said = harness("report", "step-size", "-o", "other")
    assert said.out.startswith("no verdicts, ")
    assert "without a verdict: step-size. `harness test step-size` makes one." in said.err


def test_tables_of_others_and_explorations_are_reported_and_decided_again(
    harness: Call, made: "Made", acting: Acting
) -> None:
    rows = [f"{rank},{seed},{0.5 + seed / 1000},500,0.4" for rank in (8, 16) for seed in range(6)]
    (made.root / "theirs.csv").write_text("\n".join(["rank,seed,accuracy,n_items,base_accuracy", *rows]) + "\n")
    assert harness("runs", "import", "theirs.csv", "--hypothesis", "live").code == 0
    assert harness("test", "live", "--models", "theirs").code == 0
    acting(lambda path, _: made.finish(path, 0.4 if path.parent.name == "bases" else 0.5))
    assert harness("test", "live", "--explore").code == 0
    said = harness("report", "--json").json
    assert said["verdicts"] == 2
    assert {"tables/live-bench-theirs-cells.tex", "tables/live-bench-llama-explored-cells.tex"} <= set(said["files"])
    assert "an exploration" in (made.store.report / "tables" / "integrity.tex").read_text()
    assert harness("report", "--check").code == 0
