"""The file server's clock decides, whatever a host's says; a machine is told by its boot."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.record import clock
from harness.record.attempt import STALE
from harness.record.clock import file_time, machine
from harness.record.job import JobDirectory
from harness.record.layout import Store
from harness.record.registration import registered

HOUR = 3600.0
OFF_BY = {"ahead": "+1h", "behind": "-1h"}
Ask = Callable[[str, str], str]


@pytest.fixture
def on_another_host(tmp_path: Path) -> Ask:
    """Return a function that runs a script on a store by a host's clock; skip where no clock can be faked."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not found:
        pytest.skip("libfaketime is not installed (apt-get install faketime): no host's clock can be set apart here")

    def ask(clock: str, script: str) -> str:
        environment = {
            "LD_PRELOAD": str(found[0]),
            "FAKETIME": OFF_BY[clock],
            "NO_FAKE_STAT": "1",  # times of files come from the file server
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "PYTHONPATH": ":".join(sys.path),
            "PATH": os.environ["PATH"],
        }
        prelude = "import sys, time\nfrom pathlib import Path\nstore = Path(sys.argv[1])\n"
        command = [sys.executable, "-c", prelude + script, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return ask


def test_the_time_is_that_of_a_new_file_and_leaves_none(tmp_path: Path) -> None:
    before = time.time()
    now = file_time(tmp_path)
    (tmp_path / "new").touch()
    assert before - 1 < now <= (tmp_path / "new").stat().st_mtime
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    with pytest.raises(FileNotFoundError):
        file_time(tmp_path / "gone")


def test_a_machine_is_its_name_and_its_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine().split()[0] == socket.gethostname()
    assert len(machine().split()) == 2
    machine.cache_clear()
    monkeypatch.setattr(clock, "BOOT_ID", tmp_path / "none")
    assert machine() == f"{socket.gethostname()} boot-unknown"
    machine.cache_clear()


@pytest.mark.parametrize("off", OFF_BY)
def test_a_hosts_clock_is_off_and_the_file_servers_is_not(off: str, on_another_host: Ask) -> None:
    """What the other tests here rest on."""
    script = "from harness.record.clock import file_time\nprint(time.time(), file_time(store), time.monotonic())"
    theirs, files, monotonic = map(float, on_another_host(off, script).split())
    assert abs(abs(theirs - time.time()) - HOUR) < 120
    assert abs(files - time.time()) < 120
    assert abs(monotonic - time.monotonic()) < 120


@pytest.mark.parametrize("off", OFF_BY)
@pytest.mark.parametrize(("silent", "state"), [(STALE - 120, "running"), (STALE + 60, "interrupted")])
def test_an_attempts_age_is_judged_by_the_file_servers_clock(
    off: str, silent: float, state: str, tmp_path: Path, on_another_host: Ask
) -> None:
    job = JobDirectory(tmp_path / "some-run")
    job.create({"id": "some-run", "identity": {}})
    attempt = job.claim({})
    assert attempt is not None
    then = time.time() - silent
    os.utime(attempt.path / "claim.json", (then, then))
    look = (
        "from harness.record import attempt, clock\nfrom harness.record.job import JobDirectory\n"
        "attempt.machine = lambda: 'another-host another-boot'\njob = JobDirectory(store / 'some-run')\n"
        "print(job.state(), job.claim({}) is None)"
    )
    assert on_another_host(off, look) == f"{state} {state == 'running'}"


@pytest.mark.parametrize("off", OFF_BY)
def test_when_a_job_began_is_by_the_file_servers_clock(off: str, tmp_path: Path, on_another_host: Ask) -> None:
    job = JobDirectory(tmp_path / "some-run")
    job.create({"id": "some-run", "identity": {}})
    claim = "from harness.record.job import JobDirectory\nprint(JobDirectory(store / 'some-run').claim({}).number)"
    assert on_another_host(off, claim) == "1"
    assert abs(job.began() - file_time(tmp_path)) < 120


@pytest.mark.parametrize("off", OFF_BY)
def test_what_is_registered_first_is_older_than_the_run_whatever_the_hosts_clocks_say(
    off: str, tmp_path: Path, on_another_host: Ask
) -> None:
    register = (
        "from harness.record.layout import Store\nfrom harness.record.registration import register, amend\n"
        "first = register(Store(store), 'claim', 'tiny', 'f' * 64, {})\n"
        "amend(Store(store), first, 'e' * 64, {}, block='b', reason='r')"
    )
    before = file_time(tmp_path)
    on_another_host(off, register)
    job = JobDirectory(tmp_path / "some-run")
    job.create({"id": "some-run", "identity": {}})
    assert job.claim({}) is not None
    found = registered(Store(tmp_path), "claim", "tiny")
    assert found is not None
    assert found.number == 2
    assert before <= found.registered_at <= job.began()


@pytest.mark.parametrize("off", OFF_BY)
def test_a_table_is_adopted_by_the_file_servers_clock(off: str, tmp_path: Path, on_another_host: Ask) -> None:
    adopt = (
        "from harness.record.layout import Store\nfrom harness.record.adopted import adopt\n"
        "print(adopt(Store(store), 'lab', 'lab.csv', [{'seed': 1, 'accuracy': 0.5}]).adopted_at)"
    )
    assert abs(float(on_another_host(off, adopt)) - file_time(tmp_path)) < 120
