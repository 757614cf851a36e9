"""YAML from strangers as plain data, with the line of every value.

Departures from PyYAML's safe loader: plain scalars follow the YAML 1.2 core schema in decimal (`1e-3` is a number,
`no` is a word); tags, repeated keys, keys that are no text and merge keys are mistakes; size, depth and the number of
values after expanding aliases are bounded, so that a file of a few hundred bytes cannot become gigabytes.
"""

from dataclasses import dataclass, field
from typing import Any

import yaml

from harness.spec.problem import Location, Problem, shown
from harness.spec.yaml_nodes import MAX_BYTES, MAX_DEPTH, UnreadableError, compose, decoded, stop
from harness.spec.yaml_scalar import unreadable_scalar, value_of

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_VALUES", "YamlText", "parse"]

MAX_VALUES = 10_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value is written: its line, from 1, and its character in the file."""

    line: int
    character: int


@dataclass(slots=True)
class YamlText:
    """A parsed file: plain data, the place of each value, and what is wrong with it as YAML."""

    data: Any = None
    places: dict[Location, Place] = field(default_factory=dict[Location, Place])
    problems: list[Problem] = field(default_factory=list[Problem])
    unread: set[Location] = field(default_factory=set[Location])
    """Values that a problem already calls unreadable: what they hold is not judged again."""
    partial: set[Location] = field(default_factory=set[Location])
    """Mappings of which a key was refused: what they lack may stand under that key."""
    values: int = 0

    def line(self, location: Location) -> int:
        """Return the line of the value at `location`, or of the nearest thing that contains it."""
        return self._nearest(location)[0].line

    def origin(self, location: Location) -> tuple[int, Location]:
        """Return the character where the value is written, and the steps from there that are not written.

        Two locations reached by two aliases of one anchor have one origin.
        """
        place, rest = self._nearest(location)
        return place.character, rest

    def explains(self, location: Location) -> bool:
        """Return whether a mistake of the YAML already explains one found at `location`."""
        if any(location[:length] in self.unread for length in range(len(location) + 1)):
            return True
        return location in self.partial or (location not in self.places and location[:-1] in self.partial)

    def _nearest(self, location: Location) -> tuple[Place, Location]:
        length = len(location)
        while length and location[:length] not in self.places:
            length -= 1
        return self.places.get(location[:length], Place(1, 0)), location[length:]


def parse(content: bytes) -> YamlText:
    """Return the plain data of a YAML file's bytes, with every mistake found on the way."""
    text = YamlText()
    try:
        node, tags = compose(decoded(content))
        text.data = _plain(node, (), tags, text)
    except UnreadableError as error:
        text.data = None
        text.problems.append(error.problem)
    return text


def _plain(node: yaml.Node, location: Location, tags: dict[int, str], text: YamlText) -> Any:
    line, character = node.start_mark.line + 1, node.start_mark.index
    text.places.setdefault(location, Place(line, character))
    text.values += 1
    if text.values > MAX_VALUES:
        stop(f"more than {MAX_VALUES} values once aliases are expanded. Write fewer, without aliases.", line)
    if len(location) > MAX_DEPTH:
        stop(f"nested deeper than {MAX_DEPTH} levels once aliases are expanded. Write it without aliases.", line)
    if character in tags:
        _refuse(text, location, f"{shown(tags[character])} is a tag; declarations are plain data. Remove it.", line)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, location, tags, text)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*location, i), tags, text) for i, item in enumerate(node.value)]
    assert isinstance(node, yaml.ScalarNode)
    if rule := unreadable_scalar(node.value, plain=not node.style):
        _refuse(text, location, rule, line)
        return None
    return value_of(node.value, plain=not node.style)


def _refuse(text: YamlText, location: Location, rule: str, line: int) -> None:
    text.unread.add(location)
    text.problems.append(Problem(location, rule, line))


def _mapping(node: yaml.MappingNode, location: Location, tags: dict[int, str], text: YamlText) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        rule = _refused_key(key_node, tags)
        if rule is not None:
            text.partial.add(location)
            text.problems.append(Problem(location, rule, line))
            continue
        inner = (*location, str(key_node.value))
        if key_node.value in result:
            again = f"stands here again (first on line {text.places[inner].line}). Keep one."
            text.problems.append(Problem(inner, f"the key {shown(key_node.value)} {again}", line))
            continue
        text.places[inner] = Place(line, key_node.start_mark.index)
        result[key_node.value] = _plain(value_node, inner, tags, text)
    return result


def _refused_key(node: yaml.Node, tags: dict[int, str]) -> str | None:
    """Return why a key is refused, or None where it is text."""
    if node.start_mark.index in tags:
        return f"{shown(tags[node.start_mark.index])} is a tag; declarations are plain data. Remove it."
    if not isinstance(node, yaml.ScalarNode):
        return "a list or mapping stands as a key; a key is text. Write the fields out."
    if node.value == "<<" and not node.style:
        return "<< is a merge key; merge keys are not read. Write the fields out."
    if rule := unreadable_scalar(node.value, plain=not node.style):
        return rule
    key = value_of(node.value, plain=not node.style)
    return None if isinstance(key, str) else f"the key {shown(key)} is no text. Name a field, or quote it."
