"""Which URLs objects may lie at, and whether what is there can be relied on.

A URL may come from the settings of a project and is data: a known scheme and plain names, nothing else. Whoever has a
right to the store is known by the environment, as the store's own tools have it; no URL carries a password.
"""

import os
import re
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from harness.record.object_folder import FolderObjects
from harness.record.object_store import StoreObjects, file_system
from harness.record.objects import Away, Objects, Unfit, unconditional

LIBRARIES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
"""Schemes of object stores, and the package that fsspec needs for each."""
_URL = re.compile(r"(?P<scheme>[a-z0-9]+)://(?P<place>[A-Za-z0-9._=+/-]*)")


def objects_at(url: str) -> Objects:
    """Return the objects at a URL; nothing is asked of the store yet.

    Raises:
        Unfit: the URL is none that may be used, or the package for its scheme is not installed.
    """
    scheme, place = _parts(url)
    if scheme == "file":
        return FolderObjects(Path(place))
    library = LIBRARIES[scheme]
    if find_spec(library) is None:
        raise Unfit(f"exchange {url}: needs the package {library}, which is not installed. Install {library}.")
    return StoreObjects(f"{scheme}://{place}", lambda: file_system(scheme), place)


def check(objects: Objects) -> None:
    """Raise Unfit where objects cannot be written, or where two can create the same one; tries it out."""
    key = f".probe-{os.getpid()}-{os.urandom(8).hex()}"
    if isinstance(objects, StoreObjects):
        objects.check_create()
    try:
        first, second = objects.create(key, b"first"), objects.create(key, b"second")
        if not first or second or objects.read(key) != b"first":
            raise Unfit(unconditional(objects.url))
    finally:
        with suppress(Away, Unfit):
            objects.remove(key)


def _parts(url: str) -> tuple[str, str]:
    """Return scheme and place of a URL; raise Unfit, which never repeats a URL that may hold a password."""
    if "@" in url:
        rule = "a URL with a user or a password in it is refused. Put credentials where the store's tools look for them"
        raise Unfit(f"exchange: {rule}: its variables of the environment, or its file in your home.")
    found = _URL.fullmatch(url)
    scheme = found["scheme"] if found else ""
    if found is None or scheme not in (*LIBRARIES, "file"):
        known = ", ".join(f"{name}://" for name in ("file", *LIBRARIES))
        raise Unfit(f"exchange {url!r}: is none of {known} with plain names after it. Correct it.")
    place = found["place"].rstrip("/")
    absolute, names = place.startswith("/"), place.strip("/").split("/")
    if absolute != (scheme == "file") or any(name in ("", ".", "..") for name in names):
        shape = "file:///FOLDER" if scheme == "file" else f"{scheme}://BUCKET/PREFIX"
        raise Unfit(f"exchange {url!r}: is not of the form {shape}. Correct it.")
    return scheme, place
