"""One broken hypothesis per rule: where the mistake is told, and in which words.

Each row of the table edits one place of VALID. `line` is text that stands on the line to be named, once in the
edited file; `field` is the dotted field; every fragment must stand in the message.
"""
# ruff: noqa: E501 (a table with one row a rule is read down its columns)

from collections.abc import Callable
from dataclasses import dataclass

import pytest

Told = Callable[[str | bytes], list[str]]

VALID = """\
title: Low ranks live
claim: Runs survive at low ranks.
source: a paper
design:
  seeds: 5
predictions:
  - id: live
    kind: collapse_probability
    role: primary
    statement: Runs at rank 8 collapse less often than not.
    rationale: A user more likely keeps the policy than loses it.
    event: collapsed
    direction: below
    probability: 0.5
    among: {algorithm: [grpo], rank: [8, 16]}
  - id: gain
    kind: min_effect
    role: auxiliary
    statement: Rank 8 beats rank 16 clearly.
    rationale: Five points are two standard deviations.
    margin: 0.05
    refute_below: 0.01
    a: {rank: 8}
    b: {rank: 16}
  - id: gap
    kind: cliff
    role: auxiliary
    statement: One doubling carries the drop.
    rationale: A share of 0.8 means below one octave.
    ranks: [8, 16, 32]
    share: 0.8
    min_total_drop: 0.2
    location: [8, 16]
  - id: apart
    kind: interaction
    role: auxiliary
    statement: The drop is larger under GRPO.
    rationale: Twenty points are half of what can be lost.
    margin: 0.2
    a: {algorithm: grpo, rank: 8}
    b: {algorithm: grpo, rank: 128}
    c: {algorithm: sft, rank: 8}
    d: {algorithm: sft, rank: 128}
"""


@dataclass(frozen=True)
class Broken:
    """A rule, an edit of VALID that breaks it, and what must be told."""

    rule: str
    old: str
    new: str
    line: str
    field: str
    says: tuple[str, ...]


P, G, C, X = (f"predictions[{i}]" for i in range(4))

# fmt: off
BROKEN = [
    # A field that is not known, or not there.
    Broken("unknown top field", "source:", "sauce:", "sauce:", "sauce", ("unknown field; did you mean source?",)),
    Broken("unknown field, nothing near", "title:", "zzz: 1\ntitle:", "zzz:", "zzz", ("unknown field. Remove",)),
    Broken("unknown design field", "seeds: 5", "seeds: 5\n  sead: 1", "sead", "design.sead", ("mean seeds?",)),
    Broken("unknown field in a union", "margin: 0.05", "margin: 0.05\n    margn: 1", "margn", f"{G}.margn", ("margin?",)),
    Broken("unknown field in an arm", "a: {rank: 8}", "a: {rank: 8, rnak: 8}", "rnak", f"{G}.a.rnak", ("mean rank?",)),
    Broken("field of another kind", "share: 0.8", "share: 0.8\n    margin: 1", "margin: 1", f"{C}.margin", ("unknown",)),
    Broken("no rationale", "    rationale: Five points are two standard deviations.\n", "", "id: gain", f"{G}.rationale", ("missing. Add",)),
    # A value of the wrong type.
    Broken("text for int", "seeds: 5", "seeds: '5'", "seeds", "design.seeds", ('"5" is not a whole number. Write one',)),
    Broken("bool for int", "seeds: 5", "seeds: true", "seeds", "design.seeds", ("true is not a whole number",)),
    Broken("float for int", "seeds: 5", "seeds: 5.0", "seeds", "design.seeds", ("5.0 is not a whole number",)),
    Broken("float with digits for int", "seeds: 5", "seeds: 5.5", "seeds", "design.seeds", ("5.5 is not a whole",)),
    Broken("null for int", "seeds: 5", "seeds:", "seeds", "design.seeds", ("null is not a whole number",)),
    Broken("too many digits", "seeds: 5", f"seeds: {10**18}", "seeds", "design.seeds", ("more than 18 digits",)),
    Broken("bool for float", "margin: 0.05", "margin: true", "margin: t", f"{G}.margin", ("true is not a number",)),
    Broken("text for float", "margin: 0.05", "margin: small", "margin: s", f"{G}.margin", ('"small" is not a number',)),
    Broken("hexadecimal is text", "seeds: 5", "seeds: 0x5", "seeds", "design.seeds", ('"0x5" is not a whole number',)),
    Broken("number for text", "title: Low ranks live", "title: 4711", "title", "title", ("4711 is not text. Write",)),
    Broken("number for list", "ranks: [8, 16, 32]", "ranks: 8", "ranks: 8", f"{C}.ranks", ("8 is not a list. Write [",)),
    Broken("number for mapping", "a: {rank: 8}", "a: 8", "a: 8", f"{G}.a", ("8 is not a mapping. Write",)),
    Broken("number for prediction", "  - id: live", "  - 3\n  - id: live", "- 3", P, ("3 is not a mapping",)),
    Broken("mapping for list", "[8, 16, 32]", "{}", "ranks: {}", f"{C}.ranks", ("{} is not a list",)),
    # A number that is no ordinary number, or out of range.
    Broken("NaN", "margin: 0.05", "margin: .nan", "margin: .n", f"{G}.margin", ("NaN is not a finite number. Write",)),
    Broken("infinity", "margin: 0.05", "margin: .inf", "margin: .i", f"{G}.margin", ("Infinity is not a finite",)),
    Broken("minus infinity", "share: 0.8", "share: -.inf", "share: -", f"{C}.share", ("-Infinity is not a finite",)),
    Broken("overflow to infinity", "share: 0.8", "share: 1e999", "share: 1", f"{C}.share", ("is not a finite",)),
    Broken("zero margin", "margin: 0.05", "margin: 0", "margin: 0\n", f"{G}.margin", ("0 is a bare p-value test. State the",)),
    Broken("minus zero margin", "margin: 0.05", "margin: -0.0", "margin: -", f"{G}.margin", ("bare p-value test",)),
    Broken("negative margin", "margin: 0.05", "margin: -0.1", "margin: -", f"{G}.margin", ("-0.1 is out of range: it must be greater than 0. Change",)),
    Broken("margin of the whole scale", "margin: 0.05", "margin: 1", "margin: 1", f"{G}.margin", ("1 is out of range: accuracy, from 0 to 1, gives this kind less than 1 either way.",)),
    Broken("zero interaction margin", "margin: 0.2", "margin: 0", "margin: 0\n", f"{X}.margin", ("bare p-value",)),
    Broken("zero total drop", "drop: 0.2", "drop: 0.0", "drop: 0.0", f"{C}.min_total_drop", ("bare p-value",)),
    Broken("alpha .2", "margin: 0.05", "margin: 0.05\n    alpha: 0.2", "alpha", f"{G}.alpha", ("0.2 is out of range: it must be at most 0.1.",)),
    Broken("alpha 0", "margin: 0.05", "margin: 0.05\n    alpha: 0", "alpha", f"{G}.alpha", ("0 is out of range", "at least 1e-06")),
    Broken("rank 0", "a: {rank: 8}", "a: {rank: 0}", "rank: 0", f"{G}.a.rank", ("0 is out of range: it must be at least 1",)),
    Broken("rank 65537", "a: {rank: 8}", "a: {rank: 65537}", "65537", f"{G}.a.rank", ("at most 65536",)),
    Broken("certain event", "probability: 0.5", "probability: 1.0", "probability: 1", f"{P}.probability", ("at most 0.999",)),
    Broken("no seeds at all", "seeds: 5", "seeds: 0", "seeds", "design.seeds", ("0 is out of range: it must be at least 1",)),
    Broken("too many seeds", "seeds: 5", "seeds: 1001", "seeds", "design.seeds", ("it must be at most 1000.",)),
    # Words.
    Broken("claim too short", "claim: Runs survive at low ranks.", "claim: Short", "claim", "claim", ('"Short" is too short: at least 10',)),
    Broken("title too long", "Low ranks live", "x" * 301, "title", "title", ("xxx... is too long: at most 300",)),
    Broken("id with a blank", "id: gain", "id: my gain", "my gain", f"{G}.id", ('"my gain" is no name', "and dashes")),
    Broken("measure with a dash", "margin: 0.05", "margin: 0.05\n    measure: a-b", "a-b", f"{G}.measure", ("and underscores",)),
    Broken("unknown algorithm", "[grpo]", "[ppo]", "ppo", f"{P}.among.algorithm[0]", ("\"ppo\" is not one of 'grpo' or 'sft'. Choose",)),
    Broken("unknown role", "role: primary", "role: essential", "essential", f"{P}.role", ('"essential" is not one of',)),
    Broken("unknown kind", "kind: cliff", "kind: clif", "kind: clif", f"{C}.kind", ('"clif" is not one of', "'cliff'", "Choose")),
    Broken("missing kind", "    kind: cliff\n", "", "id: gap", f"{C}.kind", ("missing", "Add this field")),
    Broken("kind is a list", "kind: cliff", "kind: [cliff]", "kind: [", f"{C}.kind", ("is not one of",)),
    Broken("unknown policy", "a: {rank: 8}", "a: {rank: 8, scaling: {policy: x}}", "{policy", f"{G}.a.scaling.policy", ('"x" is not one of',)),
    Broken("missing alpha of a policy", "a: {rank: 8}", "a: {rank: 8, scaling: {policy: constant}}", "{policy", f"{G}.a.scaling.alpha", ("missing",)),
    Broken("alpha of a policy", "a: {rank: 8}", "a: {rank: 8, scaling: {policy: constant, alpha: 0}}", "{policy", f"{G}.a.scaling.alpha", ("greater than 0",)),
    # Lists.
    Broken("empty ranks", "rank: [8, 16]", "rank: []", "rank: []", f"{P}.among.rank", ("[] has too few items: at least 1. Add",)),
    Broken("empty algorithms", "[grpo]", "[]", "algorithm: []", f"{P}.among.algorithm", ("[] is an empty list", "Name at least")),
    Broken("no prediction", VALID[VALID.index("predictions:") :], "predictions: []\n", "predictions", "predictions", ("too few items: at least 1. Add",)),
    Broken("unsorted ranks", "[8, 16, 32]", "[16, 8, 32]", "[16,", f"{C}.ranks", ("[16, 8, 32] is not strictly increasing. Sort",)),
    Broken("repeated ranks", "rank: [8, 16]", "rank: [8, 8]", "[8, 8]", f"{P}.among.rank", ("[8, 8] is not strictly increasing",)),
    Broken("repeated algorithms", "[grpo]", "[sft, sft]", "sft, sft", f"{P}.among.algorithm", ('["sft", "sft"] repeats a value.',)),
    Broken("two ranks for a cliff", "[8, 16, 32]", "[8, 16]", "ranks: [", f"{C}.ranks", ("[8, 16] has too few items: at least 3.",)),
    Broken("65 ranks", "rank: [8, 16]", f"rank: {list(range(1, 66))}", "rank: [1, ", f"{P}.among.rank", ("has too many items: at most 64. Remove",)),
    # Fields that contradict each other.
    Broken("refute_below above margin", "refute_below: 0.01", "refute_below: 0.1", "refute_below", f"{G}.refute_below", ("0.1 lies above margin 0.05", "Lower")),
    Broken("same cell twice", "b: {rank: 16}", "b: {rank: 8}", "b: {rank: 8}", f"{G}.b", ("a and b are the same cell. Contrast",)),
    Broken("same cell, default written", "b: {rank: 16}", "b: {rank: 8, algorithm: grpo}", "b: {rank: 8,", f"{G}.b", ("same cell",)),
    Broken("same cell in four", "c: {algorithm: sft", "c: {algorithm: grpo", "c: {algo", f"{X}.c", ("a and c are the same cell",)),
    Broken("cliff not adjacent", "location: [8, 16]", "location: [8, 32]", "location", f"{C}.location", ("[8, 32] is not a pair of neighbouring ranks of [8, 16, 32]. Name",)),
    Broken("cliff downwards", "location: [8, 16]", "location: [16, 8]", "location", f"{C}.location", ("not a pair of neighbouring",)),
    Broken("duplicate ids", "id: gain", "id: live", "id: live\n    kind: min", f"{G}.id", ('"live" is already the id of predictions[0]. Give',)),
    Broken("no primary", "role: primary", "role: auxiliary", "predictions:", "predictions", ("no prediction is primary", "Give one")),
]
# fmt: on


def _line_of(fragment: str, text: str) -> int:
    assert text.count(fragment) == 1, f"{fragment!r} stands {text.count(fragment)} times"
    return text[: text.index(fragment)].count("\n") + 1


@pytest.mark.parametrize("broken", BROKEN, ids=lambda b: b.rule)
def test_a_mistake_is_told_once_with_its_line_field_rule_and_remedy(broken: Broken, hypothesis_mistakes: Told) -> None:
    text = VALID.replace(broken.old, broken.new, 1)
    assert text != VALID
    lines = hypothesis_mistakes(text)
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"f.yaml:{_line_of(broken.line, text)} {broken.field}: ")
    assert [part for part in broken.says if part not in lines[0]] == []
    assert lines[0].endswith(".")


@pytest.mark.parametrize(("old", "new"), [("  seeds: 5", "  {}"), ("design:\n  seeds: 5\n", "")])
def test_a_design_need_not_be_written(old: str, new: str, hypothesis_mistakes: Told) -> None:
    assert old in VALID
    assert hypothesis_mistakes(VALID.replace(old, new)) == []  # eight seeds


def test_the_text_that_the_table_edits_is_valid(hypothesis_mistakes: Told) -> None:
    assert hypothesis_mistakes(VALID) == []


def test_mistakes_of_five_kinds_are_told_at_once_each_on_its_line(hypothesis_mistakes: Told) -> None:
    text = VALID
    for old, new in (
        ("source: a paper\n", "source: a paper\nsource: another\n"),  # YAML: a repeated key
        ("margin: 0.05", "margin: 0"),  # a field
        ("kind: cliff", "kind: clif"),  # the tag of a union
        ("d: {algorithm: sft, rank: 128}", "d: {algorithm: sft, rank: 8}"),  # two fields against each other
        ("seeds: 5", "seeds: 4"),  # a region out of reach
    ):
        text = text.replace(old, new)
    lines = hypothesis_mistakes(text)
    assert [line.split(": ")[0] for line in lines] == [
        "f.yaml:4 source",
        "f.yaml:15 predictions[0].probability",
        "f.yaml:22 predictions[1].margin",
        "f.yaml:27 predictions[2].kind",
        "f.yaml:44 predictions[3].d",
    ]


def test_a_mistake_under_an_anchor_is_told_once_however_many_aliases_reach_it(hypothesis_mistakes: Told) -> None:
    text = VALID.replace("a: {rank: 8}", "a: &arm {rank: 0}").replace("b: {rank: 16}", "b: *arm")
    (line,) = hypothesis_mistakes(text)
    assert line.startswith("f.yaml:23 predictions[1].a.rank: 0 is out of range")


def test_every_missing_field_of_one_mapping_is_told(hypothesis_mistakes: Told) -> None:
    lines = hypothesis_mistakes("title: Low ranks live\n")
    assert [line.split(":")[1] for line in lines] == ["1 claim", "1 source", "1 predictions"]


def test_a_broken_role_does_not_also_count_as_no_primary(hypothesis_mistakes: Told) -> None:
    (line,) = hypothesis_mistakes(VALID.replace("    role: primary\n", ""))
    assert line.startswith("f.yaml:7 predictions[0].role: missing")


def test_a_list_of_one_mistaken_item_is_not_also_too_short(hypothesis_mistakes: Told) -> None:
    text = VALID[: VALID.index("  - id: gain")].replace("rank: [8, 16]", "rank: [x]")
    (line,) = hypothesis_mistakes(text)
    assert line.startswith("f.yaml:15 predictions[0].among.rank[0]: ")


def test_two_mistakes_in_one_mapping_of_equal_wording_are_both_told(hypothesis_mistakes: Told) -> None:
    lines = hypothesis_mistakes(VALID.replace("a: {rank: 8}", "a: {rank: x, learning_rate_scale: x}"))
    assert [line.split(": ")[0] for line in lines] == [
        "f.yaml:23 predictions[1].a.rank",
        "f.yaml:23 predictions[1].a.learning_rate_scale",
    ]
