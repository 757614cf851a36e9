"""Running code of the user's own: the one place that executes a file which a declaration names.

Whoever calls here has the permission: `root` is the project that it was given for. What runs is exactly the bytes that
were hashed, never a cached compilation. Other files of the project are not put on the import path, because the hash
does not cover them. What the code prints goes to standard error.
"""

import importlib.util
import math
import reprlib
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from numbers import Real
from pathlib import Path
from typing import Any

from harness.spec import DeclarationError
from harness.spec.code import CodeError, Source, read


def load(root: Path, name: str, sha256: str | None = None) -> Callable[..., Any]:
    """Return the function `module:function` of the project `root`, after running its file.

    Raises:
        DeclarationError: it is not there, its file's hash is not `sha256`, or running the file fails.
    """
    try:
        source = read(root, name)
    except CodeError as error:
        raise DeclarationError([f"{name}: {error}"]) from None
    if sha256 is not None and source.sha256 != sha256:
        rule = f"{source.sha256[:12]} is not the hash {sha256[:12]} that this is identified by: the file has changed"
        raise DeclarationError([f"{_file(name)}:1 {name}: {rule}. Plan again, or restore the file."])
    found = getattr(_run(name, source), name.partition(":")[2], None)
    if not callable(found):
        rule = "the file's `def` is no function once the file has run. Give it a name of its own."
        raise DeclarationError([f"{_file(name)}:1 {name}: {rule}"])
    return found


def call(name: str, function: Callable[..., Any], *given: Any) -> Any:
    """Return what `function`, loaded under `name`, returns; raise DeclarationError where it raises."""
    try:
        with redirect_stdout(sys.stderr):
            return function(*given)
    except (Exception, SystemExit) as error:
        raise _raised(name, error) from error


def place(name: str, function: Callable[..., Any]) -> str:
    """Return `tasks.py:3 tasks:products`, where messages about what a function returned begin."""
    line = getattr(getattr(function, "__code__", None), "co_firstlineno", 1)
    return f"{_file(name)}:{line} {name}"


def finite(value: Any) -> float | None:
    """Return what a function returned as a float, or None where that is no finite number."""
    try:
        number = float(value) if isinstance(value, Real) else math.nan
    except OverflowError:  # an integer beyond every float
        return None
    return number if math.isfinite(number) else None


def told(value: Any) -> str:
    """Return whatever a function returned as a message shows it: one line, short."""
    return " ".join(reprlib.repr(value).split())


def _run(name: str, source: Source) -> Any:
    # A name of its own: a user's `statistics.py` must not stand in for the library's.
    called = f"harness_code_{source.sha256[:16]}_{_file(name).removesuffix('.py').replace('/', '_')}"
    spec = importlib.util.spec_from_file_location(called, source.file)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[called] = module  # dataclasses look up the module that they are defined in
    try:
        with redirect_stdout(sys.stderr):
            exec(compile(source.content, source.file, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[called]
        raise _raised(name, error) from error
    return module


def _raised(name: str, error: BaseException) -> DeclarationError:
    """Return the line for an error of the user's code: the last line of its file on the way to the error."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename.endswith("/" + _file(name))]
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return DeclarationError([f"{_file(name)}:{lines[-1] if lines else 1} {name}: raised {said}. Mend it."])


def _file(name: str) -> str:
    """Return the file of a named function as messages show it, relative to the project."""
    return name.partition(":")[0].replace(".", "/") + ".py"
