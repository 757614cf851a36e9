"""The page on spectra names what there is: arms that parse, fields of specs, columns, views, options of the command."""

import json
import re
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import TypeAdapter

from harness.cli.spectra import command
from harness.record.shards import SPECTRUM
from harness.spec import AdapterSpec
from harness.spec.arms import Arm
from harness.spectra.spectrum import Source
from harness.spectra.table import COLUMNS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "spectra.md").read_text(encoding="utf-8")


def table(head: str) -> list[list[str]]:
    """Return the cells of the table that begins with this head."""
    lines = PAGE[PAGE.index(f"| {head} |") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def quoted(text: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", text))


def test_the_arms_are_arms() -> None:
    lines = PAGE[PAGE.index("```yaml\n") + 8 :].split("```")[0].splitlines()
    found = [TypeAdapter(Arm).validate_json(json.dumps(yaml.safe_load(line))) for line in lines]
    assert len(found) == len({json.dumps(arm.model_dump(mode="json")) for arm in found}) == 6


def test_methods_and_their_fields_are_those_of_the_specs() -> None:
    said = {row[0].strip("`"): set(re.split(r", | or ", row[1])) - {""} for row in table("method")}
    specs: tuple[Any, ...] = get_args(get_args(AdapterSpec)[0])
    fields = {get_args(s.model_fields["method"].annotation)[0]: set(s.model_fields) - {"method"} for s in specs}
    assert said == fields


def test_columns_sources_and_views_are_there() -> None:
    columns = SPECTRUM.keys() | COLUMNS.keys()
    for row in table("column"):
        assert quoted(row[0]) <= columns
    assert quoted(" ".join(row[0] for row in table("source"))) - {"harness"} <= {str(source) for source in Source}
    views = {path.stem for path in (ROOT / "analysis").glob("*.sql")}
    renamed = PAGE[PAGE.index("| column | views |") :].split("\n\n")[0]
    for line in renamed.splitlines()[2:]:
        column, named = line.strip("|").split("|")
        assert quoted(column) <= columns
        assert quoted(named) <= views | columns


def test_the_synopsis_has_every_option() -> None:
    synopsis = next(line for line in PAGE.splitlines() if line.startswith("harness spectra "))
    options = {option for parameter in command.params for option in parameter.opts if option.startswith("-")}
    assert set(re.findall(r"--?\w+", synopsis)) == options - {"--quiet"}
