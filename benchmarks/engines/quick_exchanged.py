"""The quick trainer behind the real supervisor, at an exchange whose beats come faster than every minute.

python benchmarks/engines/quick_exchanged.py URL BEAT SILENCE JOB_DIR...
"""

import sys
from pathlib import Path

from harness.train.courier import carry, urls
from harness.train.patience import Rhythm
from harness.train.side_by_side import abreast

QUICK = Path(__file__).resolve().with_name("quick.py")


def worker(url: str, beat: float, silence: float) -> list[str]:
    """Return the command that executes the jobs of the names of the directories that are appended to it."""
    return [sys.executable, "-P", str(Path(__file__).resolve()), url, str(beat), str(silence)]


def main(arguments: list[str]) -> int:
    """Execute jobs."""
    url, beat, silence, *jobs = arguments
    rhythm = Rhythm(beat=float(beat), silence=float(silence), again=0.5)
    return abreast(urls(url, jobs), lambda job: carry(job, [sys.executable, "-P", str(QUICK)], rhythm))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
