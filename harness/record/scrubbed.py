"""Logs without secrets: what libraries print goes to a file unseen, and is read again once its writer has ended.

While an attempt is at work its log may hold a secret that something printed; whoever shows a log meanwhile passes it
through `without_secrets`. A key of several lines is found where it ends within WINDOW bytes.
"""

import os
from pathlib import Path

from harness.record.foreign import ordinary
from harness.spec.secrets import without_secrets

WINDOW = 2**22
"""Bytes that are looked at together."""


def scrub(file: Path) -> bool:
    """Take secrets out of a file that nobody writes to any more; return whether there were any.

    The file keeps its permissions, and is whole at every moment. Where there is no such file, or no room for another,
    nothing is done.
    """
    partial = file.with_name(f".{file.name}.{os.getpid()}-{os.urandom(4).hex()}")
    changed = False
    try:
        with os.fdopen(ordinary(file), "rb") as said, partial.open("wb") as kept:
            os.fchmod(kept.fileno(), os.fstat(said.fileno()).st_mode & 0o777)
            while block := said.read(WINDOW) + said.readline():
                text = block.decode("utf-8", "surrogateescape")
                clean = without_secrets(text)
                changed = changed or clean != text
                kept.write(clean.encode("utf-8", "surrogateescape"))
        if changed:
            os.replace(partial, file)
    except OSError:
        return False
    finally:
        partial.unlink(missing_ok=True)
    return changed
