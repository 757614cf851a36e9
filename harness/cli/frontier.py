"""`harness frontier`: at which learning rate runs begin to collapse, by rank and scaling policy, in few runs."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.campaign.bench import Bench
from harness.campaign.engines import Engine
from harness.cli.campaign import FAILED, executor, pin, tell_failures
from harness.cli.session import (
    Session,
    engine_option,
    models_option,
    output_options,
    pass_session,
    protocol_option,
    workers_option,
)

if TYPE_CHECKING:
    from harness.campaign.aligned import Aligned
    from harness.campaign.frontier import Frontier, Searched

DRAWN = (".png", ".svg", ".pdf")
POLICIES = ("proportional", "constant", "rank_stabilised")
LARGEST_RANK = 65536
WIDEST = (0.001, 1000.0)
"""Multiples of the protocol's rate beyond which nobody looks."""

Policy = tuple[str, float | None]
"""A policy's name, and its factor or alpha where one was given."""


def _ranks(_: click.Context, __: click.Parameter, value: str) -> tuple[int, ...]:
    named = [text.strip() for text in value.split(",")]
    if not all(text.isdecimal() and 1 <= int(text) <= LARGEST_RANK for text in named):
        raise click.BadParameter(f"{value!r} is no list of ranks from 1 to {LARGEST_RANK}. Write e.g. 8,32,128.")
    return tuple(sorted({int(text) for text in named}))


def _policies(_: click.Context, __: click.Parameter, value: str) -> tuple[Policy, ...]:
    return tuple(dict.fromkeys(_policy(text.strip()) for text in value.split(",")))


def _policy(text: str) -> Policy:
    name, colon, number = text.partition(":")
    factor = _number(number) if colon else None
    if name not in POLICIES or (colon and factor is None):
        rule = f"is no policy. Write {', '.join(POLICIES)}, with a factor or alpha after a colon: constant:32."
        raise click.BadParameter(f"{text!r} {rule}")
    return name, factor


def _within(_: click.Context, __: click.Parameter, value: str) -> tuple[float, float]:
    ends = [_number(text) for text in value.split(",")]
    low, high = ends if len(ends) == 2 else (None, None)
    if low is None or high is None or not WIDEST[0] <= low <= 1 <= high <= WIDEST[1] or low == high:
        rule = f"is no range of factors with 1 in it, from {WIDEST[0]:g} to {WIDEST[1]:g}. Write e.g. 0.0625,16."
        raise click.BadParameter(f"{value!r} {rule}")
    return low, high


def _number(text: str) -> float | None:
    """Return a finite positive number, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number > 0 else None


@click.command()
@click.option("--ranks", default="8,32,128", show_default=True, callback=_ranks, metavar="R,...", help="LoRA's ranks.")
@click.option(
    "--scaling",
    "policies",
    default="proportional,constant",
    show_default=True,
    callback=_policies,
    metavar="P[:N],...",
    help="proportional:FACTOR, constant:ALPHA, rank_stabilised:ALPHA; without a number as the protocol at rank 16.",
)
@protocol_option
@models_option
@click.option("--resolution", type=click.IntRange(1, 16), default=4, show_default=True, help="Rates an octave.")
@click.option(
    "--within",
    default="0.0625,16",
    show_default=True,
    callback=_within,
    metavar="LOW,HIGH",
    help="Least and largest multiple of the protocol's rate.",
)
@click.option("--seeds", type=click.IntRange(1, 20), default=3, show_default=True, help="Runs that a rate may have.")
@click.option("--figure", type=click.Path(path_type=Path, dir_okay=False), help="Draw it: .png, .svg or .pdf.")
@workers_option
@engine_option
@output_options
@pass_session
def command(
    session: Session,
    ranks: tuple[int, ...],
    policies: tuple[Policy, ...],
    protocol: str | None,
    models: tuple[str, ...],
    resolution: int,
    within: tuple[float, float],
    seeds: int,
    figure: Path | None,
    workers: int | None,
    engine: Engine,
) -> int:
    """Search the learning rate at which runs begin to collapse, for every rank and scaling policy.

    Sequential bisection with the seeds of an exploration: exploratory by design, and nothing is registered. Finished
    runs are found again, so the same command resumes.
    """
    _check(session, figure)
    bench = Bench(session.shelf, session.store, session.protocol_name(protocol), explore=True)
    pin(session, bench)
    bases = bench.planned_bases(models)
    if len(bases) != 1:
        names = ", ".join(base.name for base in bases)
        raise click.BadParameter(f"{names} are {len(bases)} bases. Name one.", param_hint="--models")
    from harness.campaign.aligned import aligned
    from harness.campaign.frontier import FrontierArm, NoFrontier, policy, trace
    from harness.decide.bisection import Ladder
    from harness.publish.frontier import frontier_table
    from harness.publish.progress import ShownProgress

    low, high = (math.log2(end) * resolution for end in within)
    ladder = Ladder(resolution, math.ceil(low - 1e-9), math.floor(high + 1e-9), seeds)
    given = bench.protocol.recipe.scaling
    arms = [FrontierArm(rank, policy(name, number, given)) for name, number in policies for rank in ranks]
    try:
        with ShownProgress(quiet=session.quiet) as shown:
            found = trace(bench, bases[0], arms, ladder, lambda: executor(session, bench, engine, workers), shown.show)
    except NoFrontier as error:
        click.echo(f"frontier of {bench.protocol_name}: {error}", err=True)
        return FAILED
    groups = aligned(found)
    if figure is not None:
        from harness.publish.frontier_figure import draw

        draw(found, session.directory / figure)
        session.note(f"{figure}: drawn")
    tell_failures(bench.failed)
    session.emit(_json(found, groups), frontier_table(found, groups, session.width))
    return FAILED if bench.failed else 0


def _check(session: Session, figure: Path | None) -> None:
    """Refuse a figure that cannot be written before anything is run."""
    if figure is None:
        return
    if figure.suffix.lower() not in DRAWN:
        rule = f"{figure} ends in none of {', '.join(DRAWN)}. Name one of them."
        raise click.BadParameter(rule, param_hint="--figure")
    if not (session.directory / figure).parent.is_dir():
        raise click.BadParameter(f"{figure.parent} is no folder. Make it first.", param_hint="--figure")


def _json(found: "Frontier", groups: "tuple[Aligned, ...]") -> dict[str, Any]:
    """Return everything as --json prints it, rates as learning rates."""
    from dataclasses import asdict

    ladder = found.ladder
    return {
        "label": "exploratory",
        "protocol": found.protocol,
        "base": found.base,
        "base_accuracy": found.landmarks.base,
        "collapsed_below": found.landmarks.collapsed_below,
        "learning_rate": found.learning_rate,
        "rates": [found.learning_rate * ladder.factor(rung) for rung in ladder.rungs],
        "seeds": ladder.seeds,
        "arms": [_arm(found, one) for one in found.searched],
        "runs": found.runs,
        "grid": found.grid,
        "aligned": [{**asdict(group), "better": group.better, "least": group.least.name} for group in groups],
    }


def _arm(found: "Frontier", one: "Searched") -> dict[str, Any]:
    from harness.publish.frontier import norms, rates

    names = ("value", "low", "high")
    rate, norm = rates(found, one), norms(one)
    return {
        "rank": one.arm.rank,
        "scaling": one.arm.scaling.model_dump(mode="json"),
        "multiplier": one.arm.multiplier,
        "end": str(one.end),
        "critical_rate": rate and dict(zip(names, rate, strict=True)),
        "critical_first_update_norm": norm and dict(zip(names, norm, strict=True)),
        "runs": [
            {
                "run": run.run_id,
                "learning_rate": found.learning_rate * found.ladder.factor(run.trial.rung),
                "seed": run.trial.seed,
                "collapsed": run.trial.collapsed,
                "first_update_norm": run.first_update_norm,
            }
            for run in one.tried
        ],
    }
