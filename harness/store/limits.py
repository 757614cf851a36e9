"""What a query may take, so that a stranger's SQL cannot fill the memory, the disk or the afternoon.

The limits hold for every query on the published index, whoever wrote it: a table of a report, a measure, the command
line. They are far above what the shipped tables and measures take of a thousand runs. Memory is counted by DuckDB: it
does not count the texts that it is just making, so one text of gigabytes passes the limit before it is refused.
Nothing is written to the disk when memory is short.
"""

import threading
from collections.abc import Generator
from contextlib import contextmanager

import duckdb

from harness.spec import DeclarationError

MEMORY = "4GiB"
SECONDS = 120.0
ROWS = 5_000_000
LEFT = "`harness db path` names the file, which DuckDB's own program reads without these limits."


class LimitError(DeclarationError):
    """A query took more than it may; the text names the rule and the remedy."""


def limit(connection: duckdb.DuckDBPyConnection) -> None:
    """Bound the memory of a connection, and let nothing of it go to the disk; its settings must not be locked yet."""
    connection.execute(f"SET memory_limit = '{MEMORY}'")
    connection.execute("SET temp_directory = ''")


@contextmanager
def limited(connection: duckdb.DuckDBPyConnection, seconds: float | None = None) -> Generator[None]:
    """Interrupt what a connection does in this block once it took too long.

    Raises:
        LimitError: it took longer than `seconds` (default: SECONDS), or more memory than DuckDB may have.
    """
    allowed = SECONDS if seconds is None else seconds
    late = threading.Event()

    def interrupt() -> None:
        late.set()
        connection.interrupt()

    timer = threading.Timer(allowed, interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise LimitError([f"took more than {MEMORY} of memory. Ask for less: {LEFT}"]) from None
    except (duckdb.InterruptException, RuntimeError):  # a RuntimeError is what DuckDB makes of Ctrl-C
        if not late.is_set():
            raise
        raise LimitError([f"took longer than {allowed:g} seconds. Ask for less: {LEFT}"]) from None
    finally:
        timer.cancel()
