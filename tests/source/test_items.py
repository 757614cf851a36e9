import pytest

from harness.source import Item, items_hash, splits
from harness.spec import Addition
from harness.spec.shelf import Shelf

TINY = {"name": "addition", "largest_operand": 99, "split_seed": 20260423}
HELD_OUT = {"evaluation_problems": 500, "validation_problems": 500}
TASK = Addition.model_validate({**TINY, **HELD_OUT, "training_prompts": 640})
OTHER_SEED = TASK.model_copy(update={"split_seed": 20260424})


def test_every_problem_occurs_once_over_the_disjoint_parts() -> None:
    parts = splits(TASK)
    shuffled = [*parts.evaluation, *parts.validation, *parts.pretraining]
    every = {f"{a}+{b}=" for a in range(100) for b in range(100)}
    assert len(shuffled) == len(every) == 10_000
    assert {item.prompt for item in shuffled} == every


def test_parts_have_the_declared_sizes_and_training_is_met_in_pretraining() -> None:
    parts = splits(TASK)
    assert [len(part) for part in (parts.evaluation, parts.validation, parts.training)] == [500, 500, 640]
    assert parts.training == parts.pretraining[:640]


def test_every_answer_is_the_sum() -> None:
    for item in splits(TASK).pretraining + splits(TASK).evaluation:
        a, b = item.prompt.removesuffix("=").split("+")
        assert item.answer == str(int(a) + int(b))


def test_more_training_prompts_leave_what_is_held_out_alone() -> None:
    parts, longer = splits(TASK), splits(TASK.model_copy(update={"training_prompts": 1280}))
    assert (longer.evaluation, longer.validation) == (parts.evaluation, parts.validation)
    assert longer.training[:640] == parts.training


def test_the_split_seed_and_nothing_else_shuffles() -> None:
    assert splits(TASK) == splits(Addition.model_validate_json(TASK.model_dump_json()))
    assert splits(OTHER_SEED).evaluation != splits(TASK).evaluation
    assert len({*splits(OTHER_SEED).evaluation} & {*splits(TASK).evaluation}) < 60  # 500 x 500 / 10,000 = 25 expected


def test_a_task_counts_by_its_content_however_it_was_copied() -> None:
    larger = TASK.model_copy(update={"largest_operand": 199})
    assert len(splits(larger).pretraining) == 40_000 - 1000


def test_the_default_protocol_is_scored_on_the_set_it_always_was() -> None:
    golden = "20b2eafa846db9bff896c131620a4b6c3e6aa6c5659effd042d6a622f3e7df70"  # as first published; never to change
    assert items_hash(splits(TASK).evaluation) == golden
    assert items_hash(splits(Shelf(None, {}).protocol("tiny").task).evaluation) == golden


@pytest.mark.parametrize(
    "other",
    [
        (Item("2+1=", "3"), Item("1+1=", "2")),
        (Item("1+1=", "2"),),
        (Item("1+1=", "2"), Item("2+1=", "4")),
    ],
)
def test_the_hash_tells_order_length_and_answers_apart(other: tuple[Item, ...]) -> None:
    assert items_hash((Item("1+1=", "2"), Item("2+1=", "3"))) != items_hash(other)
