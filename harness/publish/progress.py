"""Progress of work that takes longer than two seconds: a live table on a terminal, plain lines elsewhere.

Everything goes to standard error, so that standard output stays the result.
"""

import sys
import time
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.campaign.execution import Progress
from harness.publish.terminal import coloured, drawn_over

PLAIN_EVERY = 15.0
"""Seconds between plain lines while nothing is finished."""


class ShownProgress:
    """Shows `Progress` as it comes; use as a context and pass `show` to whoever executes."""

    def __init__(self, *, quiet: bool = False):
        self._over = drawn_over(sys.stderr)
        self._console = Console(stderr=True, highlight=False, no_color=not coloured(sys.stderr))
        self._quiet = quiet
        self._live: Live | None = None
        self._last = ("", -1, -1, "")
        self._said_at = 0.0

    def __enter__(self) -> "ShownProgress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, progress: Progress) -> None:
        """Show where the work stands."""
        if self._quiet:
            return
        if self._over:
            if self._live is None:
                self._live = Live(console=self._console, transient=True, refresh_per_second=4)
                self._live.start()
            self._live.update(_drawn(progress))
        else:
            self._plain(progress)

    def _plain(self, progress: Progress) -> None:
        now = (progress.what, progress.done, len(progress.failed), progress.trouble)
        if now == self._last and time.monotonic() - self._said_at < PLAIN_EVERY:
            return
        self._last, self._said_at = now, time.monotonic()
        print(_summary(progress), file=sys.stderr, flush=True)


def _summary(progress: Progress) -> str:
    left = progress.remaining_seconds()
    eta = "" if left is None or progress.done == progress.planned else f", about {_clock(left)} left"
    failed = f", {len(progress.failed)} failed" if progress.failed else ""
    more = f", {progress.repeated} repeated" if progress.repeated else ""
    trouble = f"; waiting: {progress.trouble}" if progress.trouble else ""
    said = f"{progress.what}: {progress.done} of {progress.planned} done{failed}{more}"
    return f"{said}, {_clock(progress.seconds)} so far{eta}{trouble}"


def _drawn(progress: Progress) -> Group:
    table = Table.grid(padding=(0, 2))
    for job_id, said in sorted(progress.running.items()):
        steps = said.get("steps")
        reward = said.get("reward")
        table.add_row(
            Text(f"  {job_id}"),
            Text(str(said.get("phase", "waiting for the import"))),
            Text(f"step {said['step']} of {steps}" if steps else ""),
            Text("" if reward is None else f"reward {reward:.2f}"),
        )
    bar = Table.grid()  # a bar on its own ends without a line break
    bar.add_row(ProgressBar(total=max(progress.planned, 1), completed=progress.done, width=40))
    return Group(Text(_summary(progress)), bar, table)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
