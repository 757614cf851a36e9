"""What a hypothesis comes to: the conjunction of its primary predictions, in one sentence.

Supporting a conjunction needs no correction (an intersection-union test). Refuting it is a union over the parts, so
each primary prediction is decided at its alpha divided by their number, the first Holm step, before it comes here.
Auxiliary predictions do not count.
"""

from collections.abc import Sequence

from harness.record.verdict import Outcome, PredictionVerdict


def conjunction(verdicts: Sequence[PredictionVerdict]) -> tuple[Outcome, str]:
    """Return the outcome of all primary predictions together, and a sentence that says why.

    Raises:
        ValueError: No verdict is of a primary prediction.
    """
    primary = [verdict for verdict in verdicts if verdict.role == "primary"]
    if not primary:
        raise ValueError(f"{[v.id for v in verdicts]}: none is primary. Give the verdict of a primary prediction.")
    outcome = _together({verdict.outcome for verdict in primary})
    return outcome, _READINGS[outcome](primary)


def _together(outcomes: set[Outcome]) -> Outcome:
    if Outcome.REFUTED in outcomes:
        return Outcome.REFUTED
    return outcomes.pop() if len(outcomes) == 1 else Outcome.INCONCLUSIVE


def _supported(primary: list[PredictionVerdict]) -> str:
    if len(primary) == 1:
        return f"Supported: {primary[0].id} ({primary[0].detail})."
    return f"Supported: all {len(primary)} primary predictions are ({_ids(primary)})."


def _refuted(primary: list[PredictionVerdict]) -> str:
    against = [verdict for verdict in primary if verdict.outcome is Outcome.REFUTED]
    parts = "; ".join(f"{verdict.id} ({verdict.detail})" for verdict in against)
    return f"Refuted: {len(against)} of {len(primary)} primary predictions, {parts}."


def _inconclusive(primary: list[PredictionVerdict]) -> str:
    held = [verdict for verdict in primary if verdict.outcome is Outcome.SUPPORTED]
    parts = "; ".join(f"{v.id}: {v.reason}" for v in primary if v.outcome is not Outcome.SUPPORTED)
    supported = f" ({_ids(held)})" if held else ""
    return f"Inconclusive: {len(held)} of {len(primary)} primary predictions supported{supported}; open: {parts}."


def _untested(primary: list[PredictionVerdict]) -> str:
    return f"Untested: no primary prediction has the runs it needs ({_ids(primary)})."


def _ids(verdicts: list[PredictionVerdict]) -> str:
    return ", ".join(verdict.id for verdict in verdicts)


_READINGS = {
    Outcome.SUPPORTED: _supported,
    Outcome.REFUTED: _refuted,
    Outcome.INCONCLUSIVE: _inconclusive,
    Outcome.UNTESTED: _untested,
}
