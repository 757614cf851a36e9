"""A hypothesis to start from, and a schema that editors check it against."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from harness.spec.shelf import shipped

if TYPE_CHECKING:
    from tests.conftest import Made

Call = Callable[..., Any]


def test_a_copy_keeps_its_comments_and_is_valid(harness: Call, made: "Made") -> None:
    said = harness("new", "mine", "--like", "rank-collapse", "--json")
    text = (made.root / "hypotheses" / "mine.yaml").read_text()
    assert said.json == {"file": str(made.root / "hypotheses" / "mine.yaml"), "like": "rank-collapse"}
    assert text.endswith((shipped() / "hypotheses" / "rank-collapse.yaml").read_text())
    assert harness("validate", "hypotheses/mine.yaml").code == 0


def test_nothing_is_overwritten(harness: Call, made: "Made") -> None:
    said = harness("new", "live", "--like", "rank-collapse")
    assert said.code == 2
    assert said.err == "hypotheses/live.yaml:1 file: exists already. Choose another name.\n"
    assert (made.root / "hypotheses" / "live.yaml").read_text() == made.claim_text


@pytest.mark.parametrize("name", ["../out", "Mine", "a/b", ""])
def test_a_name_that_is_no_plain_word_writes_nothing(harness: Call, made: "Made", name: str) -> None:
    before = sorted(made.root.rglob("*"))
    said = harness("new", name, "--like", "live")
    assert (said.code, "is no name of a hypothesis" in said.err) == (2, True)
    assert sorted(made.root.rglob("*")) == before


def test_outside_a_project_there_is_nowhere_to_write(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = call("new", "mine", "--like", "rank-collapse")
    assert (said.code, list(tmp_path.iterdir())) == (2, [])
    assert "no project here" in said.err


@pytest.mark.parametrize(("kind", "folder"), [("hypothesis", "hypotheses"), ("protocol", "runs")])
def test_the_schema_takes_what_is_shipped_and_refuses_a_misspelt_field(harness: Call, kind: str, folder: str) -> None:
    schema = json.loads(harness("schema", kind).out)
    Draft202012Validator.check_schema(schema)
    check: Any = Draft202012Validator(schema)  # whose stubs are partly unknown
    for file in sorted((shipped() / folder).glob("*.yaml")):
        declared = yaml.safe_load(file.read_text())
        assert [error.message for error in check.iter_errors(declared)] == []
        assert not check.is_valid({**declared, "titel": "x"})
