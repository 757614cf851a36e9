"""`python -m harness.train JOB_DIR` executes one job; `--serve` serves many.

`--fields` and `--peft-fields` print the tables of TRL's and PEFT's fields.

`--code PROJECT` permits the code of that project which jobs name; without it such a job fails. No variable of the
environment does.
"""

import os
import sys
from pathlib import Path

from harness.record.process import THREADS, die_with_parent

USAGE = "usage: python -m harness.train [--code PROJECT] JOB_DIR | [--code PROJECT] --serve | --fields | --peft-fields"


def main(arguments: list[str]) -> int:
    """Return the exit status."""
    os.environ.update({**THREADS, "HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"})
    code_root = None
    if len(arguments) == 3 and arguments[0] == "--code":
        code_root, arguments = Path(arguments[1]), arguments[2:]
    if len(arguments) != 1:
        print(USAGE, file=sys.stderr)
        return 2
    if arguments[0] == "--serve":
        die_with_parent(os.getppid())
        from harness.train.serve import Server

        Server(code_root).serve()
        return 0
    if arguments[0] in ("--fields", "--peft-fields"):
        import json

        from harness.train.arguments import default_fields, peft_fields

        table = default_fields() if arguments[0] == "--fields" else peft_fields()
        print(json.dumps(table, indent=1, sort_keys=True))
        return 0
    die_with_parent(os.getppid())
    from harness.train.job import execute

    return execute(Path(arguments[0]), code_root)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
