"""Which runs are needed, and what makes two of them the same run."""

import hashlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.campaign.pilot import pilot_protocol
from harness.plan import RunSet, plan, registration_hash
from harness.plan.runset import planned_base, planned_run
from harness.source.seeds import late_block
from harness.spec import Arm, Hypothesis, Protocol, load_hypothesis, load_protocol
from harness.spec.canonical import digest

if TYPE_CHECKING:
    from tests.conftest import Made

IDS = """
import sys
from pathlib import Path
from harness.plan import plan
from harness.spec import load_hypothesis, load_protocol
folder = Path(sys.argv[1])
claim = load_hypothesis(folder / "hypotheses" / "live.yaml", "live")
runs = plan({"live": claim}, load_protocol(folder / "runs" / "bench.yaml", "bench"), ["llama", "qwen"])
print(" ".join([*(base.id for base in runs.bases), *(run.id for run in runs.runs)]))
"""

# A change of one of these is meant to change the result of a run.
TRAINS_OTHERWISE = [
    ("largest_operand: 99", "largest_operand: 98"),
    ("split_seed: 5", "split_seed: 6"),
    ("evaluation_problems: 500", "evaluation_problems: 501"),
    ("validation_problems: 500", "validation_problems: 501"),
    ("training_prompts: 160", "training_prompts: 168"),
    ("architecture: llama", "architecture: olmo2"),
    (
        "heads: 4, intermediate_size: 128,\n          pretraining",
        "heads: 2, intermediate_size: 128,\n          pretraining",
    ),
    ("steps: 100, batch_size", "steps: 101, batch_size"),
    ("learning_rate: 1.0e-3, seed: 1", "learning_rate: 1.0e-3, seed: 2"),
    ("factor: 2.0", "factor: 4.0"),
    ("lora_dropout: 0.0", "lora_dropout: 0.1"),
    ("max_completion_length: 5", "max_completion_length: 6"),
    ("max_completion_length: 5", "max_completion_length: 5, beta: 0.04"),
    ("samples_per_problem: 4", "samples_per_problem: 5"),
    ("temperature: 1.0", "temperature: 0.9"),
]
# These say how results are read, or what is run beside them.
READS_OTHERWISE = [
    ("title: A protocol of the tests", "title: A renamed protocol"),
    ("collapsed_share: 0.25", "collapsed_share: 0.3"),
    ("trained_share: 0.5", "trained_share: 0.6"),
    ("source: chosen for these tests", "source: chosen another time"),
    ("enough_gain: 0.1", "enough_gain: 0.2"),
    ("base_seed: 1001", "base_seed: 1002"),
    ("default_bases: [llama]", "default_bases: [llama, qwen]"),
]


def protocol(made: "Made", old: str = "", new: str = "") -> Protocol:
    assert not old or made.protocol_text.count(old) == 1
    text = made.protocol_text.replace(old, new) if old else made.protocol_text
    return load_protocol(made.declare("runs/bench.yaml", text), "bench.yaml")


def claim(made: "Made", old: str = "", new: str = "") -> Hypothesis:
    assert not old or made.claim_text.count(old) == 1
    text = made.claim_text.replace(old, new) if old else made.claim_text
    return load_hypothesis(made.declare("hypotheses/live.yaml", text), "live.yaml")


GOLDEN_RUNS = 1420
GOLDEN = "ee10ebb6c769b71281b03f8e91c29c0a16e8628242e14a898e92be6809c5fb00"


def many(i: int) -> Hypothesis:
    """Return a claim on 64 cells of every factor, some of which its neighbours name as well, and on two more."""
    common = {
        "role": "primary",
        "statement": "A statement on many cells.",
        "rationale": "A reason that is long enough.",
    }
    among = {
        "algorithm": ["grpo", "sft"],
        "rank": [8, 16 + i],
        "scaling": [{"policy": "proportional", "factor": 2.0}, {"policy": "constant", "alpha": 16.0 + i}],
        "learning_rate_scale": [1.0, 0.25 * (i + 1)] if i < 2 else [1.0, 0.3],
        "batch": [64, 128],
        "warmup_steps": [0, i + 1],
    }
    wide = {"id": "wide", "kind": "collapse_probability", "event": "collapsed", "direction": "below", **common}
    arms = {"a": {"rank": 8}, "b": {"adapter": {"method": "full"}}, "margin": 0.05}
    narrow = {"id": "narrow", "kind": "min_effect", **common, **arms}
    predictions = [{**wide, "probability": 0.5, "among": among}, narrow]
    about = {"title": "Many cells", "claim": "Runs in many cells live on.", "source": "a claim of the tests"}
    return Hypothesis.model_validate({**about, "design": {"seeds": 5}, "predictions": predictions}, strict=False)


def ids(runs: RunSet) -> list[str]:
    return [run.id for run in runs.runs]


def test_claims_that_need_the_same_cell_share_its_runs(made: "Made") -> None:
    other = claim(made, "rank: [8, 16]", "rank: [16, 32]")
    runs = plan({"one": claim(made), "two": other}, protocol(made), ["llama"])
    assert Counter(run.cell.rank for run in runs.runs) == {8: 6, 16: 6, 32: 6}
    needed = {run.cell.rank: run.needed_by for run in runs.runs}
    assert needed == {8: ("one/live",), 16: ("one/live", "two/live"), 32: ("two/live",)}
    assert set(ids(plan({"one": claim(made)}, protocol(made), ["llama"]))) < set(ids(runs))


def test_claims_share_runs_in_a_block_and_none_between_blocks(made: "Made") -> None:
    three = {name: claim(made) for name in ("one", "two", "late")}
    late = late_block("ab" * 32, 1)
    runs = plan(three, protocol(made), ["llama"], blocks={"two": "confirm", "late": late}).runs
    assert len({run.id for run in runs}) == len(runs) == 24
    assert Counter((run.block, run.needed_by) for run in runs) == {
        ("confirm", ("one/live", "two/live")): 12,
        (late, ("late/live",)): 12,
    }
    assert [run.index for run in runs] == [i for i in range(6) for _ in range(4)]
    alone = plan({"one": three["one"]}, protocol(made), ["llama"]).runs
    assert [run.id for run in runs if run.block == "confirm"] == [run.id for run in alone]


def test_a_look_wants_the_first_seeds_of_each_prediction(made: "Made") -> None:
    other = claim(made, "rank: [8, 16]", "rank: [16, 32]")
    both = {"one": claim(made), "two": other}
    runs = plan(both, protocol(made), ["llama"], seeds={("one", "live"): 2, ("two", "live"): 3}).runs
    assert [(run.index, run.cell.rank) for run in runs] == [
        (0, 8), (0, 16), (0, 32), (1, 8), (1, 16), (1, 32), (2, 16), (2, 32)
    ]  # fmt: skip
    assert [run.needed_by for run in runs if run.cell.rank == 16 and run.index == 2] == [("two/live",)]
    first = plan(both, protocol(made), ["llama"], seeds={("one", "live"): 2})  # two/live: all six that it declares
    assert Counter(run.cell.rank for run in first.runs) == {8: 2, 16: 6, 32: 6}
    assert {run.id for run in runs} < {run.id for run in plan(both, protocol(made), ["llama"]).runs}


def test_a_scaling_that_is_the_protocols_own_is_the_same_cell(made: "Made") -> None:
    said = claim(made, "{rank: [8, 16]}", "{rank: [8], scaling: [{policy: proportional, factor: 2}]}")
    runs = plan({"one": claim(made), "two": said}, protocol(made), ["llama"])
    assert len(runs.runs) == 12


def test_more_seeds_add_runs_to_those_there_are(made: "Made") -> None:
    more = claim(made, "seeds: 6", "seeds: 8")
    few, many = (ids(plan({"live": h}, protocol(made), ["llama"])) for h in (claim(made), more))
    assert set(few) < set(many)
    assert len(many) == 16


def test_every_cell_has_as_many_runs_as_any_other_at_any_moment(made: "Made") -> None:
    runs = plan({"live": claim(made)}, protocol(made), ["llama", "qwen"]).runs
    for base in ("llama", "qwen"):
        own = [run for run in runs if run.base.name == base]
        for n in range(1, len(own) + 1):
            counts = Counter(run.cell.rank for run in own[:n])
            assert max(counts.values()) - min(counts[8], counts[16]) <= 1
    assert [run.base.name for run in runs] == ["llama"] * 12 + ["qwen"] * 12


def test_ids_are_unique_and_readable(made: "Made") -> None:
    runs = plan({"live": claim(made)}, protocol(made), ["llama", "qwen"])
    everything = [*(base.id for base in runs.bases), *ids(runs)]
    assert len(set(everything)) == len(everything) == 26
    assert runs.bases[0].id.startswith("llama64-")
    assert runs.runs[0].id.startswith("llama64-grpo-lora-r8-")
    assert {len(run.id.rsplit("-", 1)[1]) for run in runs.runs} == {12}


def test_ids_are_the_same_in_every_process(made: "Made") -> None:
    said = [
        subprocess.run(
            [sys.executable, "-c", IDS, str(made.root)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for seed in ("0", "1")
    ]
    runs = plan({"live": claim(made)}, protocol(made), ["llama", "qwen"])
    assert said[0] == said[1] == [*(base.id for base in runs.bases), *ids(runs)]


def test_an_id_is_what_it_always_was(made: "Made") -> None:
    runs = plan({"live": claim(made)}, protocol(made), ["llama"])
    golden = ["llama64-9db18647e490", "llama64-grpo-lora-r8-84902213e13f"]  # changes only with SCHEMA
    assert [runs.bases[0].id, runs.runs[0].id] == golden


def test_ids_of_many_cells_are_what_they_always_were(made: "Made") -> None:
    """Written down before identities of many runs were made together: ids, order and who asks for each."""
    claims = {f"h{i}": many(i) for i in range(3)}
    runs = plan(claims, protocol(made), ["llama", "qwen"], blocks={"h2": "explore"}, seeds={("h1", "wide"): 1})
    said = "\n".join(f"{run.id} {run.index} {run.block} {' '.join(run.needed_by)}" for run in runs.runs)
    assert len(runs.runs) == GOLDEN_RUNS
    assert hashlib.sha256(said.encode()).hexdigest() == GOLDEN


def test_every_id_is_the_hash_of_its_identity(made: "Made") -> None:
    for run in plan({f"h{i}": many(i) for i in range(3)}, protocol(made), ["llama"]).runs:
        assert run.id == f"{run.base.id.rsplit('-', 1)[0]}-{run.cell.slug()}-{digest(run.identity)[:12]}"
        assert run.identity["cell"] == run.cell.model_dump(mode="json")


@pytest.mark.parametrize(("old", "new"), TRAINS_OTHERWISE)
def test_what_changes_the_result_changes_every_id(made: "Made", old: str, new: str) -> None:
    before = plan({"live": claim(made)}, protocol(made), ["llama"])
    after = plan({"live": claim(made)}, protocol(made, old, new), ["llama"])
    assert not set(ids(before)) & set(ids(after))


@pytest.mark.parametrize(("old", "new"), READS_OTHERWISE)
def test_what_only_changes_how_results_are_read_changes_none(made: "Made", old: str, new: str) -> None:
    before = plan({"live": claim(made)}, protocol(made), ["llama"])
    after = plan({"live": claim(made)}, protocol(made, old, new), ["llama"])
    assert ids(before) == ids(after)
    assert before.bases == after.bases


def test_the_wording_of_a_claim_changes_no_id(made: "Made") -> None:
    before = ids(plan({"live": claim(made)}, protocol(made), ["llama"]))
    for old, new in (("title: Low", "title: Lower"), ("probability: 0.5", "probability: 0.49"), ("id: live", "id: l")):
        assert ids(plan({"renamed": claim(made, old, new)}, protocol(made), ["llama"])) == before


def test_a_cells_rate_scale_reaches_the_trainer_and_the_id(made: "Made") -> None:
    shared, base = protocol(made), planned_base("llama", protocol(made))
    plain = planned_run(base, Arm(rank=8).cell(shared.given), 0, shared)
    tripled = planned_run(base, Arm(rank=8, learning_rate_scale=3).cell(shared.given), 0, shared)
    assert plain.identity["trainer"]["learning_rate"] == 1e-3
    assert tripled.identity["trainer"]["learning_rate"] == pytest.approx(3e-3)
    assert tripled.identity["seed"] == plain.identity["seed"]
    assert tripled.id != plain.id
    assert shared.grpo["learning_rate"] == 1e-3  # the declaration itself is left alone


def test_an_sft_cell_takes_the_sft_fields(made: "Made") -> None:
    shared = protocol(made)
    cell = Arm(rank=8, algorithm="sft").cell(shared.given)
    assert planned_run(planned_base("llama", shared), cell, 0, shared).identity["trainer"] == shared.sft


def test_cells_share_seeds_and_indices_do_not(made: "Made") -> None:
    runs = plan({"live": claim(made)}, protocol(made), ["llama"]).runs
    seeds = {(run.cell.rank, run.index): run.identity["seed"] for run in runs}
    assert all(seeds[8, i] == seeds[16, i] for i in range(6))
    assert len(set(seeds.values())) == 6


def test_no_block_has_a_seed_of_another(made: "Made") -> None:
    shared = protocol(made)
    base, cell = planned_base("llama", shared), Arm(rank=8).cell(shared.given)
    late = [late_block(registration_hash(claim(made), shared), number) for number in (1, 2)]
    spaces = ("confirm", "pilot", "explore", *late)
    seeds = [planned_run(base, cell, i, shared, space=space).identity["seed"] for space in spaces for i in range(50)]
    assert len(set(seeds)) == 250
    assert planned_base("llama", pilot_protocol(shared)).id != base.id


def test_looks_in_the_middle_of_a_run_are_part_of_its_identity(made: "Made") -> None:
    shared = protocol(made)
    base, cell = planned_base("llama", shared), Arm(rank=8).cell(shared.given)
    looked = planned_run(base, cell, 0, shared, validate_at=(10, 20))
    assert looked.identity["validate_at"] == [10, 20]
    assert looked.id != planned_run(base, cell, 0, shared).id


def test_a_registration_freezes_every_digit(made: "Made") -> None:
    frozen = registration_hash(claim(made), protocol(made))
    for old, new in (("probability: 0.5", "probability: 0.49"), ("seeds: 6", "seeds: 7"), ("title: Low", "title: Lo")):
        assert registration_hash(claim(made, old, new), protocol(made)) != frozen
    for old, new in [*TRAINS_OTHERWISE, *READS_OTHERWISE]:
        assert registration_hash(claim(made), protocol(made, old, new)) != frozen


def test_a_registration_leaves_the_writing_free(made: "Made") -> None:
    frozen = registration_hash(claim(made), protocol(made))
    assert registration_hash(claim(made, "design:", "# a comment\ndesign:"), protocol(made)) == frozen
    lines = made.claim_text.strip().split("\n")
    swapped = "\n".join([lines[1], lines[0], *lines[2:]])
    assert registration_hash(claim(made, made.claim_text, swapped), protocol(made)) == frozen
    grpo = (
        "learning_rate: 1.0e-3, lr_scheduler_type: constant, num_train_epochs: 1, per_device_train_batch_size: 64,\n",
    )
    assert made.protocol_text.count(grpo[0]) == 1
    turned = (
        "per_device_train_batch_size: 64, num_train_epochs: 1.0, lr_scheduler_type: constant, learning_rate: 0.001,\n"
    )
    assert registration_hash(claim(made), protocol(made, grpo[0], turned)) == frozen


def test_nothing_is_planned_for_nobody(made: "Made", tmp_path: Path) -> None:
    runs = plan({}, protocol(made), ["llama"])
    assert (runs.bases, runs.runs) == ((), ())
    assert not (tmp_path / "project" / ".harness").exists()
