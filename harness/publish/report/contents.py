"""What a report is made of: the tables of the findings, over the index that they were read from."""

from typing import Any

from harness.campaign.findings import Chapter, Findings
from harness.publish.report.table import About, Table, tables
from harness.spec.report_table import ReportTable, load_report_table
from harness.spec.shelf import Shelf


def report_tables(findings: Findings, shelf: Shelf) -> list[Table]:
    """Return the tables of a report that have rows; raise DeclarationError for a table that cannot be made."""
    about = {chapter.verdict_id: _about(chapter) for chapter in findings.chapters}
    return tables(findings.store, declared_tables(shelf), about)


def declared_tables(shelf: Shelf) -> list[ReportTable]:
    """Return the tables in reach; raise DeclarationError with the mistakes of one that cannot be read."""
    paths = (shelf.path("paper/tables", name) for name in shelf.names("paper/tables"))
    return [load_report_table(path, shelf.shown(path)) for path in paths]


def _about(chapter: Chapter) -> About:
    said = chapter.verdict
    rivals = [each.rival.model_dump(mode="json") for each in chapter.beside.rivals]
    reported: list[dict[str, Any]] = []
    for each in chapter.beside.reported:
        arm = each.reported.arm
        cell = arm.cell(chapter.protocol.given).slug() if arm and chapter.protocol else None
        reported.append({**each.reported.model_dump(mode="json", exclude={"arm"}), "cell": cell})
    names = {"hypothesis": said.hypothesis, "base": said.base, "protocol": said.protocol}
    return About(chapter.slug, names, {"rivals": rivals, "reported": reported})
