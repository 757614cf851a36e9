"""Where runs run. An engine is only told "execute this job directory"; results and reasons come from the directory."""

from harness.execute.engine import Executor, Refused, Standing, Unreachable
from harness.execute.local import LocalExecutor

__all__ = ["Executor", "LocalExecutor", "Refused", "Standing", "Unreachable"]
