"""The search against simulated truths: steps, chance, seeds with thresholds of their own, and no threshold at all."""

from collections.abc import Callable

import numpy as np
import pytest

from harness.decide.bisection import MOST, End, Ladder, Trial, next_run, threshold

LADDER = Ladder(per_octave=4, lowest=-16, highest=16, seeds=3)

Ask = Callable[[int, int], bool | None]


def search(ask: Ask, ladder: Ladder = LADDER) -> tuple[End, list[Trial]]:
    """Follow the search to its end; no run is asked for twice, and none off the ladder."""
    trials: list[Trial] = []
    while not isinstance(step := next_run(ladder, trials), End):
        rung, seed = step
        assert rung in ladder.rungs
        assert 0 <= seed < ladder.seeds
        assert step not in [(trial.rung, trial.seed) for trial in trials], "asked twice"
        trials.append(Trial(rung, seed, ask(rung, seed)))
        assert len(trials) <= MOST
    return step, trials


def stepping(place: float, ladder: Ladder = LADDER) -> Ask:
    """Return runs that collapse above a place in octaves, always."""
    return lambda rung, _: ladder.octaves(rung) > place


@pytest.mark.parametrize("place", [-3.3, -2.6, -1.13, -0.3, 0.05, 0.6, 1.9, 2.13, 3.3])
def test_a_step_is_found_within_a_rung(place: float) -> None:
    end, trials = search(stepping(place))
    assert end is End.RESOLVED
    found = threshold(LADDER, trials)
    assert found.median == pytest.approx(place, abs=0.25)
    assert found.interval[0] < place < found.interval[1]
    assert found.interval[1] - found.interval[0] <= 0.75
    assert len(trials) <= 10


def test_steps_double_until_two_ends_disagree_and_then_halve() -> None:
    _, trials = search(stepping(2.1))
    # octaves 0, 1 and 3 bracket the place; 2 halves [1, 3], and 2.5 and 2.25 what is left
    assert [trial.rung for trial in trials[:6]] == [0, 4, 12, 8, 10, 9]
    assert [trial.seed for trial in trials[:6]] == [0, 1, 2, 0, 1, 2]  # in turns
    _, trials = search(stepping(-2.1))
    assert [trial.rung for trial in trials[:4]] == [0, -4, -12, -8]


def test_an_arm_that_never_collapses_is_said_to_be_so_after_every_seed_of_the_last_rung() -> None:
    end, trials = search(lambda _rung, _seed: False)
    assert end is End.NEVER
    assert end.censored
    assert [(trial.rung, trial.seed) for trial in trials] == [(0, 0), (4, 1), (12, 2), (16, 0), (16, 1), (16, 2)]


def test_an_arm_that_always_collapses_likewise() -> None:
    end, trials = search(lambda _rung, _seed: True)
    assert end is End.ALWAYS
    assert end.censored
    assert [trial.rung for trial in trials] == [0, -4, -12, -16, -16, -16]


def test_a_few_collapses_at_the_last_rung_are_no_threshold_on_the_ladder() -> None:
    end, trials = search(lambda rung, seed: rung == 16 and seed == 1)
    assert end is End.NEVER
    assert {trial.collapsed for trial in trials} == {True, False}
    end, _ = search(lambda rung, seed: rung != -16 or seed == 1)
    assert end is End.ALWAYS


@pytest.mark.parametrize("first", [False, True])
def test_a_ladder_may_begin_or_end_at_the_protocols_rate(first: bool) -> None:
    ladder = Ladder(2, 0, 4, 2) if first else Ladder(2, -4, 0, 2)
    end, trials = search(lambda _rung, _seed: first, ladder)
    assert end is (End.ALWAYS if first else End.NEVER)
    assert [trial.rung for trial in trials] == [0, 0]


def test_a_run_without_a_result_is_made_with_another_seed() -> None:
    end, trials = search(lambda rung, seed: None if rung == 4 and seed == 1 else rung > 8)
    assert end is End.RESOLVED
    assert [(trial.rung, trial.seed) for trial in trials[:4]] == [(0, 0), (4, 1), (4, 2), (12, 0)]
    assert threshold(LADDER, trials).median == pytest.approx(8.5 / 4, abs=0.25)


def test_rungs_that_give_no_result_end_the_search() -> None:
    assert search(lambda _rung, _seed: None)[0] is End.NO_RESULT
    end, trials = search(lambda rung, _: None if rung > 4 else False)
    assert end is End.NO_RESULT
    assert [trial.rung for trial in trials] == [0, 4, 12, 12, 12]
    assert End.NO_RESULT.censored


def test_a_single_seed_is_bisected_and_says_that_it_is_used_up() -> None:
    ladder = Ladder(4, -16, 16, 1)
    end, trials = search(stepping(1.6, ladder), ladder)
    assert end is End.EXHAUSTED
    assert threshold(ladder, trials).median == pytest.approx(1.6, abs=0.25)


def test_a_wide_transition_spends_its_runs_and_keeps_a_wide_interval() -> None:
    ladder = Ladder(8, -32, 32, 3)
    luck = np.random.default_rng(3).random((65, 3))
    end, trials = search(lambda rung, seed: bool(luck[rung + 32, seed] < 1 / (1 + np.exp(-rung / 8))), ladder)
    assert end is End.SPENT
    assert len(trials) == MOST
    low, high = threshold(ladder, trials).interval
    assert high - low > 0.5


def noisy(place: float, width: float, rng: np.random.Generator) -> Ask:
    luck = rng.logistic(size=(33, 3))
    return lambda rung, seed: bool(LADDER.octaves(rung) > place + width * luck[rung + 16, seed])


@pytest.mark.parametrize(("width", "error"), [(0.1, 0.14), (0.2, 0.25)])
def test_where_collapse_is_chance_intervals_cover_and_errors_stay_small(width: float, error: float) -> None:
    rng = np.random.default_rng(7)
    errors: list[float] = []
    covered = 0
    for _ in range(200):
        place = float(rng.uniform(-2.5, 2.5))
        end, trials = search(noisy(place, width, rng))
        assert not end.censored
        found = threshold(LADDER, trials)
        errors.append(found.median - place)
        covered += found.interval[0] <= place <= found.interval[1]
    assert covered >= 168  # of 200 at .9: fewer with a probability of .004
    assert float(np.mean(np.square(errors))) ** 0.5 < error  # benchmarks/frontier.py: .10 and .17


def test_the_same_outcomes_ask_for_the_same_runs() -> None:
    ask = noisy(0.7, 0.2, np.random.default_rng(1))
    _, trials = search(ask)
    for n, trial in enumerate(trials):
        assert next_run(LADDER, trials[:n]) == (trial.rung, trial.seed)


def test_factors_have_four_digits_and_the_protocols_rate_stays_exactly_itself() -> None:
    assert [LADDER.factor(rung) for rung in (-16, -1, 0, 1, 2, 3, 4, 16)] == [
        0.0625, 0.8409, 1.0, 1.189, 1.414, 1.682, 2.0, 16.0,
    ]  # fmt: skip


@pytest.mark.parametrize("wrong", [(0, -1, 1, 1), (1, -1, 1, 0), (1, 1, 2, 1), (1, -2, -1, 1)])
def test_no_ladder_without_steps_seeds_and_the_protocols_rate(wrong: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="is no ladder"):
        Ladder(*wrong)
