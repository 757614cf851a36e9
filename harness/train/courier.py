"""The worker's side of an exchange: claim there, have the ordinary worker execute a local copy, deliver.

What executes is the ordinary worker with its supervisor and its trainer, on an ordinary job directory in a scratch
folder; the exchange is spoken to by this process alone. What happens there is put into that directory in the words that
a supervisor heeds: CANCEL where the job was called off, a newer attempt where there is one. What happens in the
directory is put there: signs of life, the log, checkpoints where the job may resume, the result, and the exit.

A store that does not answer is waited for: training goes on meanwhile, and a finished result is kept until it could be
delivered, for `Rhythm.patience` at most. Killed at any moment, this process leaves nothing that could be taken for a
result, and on Linux the worker dies with it.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from harness.record.atomic import IntegrityError, read_json, write_json
from harness.record.attempt import COMPLETE, checkpoints, newest
from harness.record.clock import machine
from harness.record.ending import Exit, Reason
from harness.record.exchange import ExchangedJob, hashes, named
from harness.record.job import JobDirectory
from harness.record.object_url import objects_at
from harness.record.objects import Away, Unfit
from harness.record.process import DRIVER, driver
from harness.source.rows import rows_file
from harness.spec.resources import Resources
from harness.spec.secrets import without_secrets
from harness.train.claimed import claimed_by
from harness.train.patience import FINISHED, Rhythm, patiently, say
from harness.train.supervise import FAILED, HEEDED, LOST_CLAIM, OK, STOPPED

SCRATCH = "HARNESS_SCRATCH"
"""Variable that names the folder for local copies; else the system's folder for temporary files."""
LOG_END = 2**20
"""Bytes of a log that are shown at the exchange, from its end."""
MARGIN = 2**16
"""Bytes before them that are read, too, so that a secret is known though its first half is not shown."""
TICK = 0.2
"""Seconds between looks at the worker."""


def carry(url: str, worker: Sequence[str], rhythm: Rhythm | None = None) -> int:
    """Execute the job at a URL unless it is committed or claimed; return the exit status of the process.

    `worker` is the command that executes a job directory which is appended to it.
    """
    rhythm = rhythm or Rhythm()
    try:
        exchange, name = named(url)
        job = ExchangedJob(objects_at(exchange), name, rhythm.silence)
        folder = Path(tempfile.mkdtemp(prefix="harness-", dir=os.environ.get(SCRATCH)))
    except (Unfit, OSError) as error:
        return _not_begun(error)
    try:
        about, once = {**_host(), **claimed_by()}, os.urandom(16).hex()
        number = patiently(lambda: job.claim(about, once), replace(rhythm, patience=rhythm.start))
    except (Away, Unfit, IntegrityError) as error:
        folder.rmdir()
        return _not_begun(error)
    if number is None:
        folder.rmdir()
        return LOST_CLAIM
    courier = Courier(job, number, folder / name, worker, rhythm)
    try:
        status = courier.run()
    except (Away, Unfit) as error:
        say(f"{str(error).rstrip('.')}. Not delivered; what there is lies in {folder}")
        return FAILED
    if courier.undelivered:
        say(f"{job.url}: not delivered; its result lies in {courier.undelivered}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return status


def urls(exchange: str, jobs: Sequence[str]) -> list[str]:
    """Return where jobs are at an exchange: a driver's folders, which need not exist here, name them."""
    return [f"{exchange.rstrip('/')}/{'/'.join(Path(job).parts[-2:])}" for job in jobs]


class Courier:
    """One attempt at a job of an exchange."""

    def __init__(self, job: ExchangedJob, number: int, path: Path, worker: Sequence[str], rhythm: Rhythm):
        self._job, self._number, self._worker, self._rhythm = job, number, worker, rhythm
        self._local = JobDirectory(path)
        self._attempt = path / "attempts" / f"{number:04d}"
        self._kept: set[int] = set()
        """Checkpoints that the exchange has, by the updates before them."""
        self._fenced = threading.Event()
        self._over = threading.Event()
        self._logged = -1
        self._process: subprocess.Popen[bytes] | None = None
        self._told: list[int] = []
        self.undelivered: Path | None = None
        """A whole result of which the exchange has not said that it has it, or wants none."""

    def run(self) -> int:
        """Fetch, execute, deliver; return the exit status."""
        for signum in HEEDED:
            signal.signal(signum, self._pass_on)
        touch = threading.Thread(target=self._keep_in_touch, daemon=True)
        touch.start()
        try:
            return self._deliver(self._execute())
        except (ValueError, FileNotFoundError) as error:  # what was fetched, not what was made
            self._leave(Exit(Reason.USER_ERROR, without_secrets(str(error))))
            return FAILED
        except OSError as error:  # of the disk here, such as a full one, which another machine may not have
            self._leave(Exit(Reason.KILLED, f"{self._local.path.parent.parent}: {error}"))
            return FAILED
        finally:
            self._over.set()
            touch.join(timeout=self._rhythm.again)

    def _execute(self) -> int:
        """Execute the job here; return the worker's exit status."""
        patiently(self._fetch, self._rhythm)
        if self._told or self._fenced.is_set():
            return LOST_CLAIM if self._fenced.is_set() else STOPPED
        environment = {**os.environ, DRIVER: driver()}
        command = [*self._worker, str(self._local.path)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment, start_new_session=True)
        for number in self._told:  # while it was being started
            self._process.send_signal(number)
        looked = time.monotonic()
        while self._process.poll() is None:
            time.sleep(TICK)
            if time.monotonic() - looked >= self._rhythm.beat:
                with suppress(Away, Unfit, OSError):  # next time; a trainer keeps only its newest ones
                    self._keep_checkpoints()
                looked = time.monotonic()
        return self._process.returncode

    def _fetch(self) -> None:
        """Make the job directory, and beside it what its trainer will look for."""
        store = self._local.path.parent.parent
        for half in store.iterdir():  # of an earlier try, where the server went away in between
            shutil.rmtree(half, ignore_errors=True)
        spec = cast("dict[str, Any]", self._job.read("spec.json") or {})
        if not spec:
            raise FileNotFoundError(f"{self._job.url}/spec.json: there is none. Have a driver submit the job again.")
        files = store / "files"
        spec.pop("folder", None)  # a folder here is nothing that an exchange may name
        self._local.create({**spec, "folder": str(files)} if self._job.fetch_files(files) else spec)
        self._local.give(Resources.model_validate(self._job.read("resources.json") or {}))
        self._fetch_base(spec["identity"].get("base_id"), store)
        for sha256 in set(hashes(spec["identity"])):
            rows = rows_file(store / "data" / "rows", sha256)
            rows.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # a hash of something else; rows that are missed are told of by name
                self._job.objects.download(f"data/rows/{rows.name}", rows)
        self._fetch_past()

    def _fetch_base(self, base_id: str | None, store: Path) -> None:
        if base_id is None:
            return
        base = ExchangedJob(self._job.objects, f"bases/{base_id}")
        manifest = base.manifest()
        if manifest is None:
            raise FileNotFoundError(f"{base.url}: has no result, and the run starts from it. Submit the run again.")
        base.fetch(manifest, store / "bases" / base_id / "result")

    def _fetch_past(self) -> None:
        """Have the local claim get this attempt's number, and find the newest checkpoint of its predecessors."""
        look = self._job.look()
        for number in range(1, self._number):
            folder = self._attempt.parent / f"{number:04d}"
            folder.mkdir(parents=True)
            write_json(folder / "exit.json", Exit(Reason.KILLED, "at the exchange").as_json())
        found = look.checkpoint()
        if found is not None and self._local.resources().resume == "allowed":
            updates, at = found
            folder = self._attempt.parent / at.split("/")[1] / "trainer" / f"checkpoint-{updates}"
            try:
                self._job.fetch_checkpoint(look, at, folder)
                self._kept.add(updates)
            except FileNotFoundError:  # somebody cleared them away: from the beginning, then
                shutil.rmtree(folder, ignore_errors=True)

    def _deliver(self, status: int) -> int:
        """Deliver what there is, then say how the attempt ended."""
        self.undelivered = self._local.result if self._local.result.is_dir() else None
        if self._local.manifest() is not None:
            delivered = patiently(lambda: self._job.deliver(self._number, self._local.result), self._rhythm, FINISHED)
            end = Exit(Reason.OK, "") if delivered else Exit(Reason.LOST_CLAIM, "another was first")
            status, self.undelivered = OK if delivered else LOST_CLAIM, None
            if delivered:
                with suppress(Away, Unfit):
                    self._job.clear()
        else:
            with suppress(OSError):  # one that cannot be read is none
                patiently(self._keep_checkpoints, self._rhythm, FINISHED)
            end = self._ending(status)
        self._leave(end)
        return status

    def _ending(self, status: int) -> Exit:
        """Return how an attempt without a result ended: by its own word, else by that of its supervisor's process."""
        if (said := read_json(self._attempt / "exit.json")) is not None:
            return Exit.read(said)
        if self._fenced.is_set():
            return Exit(Reason.LOST_CLAIM, "a newer attempt holds the claim")
        if self._process is None:
            return Exit(Reason.PREEMPTED, f"it was asked to end, by its engine or by hand ({_names(self._told)})")
        how = f"ended by {signal.Signals(-status).name}" if status < 0 else f"over, with status {status}"
        return Exit(Reason.KILLED, f"its supervisor was {how}")

    def _leave(self, end: Exit) -> None:
        timing = read_json(self._attempt / "timing.json")
        self._logged = -1
        patiently(self._put_log, self._rhythm, FINISHED)
        patiently(lambda: self._job.exit(self._number, {**end.as_json(), "timing": timing}), self._rhythm, FINISHED)

    def _keep_checkpoints(self) -> None:
        """Put whole checkpoints there that the exchange has not."""
        if not self._attempt.is_dir() or self._local.resources().resume != "allowed":
            return
        for updates, folder in checkpoints(self._local.path).items():
            if updates not in self._kept and (folder / COMPLETE).is_file():
                self._job.keep(self._number, updates, folder)
                self._kept.add(updates)

    def _keep_in_touch(self) -> None:
        """Give signs of life and heed what is said at the exchange, until the attempt is over."""
        silent = False
        while not self._over.wait(min(self._rhythm.again, self._rhythm.beat) if silent else self._rhythm.beat):
            try:
                self._touch()
                silent = False
            except (Away, Unfit, IntegrityError, OSError) as error:
                if not silent:
                    say(f"{error}; waiting")
                silent = True

    def _touch(self) -> None:
        look = self._job.look()
        if look.newest > self._number:
            self._fenced.set()
            if self._local.path.is_dir():  # a newer attempt, in the supervisor's words
                folder = self._attempt.parent
                (folder / f"{max(newest(folder), self._number) + 1:04d}").mkdir(parents=True, exist_ok=True)
            return
        if look.called_off and self._local.path.is_dir():
            self._local.call_off()
        self._job.beat(self._number, read_json(self._attempt / "progress.json") or {"phase": "fetching"})
        self._put_log()

    def _put_log(self) -> None:
        log = self._attempt / "log.txt"
        size = log.stat().st_size if log.is_file() else 0
        if size not in (0, self._logged):
            self._job.log(self._number, _end(log, size))
            self._logged = size

    def _pass_on(self, signum: int, _: object) -> None:
        self._told.append(signum)
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signum)


def _not_begun(error: Exception) -> int:
    say(f"{str(error).rstrip('.')}. Nothing was begun.")
    return FAILED


def _end(log: Path, size: int) -> bytes:
    """Return the last whole lines of a log of a size, without secrets."""
    start = max(0, size - LOG_END - MARGIN)
    with log.open("rb") as file:
        file.seek(start)
        clean = without_secrets(file.read().decode("utf-8", "replace")).encode()
    shown = clean[-LOG_END:]
    return shown[shown.find(b"\n") + 1 :] if start or len(shown) < len(clean) else shown


def _host() -> dict[str, Any]:
    return {"host": os.uname().nodename, "machine": machine(), "pid": os.getpid()}


def _names(signals: Sequence[int]) -> str:
    return ", ".join(signal.Signals(number).name for number in signals)
