"""What each command prints with --json, as types; JSON Schema is made from them (docs/reference/json.md).

Within a major version fields may be added, and none is removed, renamed or given another type. Schemas therefore
allow fields that they do not know.
"""

from typing import Any, cast

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from harness.publish.answers import campaign, declared, records, simulated
from harness.publish.answers.shape import Object

ANSWERS: dict[str, Any] = {
    "test": campaign.Test,
    "pilot": simulated.Pilot,
    "list": declared.List,
    "show": declared.Show,
    "init": declared.Init,
    "new": declared.New,
    "schema": Object,
    "validate": declared.Validate,
    "register": campaign.Register,
    "diagnose": simulated.Diagnose,
    "plan": campaign.Plan | campaign.Why,
    "run": campaign.Run | campaign.Left,
    "frontier": simulated.Frontier,
    "status": campaign.Status,
    "logs": campaign.Log,
    "cancel": campaign.CalledOff,
    "verdict": campaign.Verdicts,
    "catalogue": campaign.Catalogue,
    "report": records.Report | records.Checked,
    "spectra": records.Spectra,
    "runs list": list[records.ListedRun],
    "runs show": records.ShownRun,
    "runs exclude": records.Excluded,
    "runs import": records.Imported,
    "runs bundle": records.Bundled,
    "db path": records.IndexPath,
    "db query": records.Query,
    "db rebuild": records.Rebuilt,
    "completion": declared.Completion,
    "doctor": declared.Doctor,
}
"""By command."""
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(command: str) -> dict[str, Any]:
    """Return the JSON Schema of what a command prints with --json."""
    made = TypeAdapter(ANSWERS[command]).json_schema(mode="serialization")
    return {"$schema": DIALECT, "title": f"harness {command} --json", **_open(made)}


def schemas() -> dict[str, Any]:
    """Return the schemas of all commands, by command in `properties`, with what they share in `$defs` once."""
    mode: JsonSchemaMode = "serialization"
    inputs: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]]
    inputs = [(command, mode, TypeAdapter(answer)) for command, answer in ANSWERS.items()]
    found, shared = TypeAdapter.json_schemas(inputs)
    properties = {command: _open(found[command, mode]) for command in ANSWERS}
    about = {"$schema": DIALECT, "title": "What the commands of harness print with --json, by command"}
    return {**about, "type": "object", "properties": properties, **_open(shared)}


def _open(made: Any) -> Any:
    """Return a schema that allows fields which it does not know, as later releases may add some.

    Titles are left out, which only repeat names.
    """
    if isinstance(made, list):
        return [_open(item) for item in cast("list[Any]", made)]
    if not isinstance(made, dict):
        return made
    said = cast("dict[str, Any]", made)
    return {key: _open(value) for key, value in said.items() if not _needless(key, value)}


def _needless(key: str, value: Any) -> bool:
    return (key == "additionalProperties" and value is False) or (key == "title" and isinstance(value, str))
