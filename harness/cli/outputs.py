"""Files that a command writes beside its result: looked at before the work begins, whole or absent after it."""

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import click


@dataclass(frozen=True, slots=True)
class Output:
    """A file that an option asks for."""

    option: str
    named: Path
    """As the user named it."""
    path: Path
    """Absolute, links followed."""

    def write(self, write: Callable[[Path], None]) -> None:
        """Have `write` make the file, under another name of the same ending first; raise OSError where it cannot."""
        partial = self.path.with_name(f".{os.getpid()}-{os.urandom(4).hex()}{self.path.suffix}")
        try:
            write(partial)
            os.replace(partial, self.path)
        finally:
            partial.unlink(missing_ok=True)


def outputs(here: Path, named: Mapping[str, Path | None], endings: Mapping[str, tuple[str, ...]]) -> dict[str, Output]:
    """Return the files that options ask for, from the folder `here`, by option.

    Raises:
        click.BadParameter: one with another ending than its option's, no folder to write it in, something there that
            is no file, or the same file twice.
    """
    found = {option: _output(option, path, here, endings[option]) for option, path in named.items() if path is not None}
    taken: dict[Path, str] = {}
    for output in found.values():
        if output.path in taken:
            raise _refused(output.option, f"{output.named} is the file of {taken[output.path]}. Name another.")
        taken[output.path] = output.option
    return found


def _output(option: str, named: Path, here: Path, endings: tuple[str, ...]) -> Output:
    if named.suffix.lower() not in endings:
        rule = f"{named} does not end in {' or '.join(endings)}. Name a file that does."
        raise _refused(option, rule)
    path = Path(os.path.realpath(here / named))
    try:
        _check(option, path)
    except OSError as error:
        raise _refused(option, f"{path} cannot be written: {error.strerror}. Name another.") from None
    return Output(option, named, path)


def _check(option: str, path: Path) -> None:
    if path.is_dir():
        raise _refused(option, f"{path} is a folder. Name a file.")
    if os.path.lexists(path) and not path.is_file():
        raise _refused(option, f"{path} is no ordinary file. Name another.")
    if not path.parent.is_dir():
        raise _refused(option, f"{path.parent} is no folder. Make it first.")
    with tempfile.TemporaryFile(dir=path.parent):  # the only sure way to learn it, also for root and read-only mounts
        pass


def _refused(option: str, rule: str) -> click.BadParameter:
    return click.BadParameter("".join(c if c.isprintable() else "?" for c in rule), param_hint=option)
