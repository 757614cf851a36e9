"""What one would write without the harness: one run through TRL, from a JSON file of parameters.

    python benchmarks/plain_grpo.py PARAMETERS.json

Imports nothing of the harness. Trains a LoRA adapter by GRPO (or SFT), scores it on held-out problems, saves it, and
prints as JSON the CPU seconds that each part took and the accuracy. `overhead.py` writes the parameters.
"""
# pyright: basic, reportOptionalMemberAccess=false, reportCallIssue=false, reportArgumentType=false, reportPrivateImportUsage=false

import json
import sys
import time

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

imported = time.process_time()  # since the process began


def main(path):
    with open(path) as file:
        p = json.load(file)
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(p["base"])
    model = AutoModelForCausalLM.from_pretrained(p["base"], dtype=torch.float32)

    def right(ids, answer):
        eos = tokenizer.eos_token_id
        return eos in ids and tokenizer.decode(ids[: ids.index(eos)]) == answer

    def exact_answer(completion_ids, answer, **_):
        return [float(right(ids, correct)) for ids, correct in zip(completion_ids, answer, strict=True)]

    grpo = p["algorithm"] == "grpo"
    common = {"model": model, "processing_class": tokenizer, "peft_config": LoraConfig(**p["lora"])}
    args = (GRPOConfig if grpo else SFTConfig)(**p["trainer"])
    before = time.process_time()
    if grpo:
        data = Dataset.from_list([{"prompt": prompt, "answer": answer} for prompt, answer in p["training"]])
        trainer = GRPOTrainer(reward_funcs=exact_answer, args=args, train_dataset=data, **common)
    else:
        data = Dataset.from_list([{"prompt": prompt, "completion": answer} for prompt, answer in p["training"]])
        trainer = SFTTrainer(args=args, train_dataset=data, **common)
    trainer.train()
    trained = time.process_time()

    policy, correct, n = trainer.model.eval(), 0, p["samples_per_problem"]
    torch.manual_seed(args.seed)
    problems = [problem for problem in p["evaluation"] for _ in range(n)]
    longest = max(len(answer) for _, answer in problems) + 1
    for start in range(0, len(problems), 512):
        batch = problems[start : start + 512]
        inputs = tokenizer([prompt for prompt, _ in batch], return_tensors="pt", padding=True)
        with torch.inference_mode():
            ids = policy.generate(
                **inputs, max_new_tokens=longest, do_sample=True, temperature=p["temperature"], top_k=0, top_p=1.0
            )
        answers = ids[:, inputs["input_ids"].shape[1] :].tolist()
        correct += sum(right(answer, truth) for answer, (_, truth) in zip(answers, batch, strict=True))
    policy.save_pretrained(p["output"])
    seconds = {
        "import_cpu_seconds": imported,
        "train_cpu_seconds": trained - before,
        "cpu_seconds": time.process_time(),
    }
    print(json.dumps({**seconds, "accuracy": correct / len(problems)}))


if __name__ == "__main__":
    main(sys.argv[1])
