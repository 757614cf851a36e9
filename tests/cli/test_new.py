"""A hypothesis to start from, and a schema that editors check it against."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from harness.spec import Hypothesis
from harness.spec.design import Design
from harness.spec.model import Model
from harness.spec.prediction import NonInferiority
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


def test_without_another_one_it_is_a_claim_whose_fields_are_explained(harness: Call, made: "Made") -> None:
    said = harness("new", "mine", "--json")
    file = made.root / "hypotheses" / "mine.yaml"
    assert said.json == {"file": str(file), "like": None}
    assert harness("validate", "hypotheses/mine.yaml").out == "1 declarations, no mistake\n"  # power and all
    assert harness("plan", "mine").out.splitlines()[-1].startswith("16 runs in all on 1 bases: 16 new")
    text = file.read_text()
    for model in (Hypothesis, Design, Model, NonInferiority):
        for field in model.model_fields:
            assert f"{field}:" in text, field
    kinds = re.findall(r'"kind": {[^}]*"const": "([a-z_]+)"', json.dumps(Hypothesis.model_json_schema()))
    assert len(kinds) == 10
    assert [kind for kind in kinds if kind not in text] == []


def test_what_is_commented_out_there_is_valid_too(harness: Call, made: "Made") -> None:
    """Uncomment one field at a time: each is a field of where it stands, with a value that it takes."""
    harness("new", "mine")
    lines = (made.root / "hypotheses" / "mine.yaml").read_text().splitlines()
    fields = [i for i, line in enumerate(lines) if re.match(r" +# [a-z_]+: \S", line)]
    assert len(fields) > 10
    for i in fields:
        if "association" in lines[i] or "tuned" in lines[i]:  # for predictions of other kinds, and arms that are tuned
            continue
        changed = [*lines[:i], lines[i].replace("# ", "", 1), *lines[i + 1 :]]
        made.declare("hypotheses/mine.yaml", "\n".join(changed))
        said = harness("show", "mine")
        assert said.code == 0, said.err
        name = lines[i].split(":")[0].strip(" #")
        said_of = [line for line in said.out.splitlines() if line.strip(" -").startswith(f"{name}:")]
        assert any("# default" not in line for line in said_of), name


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
