"""Bases that exist, as declared: what names them, what does not, and what their identity rests on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.plan import misfit, plan, planned_base, registration_hash, unfit
from harness.spec import Arm, HubBase, Hypothesis, Protocol, load_hypothesis, load_protocol
from harness.spec.bases import Shape

TEXT = (Path(__file__).parents[1] / "found.yaml").read_text(encoding="utf-8")
Told = Callable[[str | bytes], list[str]]
COMMIT = "c0ffee1234" * 4

BROKEN = [
    ("hub: lab/mini-qwen", "hub: mini-qwen", "bases.qwen.hub", '"mini-qwen" is no name of a model on the Hub. Write'),
    ("hub: lab/mini-qwen", "hub: lab/../qwen", "bases.qwen.hub", "is no name of a model on the Hub. Write ORG/NAME."),
    ("revision: v1.0, ", "", "bases.qwen.revision", "missing: a model on the Hub has many. Name a branch, a tag or"),
    ("revision: v1.0", "revision: ../v1", "bases.qwen.revision", '"../v1" is no revision of a model. Name a branch'),
    ("revision: v1.0", "revision: v1.0, commit: abc", "bases.qwen.commit", "is no commit of 40 hexadecimal digits."),
    ("revision: v1.0", f"revision: {'a' * 40}, commit: {'b' * 40}", "bases.qwen.commit", "is not revision aaaa"),
    ("revision: v1.0", "revision: v1.0, folder: models/q", "bases.qwen.hub", "neither or both of hub and folder"),
    ("hub: lab/mini-qwen, revision: v1.0", "folder: /models/q", "bases.qwen.folder", "leads out of the project."),
    ("hub: lab/mini-qwen, revision: v1.0", "folder: a/../../q", "bases.qwen.folder", "leads out of the project."),
    ("hub: lab/mini-qwen", "folder: models/q", "bases.qwen.revision", "belongs to a model on the Hub, and"),
    ("hub: lab/mini-qwen", "hubb: lab/mini-qwen", "bases.qwen.hubb", "unknown field; did you mean hub?"),
    ("prompting: chat", "prompting: loud", "bases.qwen.prompting", "'plain' or 'chat'. Choose one of them."),
    ("architecture: qwen3", "architecture: gpt2", "bases.qwen.shape.architecture", "Choose one of them."),
    ("head_dim: 8, vocabulary: 99, tied", "head_dim: 8, tied", "bases.qwen.shape.vocabulary", "missing. Add this"),
    ("kv_heads: 1, head_dim: 8", "kv_heads: 3, head_dim: 8", "bases.qwen.shape.kv_heads", "do not divide 2 heads"),
    ("count: 2.0e9", "count: 0.0", "bases.llama.tokens.count", "must be greater than 0"),
    ("split_seed: 70260423}", "split_seed: 70260423, base_seed: -1}", "pilot.base_seed", "at least 0"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "field", "says"), BROKEN, ids=[f"{b[2]} {b[1]}" for b in BROKEN])
def test_a_mistake_is_told_once_at_its_field(
    old: str, new: str, field: str, says: str, protocol_mistakes: Told
) -> None:
    assert TEXT.count(old) == 1
    (line,) = protocol_mistakes(TEXT.replace(old, new))
    assert f" {field}: " in line
    assert says in line
    assert line.endswith(".")


def test_the_text_that_is_edited_is_valid(protocol_mistakes: Told) -> None:
    assert protocol_mistakes(TEXT) == []


def test_a_base_made_on_the_spot_needs_the_pilot_s_seed(protocol_mistakes: Told) -> None:
    tiny = (Path(__file__).parents[2] / "runs" / "tiny.yaml").read_text(encoding="utf-8")
    (line,) = protocol_mistakes(tiny.replace("  base_seed: 2001\n", ""))
    assert "base_seed: missing, and base llama is made from a seed. Add this field." in line


def test_a_gain_that_nobody_measured_may_be_declared_so(protocol_mistakes: Told) -> None:
    assert protocol_mistakes(TEXT.replace("healthy_gain: 0.12", "healthy_gain: null")) == []


# What transformers counts for the published configurations (config.json of each model, read as meta tensors).
PARAMETERS = {
    "Llama-3.1-8B": (
        8_030_261_248,
        {"architecture": "llama", "layers": 32, "intermediate_size": 14336, "kv_heads": 8, "vocabulary": 128256},
    ),
    "Qwen3-8B-Base": (
        8_190_735_360,
        {"architecture": "qwen3", "layers": 36, "intermediate_size": 12288, "kv_heads": 8, "vocabulary": 151936},
    ),
    "pythia-410m": (
        405_334_016,
        {
            "architecture": "gpt_neox",
            "layers": 24,
            "intermediate_size": 4096,
            "vocabulary": 50304,
            "hidden_size": 1024,
            "heads": 16,
        },
    ),
}


@pytest.mark.parametrize("name", list(PARAMETERS))
def test_a_shape_has_the_parameters_of_the_published_model(name: str) -> None:
    count, fields = PARAMETERS[name]
    assert Shape.model_validate({"hidden_size": 4096, "heads": 32, **fields}).parameters() == count


def bases(tmp_path: Path, old: str = "", new: str = "") -> Protocol:
    path = tmp_path / "found.yaml"
    path.write_text(TEXT.replace(old, new) if old else TEXT)
    return load_protocol(path, "found.yaml")


def base_id(protocol: Protocol, name: str = "qwen") -> str:
    return planned_base(name, protocol).id


def test_what_identifies_a_base_is_its_commit_and_how_it_is_asked_not_what_is_said_of_it(tmp_path: Path) -> None:
    at = f"revision: v1.0, commit: {COMMIT}"
    there = base_id(bases(tmp_path, "revision: v1.0", at))
    assert there.startswith("mini-qwen-v1.0-")
    for same in (
        "stage: late, family: qwen",
        "family: other",
        "tokens: {count: 3.0, source: nobody knows it}, family: q",
    ):
        assert base_id(bases(tmp_path, "revision: v1.0, family: qwen", f"{at}, {same}")) == there
    named = planned_base("qwen", bases(tmp_path, "revision: v1.0", f"revision: {COMMIT}"))
    assert named.id.rsplit("-", 1)[1] == there.rsplit("-", 1)[1]  # the same commit, named by itself
    others = [("revision: v1.0", f"revision: v1.0, commit: {'f' * 40}"), ("prompting: chat", "prompting: plain")]
    others += [("dtype: bfloat16", "dtype: float32"), ("largest_operand: 31", "largest_operand: 32")]
    for old, new in others:
        text = TEXT.replace("revision: v1.0", at) if old != "revision: v1.0" else TEXT
        path = tmp_path / "other.yaml"
        path.write_text(text.replace(old, new))
        assert base_id(load_protocol(path, "other.yaml")) != there, new


def test_an_unresolved_base_is_planned_and_marked(tmp_path: Path) -> None:
    protocol = bases(tmp_path)
    loose = planned_base("qwen", protocol)
    assert loose.provisional
    fixed = planned_base("qwen", bases(tmp_path, "revision: v1.0", f"revision: v1.0, commit: {COMMIT}"))
    assert not fixed.provisional
    assert loose.id != fixed.id


def test_hypotheses_are_planned_on_bases_that_exist(tmp_path: Path) -> None:
    protocol = bases(tmp_path)
    claim = load_hypothesis(Path(__file__).parents[2] / "hypotheses" / "step-size.yaml", "step-size")
    assert isinstance(claim, Hypothesis)
    runs = plan({"step-size": claim}, protocol, ["llama", "early"])
    assert len({run.id for run in runs.runs}) == len(runs.runs)
    assert {run.id.rsplit("-grpo", 1)[0] for run in runs.runs} == {"mini-llama", "mini-llama-stage1-step10"}


def test_a_commit_that_was_found_is_frozen_by_a_registration(tmp_path: Path) -> None:
    claim = load_hypothesis(Path(__file__).parents[2] / "hypotheses" / "step-size.yaml", "step-size")
    loose, fixed = bases(tmp_path), bases(tmp_path, "revision: v1.0", f"revision: v1.0, commit: {COMMIT}")
    assert registration_hash(claim, loose) != registration_hash(claim, fixed)


@pytest.mark.parametrize(
    ("adapter", "base", "says"),
    [
        ({"method": "quanta", "axes": (4, 4)}, "llama", "product of 16, which would leave inputs or outputs out"),
        ({"method": "quanta", "axes": (5, 5)}, "llama", ""),  # 25, and its widest side is 24
        (
            {"method": "quanta", "axes": (5, 5)},
            "pythia",
            "from 48 to 96 (base pythia: ",
        ),  # one layer of 48
        ({"method": "pissa", "rank": 8}, "llama", ""),
        ({"method": "pissa", "rank": 9}, "llama", "at most 8 does"),  # its one head of keys
        ({"method": "pissa", "rank": 9}, "olmo2", ""),
        ({"method": "oft", "block_size": 16}, "llama", "does not divide 16 and 8 and 24 as it must"),
    ],
)
def test_adapters_fit_every_matrix_of_the_declared_shape(adapter: Any, base: str, says: str, tmp_path: Path) -> None:
    protocol = bases(tmp_path)
    cell = Arm.model_validate({"adapter": adapter}).cell(protocol.given)
    assert misfit(cell, protocol) == ""
    told = unfit(cell, protocol, [base])
    assert (says in told) if says else (told == "")


OLMO2 = "olmo2: {hub: lab/mini-olmo2, revision: main, family: olmo, "
EARLY = "checkpoints: {early: {revision: step10, tokens: {count: 1.0e6, source: chosen for these tests}}}, "
SEEDS = (
    "checkpoints: {one: {hub: lab/mini-olmo2-seed1, revision: main, replicate: true}, "
    f"two: {{hub: lab/mini-olmo2-seed2, revision: main, commit: {COMMIT}, replicate: true}}, "
    "mine: {folder: models/mine, stage: mine}}, "
)


def test_a_checkpoint_is_another_model_of_the_same_shape(tmp_path: Path) -> None:
    declared = bases(tmp_path, OLMO2, OLMO2 + EARLY)
    assert declared.base_names()[3:5] == ("olmo2", "olmo2@early")
    assert declared.replicates("olmo2") == ("olmo2",)
    final, early = (planned_base(name, declared) for name in ("olmo2", "olmo2@early"))
    assert (early.id.startswith("mini-olmo2-step10-"), early.provisional) == (True, True)
    assert final.id == planned_base("olmo2", bases(tmp_path)).id  # which its checkpoints do not change
    base = declared.base("olmo2@early")
    assert isinstance(base, HubBase)
    assert (base.place, base.family, base.budget()) == ("lab/mini-olmo2@step10", "olmo", "1e+06 tokens")
    assert base.checkpoints == {}
    assert base.shape == declared.bases["olmo2"].shape  # type: ignore[union-attr]
    with pytest.raises(KeyError):
        declared.base("olmo2@late")


def test_replicates_have_repositories_of_their_own_and_a_checkpoint_may_be_a_folder(tmp_path: Path) -> None:
    declared = bases(tmp_path, OLMO2, OLMO2 + SEEDS)
    assert declared.replicates("olmo2") == ("olmo2@one", "olmo2@two")
    found = [declared.base(f"olmo2@{name}") for name in ("one", "two", "mine")]
    assert [(b.place, b.pin) for b in found if isinstance(b, HubBase)] == [
        ("lab/mini-olmo2-seed1@main", None),
        ("lab/mini-olmo2-seed2@main", COMMIT),
        ("models/mine", None),
    ]
    assert [planned_base(f"olmo2@{name}", declared).provisional for name in ("one", "two", "mine")] == [
        True,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("checkpoint", "field", "says"),
    [
        ("{stage: early}", "revision", "missing: a model on the Hub has many. Name a branch, a tag or a commit."),
        ("{revision: ../v1}", "revision", "is no revision of a model."),
        ("{hub: mini, revision: v1}", "hub", "is no name of a model on the Hub. Write ORG/NAME."),
        ("{hub: lab/mini, folder: models/mine}", "hub", "both of hub and folder are declared. Declare one of them."),
        ("{folder: ../mine}", "folder", "leads out of the project."),
        (
            "{revision: v1, folder: models/mine}",
            "revision",
            "belongs to a model on the Hub, and this base is a folder.",
        ),
        ("{revision: v1, shape: {}}", "shape", "unknown field"),
    ],
)
def test_a_mistake_of_a_checkpoint_is_told_at_its_field(
    checkpoint: str, field: str, says: str, protocol_mistakes: Told
) -> None:
    (line,) = protocol_mistakes(TEXT.replace(OLMO2, f"{OLMO2}checkpoints: {{early: {checkpoint}}}, "))
    assert f" bases.olmo2.checkpoints.early.{field}: " in line
    assert says in line


def test_a_revision_of_a_folder_is_a_mistake(protocol_mistakes: Told) -> None:
    mine = OLMO2.replace("hub: lab/mini-olmo2, revision: main", "folder: models/mine")
    (line,) = protocol_mistakes(TEXT.replace(OLMO2, mine + EARLY))
    assert "bases.olmo2.checkpoints: early is a revision, and this base is a folder. Name its hub, or a folder." in line


def test_a_base_says_what_it_is(tmp_path: Path) -> None:
    llama = bases(tmp_path).bases["llama"]
    assert isinstance(llama, HubBase)
    assert (llama.place, llama.budget(), llama.in_words()) == (
        "lab/mini-llama@main",
        "2e+09 tokens",
        "lab/mini-llama@main",
    )
    assert llama.model_copy(update={"commit": COMMIT}).in_words() == "lab/mini-llama@main (c0ffee1234c0)"
