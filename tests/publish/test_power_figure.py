"""Power over designs, drawn: rates of simulations with their Monte Carlo bands."""

from typing import Any

import pytest

from harness.decide.diagnosis.characteristics import CLAIM, Characteristics, Diagnosis, Rate
from harness.decide.diagnosis.truth import Truth
from harness.publish.power_figure import Power, power_figure
from harness.publish.report.figures.canvas import style


def said(name: str, supported: int) -> Characteristics:
    rates = {"supported": Rate(supported, 100), "refuted": Rate(0, 100), "open": Rate(100 - supported, 100)}
    return Characteristics(id=name, role="primary", truth=Truth(True, False), coverage=None, seeds=5.0, **rates)


def diagnosis(supported: int) -> Diagnosis:
    one = said("live", supported)
    return Diagnosis("declared", "", (one,), said(CLAIM, supported), 10.0, 0.1, 10)


@pytest.fixture
def figure() -> Any:
    designs = ((8.0, diagnosis(90)), (3.0, None), (5.0, diagnosis(50)))
    with style():
        yield power_figure(Power("a_$claim$", "bench", "declared", 100, "seeds", designs))


def test_rates_are_drawn_in_the_order_of_the_designs(figure: Any) -> None:
    assert len(figure.axes) == 2
    for axes in figure.axes:
        supported, refuted, neither, enough = axes.get_lines()
        assert list(supported.get_xdata()) == [5, 8]
        assert list(supported.get_ydata()) == [0.5, 0.9]
        assert list(refuted.get_ydata()) == [0, 0]
        assert list(neither.get_ydata()) == [0.5, 0.1]
        assert list(enough.get_ydata()) == [0.8, 0.8]


def test_bands_are_monte_carlo_intervals(figure: Any) -> None:
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    ends = sorted({float(y) for x, y in band if x == 5})
    # 50 of 100, by Laplace's share 51/102: a standard error of .05
    assert (ends[0], ends[-1]) == pytest.approx((0.5 - 1.96 * 0.05, 0.5 + 1.96 * 0.05), abs=1e-4)


def test_designs_that_cannot_decide_are_named(figure: Any) -> None:
    texts = [text.get_text() for text in figure.texts]
    assert "a_$claim$, protocol bench, declared world, 100 simulations a design" in texts
    assert "cannot be decided: seeds 3" in texts
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["3", "5", "8"]
    assert [axes.texts[0].get_text() for axes in figure.axes] == ["the claim", "live"]
