"""A collapse frontier as text: a table of arms, what the search cost, and which quantity lines the arms up."""

import textwrap
from collections.abc import Iterator, Sequence

from harness.campaign.aligned import NORM, RATE, Aligned, Quantity
from harness.campaign.frontier import Frontier, Searched
from harness.publish.numbers import MISSING, short, significant

WIDTH = 110


def rates(frontier: Frontier, one: Searched) -> tuple[float, float, float] | None:
    """Return an arm's critical learning rate with the limits of its interval; None where it is not on the ladder."""
    if one.found is None:
        return None
    low, high = one.found.interval
    value, low, high = (frontier.learning_rate * 2**octaves for octaves in (one.found.median, low, high))
    return value, low, high


def norms(one: Searched) -> tuple[float, float, float] | None:
    """Return the norm of the first update at an arm's critical rate, and at the limits of its interval."""
    if one.found is None or one.norm_line is None:
        return None
    slope, at_rate = one.norm_line
    low, high = one.found.interval
    value, low, high = (2 ** (slope * octaves + at_rate) for octaves in (one.found.median, low, high))
    return value, low, high


def frontier_table(frontier: Frontier, groups: Sequence[Aligned]) -> str:
    """Return what was searched and found, in lines of at most 110 columns."""
    return "\n".join([*_head(frontier), "", *_arms(frontier), "", *_cost(frontier), *_groups(frontier, groups)])


def _head(frontier: Frontier) -> Iterator[str]:
    ladder, landmarks = frontier.ladder, frontier.landmarks
    yield f"collapse frontier  protocol {frontier.protocol}  base {frontier.base}  exploratory, nothing registered"
    below = f"{short(landmarks.collapsed_below, 3)}, of a base at {short(landmarks.base, 3)}"
    yield f"collapsed  accuracy below {below}"
    ends = " to ".join(significant(frontier.learning_rate * ladder.factor(end)) for end in _ends(frontier))
    seeds = f"{ladder.seeds} seed{'s' if ladder.seeds > 1 else ''} a rate"
    yield f"rates      {ends}, {len(ladder.rungs)} of them, {ladder.per_octave} an octave; at most {seeds}"


def _ends(frontier: Frontier) -> tuple[int, int]:
    return frontier.ladder.lowest, frontier.ladder.highest


def _arms(frontier: Frontier) -> Iterator[str]:
    wide = max(len(one.arm.scaling.in_words()) for one in frontier.searched)
    yield f"{'scaling':<{wide}}  {'rank':>5}  {'critical rate, 90 %':<30}{'first update there':<24}{'runs':>4}  end"
    for one in frontier.searched:
        head = f"{one.arm.scaling.in_words():<{wide}}  {one.arm.rank:>5}"
        yield f"{head}  {_interval(rates(frontier, one)):<30}{_interval(norms(one)):<24}{len(one.tried):>4}  {one.end}"
    yield ""
    yield "collapsed / runs, by multiple of the protocol's rate:"
    for one in frontier.searched:
        head = f"{one.arm.scaling.in_words():<{wide}}  {one.arm.rank:>5}  "
        yield from textwrap.wrap(head + _tally(frontier, one), WIDTH, subsequent_indent=" " * len(head))


def _interval(value: tuple[float, float, float] | None) -> str:
    if value is None:
        return MISSING
    at, low, high = map(significant, value)
    return f"{at} [{low}, {high}]"


def _tally(frontier: Frontier, one: Searched) -> str:
    """Return `0/2 at 2, 1/3 at 2.378`, from the lowest rung, without runs that gave no result."""
    seen: dict[int, list[bool]] = {}
    for trial in one.trials:
        if trial.collapsed is not None:
            seen.setdefault(trial.rung, []).append(trial.collapsed)
    said = [f"{sum(row)}/{len(row)} at {frontier.ladder.factor(rung):g}" for rung, row in sorted(seen.items())]
    lost = sum(trial.collapsed is None for trial in one.trials)
    return ", ".join([*said, *([f"{lost} without a result"] if lost else [])])


def _cost(frontier: Frontier) -> Iterator[str]:
    ladder = frontier.ladder
    share = f"{100 * frontier.runs / frontier.grid:.0f} %"
    grid = f"{frontier.grid} of the full grid ({len(ladder.rungs)} rates x {ladder.seeds} seeds an arm)"
    yield f"runs       {frontier.runs} used, {share} of the {grid}"


def _groups(frontier: Frontier, groups: Sequence[Aligned]) -> Iterator[str]:
    off = [one for one in frontier.searched if one.found is None]
    if off:
        told = f"{len(off)} of {len(frontier.searched)} arms have no critical rate among these and are in no spread, "
        yield from textwrap.wrap(told + "so that spreads are smaller than over all arms.", WIDTH)
    if not groups:
        yield "Fewer than three arms have a critical rate and a norm: what lines them up cannot be asked."
    for group in groups:
        yield ""
        over = f"over {group.group} ({group.arms})"
        yield f"{over:<34}{'spread, octaves':>16}{'noise':>8}  {'ratio to the rate':<20}one value"
        for quantity in group.quantities:
            spread = f"{short(quantity.spread.octaves):>16}{short(quantity.spread.noise):>8}"
            fits = "fits" if quantity.fits else "does not fit"
            yield f"  {quantity.name:<32}{spread}  {_ratio(quantity):<20}{fits}"
        yield from textwrap.wrap(f"{_reading(group)} {_least(group)}", WIDTH)


def _ratio(quantity: Quantity) -> str:
    if quantity.name == RATE:
        return "1"
    said = quantity.to_rate
    return f"{short(said.value)} [{short(said.low)}, {short(said.high)}]"


def _least(group: Aligned) -> str:
    """Return which quantity has the smallest spread, and that it was picked for it."""
    fits = "one value fits" if group.least.fits else "no one value fits"
    return f"Smallest spread, picked after seeing all {len(group.quantities)}: {group.least.name} ({fits})."


def _reading(group: Aligned) -> str:
    """Return which of rate and norm lines the arms up, in one sentence that says no more than the intervals do."""
    norm = next(quantity for quantity in group.quantities if quantity.name == NORM)
    if group.better == "neither":
        return "Neither the rate nor the norm of the first update is shown to line these arms up better."
    winner, other = (NORM, RATE) if group.better == "norm" else (RATE, NORM)
    chosen = norm if group.better == "norm" else next(q for q in group.quantities if q.name == RATE)
    rest = "one value is compatible with all of them" if chosen.fits else "though no single value fits all of them"
    return f"The {winner} lines these arms up better than the {other}; {rest}."
