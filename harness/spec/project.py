"""A project of one's own: the shipped declarations as a start, and what makes a folder a project.

Copies stand before the shipped files of the same name from then on, later releases of them included; `harness list`
and every other command say so in a line where the two have come to differ.
"""

import os
import shutil
import tempfile
from pathlib import Path

from harness.spec.files import DeclarationError
from harness.spec.shelf import SUFFIX, shipped

BEGINNING = Path(__file__).with_name("beginning.yaml")
"""A hypothesis to start from, each of its fields explained."""
PYPROJECT = """\
[tool.harness]
# Marks this folder as a project; commands find it from every folder below.
# protocol = "tiny"     # the protocol in runs/ where no --protocol says otherwise
# store = ".harness"    # where runs, registrations and verdicts are kept
# executor = "local"    # where runs go: local, slurm, ray; settings of the latter in [tool.harness.slurm] and .ray
"""
GITIGNORE = """\
# Records: runs and their weights, registrations, verdicts, the index.
/.harness/
"""


def begin(folder: Path) -> list[str]:
    """Make a project in `folder`, which may exist, and return what was put there; everything or nothing.

    Raises:
        DeclarationError: something of that name is there, all of which is told, or the folder is none.
    """
    if folder.exists() and not folder.is_dir():
        raise DeclarationError([f"{folder}: is no folder. Name another."])
    names = sorted({*(kind.partition("/")[0] for kind in SUFFIX), ".gitignore", "pyproject.toml"})
    if there := [name for name in names if os.path.lexists(folder / name)]:
        verb = "is" if len(there) == 1 else "are"
        rule = f"{', '.join(there)} {verb} there already. Nothing was written: name another folder, or move them."
        raise DeclarationError([f"{folder}: {rule}"])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".harness-init-", dir=folder) as made:
        _make(Path(made))
        for name in names:
            os.rename(Path(made) / name, folder / name)
    return names


def _make(folder: Path) -> None:
    for kind in SUFFIX:
        (folder / kind).mkdir()
        files = (path for path in (shipped() / kind).iterdir() if path.is_file() and not path.name.startswith("."))
        for file in files:
            shutil.copyfile(file, folder / kind / file.name)
    (folder / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (folder / ".gitignore").write_text(GITIGNORE, encoding="utf-8")
