"""The figure and the table of spectra, from rows made by hand."""

import math
import struct
from pathlib import Path
from typing import Any

import pytest

from harness.publish.spectra import draw
from harness.publish.spectra_table import MANY, table

PARTS = ("self_attn.q_proj", "self_attn.k_proj", "mlp.up_proj")


def row(layer: int, part: str, values: list[float], target: str = "update") -> dict[str, Any]:
    energy = sum(value**2 for value in values)
    share = [value / sum(values) for value in values if value]
    return {
        "module": f"model.layers.{layer}.{part}" if layer >= 0 else part,
        "layer": layer,
        "part": part,
        "role": "hidden" if layer >= 0 else "head",
        "target": target,
        "source": "factors",
        "dtype": "float32",
        "rows": 64,
        "columns": 64,
        "singular_values": values,
        "frobenius": math.sqrt(energy),
        "effective_rank": math.exp(-sum(p * math.log(p) for p in share)) if share else None,
        "effective_rank_energy": None,
        "stable_rank": energy / values[0] ** 2 if share else None,
        "participation_ratio": energy**2 / sum(value**4 for value in values) if share else None,
        "top_energy": [values[0] ** 2 / energy] if share else None,
        "alpha": None,
        "alpha_ks": None,
        "overlap": None,
        "intruders": None,
        "intruder_sweep": None,
        "intruders_borderline": None,
        "changed_share": None,
    }


def rows(layers: int, count: int = 8) -> list[dict[str, Any]]:
    return [
        row(layer, part, [math.exp(-(0.1 + 0.02 * layer + 0.05 * j) * i) for i in range(count)])
        for layer in range(layers)
        for j, part in enumerate(PARTS)
    ]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_same_rows_give_the_same_bytes(suffix: str, tmp_path: Path) -> None:
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    draw(rows(2), first, "a title")
    draw(rows(2), second, "a title")
    assert first.read_bytes() == second.read_bytes()
    draw(rows(3), second, "a title")
    assert first.read_bytes() != second.read_bytes()


def test_a_png_is_wide_enough_to_print(tmp_path: Path) -> None:
    draw(rows(2), tmp_path / "a.png", "a title")
    width, height = struct.unpack(">II", (tmp_path / "a.png").read_bytes()[16:24])
    assert (width, height) == (2200, 920)


def drawn(what: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the figure as it is when it is saved."""
    seen: list[Any] = []

    def keep(figure: Any, *_: object, **__: object) -> None:
        seen.append(figure)

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", keep)
    draw(what, tmp_path / "a.png", "a $title")
    return seen[0]


def test_lines_are_the_values_in_units_of_the_largest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [row(0, PARTS[0], [4.0, 2.0, 1.0, 0.0]), row(1, PARTS[0], [0.0]), row(0, PARTS[1], [9.0, 3.0], "null")]
    left = drawn(made, tmp_path, monkeypatch).axes[0]
    line, null = left.get_lines()
    assert list(line.get_xdata()) == [1, 2, 3]
    assert list(line.get_ydata()) == [1, 0.5, 0.25]
    assert (list(null.get_ydata()), null.get_linestyle(), line.get_linestyle()) == ([1, 1 / 3], ":", "-")


def rounded(one: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**one, "source": "low_precision_difference", "dtype": "bfloat16", **fields}


@pytest.mark.parametrize("layers", [2, 32])
def test_what_is_mostly_rounding_says_so_and_stands_beside_its_null(
    layers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [rounded(one) for one in rows(layers)]
    nulls = [{**one, "target": "null", "source": "rounded_factors"} for one in made]
    left = drawn([one for pair in zip(made, nulls, strict=True) for one in pair], tmp_path, monkeypatch).axes[0]
    assert left.get_title("left") == "differences of bfloat16 numbers, whose rounding reads as rank"
    assert [line.get_linestyle() for line in left.get_lines()].count(":") == len(made)
    assert left.get_legend().get_texts()[-1].get_text() == "random, of rank 8, as rounded"


def test_some_that_are_mostly_rounding_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [rounded(rows(1)[0]), *rows(1)[1:]]
    left = drawn(made, tmp_path, monkeypatch).axes[0]
    assert left.get_title("left") == "1 of 3: differences of bfloat16 numbers, whose rounding reads as rank"
    assert drawn(rows(1), tmp_path, monkeypatch).axes[0].get_title("left") == ""


@pytest.mark.parametrize(("count", "scale"), [(8, "linear"), (64, "linear"), (65, "log")])
def test_a_long_index_is_logarithmic(count: int, scale: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = drawn(rows(2, count), tmp_path, monkeypatch).axes[0]
    assert (left.get_xscale(), left.get_yscale()) == (scale, "log")
    assert len(left.get_lines()) == 6


def test_the_map_has_the_ranks_and_writes_them_where_they_are_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [*rows(2), row(-1, "lm_head", [1.0, 1.0, 1.0])]
    right = drawn(made, tmp_path, monkeypatch).axes[1]
    assert right.images[0].get_array().tolist() == [
        pytest.approx([one["effective_rank"] for one in made if one["layer"] == layer]) for layer in range(2)
    ]
    assert [text.get_text() for text in right.texts] == [f"{one['effective_rank']:#.3g}" for one in made[:-1]]
    assert [label.get_text() for label in right.get_xticklabels()] == list(PARTS)
    assert right.get_title("left") == "outside the layers: lm_head 3.00"
    many = drawn(rows(60), tmp_path, monkeypatch).axes[1]
    assert len(many.texts) == 0


def test_layers_are_told_by_a_legend_where_few_and_a_bar_where_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = drawn(rows(2), tmp_path, monkeypatch)
    assert [text.get_text() for text in few.axes[0].get_legend().get_texts()] == ["layer 0", "layer 1"]
    many = drawn(rows(32), tmp_path, monkeypatch)
    assert many.axes[0].get_legend() is None
    assert [axes.get_ylabel() for axes in many.axes[2:]] == ["layer", "effective rank"]


def test_without_effective_ranks_the_map_shows_the_next_quantity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [{**one, "effective_rank": None} for one in rows(2)]
    assert drawn(made, tmp_path, monkeypatch).axes[2].get_ylabel() == "participation ratio"


@pytest.mark.parametrize(
    "made",
    [
        [row(0, PARTS[0], [0.0, 0.0])],
        [row(-1, "lm_head", [1.0])],
        [row(0, "x" * 200, [1.0, 1e-300]), row(1, r"\alpha$", [1.0])],
    ],
)
def test_odd_rows_are_drawn(made: list[dict[str, Any]], tmp_path: Path) -> None:
    draw(made, tmp_path / "a.png", "a $title_^")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_a_line_for_each_matrix_with_its_numbers() -> None:
    lines = table([row(0, PARTS[0], [4.0, 2.0]), row(0, PARTS[0], [4.0, 4.0], "null"), row(1, PARTS[1], [0.0])], 120)
    assert lines[0].split() == [
        "module",
        "shape",
        "sigma_1",
        "frobenius",
        *["eff.", "rank"],
        "stable",
        "particip.",
        "top-1",
    ]
    named = "model.layers.0.self_attn.q_proj"
    # sqrt(20); entropy of (2/3, 1/3) is .6365, its exponential 1.89; 20/16; 400/272; 16/20
    assert lines[1].split() == [named, "64x64", "4.00", "4.47", "1.89", "1.25", "1.47", "0.800"]
    assert lines[2].split()[:3] == [named, "(null)", "64x64"]
    assert lines[3].split() == ["model.layers.1.self_attn.k_proj", "64x64", "0.00", "0.00", *["n/a"] * 4]
    assert len(lines) == 4


def test_intruders_are_told_at_every_threshold_and_where_they_hang_on_one() -> None:
    placed = {"overlap": 0.25, "intruders": 3, "intruder_sweep": [1, 3, 7], "intruders_borderline": [0, 1, 1]}
    head, line = table([row(0, PARTS[0], [2.0, 1.0]) | placed], 200)
    assert head.split()[-5:] == ["intruders", "at", ".3", "at", ".7", "borderline"][-5:]
    assert line.split()[-5:] == ["0.250", "3.00", "1.00", "7.00", "2.00"]


def test_an_update_without_any_direction_is_zero() -> None:
    """As AdaLoRA prunes some: no factor is left, so no singular value."""
    lines = table([row(0, PARTS[0], [4.0, 2.0]), row(1, PARTS[1], [])], 120)
    assert lines[2].split()[1:4] == ["64x64", "0.00", "0.00"]


def test_means_are_over_layers_and_over_modules() -> None:
    layers = MANY // 2 + 1
    made = [row(i, part, [float(1 + i + 100 * j)]) for i in range(layers) for j, part in enumerate(PARTS[:2])]
    lines = table(made, 100)
    assert lines[0].startswith(f"{2 * layers} matrices: means by module")
    by_name = {line.split()[0]: line.split()[1:3] for line in lines[3:] if line}
    assert by_name[PARTS[0]] == [str(layers), f"{(1 + layers) / 2:#.3g}"]
    assert by_name["4"] == ["2", "55.0"]  # (5 + 105) / 2


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    lines = table(rows(2), width)
    assert max(len(line) for line in lines) <= width
    assert all("q_proj" in line for line in lines[1::3][:2])
