"""All runs that hypotheses may need: their tuning, and their own at the rates that are known now.

Until a tuning is finished, its arms stand at the protocol's own rate: as many runs as there will be, under ids that
may not be theirs.
"""

from collections.abc import Iterator, Mapping, Sequence

from harness.campaign.bench import Bench
from harness.campaign.tuning import tuned_on
from harness.plan import PlannedBase, RunSet, tuning, union
from harness.spec import Hypothesis


def foreseen(bench: Bench, hypotheses: Mapping[str, Hypothesis], names: Sequence[str] | None) -> RunSet:
    """Return the runs that hypotheses will need on the named bases once they are registered, which this does not do.

    None names the protocol's own choice of bases.
    """
    blocks = bench.first_blocks(hypotheses)
    tuned = (
        tuning(name, hypothesis, bench.protocol, base.name)
        for name, hypothesis, base in _to_tune(bench, hypotheses, names)
    )
    return union([*tuned, *_own(bench, hypotheses, names, blocks)])


def needed(bench: Bench, hypotheses: Mapping[str, Hypothesis], names: Sequence[str] | None) -> RunSet:
    """Return the runs that hypotheses need on the named bases with the seeds that are theirs now, but for tuning."""
    return union(list(_own(bench, hypotheses, names, bench.blocks(tuple(hypotheses)))))


def unfinished_tunings(bench: Bench, hypotheses: Mapping[str, Hypothesis], names: Sequence[str] | None) -> RunSet:
    """Return the tuning runs that are needed next, with those that exist, on bases where some tuning is unfinished."""
    found = (tuned_on(bench, name, hypothesis, base) for name, hypothesis, base in _to_tune(bench, hypotheses, names))
    return union([tuned.runs for tuned in found if not tuned.finished])


def _to_tune(
    bench: Bench, hypotheses: Mapping[str, Hypothesis], names: Sequence[str] | None
) -> Iterator[tuple[str, Hypothesis, PlannedBase]]:
    for name, hypothesis in hypotheses.items():
        if hypothesis.design.tuning is not None:
            yield from ((name, hypothesis, base) for base in bench.planned_bases(names or ()))


def _own(
    bench: Bench, hypotheses: Mapping[str, Hypothesis], names: Sequence[str] | None, blocks: Mapping[str, str]
) -> Iterator[RunSet]:
    usual = {name: hypothesis for name, hypothesis in hypotheses.items() if hypothesis.design.tuning is None}
    yield bench.plan(usual, names, blocks=blocks)
    for name, hypothesis, base in _to_tune(bench, hypotheses, names):
        given = tuned_on(bench, name, hypothesis, base).given
        yield bench.plan({name: hypothesis}, [base.name], given=given, blocks=blocks)
