"""What the operating system says of processes: descendants, memory, and those that it killed for want of memory."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.record import process
from harness.record.process import descends_from, family, memory, oom_kills, threads

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")

V1 = "12:pids:/user.slice\n4:memory:/slurm/uid_0/job_3\n1:name=systemd:/init.scope\n0::/init.scope\n"
V2 = "0::/kubepods.slice/pod7\n"
OOM_CONTROL = "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n"  # memory.oom_control of Linux 4.13 and later
EVENTS = "low 0\nhigh 0\nmax 31\noom 6\noom_kill 5\noom_group_kill 0\n"  # memory.events
VMSTAT = "nr_free_pages 183\noom_kill 7\nunevictable_pgs_culled 0\n"


@pytest.mark.parametrize(
    ("cgroup", "counters", "kills"),
    [
        (V1, {"cgroup/memory/slurm/uid_0/job_3/memory.oom_control": OOM_CONTROL, "proc/vmstat": VMSTAT}, 4),
        (V2, {"cgroup/kubepods.slice/pod7/memory.events": EVENTS, "proc/vmstat": VMSTAT}, 5),
        (V1, {"proc/vmstat": VMSTAT}, 7),  # in a container that sees no cgroups of the host
        ("", {"proc/vmstat": VMSTAT}, 7),
        (V1, {"cgroup/memory/slurm/uid_0/job_3/memory.oom_control": "under_oom 0\n", "proc/vmstat": VMSTAT}, 7),
        (V2, {}, None),
    ],
)
def test_kills_for_want_of_memory_are_those_of_the_cgroup_else_of_the_machine(
    cgroup: str, counters: dict[str, str], kills: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {"proc/self/cgroup": cgroup, **counters}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(process, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(process, "PROC", tmp_path / "proc")
    assert oom_kills() == kills


@LINUX
def test_this_machine_counts_them() -> None:
    kills = oom_kills()
    assert kills is not None and kills >= 0


def wait(until: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not until():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.01)


CHILD = """
import subprocess, sys, time
x = bytearray(40 * 2**20)
subprocess.Popen(["sleep", "600"], start_new_session=True)
print("ready", flush=True)
time.sleep(600)
"""


@LINUX
def test_a_family_is_all_descendants_whatever_their_session(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "ready\n"
    pid, grandchild = family(child.pid)
    assert pid == child.pid
    assert os.getsid(grandchild) == grandchild
    assert set(family(os.getpid())) >= {os.getpid(), pid, grandchild}
    held = memory([pid])
    assert held is not None and 40 * 2**20 < held < 400 * 2**20
    child.kill()
    child.wait()
    child.stdout.close()
    assert family(child.pid) == [child.pid]
    assert memory([child.pid]) == 0
    os.kill(grandchild, signal.SIGKILL)
    wait(lambda: memory([grandchild]) == 0)


ORPHAN = """
import os, subprocess, sys
from harness.record.process import adopt_orphans, family
if sys.argv[1] == "adopt":
    adopt_orphans()
code = "from subprocess import DEVNULL, Popen; print(Popen(['sleep', '600'], stdout=DEVNULL, stderr=DEVNULL).pid)"
orphan = int(subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True).stdout)
print(orphan in family(os.getpid()))
os.kill(orphan, 9)
"""


@LINUX
@pytest.mark.parametrize("adopt", ["adopt", "leave"])
def test_orphans_of_who_adopts_them_stay_in_its_family(adopt: str) -> None:
    done = subprocess.run([sys.executable, "-c", ORPHAN, adopt], capture_output=True, text=True, check=True)
    assert done.stdout == f"{adopt == 'adopt'}\n"


@LINUX
def test_who_descends_from_whom() -> None:
    assert descends_from(os.getpid())
    assert descends_from(os.getppid())
    (gone := subprocess.Popen(["true"])).wait()
    assert not descends_from(gone.pid)


def test_a_process_has_the_threads_that_it_is_given() -> None:
    said = threads(3)
    assert said["OMP_NUM_THREADS"] == said["MKL_NUM_THREADS"] == "3"
    assert said["TOKENIZERS_PARALLELISM"] == "false"
