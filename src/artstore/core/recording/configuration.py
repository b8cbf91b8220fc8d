"""Says that a service runs with other settings than the last time."""

import asyncio
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import orjson

from artstore.core.errors import Unavailable
from artstore.core.logging import get_logger
from artstore.core.model.audit import AuditKind, Target
from artstore.core.private_files import write_private
from artstore.core.recording.deeds import Deed, Who
from artstore.core.recording.reports import Reports

REMEMBERED: Final = "settings.json"
"""Beside the events that wait: digests of the settings of the last start."""


async def tell_changed_settings(
    reports: Reports, folder: Path, service: str, settings: Mapping[str, Any]
) -> None:
    """An event with the names of what was changed; their values may be nobody's business.

    Not being able to say so keeps no service from starting; the next start says it.
    """
    file = folder / REMEMBERED
    now = {name: _digest(value) for name, value in settings.items()}
    before = await asyncio.to_thread(_remembered, file)
    if now == before:
        return
    changed = sorted(name for name in now | before if now.get(name) != before.get(name))
    deed = Deed(
        AuditKind.CONFIGURATION_CHANGED,
        target=Target(type="service", id=service),
        details={"changed": changed, "first_start": not before},
    )
    try:
        await reports.record(Who(), deed)
        await asyncio.to_thread(write_private, file, orjson.dumps(now))
    except (Unavailable, OSError) as error:
        get_logger().error("changed settings are not in the audit", cause=repr(error))


def _digest(value: Any) -> str:
    return sha256(orjson.dumps(value, default=str)).hexdigest()


def _remembered(file: Path) -> dict[str, str]:
    """What cannot be read counts as nothing: then everything is told once more."""
    try:
        found = orjson.loads(file.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}
