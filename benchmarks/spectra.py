"""What the spectral kernels gain over the ordinary way, and the memory they take: ratios, each beside its goal.

    python benchmarks/spectra.py --quick
    python benchmarks/spectra.py --weightwatcher PATH

Both sides of a ratio are measured in turn in one run on one thread; it is the ratio of their medians, in CPU seconds
(wall seconds on a GPU). Fast ways are repeated for 20 ms a turn. Where the ordinary way decomposes an update, forming
that update is not counted. Matrices are synthetic: a Gaussian bulk under 64 spikes that fall as i^-1/2 to its edge.
That suits Lanczos: where only 4 spikes were above the bulk, the top 16 took hundreds of steps, and 321 MB in row 9.

    1 LoRA core            singular values of the update formed in float32; error against 60 digits
    2 Gram spectrum        svdvals in float32
    3 stable rank          the same, at the largest size; by Lanczos and the Frobenius norm
    4 participation ratio  the same
    5 DoRA, top 16         svdvals of the update formed in float32
    6 intruders            one full SVD of the tuned weight; PEFT's own function on the same layer
    7 full path            WeightWatcher on the same Llama: spectrum and alpha of every matrix, from files on one side
                           and from the loaded model on the other, in fresh processes
    8 adapter of an 8B     the bare float64 QR cores of the same tensors, which are loaded and touched already, in
                           fresh processes on both sides
    9 streaming            memory of one matrix in float32

Peaks are VmHWM of fresh processes (Linux); "above" is less the peak of one that imports torch and does nothing.
WeightWatcher lies in this environment, or in an environment or a `pip install --target` folder that is named.

Ratios to svdvals at 4096 hang on the machine: on one whose cache holds the whole matrix (64 MiB), svdvals took a
quarter of the time, and the goals of rows 2 to 5 were out of reach (LOG.md).

Not covered: several threads, real weights, cold disks. On a GPU rows 1 to 5 have goals for errors only.
Ends with 1 if a goal is missed; what could not be measured is said, and is neither met nor missed.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.record.atomic import write_json
from harness.record.process import THREADS
from harness.spectra.basis import singular_basis
from harness.spectra.dense import gram_spectrum
from harness.spectra.dora import Dora
from harness.spectra.intruders import intruders
from harness.spectra.lanczos import leading_spectrum, operator_spectrum
from harness.spectra.lora import LowRank
from harness.spectra.norms import participation_ratio

torch: Any = import_module("torch")  # parts of its interface have no types
Tensor = Any
Way = Callable[[], object]

ROWS = range(1, 10)
ON_GPU = range(1, 6)
SPIKES = 64
TURN = 0.02
"""Seconds that a fast way is repeated for."""
DIGITS = 60
RANK = 16
EPSILON = 0.5
MIB = 2**20
VERDICTS = {"pass": "goals met", "FAIL": "missed", "not measured": "not measured"}
GROWTH = 1.1
"""What the peak may grow by when there are more matrices."""
LLAMA_8B: dict[str, tuple[int, int]] = {
    "self_attn.q_proj": (4096, 4096),
    "self_attn.k_proj": (1024, 4096),
    "self_attn.v_proj": (1024, 4096),
    "self_attn.o_proj": (4096, 4096),
    "mlp.gate_proj": (14336, 4096),
    "mlp.up_proj": (14336, 4096),
    "mlp.down_proj": (4096, 14336),
}
"""(outputs, inputs) of a layer's matrices."""
PEAK = """
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024
"""
NOTHING = f"{PEAK}import json, torch\nprint(json.dumps({{'peak': peak()}}))"
SURVEY = f"""{PEAK}
import json, sys, time
from pathlib import Path
import torch
from harness.spectra.frozen import Kept
from harness.spectra.survey import survey
torch.set_num_threads(1)
began, alphas = time.process_time(), {{}}
for row in survey(Path(sys.argv[1]), None, Kept(None), int(sys.argv[2]) or None).rows:
    alphas[row["module"]] = row["alpha"]
print(json.dumps({{"seconds": time.process_time() - began, "peak": peak(), "alphas": alphas}}))
"""
CORES = """
import json, sys, time
import torch
from safetensors.torch import load_file
torch.set_num_threads(1)
tensors = load_file(sys.argv[1])
pairs = [(t, tensors[name.replace("lora_A", "lora_B")]) for name, t in tensors.items() if "lora_A" in name]
touched = sum(float(tensor.sum()) for tensor in tensors.values())
began = time.process_time()
for a, b in pairs:
    upper_b, upper_a = (torch.linalg.qr(x.double(), mode="r").R for x in (b, a.T))
    torch.linalg.svdvals(upper_b @ upper_a.T)
print(json.dumps({"seconds": time.process_time() - began}))
"""
WATCHER = f"""{PEAK}
import json, sys, time
import torch, transformers, weightwatcher
torch.set_num_threads(1)
model = transformers.LlamaForCausalLM.from_pretrained(sys.argv[1])
began = time.process_time()
details = weightwatcher.WeightWatcher(model=model).analyze()
seconds = time.process_time() - began
alphas = dict(zip(details["longname"], map(float, details["alpha"])))
said = {{"seconds": seconds, "peak": peak(), "alphas": alphas, "version": weightwatcher.__version__}}
print(json.dumps(said))
"""


@dataclass(frozen=True)
class Figure:
    """One measured figure beside its goal."""

    row: int
    what: str
    value: float | None
    """None where it could not be measured."""
    goal: float | None = None
    at_most: bool = False
    """Whether the goal is an upper limit."""
    detail: str = ""

    @property
    def verdict(self) -> str:
        """Whether the goal is met."""
        if self.value is None:
            return "not measured"
        if self.goal is None:
            return ""
        return "pass" if (self.value <= self.goal if self.at_most else self.value >= self.goal) else "FAIL"

    def cells(self) -> tuple[str, ...]:
        """Return what the table shows."""
        goal = "" if self.goal is None else f"{'<=' if self.at_most else '>='} {self.goal:g}"
        value = "" if self.value is None else f"{self.value:.3g}" if self.value < 1000 else f"{self.value:.0f}"
        return str(self.row), self.what, value, goal, self.verdict, self.detail


@dataclass(frozen=True)
class Bench:
    """How much is measured, where, and beside what."""

    quick: bool
    rounds: int
    """Turns of each way; more where they are short."""
    device: str
    scratch: Path
    watcher: Path | None

    def goal(self, value: float, whole: bool = True) -> float | None:
        """Return a goal of a speed or a size; None where it does not hold, as on a GPU, or at `--quick` if `whole`."""
        return None if self.device != "cpu" or (self.quick and whole) else value

    def turns(self, n: int) -> int:
        """Return the turns for matrices of n x n."""
        return max(self.rounds, 5) if n <= 1024 else self.rounds

    def interleaved(self, ways: Mapping[str, Way], turns: int) -> dict[str, float]:
        """Return the median seconds of each way; they take turns."""
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(turns):
            tell(f"  turn {turn + 1} of {turns}: {', '.join(ways)}")
            for name, way in ways.items():
                taken[name].append(self._seconds(way))
        return {name: statistics.median(seconds) for name, seconds in taken.items()}

    def _seconds(self, way: Way) -> float:
        began, calls = self._now(), 0
        while not calls or self._now() - began < TURN:
            way()
            calls += 1
        return (self._now() - began) / calls

    def _now(self) -> float:
        if self.device == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()


def tell(text: str) -> None:
    """Say what is being done, on standard error."""
    print(text, file=sys.stderr, flush=True)


def drawn(seed: int, *shape: int) -> Tensor:
    """Return standard normal numbers, float32, the same on every device."""
    return torch.randn(*shape, generator=torch.Generator("cpu").manual_seed(seed), device="cpu")


def spiked(n: int, seed: int, device: str = "cpu") -> Tensor:
    """Return (n, n): a bulk with singular values up to 2 under 64 spikes of about 16 i^-1/2."""
    size = 16 * torch.arange(1, SPIKES + 1, device="cpu").pow(-0.5)
    b, a = drawn(seed + 1, n, SPIKES) / n**0.5, drawn(seed + 2, SPIKES, n) / n**0.5
    return (drawn(seed, n, n) / n**0.5 + (b * size) @ a).to(device)


def factors(rows: int, columns: int, rank: int, seed: int, size: float, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """Return B (rows, r) and A (r, columns), float32; the singular values of B A fall from about `size` to .4 of it."""
    falling = size * torch.linspace(1, 0.4, rank, device="cpu")
    b, a = drawn(seed, rows, rank) / rows**0.5 * falling, drawn(seed + 1, rank, columns) / columns**0.5
    return b.to(device), a.to(device)


def compared(said: Mapping[str, float], ours: str, theirs: str) -> str:
    """Return both medians in words."""
    return f"{ours} {said[ours]:.3g} s, {theirs} {said[theirs]:.3g} s"


def lora(bench: Bench) -> Iterator[Figure]:
    """Row 1."""
    n = 1024 if bench.quick else 2048
    for rank, goal in ((8, 1000), (64, 100)):
        b, a = factors(n, n, rank, 10, 1.0, bench.device)
        dense = 2.0 * (b @ a)
        ways: dict[str, Way] = {
            "core": LowRank(b, a, 2.0).spectrum,
            "svdvals": lambda dense=dense: torch.linalg.svdvals(dense),
        }
        said = bench.interleaved(ways, bench.turns(n))
        noise = int((torch.linalg.svdvals(dense)[rank:] > 0).sum())
        beyond = len(LowRank(b, a, 2.0).spectrum().singular_values) - rank
        ratio = said["svdvals"] / said["core"]
        yield Figure(1, f"LoRA core, {n}, r={rank}", ratio, bench.goal(goal), detail=compared(said, "core", "svdvals"))
        yield Figure(1, f"  values beyond rank {rank}", beyond, 0, at_most=True, detail=f"svdvals: {noise}")
    for condition in (1e3, 1e8):
        error, single = core_errors(condition, bench.device)
        what = f"  relative error, condition {condition:.0e}"
        yield Figure(1, what, error, 1e-12, at_most=True, detail=f"against {DIGITS} digits; svdvals: {single:.1g}")


def core_errors(condition: float, device: str, n: int = 256, rank: int = 8) -> tuple[float, float]:
    """Return the largest relative error of the core's values and of svdvals' of the update in float32."""
    falling = torch.logspace(0, -math.log10(condition), rank, dtype=torch.float64, device="cpu")
    b, a = drawn(20, n, rank).double() * falling, drawn(21, rank, n).double()
    truth = exact_values(b, a)
    own = LowRank(b.to(device), a.to(device)).spectrum().singular_values
    single: list[float] = torch.linalg.svdvals((b @ a).float().to(device)).tolist()
    return (
        max(abs(found / true - 1) for found, true in zip(own, truth, strict=True)),
        max(abs(found / true - 1) for found, true in zip(single, truth, strict=False)),
    )


def exact_values(b: Tensor, a: Tensor) -> list[float]:
    """Return the singular values of B A: roots of the eigenvalues of L^T (A A^T) L with L L^T = B^T B."""
    mp: Any = import_module("mpmath").mp.clone()
    mp.dps = DIGITS
    columns, rows = mp.matrix(b.tolist()), mp.matrix(a.tolist())
    lower = mp.cholesky(columns.T * columns)
    values = mp.eigsy(lower.T * (rows * rows.T) * lower, eigvals_only=True)
    return sorted((float(mp.sqrt(value)) for value in values), reverse=True)


def dense(bench: Bench, rows: set[int]) -> Iterator[Figure]:
    """Rows 2 to 4; 3 and 4 at the largest size only."""
    sizes = (1024,) if bench.quick else (1024, 2048, 4096)
    for n in sizes:
        here = rows if n == sizes[-1] else rows & {2}
        if here:
            yield from dense_at(bench, n, here)


def dense_at(bench: Bench, n: int, rows: set[int]) -> Iterator[Figure]:
    w = spiked(n, 30, bench.device)
    generator = torch.Generator(bench.device).manual_seed(0)
    ways: dict[str, Way] = {"svdvals": lambda: torch.linalg.svdvals(w)}
    ways |= {"Gram": lambda: gram_spectrum(w)} if 2 in rows else {}
    ways |= {"Lanczos": lambda: leading_spectrum(w, 1, generator)} if 3 in rows else {}
    ways |= {"products": lambda: participation_ratio(w)} if 4 in rows else {}
    said = bench.interleaved(ways, bench.turns(n))
    sigma = torch.linalg.svdvals(w.double()).tolist() if n <= 2048 else gram_spectrum(w).singular_values
    energy = torch.tensor(sigma, dtype=torch.float64).square()
    if 2 in rows:
        goal = {1024: 1.1, 2048: 1.4, 4096: 2.0}[n]
        detail = compared(said, "Gram", "svdvals")
        yield Figure(2, f"Gram spectrum, {n}", said["svdvals"] / said["Gram"], bench.goal(goal, False), detail=detail)
    if 3 in rows:
        found = leading_spectrum(w, 1, generator).stable_rank or math.nan
        error = abs(found * float(energy.max() / energy.sum()) - 1)
        detail = f"{compared(said, 'Lanczos', 'svdvals')}; relative error {error:.1g}"
        yield Figure(3, f"stable rank, {n}", said["svdvals"] / said["Lanczos"], bench.goal(30), detail=detail)
    if 4 in rows:
        detail = compared(said, "products", "svdvals")
        yield Figure(4, f"participation ratio, {n}", said["svdvals"] / said["products"], bench.goal(6), detail=detail)
        truth = float(energy.sum().square() / energy.square().sum())
        error = abs((participation_ratio(w) or math.nan) / truth - 1)
        yield Figure(4, "  relative error", error, 1e-8, at_most=True, detail="against singular values in float64")


def dora(bench: Bench) -> Iterator[Figure]:
    """Row 5."""
    n = 1024 if bench.quick else 4096
    weight = spiked(n, 40, bench.device)
    b, a = factors(n, n, RANK, 50, 0.5, bench.device)
    tuned = weight.double() + b.double() @ a.double()
    norms = tuned.norm(dim=1)
    magnitude = (norms * (1 + 0.05 * drawn(60, n).to(bench.device))).float()
    update = ((magnitude.double() / norms).view(-1, 1) * tuned - weight).float()
    del tuned

    def leading() -> tuple[float, ...]:
        found, generator = Dora(weight, b, a, 1.0, magnitude), torch.Generator(bench.device).manual_seed(0)
        return operator_spectrum(found, 16, found.frobenius(), generator).singular_values

    ways: dict[str, Way] = {"operator": leading, "svdvals": lambda: torch.linalg.svdvals(update)}
    said = bench.interleaved(ways, bench.turns(n))
    truth: list[float] = torch.linalg.eigvalsh(update.double() @ update.double().T)[-16:].sqrt().flip(0).tolist()
    error = max(abs(found / true - 1) for found, true in zip(leading(), truth, strict=True))
    detail = f"{compared(said, 'operator', 'svdvals')}; relative error {error:.1g}"
    yield Figure(5, f"DoRA top 16, {n}", said["svdvals"] / said["operator"], bench.goal(15), detail=detail)


def intruding(bench: Bench) -> Iterator[Figure]:
    """Row 6."""
    for n, goal in ((1024, 10),) if bench.quick else ((1024, 10), (2048, 100)):
        weight = spiked(n, 70)
        b, a = factors(n, n, RANK, 80, 10.0)
        update, tuned = LowRank(b, a), weight + b @ a
        tell("  the base's basis, once")
        basis = singular_basis(weight)
        peft = PeftLayer(weight, b, a)
        ways: dict[str, Way] = {
            "cached": lambda update=update, basis=basis: intruders(update, basis),
            "SVD": lambda tuned=tuned: torch.linalg.svd(tuned, full_matrices=False),
            "PEFT": peft.count,
        }
        said = bench.interleaved(ways, bench.rounds)
        count = next(count for count in intruders(update, basis).counts if count.epsilon == EPSILON)
        own, theirs = (count.least, count.most), peft.count()
        detail = compared(said, "cached", "SVD")
        yield Figure(6, f"intruders, {n}", said["SVD"] / said["cached"], bench.goal(goal, False), detail=detail)
        detail = f"PEFT {said['PEFT']:.3g} s, which also mitigates"
        yield Figure(6, "  against PEFT's function", said["PEFT"] / said["cached"], detail=detail)
        apart = max(abs(theirs - found) for found in own)
        detail = f"{own[0]} of 10, PEFT {theirs}; borderline {count.borderline}"
        yield Figure(6, "  counts apart", apart, 0, at_most=True, detail=detail)


class PeftLayer:
    """A model of one layer with a LoRA adapter, for PEFT's `reduce_intruder_dimension`."""

    def __init__(self, weight: Tensor, b: Tensor, a: Tensor) -> None:
        peft: Any = import_module("peft")
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        layer.weight.data = weight
        config = peft.LoraConfig(r=b.shape[1], lora_alpha=b.shape[1], target_modules=["0"])
        self._model: Any = peft.get_peft_model(torch.nn.Sequential(layer), config)
        adapted = self._model.base_model.model[0]
        adapted.lora_A["default"].weight.data, adapted.lora_B["default"].weight.data = a, b
        self._calls = 0

    def count(self) -> int:
        """Return how many intruders PEFT reports; it mitigates them in an adapter of a new name."""
        reduce: Any = import_module("peft.tuners.lora.intruders").reduce_intruder_dimension
        said: list[str] = []
        self._calls += 1
        with torch.no_grad():
            reduce(
                self._model,
                new_adapter_name=f"reduced{self._calls}",
                threshold_epsilon=EPSILON,
                logging_sink=said.append,
            )
        return sum(int(line.rpartition(" ")[2]) for line in said if ": Intruders: " in line)


def full_path(bench: Bench) -> Iterator[Figure]:
    """Row 7."""
    missing = no_watcher(bench.watcher)
    if missing:
        yield Figure(7, "WeightWatcher, same Llama", None, detail=missing)
        return
    folder = bench.scratch / "llama"
    hidden, layers = (256, 1) if bench.quick else (1024, 6)
    write_llama(folder, hidden, layers)
    found: dict[str, list[dict[str, Any]]] = {"ours": [], "WeightWatcher": []}
    for turn in range(bench.rounds):
        tell(f"  turn {turn + 1} of {bench.rounds}: {', '.join(found)}")
        found["ours"].append(fresh(SURVEY, str(folder), "0"))
        found["WeightWatcher"].append(fresh(WATCHER, str(folder), place=bench.watcher))
    said, peaks = (
        {side: statistics.median(one[what] for one in found[side]) for side in found} for what in ("seconds", "peak")
    )
    version = found["WeightWatcher"][0]["version"]
    what = f"WeightWatcher {version}, {layers} layers of {hidden}"
    ratio, detail = said["WeightWatcher"] / said["ours"], compared(said, "ours", "WeightWatcher")
    yield Figure(7, f"{what}: time", ratio, bench.goal(1.5), detail=detail)
    ratio, detail = peaks["WeightWatcher"] / peaks["ours"], above(peaks["ours"], peaks["WeightWatcher"])
    yield Figure(7, "  peak memory", ratio, bench.goal(1.3), detail=detail)
    own, theirs = found["ours"][0]["alphas"], found["WeightWatcher"][0]["alphas"]
    error = max(abs(own[name] / alpha - 1) for name, alpha in theirs.items())
    detail = f"{len(theirs)} matrices, ours {len(own)} with the embedding"
    yield Figure(7, "  alpha, relative difference", error, 1e-9, at_most=True, detail=detail)


def above(ours: float, theirs: float) -> str:
    """Return two peaks in words, and what they are above one that imports torch."""
    base = fresh(NOTHING)["peak"]
    return f"{ours / MIB:.0f} and {theirs / MIB:.0f} MiB, of which torch {base / MIB:.0f}"


def no_watcher(place: Path | None) -> str:
    """Return why WeightWatcher cannot be run; empty where it can."""
    if place is None and find_spec("weightwatcher") is None:
        return "WeightWatcher is not installed: name where it is by --weightwatcher"
    try:
        fresh("import json, torch, transformers, weightwatcher\nprint(json.dumps({}))", place=place)
    except RuntimeError as error:
        return f"WeightWatcher cannot be imported: {str(error).strip().splitlines()[-1]}"
    return ""


def write_llama(folder: Path, hidden: int, layers: int) -> None:
    """Write a Llama whose matrices are spiked, in float32."""
    transformers: Any = import_module("transformers")
    config = transformers.LlamaConfig(
        hidden_size=hidden,
        intermediate_size=hidden * 11 // 4,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=hidden // 64,
        vocab_size=256,
    )
    model = transformers.LlamaForCausalLM(config)
    with torch.no_grad():
        for seed, weight in enumerate(weight for weight in model.parameters() if weight.dim() == 2):
            rows, columns = weight.shape
            weight.copy_(spiked(max(rows, columns), 1000 + 10 * seed)[:rows, :columns])
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(folder)


def adapter(bench: Bench) -> Iterator[Figure]:
    """Row 8."""
    nothing = fresh(NOTHING)["peak"]
    layers, shrink = (2, 4) if bench.quick else (32, 1)
    for rank in (16, 256):
        folder = bench.scratch / f"adapter-{rank}"
        tell(f"  writing an adapter of {layers} layers, rank {rank}")
        write_adapter(folder, layers, rank, shrink)
        ours: list[dict[str, Any]] = []
        cores: list[float] = []
        for turn in range(bench.rounds):
            tell(f"  turn {turn + 1} of {bench.rounds}: survey, cores")
            ours.append(fresh(f"import scipy.linalg\n{SURVEY}", str(folder), "0"))  # imports count on neither side
            cores.append(fresh(CORES, str(folder / "adapter_model.safetensors"))["seconds"])
        own, bare = statistics.median(one["seconds"] for one in ours), statistics.median(cores)
        what = f"adapter, {layers * len(LLAMA_8B)} modules, r={rank}"
        detail = f"ours {own:.3g} s, cores {bare:.3g} s"
        yield Figure(8, f"{what}: time / cores", own / bare, bench.goal(1.3), at_most=True, detail=detail)
        peak = (statistics.median(one["peak"] for one in ours) - nothing) / 1e6
        yield Figure(8, "  peak above torch, MB", peak, bench.goal(600), at_most=True)
        (folder / "adapter_model.safetensors").unlink()


def write_adapter(folder: Path, layers: int, rank: int, shrink: int) -> None:
    """Write random factors as PEFT saves them, in float32."""
    folder.mkdir()
    tensors: dict[str, Tensor] = {}
    generator = torch.Generator().manual_seed(rank)
    for layer in range(layers):
        for module, (rows, columns) in LLAMA_8B.items():
            name = f"base_model.model.model.layers.{layer}.{module}"
            tensors[f"{name}.lora_A.weight"] = torch.randn(rank, columns // shrink, generator=generator) / 64
            tensors[f"{name}.lora_B.weight"] = torch.randn(rows // shrink, rank, generator=generator) / 64
    import_module("safetensors.torch").save_file(tensors, folder / "adapter_model.safetensors")
    targets = [module.rpartition(".")[2] for module in LLAMA_8B]
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank, "target_modules": targets}
    write_json(folder / "adapter_config.json", config)


def streaming(bench: Bench) -> Iterator[Figure]:
    """Row 9."""
    nothing = fresh(NOTHING)["peak"]
    n = 1024 if bench.quick else 4096
    for what, top, goal, counts in (("all values", 0, 8, (1, 3)), ("leading 16", 16, 4, (2, 8))):
        peaks: list[float] = []
        for count in counts:
            path = bench.scratch / f"stream-{top}-{count}.safetensors"
            tensors = {f"layers.{i}.weight": spiked(n, 100 * i).bfloat16() for i in range(count)}
            import_module("safetensors.torch").save_file(tensors, path)
            tell(f"  {what} of {count} matrices")
            turns = [fresh(SURVEY, str(path), str(top))["peak"] for _ in range(1 if bench.quick else 3)]
            peaks.append(statistics.median(turns) - nothing)  # the allocator keeps 40 MB more in one turn of three
            path.unlink()
        detail = ", ".join(f"{peak / 1e6:.0f} MB for {count}" for peak, count in zip(peaks, counts, strict=True))
        ratio = max(peaks) / (4 * n * n)
        yield Figure(9, f"peak / matrix, {what}, {n}", ratio, bench.goal(goal), at_most=True, detail=detail)
        what = f"  {counts[1]} matrices / {counts[0]}"
        yield Figure(9, what, peaks[1] / peaks[0], bench.goal(GROWTH), at_most=True)


def fresh(code: str, *arguments: str, place: Path | None = None) -> dict[str, Any]:
    """Return the object that code prints last in a fresh process, which finds the packages in `place` as well."""
    own = place / "bin" / "python" if place else Path(sys.executable)
    interpreter = own if own.exists() else Path(sys.executable)
    environment = {**os.environ, **THREADS, "HF_HUB_OFFLINE": "1"}
    if place is not None and interpreter != own:
        environment["PYTHONPATH"] = str(place)
    done = subprocess.run(
        [str(interpreter), "-c", code, *arguments],
        env=environment,
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def measured(bench: Bench, rows: set[int]) -> Iterator[Figure]:
    """Yield the figures of the rows that were asked for."""
    measures: dict[tuple[int, ...], Callable[[], Iterator[Figure]]] = {
        (1,): lambda: lora(bench),
        (2, 3, 4): lambda: dense(bench, rows & {2, 3, 4}),
        (5,): lambda: dora(bench),
        (6,): lambda: intruding(bench),
        (7,): lambda: full_path(bench),
        (8,): lambda: adapter(bench),
        (9,): lambda: streaming(bench),
    }
    for own, measure in measures.items():
        if rows.intersection(own):
            tell(f"row {', '.join(map(str, sorted(rows.intersection(own))))}")
            for figure in measure():
                tell("  " + "  ".join(filter(None, figure.cells())))
                yield figure


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a table."""
    lines = [("row", "what", "figure", "goal", "", ""), *(figure.cells() for figure in figures)]
    widths = [max(len(line[i]) for line in lines) for i in range(5)]
    return "\n".join("  ".join((*map(str.ljust, line[:5], widths), line[5])).rstrip() for line in lines)


def main() -> int:
    """Return 0 if no goal is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="sizes up to 1024, without the goals of larger ones")
    parser.add_argument("--only", type=int, action="append", choices=ROWS, metavar="ROW", help="repeatable")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each way; at least 5 where they are short")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="of rows 1 to 5; cuda leaves the rest")
    parser.add_argument("--weightwatcher", type=Path, metavar="PATH", help="an environment or a folder that holds it")
    chosen = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in THREADS.items()):  # libraries read it when they are loaded
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **THREADS})
    torch.set_num_threads(1)
    rows = set(chosen.only or ROWS)
    if chosen.device == "cuda":
        if not torch.cuda.is_available():
            print("--device cuda: torch finds no such GPU here. Run it where there is one, or leave the option out.")
            return 2
        torch.set_default_device("cuda")  # for what the kernels allocate themselves
        rows &= set(ON_GPU)
    with tempfile.TemporaryDirectory() as scratch:
        watcher = chosen.weightwatcher and chosen.weightwatcher.absolute()
        bench = Bench(chosen.quick, chosen.rounds, chosen.device, Path(scratch), watcher)
        figures = list(measured(bench, rows))
    print(table(figures))
    counts = {verdict: sum(figure.verdict == verdict for figure in figures) for verdict in VERDICTS}
    print(", ".join(f"{count} {VERDICTS[verdict]}" for verdict, count in counts.items()))
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())
