"""Whoever starts a service with other settings is told of, once, by the names of the settings."""

from pathlib import Path

import pytest
from tests.unit.core.recording.test_reports import Admin, reports_to
from tests.unit.core.recording.test_reports import admin as admin_fixture

from artstore.core.model.audit import AuditEvent, AuditKind
from artstore.core.recording.configuration import REMEMBERED, tell_changed_settings

admin = admin_fixture
SERVICE = "query/query-1"


async def start(admin: Admin, folder: Path, **settings: object) -> list[AuditEvent]:
    """What the audit learns of a start with these settings."""
    before = len(admin.taken)
    async with reports_to(admin, folder) as reports:
        await tell_changed_settings(reports, folder, SERVICE, settings)
    async with reports_to(admin, folder):
        await admin.has(before)
    return admin.events()[before:]


async def told(admin: Admin, folder: Path, **settings: object) -> AuditEvent:
    async with reports_to(admin, folder) as reports:
        before = len(admin.taken)
        await tell_changed_settings(reports, folder, SERVICE, settings)
        await admin.has(before + 1)
    return admin.events()[-1]


async def test_a_changed_setting_is_told_by_its_name(admin: Admin, tmp_path: Path) -> None:
    first = await told(admin, tmp_path, port=1, log_level="info")
    assert first.kind is AuditKind.CONFIGURATION_CHANGED
    assert first.details == {"changed": ["log_level", "port"], "first_start": True}

    second = await told(admin, tmp_path, port=1, log_level="debug", added=Path("/x"))
    assert second.details == {"changed": ["added", "log_level"], "first_start": False}
    assert second.target is not None
    assert second.target.id == SERVICE
    assert "debug" not in str(second)


async def test_the_same_settings_are_not_told_again(admin: Admin, tmp_path: Path) -> None:
    await told(admin, tmp_path, port=1)

    assert await start(admin, tmp_path, port=1) == []


async def test_what_could_not_be_told_is_told_by_the_next_start(
    admin: Admin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with reports_to(admin, tmp_path, bytes_max=0) as reports:
        await tell_changed_settings(reports, tmp_path, SERVICE, {"port": 1})
    assert not (tmp_path / REMEMBERED).exists()

    assert (await told(admin, tmp_path, port=1)).details["first_start"] is True


async def test_a_damaged_memory_is_none(admin: Admin, tmp_path: Path) -> None:
    (tmp_path / REMEMBERED).write_bytes(b"{")

    assert (await told(admin, tmp_path, port=1)).details["first_start"] is True
