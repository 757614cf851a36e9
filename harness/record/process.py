"""What depends on the operating system: dying with one's parent, and whether a process may fork after heavy imports.

Linux sends a signal when the parent is gone; elsewhere a worker notices when it next beats. Forking after importing
torch is sound on Linux with one thread a process; macOS forbids it for its own libraries, so there each run gets a
fresh process.
"""

import ctypes
import os
import signal
import sys

FORKS_AFTER_IMPORT = sys.platform == "linux"
"""Whether one process may import everything once and fork a process a run."""

THREADS = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
) | {"TOKENIZERS_PARALLELISM": "false"}
"""Environment that pins a process to one thread: more workers, not more threads, fill a machine."""

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Ask for SIGKILL when `parent` dies; exit at once where it is dead already. Linux only, else nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the request took effect
            os._exit(1)
