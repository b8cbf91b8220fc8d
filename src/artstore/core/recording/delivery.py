"""Hands reports to the admin module."""

from collections.abc import Sequence
from typing import Final

from artstore.core.http import Transport
from artstore.core.recording.reports import Deliver

PATH: Final = "/api/v1/audit/reports"
MEDIA_TYPE: Final = "application/x-ndjson"
TIMEOUT_S: Final = 10.0


def deliver_to(transport: Transport, admin_url: str) -> Deliver:
    """To the admin module at `admin_url`."""

    async def deliver(lines: Sequence[bytes]) -> None:
        async with transport.request(
            "POST",
            f"{admin_url}{PATH}",
            peer="admin",
            data=b"\n".join(lines),
            headers={"Content-Type": MEDIA_TYPE},
            timeout_s=TIMEOUT_S,
        ) as response:
            await response.read()

    return deliver
