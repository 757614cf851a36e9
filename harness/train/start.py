"""How a supervisor starts its trainer: as a fresh process, through `accelerate launch`, or by forking after imports.

The trainer leads a process group of its own, holds the claim's lock too, and dies with its supervisor, so that what is
at work is never without a claim. It writes what it prints to the attempt's log. No torch here.
"""

import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from math import ceil
from pathlib import Path

from harness.record.job import Attempt
from harness.record.process import SUPERVISOR, die_with_parent, go_first, threads
from harness.spec.resources import Resources
from harness.train.supervise import FAILED, HEEDED, Start

Environment = Mapping[str, str]


def fresh(command: Callable[[Attempt], Sequence[str]]) -> Start:
    """Return a start of trainers as fresh processes, each by the command that an attempt gives."""

    def start(attempt: Attempt, resources: Resources) -> int:
        supervisor = os.getpid()
        with (attempt.path / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                launched(command(attempt), resources),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment(resources),
                start_new_session=True,
                pass_fds=(attempt.lock,),
                preexec_fn=lambda: (die_with_parent(supervisor), go_first()),  # sound where there is one thread
            )
        process.returncode = 0  # whoever watches waits for the pid itself, and wants to know what it used
        return process.pid

    return start


def trainer(code_root: Path | None) -> Callable[[Attempt], list[str]]:
    """Return the command of the real trainer; the permission to run a project's code is an argument, never inherited.

    `-P` keeps the working directory off the import path, where a project's file of a library's name would be run; the
    variable of the same meaning holds for processes that a launcher starts.
    """
    permitted = ["--code", str(code_root)] if code_root else []

    def command(attempt: Attempt) -> list[str]:
        return [sys.executable, "-P", "-m", "harness.train", *permitted, "--trainer", str(attempt.path)]

    return command


def launched(command: Sequence[str], resources: Resources) -> list[str]:
    """Return a trainer's command under the launcher of its resources.

    `--multi_gpu` is the one way to have several processes on a host, whatever its name: `--cpu` starts a single one.
    Port 0: every launch finds a free one, so that many on a host do not meet.
    """
    if resources.launcher == "python":
        return list(command)
    python, *rest = command
    flags = rest[: rest.index("-m")]
    module, *arguments = rest[rest.index("-m") + 1 :]
    count = ["--num_processes", str(resources.processes), "--num_machines", "1", "--main_process_port", "0"]
    single = [] if resources.gpus else ["--cpu"]
    how = ["--multi_gpu"] if resources.processes > 1 else single
    said = [*count, *how, "--mixed_precision", "no", "--dynamo_backend", "no"]
    return [python, *flags, "-m", "accelerate.commands.launch", *said, "--module", module, *arguments]


def _environment(resources: Resources) -> dict[str, str]:
    """Return a trainer's environment; several processes without a device see none, or each would want one."""
    said = {**os.environ, **threads(resources.threads), "PYTHONSAFEPATH": "1", SUPERVISOR: str(os.getpid())}
    if resources.launcher == "python":
        return said
    seen = {} if resources.gpus else {"CUDA_VISIBLE_DEVICES": ""}
    patience = str(ceil(resources.grace_seconds) + 10)  # the launcher's, of 30 s, would end first
    return {**said, **seen, "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": patience}


def forked(work: Callable[[Attempt], int]) -> Start:
    """Return a start of trainers as forks of this process, which has imported already what they need."""

    def start(attempt: Attempt, _: Resources) -> int:
        supervisor = os.getpid()
        pid = os.fork()
        if pid:
            return pid
        status = FAILED
        try:
            os.setsid()
            die_with_parent(supervisor)
            go_first()
            _unlisten()
            write_output_to(attempt.path / "log.txt")
            status = work(attempt)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    return start


def _unlisten() -> None:
    """Take signals as a process does that inherited no supervisor's handlers."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, *HEEDED):
        signal.signal(number, signal.SIG_DFL)


def write_output_to(path: Path) -> None:
    """Have this process, and whatever it starts, print into a file, and read nothing."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for target, file in enumerate((nothing, log, log)):
        os.dup2(file, target)
    os.close(nothing)
    os.close(log)
