"""Whether a claim can be asked under a protocol, and on the bases that are wanted: the mistakes where it cannot.

They are mistakes of the pair, not of either: the same claim may be asked under another protocol.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations

from pydantic import ValidationError

from harness.campaign.kept import unkept
from harness.plan import bases_of, misfit, unfit, unfit_lines
from harness.spec import BaseRecipe, HubBase, Hypothesis, Protocol
from harness.spec.measure import MeasureHead
from harness.spec.prediction import CollapseProbability
from harness.spec.protocol import AT
from harness.spec.reachability import unreachable


def misfits(
    name: str, hypothesis: Hypothesis, protocol: Protocol, called: str, heads: Mapping[str, MeasureHead]
) -> list[str]:
    """Return a mistake for each arm that a protocol cannot run, each two that are one cell, each value not kept.

    And for each region that the looks leave to no outcome.
    """
    lines = _out_of_reach(name, hypothesis)
    for i, prediction in enumerate(hypothesis.predictions):
        place = f"hypotheses/{name}.yaml predictions[{i}]"
        try:
            cells = [(key, arm.cell(protocol.given), arm.where) for key, arm in prediction.arms().items()]
        except ValidationError as error:  # an adapter that does not take the protocol's scaling
            why = error.errors()[0]["msg"].removeprefix("Value error, ")
            lines.append(f"{place}: under protocol {called}, an arm cannot run: {why}")
            continue
        for key, cell, _ in cells:
            if why := misfit(cell, protocol) or unfit(cell, protocol, protocol.default_bases):
                lines.append(f"{place}: under protocol {called}, {key} cannot run: {why}. Change the arm.")
        for (a, one, fate), (b, other, other_fate) in combinations(cells, 2):
            if one == other and (fate == other_fate or None in (fate, other_fate)):
                rule = f"under protocol {called}, {a} and {b} are the same cell"
                lines.append(f"{place}: {rule}. Contrast two different ones.")
        if why := unkept(prediction, protocol, heads):
            lines.append(f"{place}.measure: under protocol {called}, {why}")
    return lines


def _out_of_reach(name: str, hypothesis: Hypothesis) -> list[str]:
    """Return a mistake for each region of a count that several looks leave to no outcome; of one look, spec tells."""
    lines: list[str] = []
    for i, prediction in enumerate(hypothesis.predictions):
        sizes, levels = hypothesis.schedule(prediction), hypothesis.levels(prediction)
        if not isinstance(prediction, CollapseProbability) or len(sizes) == 1:
            continue
        left = 1 - math.log1p(math.expm1(1) * sizes[-2] / sizes[-1])  # what the last look has at least (Pocock)
        if not unreachable(i, prediction, hypothesis.design, *(left * level for level in levels)):
            continue
        from harness.decide import rules_of  # scipy, 0.2 s, for what is so close only
        from harness.decide.counts import out_of_reach

        look = rules_of(hypothesis, prediction).terms(1).look
        if region := out_of_reach(prediction, len(prediction.arms()), *levels, look):
            taken = f"looks {list(sizes)} share the level, so that not even unanimous runs reach the {region} region"
            remedy = "Plan fewer looks, or more seeds: [5, 10] serves one half."
            lines.append(f"hypotheses/{name}.yaml predictions[{i}]: {taken}. {remedy}")
    return lines


def unsuitable(
    name: str, hypothesis: Hypothesis, protocol: Protocol, called: str, asked: Sequence[str] | None
) -> list[str]:
    """Return why a hypothesis cannot be asked on these bases; None stands for the protocol's choice.

    They are not those that it combines, or one does not fit an arm, or lacks a checkpoint or its tokens.
    """
    names = bases_of(hypothesis, protocol, asked)
    lines = unfit_lines({name: hypothesis}, protocol, names) + _without_checkpoint(name, hypothesis, protocol, names)
    wanted = hypothesis.design.bases
    if wanted is None:
        return lines
    recipes = {each: protocol.base(each) for each in names}
    strata = Counter((recipe.family, recipe.budget()) for recipe in recipes.values())
    budgets = Counter(family for family, _ in strata)  # which may be other ones in other families
    here = (len(budgets), set(budgets.values()), set(strata.values()))
    if here != (wanted.families, {wanted.budgets}, {wanted.seeds}):
        said = f"{wanted.families} families x {wanted.budgets} budgets x {wanted.seeds} seeds"
        have = " x ".join([str(here[0]), *(" or ".join(map(str, sorted(counts))) for counts in here[1:])])
        rule = f"design.bases asks for {said}, and {', '.join(names)} are {have}"
        lines.append(f"hypotheses/{name}.yaml: {rule}. Name others with --models, or change the design.")
    if silent := [each for each, recipe in recipes.items() if not _tokens_known(recipe)]:
        rule = f"an association compares bases by tokens, and {silent[0]} of {called} declares none"
        lines.append(f"hypotheses/{name}.yaml: {rule}. Declare bases.{silent[0]}.tokens.")
    return lines


def _without_checkpoint(name: str, hypothesis: Hypothesis, protocol: Protocol, bases: Sequence[str]) -> list[str]:
    arms = (arm for prediction in hypothesis.predictions for arm in prediction.arms().values())
    wanted = dict.fromkeys(arm.checkpoint for arm in arms if arm.checkpoint)
    known = protocol.base_names()
    lacking = ((base, point) for base in bases for point in wanted if f"{base}{AT}{point}" not in known)
    return [
        f"hypotheses/{name}.yaml: base {base} has no checkpoint {point!r}. Name another base."
        for base, point in lacking
    ]


def _tokens_known(base: BaseRecipe | HubBase) -> bool:
    return isinstance(base, BaseRecipe) or base.tokens is not None
