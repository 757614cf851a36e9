"""On each engine workers, supervisors, the driver and a node are killed at random, and nothing is lost or doubled.

The short form of `benchmarks/engines/chaos.py`: quick trainers behind the real supervisor and record, a real SLURM of
two nodes, a real Ray of two nodes.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "engines"
QUICK, KILLS = 20, 8

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc"),
]


def script(name: str) -> ModuleType:
    """Return a script of benchmarks/engines as a module."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look their module up, and neighbours import it by this name
        spec.loader.exec_module(module)
    return sys.modules[name]


def missing(engine: str) -> str | None:
    """Return what an engine would need that is not here, or None."""
    if engine == "slurm":
        return script("slurm_cluster").missing()
    if engine == "ray" and importlib.util.find_spec("ray") is None:
        return "ray is not installed (pip install 'rlvr-harness[ray]')"
    return None


@pytest.mark.parametrize("engine", ["local", "slurm", "ray"])
def test_nothing_is_lost_and_nothing_doubled(engine: str, tmp_path: Path) -> None:
    if why := missing(engine):
        pytest.skip(why)
    chaos = script("chaos")
    jobs = chaos.prepared(tmp_path, QUICK, None, 0, seconds=0.2)
    with chaos.at_hand(engine) as hand:
        found = chaos.trial(hand, jobs, {}, chaos.Chaos(hand, jobs, KILLS, pause=1.0, seed=2))
    assert found["quick"]["right"] == QUICK - 1  # one in twenty always fails
    assert found["quick"]["wrong"] == []
    (why,) = found["doomed_reported"].values()
    assert why.startswith("ValueError: this run always fails (see ")
    assert found["doomed_with_reason"] == 1
    assert found["failed_beyond"] == []
    assert found["committed_twice"] == []
    assert found["left_at_work"] == 0
    assert sum(found["kills"].values()) >= KILLS // 2  # whatever was left over found nobody any more
    assert found["quick"]["attempts"] > QUICK  # some were hit
    assert chaos.nothing_lost(found)


def test_a_wrong_a_missing_or_a_doubled_result_is_noticed(tmp_path: Path) -> None:
    """The judge of the chaos above can say no."""
    chaos, quick = script("chaos"), script("quick")
    jobs = chaos.prepared(tmp_path, 2, None, 0, seconds=0.0)
    for job in jobs.quick:
        attempt = job.claim({})
        total = quick.expected(job.spec()["identity"]["seed"], job.spec()["identity"]["steps"])
        (attempt.stage / "result.json").write_text(f'{{"total": {total + (job is jobs.quick[0])}}}')
        assert attempt.commit()
        attempt.exit(chaos.Reason.OK)
    found = quick.look(jobs.quick)
    assert (found["right"], found["wrong"]) == (1, [jobs.quick[0].id])
    right: dict[str, Any] = {**found, "right": 2, "wrong": []}
    sound: dict[str, Any] = {"quick": right, "quick_doomed": 0, "doomed_with_reason": 0, "doomed_reported": {}}
    sound |= {"real": 0, "real_equal": 0, "failed_beyond": [], "committed_twice": [], "left_at_work": 0}
    assert chaos.nothing_lost(sound)
    assert not chaos.nothing_lost({**sound, "quick": found})
    assert not chaos.nothing_lost({**sound, "quick": {**right, "right": 1}})
    assert not chaos.nothing_lost({**sound, "committed_twice": ["a"]})
    assert not chaos.nothing_lost({**sound, "real": 1})
    assert not chaos.nothing_lost({**sound, "left_at_work": 1})
