"""What is wrong with a file as YAML is told in one line, before or beside what is wrong with the declaration."""
# ruff: noqa: E501 (a table with one row a rule is read down its columns)

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.spec import DeclarationError, load_hypothesis
from harness.spec.yaml_text import MAX_BYTES, parse

Told = Callable[[str | bytes], list[str]]

VALID = """\
title: Rank 8 beats rank 16
claim: Rank 8 beats rank 16.
source: a paper
design: {seeds: 3}
predictions:
  - {id: gain, kind: min_effect, role: primary, statement: Rank 8 beats rank 16., rationale: Five points are two SDs,
     margin: 0.1, a: {rank: 8}, b: {rank: 16}}
"""

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
"""A billion laughs: 9 ** 9 values in 9 lines."""


def test_the_text_that_the_tests_edit_is_valid(hypothesis_mistakes: Told) -> None:
    assert hypothesis_mistakes(VALID) == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "1 file: the file is empty. Declare something"),
        (" \n\n", "1 file: the file is empty. Declare something"),
        ("# nothing\n# yet\n", "1 file: the file holds no value, only comments. Declare something"),
        ("- a\n- b\n", '1 file: ["a", "b"] is no mapping. Write `field: value` lines.'),
        ("~\n", "1 file: null is no mapping. Write"),
        ("just words\n", '1 file: "just words" is no mapping. Write'),
        ("title: [a\nclaim: b\n", "2 file: not valid YAML: while parsing a flow sequence expected ',' or ']'"),
        ("title: 'a\n", "2 file: not valid YAML: while scanning a quoted scalar"),
        ("title: a\n\tclaim: b\n", "2 file: not valid YAML: while scanning"),
        ("title: a\nclaim: *b\n", "2 file: not valid YAML: found undefined alias 'b'. Mend"),
        ("title: a\n---\ntitle: b\n", "2 file: a second document starts here (---). Keep one"),
        ("title: a\n" + "b: " + "[" * 21 + "]" * 21, "2 file: nested deeper than 20 levels. Flatten it."),
        ("[" * 100_000, "1 file: nested deeper than 20 levels. Flatten it."),
        ("{a: " * 50_000, "1 file: nested deeper than 20 levels. Flatten it."),
        (BOMB, "1 file: more than 10000 values once aliases are expanded. Write fewer, without aliases."),
        ("a: &a [*a]\n", "1 file: nested deeper than 20 levels once aliases are expanded. Write it without"),
        ("a: &a {b: *a}\n", "1 file: nested deeper than 20 levels once aliases are expanded. Write it without"),
        ("title: a\n#" + "x" * MAX_BYTES, "1 file: larger than 262144 bytes, the most a declaration may have. Split"),
        (b"title: a\nclaim: \xff\n", "2 file: not UTF-8 text (a binary file?). Save it as UTF-8"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "1 file: not UTF-8 text (a binary file?). Save it as UTF-8"),
        ("title: a\n".encode("utf-16"), "1 file: not UTF-8 text"),
        (b"title: a\nclaim: \x00\n", "2 file: not valid YAML: the character U+0000 is not allowed. Save it as plain"),
        ("title: a\nclaim: \x1b[31m\n", "2 file: not valid YAML: the character U+001B is not allowed."),
        ('title: a\nclaim: "\\UFFFFFFFF"\n', "2 file: not valid YAML: a number or escape beyond what can be read."),
        ('title: a\nclaim: "\\U00110000"\n', "2 file: not valid YAML: a number or escape beyond what can be read."),
        (f"%YAML 1.{'1' * 5000}\n---\na: b\n", "1 file: not valid YAML: a number or escape beyond what can be read."),
        ("%YAML 3.0\n---\na: b\n", "1 file: not valid YAML: found incompatible YAML document"),
    ],
    ids=lambda value: repr(value[:24]),
)
def test_a_file_that_is_no_declaration(content: str | bytes, told: str, hypothesis_mistakes: Told) -> None:
    (line,) = hypothesis_mistakes(content)
    assert line.startswith(f"f.yaml:{told}")
    assert line.endswith(".")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("source: a paper", "source: a paper\nsource: b", '4 source: the key "source" stands here again (first on line 3)'),
        ("{rank: 8}", "{rank: 8, rank: 4}", '7 predictions[0].a.rank: the key "rank" stands here again (first on line 7)'),
        ("{seeds: 3}", "!custom {seeds: 3}", '4 design: "!custom" is a tag; declarations are plain data. Remove it.'),
        ("{seeds: 3}", "!!python/object:os.X {a: 1}", '4 design: "!!python/object:os.X" is a tag; declarations are'),
        ("a paper", "!!python/object/apply:os.system [ls]", '3 source: "!!python/object/apply:os.system" is a tag'),
        ("a paper", "!!binary aGFsbG8=", '3 source: "!!binary" is a tag; declarations are plain data. Remove it.'),
        ("seeds: 3", "seeds: !!int '3'", '4 design.seeds: "!!int" is a tag; declarations are plain data. Remove it.'),
        ("a paper", "!!str 5", '3 source: "!!str" is a tag; declarations are plain data. Remove it.'),
        ("seeds: 3", "!!str seeds: 3", '4 design: "!!str" is a tag; declarations are plain data. Remove it.'),
        ("a paper", "!a%0Ab%1B x", '3 source: "!a\\nb\\u001b" is a tag; declarations are plain data. Remove it.'),
        ("{rank: 16}", "{<<: {rank: 16}}", "7 predictions[0].b: << is a merge key; merge keys are not read. Write the"),
        ("title:", "5: x\ntitle:", "1 file: the key 5 is no text. Name a field, or quote it."),
        ("title:", "true: x\ntitle:", "1 file: the key true is no text. Name a field, or quote it."),
        ("title:", "~: x\ntitle:", "1 file: the key null is no text. Name a field, or quote it."),
        ("title:", "? [a, b]\n: x\ntitle:", "1 file: a list or mapping stands as a key; a key is text. Write the fields"),
        ("a paper", '"a \\ud800 paper"', '3 source: "a \\ud800 paper" holds "\\ud800", which is no text. Remove that'),
        ("a paper", '"a \\0 paper"', '3 source: "a \\u0000 paper" holds "\\u0000", which is no text. Remove that'),
        ("title:", '"\\e[31mred": x\ntitle:', '1 file: "\\u001b[31mred" holds "\\u001b", which is no text. Remove'),
        ("title:", '"a\\nb: c": x\ntitle:', '1 "a\\nb: c": unknown field. Remove or rename it.'),
        ("title:", f"{'k' * 90}: x\ntitle:", f'1 "{"k" * 56}...: unknown field. Remove or rename it.'),
        ("seeds: 3", f"seeds: {'9' * 5000}", f'4 design.seeds: "{"9" * 56}... is a whole number of more than 18 digits.'),
    ],
    ids=lambda value: repr(value[:24]),
)  # fmt: skip  # one row a rule
def test_yaml_that_declarations_do_not_use(old: str, new: str, told: str, hypothesis_mistakes: Told) -> None:
    text = VALID.replace(old, new, 1)
    assert text != VALID
    (line,) = hypothesis_mistakes(text)
    assert line.startswith(f"f.yaml:{told}")
    assert line.isprintable()


def test_a_tag_does_not_hide_the_mistakes_elsewhere(hypothesis_mistakes: Told) -> None:
    lines = hypothesis_mistakes(VALID.replace("a paper", "!x a paper").replace("seeds: 3", "seeds: x"))
    assert [line.split(": ")[0] for line in lines] == ["f.yaml:3 source", "f.yaml:4 design.seeds"]


def test_a_repeated_key_does_not_hide_what_is_wrong_with_the_first(hypothesis_mistakes: Told) -> None:
    lines = hypothesis_mistakes(VALID.replace("source: a paper", "source: 5\nsource: a paper"))
    assert [line.split(": ")[0] for line in lines] == ["f.yaml:3 source", "f.yaml:4 source"]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-3", 0.001),  # a word to PyYAML, a number to YAML 1.2
        ("1.0e-3", 0.001),
        ("4e3", 4000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("+7", 7),
        ("007", 7),
        ("1_000", "1_000"),
        ("0x1F", "0x1F"),
        ("1:30", "1:30"),  # 90 to PyYAML
        ("no", "no"),  # false to PyYAML
        ("True", True),
        ("FALSE", False),
        ("Null", None),
        ("", None),
        ("'true'", "true"),
        ('"5"', "5"),
        ("2026-01-15", "2026-01-15"),  # a date to PyYAML
        ("-.INF", -math.inf),
    ],
)
def test_scalars_follow_the_core_schema(written: str, value: object) -> None:
    data = parse(f"a: {written}\n".encode()).data
    assert data == {"a": value}
    assert type(data["a"]) is type(value)


def test_nan_is_read_as_nan() -> None:
    assert math.isnan(parse(b"a: .NaN\n").data["a"])


def test_line_ends_and_a_byte_order_mark_do_not_move_lines(hypothesis_mistakes: Told) -> None:
    text = VALID.replace("seeds: 3", "seeds: x")
    (unix,) = hypothesis_mistakes(text)
    assert hypothesis_mistakes(text.replace("\n", "\r\n")) == [unix]
    assert hypothesis_mistakes(b"\xef\xbb\xbf" + text.encode()) == [unix]


def test_a_key_is_placed_at_its_own_line_and_a_list_item_at_its_dash() -> None:
    text = parse(b"a:\n  - b: 1\n    c:\n      - 2\n")
    assert [text.line(at) for at in (("a",), ("a", 0, "c"), ("a", 0, "c", 0), ("a", 0, "c", 0, "x"))] == [1, 3, 4, 4]


def _told(path: Path) -> list[str]:
    with pytest.raises(DeclarationError) as caught:
        load_hypothesis(path, "h.yaml")
    return caught.value.lines


def test_a_path_that_is_no_readable_file(tmp_path: Path) -> None:
    loop = tmp_path / "loop.yaml"
    loop.symlink_to(loop)
    dangling = tmp_path / "dangling.yaml"
    dangling.symlink_to(tmp_path / "nowhere")
    assert _told(tmp_path) == ["h.yaml:1 file: no regular file but a directory or device. Name a YAML file."]
    assert _told(Path("/dev/zero")) == ["h.yaml:1 file: no regular file but a directory or device. Name a YAML file."]
    assert _told(tmp_path / "no.yaml") == ["h.yaml:1 file: cannot be read (No such file or directory). Check the path."]
    assert _told(dangling) == ["h.yaml:1 file: cannot be read (No such file or directory). Check the path."]
    assert _told(loop) == ["h.yaml:1 file: cannot be read (Too many levels of symbolic links). Check the path."]
    assert len(_told(Path("a\0b"))) == 1
    assert len(_told(tmp_path / ("n" * 300))) == 1  # longer than a file name may be


def test_a_symbolic_link_to_a_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real.yaml").write_text(VALID)
    (tmp_path / "link.yaml").symlink_to(tmp_path / "real.yaml")
    assert load_hypothesis(tmp_path / "link.yaml", "h.yaml") == load_hypothesis(tmp_path / "real.yaml", "h.yaml")
