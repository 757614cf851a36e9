"""What this machine is and has, as far as runs care: read, tried, and never guessed.

Torch is not imported. GPUs are asked of the driver's own tool, which takes a fraction of a second; what torch sees of
them is asked in a process of its own, and only where somebody wants to know.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from harness.campaign.filesystem import Check, existing, file_checks
from harness.campaign.reachable import engine_checks, exchange_check
from harness.execute.local import available_cores
from harness.spec.secrets import secret_names, without_secrets
from harness.spec.shelf import Shelf

GIB = 2**30
SECONDS = 5.0
"""How long the Hub may take to answer."""
SEEN_BY_TORCH = """
import json, torch
cuda = torch.cuda
each = [cuda.get_device_properties(i) for i in range(cuda.device_count())] if cuda.is_available() else []
print(json.dumps([[p.name, p.total_memory / 2**30] for p in each]))
"""
_REQUIRED = re.compile(r"([A-Za-z0-9_.-]+)\s*(?:\[[^]]*\])?\s*([<>=!~0-9.,\s]*)$")
_BOUND = re.compile(r"(>=|<=|==|<|>)\s*([0-9][0-9.]*)")


@dataclass(frozen=True, slots=True)
class Machine:
    """What protocols ask for."""

    gpus: tuple[tuple[str, float], ...] = ()
    """Name and memory (GiB) of each."""
    host_gib: float | None = None
    cores: int | None = None
    free_gib: float = 0.0
    """Where the Hub's cache lies."""
    hub: bool = False
    """Whether the Hub answers."""
    cache: Path = Path()
    installed: frozenset[str] = field(default_factory=frozenset[str])
    """Those of the optional packages that are there."""


OPTIONAL = ("vllm", "math-verify", "reasoning-gym")


def look(*, torch: bool = False) -> Machine:
    """Return what the machine has; with `torch`, the GPUs that torch sees instead of those that the driver lists."""
    cache = hub_cache()
    return Machine(
        gpus=tuple(_torch_gpus() if torch else driver_gpus()),
        host_gib=host_memory(),
        cores=available_cores(),
        free_gib=shutil.disk_usage(existing(cache)).free / GIB,
        hub=hub_answers(),
        cache=cache,
        installed=frozenset(name for name in OPTIONAL if _version(name) is not None),
    )


def checks(store: Path, machine: Machine, shelf: Shelf) -> Iterator[Check]:
    """Yield what was looked at, the most basic first; what a project settles of engines is on its shelf."""
    yield Check(
        "python", sys.version_info >= (3, 11), f"{platform.python_version()} on {platform.platform(terse=True)}"
    )
    yield from _versions()
    cores, threads = available_cores(), os.environ.get("OMP_NUM_THREADS")
    yield Check("cores", None, f"{cores}; a worker takes one thread (OMP_NUM_THREADS here: {threads or 'unset'})")
    yield Check("memory", None, f"{machine.host_gib:.0f} GiB" if machine.host_gib else "not known")
    shown = ", ".join(f"{name} ({gib:.0f} GiB)" for name, gib in machine.gpus)
    yield Check("gpus", None, shown or "none")
    yield from file_checks(store)
    free = shutil.disk_usage(existing(store)).free / GIB
    yield Check("space", free > 1, f"{free:.1f} GiB free at the store, {machine.free_gib:.1f} GiB at the Hub's cache")
    yield from engine_checks(shelf.slurm, shelf.ray, shelf.settings.get("executor"))
    yield from exchange_check(shelf.settings.get("exchange"), store)
    yield Check("hub", None, f"{without_secrets(_endpoint())} {'answers' if machine.hub else 'does not answer'}")
    yield _tokens()
    there = (f"{name} {_version(name) or 'not installed'}" for name in OPTIONAL)
    yield Check("optional", None, ", ".join(there))


def _tokens() -> Check:
    """Say which secrets are there, by the names of their variables alone."""
    names = ", ".join(secret_names()) or "none in the environment"
    hub = "for the Hub: present" if _has_token() else "for the Hub: none; models behind consent cannot be fetched"
    return Check("token", None, f"{hub}; variables: {names}")


def hub_cache() -> Path:
    """Return the folder of the Hub's cache."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def hub_answers() -> bool:
    """Return whether the Hub answers within SECONDS; never where the library is told to be offline."""
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or not _endpoint().startswith(("http://", "https://")):
        return False
    try:
        with urlopen(Request(f"{_endpoint()}/api/models?limit=1"), timeout=SECONDS):
            return True
    except HTTPError:  # an answer, if not the one that was asked for
        return True
    except (URLError, OSError, ValueError):
        return False


def host_memory() -> float | None:
    """Return the memory of this host, or of the group that it confines this process to, in GiB."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None
    limits = [Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")]
    said = [path.read_text().strip() for path in limits if path.is_file()]
    return min([total, *(int(limit) for limit in said if limit.isdecimal())]) / GIB


def outside(installed: str, wanted: str) -> bool:
    """Return whether a version lies outside a range such as `>=2.13,<3`."""
    here = _parts(installed)
    for sign, bound in _BOUND.findall(wanted):
        there = _parts(bound)
        wide = max(len(here), len(there))
        a, b = (part + (0,) * (wide - len(part)) for part in (here, there))
        if not {">=": a >= b, "<=": a <= b, "==": a == b, "<": a < b, ">": a > b}[sign]:
            return True
    return False


def _versions() -> Iterator[Check]:
    """Yield one check for all required packages, which names those that are not what was tried."""
    try:
        wanted = requires("rlvr-harness") or []
    except PackageNotFoundError:
        yield Check("packages", None, "rlvr-harness itself is not installed, so nothing is known of what it needs")
        return
    wrong: list[str] = []
    for line in wanted:
        found = _REQUIRED.fullmatch(line.split(";")[0].strip())
        if found is None or "extra ==" in line:
            continue
        here = _version(found[1])
        if here is None:
            wrong.append(f"{found[1]} is missing ({found[2].strip()})")
        elif outside(here, found[2]):
            wrong.append(f"{found[1]} {here} is outside {found[2].strip()}")
    told = "; ".join(wrong) or "all within the ranges that were tried"
    yield Check("packages", not wrong, told)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _parts(number: str) -> tuple[int, ...]:
    """Return a version as numbers; what follows a sign such as + (a build) or a letter does not count."""
    found = re.match(r"[0-9]+(?:\.[0-9]+)*", number)
    return tuple(map(int, found[0].split("."))) if found else ()


def driver_gpus() -> Iterator[tuple[str, float]]:
    """Yield what the NVIDIA driver lists; nothing where it has no tool."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return
    line = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return
    for row in done.stdout.splitlines():
        name, _, mebibytes = row.rpartition(",")
        if mebibytes.strip().isdecimal():
            yield name.strip(), int(mebibytes) / 1024


def _torch_gpus() -> Iterator[tuple[str, float]]:
    line = [sys.executable, "-P", "-c", SEEN_BY_TORCH]
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=True)
        seen: list[tuple[str, float]] = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return
    yield from ((str(name), float(gib)) for name, gib in seen)


def _endpoint() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT


def _has_token() -> bool:
    from huggingface_hub import get_token

    return get_token() is not None
