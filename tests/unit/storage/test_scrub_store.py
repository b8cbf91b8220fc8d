"""The scrub of an element whose files lie in an object store."""

from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import obstore
import orjson
import pytest
from obstore.store import MemoryStore
from tests.support.quiet import quiet_logs
from tests.support.stepped_element import FixedClock, Ids, make_record, options

from artstore.core.errors import DigestMismatch, FileDamaged
from artstore.core.model.file import FileRecord
from artstore.core.model.ids import FileId
from artstore.core.model.scrub import ScrubRequest, ScrubState
from artstore.storage.engine.backends.objects import ObjectBackend
from artstore.storage.engine.engine import Engine
from artstore.storage.engine.entries import Outcome, Stored

__all__ = ["quiet_logs"]

pytestmark = pytest.mark.usefixtures("quiet_logs")


class TrustingGuard:
    def check_contract(self) -> None:
        pass

    def tidy(self) -> None:
        pass


class Shop:
    """An element over a store in memory."""

    def __init__(self, root: Path) -> None:
        self.store = MemoryStore()
        self.root = root
        self.ids = Ids(FixedClock())
        self.engine = self.opened()
        self.engine.start()
        self.files: list[FileId] = []

    def opened(self) -> Engine:
        backend = ObjectBackend(self.store, TrustingGuard(), concurrency=2, capacity_bytes=1 << 40)
        return Engine.open(options(str(self.root), scrub_rate_bytes_per_s=1 << 40), backend=backend)

    def put(self, content: bytes) -> FileId:
        outcomes: SimpleQueue[Outcome] = SimpleQueue()
        file_id = self.ids.new()
        record = make_record(file_id, content, FixedClock())
        self.engine.new_files.put(record, content, None, outcomes.put)
        assert isinstance(outcomes.get(), Stored)
        self.files.append(file_id)
        return file_id

    def key(self, file_id: FileId, suffix: str) -> str:
        return next(key for key in self.keys("data") if key.endswith(f"{file_id}{suffix}"))

    def keys(self, folder: str) -> list[str]:
        return [entry["path"] for batch in obstore.list(self.store, folder) for entry in batch]

    def overwrite(self, key: str, data: bytes) -> None:
        obstore.put(self.store, key, data)

    def scrub(self) -> list[dict[str, Any]]:
        head = self.engine.head
        self.engine.scrub.command(ScrubRequest(action="start"))
        while self.engine.scrub.status().state is ScrubState.RUNNING:
            pass
        assert self.engine.scrub.status().trouble is None
        lines = [orjson.loads(line) for line in self.engine.feed.changes(head, 1000).lines]
        return [line["detail"] for line in lines if line["type"] == "finding"]

    def repair(self, file_id: FileId, content: bytes, record: FileRecord | None = None) -> None:
        incoming = self.engine.repairs.begin(file_id, record)
        incoming.write(content)
        self.engine.repairs.finish(incoming, record)

    def read(self, file_id: FileId) -> bytes:
        return self.engine.contents.open(file_id).whole()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path / "element")
    for number in range(3):
        shop.put(b"content %d" % number)
    yield shop
    shop.engine.close()


def test_a_whole_store_has_no_findings(shop: Shop) -> None:
    assert shop.scrub() == []
    assert shop.engine.scrub.status().checked_files == 3


def test_damage_is_set_aside_and_repaired(shop: Shop) -> None:
    first = shop.files[0]
    key = shop.key(first, ".pdf")
    shop.overwrite(key, b"content X")
    assert [(one["finding"], one["path"]) for one in shop.scrub()] == [("damaged", key)]
    assert key not in shop.keys("data")
    assert len(shop.keys("quarantine")) == 1
    with pytest.raises(FileDamaged):
        shop.read(first)
    assert shop.scrub() == []

    with pytest.raises(DigestMismatch):
        shop.repair(first, b"content Y")
    assert not any(name.endswith(".repair") for name in shop.keys("data"))
    shop.repair(first, b"content 0")
    assert shop.read(first) == b"content 0"
    assert not any(name.endswith(".repair") for name in shop.keys("data"))
    assert shop.engine.scrub.status().open_findings == 0


def test_a_bad_copy_does_not_touch_a_whole_file(shop: Shop) -> None:
    with pytest.raises(DigestMismatch):
        shop.repair(shop.files[1], b"content X")
    assert shop.read(shop.files[1]) == b"content 1"


def test_damaged_and_lost_records(shop: Shop) -> None:
    first, second, third = shop.files
    records = {file_id: shop.engine.reading.record(file_id) for file_id in shop.files}
    shop.overwrite(shop.key(first, ".attr.json"), b"{}\n")
    obstore.delete(shop.store, shop.key(second, ".attr.json"))
    obstore.delete(shop.store, shop.key(third, ".pdf"))
    assert sorted((one["finding"], one["file_id"]) for one in shop.scrub()) == [
        ("attr_damaged", first),
        ("missing_content", second),
        ("missing_content", third),
    ]
    for number, file_id in enumerate(shop.files):
        shop.repair(file_id, b"content %d" % number, records[file_id])
        assert shop.read(file_id) == b"content %d" % number
        assert shop.engine.reading.record(file_id) == records[file_id]
    assert shop.scrub() == []
    assert shop.engine.scrub.status().open_findings == 0


def test_a_deletion_takes_the_damaged_bytes_too(shop: Shop) -> None:
    shop.overwrite(shop.key(shop.files[0], ".pdf"), b"content X")
    shop.scrub()
    shop.engine.changes.delete(shop.files[0], by="a", reason="b", trace=None)
    assert shop.keys("quarantine") == []
