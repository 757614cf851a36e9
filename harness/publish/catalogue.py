"""The table of all hypotheses, as Markdown: what each came to, and what it took."""

from collections.abc import Iterator

from harness.campaign.catalogue import Catalogue, Tested
from harness.publish.card import HEADING

BEGIN, END = "<!-- catalogue -->", "<!-- end of catalogue -->"
"""Between these lines a file takes the table."""


def table(catalogue: Catalogue) -> str:
    """Return the table and the totals, without a line break at the end."""
    return "\n".join(_lines(catalogue))


def into(text: str, catalogue: Catalogue) -> str:
    """Return a file's text with the table between its two marks, in place of what stands there.

    Raises:
        ValueError: the marks are not there, once each and in their order.
    """
    before, begin, rest = text.partition(f"{BEGIN}\n")
    _, end, after = rest.partition(f"{END}\n")
    if not begin or not end:
        raise ValueError(f"there are no lines {BEGIN} and {END}. Add them where the table should stand.")
    return f"{before}{begin}{table(catalogue)}\n{end}{after}"


def _lines(catalogue: Catalogue) -> Iterator[str]:
    yield "| hypothesis | verdict | reading | runs | shared | CPU min |"
    yield "|---|---|---|--:|--:|--:|"
    for tested in catalogue.tested:
        yield _row(tested)
    yield ""
    union, executed = catalogue.union, catalogue.executed
    shares = f"union over the sum of separate plans {_share(union, catalogue.apart)}, executed over union "
    yield (
        f"{executed} runs executed of {union} in union and {catalogue.apart} in separate plans ({shares}"
        f"{_share(executed, union)}), on {catalogue.bases} bases; {catalogue.wall_minutes:.0f} minutes, "
        f"{catalogue.cpu_minutes:.0f} CPU minutes."
    )
    for name, why in catalogue.left_out.items():
        yield f"\nLeft out: {name} ({why})"


def _row(tested: Tested) -> str:
    verdicts = [f"{HEADING.get(said.outcome, 'OPEN')} ({said.outcome})" for said, _ in tested.verdicts]
    readings = [stands or said.reading for said, stands in tested.verdicts]
    runs = f"{tested.executed} of {tested.runs}"
    cells = [
        tested.name,
        "<br>".join(verdicts) or "not tested",
        "<br>".join(readings),
        runs,
        str(tested.shared),
        f"{tested.cpu_minutes:.1f}",
    ]
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2f}" if whole else "n/a"
