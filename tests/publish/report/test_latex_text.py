"""Text as LaTeX: every sign is printed, none is obeyed."""

from harness.publish.report.latex_text import Key, code, escape


def test_every_special_sign_is_escaped_once() -> None:
    assert escape(r"50 % & $x_1^2$ {a} #1 ~ \input{x} <|>") == (
        r"50 \% \& \$x\_1{\textasciicircum}2\$ \{a\} \#1 {\textasciitilde} "
        r"{\textbackslash}input\{x\} \ensuremath{<}{\textbar}\ensuremath{>}"
    )


def test_values_stay_on_one_line_and_numbers_are_text() -> None:
    assert escape("a\n\n% b\tc") == r"a \% b c"
    assert escape(0.5) == "0.5"


def test_signs_do_not_join_into_others() -> None:
    assert escape("?`a,,b'") == r"?{\textasciigrave}a,{},b{\textquotesingle}"


def test_hyphens_do_not_become_dashes() -> None:
    assert escape("a--b") == "a-{}-b"
    assert code("a--b_c") == r"\texttt{a-\allowbreak{}-\allowbreak{}b\_\allowbreak{}c}"
    assert code("") == ""


def test_letters_without_a_stock_font_are_named_by_their_code_point() -> None:
    assert escape("é ß ≤ β") == r"\'e {\ss} \ensuremath{\leq} \ensuremath{\beta}"
    assert escape("中 ж \x07") == r"[U+4E2D]\allowbreak{} [U+0436]\allowbreak{} [U+0007]\allowbreak{}"


def test_a_reference_key_keeps_its_underscore_and_nothing_that_could_end_it() -> None:
    assert escape(Key("tab:my_claim-tiny")) == "tab:my_claim-tiny"
    assert escape(Key(r"a}\input{b")) == "ainputb"
