"""Every command that README and the pages show is executed, at protocol `smoke`, or is listed here with the reason.

All pages work in one project, as a reader would: files that a page shows under a title are written first, then its
commands run in a shell, in order. A fenced block says what it is: `sh` holds commands and nothing else, `text` output.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?$")

INSTALLS = "sets up an environment, which continuous integration does once"
THEIRS = "stands for a run of the reader's; tests/cli/test_adopting.py"
NOT_RUN = {
    "make install": INSTALLS,
    "make verdict": f"{INSTALLS}; `harness test`, which it calls then, is run on the claims of the tutorial",
    "make test": INSTALLS,
    "pip install rlvr-harness[s3]": INSTALLS,
    "source .venv/bin/activate": "there is no environment of the clone's own here: `harness` is on the path already",
    "harness pilot --protocol paper": "trains models of 8 billion parameters; tests/campaign/test_pilot.py has pilots",
    "harness test rank-collapse --protocol paper": "trains models of 8 billion parameters",
    "harness frontier --ranks 8,32,128 --scaling proportional,constant --figure frontier.pdf": "takes dozens of runs, "
    "minutes also at protocol smoke; tests/cli/test_frontier.py has frontiers",
    "harness new rank-64-is-safe": "the claim has been declared by then; tests/cli/test_new.py begins claims",
    "harness diagnose rank-64-is-safe": "the claim of add-a-hypothesis.md, which has this name, says nothing of what "
    "it believes; the tutorial runs it on one that does",
    "harness runs bundle rank-collapse": "needs the 60 runs of `make verdict`; how-to/bundle-a-verdict.md runs it on "
    "a claim of the tutorial",
    "harness spectra path/to/dora-adapter --against path/to/base": "stands for folders of the reader's; "
    "tests/cli/test_spectra.py has bases",
    "harness spectra ORG/NAME@main": "fetches from the Hub",
    "harness runs import outputs/qwen-grpo": f"{THEIRS} does with what TRL wrote",
    "harness runs import some-lab/qwen-grpo-lora": f"{THEIRS} fetches one of its own",
    "harness runs show qwen-grpo": f"{THEIRS} shows one",
    "harness runs compare qwen-grpo llama64-grpo-lora-r8": f"{THEIRS} compares",
    "harness db query 'SELECT run_id, step, reward FROM adopted_step'": f"{THEIRS} asks",
    "harness db query 'SELECT run_id, module, stable_rank FROM adopted_spectrum'": f"{THEIRS} asks",
    "harness spectra qwen-grpo": f"{THEIRS} measures",
    "harness test rank-collapse": "takes 60 runs; tests/exchange has runs by way of a bucket",
    "harness run rank-collapse --detach": "takes 60 runs; tests/cli/test_jobs.py leaves a command at work",
    "harness run rank-collapse --executor slurm --detach": "needs a SLURM; tests/execute/slurm has one",
    "harness logs RUN": "stands for a run of the reader's; tests/cli/test_jobs.py shows logs",
    "harness logs RUN -f": "stands for a run of the reader's; tests/cli/test_jobs.py follows a log",
    "harness cancel RUN": "stands for a run of the reader's; tests/cli/test_jobs.py calls runs off",
}
"""Commands that are shown and not executed, each with its reason. `harness test` of rank collapse without rivals takes
60 runs, minutes also at protocol smoke."""
EXITS = {"harness doctor --protocol paper": (0, 4)}
"""Exit codes that are right, where 0 is not the only one."""
AFTER = {
    "how-to/import-runs.md": ("how-to/add-a-hypothesis.md",),
    "how-to/bundle-a-verdict.md": ("tutorial.md",),
    "how-to/measure-spectra.md": ("tutorial.md",),
    "README.md": ("how-to/import-runs.md",),
    "reference/hypotheses.md": ("how-to/add-a-hypothesis.md",),
    "reference/code.md": ("how-to/add-a-hypothesis.md",),
    "reference/records.md": ("tutorial.md", "how-to/bundle-a-verdict.md", "how-to/measure-spectra.md"),
}
"""Which pages have to have been followed before a page: their claims, runs and tables are used on it."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Done:
    """What became of a command."""

    command: str
    code: int
    out: str


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    head: re.Match[str] | None = None
    lines: list[str] = []
    for line in page.read_text(encoding="utf-8").splitlines():
        if head is not None and line == "```":
            yield Block(head["language"], head["title"] or "", tuple(lines))
            head, lines = None, []
        elif head is not None:
            lines.append(line)
        elif line.lstrip().startswith("```"):
            head = FENCE.match(line)
            assert head is not None, f"{page}: {line!r} is no fence that this test reads"
    assert head is None, f"{page}: a block is not closed"


def commands(page: Path) -> list[str]:
    """Return the commands of a page, without their comments."""
    shown = (line for block in blocks(page) if block.language == "sh" for line in block.lines)
    return [" ".join(shlex.quote(w) if " " in w else w for w in shlex.split(line, comments=True)) for line in shown]


def name(page: Path) -> str:
    """Return a page as it is called here: within docs/, or README.md."""
    return str(page.relative_to(ROOT / "docs" if page.is_relative_to(ROOT / "docs") else ROOT))


@dataclass
class Reader:
    """Somebody who follows the pages, with a shell whose folder stays between commands."""

    home: Path
    followed: dict[str, list[Done]] = field(default_factory=dict[str, list[Done]])

    @property
    def project(self) -> Path:
        """The folder of the reader's claims."""
        return self.home / "my-claims"

    def follow(self, page: str) -> list[Done]:
        """Follow a page once, after those that it rests on, and return what became of its commands."""
        if page in self.followed:
            return self.followed[page]
        for earlier in AFTER.get(page, ("tutorial.md",) if page != "tutorial.md" else ()):
            self.follow(earlier)
        path = ROOT / "README.md" if page == "README.md" else ROOT / "docs" / page
        for block in blocks(path):
            if block.title:
                file = self.project / block.title
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text("\n".join(block.lines) + "\n")
        here = self.home / "clone" if page == "tutorial.md" else self.project
        done: list[Done] = []
        for command in commands(path):
            if command not in NOT_RUN:
                found, here = self.run(command, here)
                assert found.code in EXITS.get(command, (0,)), f"{page}: {command} exits {found.code}\n{found.out}"
                done.append(found)
        self.followed[page] = done
        return done

    def run(self, command: str, here: Path) -> tuple[Done, Path]:
        """Run one command in a folder; return what became of it, and the folder afterwards."""
        said = self.home / "folder"
        script = f"{self.meant(command)}\nstatus=$?\npwd > {said}\nexit $status"
        environment: Mapping[str, str] = {
            **{key: value for key, value in os.environ.items() if not key.startswith("HARNESS_")},
            "PATH": f"{self.home / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        }
        done = subprocess.run(["bash", "-c", script], cwd=here, env=environment, capture_output=True, text=True)
        return Done(command, done.returncode, done.stdout + done.stderr), Path(said.read_text().strip())

    def meant(self, command: str) -> str:
        """Return the command with what the page says that its placeholders stand for."""
        runs = sorted((self.project / ".harness" / "runs").glob("*-lora-r128-lrx0.1-*"))
        meant = {"RUN": runs[0].name, "path/to/adapter": str(runs[0] / "result")} if runs else {}
        return re.sub(r"\bRUN\b|path/to/adapter", lambda m: meant[m[0]], command)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    home = tmp_path_factory.mktemp("reader")
    for folder in ("clone", "bin"):
        (home / folder).mkdir()
    shim = home / "bin" / "harness"
    shim.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m harness "$@"\n')
    shim.chmod(0o755)
    return Reader(home)


def test_every_block_says_what_it_is_and_every_command_is_accounted_for() -> None:
    shown: set[str] = set()
    for page in PAGES:
        for block in blocks(page):
            assert block.language, f"{page}: a block without a language: {block.lines[:1]}"
            if block.language == "text":
                other = [line for line in block.lines if re.match(r"(harness|make|pip) [a-z]", line)]
                synopsis = page.name == "spectra.md" and len(other) == 1 and "|" in other[0]
                assert not other or synopsis, f"{page}: {other} look like commands. Make the block sh."
        shown |= set(commands(page))
    assert len(shown) > 30
    unknown = {command for command in shown - NOT_RUN.keys() if not re.match(r"(HARNESS_\w+=\S+ )?harness ", command)}
    assert unknown <= {
        "mkdir -p ../my-claims/hypotheses",
        "cd ../my-claims",
        "mkdir reader",
        "cd reader",
        "tar xzf small-steps-live.tar.gz -C reader --strip-components 1",
    }
    assert all(len(reason) > 15 for reason in NOT_RUN.values())
    optional = {"harness runs bundle rank-collapse", "make test"}
    assert NOT_RUN.keys() - shown <= optional, "listed as not run, and on no page"


def test_make_targets_that_are_shown_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert {"verdict", "install", "calibration"} <= set(re.findall(r"`?make ([a-z]+)`?", text)) & targets
    assert set(re.findall(r"`make ([a-z]+)`", text)) <= targets
    assert {
        command.split()[1] for page in PAGES for command in commands(page) if command.startswith("make ")
    } <= targets


@pytest.mark.slow
def test_the_tutorial_comes_out_as_it_says(reader: Reader) -> None:
    said = "\n".join(done.out for done in reader.follow("tutorial.md"))
    page = ROOT / "docs" / "tutorial.md"
    heads = [block.lines[0].split("   ")[0] for block in blocks(page) if block.language == "text"]
    assert len(heads) == 2
    assert all(head in said for head in heads)
    assert "Seen as claimed; the size of the steps would give the same" in said
    assert (reader.project / ".harness" / "report").is_dir()


@pytest.mark.slow
@pytest.mark.parametrize("page", [name(page) for page in PAGES if commands(page) and page.name != "tutorial.md"])
def test_commands_of_the_page_run(reader: Reader, page: str) -> None:
    done = reader.follow(page)
    path = ROOT / "README.md" if page == "README.md" else ROOT / "docs" / page
    assert [one.command for one in done] == [command for command in commands(path) if command not in NOT_RUN]
