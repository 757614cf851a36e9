"""A job's directory: the contract between whoever wants a result and whoever computes it.

    JOB/spec.json            created once, never changed: the id, and the identity that it is the hash of
    JOB/resources.json       what an attempt is given now; whoever submits replaces it
    JOB/handle.json          what the engine calls it; whoever submits replaces it
    JOB/CANCEL               a user called it off
    JOB/attempts/0001/       an exclusive claim and fencing token (`record.attempt`)
    JOB/.stage-0001/         what the attempt has made so far
    JOB/result/              the stage, renamed: the commit; manifest.json holds the checksum of every other file

Any process may be killed at any moment, and whatever an engine believes, this folder alone says what became of a job.
The rename of two stages into one result has exactly one winner.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.record.atomic import IntegrityError, create_json, read_json, sha256, write_json
from harness.record.attempt import Attempt, alive, checkpoints, claim, numbers
from harness.record.ending import STATE_AFTER, Exit, State
from harness.record.foreign import handle_of, manifest_of, progress_of, reading, spec_of
from harness.record.scrubbed import scrub
from harness.spec.resources import Resources

__all__ = ["Attempt", "Exit", "IntegrityError", "JobDirectory", "State"]


@dataclass(frozen=True, slots=True)
class JobDirectory:
    """One job's directory; its name is the job's id."""

    path: Path

    @property
    def id(self) -> str:
        """The job's id."""
        return self.path.name

    @property
    def result(self) -> Path:
        """The committed result's folder."""
        return self.path / "result"

    def create(self, spec: Mapping[str, Any]) -> None:
        """Write spec.json; raise ValueError where the job exists with another identity."""
        if not create_json(self.path / "spec.json", spec) and self.spec()["identity"] != spec["identity"]:
            raise ValueError(f"{self.path}: spec.json holds another identity under this id. Move the folder away.")

    def spec(self) -> dict[str, Any]:
        """Return spec.json.

        Raises:
            FileNotFoundError: there is none.
            IntegrityError: it is that of another job: the folder was copied or renamed.
        """
        spec = spec_of(self.path)
        if spec is None:
            raise FileNotFoundError(f"{self.path}: no spec.json, so this is no job directory.")
        if spec.get("id", self.id) != self.id:
            rule = "the folder was copied or renamed. Give it that name back, or move it away."
            raise IntegrityError(f"{self.path / 'spec.json'}: is that of {spec['id']!r}: {rule}")
        return spec

    def give(self, resources: Resources) -> None:
        """Say what attempts are given from now on."""
        if self.resources() != resources:
            write_json(self.path / "resources.json", resources.model_dump(mode="json"))

    def resources(self) -> Resources:
        """Return what an attempt is given: one core and no limits unless somebody said otherwise."""
        said = read_json(self.path / "resources.json")
        with reading(self.path / "resources.json"):
            return Resources() if said is None else Resources.model_validate(said)

    def attempts(self) -> list[Path]:
        """Return the attempts' folders, oldest first."""
        return [self.path / "attempts" / f"{number:04d}" for number in numbers(self.path / "attempts")]

    def state(self) -> State:
        """Return where the job stands now."""
        if (self.result / "manifest.json").is_file():
            return State.COMMITTED
        attempts = self.attempts()
        if not attempts:
            return State.CANCELLED if self.called_off else State.NEW
        if alive(attempts[-1]):
            return State.RUNNING
        if (self.result / "manifest.json").is_file():  # committed between the two looks
            return State.COMMITTED
        end = self.last_exit()
        state = STATE_AFTER.get(end.reason, State.INTERRUPTED) if end else State.INTERRUPTED
        return State.CANCELLED if state is State.INTERRUPTED and self.called_off else state

    def last_exit(self) -> Exit | None:
        """Return how the last attempt said that it ended, or None if it said nothing."""
        attempts = self.attempts()
        said = read_json(attempts[-1] / "exit.json") if attempts else None
        return None if said is None else Exit.read(said)

    def progress(self) -> dict[str, Any]:
        """Return what the last attempt last said of its work (step, steps, reward, ...), empty if it said nothing."""
        attempts = self.attempts()
        return progress_of(attempts[-1]) if attempts else {}

    def manifest(self) -> dict[str, Any] | None:
        """Return the committed manifest, or None."""
        return manifest_of(self.result)

    def verified(self, name: str) -> Path:
        """Return a file of the result, whose bytes are those that were committed; raise IntegrityError otherwise."""
        manifest, file = self.manifest(), self.result / name
        if manifest is None or name not in manifest["files"]:
            raise IntegrityError(f"{file}: not in the result's manifest. Remove {self.path} and run it again.")
        if not file.is_file() or sha256(file) != manifest["files"][name]["sha256"]:
            what = "changed since" if file.is_file() else "gone since"
            raise IntegrityError(
                f"{file}: {what} it was committed. Restore it, or remove {self.path} and run it again."
            )
        return file

    def began(self) -> float:
        """Return when the first attempt was claimed, seconds since the epoch; claims are written once."""
        return min((attempt / "claim.json").stat().st_mtime for attempt in self.attempts())

    def claim(self, about: Mapping[str, Any]) -> Attempt | None:
        """Claim the next attempt, or return None where the job is committed or somebody else's claim is alive."""
        known = numbers(self.path / "attempts")
        if self.state() in (State.COMMITTED, State.RUNNING):
            return None
        if known:  # one that was killed could not see to its log itself
            scrub(self.attempts()[-1] / "log.txt")
        return claim(self.path, known[-1] + 1 if known else 1, about)

    def checkpoint(self) -> tuple[int, Path] | None:
        """Return the newest whole checkpoint of any attempt, with the updates made before it, or None."""
        found = checkpoints(self.path)
        return (newest := max(found), found[newest]) if found else None

    @property
    def called_off(self) -> bool:
        """Whether a user has called the job off."""
        return (self.path / "CANCEL").exists()

    def call_off(self) -> None:
        """Have the job stopped where it runs, and not begun where it waits; its supervisor sees it within seconds."""
        (self.path / "CANCEL").touch()

    def call_on(self, since: float) -> None:
        """Take back that the job was called off, where that was before `since` by the file server's clock."""
        mark = self.path / "CANCEL"
        with suppress(FileNotFoundError):
            if mark.stat().st_mtime < since:
                mark.unlink()

    def handle(self) -> dict[str, Any] | None:
        """Return what was last said of the engine that has the job: `engine`, `handle`, `attempts` before it."""
        return handle_of(self.path)

    def handed_over(self, engine: str, handle: str, attempts: int) -> None:
        """Remember what an engine calls the job, and how many attempts there were before."""
        write_json(self.path / "handle.json", {"engine": engine, "handle": handle, "attempts": attempts})
