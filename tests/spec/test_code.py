"""Code that a declaration names: found and hashed without being run, and refused without permission."""

import hashlib
from pathlib import Path

import pytest

from harness.spec import CustomTask, DeclarationError, Protocol, load_hypothesis, load_protocol
from harness.spec.code import CodeError, is_code, read, source_file

POCKET = (Path(__file__).parents[1] / "pocket.yaml").read_text()
ADDITION = "  name: addition\n  largest_operand: 31          # 1,024 problems, the fewest that leave some beside what is held out\n"  # noqa: E501 (as it stands there)
CUSTOM = '  name: custom\n  code: tasks:products\n  alphabet: "0123456789*="\n  longest_answer: 2\n'
REWARD = "  lora_dropout: 0.0\n  reward: deep.rewards:near\n"
OWN = POCKET.replace(ADDITION, CUSTOM).replace("  lora_dropout: 0.0\n", REWARD)
TRAP = 'from pathlib import Path\nPath(__file__).with_name("ran").touch()\n'
TASKS = f"{TRAP}def products():\n    return []\n"
REWARDS = f"{TRAP}def near(completion, answer):\n    return 1.0\n"
NO_PERMISSION = "is code, which runs only with permission. Read it, then repeat with --allow-code."


@pytest.fixture
def root(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    (project / "deep").mkdir(parents=True)
    (project / "tasks.py").write_text(TASKS)
    (project / "deep" / "rewards.py").write_text(REWARDS)
    return project


def line(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def load(tmp_path: Path, text: str, code_root: Path | None = None) -> Protocol:
    (tmp_path / "p.yaml").write_text(text)
    return load_protocol(tmp_path / "p.yaml", "p.yaml", code_root)


def told(tmp_path: Path, text: str, code_root: Path | None = None) -> list[str]:
    with pytest.raises(DeclarationError) as caught:
        load(tmp_path, text, code_root)
    assert not list(tmp_path.rglob("ran"))
    return caught.value.lines


def test_a_module_is_a_file_below_the_project(root: Path) -> None:
    assert source_file(root, "tasks:products") == root / "tasks.py"
    assert source_file(root, "deep.rewards:whatever") == root / "deep" / "rewards.py"


@pytest.mark.parametrize("name", ["absent:f", "deep:f", "deep.absent:f", "tasks.products:f"])
def test_a_module_without_a_file_is_told_with_the_file_it_would_be(root: Path, name: str) -> None:
    relative = name.partition(":")[0].replace(".", "/") + ".py"
    with pytest.raises(CodeError, match=f"is in {relative}, which is no file of the project {root}"):
        source_file(root, name)


@pytest.mark.parametrize(
    "name", ["../tasks:f", "/etc/passwd:f", "a/b:f", ".tasks:f", "tasks.:f", "a..b:f", "a.1:f", "tasks", "tasks:", ":f"]
)
def test_only_words_with_dots_are_modules(root: Path, name: str) -> None:
    (root / "a").mkdir()
    for file in ("a/b.py", "a/1.py", "a/.b.py"):
        (root / file).write_text(TASKS)
    with pytest.raises(CodeError, match="is no name of a function"):
        source_file(root, name)


def test_no_link_leads_out_of_the_project(root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "far.py").write_text(TASKS)
    (root / "far.py").symlink_to(tmp_path / "outside" / "far.py")
    (root / "out").symlink_to(tmp_path / "outside", target_is_directory=True)
    (root / "near.py").symlink_to(root / "tasks.py")
    (root / "loop.py").symlink_to(root / "loop.py")
    for name in ("far:products", "out.far:products"):
        with pytest.raises(CodeError, match=r"leads out of the project. Copy the file in."):
            source_file(root, name)
    with pytest.raises(CodeError, match="no file of the project"):
        source_file(root, "loop:products")
    assert read(root, "near:products").content == TASKS.encode()
    (tmp_path / "link").symlink_to(root, target_is_directory=True)  # a project may itself be reached by one
    assert read(tmp_path / "link", "tasks:products").content == TASKS.encode()


def test_the_hash_is_of_the_bytes_and_nothing_is_run(root: Path) -> None:
    assert read(root, "tasks:products").sha256 == hashlib.sha256(TASKS.encode()).hexdigest()
    (root / "tasks.py").write_text(TASKS + "#")
    assert read(root, "tasks:products").sha256 == hashlib.sha256(TASKS.encode() + b"#").hexdigest()
    assert not (root / "ran").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def other(): ...\ndef more(): ...\n", "has no `def f` in m.py. Functions there: other, more. Write it"),
        ("from os import getcwd as f\n", "Functions there: none."),  # whose code would not be hashed
        ("f = print\n", "Functions there: none."),
        ("async def f(): ...\n", "Functions there: none."),
        ("class C:\n    def f(self): ...\n", "Functions there: none."),
        ("x = 1\ndef f(:\n", "is in m.py:2, which is no Python: invalid syntax. Mend it."),
        ("(" * 10_000, "which is no Python: "),
        ("def f(): ...\0", "which is no Python: "),
    ],
)
def test_a_function_is_a_def_of_the_file(root: Path, text: str, says: str) -> None:
    (root / "m.py").write_text(text)
    with pytest.raises(CodeError) as caught:
        read(root, "m:f")
    assert says in str(caught.value)


def test_without_permission_every_name_is_refused_on_its_line_and_no_file_is_looked_at(tmp_path: Path) -> None:
    task, reward = line(OWN, "code: tasks"), line(OWN, "reward: deep")
    assert told(tmp_path, OWN) == [
        f'p.yaml:{task} task.code: "tasks:products" {NO_PERMISSION}',
        f'p.yaml:{reward} recipe.reward: "deep.rewards:near" {NO_PERMISSION}',
    ]
    only = POCKET.replace("  lora_dropout: 0.0\n", REWARD)
    (said,) = told(tmp_path, only)
    assert said == f'p.yaml:{line(only, "reward: deep")} recipe.reward: "deep.rewards:near" {NO_PERMISSION}'


CLAIM = """\
title: A claim
claim: Rank 16 loses less than ten points against rank 8.
source: these tests
design: {seeds: 5}
predictions:
  - {id: own, kind: custom, role: primary, statement: The estimand lies above one., direction: above, value: 1.0,
     rationale: One is what a user would notice., among: {rank: [8]},
     estimand: "tasks:products"}
  - {id: on-own, kind: non_inferiority, role: primary, statement: Rank 16 keeps up with rank 8., margin: 0.1,
     rationale: Ten points are what a user would notice., a: {rank: 16}, b: {rank: 8},
     measure: "tasks:products"}
"""


def test_a_claim_that_names_code_is_refused_likewise(tmp_path: Path) -> None:
    (tmp_path / "h.yaml").write_text(CLAIM)
    with pytest.raises(DeclarationError) as caught:
        load_hypothesis(tmp_path / "h.yaml", "h.yaml")
    for number, field in ((8, "predictions[0].estimand"), (11, "predictions[1].measure")):
        assert f'h.yaml:{number} {field}: "tasks:products" {NO_PERMISSION}' in caught.value.lines


def test_with_permission_the_hashes_are_filled_in_and_nothing_is_run(root: Path, tmp_path: Path) -> None:
    protocol = load(tmp_path, OWN, root)
    assert isinstance(protocol.task, CustomTask)
    assert protocol.task.root == root
    assert protocol.task.sha256 == hashlib.sha256(TASKS.encode()).hexdigest()
    assert protocol.recipe.reward_sha256 == hashlib.sha256(REWARDS.encode()).hexdigest()
    assert not list(tmp_path.rglob("ran"))


def test_the_permission_is_not_part_of_what_is_declared(root: Path, tmp_path: Path) -> None:
    task = load(tmp_path, OWN, root).task
    assert isinstance(task, CustomTask)
    assert str(root) not in task.model_dump_json()
    assert CustomTask.model_validate_json(task.model_dump_json()).root is None
    kept = task.model_copy(update={"split_seed": 1})  # as a pilot does
    assert (kept.root, kept.sha256) == (root, task.sha256)
    for field in ("root", "_root"):
        assert "unknown field" in told(tmp_path, OWN.replace("  code:", f"  {field}: /\n  code:"), root)[0]


def test_a_declared_hash_holds_the_file_to_it(root: Path, tmp_path: Path) -> None:
    right, wrong = hashlib.sha256(TASKS.encode()).hexdigest(), "0" * 64
    pinned = OWN.replace("  alphabet", f"  sha256: {right}\n  alphabet")
    assert load(tmp_path, pinned, root) == load(tmp_path, OWN, root)
    (said,) = told(tmp_path, pinned.replace(right, f'"{wrong}"'), root)
    assert said.startswith(f"p.yaml:{line(pinned, 'sha256')} task.sha256: ")
    assert f"is not the hash of the file, {right}." in said
    (said,) = told(tmp_path, OWN.replace(REWARD, f'{REWARD}  reward_sha256: "{wrong}"\n'), root)
    assert "recipe.reward_sha256: " in said
    (said,) = told(tmp_path, POCKET.replace("lora_dropout: 0.0", f'lora_dropout: 0.0\n  reward_sha256: "{wrong}"'))
    assert "recipe.reward_sha256: is the hash of no reward." in said


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("tasks:products", "absent:products", "task.code: \"absent:products\" is in absent.py, which is no file"),
        ("tasks:products", "tasks:sums", 'task.code: "tasks:sums" has no `def sums` in tasks.py. Functions there: pro'),
        ("deep.rewards:near", "deep.rewards:far", 'recipe.reward: "deep.rewards:far" has no `def far`'),
        ("tasks:products", "tasks", 'task.code: "tasks" names no function of a file. Write module:function'),
        ("tasks:products", "../tasks:products", 'task.code: "../tasks:products" names no function of a file.'),
        ("tasks:products", "[tasks]", 'task.code: ["tasks"] is not text.'),
        ("  code: tasks:products\n", "", "task.code: missing. Add this field."),
        ("longest_answer: 2", "longest_answer: 3", "grpo.max_completion_length: 3 tokens have no room for an answer"),
        ("longest_answer: 2", "longest_answer: 62", "task.longest_answer: 62 is out of range"),
        ("*=\"", "*=1\"", 'task.alphabet: "0123456789*=1" repeats "1". Name each character once.'),
        ("*=\"", "*=\\n\"", "holds a character that cannot be printed. Leave it out."),
        ('"0123456789*="', '""', "task.alphabet: \"\" is too short"),
        ("  code: tasks", "  sha256: x\n  code: tasks", 'task.sha256: "x" is no SHA-256 of 64 hexadecimal digits.'),
    ],
)  # fmt: skip
def test_a_mistake_is_told_once_with_its_field(root: Path, tmp_path: Path, old: str, new: str, says: str) -> None:
    assert OWN.count(old) == 1
    (said,) = told(tmp_path, OWN.replace(old, new), root)
    assert says in said
    assert said.endswith(".")


def test_a_protocol_without_code_is_the_same_with_permission_and_without(root: Path, tmp_path: Path) -> None:
    plain = load(tmp_path, POCKET)
    assert load(tmp_path, POCKET, root) == plain
    assert set(plain.recipe.model_dump(mode="json")) == {"scaling", "target_modules", "lora_dropout"}


@pytest.mark.parametrize(("name", "code"), [("a:b", True), ("a.b_2:c3", True), ("accuracy", False), ("a: b", False)])
def test_what_has_the_form_of_a_name(name: str, code: bool) -> None:
    assert is_code(name) is code
