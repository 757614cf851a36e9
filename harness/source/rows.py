"""The rows of a published set: read from Parquet or JSON, and kept as one file of lines that its hash names.

Only question, answer, difficulty and solution are kept, so two copies of a set with the same content in them are one,
whatever files it came in. Row numbers count over the whole split; difficulty and exclusions select later.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from harness.spec import DeclarationError
from harness.spec.problem import shown
from harness.spec.task import Columns, DataSet

MOST_ROWS = 1_000_000
MOST_BYTES = 16 * 2**30
"""Of all the files of a split together; DeepMath-103K, which carries three solutions a question, has about 2 GB."""
LONGEST = {"question": 50_000, "answer": 5_000, "solution": 500_000}
"""Characters."""
SUFFIXES = (".parquet", ".jsonl", ".json")
_GSM8K_ANSWER = re.compile(r"####\s*(.+?)\s*\Z", re.DOTALL)
_CALCULATOR = re.compile(r"<<[^<>]*>>")


@dataclass(frozen=True, slots=True)
class Row:
    """A question with its answer as the set gives them."""

    question: str
    answer: str
    difficulty: float | None
    solution: str


class DataError(DeclarationError):
    """A set that does not hold what it should; the text names set, row, rule and remedy in one line."""


def read_rows(data_set: DataSet, files: Sequence[Path]) -> list[Row | None]:
    """Return the rows of a split in the order of its files, None for those that are declared to be left out.

    Raises:
        DataError: too large, a column that is not there, or a row that is not what its column should hold.
    """
    if sum(file.stat().st_size for file in files) > MOST_BYTES:
        raise _error(data_set, f"its files are larger than {MOST_BYTES // 2**30} GiB together. Name a smaller set.")
    rows: list[Row | None] = []
    for file in files:
        for said in _records(data_set, file):
            rows.append(None if len(rows) in data_set.without else _row(data_set, len(rows), said))
            if len(rows) > MOST_ROWS:
                raise _error(data_set, f"it has more than {MOST_ROWS} rows. Name a smaller set.")
    if not rows:
        raise _error(data_set, "it has no row. Check the files.")
    if beyond := [number for number in data_set.without if number >= len(rows)]:
        raise _error(data_set, f"`without` names row {beyond[0]}, and there are {len(rows)}. Remove it.")
    return rows


def kept(rows: Iterable[Row | None]) -> tuple[bytes, str]:
    """Return the bytes that rows are kept as, and their SHA-256."""
    said = (None if r is None else [r.question, r.answer, r.difficulty, r.solution] for r in rows)
    lines = (json.dumps(one, ensure_ascii=False) for one in said)
    content = "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
    return content, hashlib.sha256(content).hexdigest()


def read_kept(content: bytes) -> list[Row | None]:
    """Return the rows in bytes that `kept` made."""
    said = (json.loads(line) for line in content.splitlines())
    return [None if one is None else Row(*one) for one in said]


def rows_file(data: Path, sha256: str) -> Path:
    """Return the file of the rows with this hash, under the folder that keeps them."""
    return data / f"{sha256}.jsonl"


def _records(data_set: DataSet, file: Path) -> Iterator[Mapping[str, Any]]:
    if file.suffix == ".parquet":
        return _parquet(data_set, file)
    return _json(data_set, file)


def _parquet(data_set: DataSet, file: Path) -> Iterator[Mapping[str, Any]]:
    library: Any = import_module("pyarrow.parquet")  # by name: 0.2 s that few commands need, without types
    try:
        table = library.ParquetFile(file)
        names = [name for name in _wanted(data_set.read) if name in table.schema_arrow.names]
        if missing := _missing(data_set.read, table.schema_arrow.names):
            raise _error(data_set, _no_column(file, missing, table.schema_arrow.names))
        for batch in table.iter_batches(batch_size=1000, columns=names):
            yield from batch.to_pylist()
    except DataError:
        raise
    except (ValueError, OSError, NotImplementedError) as error:  # pyarrow's own errors are among them
        raise _error(data_set, f"{file.name} is no Parquet file ({_line(error)}). Download it again.") from None


def _json(data_set: DataSet, file: Path) -> Iterator[Mapping[str, Any]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
        lines = filter(str.strip, text.split("\n"))
        listed = json.loads(text) if text.lstrip().startswith("[") else map(json.loads, lines)
        for record in cast("Iterable[Any]", listed):
            if not isinstance(record, dict):
                raise _error(data_set, f"{file.name} holds {shown(record)}, no object of columns. Write objects.")
            found = cast("dict[str, Any]", record)
            if missing := _missing(data_set.read, list(found)):
                raise _error(data_set, _no_column(file, missing, list(found)))
            yield found
    except DataError:
        raise
    except (ValueError, RecursionError) as error:
        raise _error(data_set, f"{file.name} is no JSON ({_line(error)}). Download it again.") from None


def _wanted(columns: Columns) -> list[str]:
    named = (columns.question, columns.answer, columns.difficulty, columns.solution)
    return list(dict.fromkeys(name for name in named if name is not None))


def _missing(columns: Columns, there: Sequence[str]) -> str | None:
    return next((name for name in _wanted(columns) if name not in there), None)


def _no_column(file: Path, missing: str, there: Sequence[str]) -> str:
    return f"{file.name} has no column {shown(missing)}. Columns there: {', '.join(map(shown, there[:20]))}. Name one."


def _row(data_set: DataSet, number: int, said: Mapping[str, Any]) -> Row:
    columns = data_set.read
    question = _text(data_set, number, "question", said[columns.question])
    answer = _text(data_set, number, "answer", said[columns.answer])
    solution = _text(data_set, number, "solution", said[columns.solution]) if columns.solution else ""
    if data_set.format == "gsm8k":
        found = _GSM8K_ANSWER.search(answer)
        if found is None:
            raise row_error(data_set, number, f"its answer {shown(answer[-40:])} has no #### before a result")
        answer, solution = found[1], _CALCULATOR.sub("", solution)
    return Row(question, answer, _difficulty(data_set, number, said), solution)


def _text(data_set: DataSet, number: int, what: str, value: Any) -> str:
    text = str(value) if type(value) in (int, float) else value
    if not isinstance(text, str) or not text.strip():
        raise row_error(data_set, number, f"its {what} is {shown(value)}, no text")
    limit = LONGEST["solution" if data_set.format == "gsm8k" and what == "answer" else what]
    if len(text) > limit:
        raise row_error(data_set, number, f"its {what} has {len(text)} characters, more than {limit}")
    return text.strip()


def _difficulty(data_set: DataSet, number: int, said: Mapping[str, Any]) -> float | None:
    name = data_set.read.difficulty
    if name is None:
        return None
    value = said[name]
    if type(value) not in (int, float) or not math.isfinite(value):
        raise row_error(data_set, number, f"its difficulty is {shown(value)}, no finite number")
    return float(value)


def row_error(data_set: DataSet, number: int, rule: str) -> DataError:
    """Return the error of one row, which may be left out by a declaration."""
    return _error(data_set, f"row {number}: {rule}. Mend it, or leave it out: `without: [{number}]`.")


def _error(data_set: DataSet, rule: str) -> DataError:
    return DataError([f"{data_set.told()}: {rule}"])


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")[:160] or type(error).__name__
