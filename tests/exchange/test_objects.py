"""Objects in a folder and in a bucket: one creator wins, and what cannot be relied on is refused."""

import threading
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.record.object_store import StoreObjects
from harness.record.object_url import check, objects_at
from harness.record.objects import Away, Objects, Unfit

if TYPE_CHECKING:
    from tests.exchange.conftest import S3

RACERS = 8


def test_of_eight_that_create_an_object_one_wins(objects: Objects) -> None:
    for turn in range(5):
        barrier, won = threading.Barrier(RACERS), list[int]()

        def create(me: int, turn: int = turn, barrier: threading.Barrier = barrier, won: list[int] = won) -> None:
            barrier.wait()
            if objects.create(f"runs/r/{turn}", str(me).encode()):
                won.append(me)

        threads = [threading.Thread(target=create, args=(me,)) for me in range(RACERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert objects.read(f"runs/r/{turn}") == str(won[0]).encode()
    assert sorted(objects.entries("runs/r")) == ["0", "1", "2", "3", "4"]  # losers leave nothing behind


def test_objects_are_written_listed_read_and_removed(objects: Objects, tmp_path: Path) -> None:
    check(objects)
    began = objects.now()
    (tmp_path / "a").write_bytes(b"x" * 100)
    objects.upload(tmp_path / "a", "runs/one/data/0001/a")
    objects.put("runs/one/spec.json", b"{}")
    objects.put("runs/one/spec.json", b"[]")
    objects.put("runs/one-more/spec.json", b"{}")  # its name begins alike
    found = objects.entries("runs/one")
    assert {name: entry.size for name, entry in found.items()} == {"data/0001/a": 100, "spec.json": 2}
    assert all(0 <= entry.stamp - began < 60 for entry in found.values())
    assert objects.read("runs/one/spec.json") == b"[]"
    objects.download("runs/one/data/0001/a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"x" * 100
    objects.remove("runs/one/spec.json")
    objects.remove("runs/one/spec.json")
    assert objects.read("runs/one/spec.json") is None
    assert objects.entries("runs/two") == {}
    with pytest.raises(FileNotFoundError):
        objects.download("runs/one/gone", tmp_path / "c")


def test_who_repeats_a_create_whose_answer_was_lost_has_won(objects: Objects) -> None:
    assert objects.create("claim", b"mine")
    assert objects.create("claim", b"mine")
    assert not objects.create("claim", b"theirs")


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/etc/passwd", "a//b", "a b", "a\nb", ""])
def test_keys_lead_nowhere_else(key: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no key of an exchange"):
        objects_at(f"file://{tmp_path}").put(key, b"")


def store(**own: Any) -> StoreObjects:
    """Return objects in memory, in a kind of file system of the test's own."""
    kind: Any = import_module("fsspec.implementations.memory").MemoryFileSystem
    apart: dict[str, Any] = {"store": {}, "pseudo_dirs": [""], "cachable": False}
    return StoreObjects("s3://bucket/prefix", type("Mine", (kind,), apart | own), "bucket/prefix")


def overwrites(self: Any, path: str, value: bytes, mode: str = "overwrite") -> None:
    """Take every create for a write."""
    self.open(path, "wb", data=value)


def looks_first() -> Any:
    """Return fsspec's own way to create: it looks, then it writes."""
    return import_module("fsspec").AbstractFileSystem.pipe_file


@pytest.mark.parametrize("create", [overwrites, looks_first()])
def test_a_store_where_two_can_create_the_same_is_refused(create: Any) -> None:
    with pytest.raises(Unfit, match=r"^exchange s3://bucket/prefix: two can create the same object there, .*If-None"):
        check(store(pipe_file=create))


def test_a_store_that_creates_by_itself_is_taken() -> None:
    check(store())


def test_a_store_that_looks_first_seems_to_work_when_tried_in_turn() -> None:
    objects = store(pipe_file=looks_first())  # so its class must be looked at
    assert [objects.create("x", b"1"), objects.create("x", b"2")] == [True, False]


@pytest.mark.parametrize(
    "url",
    [
        "http://host/x",
        "github://org:repo/x",
        "simplecache::s3://bucket/x",
        "zip://x::s3://bucket/y",
        "memory://x",
        "s3://",
        "s3:///bucket",
        "s3://bucket/../other",
        "s3://bucket//x",
        "s3://bucket/x?endpoint_url=http://evil",
        "s3://bucket/x y",
        "s3://bucket/$(id)",
        "s3://bucket/x\n",
        "file://relative",
        "file:///",
        "file:///a/../etc",
        "reference://x",
        "",
    ],
)
def test_urls_that_are_no_place_of_objects_are_refused(url: str) -> None:
    with pytest.raises(Unfit, match=r"^exchange .*Correct it\.$"):
        objects_at(url)


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(Unfit) as refused:
        objects_at("s3://user:hunter2@bucket/x")
    assert "hunter2" not in str(refused.value)
    assert "credentials" in str(refused.value)


def test_a_scheme_whose_package_is_missing_says_which() -> None:
    if find_spec("gcsfs") is not None:
        pytest.skip("gcsfs is installed")
    with pytest.raises(Unfit, match="needs the package gcsfs"):
        objects_at("gs://bucket/x")


def test_a_bucket_that_is_not_there_is_told(s3: "S3") -> None:
    with pytest.raises(Unfit, match=r"^exchange s3://no-such-bucket/x: .*does not exist\. Make the bucket"):
        check(objects_at("s3://no-such-bucket/x"))


def test_without_credentials_it_says_so(s3: "S3", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(Unfit, match="no credentials found"):
        check(objects_at(s3.url))


def test_a_server_that_is_away_is_away_and_comes_back(s3: "S3") -> None:
    objects = s3.objects
    objects.put("x", b"1")
    s3.door.close()
    try:
        for ask in (lambda: objects.read("x"), lambda: objects.create("y", b""), lambda: objects.entries("runs")):
            with pytest.raises(Away, match=r"^exchange s3://bucket-of-tests/.*: no answer \("):
                ask()
    finally:
        s3.door.open()
    assert objects.read("x") == b"1"


def test_a_folder_that_is_gone_is_away_and_is_not_made_again(tmp_path: Path) -> None:
    objects = objects_at(f"file://{tmp_path / 'mount'}")
    with pytest.raises(Away, match="no such folder now"):
        objects.put("x", b"")
    assert not (tmp_path / "mount").exists()
