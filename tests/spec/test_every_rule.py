"""Every rule that makes a claim decidable, with a declaration that breaks it: file, line, field, rule and remedy.

`test_hypothesis_mistakes` has the mistakes of writing; here are those of design. Each row declares one prediction (and
others, where the rule is about several) under a design; every fragment must stand in the one line that is told, and the
row's remedy, once followed, must leave nothing to tell.
"""
# ruff: noqa: E501 (a table with one row a rule is read down its columns)

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.spec import DeclarationError, load_hypothesis
from harness.spec.measure import Grain, MeasureHead
from harness.spec.reachability import attainable_p

Told = Callable[[str | bytes], list[str]]

HEAD = """\
title: A claim
claim: What is predicted here.
source: these tests
{more}design: {design}
predictions:
"""
SAID = "statement: It is as predicted., rationale: The text that explains the number."
FIRST = 6
"""Line of the first prediction where nothing stands between `source` and `design`."""

# One prediction a kind, as the inside of a flow mapping; `{0}` is left for more fields.
COUNT = (
    "kind: collapse_probability, event: collapsed, direction: below, probability: 0.5, among: {rank: [8, 16, 32, 64]}"
)
MORE = "kind: min_effect, margin: 0.1, a: {rank: 8}, b: {rank: 16}"
EQUAL = "kind: equivalence, low: -0.1, high: 0.1, a: {rank: 8}, b: {rank: 16}"
BOUND = "kind: mean_bound, direction: above, value: 0.5, cell: {rank: 8}"
CLIFF = "kind: cliff, ranks: [8, 16, 32], share: 0.8, min_total_drop: 0.2"
SLOPE = "kind: association, x: depth, direction: positive, strata: [family, budget], margin: 0.05, a: {rank: 8}, b: {rank: 16}"
SELECTED = "kind: min_effect, margin: 0.1, a: {rank: 8, where: trained}, b: {rank: 8, where: collapsed}"
OWN = "kind: custom, estimand: mine:median, direction: above, value: 0.5, among: {rank: [8]}"


def declared(*predictions: str, design: str = "{seeds: 8}", more: str = "") -> str:
    """A hypothesis; each prediction is primary and has the next id unless it says so itself."""
    rows = [
        f"  - {{{'' if 'id: ' in text else f'id: p{i}, '}{'' if 'role: ' in text else 'role: primary, '}{SAID}, {text}}}\n"
        for i, text in enumerate(predictions)
    ]
    return HEAD.format(design=design, more=more) + "".join(rows)


@dataclass(frozen=True)
class Rule:
    """A rule, a declaration that breaks it, where and how that is told, and the declaration after the remedy."""

    rule: str
    text: str
    place: str
    """`LINE FIELD`."""
    says: tuple[str, ...]
    mended: str


P0, P1 = f"{FIRST} predictions[0]", f"{FIRST + 1} predictions[1]"
D = "4 design"

# fmt: off
RULES = [
    Rule("runs selected by their accuracy, compared in it", declared(SELECTED), f"{P0}.measure",
         ("a, b are runs selected by their accuracy", "Respond in another measure, or leave where out."), declared(f"{SELECTED}, measure: norm")),
    Rule("a selection against the cell that it is taken from", declared(f"{SELECTED.replace(', where: trained', '')}, measure: norm"), f"{P0}.b",
         ("a and b are one cell, of which one selects runs that the other has too.", "Select in both, by different labels."), declared(f"{SELECTED}, measure: norm")),
    Rule("a cliff that every slope is", declared(CLIFF.replace("0.8", "0.5")), f"{P0}.share",
         ("0.5: the steepest of 2 steps always carries at least 1/2 of the drop.", "Raise share above 0.5"), declared(CLIFF.replace("0.8", "0.51"))),
    Rule("a landmark of these problems for all problems", declared(f"{BOUND.replace('0.5', '0.02')}, reference: base, generalise_to: items, measure: accuracy_items"), f"{P0}.reference",
         ("base was measured on these problems.", "Count from zero, or leave generalise_to out."), declared(f"{BOUND.replace('0.5', '0.02')}, reference: base")),
    Rule("a share that nobody can believe", declared(MORE, more="model: {base: 0.4, sd: 0.02, expected: [{among: {rank: [8, 16]}, mean: 4.5}]}\n"), "4 model.expected[0].mean",
         ("4.5 is not between 0 and 1", "Change it."), declared(MORE, more="model: {base: 0.4, sd: 0.02, expected: [{among: {rank: [8, 16]}, mean: 0.45}]}\n")),
    Rule("two beliefs of one cell", declared(MORE, more="model: {base: 0.4, sd: 0.02, expected: [{among: {rank: [8, 16]}, mean: 0.4}, {among: {rank: [16]}, mean: 0.5}]}\n"), "4 model.expected[1].among",
         ("GRPO r=16 is already in model.expected[0].", "Expect one thing of each cell."), declared(MORE, more="model: {base: 0.4, sd: 0.02, expected: [{among: {rank: [8, 16]}, mean: 0.4}]}\n")),
    # What few runs can show.
    Rule("three seeds against one half", declared(COUNT, design="{seeds: 3}"), f"{P0}.probability",
         ("with 3 unanimous runs a cell the best one-sided bound is 0.632, never below 0.5; it takes 5 runs.", "Set design.seeds to 5 or more."),
         declared(COUNT, design="{seeds: 5}")),
    Rule("six pooled runs against a fifth", declared("kind: collapse_probability, event: trained, direction: below, probability: 0.2, among: {rank: [128, 256]}, quantifier: mean_over_cells", design="{seeds: 3}"), f"{P0}.probability",
         ("with 6 unanimous runs in all the best one-sided bound is 0.393, never below 0.2; it takes 14 runs.", "Set design.seeds to 7 or more."),
         declared("kind: collapse_probability, event: trained, direction: below, probability: 0.2, among: {rank: [128, 256]}, quantifier: mean_over_cells", design="{seeds: 7}")),
    Rule("six pooled runs of always", declared("kind: collapse_probability, event: trained, direction: below, probability: 0.2, among: {rank: [128, 256]}, quantifier: always", design="{seeds: 3}"), f"{P0}.probability",
         ("with 6 unanimous runs in all", "0.393, never below 0.2; it takes 14 runs.", "Set design.seeds to 7"),
         declared("kind: collapse_probability, event: trained, direction: below, probability: 0.2, among: {rank: [128, 256]}, quantifier: always", design="{seeds: 7}")),
    # .0125^(1/5) = .416, .0125^(1/6) = .482, .0125^(1/7) = .535.
    Rule("refuting one of four cells", declared(f"{COUNT}, refute_by: any_cell", design="{seeds: 5}"), f"{P0}.probability",
         ("the refute region cannot be reached: with 5 runs in a cell, every one against the claim, the best one-sided bound at the level 0.0125 is 0.416, never above 0.5; it takes 7 runs.", "Set design.seeds to 7 or more."),
         declared(f"{COUNT}, refute_by: any_cell", design="{seeds: 7}")),
    # Two of them in a disjunction: each is supported at .025 only; .025^(1/6) = .541.
    Rule("support at the Holm level of any", declared(COUNT, MORE, design="{seeds: 5}", more="combine: any\n"), "7 predictions[0].probability",
         ("the support region cannot be reached: with 5 unanimous runs a cell", "never below 0.5; it takes 6 runs.", "Set design.seeds to 6 or more."),
         declared(COUNT, MORE, design="{seeds: 6}", more="combine: any\n")),
    Rule("a probability no design reaches", declared("kind: collapse_probability, event: collapsed, direction: above, probability: 0.999, among: {rank: [8]}"), f"{P0}.probability",
         ("it takes 2995 runs. No design has that many (at most 1000 a cell).", "Move the probability towards 0.5."),
         declared("kind: collapse_probability, event: collapsed, direction: above, probability: 0.5, among: {rank: [8]}")),
    Rule("one run shows no spread", declared(MORE, design="{seeds: 2}"), f"{D}.seeds",
         ("2 seeds give a cell no usable between-run variance, so neither region of p0 can be reached.", "Write 3 or more."),
         declared(MORE, design="{seeds: 3}")),
    # Looks.
    Rule("looks that do not increase", declared(MORE, design="{seeds: 8, looks: [3, 3, 8]}"), f"{D}.looks",
         ("[3, 3, 8] is not strictly increasing.", "Sort the looks and name each once."), declared(MORE, design="{seeds: 8, looks: [3, 8]}")),
    Rule("looks that do not end at the last seed", declared(MORE, design="{seeds: 8, looks: [3, 5]}"), f"{D}.looks",
         ("[3, 5] does not end at the 8 seeds of the design.", "Make 8 the last look."), declared(MORE, design="{seeds: 8, looks: [3, 5, 8]}")),
    Rule("a first look at two runs", declared(MORE, design="{seeds: 8, looks: [2, 8]}"), f"{D}.looks",
         ("[2, 8] looks at fewer than 3 runs a cell.", "Begin at 3."), declared(MORE, design="{seeds: 8, looks: [3, 8]}")),
    Rule("six looks", declared(MORE, design="{seeds: 8, looks: [3, 4, 5, 6, 7, 8]}"), f"{D}.looks",
         ("has more than 5 looks.", "Name fewer, or use always_valid."), declared(MORE, design="{seeds: 8, sequential: always_valid}")),
    Rule("no look", declared(MORE, design="{seeds: 8, looks: []}"), f"{D}.looks",
         ("[] is an empty list.", "Name the runs a cell at each look."), declared(MORE, design="{seeds: 8}")),
    Rule("looks where none is needed", declared(MORE, design="{seeds: 8, looks: [3, 8], sequential: always_valid}"), f"{D}.looks",
         ("always_valid may look after every run.", "Leave looks out."), declared(MORE, design="{seeds: 8, sequential: always_valid}")),
    Rule("own looks that end elsewhere", declared(f"{MORE}, looks: [3, 6]"), f"{P0}.looks",
         ("[3, 6] does not end at the 8 seeds", "Make 8 the last look."), declared(f"{MORE}, looks: [4, 8]")),
    Rule("own looks that begin too early", declared(f"{CLIFF}, looks: [1, 8]"), f"{P0}.looks",
         ("[1, 8] looks at fewer than 3 runs a cell.", "Begin at 3."), declared(f"{CLIFF}, looks: [3, 8]")),
    Rule("own looks under always_valid", declared(f"{MORE}, looks: [3, 8]", design="{seeds: 8, sequential: always_valid}"), f"{P0}.looks",
         ("always_valid may look after every run.", "Leave looks out."), declared(MORE, design="{seeds: 8, sequential: always_valid}")),
    Rule("certain futility", declared(MORE, design="{seeds: 8, futility: 1.0}"), f"{D}.futility",
         ("1.0 is out of range: it must be less than 1.", "Change it."), declared(MORE, design="{seeds: 8, futility: 0.3}")),
    # Levels, units, roles.
    Rule("the problem as the unit", declared(f"{MORE}, unit: problem"), f"{P0}.unit", ("\"problem\" is not one of 'run'.", "Choose one of them."), declared(f"{MORE}, unit: run")),
    Rule("alpha of a fifth", declared(f"{MORE}, alpha: 0.2"), f"{P0}.alpha", ("0.2 is out of range: it must be at most 0.1.", "Change it."), declared(f"{MORE}, alpha: 0.1")),
    Rule("two predictions of one name", declared(f"id: one, {MORE}", f"id: one, {BOUND}"), f"{P1}.id",
         ('"one" is already the id of predictions[0].', "Give each prediction its own id."), declared(f"id: one, {MORE}", f"id: two, {BOUND}")),
    Rule("no primary prediction", declared(f"{MORE}, role: auxiliary"), "5 predictions",
         ("no prediction is primary, so nothing decides the claim.", "Give one the role primary."), declared(MORE)),
    Rule("only exploratory predictions", declared(f"{MORE}, role: exploratory", f"{BOUND}, role: exploratory"), "5 predictions",
         ("no prediction is primary", "Give one the role primary."), declared(MORE, f"{BOUND}, role: exploratory")),
    Rule("neither all nor any", declared(MORE, more="combine: most\n"), "4 combine", ("\"most\" is not one of 'all' or 'any'.", "Choose one of them."), declared(MORE, more="combine: any\n")),
    # Regions.
    Rule("a bare p-value", declared(MORE.replace("0.1", "0")), f"{P0}.margin", ("0 is a bare p-value test.", "State the smallest effect that matters, e.g. 0.05."), declared(MORE)),
    Rule("regions that overlap", declared(f"{MORE}, refute_below: 0.2"), f"{P0}.refute_below",
         ("0.2 lies above margin 0.1, so one estimate could be in both regions.", "Lower refute_below"), declared(f"{MORE}, refute_below: 0.05")),
    Rule("slopes that overlap", declared(f"{SLOPE}, refute_below: 0.2", design="{seeds: 3, bases: {families: 3, budgets: 2, seeds: 4}}"), f"{P0}.refute_below",
         ("0.2 lies above margin 0.05", "Lower refute_below"), declared(f"{SLOPE}, refute_below: 0.0", design="{seeds: 3, bases: {families: 3, budgets: 2, seeds: 4}}")),
    Rule("equivalence beside zero", declared(EQUAL.replace("-0.1", "0.05")), f"{P0}.low", ("0.05 to 0.1 does not straddle 0.", "Write low below 0 and high above it."), declared(EQUAL)),
    Rule("equivalence down to zero", declared(EQUAL.replace("high: 0.1", "high: 0.0")), f"{P0}.low", ("-0.1 to 0 does not straddle 0.", "Write low below 0"), declared(EQUAL)),
    Rule("margin beyond the range", declared(MORE.replace("0.1", "1.5")), f"{P0}.margin", ("1.5 is out of range: accuracy, from 0 to 1, gives this kind less than 1 either way.", "Change it."), declared(MORE)),
    Rule("refutation beyond the range", declared(f"{MORE}, refute_below: -1"), f"{P0}.refute_below", ("-1 is out of range", "less than 1 either way.", "Change it."), declared(f"{MORE}, refute_below: -0.5")),
    Rule("interaction beyond its range", declared("kind: interaction, margin: 2, a: {rank: 1}, b: {rank: 2}, c: {rank: 3}, d: {rank: 4}"), f"{P0}.margin",
         ("2 is out of range", "less than 2 either way.", "Change it."), declared("kind: interaction, margin: 1.5, a: {rank: 1}, b: {rank: 2}, c: {rank: 3}, d: {rank: 4}")),
    Rule("equivalence beyond the range", declared(EQUAL.replace("high: 0.1", "high: 1.0")), f"{P0}.high", ("1 is out of range", "Change it."), declared(EQUAL)),
    Rule("drop beyond the range", declared(CLIFF.replace("0.2", "1.0")), f"{P0}.min_total_drop", ("1 is out of range", "Change it."), declared(CLIFF)),
    Rule("bound at the end of the scale", declared(BOUND.replace("0.5", "0")), f"{P0}.value", ("0 is out of range: accuracy lies from 0 to 1, so one side of this bound is empty.", "Change it."), declared(f"{BOUND.replace('0.5', '0')}, reference: base")),
    Rule("bound beyond the scale", declared(BOUND.replace("0.5", "-0.2")), f"{P0}.value", ("-0.2 is out of range", "one side of this bound is empty.", "Change it."), declared(f"{BOUND.replace('0.5', '-0.2')}, reference: base")),
    Rule("a reference of another scale", declared(f"{BOUND}, reference: base, scale: logit"), f"{P0}.reference", ("base is an accuracy.", "Count from zero, or bound the raw accuracy."), declared(f"{BOUND}, scale: logit")),
    Rule("certain probability", declared(COUNT.replace("0.5", "1.0")), f"{P0}.probability", ("1.0 is out of range: it must be at most 0.999.", "Change it."), declared(COUNT)),
    Rule("an own value inside its support", declared(f"{OWN}, refute_beyond: 0.6"), f"{P0}.refute_beyond", ("0.6 lies inside the support region.", "Move it to the other side of value 0.5."), declared(f"{OWN}, refute_beyond: 0.4")),
    Rule("any cell of a mean", declared(f"{COUNT}, quantifier: mean_over_cells, refute_by: any_cell"), f"{P0}.refute_by",
         ("any_cell refutes a claim about each cell, not mean_over_cells.", "Leave refute_by out."), declared(f"{COUNT}, quantifier: mean_over_cells")),
    Rule("problems on another scale", declared(f"{MORE}, generalise_to: items, scale: logit, measure: accuracy_items"), f"{P0}.scale",
         ("logit has no run by item variance.", "Use the raw scale to generalise to items."), declared(f"{MORE}, generalise_to: items, measure: accuracy_items")),
    # Arms.
    Rule("an arm against itself", declared(EQUAL.replace("rank: 16", "rank: 8")), f"{P0}.b", ("a and b are the same cell.", "Contrast two different ones."), declared(f"{EQUAL.replace('a: {rank: 8', 'a: {where: collapsed, rank: 8').replace('b: {rank: 16', 'b: {where: trained, rank: 8')}, measure: norm")),
    Rule("a gap between an arm and itself", declared(SLOPE.replace("rank: 16", "rank: 8"), design="{seeds: 3, bases: {families: 3, budgets: 2, seeds: 4}}"), f"{P0}.b",
         ("a and b are the same cell.", "Contrast two different ones."), declared(SLOPE, design="{seeds: 3, bases: {families: 3, budgets: 2, seeds: 4}}")),
    Rule("an unknown fate", declared(MORE.replace("{rank: 8}", "{rank: 8, where: dead}")), f"{P0}.a.where", ("\"dead\" is not one of 'collapsed'", "Choose one of them."), declared(f"{MORE.replace('{rank: 8}', '{rank: 8, where: collapsed}')}, measure: norm")),
    Rule("a cliff of two steps", declared(f"{CLIFF}, location: [8, 32]"), f"{P0}.location", ("[8, 32] is not a pair of neighbouring ranks of [8, 16, 32].", "Name two neighbours"), declared(f"{CLIFF}, location: [8, 16]")),
    # What the runs cost.
    Rule("fewer runs than are asked for", declared(COUNT, MORE, design="{seeds: 8, max_runs: 31}"), f"{D}.max_runs",
         ("31 is less than the 32 runs that the predictions ask for.", "Raise it, or ask less."), declared(COUNT, MORE, design="{seeds: 8, max_runs: 32}")),
    Rule("fewer runs than on all bases", declared(SLOPE, design="{seeds: 3, max_runs: 143, bases: {families: 3, budgets: 2, seeds: 4}}"), f"{D}.max_runs",
         ("143 is less than the 144 runs", "Raise it, or ask less."), declared(SLOPE, design="{seeds: 3, max_runs: 144, bases: {families: 3, budgets: 2, seeds: 4}}")),
    Rule("more runs than a plan", declared(COUNT.replace("[8, 16, 32, 64]", str(list(range(1, 12)))), design="{seeds: 1000}"), P0,
         ("11 cells of 1000 seeds are more than 10000 runs.", "Name fewer levels or seeds."), declared(COUNT, design="{seeds: 1000}")),
    # Independent bases.
    Rule("an association on one base", declared(SLOPE), f"{P0}.kind", ("an association needs several bases.", "Add design.bases: {families: F, budgets: B, seeds: S}."), declared(SLOPE, design="{seeds: 3, bases: {families: 3, budgets: 2, seeds: 4}}")),
    Rule("one base among several", declared(MORE, design="{seeds: 3, bases: {families: 5}}"), f"{P0}.kind", ("one verdict combines all bases of design.bases, and this kind speaks of one.", "Declare it separately."), declared(MORE, design="{seeds: 3}")),
    # 1/3! = .167; 1/4! = .042.
    Rule("three families", declared(SLOPE.replace("[family, budget]", "[]"), design="{seeds: 3, bases: {families: 3}}"), f"{P0}.strata",
         ("the smallest one-sided permutation p across families is 0.167 with 3 families x 1 budget x 1 seed, never at most 0.05; it takes 4 families (p 0.042).", "Set design.bases.families to 4 or more."),
         declared(SLOPE.replace("[family, budget]", "[]"), design="{seeds: 3, bases: {families: 4}}")),
    # At .05 / 2 five families are needed: 1/5! = .0083.
    Rule("four families at the Holm level", declared(SLOPE.replace("[family, budget]", "[]"), SLOPE, design="{seeds: 3, bases: {families: 4, budgets: 2, seeds: 4}}"), f"{P0}.strata",
         ("p across families is 0.042", "never at most 0.025; it takes 5 families (p 0.0083).", "Set design.bases.families to 5 or more."),
         declared(SLOPE.replace("[family, budget]", "[]"), SLOPE, design="{seeds: 3, bases: {families: 5, budgets: 2, seeds: 4}}")),
    Rule("three models of one checkpoint", declared(SLOPE.replace("[family, budget]", "[family]"), design="{seeds: 3, bases: {families: 3}}"), f"{P0}.strata",
         ("the smallest one-sided permutation p within family is 1.000 with 3 families x 1 budget x 1 seed, never at most 0.05; it takes 3 seeds (p 0.0046).", "Set design.bases.seeds to 3 or more."),
         declared(SLOPE.replace("[family, budget]", "[family]"), design="{seeds: 3, bases: {families: 3, seeds: 3}}")),
    Rule("x and the gap both drift", declared(SLOPE.replace("[family, budget]", "[family]"), design="{seeds: 3, bases: {families: 3, budgets: 4, seeds: 4}}"), f"{P0}.strata",
         ("x and the gap both drift with the tokens seen", "Compare within [family, budget]."),
         declared(SLOPE, design="{seeds: 3, bases: {families: 3, budgets: 4, seeds: 4}}")),
    Rule("budgets across families", declared(SLOPE.replace("[family, budget]", "[budget]"), design="{seeds: 3, bases: {families: 3, budgets: 2, seeds: 4}}"), f"{P0}.strata",
         ("bases of one budget but different families differ in more than x.", "Add family."), declared(SLOPE, design="{seeds: 3, bases: {families: 3, budgets: 2, seeds: 4}}")),
    Rule("tokens within a budget", declared(SLOPE.replace("depth", "log2_tokens"), design="{seeds: 3, bases: {families: 3, budgets: 3, seeds: 1}}"), f"{P0}.strata",
         ("bases of one budget have seen the same tokens.", "Use [family]."), declared(SLOPE.replace("depth", "log2_tokens").replace("[family, budget]", "[family]"), design="{seeds: 3, bases: {families: 3, budgets: 3, seeds: 1}}")),
    # Budgets of tokens, several bases each: exchanging bases of one budget changes nothing. (2! 2!)/4! = 1/6 a family.
    Rule("too few budgets for a trend", declared(SLOPE.replace("depth", "log2_tokens").replace("[family, budget]", "[family]"), design="{seeds: 3, bases: {families: 1, budgets: 2, seeds: 2}}"), f"{P0}.strata",
         ("p within family is 0.167 with 1 family x 2 budgets x 2 seeds", "it takes 3 seeds (p 0.05).", "Set design.bases.seeds to 3 or more."),
         declared(SLOPE.replace("depth", "log2_tokens").replace("[family, budget]", "[family]"), design="{seeds: 3, bases: {families: 1, budgets: 2, seeds: 3}}")),
    # The declared world.
    Rule("a world without a cell", declared(MORE, more="model: {base: 0.4, sd: 0.02, expected: [{among: {rank: [8]}, mean: 0.6}]}\n"), "7 predictions[0]",
         ("the model expects nothing of GRPO r=16.", "Add them to model.expected."), declared(MORE, more="model: {base: 0.4, sd: 0.02, expected: [{among: {rank: [8, 16]}, mean: 0.6}]}\n")),
    Rule("a world without a slope", declared(SLOPE, design="{seeds: 3, bases: {families: 3, budgets: 2, seeds: 4}}", more="model: {base: 0.4, sd: 0.02, expected: [{among: {rank: [8, 16]}, mean: 0.6}]}\n"), "7 predictions[0]",
         ("the model expects no slope.", "Add model.slope."), declared(SLOPE, design="{seeds: 3, bases: {families: 3, budgets: 2, seeds: 4}}", more="model: {base: 0.4, sd: 0.02, slope: 0.1, expected: [{among: {rank: [8, 16]}, mean: 0.6}]}\n")),
]
# fmt: on


def told(text: str, tmp_path: Path) -> list[str]:
    """Return the lines told about a hypothesis whose project has a function `median` and some measures."""
    (tmp_path / "mine.py").write_text("def median(arms, alpha):\n    return 0, 0, 0\n")
    (tmp_path / "h.yaml").write_text(text)
    share = MeasureHead(Grain.RUN, "share, 0 to 1", bounded=True)
    heads = {
        "accuracy": share,
        "accuracy_items": MeasureHead(Grain.ITEM, "share, 0 to 1", bounded=True),
        "depth": MeasureHead(Grain.BASE, "layers", bounded=False),
        "norm": MeasureHead(Grain.RUN, "a norm", bounded=False),
        "rank_so_far": MeasureHead(Grain.STEP, "a pure number", bounded=False),
        "share_so_far": MeasureHead(Grain.STEP, "a share, 0 to 1", bounded=True),
    }
    try:
        load_hypothesis(tmp_path / "h.yaml", "f.yaml", heads, tmp_path)
    except DeclarationError as error:
        return error.lines
    return []


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.rule)
def test_a_broken_rule_is_told_once_with_its_remedy(rule: Rule, tmp_path: Path) -> None:
    lines = told(rule.text, tmp_path)
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"f.yaml:{rule.place}: ")
    assert [part for part in rule.says if part not in lines[0]] == []
    assert lines[0].endswith(".")


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.rule)
def test_the_remedy_mends_it(rule: Rule, tmp_path: Path) -> None:
    assert rule.mended != rule.text
    assert told(rule.mended, tmp_path) == []


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        ((MORE, f"{MORE}, measure: mood"), '"mood" is no measure with one row per run in analysis/. Known: accuracy'),
        ((MORE, f"{MORE}, measure: depth"), '"depth" is no measure with one row per run'),
        ((MORE, f"{MORE}, generalise_to: items"), '"accuracy" is no measure with one row per (run, problem)'),
        ((MORE, f"{MORE}, measure: norm, scale: logit"), '"norm" is not a share from 0 to 1, so it has no logit.'),
        ((MORE, f"{MORE}, measure: rank_so_far@4, scale: logit"), '"rank_so_far@4" is not a share from 0 to 1, so it'),
    ],
)
def test_a_measure_has_to_be_of_the_kind_that_is_asked_for(edit: tuple[str, str], says: str, tmp_path: Path) -> None:
    (line,) = told(declared(MORE).replace(*edit), tmp_path)
    assert says in line
    assert line.endswith(("Use one.", "Use raw or log_ratio."))


@pytest.mark.parametrize("measure", ["norm@4", "mood@4", "depth@4", "accuracy_items@4"])
def test_only_a_measure_of_steps_has_a_value_at_a_step(measure: str, tmp_path: Path) -> None:
    (line,) = told(declared(f"{MORE}, measure: {measure}"), tmp_path)
    assert line.startswith(f'f.yaml:{P0}.measure: "{measure}" is no measure with one row per (run, step) in analysis/.')
    assert line.endswith(" Known: rank_so_far, share_so_far. Use one, or leave @4 out.")


@pytest.mark.parametrize(
    ("measure", "meant"),
    [("acuracy", "accuracy"), ("rank_so_fra", "rank_so_far"), ("rank_so_fra@4", "rank_so_far"), ("nrom", "norm")],
)
def test_a_misspelt_measure_is_told_with_the_one_that_is_meant(measure: str, meant: str, tmp_path: Path) -> None:
    (line,) = told(declared(f"{MORE}, measure: {measure}"), tmp_path)
    assert f'"{measure}" is no measure with one row per (run' in line.replace("per run", "per (run")
    assert f" in analysis/; did you mean {meant}? Known: " in line


@pytest.mark.parametrize("measure", ["mood", "depth", "norm@4"])
def test_nothing_is_suggested_for_another_word_or_for_a_measure_of_other_rows(measure: str, tmp_path: Path) -> None:
    (line,) = told(declared(f"{MORE}, measure: {measure}"), tmp_path)
    assert "did you mean" not in line


def test_problems_have_no_steps(tmp_path: Path) -> None:
    for measure in ("rank_so_far", "rank_so_far@4", "accuracy_items@4"):
        (line,) = told(declared(f"{MORE}, generalise_to: items, measure: {measure}"), tmp_path)
        assert f'"{measure}" is no measure with one row per (run, problem) in analysis/. Known: accuracy_items.' in line


def test_a_step_is_written_without_leading_zeros(tmp_path: Path) -> None:
    (line,) = told(declared(f"{MORE}, measure: rank_so_far@04"), tmp_path)
    assert line.startswith(f'f.yaml:{P0}.measure: "rank_so_far@04" is no measure. Write NAME in lower-case letters')
    assert line.endswith("NAME@STEP with a step without leading zeros, or module:function.")


def test_a_time_series_responds_wherever_a_run_does(tmp_path: Path) -> None:
    for measure in ("rank_so_far", "rank_so_far@0", "rank_so_far@17"):
        assert told(declared(f"{MORE.replace('0.1', '40')}, measure: {measure}"), tmp_path) == []
        assert told(declared(f"{SELECTED}, measure: {measure}"), tmp_path) == []
    assert told(declared(f"{MORE}, measure: share_so_far@4, scale: logit"), tmp_path) == []
    (line,) = told(declared(f"{MORE.replace('0.1', '1')}, measure: share_so_far@4"), tmp_path)
    assert "1 is out of range: share_so_far@4, from 0 to 1, gives this kind less than 1 either way." in line


def test_x_is_a_measure_of_bases(tmp_path: Path) -> None:
    design = "{seeds: 3, bases: {families: 3, budgets: 2, seeds: 4}}"
    (line,) = told(declared(SLOPE.replace("depth", "norm"), design=design), tmp_path)
    assert line.startswith(f"f.yaml:{P0}.x: ")
    assert '"norm" is no measure with one row per base in analysis/. Known: depth. Use one.' in line


def test_a_margin_on_an_unbounded_measure_has_no_range(tmp_path: Path) -> None:
    assert told(declared(f"{MORE.replace('0.1', '40')}, measure: norm"), tmp_path) == []
    assert told(declared(f"{MORE.replace('0.1', '1.5')}, scale: log_ratio"), tmp_path) == []
    assert told(declared(f"{BOUND.replace('0.5', '-3')}, measure: norm"), tmp_path) == []


def test_an_exploratory_association_may_be_too_small(tmp_path: Path) -> None:
    small = SLOPE.replace("[family, budget]", "[]")
    lines = told(declared(f"{small}, role: exploratory", design="{seeds: 3, bases: {families: 3}}"), tmp_path)
    assert [line.split(": ")[1] for line in lines] == [
        "no prediction is primary, so nothing decides the claim. Give one the role primary."
    ]


@pytest.mark.parametrize(
    ("sizes", "alike", "p"),
    # 1/3!; 1/3!^3 = 1/216; four checkpoints of three families 1/24^3; a unit alone is exchanged with nothing; six bases
    # of three budgets, two each: 2! 2! 2! / 6! = 8/720.
    [([3], 1, 1 / 6), ([3, 3, 3], 1, 1 / 216), ([4, 4, 4], 1, 1 / 13_824), ([1, 1, 1], 1, 1.0), ([6], 2, 8 / 720)],
)
def test_the_smallest_p_that_permutations_can_give(sizes: list[int], alike: int, p: float) -> None:
    assert attainable_p(sizes, alike) == pytest.approx(p)
