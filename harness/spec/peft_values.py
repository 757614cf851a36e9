"""Which values PEFT's own fields may have in a run here, beyond the type that PEFT gives them.

Each rule was found by making the configuration on a small model with the release that the table of fields names: PEFT
raises in a layer, or, worse, trains something else under the declared name. A rule about the base's widths, or about
the number of updates, is the plan's (`harness.plan.fits`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.spec.problem import items, shown

_PROMPT, _BY_INPUT = "learns a prompt, which is no update of a matrix", "has another update for every input"

NO_MATRIX = {
    **dict.fromkeys(("ADAPTION_PROMPT", "CARTRIDGE", "CPT", "MULTITASK_PROMPT_TUNING", "P_TUNING"), _PROMPT),
    **dict.fromkeys(("PREFIX_TUNING", "PROMPT_TUNING"), _PROMPT),
    **dict.fromkeys(("LILY", "SHADOW", "XLORA"), _BY_INPUT),
    "BEFT": "trains biases, which are no update of a matrix",
    "LN_TUNING": "would train all of the linear layers that the recipe names, and no layer norm",
    "POLY": "mixes adapters by the number of a task, which no run has",
    "TRAINABLE_TOKENS": "trains rows of the embedding, which no recipe names",
}
"""PEFT's methods without one update for each linear layer, and what they do instead."""

LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The linear layers of every base here, but for the head: what `all-linear` means."""


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from `low` to `high`, both included unless they are open."""

    low: float
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: float) -> bool:
        below = value <= self.low if self.open_low else value < self.low
        return not below and not (value >= self.high if self.open_high else value > self.high)

    def in_words(self) -> str:
        """Return the range as a rule states it."""
        low = f"{'more than' if self.open_low else 'at least'} {self.low:g}"
        return low + (f" and {'less than' if self.open_high else 'at most'} {self.high:g}" if self.high < 1e9 else "")


_COUNT, _MANY, _WHOLE, _SEED = Range(1, 65536), Range(1, 2**24), Range(0, 65536), Range(0, 2**31 - 1)
_POSITIVE, _DROPPED, _SHARE = Range(0, open_low=True), Range(0, 1, open_high=True), Range(0, 1)

BOUNDS = {
    **dict.fromkeys(("alpha", "delora_lambda", "lora_alpha", "psoft_alpha"), _COUNT),
    **dict.fromkeys(("asa_target_subspaces", "mask_interval", "num_subspaces", "subspace_rank"), _COUNT),
    **dict.fromkeys(("block_size", "group_size", "r", "topk", "u", "vector_length"), _COUNT),
    **dict.fromkeys(("num_cayley_neumann_terms", "psoft_svd_lowrank_niter"), _COUNT),
    **dict.fromkeys(("n_frequency", "num_vectors", "theta_d_length"), _MANY),
    **dict.fromkeys(("boft_block_num", "boft_block_size", "depth", "final_warmup", "init_warmup"), _WHOLE),
    **dict.fromkeys(("generator_seed", "proj_seed", "projection_prng_key", "projection_seed"), _SEED),
    **dict.fromkeys(("random_loc_seed", "random_seed"), _SEED),
    **dict.fromkeys(("asa_schedule_exponent", "d_initial", "init_scale", "scaling"), _POSITIVE),
    **dict.fromkeys(("init_theta_d_bound", "init_vector_bank_bound"), Range(0, 1e-4, open_low=True)),
    **dict.fromkeys(("init_logits_std", "regularization_alpha"), Range(0)),
    **dict.fromkeys(("asa_importance_beta", "asa_uncertainty_beta", "sparsity"), _DROPPED),
    **dict.fromkeys(("auxiliary_loss_weight", "sparse_rate", "weight_tying"), _SHARE),
    "boft_n_butterfly_factor": Range(1, 1),
    "cayley_neumann_eps": Range(0, 1, open_low=True, open_high=True),
    "decompose_factor": Range(-1, 65536),
    "effective_rank": Range(0, 65536, open_low=True),
    "svd_threshold": Range(0, 1, open_low=True),
}
"""By a field's name; of one that ends with `dropout`, a share below one."""

REASONS = {
    "boft_n_butterfly_factor": "PEFT makes it 1 wherever it cannot compile its extension",
    "init_theta_d_bound": "a run begins at the base, within a share of 1e-5 of its norm",
    "init_vector_bank_bound": "a run begins at the base, within a share of 1e-5 of its norm",
}
"""Why a bound is narrower than a reader would expect."""

STARTS: dict[tuple[str, str], tuple[Any, ...]] = {
    ("ADAMSS", "init_weights"): ("orthogonal",),
    ("DEFT", "para"): (False,),
    ("HIRA", "init_weights"): (True, "gaussian"),
    ("IA3", "init_ia3_weights"): (True,),
    ("LOKR", "init_weights"): (True, "lycoris"),
    ("OSF", "init_weights"): (True, None),
}
"""Values with which a method begins at the base; `init_weights` of every other method must be true."""

SWITCHED = {
    **{("ADAMSS", name): ("use_asa", True) for name in ("asa_target_subspaces", "init_warmup", "final_warmup")},
    **{("ADAMSS", name): ("use_asa", True) for name in ("asa_importance_beta", "asa_uncertainty_beta")},
    **{("ADAMSS", name): ("use_asa", True) for name in ("asa_schedule_exponent", "mask_interval")},
    ("ADAMSS", "svd_threshold"): ("use_dynamic_rank", True),
    ("PSOFT", "cayley_neumann_eps"): ("use_cayley_neumann", True),
    ("PSOFT", "num_cayley_neumann_terms"): ("use_cayley_neumann", True),
    ("PSOFT", "psoft_svd_lowrank_niter"): ("psoft_svd", "lowrank"),
}
"""Fields that PEFT reads only where another one has a value."""


def value_problem(kind: str, config: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """Return the first rule that the declared fields of a method break, with the remedy; empty where none is."""
    whole = {**defaults, **config}
    for name, value in config.items():
        if rule := _out_of_range(name, value):
            return rule
        switch, on = SWITCHED.get((kind, name), ("", None))
        if switch and whole[switch] != on:
            return f"{name} does nothing unless {switch} is {shown(on)}. Remove it, or declare that too."
    for name in whole:
        allowed = STARTS.get((kind, name), (True,) if name == "init_weights" else None)
        if allowed is not None and not any(value is whole[name] or value == whole[name] for value in allowed):
            return _starts_elsewhere(name, whole[name], allowed, declared=name in config)
    for name in ("init_theta_d_bound", "init_vector_bank_bound"):
        if name in whole and name not in config:
            return f"{name} is {whole[name]:g} by default, which is no start at the base. Write 1.0e-4 or less."
    return _together(kind, whole)


def _out_of_range(name: str, value: Any) -> str:
    bound = BOUNDS.get(name, _DROPPED if name.endswith("dropout") else None)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if bound is None or not number or value in bound:
        return ""
    reason = f" ({REASONS[name]})" if name in REASONS else ""
    said = f"{bound.low:g}" if bound.low == bound.high else bound.in_words()
    return f"{name} {shown(value)} is out of range: it must be {said}{reason}. Change it."


def _starts_elsewhere(name: str, value: Any, allowed: tuple[Any, ...], *, declared: bool) -> str:
    usual = "" if declared else ", PEFT's default,"
    rule = f"{name} {shown(value)}{usual} does not begin at the base, from which updates are counted"
    return f"{rule}. Write {' or '.join(map(shown, allowed))}."


def _together(kind: str, whole: Mapping[str, Any]) -> str:
    """Return the rule that several fields break between them."""
    if kind == "BOFT" and (whole["boft_block_size"] == 0) == (whole["boft_block_num"] == 0):
        return "boft_block_size and boft_block_num: one says the other. Write 0 for one of them, and only one."
    if kind == "BOFT" and whole["boft_block_size"] == 1:
        return "boft_block_size 1 rotates nothing. Write 2 or more."
    if kind == "GLORA" and {whole["config_A_B"], whole["config_C"], whole["config_D_E"]} == {"none"}:
        return "config_A_B, config_C and config_D_E are all none, so nothing trains. Change one."
    if kind == "ROAD" and whole["group_size"] % 2:
        return f"group_size {whole['group_size']} is odd, and pairs are rotated. Write an even one."
    if kind == "OSF" and isinstance(whole["effective_rank"], float) and whole["effective_rank"] >= 1:
        rank = shown(whole["effective_rank"])
        return f"effective_rank {rank} is neither a share below 1 nor a whole number. Write one of them."
    if kind == "VBLORA" and whole["topk"] > whole["num_vectors"]:
        return f"topk {whole['topk']} is more than num_vectors {whole['num_vectors']}, which it chooses from. Lower it."
    if kind == "SUPERTUNING" and whole["r"] is None and (whole["lora_alpha"] is not None or whole["lora_dropout"]):
        return "lora_alpha and lora_dropout do nothing without r. Add r, or remove them."
    if kind == "ADAMSS" and whole["use_asa"] and whole["init_warmup"] >= whole["final_warmup"]:
        return f"init_warmup {whole['init_warmup']} is not below final_warmup {whole['final_warmup']}. Lower it."
    named = whole.get("feedforward_modules")
    if named is not None and not (isinstance(named, list) and named and set(map(str, items(named))) <= set(LINEAR)):
        return f"feedforward_modules {shown(named)} is no list of adapted layers. Name some of {', '.join(LINEAR)}."
    return ""
