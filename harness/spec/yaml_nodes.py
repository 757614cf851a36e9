"""From bytes to PyYAML's node graph, or to the one reason why there is none.

PyYAML's scanner and composer are used, never its constructor: no tag is resolved and no object is built. Nesting is
counted on the event stream first, because the composer recurses.
"""

from typing import Any, NoReturn

import yaml

from harness.spec.problem import Problem

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20


class UnreadableError(Exception):
    """Reading cannot go on: the file is no YAML, or too large when expanded."""

    def __init__(self, problem: Problem):
        super().__init__(problem.message)
        self.problem = problem


def stop(message: str, line: int = 1) -> NoReturn:
    """Raise UnreadableError for the whole file, at a line from 1."""
    raise UnreadableError(Problem((), message, line))


def decoded(content: bytes) -> str:
    """Return a file's bytes as text; raise UnreadableError where they are too many, no UTF-8, or blank."""
    if len(content) > MAX_BYTES:
        stop(f"larger than {MAX_BYTES} bytes, the most a declaration may have. Split it, or remove what is not one.")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        stop("not UTF-8 text (a binary file?). Save it as UTF-8 YAML.", line)
    if not text.strip():
        stop("the file is empty. Declare something, or remove the file.")
    return text


def compose(text: str) -> tuple[yaml.Node, dict[int, str]]:
    """Return the root node, and every tag that the text writes, by the character at which its value starts."""
    try:
        tags = _tags(text)
        node: yaml.Node | None = yaml.SafeLoader(text).get_single_node()
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        stop(f"not valid YAML: the character {_code_point(error.character)}. Save it as plain UTF-8 text.", line)
    except yaml.MarkedYAMLError as error:
        _stop_at_syntax(error)
    if node is None:
        stop("the file holds no value, only comments. Declare something, or remove the file.")
    return node, tags


def _tags(text: str) -> dict[int, str]:
    """Return the written tags; raise UnreadableError where the nesting is too deep."""
    tags: dict[int, str] = {}
    depth = 0
    # PyYAML's stubs leave its event stream untyped.
    events: Any = yaml.SafeLoader(text)
    while True:
        try:
            if not events.check_event():
                return tags
            event = events.get_event()
        except (ValueError, OverflowError):  # an escape such as "\UFFFFFFFF", a %YAML version of 5,000 digits
            stop("not valid YAML: a number or escape beyond what can be read. Remove it.", events.line + 1)
        if isinstance(event, yaml.CollectionStartEvent | yaml.ScalarEvent) and event.tag is not None:
            tags[event.start_mark.index] = event.tag.replace("tag:yaml.org,2002:", "!!")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            stop(f"nested deeper than {MAX_DEPTH} levels. Flatten it.", event.start_mark.line + 1)


def _stop_at_syntax(error: yaml.MarkedYAMLError) -> NoReturn:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    if "expected a single document" in str(error.context):
        stop("a second document starts here (---). Keep one document a file.", line)
    said = " ".join(" ".join(filter(None, [error.context, error.problem])).split())
    stop(f"not valid YAML: {said}. Mend the syntax here.", line)


def _code_point(character: Any) -> str:
    return f"U+{character if isinstance(character, int) else ord(character):04X} is not allowed"
