"""How long a worker at an exchange waits for what, and how it says so."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from harness.record.exchange import BEAT, SILENCE
from harness.record.objects import Away, Unfit
from harness.spec.secrets import without_secrets

FINISHED = (Away, Unfit)
"""What a finished attempt waits out: rights that have run out may be renewed, too."""
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often an exchange hears of a worker."""

    beat: float = BEAT
    """Seconds between signs of life; a newer attempt and a user's wish to stop are noticed then, too."""
    silence: float = SILENCE
    """Seconds without one after which another worker may take over."""
    again: float = 5.0
    """Seconds until a store that did not answer is asked again."""
    start: float = 600.0
    """Seconds for which a worker that has nothing yet waits for a store that does not answer."""
    patience: float = 6 * 3600.0
    """Seconds for which a finished result waits for a store that does not answer."""


def patiently(ask: Callable[[], Value], rhythm: Rhythm, waited: tuple[type[Exception], ...] = (Away,)) -> Value:
    """Ask until the store answers, or the patience is over; say once that it is being waited for."""
    until, said = time.monotonic() + rhythm.patience, ""
    while True:
        try:
            return ask()
        except waited as error:
            if time.monotonic() > until:
                raise
            if not said:
                said = str(error)
                say(f"{said}; waiting")
        time.sleep(rhythm.again)


def say(text: str) -> None:
    """Print a line where the engine keeps what workers print, without secrets."""
    print(without_secrets(text), file=sys.stderr, flush=True)
