"""One broken protocol per rule: VALID with one edit, and what must be told about it.

`line` is text that stands once in the edited file, on the line to be named; every fragment must stand in the message.
"""
# ruff: noqa: E501 (a table with one row a rule is read down its columns)

from collections.abc import Callable
from pathlib import Path

import pytest

Told = Callable[[str | bytes], list[str]]

VALID = """\
title: Addition with a small Llama
task:
  name: addition
  largest_operand: 99          # 10,000 problems
  split_seed: 20260423
  evaluation_problems: 500
  validation_problems: 500
  training_prompts: 640        # 80 updates of 8 prompts
bases:
  llama: &shape
    architecture: llama
    hidden_size: 64
    layers: 2
    heads: 4
    intermediate_size: 128
    pretraining: &pretraining {steps: 450, batch_size: 128, learning_rate: 4.0e-3, seed: 1}
  qwen:
    architecture: qwen3
    hidden_size: 64
    layers: 2
    heads: 4
    intermediate_size: 128
    pretraining: *pretraining
  olmo:
    architecture: olmo2
    hidden_size: 64
    layers: 2
    heads: 4
    intermediate_size: 128
    pretraining: *pretraining
default_bases: [llama]
recipe:
  scaling: {policy: proportional, factor: 2.0}
  target_modules: all-linear
  lora_dropout: 0.0
grpo:
  learning_rate: 1.0e-3
  num_train_epochs: 1
  per_device_train_batch_size: 64   # completions: 8 prompts x 8
  num_generations: 8
  max_completion_length: 5
  temperature: 1.0
  beta: 0.0
  loss_type: dapo
  max_grad_norm: 1.0
  optim: adamw_torch
  bf16: false
  activation_checkpointing: false
sft:
  learning_rate: 1.0e-3
  num_train_epochs: 1
  per_device_train_batch_size: 8    # the same 8 prompts an update
  max_grad_norm: 1.0
  optim: adamw_torch
  bf16: false
  activation_checkpointing: false
evaluation:
  samples_per_problem: 4
  temperature: 1.0
thresholds:
  collapsed_share: 0.25
  trained_share: 0.5
  healthy_gain: 0.12
  source: provisional, for this test
pilot:
  rule: one-standard-error
  healthy_rank: 8
  learning_rates: [1.0e-4, 3.2e-4, 1.0e-3]
  steps: [20, 40, 80]
  enough_gain: 0.1
  seeds: 3
  base_seed: 1001
  split_seed: 70260423
"""
GRPO, SFT = VALID.index("\ngrpo:"), VALID.index("\nsft:")

# fmt: off
BROKEN = [
    # rule, place to start from, old, new, line, field, fragments
    ("unknown trainer field", GRPO, "beta: 0.0", "betta: 0.0", "betta", "grpo.betta", ("no field of trl.GRPOConfig (1.16.0); did you mean beta?", "rename")),
    ("unknown, nothing near", GRPO, "beta: 0.0", "qqqqq: 0.0", "qqqqq", "grpo.qqqqq", ("no field of trl.GRPOConfig (1.16.0). Remove or rename it.",)),
    ("other trainer's field", SFT, "bf16: false", "bf16: false\n  num_generations: 8", "num_generations: 8\n  act", "sft.num_generations", ("no field of trl.SFTConfig",)),
    ("a server of vLLM", GRPO, "beta: 0.0", "beta: 0.0\n  vllm_server_host: a", "  vllm_server_host: a", "grpo.vllm_server_host", ("set by the harness (an engine shares the device of the run that it serves). Remove it.",)),
    ("harness-owned field", GRPO, "beta: 0.0", "beta: 0.0\n  seed: 1", "  seed: 1\n  loss", "grpo.seed", ("set by the harness (seeds are derived from the protocol). Remove it.",)),
    ("misspelt required field", GRPO, "learning_rate:", "learning_rat:", "learning_rat:", "grpo.learning_rat", ("did you mean learning_rate?",)),
    ("missing learning rate", GRPO, "  learning_rate: 1.0e-3\n", "", "grpo:", "grpo.learning_rate", ("missing: what decides a claim is declared", "Add")),
    ("missing batch size", SFT, "  per_device_train_batch_size: 8    # the same 8", "  # the", "sft:", "sft.per_device_train_batch_size", ("missing", "Add")),
    ("NaN in a trainer field", GRPO, "beta: 0.0", "beta: .nan", "beta", "grpo.beta", ("NaN is not a finite number. Write",)),
    ("NaN deep in a trainer field", GRPO, "beta: 0.0", "beta: 0.0\n  lr_scheduler_kwargs: {a: [.nan]}", "kwargs", "grpo.lr_scheduler_kwargs", ('{"a": [NaN]} is not a finite',)),
    ("infinite learning rate", SFT, "learning_rate: 1.0e-3", "learning_rate: .inf", "rate: .inf", "sft.learning_rate", ("Infinity is not a finite",)),
    ("text for a count", GRPO, "num_generations: 8", "num_generations: '8'", "num_gen", "grpo.num_generations", ('"8" is not what trl.GRPOConfig takes here: a whole number. Write that.',)),
    ("bool for a count", GRPO, "num_generations: 8", "num_generations: true", "num_gen", "grpo.num_generations", ("true is not what", "a whole number")),
    ("float for a count", GRPO, "batch_size: 64", "batch_size: 64.0", "64.0", "grpo.per_device_train_batch_size", ("64.0 is not what", "a whole number")),
    ("number for a switch", GRPO, "beta: 0.0", "beta: 0.0\n  fp16: 3", "fp16: 3", "grpo.fp16", ("3 is not what trl.GRPOConfig takes here: true or false.",)),
    ("text for a number", GRPO, "max_grad_norm: 1.0", "max_grad_norm: x", "norm: x", "grpo.max_grad_norm", ('"x" is not what', "a number")),
    ("null for a number", GRPO, "max_grad_norm: 1.0", "max_grad_norm:", "norm:\n", "grpo.max_grad_norm", ("null is not what", "a number")),
    ("number for text", GRPO, "optim: adamw_torch", "optim: 5", "optim: 5", "grpo.optim", ("5 is not what", "text")),
    ("list for a wide field", GRPO, "beta: 0.0", "beta: 0.0\n  warmup_steps: [1]", "warmup", "grpo.warmup_steps", ("[1] is not what", "a number")),
    ("one generation", GRPO, "num_generations: 8", "num_generations: 1", "num_gen", "grpo.num_generations", ("1 is out of range: it must be at least 2",)),
    ("no generation", GRPO, "num_generations: 8", "num_generations: 0", "num_gen", "grpo.num_generations", ("0 is out of range: it must be at least 2",)),
    ("no accumulation", GRPO, "beta: 0.0", "beta: 0.0\n  gradient_accumulation_steps: 0", "accum", "grpo.gradient_accumulation_steps", ("at least 1",)),
    ("empty batch", SFT, "batch_size: 8 ", "batch_size: 0 ", "batch_size: 0", "sft.per_device_train_batch_size", ("0 is out of range: it must be at least 1",)),
    ("learning rate 0", GRPO, "learning_rate: 1.0e-3", "learning_rate: 0", "rate: 0\n", "grpo.learning_rate", ("0 is out of range: it must be greater than 0",)),
    ("trainer is a list", GRPO, VALID[GRPO:SFT], "\ngrpo: []\n", "grpo: []", "grpo", ("[] is not a mapping",)),
    # Arms that would not be comparable.
    ("batch no multiple of generations", GRPO, "batch_size: 64", "batch_size: 60", "batch_size: 60", "grpo.per_device_train_batch_size", ("60 completions an update are no multiple of num_generations 8", "Change one")),
    ("no multiple of the default", GRPO, "  num_generations: 8\n", "  num_generations: 7\n", "batch_size: 64", "grpo.per_device_train_batch_size", ("64 completions an update are no multiple of num_generations 7",)),
    ("SFT batch does not match", SFT, "batch_size: 8 ", "batch_size: 16 ", "batch_size: 16", "sft.per_device_train_batch_size", ("16 examples an update, GRPO has 8 prompts", "Make them 8")),
    ("SFT accumulation counts", SFT, "bf16: false", "bf16: false\n  gradient_accumulation_steps: 2", "batch_size: 8 ", "sft.per_device_train_batch_size", ("16 examples an update, GRPO has 8 prompts",)),
    ("differing learning rates", SFT, "learning_rate: 1.0e-3", "learning_rate: 2.0e-3", "2.0e-3", "sft.learning_rate", ("0.002 here, 0.001 under grpo", "Make them equal")),
    ("differing epochs", SFT, "epochs: 1", "epochs: 2", "epochs: 2", "sft.num_train_epochs", ("2 here, 1 under grpo",)),
    ("differing by a default", SFT, "  num_train_epochs: 1\n", "", "sft:", "sft.num_train_epochs", ("3.0 here, 1 under grpo",)),
    ("differing steps", SFT, "bf16: false", "bf16: false\n  max_steps: 5", "max_steps", "sft.max_steps", ("5 here, -1 under grpo",)),
    ("prompts no whole number of updates", 0, "prompts: 640", "prompts: 644", "644", "task.training_prompts", ("644 prompts are no whole number of updates of 8. Use a multiple of 8.",)),
    # Task, bases and the rest.
    ("few evaluation problems", 0, "evaluation_problems: 500", "evaluation_problems: 499", "499", "task.evaluation_problems", ("499 is out of range: it must be at least 500. Change it.",)),
    ("parts exceed the problems", 0, "operand: 99 ", "operand: 39 ", "operand: 39", "task.largest_operand", ("operands up to 39 make 1600 problems", "need 1640", "Raise largest_operand")),
    ("unknown task", 0, "name: addition", "name: sums", "sums", "task.name", ("\"sums\" is not one of 'addition'",)),
    ("undeclared default base", 0, "default_bases: [llama]", "default_bases: [lama]", "[lama]", "default_bases[0]", ('"lama" is none of the declared bases ["llama", "olmo", "qwen"]. Declare it.',)),
    ("base that is no name", 0, "default_bases: [llama]", "default_bases: [[llama]]", "[[llama]]", "default_bases[0]", ('["llama"] is not text',)),
    ("no default base", 0, "default_bases: [llama]", "default_bases: []", "bases: []", "default_bases", ("[] is an empty list",)),
    ("name of a base", 0, "  olmo:", "  Olmo:", "Olmo:", "bases.Olmo", ('"Olmo" is no name', "lower-case")),
    ("heads do not divide", 0, "heads: 4", "heads: 5", "heads: 5", "bases.llama.heads", ("5 heads do not divide a width of 64 into even parts. Change one.",)),
    ("heads of odd width", 0, "heads: 4", "heads: 64", "heads: 64", "bases.llama.heads", ("64 heads do not divide",)),
    ("bool for heads", 0, "heads: 4", "heads: true", "heads: true", "bases.llama.heads", ("true is not a whole number",)),
    ("unknown field of a base", 0, "heads: 4", "heads: 4\n    haeds: 4", "haeds", "bases.llama.haeds", ("did you mean heads?",)),
    ("unknown architecture", 0, "architecture: qwen3", "architecture: gpt", "gpt", "bases.qwen.architecture", ("\"gpt\" is not one of 'llama', 'qwen3' or 'olmo2'",)),
    ("shared by three aliases", 0, "seed: 1}", "seed: -1}", "seed: -1}", "bases.llama.pretraining.seed", ("-1 is out of range: it must be at least 0",)),
    ("seed beyond 32 bits", 0, "seed: 1}", "seed: 2147483648}", "2147483648", "bases.llama.pretraining.seed", ("it must be less than 2147483648",)),
    ("dropout of 1", 0, "lora_dropout: 0.0", "lora_dropout: 1", "lora_dropout", "recipe.lora_dropout", ("1 is out of range: it must be less than 1",)),
    ("factor of no proportion", 0, "factor: 2.0", "factor: 0", "factor: 0", "recipe.scaling.factor", ("greater than 0",)),
    ("alpha under the wrong policy", 0, "factor: 2.0", "alpha: 16", "alpha: 16", "recipe.scaling.alpha", ("unknown field",)),
    ("temperature 0", VALID.index("\nevaluation:"), "temperature: 1.0", "temperature: 0.0", "temperature: 0.0", "evaluation.temperature", ("0.0 is out of range: it must be greater than 0",)),
    ("threshold of 1", 0, "collapsed_share: 0.25", "collapsed_share: 1.0", "collapsed_share: 1.0", "thresholds.collapsed_share", ("less than 1",)),
    ("repeated pilot steps", 0, "steps: [20, 40, 80]", "steps: [20, 20]", "[20, 20]", "pilot.steps", ("[20, 20] repeats a value. Name each once.",)),
    ("pilot rate of 0", 0, "rates: [1.0e-4,", "rates: [0,", "rates: [0,", "pilot.learning_rates[0]", ("greater than 0",)),
    ("two pilot seeds", VALID.index("\npilot:"), "seeds: 3", "seeds: 2", "seeds: 2", "pilot.seeds", ("2 is out of range: it must be at least 3",)),
]
# fmt: on


@pytest.mark.parametrize(("rule", "start", "old", "new", "line", "field", "says"), BROKEN, ids=[b[0] for b in BROKEN])
def test_a_mistake_is_told_once_with_its_line_field_rule_and_remedy(
    rule: str, start: int, old: str, new: str, line: str, field: str, says: tuple[str, ...], protocol_mistakes: Told
) -> None:
    text = VALID[:start] + VALID[start:].replace(old, new, 1)
    assert text != VALID
    assert text.count(line) == 1, f"{rule}: {line!r} stands {text.count(line)} times"
    lines = protocol_mistakes(text)
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"f.yaml:{text[: text.index(line)].count(chr(10)) + 1} {field}: ")
    assert [part for part in says if part not in lines[0]] == []
    assert lines[0].endswith(".")


def _with_thresholds(accuracy: float, share: float, problems: int = 500) -> str:
    text = VALID.replace("{steps: 450,", f"{{steps: 450, until_accuracy: {accuracy},")
    text = text.replace("evaluation_problems: 500", f"evaluation_problems: {problems}")
    return text.replace("collapsed_share: 0.25", f"collapsed_share: {share}")


@pytest.mark.parametrize(
    ("accuracy", "share", "problems", "near"),
    # Standard errors over N problems with p = (k + 1) / (N + 2). At 0, N = 500: p = 1/502, sqrt(p (1 - p) / 500) =
    # .00199, three are .00598, a share of .0598 of .1. At .35: p = 176/502, three are .0640 = .35 - .286, a share of .817.
    [
        (0.1, 0.059, 500, "(0.006) of zero on 500 problems"),
        (0.1, 0.061, 500, None),
        (0.35, 0.83, 500, "(0.064) of the base's own on 500 problems"),
        (0.35, 0.81, 500, None),
        (0.35, 0.83, 2000, None),
        (0.1, 0.059, 2000, None),
    ],
)
def test_a_limit_of_collapse_among_the_noise_of_sampling_is_told(
    accuracy: float, share: float, problems: int, near: str | None, protocol_mistakes: Told
) -> None:
    text = _with_thresholds(accuracy, share, problems)
    lines = protocol_mistakes(text)
    if near is None:
        assert lines == []
        return
    (line,) = lines
    at = text[: text.index("collapsed_share")].count("\n") + 1
    assert line.startswith(f"f.yaml:{at} thresholds.collapsed_share: {share} of a base at {accuracy} is ")
    assert f"within 3 standard errors {near}: run labels would be noise." in line
    assert line.endswith("Change it, or evaluate more problems.")


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("collapsed_share: 0.29", "collapsed_share: x", "thresholds.collapsed_share"),
        ("evaluation_problems: 500", "evaluation_problems: x", "task.evaluation_problems"),
        ("until_accuracy: 0.02", "until_accuracy: 2", "bases.llama.pretraining.until_accuracy"),
    ],
)
def test_noise_is_not_judged_by_a_mistaken_number(old: str, new: str, field: str, protocol_mistakes: Told) -> None:
    (line,) = protocol_mistakes(_with_thresholds(0.02, 0.29).replace(old, new))
    assert line.split(": ")[0].endswith(f" {field}")


def test_the_text_that_the_table_edits_is_valid(protocol_mistakes: Told) -> None:
    assert protocol_mistakes(VALID) == []


def test_the_shipped_protocols_are_valid(protocol_mistakes: Told) -> None:
    for path in sorted((Path(__file__).parents[2] / "runs").glob("*.yaml")):
        assert protocol_mistakes(path.read_bytes()) == [], path.name


@pytest.mark.parametrize(
    "field",
    [
        "bf16: true",  # the default is null: any value
        "top_k: 5",
        "warmup_steps: 0.1",  # the default is 0, TRL's type is float
        "lr_scheduler_kwargs: {num_cycles: 2}",
        "epsilon: 1",  # a whole number where the default has a point
        "max_completion_length: null",
        "gradient_accumulation_steps: 1",
        "use_vllm: true",
        "vllm_gpu_memory_utilization: 0.4",
        "vllm_max_model_length: 1536",
    ],
)
def test_a_trainer_field_that_trl_takes(field: str, protocol_mistakes: Told) -> None:
    name = field.split(":")[0]
    lines = [line for line in VALID[GRPO:SFT].splitlines() if not line.strip().startswith(f"{name}:")]
    assert protocol_mistakes(VALID[:GRPO] + "\n".join([*lines, f"  {field}", ""]) + VALID[SFT:]) == []


def test_mistakes_of_six_kinds_are_told_at_once_each_on_its_line(protocol_mistakes: Told) -> None:
    text = VALID
    edits = {
        "heads: 4": ("heads: 5", "bases.llama.heads"),
        "default_bases: [llama]": ("default_bases: [lama]", "default_bases[0]"),
        "factor: 2.0}": ("factor: .nan}", "recipe.scaling.factor"),
        "  beta: 0.0": ("  betta: 0.0", "grpo.betta"),
        "  samples_per_problem: 4": (
            "  samples_per_problem: 4\n  samples_per_problem: 4",
            "evaluation.samples_per_problem",
        ),
        "title: ": ("titel: ", "titel"),
    }
    for old, (new, _) in edits.items():
        text = text.replace(old, new, 1)
    told = [line.split(": ")[0].removeprefix("f.yaml:").split(" ") for line in protocol_mistakes(text)]
    want = [
        (text[: text.index(new)].count("\n") + 1 + new.count("\n"), field)  # a repeated key is told at its second place
        for new, field in edits.values()
    ]
    assert [(int(line), field) for line, field in told] == sorted(want)
