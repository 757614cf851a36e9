"""Where runs run. An engine is only told "execute this job directory"; results and reasons come from the directory."""

from harness.execute.engine import Executor
from harness.execute.local import LocalExecutor

__all__ = ["Executor", "LocalExecutor"]
