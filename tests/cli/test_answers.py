"""What commands print with --json, held against documented schemas.

`call` and `harness` hold every answer in tests/cli against the schema of its command, closed to unknown fields; here
are the commands whose answers no other test asks for, and that this checking can fail.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from jsonschema import Draft202012Validator

from harness.cli.main import cli
from harness.publish.answers import ANSWERS, schema
from harness.publish.answers.records import Matrix
from harness.spectra.table import COLUMNS

if TYPE_CHECKING:
    from tests.conftest import Made

Call = Callable[..., Any]
COMMITTED = Path(__file__).parents[2] / "docs" / "reference" / "json.schema.json"


def test_every_command_has_a_schema() -> None:
    context = click.Context(cli)
    names: set[str] = set()
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        inner = list(command.commands) if isinstance(command, click.Group) else []
        names |= {f"{name} {each}" for each in inner} or {name}
    assert set(ANSWERS) == names


def test_the_committed_schemas_are_those_of_the_program(call: Call) -> None:
    said = call("schema", "--output", "all")
    assert said.out == COMMITTED.read_text(encoding="utf-8"), (
        "harness schema --output all > docs/reference/json.schema.json"
    )
    Draft202012Validator.check_schema(said.json)
    assert list(said.json["properties"]) == list(ANSWERS)


def test_a_schema_stands_alone_and_allows_what_may_be_added(call: Call) -> None:
    for command in ("plan", "runs list"):
        assert call("schema", "--output", command, "--json").json == schema(command)
    for command in ANSWERS:
        said = json.dumps(schema(command))
        assert '"additionalProperties": false' not in said
        defined = set(json.loads(said).get("$defs", {}))
        assert set(re.findall(r'"#/\$defs/([^"]+)"', said)) == defined, command


def test_an_unknown_command_is_told_with_the_one_that_was_meant(call: Call) -> None:
    said = call("schema", "--output", "plans")
    assert (said.code, said.out) == (2, "")
    assert "'plans' is no command with --json. Did you mean plan?" in said.err
    assert call("schema", "protocol", "--output", "plan").code == 2


def test_answers_that_no_other_test_asks_for(harness: Call, made: "Made") -> None:
    made.bench().register_shelf()
    made.results(lambda _: 0.5)
    run = next(made.store.runs.iterdir()).name
    rows = "8,1,0.5,500,0.4\n16,1,0.5,500,0.4\n"
    (made.root / "theirs.csv").write_text(f"rank,seed,accuracy,n_items,base_accuracy\n{rows}")
    for line in (
        ["test", "live", "--no-run"],
        ["runs", "bundle", "live"],
        ["runs", "exclude", run, "--reason", "its disk was broken"],
        ["runs", "import", "theirs.csv", "--hypothesis", "live"],
        ["diagnose", "live", "--sims", "10", "--vary", "seeds=2,6"],
        ["plan", "live", "--why", run],
        ["test", "live", "--models", "llama,theirs"],
        ["verdict"],
        ["show", "rank-collapse"],
        ["show", "tiny"],
        ["show", "paper"],
    ):
        said = harness(*line, "--json")
        assert said.code == 0, said.err
        assert said.json


def test_a_field_that_is_missing_unknown_or_of_another_type_would_be_told(harness: Call, made: "Made") -> None:
    said = harness("plan", "live", "--json").json
    check: Any = Draft202012Validator(schema("plan"))
    assert check.is_valid(said)
    assert check.is_valid({**said, "later": 1})  # which a later release may print
    assert not check.is_valid({key: value for key, value in said.items() if key != "runs"})
    assert not check.is_valid({**said, "first_look": "two"})
    from tests.cli.conftest import checker

    assert not checker("plan").is_valid({**said, "later": 1})  # which no test lets pass undocumented
    assert not checker("plan").is_valid({**said, "runs": [{**said["runs"][0], "later": 1}]})


def test_an_error_leaves_standard_output_empty(harness: Call) -> None:
    for line in (["plan", "nowhere"], ["tset"], ["test"], ["runs", "show", "none"], ["test", "live", "--no-run"]):
        said = harness(*line, "--json")
        assert (said.code, said.out) == (2, "")
        assert said.err


def test_the_rows_of_spectra_are_the_columns_of_the_table() -> None:
    assert list(Matrix.__annotations__) == list(COLUMNS)
