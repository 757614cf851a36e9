"""`harness diagnose`: how often a claim comes out right and wrong in simulated worlds, and how many runs that takes."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.campaign.bench import Bench
from harness.cli.names import hypothesis_names
from harness.cli.outputs import Output, outputs
from harness.cli.session import Session, output_options, pass_session, protocol_option
from harness.spec import Hypothesis

if TYPE_CHECKING:
    from harness.decide.diagnosis.characteristics import Diagnosis
    from harness.decide.diagnosis.simulation import Watch
    from harness.publish.diagnosis import Sought

EVERY = 2.0
"""Seconds between lines of progress."""
MOST_SEEDS = 1000
DRAWN = (".png", ".svg", ".pdf")

Varied = tuple[str, tuple[float, ...]]
"""What of the design is varied, and its values."""


def _varied(_: click.Context, __: click.Parameter, value: str | None) -> Varied | None:
    """Read `seeds=3,5,8` or `futility=0,0.3`."""
    if value is None:
        return None
    name, listed = value.split("=", 1) if "=" in value else (value, "")
    try:
        numbers = tuple(float(x) for x in listed.split(","))
    except ValueError:
        numbers = ()
    if name == "seeds" and numbers and all(x.is_integer() and 1 <= x <= MOST_SEEDS for x in numbers):
        return name, numbers
    if name == "futility" and numbers and all(0 <= x < 1 for x in numbers):
        return name, numbers
    rule = f"is neither seeds=N,... (1 to {MOST_SEEDS}) nor futility=F,... (0 to 1). Write e.g. seeds=3,5,8."
    raise click.BadParameter(f"{value!r} {rule}")


@click.command()
@click.argument("name", shell_complete=hypothesis_names)
@protocol_option
@click.option("--sims", type=click.IntRange(10, 1_000_000), default=400, show_default=True, help="Simulations a world.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the simulations.")
@click.option("--vary", metavar="WHAT=A,B", callback=_varied, help="One table for each value of seeds or futility.")
@click.option(
    "--target", type=click.FloatRange(0, 1, min_open=True, max_open=True), help="Seek the fewest seeds with this power."
)
@click.option(
    "--figure", type=click.Path(path_type=Path, dir_okay=False), help="Draw what --vary shows: .png, .svg or .pdf."
)
@output_options
@pass_session
def command(
    session: Session,
    name: str,
    protocol: str | None,
    sims: int,
    seed: int,
    vary: Varied | None,
    target: float | None,
    figure: Path | None,
) -> int:
    """Simulate the claim NAME in worlds where it is true, false, and on the edge, and decide it as `test` would.

    The declared world is the `model` of the declaration. Nothing is registered or executed.
    """
    drawn = _figure(session, figure, vary)
    from harness.campaign.expected import estimands, expected  # scipy, 2 s

    bench = Bench(session.shelf, session.store, session.protocol_name(protocol))
    hypothesis = bench.hypotheses([name])[name]
    _check(hypothesis, vary, target)
    task = _Task(
        bench, name, hypothesis, expected(bench, hypothesis), estimands(bench, hypothesis), sims, seed, session.width
    )
    watch = _watch(session)
    value, text = _by_value(task, vary, watch, drawn) if vary else _in_worlds(task, target, watch)
    head = f"{name}  protocol {bench.protocol_name}  {hypothesis.design.seeds} seeds a cell  {sims} simulations a world"
    said = {"hypothesis": name, "protocol": bench.protocol_name, "sims": sims, "seed": seed}
    session.emit({**said, **value}, f"{head}\n\n{text}")
    if drawn is not None:
        session.note(f"{drawn.named}: drawn")
    return 0


def _figure(session: Session, figure: Path | None, vary: Varied | None) -> Output | None:
    """Return the file to draw into; raise a mistake where it could not be, before anything is simulated."""
    if figure is not None and vary is None:
        raise click.UsageError("--figure draws what --vary shows. Give it too, e.g. --vary seeds=3,5,8.")
    return outputs(session.directory, {"--figure": figure}, {"--figure": DRAWN}).get("--figure")


def _check(hypothesis: Hypothesis, vary: Varied | None, target: float | None) -> None:
    """Raise a mistake where --target could not be honoured."""
    if target is None:
        return
    if vary is not None:
        raise click.UsageError("--vary shows the designs named, --target seeks one. Give one of them.")
    if hypothesis.model is None:
        raise click.UsageError("--target: power is for the world of `model`, and none is declared. Declare one.")
    if hypothesis.design.bases is not None:
        raise click.UsageError("--target seeks seeds a cell, but bases decide an association. Vary design.bases.")


@dataclass(frozen=True, slots=True)
class _Task:
    bench: Bench
    name: str
    hypothesis: Hypothesis
    world: Any
    """The declared one."""
    estimands: Any
    sims: int
    seed: int
    width: int
    """Columns of its tables."""


def _in_worlds(task: _Task, target: float | None, watch: "Watch") -> tuple[dict[str, Any], str]:
    """Return the tables of all worlds, and what they mean."""
    from harness.decide.diagnosis.alternatives import others
    from harness.decide.diagnosis.edges import edges
    from harness.publish.diagnosis import as_json, reading, tables

    decided = [p for p in task.hypothesis.predictions if p.role != "exploratory"]
    worlds = [task.world, *others(task.hypothesis, task.world), *edges(decided, task.world)]
    found = [_diagnosis(task, world, task.hypothesis, number, watch) for number, world in enumerate(worlds)]
    sought = _sought(task, found[0], target, watch)
    lines = reading(task.hypothesis, found, sought)
    search = None
    if sought is not None:
        power = sought.found.power.value if sought.found else None
        search = {"target": sought.target, "seeds": sought.found.seeds if sought.found else None, "power": power}
    value = {"worlds": [as_json(said) for said in found], "search": search, "reading": lines}
    return value, "\n\n".join([tables(found, task.width), "\n".join(lines)])


def _by_value(task: _Task, vary: Varied, watch: "Watch", drawn: Output | None) -> tuple[dict[str, Any], str]:
    """Return a table of the declared world for each value of what is varied; designs that cannot decide say why.

    What they show is drawn too where a file is named.
    """
    from harness.decide.diagnosis.designs import mistakes, with_futility, with_seeds
    from harness.publish.diagnosis import as_json, world

    what, values = vary
    parts: list[str] = []
    rows: list[dict[str, Any]] = []
    designs: list[tuple[float, Diagnosis | None]] = []
    for number in values:
        hypothesis = task.hypothesis
        hypothesis = with_seeds(hypothesis, int(number)) if what == "seeds" else with_futility(hypothesis, number)
        wrong = mistakes(hypothesis)
        said = None if wrong else _diagnosis(task, task.world, hypothesis, 0, watch)
        designs.append((number, said))
        rows.append({what: number, "unreachable": wrong, "diagnosis": as_json(said) if said else None})
        title = f"{what} {number:g}, {task.world.name} world"
        parts.append(
            world(said, task.width, title=title)
            if said
            else "\n".join([f"{title}: cannot be decided", *_listed(wrong)])
        )
    if drawn is not None:
        from harness.publish.power_figure import Power, draw

        bench = task.bench.protocol_name
        power = Power(task.name, bench, task.world.name, task.sims, what, tuple(designs))
        drawn.write(lambda path: draw(power, path))
    return {"varied": what, "values": rows}, "\n\n".join(parts)


def _listed(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _diagnosis(task: _Task, world: Any, hypothesis: Hypothesis, number: int, watch: "Watch") -> "Diagnosis":
    """Return one world's diagnosis; on an edge only its prediction and the claim's matter."""
    import numpy as np

    from harness.decide.diagnosis.simulation import diagnose

    only = [p for p in hypothesis.predictions if p.role == "primary" or p.id == world.edge_of]
    rng = np.random.default_rng([task.seed, number])
    chosen = only if world.edge_of else None
    return diagnose(hypothesis, world, task.sims, rng, only=chosen, estimands=task.estimands, watch=watch)


def _sought(task: _Task, declared: "Diagnosis", target: float | None, watch: "Watch") -> "Sought | None":
    """Return the smallest design with the power asked for, or with enough where the declared one has too little."""
    import numpy as np

    from harness.decide.diagnosis.designs import ENOUGH, smallest_design
    from harness.publish.diagnosis import Sought

    if task.hypothesis.model is None or task.hypothesis.design.bases is not None:
        return None  # without a model there is no power, and seeds do not decide an association
    if target is None and declared.claim.correct.value >= ENOUGH:
        return None
    wanted, rng = target or ENOUGH, np.random.default_rng([task.seed, len("search")])
    found = smallest_design(task.hypothesis, task.world, wanted, task.sims, rng, estimands=task.estimands, watch=watch)
    return Sought(wanted, found, declared.planned // task.hypothesis.design.seeds)


def _watch(session: Session) -> Callable[[str, int, int], None]:
    last = time.monotonic()

    def watch(what: str, done: int, of: int) -> None:
        nonlocal last
        if time.monotonic() - last > EVERY:
            session.note(f"{what}: {done} of {of}")
            last = time.monotonic()

    return watch
