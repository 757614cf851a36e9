"""`python -m harness.train JOB_DIR...` executes jobs, several side by side; `--serve` serves many one after another.

`--trainer ATTEMPT_DIR` is what a supervisor starts. `--fields` and `--peft-fields` print the tables of TRL's and PEFT's
fields.

`--code PROJECT` permits the code of that project which jobs name; without it such a job fails. No variable of the
environment does.
"""

import os
import signal
import sys
from pathlib import Path

from harness.record.process import THREADS, die_with_driver, die_with_parent

USAGE = (
    "usage: python -m harness.train [--code PROJECT] JOB_DIR... | [--code PROJECT] --serve | "
    "[--code PROJECT] --trainer ATTEMPT_DIR | --fields | --peft-fields"
)


def main(arguments: list[str]) -> int:
    """Return the exit status."""
    os.environ.update({"HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"})
    code_root = None
    if len(arguments) > 2 and arguments[0] == "--code":
        code_root, arguments = Path(arguments[1]), arguments[2:]
    match arguments:
        case ["--serve"]:
            return _serve(code_root)
        case ["--trainer", attempt]:
            return _train(Path(attempt), code_root)
        case ["--fields"] | ["--peft-fields"]:
            return _tables(arguments[0])
        case [job, *others] if not any(said.startswith("--") for said in arguments):
            return _supervise([Path(job), *map(Path, others)], code_root)
        case _:
            print(USAGE, file=sys.stderr)
            return 2


def _serve(code_root: Path | None) -> int:
    os.environ.update(THREADS)
    die_with_parent(os.getppid())
    from harness.train.serve import Server

    Server(code_root).serve()
    return 0


def _train(attempt: Path, code_root: Path | None) -> int:
    die_with_parent(os.getppid())
    from harness.record.job import Attempt
    from harness.train.job import train

    return train(Attempt.opened(attempt), code_root)


def _supervise(jobs: list[Path], code_root: Path | None) -> int:
    """Supervise jobs side by side, each in a process of its own, and pass signals on; return the worst status."""
    from harness.train.start import fresh, trainer
    from harness.train.supervise import HEEDED, supervise

    die_with_driver()
    start = fresh(trainer(code_root))
    if len(jobs) == 1:
        return supervise(jobs[0], start)
    ours, children = os.getpid(), list[int]()
    for job in jobs:
        if (pid := os.fork()) == 0:
            status = 1
            try:
                die_with_parent(ours)
                status = supervise(job, start)
            finally:
                os._exit(status)
        children.append(pid)
    for number in HEEDED:
        signal.signal(number, lambda said, _: [os.kill(pid, said) for pid in children if _there(pid)])
    return max(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children)


def _there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _tables(which: str) -> int:
    os.environ.update(THREADS)
    import json

    from harness.train.arguments import default_fields, peft_fields

    table = default_fields() if which == "--fields" else peft_fields()
    print(json.dumps(table, indent=1, sort_keys=True))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
