"""What must not change a decision, and what must turn it round, over every kind of contrast.

No expected number stands here: each test changes the runs in a way whose effect is known, and compares.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from harness.decide import CellSample, Landmarks
from harness.decide.associations import Unit
from harness.decide.associations import find as find_slope
from harness.decide.cliff import find as find_cliff
from harness.decide.counts import find as find_count
from harness.decide.means import contrast_of, find
from harness.decide.ruling import Finding
from harness.decide.terms import fixed
from harness.record.verdict import Outcome, RunLabel
from harness.spec.prediction import Association, Cliff, CollapseProbability, Contrast, Prediction

READ: TypeAdapter[Prediction] = TypeAdapter(Prediction)
SAID = {"id": "claim", "statement": "It is as predicted.", "role": "primary", "rationale": "For the test alone."}
ARMS: dict[str, Any] = {
    "a": {"rank": 8},
    "b": {"rank": 128},
    "c": {"rank": 8, "algorithm": "sft"},
    "d": {"rank": 128, "algorithm": "sft"},
}
LANDMARKS = Landmarks(base=0.4, collapsed_below=0.1, trained_above=0.46)
FLIPPED = {Outcome.SUPPORTED: Outcome.REFUTED, Outcome.REFUTED: Outcome.SUPPORTED}
KINDS = {
    "min_effect": {"margin": 0.05},
    "non_superiority": {"margin": 0.05},
    "non_inferiority": {"margin": 0.05},
    "equivalence": {"low": -0.1, "high": 0.1},
    "interaction": {"margin": 0.05},
    "mean_bound": {"direction": "above", "value": 0.5},
}
DIFFERENCES = [kind for kind in KINDS if kind != "mean_bound"]
WORLDS = range(40)
Cells = dict[str, CellSample]


def claim(kind: str, **fields: Any) -> Any:
    names = {"interaction": "abcd", "mean_bound": ""}.get(kind, "ab")
    arms: dict[str, Any] = {name: ARMS[name] for name in names} or {"cell": ARMS["a"]}
    return READ.validate_python({**SAID, "kind": kind, **arms, **KINDS.get(kind, {}), **fields}, strict=False)


def world(seed: int, names: str | tuple[str, ...], runs: int = 5, n_items: int = 500) -> Cells:
    """Cells of unimodal runs, some near each other and some not, with answers to each problem."""
    rng = np.random.default_rng(seed)
    cells: Cells = {}
    for name in names:
        p = rng.choice([0.45, 0.5, 0.55, 0.6, 0.65]) + rng.normal(0, 0.03, runs)
        items = (rng.random((runs, n_items)) < p[:, None]).astype(float)
        values = items.mean(axis=1)
        cells[name] = CellSample(values, (RunLabel.TRAINED,) * runs, n_items, runs, items=items)
    return cells


def changed(cells: Mapping[str, CellSample], change: Callable[[CellSample], CellSample]) -> Cells:
    return {name: change(sample) for name, sample in cells.items()}


def valued(sample: CellSample, values: Any) -> CellSample:
    return replace(sample, values=np.asarray(values), items=None)


def decided(prediction: Contrast, cells: Mapping[str, CellSample], alpha: float = 0.05) -> Finding:
    return find(prediction, cells, fixed(alpha, alpha, 5), LANDMARKS)


def names_of(kind: str) -> tuple[str, ...]:
    return tuple(claim(kind).arms())


def all_outcomes(kind: str, **fields: Any) -> set[Outcome]:
    """What comes of the worlds, so that a test over them is not empty."""
    return {decided(claim(kind, **fields), world(seed, names_of(kind))).outcome for seed in WORLDS}


@pytest.mark.parametrize("kind", KINDS)
def test_the_worlds_are_of_every_outcome(kind: str) -> None:
    assert all_outcomes(kind) == {Outcome.SUPPORTED, Outcome.REFUTED, Outcome.INCONCLUSIVE}


@pytest.mark.parametrize("seed", WORLDS)
def test_swapping_the_arms_mirrors_the_claim(seed: int) -> None:
    cells = world(seed, "abcd")
    swapped = {"a": cells["b"], "b": cells["a"], "c": cells["d"], "d": cells["c"]}
    forth, back = contrast_of(claim("min_effect"), cells), contrast_of(claim("min_effect"), swapped)
    assert (back.low(0.05), back.high(0.05)) == pytest.approx((-forth.high(0.05), -forth.low(0.05)))
    # a - b < d of the one is b - a > -d of the other.
    assert decided(claim("non_superiority"), cells).outcome is decided(claim("non_inferiority"), swapped).outcome
    assert decided(claim("equivalence"), cells).outcome is decided(claim("equivalence"), swapped).outcome
    wide, mirrored = claim("equivalence", low=-0.02, high=0.12), claim("equivalence", low=-0.12, high=0.02)
    assert decided(wide, cells).outcome is decided(mirrored, swapped).outcome
    turned = {"a": cells["c"], "b": cells["d"], "c": cells["a"], "d": cells["b"]}
    forth, back = contrast_of(claim("interaction"), cells), contrast_of(claim("interaction"), turned)
    assert (back.low(0.05), back.high(0.05)) == pytest.approx((-forth.high(0.05), -forth.low(0.05)))


@pytest.mark.parametrize("seed", WORLDS)
def test_swapping_the_arms_turns_support_of_a_symmetric_margin_into_refutation(seed: int) -> None:
    # Supported above d, refuted below -d.
    cells = world(seed, "ab")
    symmetric = claim("min_effect", margin=0.03, refute_below=-0.03)
    one, other = (decided(symmetric, arms).outcome for arms in (cells, {"a": cells["b"], "b": cells["a"]}))
    assert other is FLIPPED.get(one, one)


@pytest.mark.parametrize("seed", WORLDS)
def test_the_other_direction_of_a_bound_turns_the_decision_round(seed: int) -> None:
    cells = world(seed, ("cell",))
    one = decided(claim("mean_bound"), cells).outcome
    assert decided(claim("mean_bound", direction="below"), cells).outcome is FLIPPED.get(one, one)
    mirrored = changed(cells, lambda s: valued(s, 1 - s.values))
    assert decided(claim("mean_bound", direction="below"), mirrored).outcome is one  # .5 is its own mirror


@pytest.mark.parametrize("kind", DIFFERENCES)
@pytest.mark.parametrize("seed", range(12))
def test_a_constant_added_to_all_runs_changes_no_difference(seed: int, kind: str) -> None:
    unbounded = changed(world(seed, names_of(kind)), lambda s: replace(s, bounded=False))
    moved = changed(unbounded, lambda s: valued(s, s.values + 17.0))
    said = claim(kind, measure="norm")
    assert decided(said, moved).outcome is decided(said, unbounded).outcome
    one, other = contrast_of(said, unbounded), contrast_of(said, moved)
    assert (other.estimate, other.se, other.df) == pytest.approx((one.estimate, one.se, one.df))


@pytest.mark.parametrize("kind", DIFFERENCES)
@pytest.mark.parametrize("seed", range(12))
def test_a_factor_on_all_runs_changes_no_ratio(seed: int, kind: str) -> None:
    cells = changed(world(seed, names_of(kind)), lambda s: replace(s, bounded=False))
    said = claim(kind, measure="norm", scale="log_ratio")
    times = changed(cells, lambda s: valued(s, 40 * s.values))
    assert decided(said, times).outcome is decided(said, cells).outcome
    assert contrast_of(said, times).estimate == pytest.approx(contrast_of(said, cells).estimate)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("scale", ["log_ratio", "logit"])
def test_turning_a_ratio_round_turns_its_sign(seed: int, scale: str) -> None:
    cells = world(seed, "ab")
    kept = changed(cells, lambda s: replace(s, bounded=scale == "logit", items=None))
    # A reciprocal; the odds against.
    turned = changed(kept, lambda s: valued(s, 1 / s.values if scale == "log_ratio" else 1 - s.values))
    said = claim("min_effect", measure="norm", scale=scale)
    one, other = contrast_of(said, kept), contrast_of(said, turned)
    assert other.estimate == pytest.approx(-one.estimate)
    assert other.se == pytest.approx(one.se)


@pytest.mark.parametrize("items", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(12))
def test_the_order_and_the_numbers_of_the_runs_do_not_matter(seed: int, kind: str, items: bool) -> None:
    cells, rng = world(seed, names_of(kind)), np.random.default_rng(seed)

    def shuffled(sample: CellSample) -> CellSample:
        order = rng.permutation(sample.n_runs)
        assert sample.items is not None
        numbers = tuple(int(n) for n in np.sort(rng.choice(100, sample.n_runs, replace=False)))
        return replace(sample, values=sample.values[order], items=sample.items[order], seeds=numbers)

    said = claim(kind, measure="accuracy_items", generalise_to="items") if items else claim(kind)
    other = changed(cells, shuffled)
    assert decided(said, other) == decided(said, cells)
    assert decided(said, dict(reversed(list(other.items())))) == decided(said, cells)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(12))
def test_asking_every_problem_twice_adds_no_run(seed: int, kind: str) -> None:
    cells = world(seed, names_of(kind))

    def twice(sample: CellSample) -> CellSample:
        assert sample.items is not None
        return replace(sample, items=np.tile(sample.items, 2), n_items=2 * sample.n_items)

    once, doubled = (contrast_of(claim(kind), c) for c in (cells, changed(cells, twice)))
    # Above the floor, which more problems do lower, the interval is that of the runs.
    assert doubled.se <= once.se
    spread = sum(float(s.values.var(ddof=1)) / s.n_runs for s in cells.values())
    assert once.se**2 >= spread * (1 - 1e-12)
    if once.se**2 == pytest.approx(spread):
        assert (doubled.estimate, doubled.se, doubled.df) == (once.estimate, once.se, once.df)


@pytest.mark.parametrize("kind", ["min_effect", "interaction"])
@pytest.mark.parametrize("seed", WORLDS)
def test_an_identical_arm_never_shows_an_effect(seed: int, kind: str) -> None:
    (sample,) = world(seed, ("a",)).values()
    cells = dict.fromkeys(names_of(kind), sample)
    for scale in ("raw", "log_ratio", "logit"):
        for alpha in (0.05, 0.3, 0.5):
            said = decided(claim(kind, margin=1e-6, scale=scale), cells, alpha)
            assert said.outcome is not Outcome.SUPPORTED


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(12))
def test_a_stricter_level_decides_no_more(seed: int, kind: str) -> None:
    cells, outcomes = world(seed, names_of(kind)), list[Outcome]()
    for alpha in (0.3, 0.1, 0.05, 0.01, 0.001):
        outcomes.append(decided(claim(kind), cells, alpha).outcome)
    first = outcomes[0]
    assert outcomes == sorted(outcomes, key=lambda o: o is Outcome.INCONCLUSIVE)
    assert set(outcomes) <= {first, Outcome.INCONCLUSIVE}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(12))
def test_losing_a_run_never_decides_the_other_way(seed: int, kind: str) -> None:
    cells = world(seed, names_of(kind))
    whole = decided(claim(kind), cells).outcome
    for name in cells:
        sample = cells[name]
        less = {
            **cells,
            name: replace(sample, values=sample.values[:-1], labels=sample.labels[:-1], seeds=(), items=None),
        }
        assert decided(claim(kind), less).outcome in (whole, Outcome.INCONCLUSIVE)


# Counts.

RANKS = (8, 16, 32)


def count(direction: str, event: str, probability: float, **more: str) -> CollapseProbability:
    fields = {"kind": "collapse_probability", "event": event, "direction": direction, "probability": probability}
    return CollapseProbability.model_validate({**SAID, **fields, **more, "among": {"rank": RANKS}}, strict=False)


def labelled(seed: int, n: int = 6) -> Cells:
    rng = np.random.default_rng(seed)
    cells: Cells = {}
    for rank, chance in zip(RANKS, rng.choice([0.0, 0.1, 0.5, 0.9, 1.0], 3), strict=True):
        dead = rng.random(n) < chance
        labels = tuple(RunLabel.COLLAPSED if d else RunLabel.TRAINED for d in dead)
        cells[f"r={rank}"] = CellSample(np.where(dead, 0.01, 0.6), labels, 500, n)
    return cells


@pytest.mark.parametrize(
    "more",
    [{}, {"refute_by": "any_cell"}, {"quantifier": "mean_over_cells"}, {"quantifier": "always"}],
    ids=["each", "any", "mean", "always"],
)
@pytest.mark.parametrize("seed", WORLDS)
def test_mirroring_event_and_direction_changes_no_count(seed: int, more: dict[str, str]) -> None:
    cells = labelled(seed)  # every run either collapsed or trained, so that one event is the other's complement
    mirrored = count("above", "trained", 0.6, **more), count("below", "collapsed", 0.4, **more)
    one, other = (find_count(said, cells, fixed(0.05, 0.05, 6), LANDMARKS) for said in mirrored)
    assert one == other


@pytest.mark.parametrize("seed", WORLDS)
def test_the_order_of_runs_and_cells_changes_no_count(seed: int) -> None:
    cells, said = labelled(seed), count("below", "collapsed", 0.5)
    turned = {name: replace(s, values=s.values[::-1], labels=s.labels[::-1]) for name, s in cells.items()}
    one = find_count(said, cells, fixed(0.05, 0.05, 6), LANDMARKS)
    assert find_count(said, turned, fixed(0.05, 0.05, 6), LANDMARKS) == one
    assert find_count(said, dict(reversed(list(cells.items()))), fixed(0.05, 0.05, 6), LANDMARKS) == one


@pytest.mark.parametrize("seed", WORLDS)
def test_one_more_event_never_helps_a_claim_that_there_are_few(seed: int) -> None:
    cells, rank = labelled(seed), [Outcome.SUPPORTED, Outcome.INCONCLUSIVE, Outcome.REFUTED].index
    for more in ({}, {"refute_by": "any_cell"}, {"quantifier": "mean_over_cells"}):
        said = count("below", "collapsed", 0.5, **more)
        before = find_count(said, cells, fixed(0.05, 0.05, 6), LANDMARKS).outcome
        for name, sample in cells.items():
            labels = list(sample.labels)
            if RunLabel.TRAINED in labels:
                labels[labels.index(RunLabel.TRAINED)] = RunLabel.COLLAPSED
                after = find_count(
                    said, {**cells, name: replace(sample, labels=tuple(labels))}, fixed(0.05, 0.05, 6), LANDMARKS
                ).outcome
                assert rank(after) >= rank(before)


# Cliffs.


def cliff(ranks: tuple[int, ...], **fields: Any) -> Cliff:
    given = {"kind": "cliff", "ranks": ranks, "share": 0.6, "min_total_drop": 0.1, "location": None}
    return Cliff.model_validate({**SAID, **given, **fields}, strict=False)


def falling(seed: int) -> Cells:
    rng = np.random.default_rng(seed)
    drops = rng.dirichlet([0.4] * 3) * rng.choice([0.05, 0.4])
    means = 0.7 - np.cumsum([0, *drops])
    return {
        f"r={r}": CellSample(m + rng.normal(0, 0.02, 5), (RunLabel.TRAINED,) * 5, 10**5, 5)
        for r, m in zip((8, 16, 32, 64), means, strict=True)
    }


@pytest.mark.parametrize("location", [None, (16, 32)])
@pytest.mark.parametrize("seed", WORLDS)
def test_a_cliff_stays_where_ranks_are_renamed_and_all_runs_are_moved(
    seed: int, location: tuple[int, int] | None
) -> None:
    cells = falling(seed)
    one = find_cliff(cliff((8, 16, 32, 64), location=location), cells, fixed(0.05, 0.05, 5), LANDMARKS)
    moved = changed(cells, lambda s: valued(s, s.values - 0.1))
    assert find_cliff(cliff((8, 16, 32, 64), location=location), moved, fixed(0.05, 0.05, 5), LANDMARKS) == one
    named = {f"r={2 * int(name[2:])}": sample for name, sample in cells.items()}
    there = None if location is None else (2 * location[0], 2 * location[1])
    assert find_cliff(cliff((16, 32, 64, 128), location=there), named, fixed(0.05, 0.05, 5), LANDMARKS) == one


@pytest.mark.parametrize("seed", WORLDS)
def test_the_share_of_a_drop_is_the_same_of_any_multiple(seed: int) -> None:
    cells = changed(falling(seed), lambda s: replace(s, bounded=False))
    times = changed(cells, lambda s: valued(s, 30 * s.values + 4))
    one, other = (
        find_cliff(cliff((8, 16, 32, 64), min_total_drop=d, measure="norm"), c, fixed(0.05, 0.05, 5), LANDMARKS)
        for d, c in ((0.1, cells), (3.0, times))
    )
    assert one == other


def test_the_cliffs_are_of_every_outcome() -> None:
    said = [find_cliff(cliff((8, 16, 32, 64)), falling(seed), fixed(0.05, 0.05, 5), LANDMARKS) for seed in WORLDS]
    assert {found.outcome for found in said} == {Outcome.SUPPORTED, Outcome.REFUTED, Outcome.INCONCLUSIVE}


# Associations.


def slope(**fields: Any) -> Association:
    given = {"kind": "association", "x": "depth", "direction": "positive", "strata": ["family"], "margin": 0.02}
    both = {"a": ARMS["a"], "b": ARMS["b"]}
    return Association.model_validate({**SAID, **given, **both, **fields}, strict=False)


def bases(seed: int) -> list[Unit]:
    """Two families of four bases, with a slope of nothing or of much."""
    rng = np.random.default_rng(seed)
    per, units = float(rng.choice([-0.1, 0.0, 0.1])), list[Unit]()
    for i in range(8):
        x = float(rng.normal(5 * (i // 4), 1))
        gap = float(np.clip(0.1 + per * (x - 5 * (i // 4)) + rng.normal(0, 0.02), -0.4, 0.4))
        a, b = (CellSample(np.full(3, v), (RunLabel.TRAINED,) * 3, 500, 3) for v in (0.5 + gap / 2, 0.5 - gap / 2))
        units.append(Unit(f"base {i}", f"family {i // 4}", "small", 10.0 + i % 4, x, a, b))
    return units


def associated(prediction: Association, units: list[Unit]) -> Finding:
    return find_slope(prediction, units, fixed(0.05, 0.05, 3), 8)


def test_the_slopes_are_of_every_outcome() -> None:
    assert {associated(slope(), bases(seed)).outcome for seed in WORLDS} == {
        Outcome.SUPPORTED,
        Outcome.REFUTED,
        Outcome.INCONCLUSIVE,
    }


@pytest.mark.parametrize("seed", range(12))
def test_turning_x_round_is_the_other_direction(seed: int) -> None:
    turned = [replace(unit, x=-(unit.x or 0.0)) for unit in bases(seed)]
    one, other = associated(slope(), bases(seed)), associated(slope(direction="negative"), turned)
    assert one == other
    swapped = [replace(unit, a=unit.b, b=unit.a) for unit in bases(seed)]  # the gap the other way
    assert associated(slope(direction="negative"), swapped).outcome is one.outcome


@pytest.mark.parametrize("seed", range(12))
def test_names_order_and_unit_of_x_change_no_association(seed: int) -> None:
    units, one = bases(seed), associated(slope(), bases(seed))
    assert associated(slope(), units[::-1]) == one
    assert associated(slope(), [replace(u, x=1000 * (u.x or 0.0)) for u in units]) == one
    moved = [replace(u, x=(u.x or 0.0) + 9 * (u.family == "family 1"), family=f"x{u.family}") for u in units]
    assert associated(slope(), moved) == one
