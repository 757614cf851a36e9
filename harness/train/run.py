"""One run: a frozen base, a fresh adapter, GRPO or SFT through TRL, then the score on held-out problems.

Departures from the trainers' defaults are all in the protocol. A run that was killed starts again from its seed unless
its resources allow it to resume (`train.checkpoints`).
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOTrainer, SFTTrainer

from harness.plan import planned_updates
from harness.record.atomic import read_json
from harness.record.shards import write_shard
from harness.source import Item, Splits, evaluation_hash, splits
from harness.spec import AdapterSpec, Cell
from harness.spec.protocol import Evaluation, Recipe
from harness.train.adapters import declared_fields, frozen_hash, parameter_names, peft_config, realised, weights_hash
from harness.train.arguments import trainer_arguments
from harness.train.as_declared import by_declaration, check_realised
from harness.train.checkpoints import Checkpoints, Keeper
from harness.train.code import permitted_task, reward_function
from harness.train.drift import BaseGuard, seeded_engine
from harness.train.evaluate import accuracy, evaluate
from harness.train.exam import Exam, exam_of, in_text
from harness.train.load import Loaded, load_found, load_made
from harness.train.progress import Heartbeat, StepLog
from harness.train.ranks import count, first
from harness.train.reward import ExactAnswer, OwnReward
from harness.train.so_far import SoFar
from harness.train.spectra import update_norm, update_rows
from harness.train.tracking import reporting
from harness.train.updates import Start, norm_beside, start, updates

NO_UPDATE = 1e-5
"""Norm of the update before the first step, as a share of the base's, above which an adapter does not start at it."""


@dataclass
class _Looks:
    """How a policy is looked at: declared evaluations, and the spectra of its update since the start of training."""

    identity: dict[str, Any]
    adapter: AdapterSpec
    base: Path
    tokenizer: Any
    parts: Splits
    exam: Exam
    since: Start | None = None
    """Set once the adapter is in place."""

    def score(self, policy: Any, split: str, step: int) -> list[dict[str, Any]]:
        """Return the rows of the evaluation shard of one split; sampling is seeded by run, step and split."""
        plan = Evaluation.model_validate(self.identity["evaluation"])
        seed = (self.identity["seed"] + 7919 * step + (split == "validation")) % 2**31
        items = getattr(self.parts, split)
        return evaluate(policy, self.tokenizer, items, plan, seed, step=step, split=split, exam=self.exam)

    def spectra(self, policy: Any, step: int, placed: bool = False) -> list[dict[str, Any]]:
        """Return the rows of the spectrum shard of one step; `placed` says where in the base the update lies, too."""
        found = updates(policy, self.adapter, self._start())
        return update_rows(found, step, self.identity["seed"], self.base, placed=placed)

    def norm(self, policy: Any, rows: list[dict[str, Any]]) -> float:
        """Return the Frobenius norm of the update of all that trains; `rows` are those of its spectra now."""
        return update_norm(rows, norm_beside(policy, self._start()))

    def _start(self) -> Start:
        if self.since is None:
            raise RuntimeError("no start: updates are counted from the policy before its first step")
        return self.since


class _Watch(TrainerCallback):
    """Looks at the policy in the middle of training: spectra of its update, and declared evaluations."""

    def __init__(self, looks: _Looks):
        self._validate_at = set(looks.identity["validate_at"])
        self._spectra_at = set(looks.identity.get("spectra_at", ()))
        self._looks = looks
        self.first_update_norm: float | None = None
        self.scores: list[dict[str, Any]] = []
        self.spectra: list[dict[str, Any]] = []

    def on_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if hasattr(model.base_model, "update_and_allocate"):  # AdaLoRA prunes by gradients, which are still there
            model.base_model.update_and_allocate(state.global_step + 1)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if not all(torch.isfinite(p).all() for p in model.parameters() if p.requires_grad):
            return  # the log of this update ends the run, and says by which number
        if not first():
            return
        if state.global_step == 1 or state.global_step in self._spectra_at:
            rows = self._looks.spectra(model, state.global_step)
            if state.global_step == 1:
                self.first_update_norm = self._looks.norm(model, rows)
            self.spectra += rows
        if state.global_step in self._validate_at:
            self.scores += self._looks.score(model, "validation", state.global_step)


def train_run(
    identity: dict[str, Any],
    base: Path,
    stage: Path,
    checkpoints: Checkpoints,
    heartbeat: Heartbeat,
    code_root: Path | None = None,
    data: Path | None = None,
) -> tuple[dict[str, Any], dict[str, float]]:
    """Train and score the run that `identity` describes on the base in folder `base`; return facts and seconds spent.

    Writes the evaluation, steps and spectrum shards and the adapter (PEFT format, safetensors) into `stage`. Code of
    the user's own that the identity names is run from the project `code_root`, never without one; rows of published
    sets are read from the folder `data`.
    """
    cell, recipe = Cell.model_validate(identity["cell"], strict=False), Recipe.model_validate(identity["recipe"])
    task = permitted_task(identity, code_root, data)
    parts = splits(task)
    if evaluation_hash(task) != identity["evaluation_set"]:
        raise ValueError("the evaluation set made here is not the one that the run is identified by")
    start_from = _loaded(base, recipe)
    model, tokenizer, parts = start_from.model, start_from.tokenizer, start_from.rendered(parts)
    loaded, base_names = weights_hash(model.named_parameters()), parameter_names(model)
    _is_the_base(loaded, base, recipe)

    exam = exam_of(task, model, tokenizer)
    looks = _Looks(identity, cell.adapter, base, tokenizer, parts, exam)
    log, watch, reward = StepLog(heartbeat), _Watch(looks), _reward(cell, recipe, tokenizer, exam, code_root)
    planned = planned_updates(cell.algorithm, identity["trainer"], len(parts.training))
    so_far = SoFar(log, watch, reward, checkpoints.kept())
    keeper = Keeper(so_far.as_json)
    watched = reporting(checkpoints.folder.parent)
    arguments, record = trainer_arguments(
        cell.algorithm, identity["trainer"], identity["seed"], checkpoints, count(), watched
    )
    common = {"model": model, "args": arguments, "processing_class": tokenizer, "callbacks": [log, watch, keeper]}
    began = time.process_time()
    with by_declaration(cell.adapter), seeded_engine(identity["seed"]):
        common["peft_config"] = peft_config(cell.adapter, recipe, planned)
        trainer = _trainer(cell, parts.training, exam, reward, common)
        policy = trainer.model
        guard = BaseGuard(policy)
        check_realised(policy, cell.adapter, declared_fields(cell.adapter, recipe, planned))
        looks.since = start(policy, cell.adapter, base)
        frozen = frozen_hash(policy, base_names)
        at_start = _starts_at_the_base(looks, policy, cell)
    heartbeat.tell(phase="training", steps=len(trainer.get_train_dataloader()))
    if checkpoints.every:
        keeper.listen()
    trainer.train(resume_from_checkpoint=str(checkpoints.newest) if checkpoints.newest else None)
    spent = {"train_cpu_seconds": time.process_time() - began}
    keeper.check(trainer.state.global_step, trainer.state.max_steps)
    reward.counts, reward.first = so_far.rewarded()
    if not first():
        return {}, spent
    _has_trained(log, cell, reward)

    heartbeat.tell(phase="scoring")
    facts = _ended(looks, policy, stage, log, watch)
    _save(policy, stage, identity["base_id"])
    facts |= {
        "update_norm_at_start": at_start,
        "adapter": realised(policy, base_names),
        "loaded_weights": loaded,
        "base_weights": frozen,
        "base_weights_after": frozen_hash(policy, base_names),
        **({"weight_syncs": said} if (said := guard.facts()) else {}),
        "first_rollouts": reward.first_rollouts() if cell.algorithm == "grpo" else None,
        "trainer": record,
        "processes": count(),
        "resumed_at": so_far.resumed_at,
    }
    facts |= in_text(task, parts, exam, reward.counts)
    exam.close()
    return facts, spent


def _ended(looks: _Looks, policy: Any, stage: Path, log: StepLog, watch: _Watch) -> dict[str, Any]:
    """Look at the trained policy for the last time and write the shards; return what they come to."""
    last = log.rows[-1]["step"]
    rows = looks.score(policy, "evaluation", last)
    ended = looks.spectra(policy, last, placed=True)
    write_shard(stage, "evaluation", [*watch.scores, *rows])
    write_shard(stage, "steps", log.rows)
    write_shard(stage, "spectrum", [*(row for row in watch.spectra if row["step"] < last), *ended])
    return {
        "accuracy": accuracy(rows),
        "updates": last,
        "first_update_norm": watch.first_update_norm,
        "final_update_norm": looks.norm(policy, ended),
    }


def _has_trained(log: StepLog, cell: Cell, reward: ExactAnswer) -> None:
    """Raise ValueError where the trainer made no update, or never asked for the reward that it was to maximise."""
    if not log.rows:
        raise ValueError("the trainer made no update: training_prompts are fewer than one update takes")
    if cell.algorithm == "grpo" and not reward.first:
        raise ValueError("the trainer never asked for a reward, so it cannot have trained towards it")


def _reward(cell: Cell, recipe: Recipe, tokenizer: Any, exam: Exam, code_root: Path | None) -> ExactAnswer:
    if cell.algorithm != "grpo" or recipe.reward is None:
        return ExactAnswer(tokenizer, exam)
    return OwnReward(tokenizer, recipe.reward, reward_function(recipe, code_root), exam)


def _trainer(cell: Cell, items: tuple[Item, ...], exam: Exam, reward: ExactAnswer, common: dict[str, Any]) -> Any:
    if cell.algorithm == "grpo":
        rewards: list[Any] = [reward]
        prompts = Dataset.from_list(exam.prompts(items))
        trainer: Any = GRPOTrainer(reward_funcs=rewards, train_dataset=prompts, **common)
    else:
        trainer = SFTTrainer(train_dataset=Dataset.from_list(exam.demonstrations(items)), **common)
    trainer.remove_callback(PrinterCallback)  # without a progress bar it would print every log
    trainer.create_model_card = _no_card  # TRL would write one beside every checkpoint, and PEFT one into it
    trainer.model.create_or_update_model_card = _no_card
    if (together := trainer.accelerator.num_processes) != count():
        raise RuntimeError(
            f"{count()} processes were started, and the trainer knows of {together}: none shares a batch"
        )
    return trainer


def _no_card(*_: Any, **__: Any) -> None:
    """Write no model card."""


def _loaded(base: Path, recipe: Recipe) -> Loaded:
    said: dict[str, Any] = read_json(base / "result.json") or {}
    if "found" not in said:
        return load_made(base, recipe.dtype)
    return load_found(base, recipe.dtype, said["found"]["prompting"])


def _is_the_base(loaded: str, base: Path, recipe: Recipe) -> None:
    """Raise ValueError where the weights that were loaded are not those that the base's record states."""
    said = read_json(base / "result.json")
    if said is not None and recipe.dtype == said.get("dtype", "float32") and said["base_weights"] != loaded:
        raise ValueError(f"{base}: its weights are not those that its record states. Remove the base and run again.")


def _starts_at_the_base(looks: _Looks, policy: Any, cell: Cell) -> float:
    """Return the norm of the update before the first step; raise ValueError where the adapter starts elsewhere."""
    rows = looks.spectra(policy, 0)
    far = [row for row in rows if row["target"] == "update" and (row["relative_norm"] or 0) > NO_UPDATE]
    if far:
        share = f"{far[0]['relative_norm']:.2g} of its norm"
        rule = f"{cell.adapter.slug()} changes {far[0]['module']} by {share} before the first update"
        raise ValueError(f"{rule}, so it does not start at the base. Declare an initialisation that does.")
    return looks.norm(policy, rows)


def _save(policy: Any, stage: Path, base_id: str) -> None:
    """Write the adapter in PEFT's format, with nothing in it that tells in which folder or process it was made.

    Full fine-tuning has no adapter: its weights are written as they are trained.
    """
    if not hasattr(policy, "peft_config"):
        policy.save_pretrained(stage, safe_serialization=True)
        return
    config = policy.peft_config["default"]
    config.base_model_name_or_path = base_id  # PEFT would write the folder of the base
    if isinstance(among := getattr(config, "feedforward_modules", None), set):  # IA3's, which it seeks by endings
        names = {name for name in config.target_modules if name.endswith(tuple(among))}
        config.feedforward_modules = names  # PEFT reads them back as a subset of the names that it wrote
    for name, value in list(vars(config).items()):
        if isinstance(value, set):  # whose order differs between processes
            setattr(config, name, sorted(value))
    policy.save_pretrained(stage, safe_serialization=True, save_embedding_layers=False)
