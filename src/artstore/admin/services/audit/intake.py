"""Takes over the events that other modules report, and this one's own refusals."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ValidationError

from artstore.admin.repository import audit_events
from artstore.admin.repository.audit_events import EventRow
from artstore.admin.repository.catalogue_files import connection_of
from artstore.admin.services.audit.trail import Trail, row_of
from artstore.core.database import Database
from artstore.core.errors import InvalidRequest, NotPermitted
from artstore.core.model.audit import AuditEvent, AuditKind, Disclosures, commitment
from artstore.core.tls import PeerIdentity

LINES_MAX: Final = 1000
_OF_ALL: Final = frozenset({AuditKind.ACCESS_REFUSED, AuditKind.CONFIGURATION_CHANGED})
_REPORTED_BY: Final = {
    "ingester": _OF_ALL,
    "query": _OF_ALL | {AuditKind.FILE_DOWNLOADED},
    "storage": _OF_ALL,
}
"""What each module may say. Everything else has its event where it happens."""
REPORTERS: Final = tuple(_REPORTED_BY)


def _event(value: Any) -> Any:
    return AuditEvent.model_validate(value, strict=False)


class Report(BaseModel):
    event: Annotated[AuditEvent, BeforeValidator(_event)]
    facts: Disclosures


class ReportIntake:
    def __init__(self, database: Database, trail: Trail) -> None:
        self._database = database
        self._trail = trail

    async def take(self, lines: Sequence[bytes], reporter: PeerIdentity | None) -> None:
        """All of them or none; those that are known already are left out.

        Args:
            reporter: Who says so; `None` for this module itself.

        Raises:
            InvalidRequest: A line is no report.
            NotPermitted: The reporter has no business to say this.
            Unavailable: The database is away, or the audit log is too far behind.
        """
        self._trail.check()
        if len(lines) > LINES_MAX:
            raise InvalidRequest(f"at most {LINES_MAX} reports at once")
        reports = [_parsed(line) for line in lines]
        if reporter is not None:
            for report in reports:
                _check(report.event, reporter)
        rows = [_row(report) for report in reports]
        if rows:
            async with self._database.session() as session:
                await audit_events.add_many(await connection_of(session), rows)


def _parsed(line: bytes) -> Report:
    try:
        report = Report.model_validate_json(line)
    except ValidationError as error:
        raise InvalidRequest("a line is not a report") from error
    made = {name: commitment(name, fact.salt, fact.value) for name, fact in report.facts.items()}
    if made != report.event.personal:
        raise InvalidRequest("a report does not open its commitments")
    return report


def _check(event: AuditEvent, reporter: PeerIdentity) -> None:
    services = event.actor.services
    own = f"{reporter.module}/{reporter.instance}"
    if event.kind not in _REPORTED_BY[reporter.module] or not services or services[-1] != own:
        raise NotPermitted("a service reports what it has done itself, and nothing else")


def _row(report: Report) -> EventRow:
    return row_of(report.event, report.facts)
