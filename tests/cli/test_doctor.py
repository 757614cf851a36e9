"""What `harness doctor` says of a machine; nothing beyond this one is asked."""

import errno
import json
import os
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.campaign import filesystem, machine, reachable
from harness.campaign.filesystem import Check, clock_difference, lock_warning, mount_of
from harness.campaign.machine import outside

if TYPE_CHECKING:
    from tests.conftest import Hub, Made

Call = Callable[..., Any]
FOUND = (Path(__file__).parents[1] / "found.yaml").read_text(encoding="utf-8")
HARDWARE = """
hardware: {gpu: T4, memory_gib: 15.0, flops: 65.0e12, utilisation: 0.3, bandwidth: 3.2e11, decode_utilisation: 0.4,
  prompt_tokens: 6, longest_prompt: 8, completion_tokens: 3, fixed_minutes: 1.0, source: supposed for these tests}
"""


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ask no Hub, look into an empty cache, see no GPU, and know no engine."""
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("shutil.which", no_tool)


def no_tool(_: str) -> None:
    """Find no tool."""


def by_name(said: Any) -> dict[str, Any]:
    return {check["name"]: check for check in said.json["checks"]}


def test_it_looks_at_everything_and_leaves_nothing_behind(harness: Call, made: "Made") -> None:
    said = harness("doctor", "--json")
    assert said.code == 0
    checks = by_name(said)
    assert list(checks) == [
        *("python", "packages", "cores", "memory", "gpus", "store", "disk", "locks", "clock", "access", "space"),
        *("local", "slurm", "ray", "hub", "token", "optional"),
    ]
    assert (checks["python"]["ok"], checks["store"]["ok"], checks["locks"]["ok"]) == (True, True, True)
    assert checks["gpus"]["said"] == "none"
    assert checks["hub"]["said"].endswith("does not answer")
    assert not made.store.root.exists()
    assert not list(made.root.glob(".doctor-*"))
    assert said.json["protocols"]["bench"] == {"able": True, "missing": [], "notes": []}
    assert "ok  protocol  bench" in harness("doctor").out


def test_a_protocol_that_cannot_run_here_exits_4_and_says_what_is_missing(harness: Call, made: "Made") -> None:
    made.declare("runs/far.yaml", FOUND + HARDWARE)
    said = harness("doctor", "--protocol", "far")
    assert said.code == 4
    assert "NO  protocol  far cannot run here" in said.out
    assert "no GPU is seen; a run on llama takes about" in said.out
    assert "the Hub does not answer, and lab/mini-llama@main is not in" in said.out
    assert harness("doctor", "--protocol", "bench").code == 0
    assert harness("doctor").code == 0  # which was asked for none
    assert harness("doctor", "--protocol", "nowhere").code == 2


def test_a_mistaken_protocol_is_told_and_the_others_looked_at(harness: Call, made: "Made") -> None:
    made.declare("runs/bad.yaml", "title: x\n")
    said = harness("doctor", "--json")
    assert said.code == 0
    assert "bad" not in said.json["protocols"]
    assert "bad: runs/bad.yaml:1" in said.err


def test_a_token_is_never_printed(harness: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijkl")
    monkeypatch.setenv("WANDB_API_KEY", "planted-elsewhere")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://ann:planted-too@hub.example")
    for said in (harness("doctor"), harness("doctor", "--json")):
        assert "for the Hub: present; variables: " in said.out
        assert "HF_TOKEN" in said.out and "WANDB_API_KEY" in said.out
        assert "https://[secret]@hub.example does not answer" in said.out
        assert "hf_abc" not in said.out + said.err
        assert "planted" not in said.out + said.err


def denied(folder: Path) -> bool:
    """Answer for folders as one that may not be entered does for those below it."""
    if folder.name == "exchange":
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return folder.exists()


def test_an_exchange_is_tried_and_left_as_it_was(harness: Call, made: "Made", tmp_path: Path) -> None:
    folder = tmp_path / "exchange"
    settings = made.root / "pyproject.toml"
    settings.write_text(f'{settings.read_text()}exchange = "file://{folder}"\n')
    absent = by_name(harness("doctor", "--json"))["exchange"]
    assert absent["ok"] is False and absent["said"] == f"file://{folder}: no such folder. Make it, or mend the setting."
    folder.mkdir()
    found = by_name(harness("doctor", "--json"))["exchange"]
    assert found == {"name": "exchange", "ok": True, "said": f"file://{folder} creates on condition"}
    assert not list(folder.iterdir())
    assert harness("doctor", "--protocol", "bench").code == 0
    made.store.root.mkdir()
    for inside, told in ((folder / "gone", "no such folder"), (made.store.root, "lies in the store, whose records")):
        made.declare("pyproject.toml", settings.read_text().replace(f"{folder}", f"{inside}"))
        refused = harness("doctor", "--protocol", "bench")
        assert refused.code == 4 and f"file://{inside}: {told}" in refused.out
        assert f"exchange file://{inside}: {told}" in harness("run", "live").err
        made.declare("pyproject.toml", settings.read_text().replace(f"{inside}", f"{folder}"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "is_dir", denied)
        assert by_name(harness("doctor", "--json"))["exchange"]["said"].startswith(
            f"file://{folder}: Permission denied. "
        )
    settings.write_text(settings.read_text().replace("file://", "s3://user:hunter2@"))
    refused = harness("doctor", "--json")
    assert by_name(refused)["exchange"]["ok"] is False
    assert "hunter2" not in refused.out + refused.err


def test_a_store_that_takes_no_files_is_told(harness: Call, made: "Made", monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    check = by_name(harness("doctor", "--json"))["store"]
    assert check["ok"] is False
    assert check["said"].endswith("Operation not permitted. Choose another --store.")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("granted", "two processes hold one lock at once"),
        ("Function not implemented", "Function not implemented"),
        ("No locks available", "No locks available"),
    ],
)
def test_a_disk_without_locks_is_told_and_what_that_costs(
    harness: Call, made: "Made", monkeypatch: pytest.MonkeyPatch, answer: str, told: str
) -> None:
    def asked(_: Path) -> str:
        return answer

    assert lock_warning(made.store.root) is None
    monkeypatch.setattr(filesystem, "second_lock", asked)
    check = by_name(harness("doctor", "--json"))["locks"]
    assert check["ok"] is False
    assert f"{made.store.root}: {told}. The store works without locks, but a run that was killed" in check["said"]
    warned = lock_warning(made.store.root)
    assert warned is not None and warned.startswith(f"{made.store.root}: no locks here ({told}). The store works")
    assert len(warned.splitlines()) == 1


def test_a_second_process_is_refused_a_lock_and_granted_a_free_one(tmp_path: Path) -> None:
    """What the answer rests on: on a disk with locks they hold between processes."""
    import fcntl

    file = tmp_path / "lock"
    with file.open("w") as held:
        assert filesystem.second_lock(file) == "granted"
        fcntl.flock(held, fcntl.LOCK_EX)
        assert filesystem.second_lock(file) == "refused"
    assert filesystem.second_lock(file) == "granted"


@pytest.mark.parametrize("option", filesystem.HOST_ONLY)
def test_a_network_disk_whose_locks_end_at_the_host_is_told(
    harness: Call, made: "Made", monkeypatch: pytest.MonkeyPatch, tmp_path: Path, option: str
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"rootfs / ext4 rw 0 0\nserver:/lab {made.root} nfs4 rw,vers=4.2,{option},hard 0 0\n")
    monkeypatch.setattr(filesystem, "MOUNTS", mounts)
    checks = by_name(harness("doctor", "--json"))
    assert checks["disk"]["said"] == f"nfs4, mounted at {made.root}"
    assert checks["locks"] == {
        "name": "locks",
        "ok": None,
        "said": f"hold between processes of one host only ({option}); hosts go by signs of life",
    }


def test_the_nearest_mount_is_meant_also_with_a_space_in_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my lab" / "store"
    folder.mkdir(parents=True)
    mounts, point = tmp_path / "mounts", str(tmp_path / "my lab").replace(" ", "\\040")
    mounts.write_text(
        f"/dev/a / ext4 rw 0 0\nserver {point} lustre rw,flock 0 0\nx {tmp_path}/my tmpfs rw 0 0\nshort\n"
    )
    monkeypatch.setattr(filesystem, "MOUNTS", mounts)
    found = mount_of(folder)
    assert found is not None and (found.kind, found.options) == ("lustre", ("rw", "flock"))
    monkeypatch.setattr(filesystem, "MOUNTS", tmp_path / "none")
    assert mount_of(folder) is None


def test_a_disk_whose_links_or_renames_replace_what_is_there_is_told(
    harness: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes())

    with monkeypatch.context() as patched:
        patched.setattr(os, "link", copy)
        assert "a link replaces a file that is there" in by_name(harness("doctor", "--json"))["store"]["said"]

    def swap(source: Path, target: Path) -> None:
        if target.exists():
            (target / "held").unlink()
            target.rmdir()
        source.replace(target)

    monkeypatch.setattr(os, "rename", swap)
    assert "a rename replaces a folder that is there" in by_name(harness("doctor", "--json"))["store"]["said"]


@pytest.mark.parametrize(("ahead", "told"), [(90.0, "90 s ahead of"), (-3600.0, "3600 s behind")])
def test_a_clock_that_differs_from_the_files_is_told(
    harness: Call, monkeypatch: pytest.MonkeyPatch, ahead: float, told: str
) -> None:
    """The file server's clock is moved by moving this host's the other way."""
    now = filesystem.time.time

    def moved() -> float:
        return now() - ahead

    monkeypatch.setattr(filesystem.time, "time", moved)
    check = by_name(harness("doctor", "--json"))["clock"]
    assert check["ok"] is False
    assert check["said"].startswith(f"the files' is {told} this host's.")


def test_clocks_that_agree_differ_by_nothing(tmp_path: Path) -> None:
    assert abs(clock_difference(tmp_path)) < 1.0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("mode", "ok", "told"),
    [
        (0o700, True, "you alone may write"),
        (0o755, True, "you alone may write, others may read"),
        (0o2770, True, "you and its group may write"),
        (0o777, False, "everybody on this machine may write there, and so plant or remove results."),
        (0o1777, False, "everybody on this machine may write there"),
    ],
)
def test_who_may_write_into_a_store_is_told(harness: Call, made: "Made", mode: int, ok: bool, told: str) -> None:
    made.store.root.mkdir()
    made.store.root.chmod(mode)
    check = by_name(harness("doctor", "--json"))["access"]
    assert check["ok"] is ok
    assert told in check["said"]
    assert stat.S_IMODE(made.store.root.stat().st_mode) == mode


def test_a_folder_in_the_store_that_is_open_to_all_is_told(harness: Call, made: "Made") -> None:
    made.store.runs.mkdir(parents=True)
    made.store.runs.chmod(0o777)
    assert by_name(harness("doctor", "--json"))["access"]["said"].startswith(f"{made.store.runs}: everybody")


SCONTROL = """#!/bin/sh
[ "$1" = ping ] && echo "Slurmctld(primary) at head is UP" && exit 0
exit 1
"""
SINFO = "#!/bin/sh\nprintf 'gpu\\ncpu\\n'\n"


def site(folder: Path, monkeypatch: pytest.MonkeyPatch, **tools: str) -> None:
    """Put a site's tools alone on the path."""
    for name, text in tools.items():
        tool = folder / name
        tool.write_text(text)
        tool.chmod(0o755)

    def which(name: str) -> str | None:
        return str(folder / name) if (folder / name).exists() else None

    monkeypatch.setattr("shutil.which", which)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("scontrol", "settings", "ok", "told"),
    [
        (SCONTROL, "", True, "the controller answers; partitions cpu, gpu"),
        (SCONTROL, 'slurm.partition = "gpu"', True, "the controller answers; partitions cpu, gpu"),
        (
            SCONTROL,
            'slurm.partition = "a100"',
            False,
            "answers, and has no partition a100 of [tool.harness.slurm], only",
        ),
        ("#!/bin/sh\necho 'Slurmctld(primary) at head is DOWN'", "", None, "the controller does not answer: Slurmctld"),
        ("#!/bin/sh\necho 'is DOWN'", 'executor = "slurm"', False, "the controller does not answer: is DOWN"),
        ("#!/bin/sh\nexit 3", "", None, "the controller does not answer: exit 3"),
        ("#!/bin/sh\nexec sleep 60", "", None, "the controller does not answer: nothing within 0.3 s"),
    ],
)
def test_slurm_is_asked_and_told(
    harness: Call, made: "Made", tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    scontrol: str, settings: str, ok: bool | None, told: str
) -> None:  # fmt: skip
    (tmp_path / "bin").mkdir()
    site(tmp_path / "bin", monkeypatch, scontrol=scontrol, sinfo=SINFO)
    monkeypatch.setattr(reachable, "SECONDS", 0.3 if "sleep" in scontrol else 10.0)
    made.declare("pyproject.toml", f'[tool.harness]\nprotocol = "bench"\n{settings}\n')
    check = by_name(harness("doctor", "--json"))["slurm"]
    assert (check["ok"], check["said"][: len(told)]) == (ok, told)
    wanted = 'executor = "slurm"' in settings
    assert harness("doctor", "--protocol", "bench").code == (4 if wanted and ok is False else 0)


def test_without_slurm_only_a_project_that_wants_it_lacks_something(harness: Call, made: "Made") -> None:
    assert by_name(harness("doctor", "--json"))["slurm"]["ok"] is None
    made.declare("pyproject.toml", '[tool.harness]\nprotocol = "bench"\nexecutor = "slurm"\n')
    check = by_name(harness("doctor", "--json"))["slurm"]
    assert (check["ok"], check["said"]) == (False, "no scontrol on PATH, though the project's executor")


@pytest.mark.parametrize(
    ("answer", "ok", "told"),
    [
        (json.dumps({"version": "4", "ray_version": "2.60.0"}).encode(), True, "answers, ray 2.60.0"),
        (b"<html>", None, "answers, but is no dashboard of Ray"),
        (b"[]", None, "answers, but is no dashboard of Ray"),
        (None, None, "does not answer: Not Found"),
    ],
)
def test_ray_is_asked_and_told(
    harness: Call, hub: "Hub", monkeypatch: pytest.MonkeyPatch, answer: bytes | None, ok: bool | None, told: str
) -> None:
    """The server of the tests plays the dashboard."""

    def dashboard(path: str) -> tuple[int, dict[str, str], bytes]:
        assert path == "/api/version"
        return (404, {}, b"") if answer is None else (200, {}, answer)

    monkeypatch.setattr(hub, "answer", dashboard)
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", hub.url + "/")
    check = by_name(harness("doctor", "--json"))["ray"]
    assert check["ok"] is ok
    assert check["said"] == f"{hub.url.removeprefix('http://')} {told}"


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("http://ann:planted@127.0.0.1:9", "127.0.0.1:9 does not answer"),
        ("ray://127.0.0.1:9", "its address is none of a dashboard."),
        ("file:///etc/passwd", "its address is none of a dashboard."),
        ("http://[", "its address is none of a dashboard."),
    ],
)
def test_an_address_that_is_none_is_told_without_its_password(
    harness: Call, made: "Made", monkeypatch: pytest.MonkeyPatch, address: str, told: str
) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", address)
    made.declare("pyproject.toml", '[tool.harness]\nprotocol = "bench"\nexecutor = "ray"\n')
    said = harness("doctor", "--json")
    check = by_name(said)["ray"]
    assert (check["ok"], check["said"][: len(told)]) == (False, told)
    assert "planted" not in said.out


def test_a_port_that_does_not_speak_http_is_no_dashboard(harness: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as that of Ray's own protocol."""

    def say(listener: socket.socket) -> None:
        asked, _ = listener.accept()
        with asked:
            asked.recv(1024)
            asked.sendall(b"\x00\x00\x12\x04\x00 PRI\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=say, args=(listener,))
        thread.start()
        place = f"127.0.0.1:{listener.getsockname()[1]}"
        monkeypatch.setenv("RAY_API_SERVER_ADDRESS", f"http://{place}")
        check = by_name(harness("doctor", "--json"))["ray"]
        thread.join()
    assert (check["ok"], check["said"]) == (None, f"{place} answers, but is no dashboard of Ray")


@pytest.mark.parametrize(
    ("installed", "wanted", "is_outside"),
    [
        ("2.13.0", ">=2.13,<3", False),
        ("2.13.0+cpu", ">=2.13,<3", False),
        ("2.12.9", ">=2.13,<3", True),
        ("3.0", ">=2.13,<3", True),
        ("3.0.1", ">=2.13,<3", True),
        ("1.16.0", ">=1.16,<1.17", False),
        ("1.17", ">=1.16,<1.17", True),
        ("0.21.10", ">=0.21.2,<0.22", False),
        ("6.0.3", "==6.0.3", False),
    ],
)
def test_versions_are_compared_by_their_numbers(installed: str, wanted: str, is_outside: bool) -> None:
    assert outside(installed, wanted) is is_outside


def test_packages_outside_their_range_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = ["torch<3,>=2.13", "absent-thing>=1", 'pytest>=9; extra == "dev"', "trl<1.17,>=1.16"]
    found = {"torch": "1.0", "trl": "1.16.0"}

    def requires(_: str) -> list[str]:
        return needed

    monkeypatch.setattr(machine, "requires", requires)
    monkeypatch.setattr(machine, "_version", found.get)
    (check,) = machine._versions()  # pyright: ignore[reportPrivateUsage]
    assert check == Check("packages", False, "torch 1.0 is outside <3,>=2.13; absent-thing is missing (>=1)")


def test_the_driver_s_list_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA H200, 143771'\necho 'Tesla, T4, 15360'\n")
    tool.chmod(0o755)

    def which(_: str) -> str:
        return str(tool)

    monkeypatch.setattr("shutil.which", which)
    assert machine.look().gpus == (("NVIDIA H200", 143771 / 1024), ("Tesla, T4", 15.0))


def test_a_hub_that_answers_is_told_from_one_that_does_not(hub: "Hub", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    assert machine.hub_answers()  # that it knows no such page is an answer
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert not machine.hub_answers()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"file://{hub.url}")
    assert not machine.hub_answers()
