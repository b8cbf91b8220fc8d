"""What a module reports is durable before it happens, and told until it was taken over."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from artstore.core.clock import SystemClock
from artstore.core.errors import Unavailable
from artstore.core.model.audit import AuditEvent, AuditKind
from artstore.core.recording import reports as module
from artstore.core.recording.deeds import Deed, EventMaker, Who
from artstore.core.recording.reports import Reports
from artstore.core.recording.spool import Spool

WHO = Who(subject="user:7", name="Мария", address="192.0.2.1", services=("edge/edge-1",))
DOWNLOAD = Deed(AuditKind.FILE_DOWNLOADED, details={"size": 1})
REFUSAL = Deed(AuditKind.ACCESS_REFUSED)


class Admin:
    """Takes lines over, or is away."""

    def __init__(self) -> None:
        self.away = False
        self.taken: list[bytes] = []

    async def take(self, lines: Sequence[bytes]) -> None:
        if self.away:
            raise Unavailable
        self.taken += lines

    async def has(self, number: int) -> None:
        async with asyncio.timeout(10):
            while len(self.taken) < number:
                await asyncio.sleep(0.01)

    def events(self) -> list[AuditEvent]:
        return [AuditEvent.model_validate(orjson.loads(line)["event"]) for line in self.taken]


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> Admin:
    monkeypatch.setattr(module, "RETRY_MIN_S", 0.01)
    monkeypatch.setattr(module, "GATHER_S", 0.01)
    return Admin()


@asynccontextmanager
async def reports_to(
    admin: Admin, folder: Path, bytes_max: int = 1 << 20
) -> AsyncIterator[Reports]:
    spool = Spool(folder, bytes_max)
    reports = Reports(spool, admin.take, EventMaker(SystemClock(), "query/query-1"))
    async with reports.running():
        yield reports
    spool.close()


async def test_what_is_recorded_is_taken_over(admin: Admin, tmp_path: Path) -> None:
    async with reports_to(admin, tmp_path) as reports:
        await reports.record(WHO, DOWNLOAD)
        reports.note(WHO, REFUSAL)
        await admin.has(2)

    recorded, noted = admin.events()
    assert (recorded.kind, noted.kind) == (DOWNLOAD.kind, REFUSAL.kind)
    assert recorded.actor.person == "7"
    assert recorded.actor.services == ("edge/edge-1", "query/query-1")


async def test_while_admin_is_away_events_wait_and_outlive_the_process(
    admin: Admin, tmp_path: Path
) -> None:
    admin.away = True
    async with reports_to(admin, tmp_path) as reports:
        await asyncio.gather(*(reports.record(WHO, DOWNLOAD) for _ in range(50)))
        reports.note(WHO, REFUSAL)
    assert admin.taken == []

    admin.away = False
    async with reports_to(admin, tmp_path):
        await admin.has(51)
    assert len({event.event_id for event in admin.events()}) == 51


async def test_what_cannot_be_written_down_must_not_happen(admin: Admin, tmp_path: Path) -> None:
    admin.away = True
    async with reports_to(admin, tmp_path, bytes_max=2000) as reports:
        await reports.record(WHO, DOWNLOAD)
        with pytest.raises(Unavailable):
            await asyncio.gather(*(reports.record(WHO, DOWNLOAD) for _ in range(10)))
        admin.away = False
        await admin.has(1)
        await reports.record(WHO, DOWNLOAD)


async def test_a_failing_disk_refuses(
    admin: Admin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with reports_to(admin, tmp_path) as reports:
        with monkeypatch.context() as broken:
            broken.setattr(Spool, "append", _no_room)
            with pytest.raises(Unavailable, match="audited"):
                await reports.record(WHO, DOWNLOAD)
        await reports.record(WHO, DOWNLOAD)
        await admin.has(1)


def _no_room(*_: object) -> None:
    raise OSError(28, "No space left on device")


async def test_recording_is_durable_before_it_returns(
    admin: Admin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin.away = True
    async with reports_to(admin, tmp_path) as reports:
        await reports.record(WHO, DOWNLOAD)
        assert b"file.downloaded" in b"".join(
            path.read_bytes() for path in tmp_path.glob("*.lines")
        )


async def test_notes_are_bounded(
    admin: Admin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NOTES_WAITING_MAX", 5)
    async with reports_to(admin, tmp_path) as reports:
        for _ in range(100):
            reports.note(WHO, REFUSAL)
        await admin.has(5)
    assert len(admin.taken) == 5
