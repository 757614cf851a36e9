"""The page of measures: the views in analysis/, whose first line states what a row is and what a value is."""

from pathlib import Path

from harness.spec.shelf import shipped
from manual.markdown import escaped, table


def said(path: Path) -> tuple[str, str]:
    """Return the grain and the meaning of a view's values, with their unit, from its first line.

    Raises:
        ValueError: The first line is not `-- one row per GRAIN; VALUE`.
    """
    first = path.read_text(encoding="utf-8").splitlines()[0]
    grain, between, value = first.removeprefix("-- one row per ").partition("; ")
    if not between or not first.startswith("-- one row per "):
        raise ValueError(f"{path}:1: {first!r} states no grain. Write `-- one row per GRAIN; WHAT A VALUE IS`.")
    return grain, value


def measures_page() -> str:
    """Return the page of measures."""
    paths = sorted((shipped() / "analysis").glob("*.sql"))
    rows = [(f"[`{path.stem}`](#{path.stem})", *map(escaped, said(path))) for path in paths]
    intro = (
        "A prediction responds in a measure: `measure: NAME` is its value at the end of a run, `NAME@STEP` of a time "
        "series its value after that update. Each is a view of the index, a file in `analysis/`; one of your own is "
        "[a few lines of SQL](../how-to/write-a-measure.md). [Adapters and their spectra](spectra.md) says what the "
        "spectral ones can tell."
    )
    sql = [f"## {path.stem}\n\n```sql\n{path.read_text(encoding='utf-8').strip()}\n```" for path in paths]
    return "\n\n".join(["# Measures", intro, table(("measure", "one row per", "value"), rows), *sql]) + "\n"
