"""At the edge of its regions no kind says a wrong thing more often than its level, through the decision code itself."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SETS = 300
LIMIT = 4.0
"""Monte Carlo standard errors; more than the benchmark's own 3, for so few data sets."""


def _benchmark() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "calibration.py"
    spec = importlib.util.spec_from_file_location("benchmarks_calibration", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


CALIBRATION: Any = _benchmark()
NAMES: dict[str, int] = {setting.name: i for i, setting in enumerate(CALIBRATION.settings())}
KINDS: list[str] = sorted({setting.kind for setting in CALIBRATION.settings()})
CHOSEN = [name for name in NAMES if "always, every run on the limit" in name]
"""Simulated whatever else is: here either of two ways could refute, each at the whole level, before they shared it."""


def some(kind: str) -> list[str]:
    """Return a few settings of a kind, spread over all of them."""
    names = [name for name, i in NAMES.items() if CALIBRATION.settings()[i].kind == kind and "bimodal" not in name]
    return names[:: max(1, len(names) // 6)]


def test_every_kind_is_simulated_under_names_of_their_own() -> None:
    assert len(NAMES) == len(CALIBRATION.settings())
    assert set(KINDS) == {
        "association",
        "cliff",
        "collapse_probability",
        "custom",
        "equivalence",
        "exploratory",
        "family",
        "interaction",
        "mean_bound",
        "min_effect",
        "non_inferiority",
        "non_superiority",
    }
    assert all(len(some(kind)) >= 2 for kind in KINDS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_wrong_verdicts_are_no_more_frequent_than_their_level(kind: str) -> None:
    sets = {"exploratory": 30, "family": 200, "cliff": 200}.get(kind, SETS)
    chosen = [*some(kind), *(CHOSEN if kind == "collapse_probability" else ())]
    checks = {name: CALIBRATION.simulated(NAMES[name], sets) for name in chosen}
    assert {name: list(map(str, found)) for name, found in checks.items() if CALIBRATION.worst(found) > LIMIT} == {}


def test_a_setting_gives_the_same_data_sets_every_time() -> None:
    index = NAMES["mean_bound, raw, sd 1:1, n=3, truth +0.5"]
    assert CALIBRATION.simulated(index, 50) == CALIBRATION.simulated(index, 50)


def test_peeking_at_every_look_with_the_whole_level_would_be_found() -> None:
    naive = CALIBRATION.Check("supported", 0.096, 2_000, 0.05)
    short = CALIBRATION.Check("coverage", 0.85, 10_000, 0.90)
    free = CALIBRATION.Check("supported", 0.5, 2_000)
    assert naive.deviation == pytest.approx(0.046 / (0.05 * 0.95 / 2_000) ** 0.5)
    assert short.deviation == pytest.approx(0.05 / (0.02 / 3))
    assert CALIBRATION.worst([free]) == -float("inf")
    assert min(naive.deviation, short.deviation) > CALIBRATION.LIMIT
