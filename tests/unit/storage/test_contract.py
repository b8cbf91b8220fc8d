"""Goal: each promise is really asked for.

Method: a bucket in memory that tells the truth, and for each check one that lies just there.
"""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.stepped_element import FixedClock

from artstore.storage.engine.backends.base import StoreAway
from artstore.storage.engine.backends.contract import Contract
from artstore.storage.engine.backends.s3_bucket import Feature

pytestmark = pytest.mark.usefixtures("quiet_logs")


class HonestBucket:
    """Has the methods of `S3Bucket`."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.lock = threading.Lock()
        self.features: set[str] = set()

    def put(self, key: str, data: bytes) -> str | None:
        self.objects[key] = data
        return f'"{hash(data)}"'

    def create(self, key: str, data: bytes) -> bool:
        with self.lock:
            if key in self.objects:
                return False
            self.objects[key] = data
            return True

    def replace(self, key: str, data: bytes, e_tag: str) -> bool:
        if f'"{hash(self.objects[key])}"' != e_tag:
            return False
        self.objects[key] = data
        return True

    def put_with_checksum(self, key: str, data: bytes, claimed: bytes) -> bool:
        if data == claimed:
            self.objects[key] = data
        return data == claimed

    def get(self, key: str) -> bytes | None:
        return self.objects.get(key)

    def get_range(self, key: str, start: int, length: int) -> bytes:
        return self.objects[key][start : start + length]

    def names(self, folder: str, behind: str | None = None) -> list[str]:
        keys = sorted(key for key in self.objects if key.startswith(f"{folder}/"))
        return [key for key in keys if behind is None or key > behind]

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)

    def upload(self, key: str, blocks: Iterator[bytes]) -> None:
        self.objects[key] = b"".join(blocks)

    def unfinished_uploads(self, folder: str) -> list[tuple[str, str]]:
        return []

    def time(self) -> datetime:
        return datetime(2026, 11, 22, 19, 30, tzinfo=UTC)

    def has(self, feature: Feature) -> bool:
        return feature in self.features


class WrongClock(HonestBucket):
    def time(self) -> datetime:
        return super().time() + timedelta(minutes=6)


class LosesNewOnes(HonestBucket):
    def get(self, key: str) -> bytes | None:
        return None if key.endswith("/new") else super().get(key)


class ReadsStale(HonestBucket):
    def put(self, key: str, data: bytes) -> str | None:
        self.objects.setdefault(key, data)
        return f'"{hash(self.objects[key])}"'


class KeepsDeleted(HonestBucket):
    def delete(self, key: str) -> None:
        pass


class ListsDeleted(HonestBucket):
    def names(self, folder: str, behind: str | None = None) -> list[str]:
        listed = super().names(folder, behind)
        return [*listed, f"{folder}/deleted"] if folder.count("/") == 1 else listed


class IgnoresConditions(HonestBucket):
    """As stores do that do not know `If-None-Match` on a PUT."""

    def create(self, key: str, data: bytes) -> bool:
        self.objects[key] = data
        return True


class LooksBeforeItCreates(HonestBucket):
    """The condition holds for one client, and not among several."""

    rivals = threading.Barrier(8)

    def create(self, key: str, data: bytes) -> bool:
        if key in self.objects:
            return False
        if key.endswith("/contested"):
            self.rivals.wait(10)
        self.objects[key] = data
        return True


class ReplacesAnything(HonestBucket):
    def replace(self, key: str, data: bytes, e_tag: str) -> bool:
        self.objects[key] = data
        return True


class IgnoresChecksums(HonestBucket):
    def put_with_checksum(self, key: str, data: bytes, claimed: bytes) -> bool:
        self.objects[key] = data
        return True


class KeepsRefused(HonestBucket):
    def put_with_checksum(self, key: str, data: bytes, claimed: bytes) -> bool:
        self.objects[key] = data
        return data == claimed


class IgnoresRanges(HonestBucket):
    def get_range(self, key: str, start: int, length: int) -> bytes:
        return self.objects[key]


class DropsEmpty(HonestBucket):
    def put(self, key: str, data: bytes) -> str | None:
        return super().put(key, data) if data else None


class CutsNames(HonestBucket):
    def put(self, key: str, data: bytes) -> str | None:
        return super().put(key[:100], data)


class ListsLate(HonestBucket):
    def names(self, folder: str, behind: str | None = None) -> list[str]:
        names = super().names(folder, behind)
        return names[:-1] if folder.endswith("/list") else names


class ListsFromTheStart(HonestBucket):
    def names(self, folder: str, behind: str | None = None) -> list[str]:
        return super().names(folder)


class SwapsParts(HonestBucket):
    def upload(self, key: str, blocks: Iterator[bytes]) -> None:
        self.objects[key] = b"".join(reversed(list(blocks)))


class FinishesAborted(HonestBucket):
    def upload(self, key: str, blocks: Iterator[bytes]) -> None:
        self.objects[key] = b""
        for block in blocks:
            self.objects[key] += block


class KeepsParts(HonestBucket):
    def unfinished_uploads(self, folder: str) -> list[tuple[str, str]]:
        return [(f"{folder}/aborted", "1")]


LIES: list[tuple[type[HonestBucket], str]] = [
    (WrongClock, "clock"),
    (LosesNewOnes, "read after write"),
    (ReadsStale, "read after overwrite"),
    (KeepsDeleted, "read after delete"),
    (ListsDeleted, "read after delete"),
    (IgnoresConditions, "conditional create"),
    (LooksBeforeItCreates, "one creator"),
    (ReplacesAnything, "conditional replace"),
    (IgnoresChecksums, "checksum"),
    (KeepsRefused, "checksum"),
    (IgnoresRanges, "range"),
    (DropsEmpty, "empty object"),
    (CutsNames, "names"),
    (ListsLate, "list"),
    (ListsFromTheStart, "list"),
    (SwapsParts, "multipart"),
    (FinishesAborted, "aborted multipart"),
    (KeepsParts, "aborted multipart"),
]


def contract(bucket: HonestBucket, *required: Feature) -> Contract:
    return Contract(bucket, FixedClock(), required)  # type: ignore[arg-type]


def test_an_honest_store_passes_and_is_left_clean() -> None:
    bucket = HonestBucket()
    contract(bucket).check()
    assert bucket.objects == {}


@pytest.mark.parametrize(("make", "check"), LIES, ids=lambda value: getattr(value, "__name__", ""))
def test_a_lie_is_found_and_named(make: Callable[[], HonestBucket], check: str) -> None:
    with pytest.raises(StoreAway, match="breaks its contract") as caught:
        contract(make()).check()
    assert check in caught.value.detail.partition(": ")[2].split(", ")


def test_every_check_has_its_liar() -> None:
    checks = set(contract(HonestBucket()).checks) - {"features"}
    assert checks == {check for _, check in LIES}


def test_features_are_asked_for_only_if_they_are_needed() -> None:
    bucket = HonestBucket()
    with pytest.raises(StoreAway, match="features"):
        contract(bucket, "object_lock").check()
    bucket.features.add("object_lock")
    contract(bucket, "object_lock").check()
