"""`python -m harness.train JOB_DIR...` executes jobs, several side by side; `--serve` serves many one after another.

`--trainer ATTEMPT_DIR` is what a supervisor starts. `--fields` and `--peft-fields` print the tables of TRL's and PEFT's
fields.

`--exchange URL` executes jobs of these names at an exchange (`record.exchange`), as does a job's URL in place of its
directory.

`--code PROJECT` permits the code of that project which jobs name; without it such a job fails. No variable of the
environment does.
"""

import os
import sys
from pathlib import Path

from harness.record.process import SUPERVISOR, THREADS, descends_from, die_with_parent

USAGE = (
    "usage: python -m harness.train [--code PROJECT] [--exchange URL] JOB_DIR... | [--code PROJECT] --serve | "
    "[--code PROJECT] --trainer ATTEMPT_DIR | --fields | --peft-fields"
)


def main(arguments: list[str]) -> int:
    """Return the exit status."""
    os.environ.update({"HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"})
    code_root = None
    if len(arguments) > 2 and arguments[0] == "--code":
        code_root, arguments = Path(arguments[1]), arguments[2:]
    match arguments:
        case ["--exchange", exchange, _, *_] if not any(said.startswith("--") for said in arguments[2:]):
            return _carry(exchange, arguments[2:], code_root)
        case [url, *others] if all("://" in said for said in arguments):
            return _carry(None, [url, *others], code_root)
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
    if not descends_from(int(os.environ.get(SUPERVISOR, os.getppid()))):
        return 1  # its launcher was killed before it could ask to die with it
    from harness.record.job import Attempt
    from harness.train.job import train

    return train(Attempt.opened(attempt), code_root)


def _supervise(jobs: list[Path], code_root: Path | None) -> int:
    from harness.train.side_by_side import side_by_side
    from harness.train.start import fresh, trainer

    return side_by_side(jobs, fresh(trainer(code_root)))


def _carry(exchange: str | None, jobs: list[str], code_root: Path | None) -> int:
    from harness.train.courier import carry, urls
    from harness.train.side_by_side import abreast

    permitted = ["--code", str(code_root)] if code_root else []
    worker = [sys.executable, "-P", "-m", "harness.train", *permitted]
    there = jobs if exchange is None else urls(exchange, jobs)
    return abreast(there, lambda url: carry(url, worker))


def _tables(which: str) -> int:
    os.environ.update(THREADS)
    import json

    from harness.train.arguments import default_fields, peft_fields

    table = default_fields() if which == "--fields" else peft_fields()
    print(json.dumps(table, indent=1, sort_keys=True))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
