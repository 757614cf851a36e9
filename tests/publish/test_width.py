"""Text in the width that there is: lines that fit, ids that stay whole, columns that stay columns."""

import pytest

from harness.publish.width import LEAST, WIDTH, Column, folded, table, width_in, wrapped

ID = "llama256-grpo-lora-r128-constant32-lrx0.22-w20-from-cold-0123456789ab"


@pytest.mark.parametrize(("room", "width"), [(None, 112), (200, 112), (112, 112), (80, 80), (60, 60), (20, 60)])
def test_the_width_is_at_most_full_and_at_least_what_can_be_laid_out(room: int | None, width: int) -> None:
    assert (WIDTH, LEAST) == (112, 60)
    assert width_in(room) == width


def test_a_line_goes_on_below_where_its_last_column_begins() -> None:
    assert folded("  name    a title that says very much of it", 30) == (
        "  name    a title that says\n          very much of it"
    )
    assert folded("bases: one and two and three and four and five", 30) == (
        "bases: one and two and three\n  and four and five"
    )
    assert folded("short\n\n   also  short", 30) == "short\n\n   also  short"


def test_a_column_that_begins_too_far_right_is_no_place_to_go_on() -> None:
    assert folded(f"  {'x' * 30}  and more words", 40) == f"  {'x' * 30}  and\n  more words"


def test_ids_paths_and_rows_of_markdown_stay_whole() -> None:
    assert folded(f"run {ID} failed", 60).splitlines() == ["run", f"  {ID}", "  failed"]
    row = f"| {'cell | ' * 20}"
    assert folded(row, 60) == row
    assert wrapped(ID, 60) == [ID]


def test_words_are_neither_lost_nor_changed() -> None:
    text = f"label      {' '.join(str(i) for i in range(200))} {ID}  two  gaps"
    assert folded(text, 60).split() == text.split()


COLUMNS = [
    Column("name", ["a", "bcd"], "<"),
    Column("one", ["1", "22"]),
    Column("two", ["3.5", "4"], ">", 5),
    Column("end", ["x", "y"], "<"),
]


def test_a_table_that_fits_is_one_table() -> None:
    assert table(COLUMNS, 1, 21) == ["name  one    two  end", "a       1    3.5  x", "bcd    22      4  y"]
    assert table(COLUMNS, 1, 23, indent="  ")[1] == "  a       1    3.5  x"


def test_columns_that_do_not_fit_come_below_beside_the_names() -> None:
    assert table(COLUMNS, 1, 17) == [
        "name  one    two", "a       1    3.5", "bcd    22      4",
        "",
        "name  end", "a     x", "bcd   y",
    ]  # fmt: skip
    assert [line.split() for line in table(COLUMNS, 1, 5) if line.startswith("a")] == [
        ["a", "1"],
        ["a", "3.5"],
        ["a", "x"],
    ]


def test_a_table_without_rows_is_its_head() -> None:
    assert table([Column("name", []), Column("one", [])], 1, 60) == ["name  one"]
