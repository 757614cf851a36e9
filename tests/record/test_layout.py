"""Who may look into a store: its maker alone, unless somebody made the folder for more."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.record.layout import Store
from harness.record.registration import register


@pytest.fixture(params=[0o022, 0o002, 0o000])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """Set a umask that lets others in."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_store_that_is_made_here_is_its_maker_s_alone(tmp_path: Path, umask: int) -> None:
    store = Store(tmp_path / "new" / ".harness")
    register(store, "claim", "bench", "f" * 64, {})
    assert mode(store.root) == 0o700
    assert mode(store.root.parent) == 0o777 & ~umask  # which is no store


def test_a_pilot_s_store_is_made_in_one_that_is_its_maker_s_alone(tmp_path: Path, umask: int) -> None:
    assert umask >= 0
    Store(tmp_path / ".harness").pilot("tiny").make()
    assert mode(tmp_path / ".harness") == 0o700


def test_a_folder_made_for_a_group_stays_as_it_is_and_what_comes_into_it_is_the_group_s(
    tmp_path: Path, umask: int
) -> None:
    store = Store(tmp_path / "shared")
    store.root.mkdir()
    store.root.chmod(0o2770)
    register(store, "claim", "bench", "f" * 64, {})
    assert mode(store.root) == 0o2770
    inner = store.registrations
    assert mode(inner) == 0o2777 & ~umask
    assert inner.stat().st_gid == store.root.stat().st_gid
    store.pilot("tiny").make()
    assert mode(store.root / "pilots") == 0o2777 & ~umask
