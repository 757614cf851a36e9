"""Real runs on questions in text: a tiny model with a chat template, through TRL, marked by math-verify."""

import hashlib
import json
import string
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, set_seed

from harness.plan import PlannedBase
from harness.plan.runset import planned_base, planned_run
from harness.record.atomic import write_json
from harness.record.job import JobDirectory
from harness.source import Item, evaluation_hash, splits
from harness.source.dataset import in_folder
from harness.source.found import folder_content
from harness.source.judgement import Judged, Judgement
from harness.source.rows import kept, read_rows, rows_file
from harness.spec import HubBase, read_task
from harness.spec.bases import Shape
from harness.spec.protocol import Evaluation
from harness.spec.task import DataSet, DatasetTask
from harness.train.evaluate import evaluate
from harness.train.exam import TextExam, ends_of
from harness.train.reward import ExactAnswer
from harness.train.spectra import base_rows
from harness.train.tokenizer import character_tokenizer

TEMPLATE = (
    "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{{ '<eos>' if m['role'] == 'assistant' else '' }}"
    "{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)
CHAT = {"system": "Answer briefly.", "template": "tokenizer"}


def tokenizer(template: str | None = TEMPLATE) -> Any:
    made = character_tokenizer("".join(c for c in string.printable if c.isprintable()) + "\n")
    made.chat_template = template
    return made


def task(root: Path, published: Any, **said: Any) -> DatasetTask:
    """Return a pinned task on GSM8K and MATH-500 in miniature, its rows kept under `root`."""
    published.gsm8k(root / "gsm8k", rows=520)
    published.math500(root / "math-500")
    rows = root / "data" / "rows"
    rows.mkdir(parents=True)
    pinned: dict[str, Any] = {}
    for name, one in (("training", ("gsm8k", "train")), ("evaluation", ("math-500", "test"))):
        there = DataSet.model_validate_json(json.dumps({"format": one[0], "split": one[1], "folder": one[0]}))
        content, sha256 = kept(read_rows(there, in_folder(there, root)))
        rows_file(rows, sha256).write_bytes(content)
        pinned[name] = {"format": one[0], "split": one[1], "sha256": sha256}
    declared = {
        **{"name": "dataset", "prompt": "{question} Box it.", "verifier": "math-verify", "verifier_version": "0.9.0"},
        **{"split_seed": 5, "evaluation_problems": 500, "validation_problems": 500, "training_prompts": 6},
    }
    read = read_task({**declared, **pinned, **said})
    assert isinstance(read, DatasetTask)
    return read.at(rows)


def spelt(text: str) -> list[int]:
    """Return the ids of a text; <eos> ends it."""
    said, end, _ = text.partition("<eos>")
    return tokenizer()(said, add_special_tokens=False)["input_ids"] + ([tokenizer().eos_token_id] if end else [])


@pytest.fixture(scope="module")
def exam(tmp_path_factory: pytest.TempPathFactory, published: Any) -> Any:
    made = tokenizer()
    found = TextExam(made, task(tmp_path_factory.mktemp("exam"), published, chat=CHAT), [made.eos_token_id])
    yield found
    found.close()


@pytest.mark.parametrize(
    ("completion", "judgement"),
    [
        ("So it is \\boxed{42}.<eos>", Judgement.RIGHT),
        ("So it is 42.<eos>and more", Judgement.RIGHT),  # what follows the end does not count
        ("So it is \\boxed{41}.<eos>", Judgement.WRONG),
        ("So it is \\boxed{42<eos>", Judgement.UNPARSABLE),
        ("Nobody knows.<eos>", Judgement.UNPARSABLE),
        ("<eos>", Judgement.UNPARSABLE),
        ("So it is \\boxed{42}.", Judgement.TRUNCATED),  # right, but it never ended
        ("", Judgement.TRUNCATED),
    ],
)
def test_an_answer_in_text_has_to_be_right_and_to_end(exam: TextExam, completion: str, judgement: Judgement) -> None:
    (found,) = exam.marked([spelt(completion)], ["42"], [0])
    assert found == Judged(judgement, float(judgement is Judgement.RIGHT))
    reward = ExactAnswer(tokenizer(), exam)
    assert reward(completion_ids=[spelt(completion)], answer=["42"], row=[0]) == [found.score]
    assert reward.counts == {judgement: 1}


def test_a_chat_is_written_by_the_tokenizer_with_the_system_message_first(exam: TextExam) -> None:
    item = Item("What is 6 x 7? Box it.", "42", "It is 42.", 3)
    written = "[system]Answer briefly.[user]What is 6 x 7? Box it.[assistant]"
    assert tokenizer().decode(exam.encoded([item])["input_ids"][0]).replace("<bos>", "") == written
    (row,) = exam.prompts([item])
    assert (row["answer"], row["row"]) == ("42", 3)
    assert [message["role"] for message in row["prompt"]] == ["system", "user"]
    assert exam.demonstrations([item])[0]["completion"] == [{"role": "assistant", "content": "It is 42."}]
    facts = exam.facts([item])
    assert facts["first_prompt"] == written
    assert facts["chat_template_sha256"] == hashlib.sha256(TEMPLATE.encode()).hexdigest()
    assert facts["verifier"] == {"name": "math-verify", "version": "0.9.0"}


def test_prompts_of_unequal_length_are_padded_on_the_left(exam: TextExam) -> None:
    batch = exam.encoded([Item("a", "1"), Item("a longer one", "1")])
    assert batch["attention_mask"][0][0] == 0
    assert bool((batch["attention_mask"][:, -1] == 1).all())


def test_a_chat_without_a_template_is_refused(tmp_path: Path, published: Any) -> None:
    with pytest.raises(ValueError, match=r"tokenizer has no chat template\. Declare no chat, or a base that"):
        TextExam(tokenizer(None), task(tmp_path, published, chat=CHAT), [2])


def test_the_ends_are_those_of_the_tokenizer_and_of_generation() -> None:
    model = LlamaForCausalLM(LlamaConfig(vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1))
    model.generation_config.eos_token_id = [5, 7]
    assert ends_of(model, tokenizer()) == [tokenizer().eos_token_id, 5, 7]


class Scripted:
    """A model that answers every prompt with the same text."""

    def __init__(self, said: str):
        self.training, self.device, self.said = True, torch.device("cpu"), said
        self.lengths: set[int] = set()
        self.rows: list[int] = []

    def eval(self) -> None:
        self.training = False

    def train(self, mode: bool) -> None:
        self.training = mode

    def generate(self, input_ids: torch.Tensor, max_new_tokens: int, **_: Any) -> torch.Tensor:
        self.lengths.add(max_new_tokens)
        self.rows.append(len(input_ids))
        return torch.cat([input_ids, torch.tensor([spelt(self.said)] * len(input_ids))], dim=1)


def test_an_evaluation_gives_as_many_tokens_as_declared_and_counts_what_became_of_answers(exam: TextExam) -> None:
    plan = Evaluation(samples_per_problem=2, temperature=1.0, max_tokens=77, batch=3)
    model: Any = Scripted("It is 0.25.<eos>")
    items = (Item("1/4?", "\\frac{1}{4}"), Item("1/5?", "\\frac{1}{5}"))
    exam.counts.clear()
    rows = evaluate(model, tokenizer(), items, plan, 0, step=1, split="evaluation", exam=exam)
    assert [(row["correct"], row["greedy_correct"]) for row in rows] == [(2, True), (0, False)]
    assert exam.counts == {Judgement.RIGHT: 3, Judgement.WRONG: 3}
    assert model.lengths == {77}
    assert model.rows == [3, 1, 2]  # sampled three at a time, then the most likely ones


@pytest.mark.slow
@pytest.mark.parametrize(("algorithm", "chat"), [("grpo", CHAT), ("sft", CHAT), ("grpo", None)])
def test_a_run_on_published_questions(algorithm: str, chat: Any, fresh: Any, published: Any) -> None:
    declared = task(fresh.root, published, **({"chat": chat} if chat else {}))
    protocol = fresh.protocol.model_copy(
        update={
            "task": declared,
            "evaluation": Evaluation(samples_per_problem=1, temperature=1.0, max_tokens=4),
        }
    )
    base = _base(fresh.root)
    run = planned_run(base, fresh.cell(algorithm=algorithm), 0, protocol)
    assert run.identity["evaluation_set"] == evaluation_hash(declared)
    job = fresh.job(run)
    assert fresh.execute(job) == 0, job.last_exit()
    said = json.loads((job.result / "result.json").read_text())
    assert said["updates"] == 3
    assert sum(said["answers"]["scored"].values()) == 1000  # 500 sampled and 500 most likely answers
    assert sum(said["answers"]["training"].values()) == (24 if algorithm == "grpo" else 0)
    assert said["left_out"] == {"repeated": 0, "overlap": 0}
    assert (said["chat_template_sha256"] is None) is (chat is None)
    asked = splits(declared).evaluation[0].prompt
    assert said["first_prompt"] == (f"[system]Answer briefly.[user]{asked}[assistant]" if chat else asked)
    rows = pq.read_table(job.result / "evaluation.parquet").to_pylist()
    assert len(rows) == 500
    assert said["accuracy"] == sum(row["correct"] for row in rows) / 500


def test_a_worker_with_another_set_or_verifier_refuses_the_run(fresh: Any, published: Any) -> None:
    declared = task(fresh.root, published, verifier_version="0.0.1")
    protocol = fresh.protocol.model_copy(
        update={"task": declared, "evaluation": Evaluation(samples_per_problem=1, temperature=1.0, max_tokens=4)}
    )
    job = fresh.job(planned_run(_base(fresh.root), fresh.cell(), 0, protocol))
    assert fresh.execute(job) != 0
    end = job.last_exit()
    assert end is not None
    assert "identified by 0.0.1. Install that." in end.message
    assert not (job.path / "result").exists()
    heard = json.loads((job.attempts()[-1] / "progress.json").read_text())
    assert heard.get("phase") != "training"  # told before any update


def _model() -> LlamaForCausalLM:
    """Return a tiny model for that tokenizer."""
    made = tokenizer()
    set_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            **{"vocab_size": len(made), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
            **{"intermediate_size": 16, "max_position_embeddings": 256, "eos_token_id": made.eos_token_id},
            **{"bos_token_id": made.bos_token_id, "pad_token_id": made.pad_token_id},
        )
    )


def _base(root: Path) -> PlannedBase:
    """Commit a tiny model whose tokenizer has a chat template, as a base of this store."""
    base = PlannedBase("tiny-000000000000", "llama", {"kind": "base"})
    job = JobDirectory(root / "bases" / base.id)
    job.create({"id": base.id, "identity": base.identity})
    attempt = job.claim({"engine": "test"})
    assert attempt is not None
    made = tokenizer()
    model = _model()
    model.save_pretrained(attempt.stage)
    made.save_pretrained(attempt.stage)
    base_rows(attempt.stage)
    from harness.train.adapters import weights_hash

    write_json(attempt.stage / "result.json", {"base_weights": weights_hash(model.named_parameters())})
    assert attempt.commit()
    return base


@pytest.mark.slow
def test_a_model_that_exists_is_scored_and_trained_on_published_questions(fresh: Any, published: Any) -> None:
    declared = task(fresh.root, published, chat=CHAT)
    folder = fresh.root / "mine"
    _model().save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    shape = {"architecture": "llama", "hidden_size": 16, "layers": 1, "intermediate_size": 16, "heads": 2}
    found = HubBase(
        folder="mine", content=folder_content(folder), family="llama", shape=Shape(**shape, vocabulary=len(tokenizer()))
    )
    evaluation = Evaluation(samples_per_problem=1, temperature=1.0, max_tokens=4)
    update: dict[str, Any] = {"task": declared, "evaluation": evaluation, "bases": {"llama": found}}
    protocol = fresh.protocol.model_copy(update=update)
    base = planned_base("llama", protocol)
    job = JobDirectory(fresh.root / "bases" / base.id)
    job.create({"id": base.id, "identity": base.identity, "folder": str(folder)})
    assert fresh.execute(job) == 0, job.last_exit()
    said = json.loads((job.result / "result.json").read_text())
    assert sum(said["answers"]["scored"].values()) == 2000  # two splits of 500, sampled and most likely answers
    assert said["answers"]["training"] == {}
    assert said["verifier"] == {"name": "math-verify", "version": "0.9.0"}
    assert said["first_prompt"].startswith("[system]Answer briefly.[user]")
    run = fresh.job(planned_run(base, fresh.cell(), 0, protocol))
    assert fresh.execute(run) == 0, run.last_exit()
    trained = json.loads((run.result / "result.json").read_text())
    assert trained["updates"] == 3
    assert trained["first_prompt"] == said["first_prompt"]
    assert trained["base_weights"] == trained["base_weights_after"] == said["base_weights"]
