"""Where the other modules report what must be in the audit log."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request

from artstore.admin.dependencies import ReportIntakeDep
from artstore.admin.services.audit.intake import REPORTERS
from artstore.core.errors import BodyTooLarge
from artstore.core.recording.delivery import PATH
from artstore.core.web.authentication import peer_of, require_peer

router = APIRouter(tags=["audit"], include_in_schema=False)

BODY_BYTES_MAX: Final = 64 << 20
"""1000 lines of an event and its facts; no event is larger than 64 KiB."""


async def _lines(request: Request) -> list[bytes]:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise BodyTooLarge
    return [line for line in bytes(body).split(b"\n") if line]


@router.post(PATH, status_code=204, dependencies=[Depends(require_peer(*REPORTERS))])
async def take_reports(
    request: Request, intake: ReportIntakeDep, lines: Annotated[list[bytes], Depends(_lines)]
) -> None:
    """A line each: `event`, as it will stand in the log, and `facts`, what opens it."""
    await intake.take(lines, peer_of(request.scope))
