"""A collapse frontier as text: a table of arms, what the search cost, and which quantity lines the arms up."""

from collections.abc import Iterator, Sequence

from harness.campaign.aligned import NORM, RATE, Aligned, Quantity
from harness.campaign.frontier import Frontier, Searched
from harness.publish.numbers import MISSING, short, significant
from harness.publish.width import WIDTH, Column, table, wrapped

LABEL = " " * 11
"""What stands before the lines that a labelled one goes on in."""


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


def frontier_table(frontier: Frontier, groups: Sequence[Aligned], width: int = WIDTH) -> str:
    """Return what was searched and found, in lines of at most `width` columns."""
    labelled = [line for text in _head(frontier) for line in wrapped(text, width, "", LABEL)]
    cost = wrapped(_cost(frontier), width, "", LABEL)
    return "\n".join([*labelled, "", *_arms(frontier, width), "", *cost, *_groups(frontier, groups, width)])


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


def _arms(frontier: Frontier, width: int) -> Iterator[str]:
    arms = frontier.searched
    scaling = Column("scaling", [one.arm.scaling.in_words() for one in arms], "<")
    rank = Column("rank", [str(one.arm.rank) for one in arms], ">", 5)
    rate = Column("critical rate, 90 %", [_interval(rates(frontier, one)) for one in arms], "<", 28)
    norm = Column("first update there", [_interval(norms(one)) for one in arms], "<", 22)
    runs = Column("runs", [str(len(one.tried)) for one in arms])
    end = Column("end", [str(one.end) for one in arms], "<")
    yield from table([scaling, rank, rate, norm, runs, end], 2, width)
    yield ""
    yield from wrapped("collapsed / runs, by multiple of the protocol's rate:", width)
    for one, *head in zip(arms, scaling.lines()[1:], rank.lines()[1:], strict=True):
        begin = "  ".join([*head, ""])
        yield from wrapped(_tally(frontier, one), width, begin, " " * len(begin))


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


def _cost(frontier: Frontier) -> str:
    ladder = frontier.ladder
    share = f"{100 * frontier.runs / frontier.grid:.0f} %"
    grid = f"{frontier.grid} of the full grid ({len(ladder.rungs)} rates x {ladder.seeds} seeds an arm)"
    return f"runs       {frontier.runs} used, {share} of the {grid}"


def _groups(frontier: Frontier, groups: Sequence[Aligned], width: int) -> Iterator[str]:
    off = [one for one in frontier.searched if one.found is None]
    if off:
        told = f"{len(off)} of {len(frontier.searched)} arms have no critical rate among these and are in no spread, "
        yield from wrapped(told + "so that spreads are smaller than over all arms.", width)
    if not groups:
        few = "Fewer than three arms have a critical rate and a norm: what lines them up cannot be asked."
        yield from wrapped(few, width)
    for group in groups:
        yield ""
        yield from table(_spreads(group), 1, width)
        yield from wrapped(f"{_reading(group)} {_least(group)}", width)


def _spreads(group: Aligned) -> list[Column]:
    said = group.quantities
    return [
        Column(f"over {group.group} ({group.arms})", [f"  {one.name}" for one in said], "<", 34),
        Column("spread, octaves", [short(one.spread.octaves) for one in said]),
        Column("noise", [short(one.spread.noise) for one in said], ">", 6),
        Column("ratio to the rate", [_ratio(one) for one in said], "<", 18),
        Column("one value", ["fits" if one.fits else "does not fit" for one in said], "<"),
    ]


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
