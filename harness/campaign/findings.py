"""Findings: the verdicts in force with all that a report says beside them, over an index that is up to date.

A chapter is one verdict: the declaration as it stands now, its protocol, its rivals' outcomes on the same base and what
others reported. Nothing is decided here. A declaration that is gone leaves its verdict, which says what was claimed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.campaign.bench import Bench
from harness.campaign.beside import Beside, beside
from harness.campaign.readable import with_index
from harness.plan import registration_hash
from harness.record.layout import Store
from harness.record.verdict import Verdict
from harness.record.verdict_files import newest
from harness.spec import DeclarationError, Hypothesis, Protocol
from harness.spec.shelf import Shelf

if TYPE_CHECKING:
    from harness.store.ingest import Damaged


@dataclass(frozen=True, slots=True)
class Chapter:
    """What a report says of one verdict."""

    verdict_id: str
    """The verdict's id in the index."""
    verdict: Verdict
    hypothesis: Hypothesis | None
    """As it was decided on; None where it is declared otherwise now, or no more, or can no longer be read."""
    protocol: Protocol | None
    beside: Beside
    slug: str
    """A name for files that no other chapter has: hypothesis, protocol and base, and whether it is an exploration."""


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that a report is made of."""

    store: Store
    chapters: tuple[Chapter, ...]
    undecided: tuple[str, ...]
    """Hypotheses asked for, or all of the shelf, without a verdict under any protocol reported."""


def findings(
    shelf: Shelf,
    store: Store,
    names: Sequence[str] = (),
    protocol: str | None = None,
    damaged: "Damaged | None" = None,
) -> Findings:
    """Return the findings on the hypotheses `names` (all without one) under a protocol (any where None).

    The index is brought up to date first, apart where the store may only be read. Results that are not what was
    committed are told to `damaged`, if it is there.

    Raises:
        DeclarationError: a name that is neither declared nor has a verdict, or a measure that cannot be used.
        IntegrityError: a committed file is not what was committed.
    """
    store = with_index(store, [shelf.path("analysis", name) for name in shelf.names("analysis")], damaged)
    found = [(path.stem, said) for path, said in newest(store) if protocol in (None, said.protocol)]
    everything = [said for _, said in found]
    decided = {said.hypothesis for said in everything}
    for name in names:
        if name not in decided:
            shelf.path("hypotheses", name)  # one that is not declared is told with those that are
    asked = [(key, said) for key, said in found if not names or said.hypothesis in names]
    slugs = _slugs([said for _, said in asked])
    chapters = tuple(
        _chapter(shelf, store, key, said, everything, slug) for (key, said), slug in zip(asked, slugs, strict=True)
    )
    wanted = names or shelf.names("hypotheses")
    return Findings(store, chapters, tuple(name for name in wanted if name not in decided))


def _chapter(shelf: Shelf, store: Store, key: str, verdict: Verdict, others: Sequence[Verdict], slug: str) -> Chapter:
    bench = Bench(shelf, store, verdict.protocol)
    try:
        protocol, hypothesis = bench.protocol, shelf.hypothesis(verdict.hypothesis)
    except DeclarationError:
        return Chapter(key, verdict, None, None, Beside(), slug)
    same = registration_hash(hypothesis, protocol) == verdict.registered.hash
    return Chapter(key, verdict, hypothesis if same else None, protocol, beside(bench, verdict, others), slug)


def _slugs(verdicts: Sequence[Verdict]) -> list[str]:
    """Return a name for the files of each verdict: plain signs alone, whatever its record says, and each once."""
    found: list[str] = []
    for said in verdicts:
        explored = "-explored" if said.registered.explored else ""
        whole = f"{said.hypothesis}-{said.protocol}-{said.base}{explored}"
        plain = re.sub(r"[^a-z0-9-]+", "-", whole.lower()).strip("-")
        often = sum(slug == plain or re.fullmatch(rf"{re.escape(plain)}--\d+", slug) is not None for slug in found)
        found.append(f"{plain}--{often + 1}" if often else plain)
    return found
