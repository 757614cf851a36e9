"""Several jobs supervised side by side by one worker process: runs that share a device, or one job alone."""

import os
import signal
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from harness.record.process import die_with_driver, die_with_parent
from harness.train.supervise import FAILED, HEEDED, Start, supervise

Job = TypeVar("Job")


def side_by_side(jobs: Sequence[Path], start: Start) -> int:
    """Supervise jobs, each in a process of its own where there are several; return the worst exit status."""
    return abreast(jobs, lambda job: supervise(job, start))


def abreast(jobs: Sequence[Job], work: Callable[[Job], int]) -> int:
    """Do the work of jobs, each in a process of its own where there are several; return the worst exit status."""
    die_with_driver()
    if len(jobs) == 1:
        return work(jobs[0])
    children = [_child(job, work, os.getpid()) for job in jobs]

    def pass_on(number: int, _: object) -> None:
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    for number in HEEDED:
        signal.signal(number, pass_on)
    worst = 0
    while children:
        pid, status = os.wait()
        if pid not in children:  # a child that was there before, such as what a site's setup left at work
            continue
        children.remove(pid)  # its number may soon be another process's
        worst = max(worst, os.waitstatus_to_exitcode(status), key=abs)
    return abs(worst)


def _child(job: Job, work: Callable[[Job], int], parent: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = FAILED
    try:
        die_with_parent(parent)
        status = work(job)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)
