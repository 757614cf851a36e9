"""The level that a look has of the whole one, by the plan of looks and its spending."""

import pytest

from harness.decide.contrasts import ContrastFit
from harness.decide.prediction import Rules
from harness.decide.sequential import always_valid_half_width
from harness.decide.spending import spent
from harness.decide.terms import Look, Terms, fixed
from harness.spec.design import Design

FIT = ContrastFit(0.2, 0.05, 3.7, n_eff=1.5, pooled_df=4.0)


def test_a_single_look_has_the_whole_level() -> None:
    assert Look(1, (5,)).nominal(0.05) == 0.05
    assert fixed(0.05, 0.02, 5).low(FIT, 0.05) == FIT.low(0.05)


def test_pococks_spending_is_nearly_constant_over_looks() -> None:
    levels = [Look(k, (3, 5, 8)).nominal(0.05) for k in (1, 2, 3)]
    assert levels == pytest.approx([0.0249, 0.0207, 0.0248], abs=5e-5)


def test_the_first_look_spends_what_the_declared_spending_says() -> None:
    """At the first look nothing has been spent, so its level is the spending at its share of the runs."""
    for spending in ("pocock", "obrien_fleming"):
        design = Design(seeds=8, looks=(3, 5, 8), spending=spending)
        look = Rules(0.05, 0.025, (3, 5, 8), design).terms(1).look
        assert look.nominal(0.05) == pytest.approx(spent(0.05, 3 / 8, spending))
    early, late = (Look(k, (3, 5, 8), spending="obrien_fleming").nominal(0.05) for k in (1, 3))
    assert early < 0.005 < 0.03 < late < 0.05


def test_always_valid_limits_go_by_the_contrasts_own_degrees_of_freedom() -> None:
    terms = Terms(0.05, 0.05, Look(2, (3, 4, 5), "always_valid"))
    half = always_valid_half_width(0.05, 3.7, 1.5, 0.05)
    assert (terms.low(FIT, 0.05), terms.high(FIT, 0.05)) == pytest.approx((0.2 - half, 0.2 + half))
    assert terms.look.nominal(0.05) == 0.05


def test_the_last_look_is_of_the_same_plan() -> None:
    look = Look(1, (3, 5, 8), spending="obrien_fleming")
    assert look.at_last() == Look(3, (3, 5, 8), spending="obrien_fleming")
    assert (look.last, look.at_last().last, look.at_last().runs) == (False, True, 8)


def test_terms_say_how_an_interval_was_made() -> None:
    assert fixed(0.05, 0.05).in_words(0.05) == "t over runs, one-sided 0.05"
    said = Terms(0.05, 0.05, Look(2, (3, 5, 8))).in_words(0.05)
    assert said == "repeated t interval, one-sided 0.05 over all looks, 0.0207 at look 2 of 3"
    assert "always-valid" in Terms(0.05, 0.05, Look(1, (3, 4), "always_valid")).in_words(0.05)
