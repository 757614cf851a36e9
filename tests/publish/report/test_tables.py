"""Declared tables: what they print is what the index holds, and every cell knows its query."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.campaign.findings import findings
from harness.plan import PlannedRun
from harness.publish.report.contents import report_tables
from harness.publish.report.report import Report
from harness.spec import DeclarationError
from harness.spec.report_table import load_report_table
from harness.spec.shelf import Shelf, find_shelf
from harness.store import query

if TYPE_CHECKING:
    from tests.conftest import Made

MINE = """/*
title: Mine
caption: Runs of $hypothesis, $unknown.
each: verdict
order: 99
key: [run_id]
columns:
  label: {head: Became}
  accuracy: {head: Accuracy, written: accuracy}
*/
SELECT run_id, label, accuracy FROM judged WHERE verdict_id = $verdict ORDER BY run_id;
"""


def settled(value: Any) -> Any:
    """Return a value as tables keep it: floats to twelve figures."""
    return float(f"{value:.12g}") if isinstance(value, float) else value


def alternating(run: PlannedRun) -> float:
    return 0.5 + run.index / 100 if (run.cell.rank or 0) < 16 or run.index % 2 else 0.01


def test_shipped_tables_print_what_the_index_holds(
    made: "Made", decide: Callable[..., None], reported: Callable[..., Report]
) -> None:
    decide(alternating, "live")
    tables = {table.declared.name: table for table in reported().tables}
    cells = tables["cells"]
    assert [row[0] for row in cells.texts] == ["grpo-lora-r8", "grpo-lora-r16"]
    # .500, .510, .520, .530, .540, .550: mean .525
    assert cells.texts[0][1:3] == ("6", "6")
    assert cells.texts[0][3].startswith(".525 [")
    assert cells.texts[0][5] == "0/6 [.00, .46]"
    assert cells.texts[1][3] in (".27", ".270")  # collapsed and other runs: no interval
    assert cells.texts[1][5] == "3/6 [.12, .88]"
    assert tables["verdicts"].texts[0][:5] == ("live", "inconclusive", "llama", "bench", "confirmatory")
    assert tables["compute"].values[-1][:4] == ("all", "", 13, 13)
    assert "tuning" not in tables  # nothing is tuned


def test_every_cell_of_every_table_knows_its_query(
    made: "Made", decide: Callable[..., None], reported: Callable[..., Report]
) -> None:
    decide(alternating, "live")
    asked = 0
    for table in reported().tables:
        for i in range(len(table.texts)):
            for name, column in table.declared.head.columns.items():
                _, rows = query(made.store, table.query_of(i, name))
                held = tuple(table.values[i][table.selected.index(of)] for of in column.of or (name,))
                assert [*map(settled, rows[0])] == [*held], (table.name, i, name)
                assert len(rows) == 1
                asked += 1
    assert asked > 60


def test_a_table_of_the_project_joins_the_report(
    made: "Made", decide: Callable[..., None], reported: Callable[..., Report]
) -> None:
    made.declare("paper/tables/mine.sql", MINE)
    decide(alternating, "live")
    (mine,) = (table for table in reported().tables if table.declared.name == "mine")
    assert mine.caption == "Runs of live, $unknown."
    assert len(mine.texts) == 12
    assert mine.name == "live-bench-llama-mine"


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("/*", "--", r"does not begin with a comment"),
        ("written: accuracy", "written: acuracy", r"paper/tables/mine.sql:9 columns.accuracy.written"),
        ("written: accuracy", "written: value", r"paper/tables/mine.sql:9 columns.accuracy.written"),
        ("order: 99", "order: 99\nlevel: 3", r"paper/tables/mine.sql:6 level"),
        ("key: [run_id]", "key: [run]", r"gives no column run, which the table names"),
        ("FROM judged", "FROM judge", r"Table with name judge does not exist"),
        ("ORDER BY run_id", "; SELECT 2", r"not exactly one SELECT"),
        ("key: [run_id]", "key: [label]", r"mine.sql:1 key: two rows have label trained. Name columns that tell rows"),
        (
            "label, accuracy FROM",
            "label, 'high' AS accuracy FROM",
            r"column accuracy has a value that is not",
        ),
        ("ORDER BY run_id", "UNION SELECT * FROM read_csv('/etc/passwd')", r"SQL: .*disabled"),
    ],
)
def test_a_table_with_a_mistake_is_told(
    made: "Made", decide: Callable[..., None], reported: Callable[..., Report], old: str, new: str, rule: str
) -> None:
    made.declare("paper/tables/mine.sql", MINE.replace(old, new, 1))
    decide(alternating, "live")
    with pytest.raises(DeclarationError, match=rule):
        reported()


def test_an_empty_store_gives_no_table_and_says_what_has_no_verdict(made: "Made") -> None:
    shelf = find_shelf(made.root)
    found = findings(shelf, made.store)
    assert report_tables(found, shelf) == []
    assert found.undecided == tuple(shelf.names("hypotheses"))


def test_rows_of_a_group_say_once_what_they_share(
    made: "Made", decide: Callable[..., None], reported: Callable[..., Report]
) -> None:
    decide(alternating, "live")
    (predictions,) = (table for table in reported().tables if table.declared.name == "predictions")
    assert [row[0] for row in predictions.texts] == ["live"] * 3
    assert [row[0] for row in predictions.grouped()] == ["live", "", ""]
    assert [row[1] for row in predictions.grouped()] == [row[1] for row in predictions.texts]


def test_every_shipped_table_can_be_read(tmp_path: Path) -> None:
    shelf = Shelf(None, {})
    names = shelf.names("paper/tables")
    assert len(names) >= 14
    for name in names:
        head = load_report_table(shelf.path("paper/tables", name), name).head
        assert head.caption.strip().endswith("."), name
        assert set(head.group) <= set(head.columns), name
