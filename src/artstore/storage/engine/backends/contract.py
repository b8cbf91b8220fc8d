"""What a bucket must do before documents are trusted to it, tried out on objects of our own.

Stores that speak S3 differ, and settings of a bucket change. A store that breaks one of
these promises would lose or damage files without an error, so the element stays unready.
"""

import contextlib
import secrets
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final

from artstore.core.clock import Clock
from artstore.core.logging import get_logger
from artstore.storage.engine.backends.base import StoreAway
from artstore.storage.engine.backends.s3_bucket import PART_BYTES, Feature, S3Bucket

PROBE_KEY: Final = "probe"
CLOCK_SKEW_MAX: Final = timedelta(minutes=5)
"""S3 refuses requests from 15 minutes on."""
_RIVALS: Final = 8
_BEFORE: Final = b"before" * 1000
_AFTER: Final = b"after"


class ContractBroken(Exception):
    """The message says what the store did, in words for an operator."""


class _Cut(Exception):
    """Ends an upload in its middle."""


class Contract:
    def __init__(self, bucket: S3Bucket, clock: Clock, required: Iterable[Feature] = ()) -> None:
        self._bucket = bucket
        self._clock = clock
        self._required = tuple(required)
        self._folder = ""
        self.checks: Final[dict[str, Callable[[], None]]] = {
            "clock": self._clocks_agree,
            "read after write": self._a_new_object_is_read,
            "read after overwrite": self._an_overwritten_object_is_new,
            "read after delete": self._a_deleted_object_is_gone,
            "conditional create": self._what_is_there_is_not_created,
            "one creator": self._of_many_creators_one_wins,
            "conditional replace": self._only_the_known_object_is_replaced,
            "checksum": self._a_wrong_checksum_is_refused,
            "range": self._a_range_is_exact,
            "empty object": self._an_empty_object_is_one,
            "names": self._names_come_back_as_they_were,
            "list": self._a_listing_is_complete_and_in_order,
            "multipart": self._parts_become_one_object,
            "aborted multipart": self._an_aborted_upload_leaves_nothing,
            "features": self._required_features_are_on,
        }

    def check(self) -> None:
        """Raises:
        StoreAway: It names the promises that are broken; or the store cannot be reached.
        """
        self._folder = f"{PROBE_KEY}/{secrets.token_hex(8)}"
        try:
            broken = [name for name, check in self.checks.items() if not _is_kept(name, check)]
        finally:
            self._tidy()
        if broken:
            raise StoreAway(f"the object store breaks its contract: {', '.join(broken)}")

    def _tidy(self) -> None:
        try:
            for name in self._bucket.names(PROBE_KEY):
                self._bucket.delete(name)
        except StoreAway as away:
            get_logger().warning("objects of a check stay in the bucket", cause=away.detail)

    def _key(self, name: str) -> str:
        return f"{self._folder}/{name}"

    # --- the promises -----------------------------------------------------------------

    def _clocks_agree(self) -> None:
        skew = abs(self._bucket.time() - self._clock.now())
        _demand(skew <= CLOCK_SKEW_MAX, f"its clock differs by {skew}")

    def _a_new_object_is_read(self) -> None:
        self._bucket.put(self._key("new"), _BEFORE)
        _demand(self._bucket.get(self._key("new")) == _BEFORE, "a new object reads differently")

    def _an_overwritten_object_is_new(self) -> None:
        key = self._key("overwritten")
        self._bucket.put(key, _BEFORE)
        self._bucket.put(key, _AFTER)
        _demand(self._bucket.get(key) == _AFTER, "an overwritten object reads as before")

    def _a_deleted_object_is_gone(self) -> None:
        key = self._key("deleted")
        self._bucket.put(key, _BEFORE)
        self._bucket.delete(key)
        _demand(self._bucket.get(key) is None, "a deleted object is still read")
        _demand(key not in self._bucket.names(self._folder), "a deleted object is still listed")
        self._bucket.delete(key)

    def _what_is_there_is_not_created(self) -> None:
        key = self._key("created")
        _demand(self._bucket.create(key, _BEFORE), "an object that is not there is not created")
        _demand(not self._bucket.create(key, _AFTER), "an object is created over another")
        _demand(self._bucket.get(key) == _BEFORE, "a refused creation changed the object")

    def _of_many_creators_one_wins(self) -> None:
        key = self._key("contested")
        contents = [b"creator %d" % number for number in range(_RIVALS)]
        with ThreadPoolExecutor(_RIVALS) as pool:
            won = list(pool.map(lambda content: self._bucket.create(key, content), contents))
        _demand(won.count(True) == 1, f"{won.count(True)} of {_RIVALS} created the same object")
        _demand(self._bucket.get(key) == contents[won.index(True)], "the winner was overwritten")

    def _only_the_known_object_is_replaced(self) -> None:
        key = self._key("replaced")
        known = self._bucket.put(key, _BEFORE) or ""
        _demand(self._bucket.replace(key, _AFTER, known), "the known object is not replaced")
        _demand(not self._bucket.replace(key, _BEFORE, known), "an unknown object is replaced")
        _demand(self._bucket.get(key) == _AFTER, "a refused replacement changed the object")

    def _a_wrong_checksum_is_refused(self) -> None:
        good, bad = self._key("good"), self._key("bad")
        _demand(self._bucket.put_with_checksum(good, _BEFORE, _BEFORE), "a right one is refused")
        _demand(not self._bucket.put_with_checksum(bad, _BEFORE, _AFTER), "a wrong one is taken")
        _demand(self._bucket.get(bad) is None, "the refused object is there")

    def _a_range_is_exact(self) -> None:
        key = self._key("range")
        self._bucket.put(key, bytes(range(200)))
        _demand(
            self._bucket.get_range(key, 50, 20) == bytes(range(50, 70)), "other bytes were sent"
        )

    def _an_empty_object_is_one(self) -> None:
        key = self._key("empty")
        self._bucket.put(key, b"")
        _demand(self._bucket.get(key) == b"", "an empty object is not there")
        _demand(key in self._bucket.names(self._folder), "an empty object is not listed")

    def _names_come_back_as_they_were(self) -> None:
        key = self._key("names") + "/" + "Ведомость (копия) + №1 & " + "я" * 80
        self._bucket.put(key, _BEFORE)
        _demand(self._bucket.names(self._key("names")) == [key], "a long name came back changed")
        _demand(self._bucket.get(key) == _BEFORE, "an object with a long name is not read")

    def _a_listing_is_complete_and_in_order(self) -> None:
        folder = self._key("list")
        names = [f"{folder}/{number:02}{end}" for number in range(6) for end in (".a", ".b")]
        for name in reversed(names):
            self._bucket.put(name, _AFTER)
        _demand(self._bucket.names(folder) == names, "a listing lacks objects or their order")
        behind = self._bucket.names(folder, f"{folder}/02~")
        _demand(behind == names[6:], "a listing does not begin where it was asked to")

    def _parts_become_one_object(self) -> None:
        key = self._key("parts")
        blocks = [b"1" * PART_BYTES, b"2" * 1000]
        self._bucket.upload(key, iter(blocks))
        _demand(self._bucket.get(key) == b"".join(blocks), "parts became another object")

    def _an_aborted_upload_leaves_nothing(self) -> None:
        key = self._key("aborted")

        def cut() -> Iterator[bytes]:
            yield b"1" * PART_BYTES
            yield b"2" * PART_BYTES
            raise _Cut

        with contextlib.suppress(_Cut):
            self._bucket.upload(key, cut())
        _demand(self._bucket.get(key) is None, "an aborted upload is an object")
        _demand(not self._bucket.unfinished_uploads(self._folder), "its parts are kept")

    def _required_features_are_on(self) -> None:
        missing = [feature for feature in self._required if not self._bucket.has(feature)]
        _demand(not missing, f"the bucket lacks {', '.join(missing)}")


def _demand(kept: object, otherwise: str) -> None:
    if not kept:
        raise ContractBroken(otherwise)


def _is_kept(name: str, check: Callable[[], None]) -> bool:
    try:
        check()
    except ContractBroken as broken:
        get_logger().error("the object store breaks its contract", check=name, cause=str(broken))
        return False
    return True
