"""What a claim's verdict means beside those of its rivals, in a sentence.

A claim and a rival may both be supported: the observation is there, and so is what another cause predicts. Then the
observation does not tell them apart, whatever the claim's own card says. What is only suggestive leaves either open.
"""

from collections.abc import Sequence

from harness.record.verdict import Outcome


def standing(outcome: Outcome, rivals: Sequence[tuple[str, Outcome | None]]) -> str:
    """Return what stands; `rivals` are (what it holds to be the cause, its outcome: None without a verdict).

    Empty where a claim has no rivals.
    """
    if not rivals:
        return ""
    held = [cause for cause, said in rivals if said is Outcome.SUPPORTED]
    refuted = [cause for cause, said in rivals if said is Outcome.REFUTED]
    unsettled = [cause for cause, said in rivals if said not in (Outcome.SUPPORTED, Outcome.REFUTED)]
    seen = outcome is Outcome.SUPPORTED
    clauses: list[str] = []
    if held and seen:
        clauses.append(f"{_listed(held)} would give the same: what is seen does not show the cause that is claimed")
    elif held:
        clauses.append(f"what follows from {_listed(held)} is seen")
    if refuted:
        clauses.append(f"what would follow from {_listed(refuted)} is not seen")
    if unsettled:
        clauses.append(f"whether {_listed(unsettled, 'or')} would give it is open")
    first = (
        "Seen as claimed"
        if seen
        else "Not seen as claimed"
        if outcome is Outcome.REFUTED
        else "Open whether it is seen"
    )
    return f"{first}; {'; '.join(clauses)}."


def _listed(causes: Sequence[str], word: str = "and") -> str:
    return causes[0] if len(causes) == 1 else f"{', '.join(causes[:-1])} {word} {causes[-1]}"
