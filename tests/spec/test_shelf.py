"""Where declarations are found, and what cannot be reached from where one stands."""

from pathlib import Path

import pytest

from harness.spec import DeclarationError, Hypothesis
from harness.spec.measure import Grain, MeasureHead
from harness.spec.prediction import CollapseProbability
from harness.spec.shelf import Shelf, find_shelf, shipped

CLAIM = """
title: A claim
claim: Rank 16 loses less than ten points against rank 8.
source: these tests
design: {seeds: 5}
predictions:
  - {id: keeps-up, kind: non_inferiority, role: primary, statement: Rank 16 keeps up with rank 8., margin: 0.1,
     rationale: Ten points are what a user would notice., a: {rank: 16}, b: {rank: 8}}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    for folder in ("hypotheses", "runs", "analysis", "paper", "deep/below"):
        (project / folder).mkdir(parents=True)
    (project / "pyproject.toml").write_text('[tool.harness]\nprotocol = "mine"\n')
    (project / "hypotheses" / "mine.yaml").write_text(CLAIM)
    return project


def refused(shelf: Shelf, name: str) -> str:
    with pytest.raises(DeclarationError) as caught:
        shelf.path("hypotheses", name)
    (line,) = caught.value.lines
    return line


@pytest.mark.parametrize("start", [".", "hypotheses", "deep/below", "not/there/yet"])
def test_the_nearest_project_upwards_is_found(root: Path, start: str) -> None:
    shelf = find_shelf(root / start)
    assert shelf.root == root
    assert shelf.settings == {"protocol": "mine"}
    assert shelf.folders == (root, shipped())


def test_a_project_in_a_project_is_the_nearer_one(root: Path) -> None:
    (root / "deep" / "pyproject.toml").write_text("[tool.harness]\n")
    assert find_shelf(root / "deep" / "below").root == root / "deep"


@pytest.mark.parametrize("text", ["[project]\nname = 'x'\n", "[tool.other]\n", "tool = 3\n", "not toml [", "\xff\xfe"])
def test_somebody_elses_pyproject_is_passed_by(root: Path, text: str) -> None:
    (root / "deep" / "pyproject.toml").write_text(text, encoding="latin-1")
    assert find_shelf(root / "deep").root == root


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "[tool.harness]\nprotokol = 'x'\n",
            "tool.harness.protokol: unknown setting; did you mean protocol?",
        ),
        ("[tool.harness]\nstore = 3\n", "tool.harness.store: 3 is no text. Write it in quotes."),
        (
            "[tool.harness]\nexecutor = 'slurmm'\n",
            'tool.harness.executor: "slurmm" is no engine. Choose one of ',
        ),
        ("[tool.harness]\nslurm = 'x'\n", 'tool.harness.slurm: "x" is no table. Write a line [tool.harness.slurm].'),
        ("[tool]\nharness = 'x'\n", "tool.harness: 'x' is no table."),
    ],
)
def test_a_mistaken_setting_is_an_error(root: Path, text: str, told: str) -> None:
    (root / "pyproject.toml").write_text(text)
    with pytest.raises(DeclarationError) as caught:
        find_shelf(root)
    assert caught.value.lines[0].startswith(f"{root}/pyproject.toml:1 {told}")


def test_a_file_with_the_table_that_is_no_toml_is_an_error_with_its_line(root: Path) -> None:
    """To pass it by would act on another project and another store."""
    (root / "pyproject.toml").write_text('[tool.harness]\nprotocol = "smoke"\nexecutor = slurm\n')
    with pytest.raises(DeclarationError) as caught:
        find_shelf(root)
    (line,) = caught.value.lines
    assert line.startswith(f"{root}/pyproject.toml:3 no TOML: ") and line.endswith("Texts stand in quotes.")


def test_without_a_project_there_is_the_shipped_shelf(tmp_path: Path) -> None:
    shelf = find_shelf(tmp_path)
    assert (shelf.root, shelf.settings, shelf.folders) == (None, {}, (shipped(),))
    assert "rank-collapse" in shelf.names("hypotheses")
    assert {"smoke", "tiny"} <= set(shelf.names("runs"))
    assert shelf.names("paper") == ["appendix"]


def test_every_shipped_declaration_is_valid() -> None:
    shelf = Shelf(None, {})
    for name in shelf.names("hypotheses"):
        assert isinstance(shelf.hypothesis(name), Hypothesis)
    for name in shelf.names("runs"):
        assert shelf.protocol(name).default_bases


def test_names_are_those_of_both_shelves_without_hidden_files(root: Path) -> None:
    (root / "hypotheses" / "notes.txt").touch()
    (root / "hypotheses" / ".mine.yaml").touch()
    (root / "hypotheses" / ".#mine.yaml").symlink_to("nobody@nowhere.1")  # as an editor leaves it
    assert find_shelf(root).names("hypotheses") == sorted(["mine", *Shelf(None, {}).names("hypotheses")])


def test_a_projects_file_stands_before_the_shipped_one(root: Path) -> None:
    shelf = find_shelf(root)
    assert shelf.overridden() == []
    mine = root / "hypotheses" / "rank-collapse.yaml"
    mine.write_text(CLAIM)
    assert shelf.path("hypotheses", "rank-collapse") == mine
    assert shelf.hypothesis("rank-collapse").title == "A claim"
    assert shelf.overridden() == [mine]
    assert shelf.shown(mine) == "hypotheses/rank-collapse.yaml"
    assert Shelf(None, {}).path("hypotheses", "rank-collapse") != mine


def test_the_checkout_does_not_override_itself() -> None:
    assert Shelf(shipped(), {}).overridden() == []
    assert Shelf(shipped(), {}).folders == (shipped(),)


@pytest.mark.parametrize(
    "name", ["../mine", "/etc/passwd", "..", "", "a/b", "a\\b", "Mine", ".mine", "mine\n", "mi\0ne", "a..b", "x" * 64]
)
def test_only_plain_words_are_names(root: Path, name: str) -> None:
    assert "is no name of a file in hypotheses/" in refused(find_shelf(root), name)


def test_an_unknown_name_lists_the_known_ones(root: Path) -> None:
    known = ", ".join(sorted(["mine", *Shelf(None, {}).names("hypotheses")]))
    assert refused(find_shelf(root), "absent") == (f"'absent' is not declared in hypotheses/. Known here: {known}.")


def test_links_stay_inside(root: Path, tmp_path: Path) -> None:
    (tmp_path / "stranger.yaml").write_text(CLAIM)
    (root / "hypotheses" / "out.yaml").symlink_to(tmp_path / "stranger.yaml")
    (root / "hypotheses" / "in.yaml").symlink_to(root / "hypotheses" / "mine.yaml")
    (root / "hypotheses" / "loop.yaml").symlink_to(root / "hypotheses" / "loop.yaml")
    shelf = find_shelf(root)
    assert refused(shelf, "out") == "hypotheses/out.yaml:1 file: leads out of the project. Copy it in."
    assert shelf.hypothesis("in").title == "A claim"
    assert "'loop' is not declared" in refused(shelf, "loop")


def test_a_folder_that_leads_out_is_no_way_out(root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "far.yaml").write_text(CLAIM)
    for path in (root / "hypotheses").iterdir():
        path.unlink()
    (root / "hypotheses").rmdir()
    (root / "hypotheses").symlink_to(tmp_path / "outside", target_is_directory=True)
    assert "leads out of the project" in refused(find_shelf(root), "far")


def test_a_project_reached_by_a_link_is_the_project(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root, target_is_directory=True)
    shelf = find_shelf(tmp_path / "link")
    assert shelf.root == root
    assert shelf.hypothesis("mine").title == "A claim"


def test_loading_by_path_is_for_files_in_reach(root: Path, tmp_path: Path) -> None:
    shelf = find_shelf(root)
    assert shelf.load(root / "hypotheses" / "mine.yaml") == shelf.hypothesis("mine")
    assert shelf.load(root / "runs" / ".." / "hypotheses" / "mine.yaml") == shelf.hypothesis("mine")
    assert shelf.load(shipped() / "runs" / "tiny.yaml") == shelf.protocol("tiny")
    (tmp_path / "mine.yaml").write_text(CLAIM)
    (root / "hypotheses" / "out.yaml").symlink_to(tmp_path / "mine.yaml")
    for path in (
        tmp_path / "mine.yaml",
        root / "hypotheses" / "out.yaml",
        Path("/etc/passwd"),
        root / "pyproject.toml",
    ):
        with pytest.raises(DeclarationError, match="lies in no hypotheses/ or runs/ folder"):
            shelf.load(path)


def test_a_claim_on_an_undeclared_measure_is_refused(root: Path) -> None:
    (root / "hypotheses" / "mine.yaml").write_text(CLAIM.replace("margin: 0.1", "margin: 0.1, measure: mood"))
    with pytest.raises(DeclarationError, match=r"hypotheses/mine.yaml:7 predictions\[0\].measure"):
        find_shelf(root).hypothesis("mine")


def test_a_claim_on_a_measure_of_another_scale_has_a_margin_of_that_scale(root: Path) -> None:
    on_norm = CLAIM.replace("margin: 0.1,", "margin: 7.5, measure: first_update_norm,")
    (root / "hypotheses" / "norm.yaml").write_text(on_norm)
    (prediction,) = find_shelf(root).hypothesis("norm").predictions
    assert not isinstance(prediction, CollapseProbability)
    assert prediction.measure == "first_update_norm"
    (root / "hypotheses" / "norm.yaml").write_text(on_norm.replace("first_update_norm", "greedy_accuracy"))
    with pytest.raises(DeclarationError, match=r"7.5 is out of range: greedy_accuracy, from 0 to 1, gives"):
        find_shelf(root).hypothesis("norm")
    (root / "hypotheses" / "norm.yaml").write_text(on_norm.replace("measure:", "scale: logit, measure:"))
    with pytest.raises(DeclarationError, match='"first_update_norm" is not a share from 0 to 1, so it has no logit'):
        find_shelf(root).hypothesis("norm")


@pytest.mark.parametrize("measure", ["base_accuracy", "mood"])
def test_a_claim_on_runs_needs_a_measure_of_runs(root: Path, measure: str) -> None:
    (root / "hypotheses" / "mine.yaml").write_text(CLAIM.replace("margin: 0.1", f"margin: 0.1, measure: {measure}"))
    with pytest.raises(DeclarationError, match=f'"{measure}" is no measure with one row per run in analysis/. Known'):
        find_shelf(root).hypothesis("mine")


def test_a_claim_on_problems_needs_a_measure_of_problems(root: Path) -> None:
    by_item = CLAIM.replace("margin: 0.1", "margin: 0.1, generalise_to: items")
    (root / "hypotheses" / "mine.yaml").write_text(by_item)
    with pytest.raises(DeclarationError, match=r'"accuracy" is no measure with one row per \(run, problem\)'):
        find_shelf(root).hypothesis("mine")
    (root / "hypotheses" / "mine.yaml").write_text(by_item.replace("items", "items, measure: accuracy_items"))
    assert find_shelf(root).hypothesis("mine").title == "A claim"


def test_measures_say_what_a_row_and_a_value_are(root: Path) -> None:
    (root / "analysis" / "depth.sql").write_text(
        "-- one row per base; layers\nSELECT base_id, layers AS value FROM base"
    )
    shelf = find_shelf(root)
    heads = shelf.measures()
    assert heads["depth"] == MeasureHead(Grain.BASE, "layers", bounded=False)
    of = {grain: {name for name, head in heads.items() if head.grain is grain} for grain in Grain}
    assert of[Grain.ITEM] == {"accuracy_items", "hard_accuracy"}
    assert of[Grain.BASE] >= {"base_accuracy", "base_stable_rank", "depth"}
    assert of[Grain.STEP] >= {"stable_rank", "reward_at"}
    assert {name for name in of[Grain.RUN] if not heads[name].bounded} == {"first_update_norm"}


def test_measures_that_do_not_say_are_told_all_at_once(root: Path) -> None:
    for name in ("one", "two"):
        (root / "analysis" / f"{name}.sql").write_text("-- one row per run\nSELECT run_id FROM run")
    with pytest.raises(DeclarationError) as caught:
        find_shelf(root).measures()
    assert [line[:41] for line in caught.value.lines] == [
        "analysis/one.sql:1 SQL: the first line do",
        "analysis/two.sql:1 SQL: the first line do",
    ]
    with pytest.raises(DeclarationError, match=r"analysis/two.sql:1 SQL"):
        find_shelf(root).hypothesis("mine")  # which uses neither; any verdict would read them all
