"""New signatures are no reason to read a whole archive."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue

import pytest
from tests.support.quiet import quiet_logs
from tests.support.stepped_element import FixedClock, Ids, make_record, options

from artstore.core.errors import ScannerUnavailable
from artstore.core.model.element import StorageMode
from artstore.core.model.file import Scan
from artstore.core.model.ids import FileId
from artstore.storage.engine.engine import Engine
from artstore.storage.engine.entries import Outcome, Stored
from artstore.storage.services.downloads import Downloads
from artstore.storage.services.scanning import Scans
from artstore.storage.services.threads import Threads

__all__ = ["quiet_logs"]

pytestmark = pytest.mark.usefixtures("quiet_logs")
CLEAN = Scan(engine="clamd", verdict="clean", at=datetime(2026, 11, 22, tzinfo=UTC))
PENDING = CLEAN.model_copy(update={"verdict": "unscanned", "reason": "no_scanner"})


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    engine = Engine.open(options(str(tmp_path / "element"), mode=StorageMode.RW))
    engine.start()
    yield engine
    engine.close()


def put(engine: Engine, ids: Ids, scan: Scan) -> FileId:
    record = make_record(ids.new(), b"x", FixedClock()).model_copy(update={"scan": scan})
    outcomes: SimpleQueue[Outcome] = SimpleQueue()
    engine.new_files.put(record, b"x", None, outcomes.put)
    assert isinstance(outcomes.get(), Stored)
    return record.file_id


async def test_what_was_scanned_is_not_read_again(engine: Engine) -> None:
    ids = Ids(FixedClock())
    clean, pending = put(engine, ids, CLEAN), put(engine, ids, PENDING)
    threads = Threads(1, "test")
    scans = Scans(engine, Downloads(engine, threads), threads, scanner=None)
    with pytest.raises(ScannerUnavailable):
        await scans.scan(clean, None)
    for mode in (StorageMode.RO, StorageMode.AR):
        engine.modes.change(mode, by="a", reason="b", confirmed=True, trace=None)

    assert (await scans.scan(clean, None)).scan == CLEAN
    with pytest.raises(ScannerUnavailable):
        await scans.scan(pending, None)
    threads.close()
