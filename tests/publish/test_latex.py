from pathlib import Path

import pytest
from jinja2 import TemplateError

from harness.publish.latex import SPECIAL, Key, escape, verdict_table
from harness.record.verdict import MissingRun, Verdict
from harness.spec.shelf import Shelf

TEMPLATE = Shelf(None, {}).path("paper", "verdict")


@pytest.fixture
def template(tmp_path: Path) -> Path:
    return tmp_path / "mine.j2"


def test_every_special_sign_is_escaped_once() -> None:
    assert escape(r"50 % & $x_1^2$ {a} #1 ~ \input{x} <|>") == (
        r"50 \% \& \$x\_1\textasciicircum{}2\$ \{a\} \#1 \textasciitilde{} "
        r"\textbackslash{}input\{x\} \textless{}\textbar{}\textgreater{}"
    )
    assert len(SPECIAL) == 13


def test_values_stay_on_one_line_and_numbers_are_text() -> None:
    assert escape("a\n\n% b\tc") == r"a \% b c"
    assert escape(0.5) == "0.5"


def test_the_table_holds_each_prediction_with_its_figures(verdict: Verdict) -> None:
    table = verdict_table(verdict, TEMPLATE)
    assert r"\caption{A title: \textbf{supported} (protocol bench, base llama, registration ffffffffffff)." in table
    assert r"\label{tab:claim-bench-llama}" in table
    assert r"    live & P(collapsed) r=8 & .00 [-inf, .33] & 5 & supported \\" in table
    assert "Base accuracy .30 on 500 held-out problems" in table
    assert "5 of 5 planned runs." in table
    assert "<<" not in table
    assert table.count("{") == table.count("}")


def test_rows_have_the_declared_number_of_columns(verdict: Verdict) -> None:
    (prediction,) = verdict.predictions
    empty = prediction.model_copy(update={"estimates": (), "id": "untested"})
    twice = prediction.model_copy(update={"estimates": prediction.estimates * 2})
    table = verdict_table(verdict.model_copy(update={"predictions": (twice, empty)}), TEMPLATE)
    body = table.split(r"\midrule")[1].split(r"\bottomrule")[0]
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert [row.count("&") for row in rows] == [4, 4, 4]
    assert rows[1].split("&")[0].strip() == ""  # the name stands once
    assert "untested & none & n/a & 0" in rows[2]


def test_what_a_stranger_declares_stays_text(verdict: Verdict) -> None:
    evil = r"\input{/etc/passwd} << 7 * 7 >> <% for x in y %>"
    missing = (MissingRun(run_id="run_1", cell="c", reason=evil),)
    table = verdict_table(verdict.model_copy(update={"title": evil, "reading": evil, "missing": missing}), TEMPLATE)
    assert r"\input" not in table
    assert "49" not in table
    assert table.count(r"\textbackslash{}input\{/etc/passwd\}") == 3
    assert r"run\_1" in table


def test_a_template_cannot_name_what_is_not_there(verdict: Verdict, template: Path) -> None:
    template.write_text("<< verdict.titel >>")
    with pytest.raises(TemplateError, match="titel"):
        verdict_table(verdict, template)


@pytest.mark.parametrize("text", ["<< verdict.__class__.__mro__ >>", "<< ''.__class__ >>"])
def test_a_template_runs_in_a_sandbox(verdict: Verdict, template: Path, text: str) -> None:
    template.write_text(text)
    with pytest.raises(TemplateError):
        verdict_table(verdict, template)


def test_a_reference_key_keeps_its_underscore_and_nothing_that_could_end_it() -> None:
    assert escape(Key("tab:my_claim-tiny")) == "tab:my_claim-tiny"
    assert escape(Key(r"a}\input{b")) == "ainputb"
