"""An adopted run is in no verdict, whatever it is called and whatever accuracy it states."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.campaign.verdicts import verdict_on
from harness.record.adopted_runs import adopt_run
from harness.record.trl_facts import known
from harness.record.trl_folder import output
from harness.record.verdict import Verdict

if TYPE_CHECKING:
    from tests.conftest import Made


def decided(made: "Made") -> Verdict:
    bench = made.bench()
    return verdict_on(bench, "live", bench.hypotheses(["live"])["live"], bench.planned_bases(()))


@pytest.mark.slow
def test_a_run_that_is_missing_stays_missing_where_an_adopted_one_bears_its_id(
    made: "Made", trl_output: Path, tmp_path: Path
) -> None:
    bench = made.bench()
    left_out = bench.plan(bench.hypotheses(["live"]), ["llama"]).runs[-1]
    made.results(lambda run: None if run.id == left_out.id else 0.5)
    before = decided(made)
    assert [run.run_id for run in before.missing] == [left_out.id]
    folder = shutil.copytree(trl_output / "sft", tmp_path / "sft")
    (folder / "eval_results.json").write_text(json.dumps({"eval_accuracy": 0.01}))  # collapsed, were it believed
    found = output(folder)
    adopt_run(made.store, left_out.id, ("sft", None), found, known(found), [])
    assert decided(made) == before
    shutil.rmtree(made.store.verdicts)
    again = decided(made)
    assert again.model_copy(update={"software": before.software}) == before
    assert left_out.id not in {run.run_id for run in again.runs}
