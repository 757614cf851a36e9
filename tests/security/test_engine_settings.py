"""What a stranger's project says of engines reaches batch scripts and addresses, and may only be names there."""

from pathlib import Path
from typing import Any

import pytest

from harness.spec import DeclarationError
from harness.spec.engines import RaySettings, SlurmSettings
from harness.spec.shelf import Shelf, find_shelf

WORDS = ("partition", "account", "qos", "constraint", "reservation", "gpu_type")
HOSTILE = [
    "gpu\n",
    "gpu\n#SBATCH --wrap=id",
    "\ngpu",
    "gpu\r",
    "gpu\x00",
    "gpu\x1b[0m",
    "gpu\u2028x",
    "gpu\x85",
    "gpu;id",
    "$(id)",
    "`id`",
    "${HOME}",
    "$HOME",
    "a b",
    "a\tb",
    "a>b",
    "a<b",
    "'a'",
    '"a"',
    "a\\b",
    "(a)",
    "a!b",
    "{a,b}",
    "~root",
    "a#b",
    "a%j",
    "a?b",
    "a^b",
    "-a",
    "--wrap=id",
    "\u2010a",
    "\u2212a",
    "\uff0da",
    "\uff47\uff50\uff55",
    "gp\u0075\u0301",
    "\u0261pu",
    "gpu\u200b",
    "\u202egpu",
    "\u0661",
    "a\uff1bid",
    "",
    "a" * 202,
    "/etc/passwd",
    ".hidden",
    "=a",
]
"""Shell signs, options, ends of lines in every alphabet, and letters that only look like letters."""
ORDINARY = ["gpu", "gpu-a100_80GB", "lab@project", "a100|h100", "rack1&ib", "h100:4", "n[1-4]"]
ADDRESSES = [
    "http://127.0.0.1:8265\n",
    "http://user:secret@head:8265",
    "http://head:8265/?a=b",
    "http://head:8265/#x",
    "file:///etc/passwd",
    "ftp://head",
    "head:8265",
    "HTTP://head",
    "http://head;id",
    "http://$(id)",
    "http://head 8265",
    "http://h\u00e9ad",
    "http://\uff48ead",
    "javascript:alert(1)",
    "--address",
    "http://",
    "http:///x",
]


def project(root: Path, text: str) -> Shelf:
    (root / "pyproject.toml").write_text(text, encoding="utf-8")
    return find_shelf(root)


def toml(value: str) -> str:
    """Return a text as a TOML string that holds exactly it."""
    return '"' + "".join(c if c.isalnum() and c.isascii() else f"\\U{ord(c):08x}" for c in value) + '"'


@pytest.mark.parametrize("field", WORDS)
@pytest.mark.parametrize("value", HOSTILE)
def test_what_a_script_could_read_as_more_than_a_name_is_refused(tmp_path: Path, field: str, value: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        project(tmp_path, f"[tool.harness.slurm]\n{field} = {toml(value)}\n")
    (line,) = caught.value.lines
    assert line.startswith(f"{tmp_path}/pyproject.toml:1 tool.harness.slurm.{field}: ")
    assert "Write a name as the site gives it" in line
    assert line.isprintable()


@pytest.mark.parametrize("field", WORDS)
@pytest.mark.parametrize("value", ORDINARY)
def test_names_that_sites_give_are_taken(tmp_path: Path, field: str, value: str) -> None:
    shelf = project(tmp_path, f"[tool.harness.slurm]\n{field} = {toml(value)}\n")
    assert shelf.slurm == SlurmSettings.model_validate({field: value})


@pytest.mark.parametrize("value", ADDRESSES)
def test_an_address_is_of_a_dashboard_and_holds_no_password(tmp_path: Path, value: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        project(tmp_path, f"[tool.harness.ray]\naddress = {toml(value)}\n")
    (line,) = caught.value.lines
    assert "tool.harness.ray.address: " in line
    assert line.endswith("Write http://HOST:PORT, without a user, a password or a query.")


@pytest.mark.parametrize("value", ["http://127.0.0.1:8265", "https://ray.lab.example/team-a/", "http://[::1]:8265"])
def test_addresses_of_dashboards_are_taken(tmp_path: Path, value: str) -> None:
    assert project(tmp_path, f'[tool.harness.ray]\naddress = "{value}"\n').ray.address == value


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[tool.harness.slurm]\nat_once = 0", "slurm.at_once: 0 is out of range: it must be at least 1. Change it."),
        ("[tool.harness.slurm]\nat_once = 1.5", "slurm.at_once: 1.5 is not a whole number."),
        ("[tool.harness.slurm]\nat_once = true", "slurm.at_once: true is not a whole number."),
        ("[tool.harness.slurm]\nat_once = inf", "slurm.at_once: "),
        ("[tool.harness.slurm]\nwarning_seconds = 9", "slurm.warning_seconds: 9 is out of range"),
        ("[tool.harness.slurm]\npartition = 2026-01-02", 'slurm.partition: {"date": "2026-01-02"} is not text.'),
        ("[tool.harness.slurm]\npartition = 3", "slurm.partition: 3 is not text."),
        ("[tool.harness.slurm]\nsetup = 'module load x'", 'slurm.setup: "module load x" is not a list.'),
        ("[tool.harness.slurm]\nsetup = [1]", "slurm.setup[0]: 1 is not text."),
        ("[tool.harness.slurm]\nparttion = 'x'", "slurm.parttion: unknown field; did you mean partition?"),
        ("[tool.harness.ray]\nbacklog = 1001", "ray.backlog: 1001 is out of range"),
        ("[tool.harness.ray.runtime_env]\npip = ['x']", "ray.runtime_env: unknown field."),
        ("[tool.harness]\nray = 3", "ray: 3 is no table. Write a line [tool.harness.ray]."),
        ("[[tool.harness.slurm]]\npartition = 'x'", "slurm: [{"),
    ],
)
def test_a_mistake_names_file_field_and_remedy_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        project(tmp_path, text)
    (line,) = caught.value.lines
    assert line.startswith(f"{tmp_path}/pyproject.toml:1 tool.harness.{told}")


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError) as caught:
        project(tmp_path, "[tool.harness]\nstore = 1\nexecutor = 'pbs'\nslurm.qos = ';'\nray.backlog = 0\n")
    assert [line.split()[1] for line in caught.value.lines] == [
        "tool.harness.store:",
        "tool.harness.executor:",
        "tool.harness.slurm.qos:",
        "tool.harness.ray.backlog:",
    ]


def test_what_a_project_settles_reaches_whoever_asks(tmp_path: Path) -> None:
    shelf = project(
        tmp_path,
        '[tool.harness]\nexecutor = "slurm"\n[tool.harness.slurm]\npartition = "gpu"\nat_once = 4\n'
        'setup = ["module load cuda", "echo $(id)"]\n[tool.harness.ray]\nbacklog = 2\n',
    )
    assert shelf.settings == {"executor": "slurm"}
    assert shelf.slurm == SlurmSettings(partition="gpu", at_once=4, setup=("module load cuda", "echo $(id)"))
    assert shelf.ray == RaySettings(backlog=2)


def test_without_tables_the_settings_are_the_defaults(tmp_path: Path) -> None:
    shelf: Any = project(tmp_path, "[tool.harness]\n")
    assert (shelf.settings, shelf.slurm, shelf.ray) == ({}, SlurmSettings(), RaySettings())


@pytest.mark.parametrize("text", ["x = " + "[" * 100_000, "[" + "a." * 100_000 + "a]", "#" * (2**22 + 1)])
def test_a_file_made_to_exhaust_the_reader_is_passed_by(tmp_path: Path, text: str) -> None:
    assert project(tmp_path, text).root is None
