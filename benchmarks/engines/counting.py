"""A quick worker for tests of engines: counts, goes on where an earlier one stopped, and is there once or not at all.

    python benchmarks/engines/counting.py STEPS SECONDS JOB

It holds a lock on JOB/claim while it counts, so that one that a lost node left behind and its successor never count at
once; a step is a line of JOB/steps, and a finished count is JOB/result/manifest.json, renamed into place. JOB/said has
a JSON line a start, an end and a SIGTERM, with what the engine gave: devices, host, pid. It is no trainer and no
supervisor, and knows nothing of the record floor.
"""

import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

SEEN = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "HF_HOME", "HF_TOKEN", "RAY_JOB_CONFIG_JSON_ENV_VAR")


def main(steps: int, seconds: float, job: Path) -> None:
    def say(what: str, **more: object) -> None:
        line = json.dumps({"at": time.time(), "pid": os.getpid(), "what": what, **more})
        with (job / "said").open("a") as said:
            said.write(line + "\n")

    def leave(number: int, frame: FrameType | None) -> None:
        time.sleep(4.0)  # longer than Ray waits unless told of the run's grace
        say("stopped")
        sys.exit(75)

    signal.signal(signal.SIGTERM, leave)
    say("waits")
    with (job / "claim").open("w") as claim:
        fcntl.flock(claim, fcntl.LOCK_EX)
        if (job / "result").exists():
            say("finds it done")
            return
        done = len((job / "steps").read_text().split()) if (job / "steps").exists() else 0
        say("starts", done=done, environment={name: os.environ.get(name) for name in SEEN}, arguments=sys.argv[1:])
        for step in range(done, steps):
            time.sleep(seconds)
            with (job / "steps").open("a") as counted:
                counted.write(f"{step}\n")
        stage = job / f".stage-{os.getpid()}"
        stage.mkdir()
        (stage / "manifest.json").write_text("{}")
        stage.rename(job / "result")
        say("done")


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]))
