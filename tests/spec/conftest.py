"""Declarations written to a temporary file, and the lines that their mistakes are told in."""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.spec import DeclarationError, load_hypothesis, load_protocol

Told = Callable[[str | bytes], list[str]]


def _told(path: Path, content: str | bytes, load: Callable[[Path, str], object]) -> list[str]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    try:
        load(path, "f.yaml")
    except DeclarationError as error:
        return error.lines
    return []


@pytest.fixture
def hypothesis_mistakes(tmp_path: Path) -> Told:
    """Return a function from a hypothesis's text to the lines told about it: none if it is valid."""
    return lambda content: _told(tmp_path / "h.yaml", content, load_hypothesis)


@pytest.fixture
def protocol_mistakes(tmp_path: Path) -> Told:
    """Return a function from a protocol's text to the lines told about it: none if it is valid."""
    return lambda content: _told(tmp_path / "p.yaml", content, load_protocol)
