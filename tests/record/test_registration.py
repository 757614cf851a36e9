"""Registrations stay what they were, whoever else writes, dies or tampers."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from threading import Barrier

import pytest

from harness.record.atomic import IntegrityError, read_json
from harness.record.clock import file_time
from harness.record.layout import Store
from harness.record.registration import Registration, amend, history, register, registered
from harness.spec import DeclarationError
from harness.spec.canonical import digest

RACE = """
import sys
from pathlib import Path
from harness.record.layout import Store
from harness.record.registration import register
print("ready", flush=True)
sys.stdin.readline()
print(register(Store(Path(sys.argv[1])), "claim", "tiny", sys.argv[2], {}).hash)
"""
KILLED = """
import os, sys
from pathlib import Path
from harness.record.layout import Store
from harness.record.registration import register

done = getattr(os, sys.argv[2])

def killed(what, *more, **named):
    if ".now-" in str(what):  # a look at the file server's clock
        return done(what, *more, **named)
    os.kill(os.getpid(), 9)

setattr(os, sys.argv[2], killed)
register(Store(Path(sys.argv[1])), "claim", "tiny", "hash-1", {"declaration": {"margin": 0.05}})
"""


def chain(store: Store) -> list[Registration]:
    """Register a claim and amend it twice."""
    found = [register(store, "claim", "tiny", "hash-1", {"declaration": {"margin": 0.05}})]
    for number in (2, 3):
        content = {"declaration": {"margin": 0.05 / number}}
        found.append(amend(store, found[-1], f"hash-{number}", content, block=f"block-{number}", reason="a slip"))
    return found


def test_the_first_one_stays_in_force(tmp_path: Path) -> None:
    store, before = Store(tmp_path), file_time(tmp_path)
    assert registered(store, "claim", "tiny") is None
    first = register(store, "claim", "tiny", "hash-1", {"declaration": {"margin": 0.05}})
    assert before <= first.registered_at <= time.time()
    assert register(store, "claim", "tiny", "hash-2", {"declaration": {"margin": 0.01}}) == first
    assert registered(store, "claim", "tiny") == first
    (file,) = tmp_path.rglob("*.json")
    assert read_json(file)["declaration"] == {"margin": 0.05}


def test_claims_and_protocols_are_registered_each_for_itself(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for claim, protocol in (("claim", "tiny"), ("claim", "smoke"), ("other", "tiny")):
        register(store, claim, protocol, f"{claim} {protocol}", {})
    assert [
        found.hash
        for claim, protocol in (("claim", "tiny"), ("claim", "smoke"), ("other", "tiny"))
        if (found := registered(store, claim, protocol)) is not None
    ] == ["claim tiny", "claim smoke", "other tiny"]


def test_racing_commands_agree_on_what_is_in_force(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RACE, str(tmp_path)]
    racers = [
        subprocess.Popen([*command, f"hash-{i}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for i in range(4)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    told = {racer.communicate("\n")[0].strip() for racer in racers}
    in_force = registered(Store(tmp_path), "claim", "tiny")
    assert in_force is not None
    assert told == {in_force.hash}


def test_a_registration_keeps_all_that_it_was_given(tmp_path: Path) -> None:
    content = {"declaration": {"margin": 0.05, "ranks": [8, 16]}, "protocol_declaration": {}, "evaluation_set": "e"}
    made = register(Store(tmp_path), "claim", "tiny", "hash-1", content, block="late")
    assert asdict(made) | {"registered_at": 0, "seal": ""} == {
        "hypothesis": "claim",
        "protocol": "tiny",
        "hash": "hash-1",
        "registered_at": 0,
        "number": 1,
        "block": "late",
        "reason": None,
        "content": content,
        "seal": "",
    }
    assert (tmp_path / "registrations" / "tiny" / "claim" / "0001.json").is_file()


def test_an_amendment_is_in_force_and_leaves_the_first_to_the_byte(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = register(store, "claim", "tiny", "hash-1", {"declaration": {"margin": 0.05}})
    (file,) = tmp_path.rglob("*.json")
    before = (file.read_bytes(), file.stat().st_mtime_ns)
    second = amend(store, first, "hash-2", {"declaration": {"margin": 0.01}}, block="late", reason="margin was a slip")
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before
    assert (second.number, second.hash, second.block, second.reason) == (2, "hash-2", "late", "margin was a slip")
    assert first.registered_at <= second.registered_at <= time.time()
    assert registered(store, "claim", "tiny") == second
    assert history(store, "claim", "tiny") == (first, second)
    assert register(store, "claim", "tiny", "hash-3", {}) == second


def test_of_amendments_at_one_moment_one_wins_and_the_other_is_told(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = register(store, "claim", "tiny", "hash-1", {})
    second = amend(store, first, "hash-2", {}, block="late", reason="margin was a slip")
    assert amend(store, first, "hash-2", {}, block="late", reason="the same, a moment later") == second
    with pytest.raises(DeclarationError, match="claim: registration 2 was made meanwhile, of another declaration"):
        amend(store, first, "hash-3", {}, block="late", reason="another, a moment later")
    assert history(store, "claim", "tiny") == (first, second)


def test_racing_threads_agree_on_what_is_in_force(tmp_path: Path) -> None:
    store = Store(tmp_path)
    together = Barrier(8)

    def racer(i: int) -> tuple[Registration, Registration]:
        together.wait()
        first = register(store, "claim", "tiny", f"hash-{i}", {"long": "x" * 50_000})
        together.wait()
        return first, amend(store, first, "amended", {"long": "y" * 50_000}, block="late", reason=f"by thread {i}")

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(racer, range(8)))
    assert [list(found) for found in told] == [list(history(store, "claim", "tiny"))] * 8
    assert sorted(path.name for path in (tmp_path / "registrations/tiny/claim").iterdir()) == ["0001.json", "0002.json"]


@pytest.mark.parametrize("moment", ["fsync", "link", "unlink"])
def test_a_writer_that_is_killed_leaves_a_whole_registration_or_none(tmp_path: Path, moment: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), moment], check=False)
    assert done.returncode == -9
    assert any(path.name.startswith(".") for path in (tmp_path / "registrations/tiny/claim").iterdir())
    store = Store(tmp_path)
    found = registered(store, "claim", "tiny")
    if moment == "unlink":  # after the link, which is the commit
        assert found is not None
        assert found.content == {"declaration": {"margin": 0.05}}
    else:
        assert found is None
    again = register(store, "claim", "tiny", "hash-1", {"declaration": {"margin": 0.05}})
    assert history(store, "claim", "tiny") == (again,)
    assert found in (None, again)


def rewritten(change: Callable[[dict[str, object]], None], name: str = "0002.json") -> Callable[[Path], None]:
    def tamper(folder: Path) -> None:
        record = json.loads((folder / name).read_text())
        change(record)
        (folder / name).write_text(json.dumps(record))

    return tamper


def resealed(record: dict[str, object]) -> None:
    record["reason"] = "a better reason"
    del record["seal"]
    record["seal"] = digest(record)


TAMPERED: list[tuple[Callable[[Path], object], str]] = [
    (lambda folder: (folder / "0002.json").write_text('{"cut'), "0002.json: is damaged"),
    (lambda folder: (folder / "0002.json").write_text("[1, 2]"), "0002.json: is damaged"),
    (lambda folder: (folder / "0002.json").write_text("{}"), "0002.json: is damaged"),
    (lambda folder: (folder / "0002.json").write_bytes(b"\xff"), "0002.json: is damaged"),
    (rewritten(lambda record: record.update(registered_at=1.0)), "0002.json: is not what was registered there"),
    (rewritten(lambda record: record.update(declaration={})), "0002.json: is not what was registered there"),
    (rewritten(lambda record: record.update(more=1)), "0002.json: is not what was registered there"),
    (rewritten(resealed), "0003.json: is not what was registered there"),
    (lambda folder: (folder / "0001.json").unlink(), "0002.json: stands where 0001.json belongs"),
    (lambda folder: (folder / "0002.json").unlink(), "0003.json: stands where 0002.json belongs"),
    (lambda folder: (folder / "0003.json").rename(folder / "0004.json"), "0004.json: stands where 0003.json"),
    (lambda folder: (folder / "0003.json").rename(folder / "0002.json"), "0002.json: is not what was registered"),
    (lambda folder: (folder / "0001.json").rename(folder / "1.json"), "0002.json: stands where 0001.json belongs"),
    (lambda folder: shutil.copy(folder / "0003.json", folder / "0004.json"), "0004.json: is not what was"),
]


@pytest.mark.parametrize(("tamper", "named"), TAMPERED)
def test_what_was_tampered_with_is_named(tmp_path: Path, tamper: Callable[[Path], object], named: str) -> None:
    store = Store(tmp_path)
    made = chain(store)
    assert history(store, "claim", "tiny") == tuple(made)
    folder = tmp_path / "registrations" / "tiny" / "claim"
    tamper(folder)
    for reader in (history, registered):
        with pytest.raises(IntegrityError, match=named) as caught:
            reader(store, "claim", "tiny")
        assert str(caught.value).startswith(f"{folder}/0")


def test_a_registration_of_another_claim_is_not_taken(tmp_path: Path) -> None:
    store = Store(tmp_path)
    chain(store)
    shutil.copytree(tmp_path / "registrations/tiny/claim", tmp_path / "registrations/tiny/other")
    with pytest.raises(IntegrityError, match=r"other/0001\.json: is not what was registered there"):
        registered(store, "other", "tiny")
