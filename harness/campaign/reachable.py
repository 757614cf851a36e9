"""Which engines answer, and the exchange: asked with the sites' own tools and addresses, and never by starting work.

An engine that does not answer is not told to be absent: a controller may be down for a minute.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from harness.campaign.filesystem import Check
from harness.spec.engines import RaySettings, SlurmSettings

SECONDS = 5.0
"""How long an engine may take to answer."""
RAY_ADDRESS = "RAY_API_SERVER_ADDRESS"
ANSWER = 65536
"""Bytes of an answer that are read."""


def engine_checks(slurm: SlurmSettings, ray: RaySettings, chosen: str | None) -> Iterator[Check]:
    """Yield what each engine says; one that does not answer is a NO only if the project has `chosen` it."""
    yield Check("local", True, "processes of this machine")
    yield _slurm(slurm, chosen == "slurm")
    yield _ray(ray, chosen == "ray")


def unfit_folder(url: str, store: Path) -> str | None:
    """Return why a folder that a URL names cannot be an exchange, with the remedy; None where it may, or is none."""
    if not url.startswith("file://"):
        return None
    folder = Path(url.removeprefix("file://"))
    try:
        if not folder.is_dir():
            return f"{'is no folder' if folder.exists() else 'no such folder'}. Make it, or mend the setting."
    except OSError as error:  # a folder above it that may not be entered, a mount that is stale
        return f"{error.strerror}. Mend that, or the setting."
    if folder.resolve().is_relative_to(store.resolve()):
        return "lies in the store, whose records an exchange would mix with its own. Name a folder elsewhere."
    return None


def exchange_check(url: str | None, store: Path) -> Iterator[Check]:
    """Yield what comes of creating an object at the project's exchange, if it has one, twice; it is removed again."""
    if url is None:
        return
    if (rule := unfit_folder(url, store)) is not None:
        yield Check("exchange", False, f"{url}: {rule}")
        return
    from harness.record.object_url import check, objects_at  # fsspec, 0.2 s, which few projects need
    from harness.record.objects import Away, Unfit

    try:
        check(objects_at(url))
    except (Away, Unfit) as error:
        yield Check("exchange", False, str(error).removeprefix("exchange "))
    else:
        yield Check("exchange", True, f"{url} creates on condition")


def _slurm(settings: SlurmSettings, chosen: bool) -> Check:
    lacking = False if chosen else None
    if shutil.which("scontrol") is None:
        return Check("slurm", lacking, "no scontrol on PATH" + (", though the project's executor" if chosen else ""))
    code, said = _asked("scontrol", "ping")
    if code or " UP" not in said.upper():
        return Check("slurm", False if chosen else None, f"the controller does not answer: {said or f'exit {code}'}")
    code, listed = _asked("sinfo", "--noheader", "--format=%R")
    partitions = sorted(set(listed.split())) if not code else []
    if settings.partition and partitions and settings.partition not in partitions:
        told = f"answers, and has no partition {settings.partition} of [tool.harness.slurm], only"
        return Check("slurm", False, f"{told} {', '.join(partitions)[:100]}")
    named = f"; partitions {', '.join(partitions)[:100]}" if partitions else ""
    return Check("slurm", True, f"the controller answers{named}")


def _asked(*command: str) -> tuple[int, str]:
    """Return the exit code of a tool, and the first line that it prints; 124 where it takes too long."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return 124, f"nothing within {SECONDS:g} s"
    except OSError as error:
        return 126, str(error.strerror)
    text = done.stdout.strip() or done.stderr.strip()
    return done.returncode, text if command[0] == "sinfo" else (text.splitlines() or [""])[0][:120]


def _ray(settings: RaySettings, chosen: bool) -> Check:
    lacking = False if chosen else None
    address = settings.address or os.environ.get(RAY_ADDRESS)
    if not address:
        told = f"no address: neither [tool.harness.ray] nor {RAY_ADDRESS} gives one"
        return Check("ray", lacking, told)
    where = _place(address)
    if where is None:
        return Check("ray", lacking, "its address is none of a dashboard. Write http://HOST:PORT")
    try:
        with urlopen(Request(f"{address.rstrip('/')}/api/version"), timeout=SECONDS) as answer:
            said: Any = json.loads(answer.read(ANSWER))
        return Check("ray", True, f"{where} answers, ray {said['ray_version']}")
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        return Check("ray", lacking, f"{where} does not answer: {str(reason)[:80]}")
    except (HTTPException, ValueError, KeyError, TypeError):
        return Check("ray", lacking, f"{where} answers, but is no dashboard of Ray")


def _place(address: str) -> str | None:
    """Return host and port of an address, without a user or a password; None where it has none."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    return f"{host}:{port}" if parts.scheme in ("http", "https") and host else None
