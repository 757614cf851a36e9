"""Where declarations are: the project that one stands in, and the shelf that ships with the package.

A project is the nearest folder, from the working directory upwards, whose pyproject.toml has a [tool.harness] table.
Its files win over shipped ones of the same name. Without a project there is only the shipped shelf: the data folders
inside an installed package, or beside it in a checkout. Nothing that a declaration names can lead out of these folders.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.spec.engines import RaySettings, SlurmSettings
from harness.spec.files import DeclarationError, load_hypothesis, load_protocol
from harness.spec.hypothesis import Hypothesis
from harness.spec.measure import MeasureHead, measure_head
from harness.spec.messages import nearest
from harness.spec.protocol import Protocol
from harness.spec.settings import settings_in

Kind = Literal["hypotheses", "runs", "analysis", "paper", "paper/tables"]
SUFFIX: dict[Kind, str] = {
    "hypotheses": ".yaml",
    "runs": ".yaml",
    "analysis": ".sql",
    "paper": ".j2",
    "paper/tables": ".sql",
}
NAME = re.compile(r"[a-z][a-z0-9_.-]{0,62}")


@dataclass(frozen=True, slots=True)
class Shelf:
    """The declarations in reach, by kind and name (the file's stem)."""

    root: Path | None
    """The project's folder, or None where one stands outside any."""
    settings: dict[str, str]
    """Texts of the [tool.harness] table: executor, protocol, store."""
    allow_code: bool = False
    """Whether code of the project that a declaration names may be run."""
    slurm: SlurmSettings = field(default_factory=SlurmSettings)
    """The [tool.harness.slurm] table."""
    ray: RaySettings = field(default_factory=RaySettings)
    """The [tool.harness.ray] table."""

    @property
    def code_root(self) -> Path | None:
        """The folder whose code may be run, or None where none may."""
        return self.root if self.allow_code else None

    @property
    def folders(self) -> tuple[Path, ...]:
        """Folders to look in, the project's first."""
        own = (self.root,) if self.root and self.root != shipped() else ()
        return (*own, shipped())

    def names(self, kind: Kind) -> list[str]:
        """Return the names of a kind, sorted."""
        files = (p for folder in self.folders for p in (folder / kind).glob(f"*{SUFFIX[kind]}"))
        return sorted({p.stem for p in files if not p.name.startswith(".")})  # editors leave hidden files

    def path(self, kind: Kind, name: str) -> Path:
        """Return the file of that name; raise DeclarationError where there is none or the name is no plain word."""
        if not nameable(name + SUFFIX[kind], kind):
            rule = f"{name!r} is no name of a file in {kind}/. Use lower-case letters, digits, dots and dashes."
            raise DeclarationError([rule])
        for folder in self.folders:
            candidate = folder / kind / f"{name}{SUFFIX[kind]}"
            if candidate.is_file():
                if not candidate.resolve().is_relative_to(folder.resolve()):
                    raise DeclarationError([f"{self.shown(candidate)}:1 file: leads out of the project. Copy it in."])
                return candidate
        known = self.names(kind)
        meant = nearest(name, known)
        hint = f" Did you mean {meant}?" if meant else ""
        raise DeclarationError(
            [f"{name!r} is not declared in {kind}/.{hint} Known here: {', '.join(known) or 'none'}."]
        )

    def is_own(self, kind: Kind, name: str) -> bool:
        """Return whether the declaration of that name is the project's own, not a shipped one that it merely sees."""
        return self.path(kind, name).is_relative_to(self.folders[0])

    def measures(self) -> dict[str, MeasureHead]:
        """Return what each measure's first line states; raise DeclarationError with every file whose line does not."""
        heads = self._heads()
        rule = "the first line does not state grain and unit. Write `-- one row per run; WHAT A VALUE IS, 0 to 1`"
        if unread := [self.shown(self.path("analysis", name)) for name, head in heads.items() if head is None]:
            others = "or per GRPO run, (run, problem), (run, step), (run, step with spectra), (run, last step) or base."
            raise DeclarationError([f"{file}:1 SQL: {rule}, {others}" for file in unread])
        return {name: head for name, head in heads.items() if head is not None}

    def _heads(self) -> dict[str, MeasureHead | None]:
        return {name: measure_head(_first_line(self.path("analysis", name))) for name in self.names("analysis")}

    def overridden(self) -> list[Path]:
        """Return the project's files that stand before a shipped one of the same name and say something else."""
        own, ship = self.folders[0], self.folders[-1]
        kinds = SUFFIX.items() if own != ship else ()
        files = (p for kind, suffix in kinds for p in sorted((own / kind).glob(f"*{suffix}")))
        shipped_of = ((p, ship / p.relative_to(own)) for p in files)
        return [p for p, other in shipped_of if other.is_file() and other.read_bytes() != p.read_bytes()]

    def shown(self, path: Path) -> str:
        """Return a path as messages name it: relative to the project or the shipped shelf."""
        for folder in self.folders:
            if path.is_relative_to(folder):
                return str(path.relative_to(folder))
        return str(path)

    def load(self, file: Path) -> Hypothesis | Protocol:
        """Return the declaration in a file of hypotheses/ or runs/ in reach; raise DeclarationError otherwise."""
        path = file.resolve()
        for folder in self.folders:
            for kind in ("hypotheses", "runs"):
                if path.parent == (folder / kind).resolve() and not nameable(path.name, kind):
                    rule = f"no command can name it. Call it NAME{SUFFIX[kind]}, in lower-case letters, digits, dashes."
                    raise DeclarationError([f"{kind}/{file.name}:1 file: {rule}"])
            if path.parent == (folder / "hypotheses").resolve():
                return self._hypothesis(path, f"hypotheses/{file.name}")
            if path.parent == (folder / "runs").resolve():
                return load_protocol(path, f"runs/{file.name}", self.code_root)
        rule = "lies in no hypotheses/ or runs/ folder of this project or the shipped shelf. Move it there."
        raise DeclarationError([f"{file}:1 file: {rule}"])

    def hypothesis(self, name: str) -> Hypothesis:
        """Return the declared hypothesis; raise DeclarationError with every mistake in its file."""
        path = self.path("hypotheses", name)
        return self._hypothesis(path, self.shown(path))

    def _hypothesis(self, path: Path, shown: str) -> Hypothesis:
        others = [name for name in self.names("hypotheses") if name != path.stem]
        return load_hypothesis(path, shown, self.measures(), self.code_root, others)

    def protocol(self, name: str) -> Protocol:
        """Return the declared protocol; raise DeclarationError with every mistake in its file."""
        path = self.path("runs", name)
        return load_protocol(path, self.shown(path), self.code_root)


def nameable(file: str, kind: Kind) -> bool:
    """Return whether a command can name a file of this name in the folder of a kind."""
    name = file.removesuffix(SUFFIX[kind])
    return name != file and NAME.fullmatch(name) is not None and ".." not in name


def find_shelf(start: Path, *, allow_code: bool = False) -> Shelf:
    """Return the shelf as seen from folder `start`; raise DeclarationError with every mistake in a project's table."""
    for folder in (start.resolve(), *start.resolve().parents):
        file = folder / "pyproject.toml"
        if file.is_file() and (said := settings_in(file)) is not None:
            return Shelf(folder, said.texts, allow_code, said.slurm, said.ray)
    return Shelf(None, {}, allow_code)


def shipped() -> Path:
    """Return the folder of the shipped declarations."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "project"
    return inside if inside.is_dir() else package.parent


def _first_line(file: Path) -> str:
    with file.open(encoding="utf-8", errors="replace") as lines:
        return lines.readline(500)
