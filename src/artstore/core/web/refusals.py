"""Refusals become audit events: whoever comes without a right, or without a valid token.

They are noticed where every answer leaves (`RequestTelemetry`), so no route can forget it, and
change no answer. A flood of them is told as its first few and a number for each minute.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import HTTPConnection
from starlette.types import Scope

from artstore.core.errors import (
    ArtStoreError,
    ClientCertificateRequired,
    ForeignFile,
    InvalidToken,
    NotPermitted,
    StepUpRequired,
)
from artstore.core.model.account import Caller
from artstore.core.model.audit import AuditKind, Outcome
from artstore.core.model.ids import FileId, is_file_id
from artstore.core.recording.deeds import Deed, Who
from artstore.core.recording.reports import Reports
from artstore.core.recording.tally import WINDOW_S, Counted, Tally
from artstore.core.web.asking import who_asks
from artstore.core.web.authentication import CALLER
from artstore.core.web.problems import PROBLEM

_REFUSALS: Final = (
    InvalidToken,
    NotPermitted,
    StepUpRequired,
    ClientCertificateRequired,
    ForeignFile,
)
"""Wrong credentials are attempts to sign in, which are events of their own."""

STRANGERS_TOLD: Final = 1
"""In a minute, of one address without a valid token: anybody can send thousands a second."""
KNOWN_TOLD: Final = 20
"""Of one person or account."""


@dataclass(frozen=True)
class Refused:
    who: Who
    problem: str
    details: Mapping[str, Any]
    file_id: FileId | None


class Refusals:
    def __init__(self, reports: Reports) -> None:
        self._reports = reports
        self._tally: Tally[Refused] = Tally(time.monotonic)

    def noticed(self, scope: Scope) -> None:
        """An answer that is a problem has left."""
        error = scope.get(PROBLEM)
        if not isinstance(error, _REFUSALS):
            return
        refused = _refused(scope, error)
        source = (refused.who.subject or refused.who.address, refused.problem)
        each_minute = KNOWN_TOLD if refused.who.subject else STRANGERS_TOLD
        if self._tally.is_told(source, refused, each_minute):
            self._reports.note(refused.who, _deed(refused))

    async def run(self) -> None:
        """Tells the numbers, until cancelled."""
        try:
            while True:
                await asyncio.sleep(WINDOW_S / 4)
                self._tell(self._tally.ended())
        finally:
            self._tell(self._tally.ended(all_of_them=True))

    def _tell(self, ended: list[Counted[Refused]]) -> None:
        for counted in ended:
            refused = counted.sample
            who = Who(services=refused.who.services) if counted.mixed else refused.who
            details = {"further_refusals": counted.untold, "within_s": int(WINDOW_S)}
            deed = Deed(
                AuditKind.ACCESS_REFUSED,
                Outcome.REFUSED,
                problem=refused.problem,
                details=details | ({"from": "many sources"} if counted.mixed else {}),
            )
            self._reports.note(who, deed)


def _refused(scope: Scope, error: ArtStoreError) -> Refused:
    who = who_asks(HTTPConnection(scope))
    caller: Caller | None = scope.get(CALLER)
    file_id = scope.get("path_params", {}).get("file_id", "")
    details = {"method": scope["method"][:16], "route": _route(scope)}
    if isinstance(error, ForeignFile):
        details["answered"] = error.code
    return Refused(
        who=who.proven(caller) if caller else who,
        problem=NotPermitted.code if isinstance(error, ForeignFile) else error.code,
        details=details,
        file_id=FileId(file_id) if isinstance(file_id, str) and is_file_id(file_id) else None,
    )


def _deed(refused: Refused) -> Deed:
    return Deed(
        AuditKind.ACCESS_REFUSED,
        Outcome.REFUSED,
        problem=refused.problem,
        file_id=refused.file_id,
        details=refused.details,
    )


def _route(scope: Scope) -> str:
    """The template, never the path: a path may hold anything."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else "unmatched"
