"""`python -m harness.source.verifying`: the process in which answers are read and compared, one line for each.

A policy writes what it likes, and a library of symbolic mathematics evaluates it: `9^{9^{9}}` would take the machine's
memory. So it happens in a process of its own, which has a limit of memory and, for each answer, of its own CPU time;
past it the system ends the process, and whoever asked knows why. math-verify's own limits are alarm signals, which
work in the main thread only and which an `except` of the evaluated library may swallow; they are turned off.

The first line on standard input says what to verify: {"task": TASK, "seconds": S, "bytes": B}; every further one is
{"gold": G, "answer": A, "row": N}, or {"gold": G} to ask whether the correct answer itself can be read. Standard
output has {"ready": VERSION} or {"refused": WHY}, then a line for each: [judgement, score], or null where the correct
answer cannot be read.
"""

import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from importlib.metadata import version
from typing import Any

from harness.source.judgement import Judgement
from harness.source.reasoning import data_set
from harness.spec import DeclarationError, read_task
from harness.spec.task import ReasoningTask

Judge = Callable[[Mapping[str, Any]], tuple[Judgement, float] | None]


def main() -> int:
    """Serve until standard input closes; return the exit status."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nothing that a library prints may reach the protocol
    logging.disable(logging.CRITICAL)
    first = json.loads(sys.stdin.readline())
    try:
        judge, which = _judge(first["task"])
    except (DeclarationError, ImportError) as error:
        _say(answers, {"refused": str(error)})
        return 1
    with suppress(ValueError, OSError):  # not every system limits address space
        resource.setrlimit(resource.RLIMIT_AS, (first["bytes"], first["bytes"]))
    _say(answers, {"ready": which})
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, first["seconds"])  # its signal, not handled, ends the process
        try:
            said: Any = judge(json.loads(line))
        except MemoryError:
            said = Judgement.EXHAUSTED, 0.0
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        _say(answers, said)
    return 0


def _say(answers: Any, said: Any) -> None:
    answers.write(json.dumps(said) + "\n")
    answers.flush()


def _judge(said: Mapping[str, Any]) -> tuple[Judge, str]:
    task = read_task(said)
    if isinstance(task, ReasoningTask):
        return _reasoning(task), version("reasoning-gym")
    return _math(), version("math-verify")


def _math() -> Judge:
    try:
        library: Any = import_module("math_verify")  # by name: an extra, without types
    except ImportError:
        raise ImportError("math-verify is not installed. Install it: pip install 'rlvr-harness[math]'.") from None

    def read(text: str) -> list[Any]:
        return library.parse(text, parsing_timeout=None)

    def judge(asked: Mapping[str, Any]) -> tuple[Judgement, float] | None:
        gold = read(f"\\boxed{{{asked['gold']}}}")
        if not _expressions(gold):
            return None
        if "answer" not in asked:
            return Judgement.RIGHT, 1.0
        answer = read(asked["answer"])
        if library.verify(gold, answer, timeout_seconds=None):  # the order matters: the correct answer comes first
            return Judgement.RIGHT, 1.0
        return (Judgement.WRONG if _expressions(answer) else Judgement.UNPARSABLE), 0.0

    return judge


def _expressions(read: list[Any]) -> bool:
    """Return whether something was read beside the bare text, which math-verify adds where parsing failed."""
    return any(not isinstance(one, str) for one in read)


def _reasoning(task: ReasoningTask) -> Judge:
    made = data_set(task)

    def judge(asked: Mapping[str, Any]) -> tuple[Judgement, float]:
        text = _between_tags(asked["answer"], task.answer_tag)
        if text is None:
            return Judgement.UNPARSABLE, 0.0
        try:
            score = float(made.score_answer(text, made[asked["row"]]))
        except Exception:  # a scorer that fails on an answer has not accepted it
            return Judgement.UNPARSABLE, 0.0
        score = min(1.0, max(0.0, score))
        return (Judgement.RIGHT if score == 1.0 else Judgement.WRONG), score

    return judge


def _between_tags(text: str, tag: str | None) -> str | None:
    """Return what stands between the last opening tag and its end, or None where no such place is."""
    if tag is None:
        return text.strip() or None
    before, opening, after = text.rpartition(f"<{tag}>")
    del before
    inside, closing, _ = after.partition(f"</{tag}>")
    return inside.strip() or None if opening and closing else None


if __name__ == "__main__":
    sys.exit(main())
