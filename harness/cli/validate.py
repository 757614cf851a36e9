"""`harness validate`: every mistake of every file at once, and a warning where a claim named has too little power.

Whether a claim can be run is a question about it and a protocol: it is asked of the protocol in force.
"""

from functools import partial
from pathlib import Path

import click

from harness.campaign.bench import Bench
from harness.cli.session import Session, output_options, pass_session
from harness.source import splits
from harness.source.code import load as load_code
from harness.spec import CustomTask, DeclarationError, Hypothesis, Protocol
from harness.spec.shelf import Shelf

MISTAKES = 2
SHIPPED = "(a shipped claim, which this project need not ask)"
SIMS = 200
"""Simulations of the claim in its own model: a second or so, and a standard error of at most .035."""


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH...]")
@output_options
@pass_session
def command(session: Session, paths: tuple[Path, ...]) -> int:
    """Check the declarations in PATH (files in hypotheses/ and runs/), or all in reach."""
    shelf = session.shelf
    files = [session.directory / path for path in paths]
    loads = [(file.stem, partial(shelf.load, file)) for file in files] or _all(shelf)
    bench = _in_force(session)
    mistakes: list[str] = []
    weak: list[str] = []
    for name, load in loads:
        try:
            declared = load()
            _try_code(shelf, declared)
            if bench is not None and isinstance(declared, Hypothesis):
                found = bench.misfits(name, declared)
                own = bool(files) or shelf.is_own("hypotheses", name)
                mistakes += found if own else []
                weak += (
                    [] if own else [f"{line} (a shipped claim, which this project need not ask)" for line in found[:1]]
                )
            if files and isinstance(declared, Hypothesis) and declared.model is not None:
                weak += _weak(session, name, declared)  # the whole shelf would take too long
        except DeclarationError as error:
            mistakes += error.lines
    text = "\n".join([*mistakes, *weak]) if mistakes else "\n".join([f"{len(loads)} declarations, no mistake", *weak])
    session.emit({"files": len(loads), "mistakes": mistakes, "warnings": weak}, text)
    return MISTAKES if mistakes else 0


def _in_force(session: Session) -> Bench | None:
    """Return the bench under the protocol in force, or None where that one is mistaken itself."""
    bench = Bench(session.shelf, session.store, session.protocol_name(None))
    try:
        _ = bench.protocol
    except DeclarationError as error:
        session.note(f"no claim is held against protocol {bench.protocol_name}, for {error.lines[0]}")
        return None
    return bench


def _weak(session: Session, name: str, hypothesis: Hypothesis) -> list[str]:
    """Return a line where the claim's power in its own model is too small, under the protocol in force."""
    import numpy as np

    from harness.campaign.expected import estimands, expected  # scipy, 2 s
    from harness.decide.diagnosis.designs import claim_in
    from harness.publish.diagnosis import warning

    bench = Bench(session.shelf, session.store, session.protocol_name(None))
    try:
        world, own = expected(bench, hypothesis), estimands(bench, hypothesis)
    except DeclarationError as error:  # the protocol's mistakes are not those of the file that was named
        session.note(f"{name}: power not simulated, for {error.lines[0]}")
        return []
    line = warning(name, claim_in(hypothesis, world, SIMS, np.random.default_rng(0), own))
    return [line] if line else []


def _try_code(shelf: Shelf, declared: Hypothesis | Protocol) -> None:
    """Run the code that a protocol names, as far as that costs no training; without permission nothing was loaded."""
    if not isinstance(declared, Protocol) or shelf.code_root is None:
        return
    if isinstance(declared.task, CustomTask):
        splits(declared.task)
    if declared.recipe.reward:
        load_code(shelf.code_root, declared.recipe.reward, declared.recipe.reward_sha256)


def _all(shelf: Shelf) -> list[tuple[str, partial[Hypothesis] | partial[Protocol]]]:
    """Return what loads each declaration in reach, by its name."""
    hypotheses = [(name, partial(shelf.hypothesis, name)) for name in shelf.names("hypotheses")]
    return [*hypotheses, *((name, partial(shelf.protocol, name)) for name in shelf.names("runs"))]
