"""An index of a store that one may only read, or whose disk is full: made elsewhere while the command runs.

A store on a medium or in a folder that is read-only is somebody's archive, or somebody else's; whoever may read the
records may report on them.
"""

import atexit
import errno
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.record.layout import Store

if TYPE_CHECKING:
    from harness.store.ingest import Damaged

CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT)


def with_index(store: Store, measures: Sequence[Path], damaged: "Damaged | None" = None) -> Store:
    """Bring the index up to date and return the store; one that takes no files with an index in a temporary folder.

    Results that are not what was committed are told to `damaged`, if it is there.

    Raises:
        IntegrityError: a committed file is not what was committed.
        MeasureError: a measure's file cannot be used.
    """
    from harness.store import refresh  # duckdb, 0.2 s

    try:
        refresh(store, measures, damaged)
    except OSError as error:
        if error.errno not in CLOSED or not store.root.is_dir():
            raise
        folder = Path(tempfile.mkdtemp(prefix="harness-index-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        store = store.indexed_in(folder)
        refresh(store, measures, damaged)
    return store
