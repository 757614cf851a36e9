"""The mistake of asking for a measure that runs keep no value of: of their algorithm, or after the update named.

A measure says in its first line whether runs of one algorithm alone have it, and after which updates; the protocol says
after which a spectrum is kept, and an arm its algorithm and how many updates its runs make. Nothing is known of a
measure that says less than is so: one whose line says `(run, step)` and that reads spectra or rewards nevertheless is
not refused here, and its runs then have no value.
"""

from collections.abc import Mapping

from harness.plan import misfit, updates_of
from harness.spec import Cell, Prediction, Protocol
from harness.spec.measure import MeasureHead, Steps, head_of, split

WHY = {
    Steps.EVERY: "it has one after every update that they make",
    Steps.SPECTRA: "a spectrum is kept after the first update, those of spectra_at and the last",
    Steps.LAST: "it is computed after the last update only",
}
MOST = 4
"""Arms that a message names."""


def unkept(prediction: Prediction, protocol: Protocol, heads: Mapping[str, MeasureHead]) -> str:
    """Return why runs of a prediction have no value of its measure, with the remedy; empty where all have one.

    Arms that the protocol cannot run are left out; a measure of the user's own code is never refused.
    """
    measure = getattr(prediction, "measure", "")
    step, head = split(measure)[1], head_of(heads, measure)
    cells = {arm: cell for arm, cell in prediction.cells(protocol.given).items() if not misfit(cell, protocol)}
    if head is None or not cells:
        return ""
    if why := _of_another_algorithm(measure, head, cells):
        return why
    return "" if step is None else _at_another_update(measure, head, step, cells, protocol)


def _of_another_algorithm(measure: str, head: MeasureHead, cells: Mapping[str, Cell]) -> str:
    lacking = [f"{arm} ({cell.algorithm.upper()})" for arm, cell in cells.items() if cell.algorithm != head.algorithm]
    if head.algorithm is None or not lacking:
        return ""
    own = head.algorithm.upper()
    remedy = f"Contrast {own} arms alone, or name a measure that every arm has"
    return f'"{measure}" has no value in {_some(lacking)}: only {own} runs have one. {remedy}.'


def _at_another_update(
    measure: str, head: MeasureHead, step: int, cells: Mapping[str, Cell], protocol: Protocol
) -> str:
    made = {arm: updates_of(cell, protocol) for arm, cell in cells.items()}
    kept = {arm: head.at.kept(updates, protocol.spectra_at) for arm, updates in made.items()}
    lacking = [f"{arm} ({made[arm]} updates)" for arm, at in kept.items() if step not in at]
    if not lacking:
        return ""
    what = f'"{measure}" has no value in {_some(lacking)}: {WHY[head.at]}'
    shared = [at for at in next(iter(kept.values())) if all(at in others for others in kept.values())]
    remedy = "Name one of them, or leave" if shared else "Leave"
    return f"{what}. Kept here: {_listed(head.at, shared)}. {remedy} @{step} out for each run's last update."


def _some(arms: list[str]) -> str:
    more = f" and {len(arms) - MOST} more" if len(arms) > MOST else ""
    return ", ".join(arms[:MOST]) + more


def _listed(at: Steps, shared: list[int]) -> str:
    if at is Steps.EVERY:
        return f"1 to {shared[-1]}"
    return ", ".join(map(str, shared)) or "none that all arms share"
