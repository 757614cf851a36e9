"""Many runs, each in processes of its own, for one import of the libraries.

The server imports everything once and forks a supervisor for every job it is sent, which forks the trainer. A child
that dies takes nobody with it, and each starts from the same state of memory, so a run gives the same bits as in a
fresh process.

Standard input carries one JSON object a line: {"run": DIR} or {"cancel": DIR}; when it closes, the server stops its
children and leaves. Standard output carries {"ready": true}, then {"started": DIR, "pid": N} and
{"ended": DIR, "status": N} (negative: killed by that signal).
"""

import gc
import json
import os
import select
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from harness.record.process import die_with_parent
from harness.train.job import execute
from harness.train.supervise import FAILED

TICK = 0.02
"""Seconds between looks at the children."""


class Server:
    """Forks a child a job; knows which children are at work, and whose code they may run."""

    def __init__(self, code_root: Path | None = None) -> None:
        self._code_root = code_root
        self._children: dict[int, str] = {}
        self._partial = b""

    def serve(self) -> None:
        """Serve until standard input closes."""
        gc.collect()
        gc.freeze()  # what is imported is never garbage; without this every child's first collection walks it all
        _say(ready=True)
        while self._listen():
            self._reap()
        for pid in list(self._children):
            os.kill(pid, signal.SIGTERM)
        while self._children:
            self._reap()
            time.sleep(TICK)

    def _listen(self) -> bool:
        if not select.select([0], [], [], TICK)[0]:
            return True
        chunk = os.read(0, 65536)
        *lines, self._partial = (self._partial + chunk).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))
        return bool(chunk)

    def _obey(self, said: dict[str, str]) -> None:
        if "cancel" in said:
            for pid, folder in self._children.items():
                if folder == said["cancel"]:
                    os.kill(pid, signal.SIGTERM)
            return
        server = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:  # no memory or no process left; the driver may ask again
            print(f"{said['run']}: cannot fork: {error}", file=sys.stderr, flush=True)
            _say(ended=said["run"], status=FAILED)
            return
        if pid:
            self._children[pid] = said["run"]
            _say(started=said["run"], pid=pid)
        else:
            self._child(server, Path(said["run"]))

    def _child(self, server: int, folder: Path) -> None:
        status = FAILED
        try:
            die_with_parent(server)
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            os.dup2(2, 1)  # nothing a library prints may reach the protocol
            status = execute(folder, self._code_root)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            _say(ended=self._children.pop(pid), status=os.waitstatus_to_exitcode(status))


def _say(**said: Any) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()
