"""What happened, who did it, and how it ended: one record for everything that is audited.

The JSON form is fixed and documented in `docs/formats/audit-event.md`. A record never changes:
its canonical JSON is a leaf of the audit log.

Personal facts are not in the record. It holds a commitment to each, and the fact itself lies
apart as a `Disclosure`. Erasing the disclosure erases the fact for good; the record, and with it
the whole log, stays verifiable.
"""

import hmac
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

import orjson
from pydantic import AfterValidator, Field, PlainSerializer, StringConstraints

from artstore.core.canonical_json import NotCanonical, canonical_json
from artstore.core.errors import InvalidRequest
from artstore.core.model.event import TraceId
from artstore.core.model.file import Model, Sha256, Text
from artstore.core.model.ids import CollectionName, ElementId, FileIdField

AUDIT_SCHEMA_VERSION: Final = 1

DETAILS_BYTES_MAX = 32 << 10
"""An entry of the log has at most 64 KiB."""

PERSONAL_CHARS_MAX = 4096
ID_CHARS_MAX = 256
"""Of whoever or whatever an event names. With the other limits an entry never grows too long for
the log, and each id fits into an index of PostgreSQL (2704 bytes)."""
SALT_BYTES = 32
_DOMAIN: Final = "artstore-audit-commitment/1\n"


class AuditKind(StrEnum):
    """Names of what happens, `<thing>.<what was done>`. They are never renamed or reused."""

    # Who comes in.
    SIGN_IN = "authentication.sign_in"
    TOKEN_ISSUED = "authentication.token_issued"  # noqa: S105  names of kinds, not secrets
    TOKEN_REFRESHED = "authentication.token_refreshed"  # noqa: S105
    TOKEN_REVOKED = "authentication.token_revoked"  # noqa: S105
    SIGN_OUT = "authentication.sign_out"
    SECOND_FACTOR = "authentication.second_factor"
    ACCESS_REFUSED = "authorization.refused"

    # Files.
    FILE_UPLOADED = "file.uploaded"
    FILE_DOWNLOADED = "file.downloaded"
    FILE_CHANGED = "file.changed"
    FILE_DELETED = "file.deleted"
    FILE_HOLD_PLACED = "file.hold_placed"
    FILE_HOLD_RELEASED = "file.hold_released"
    FILE_RETENTION_CHANGED = "file.retention_changed"
    FILE_TRANSFERRED = "file.transferred"
    FILE_COPIED = "file.copied"
    """Another element has it as well, or has the newer record now."""
    FILE_RESTORED = "file.restored"
    FILE_DAMAGE_FOUND = "file.damage_found"
    FILE_REPAIRED = "file.repaired"
    FILE_QUARANTINE_CLEARED = "file.quarantine_cleared"
    """What was set aside as damaged was looked at by people and is gone."""

    # What files live on and by.
    ELEMENT_REGISTERED = "element.registered"
    ELEMENT_CHANGED = "element.changed"
    ELEMENT_REMOVED = "element.removed"
    ELEMENT_MODE_CHANGED = "element.mode_changed"
    ELEMENT_SCRUBBED = "element.scrubbed"
    ELEMENT_HISTORY_BROKEN = "element.history_broken"
    """Changes of an element are lost to the audit: its disk was put back or replaced."""
    POLICY_CHANGED = "policy.changed"
    COLLECTION_CHANGED = "collection.changed"
    GRANT_CHANGED = "grant.changed"
    CATALOGUE_REBUILT = "catalogue.rebuilt"
    JOB_CANCELLED = "job.cancelled"

    # Accounts, secrets, settings.
    ACCOUNT_CREATED = "account.created"
    ACCOUNT_CHANGED = "account.changed"
    ACCOUNT_REMOVED = "account.removed"
    SECRET_CHANGED = "secret.changed"  # noqa: S105
    KEY_CREATED = "key.created"
    KEY_ACTIVATED = "key.activated"
    KEY_RETIRED = "key.retired"
    KEY_REMOVED = "key.removed"
    CONFIGURATION_CHANGED = "configuration.changed"

    # The audit log itself.
    AUDIT_STARTED = "audit.started"
    AUDIT_READ = "audit.read"
    AUDIT_EXPORTED = "audit.exported"
    AUDIT_PERSONAL_ERASED = "audit.personal_erased"
    AUDIT_WITNESS_ALARM = "audit.witness_alarm"


class Outcome(StrEnum):
    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    """A rule or a right forbade it."""
    FAILED = "failed"
    """It was allowed and did not work."""


class PersonalField(StrEnum):
    """Personal facts that a record may commit to."""

    ACTOR_NAME = "actor_name"
    """As typed or as known: a user name, a client id, whatever somebody tried to sign in as."""
    CLIENT_ADDRESS = "client_address"
    FILENAME = "filename"
    QUERY = "query"
    REASON = "reason"
    """What a person wrote as the reason."""
    NOTE = "note"


def _as_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a time needs its offset from UTC")
    return moment.astimezone(UTC)


def moment_text(moment: datetime) -> str:
    """Always with microseconds: one spelling, and texts sort as times do."""
    return moment.isoformat(timespec="microseconds")[:26] + "Z"


Moment = Annotated[
    datetime, AfterValidator(_as_utc), PlainSerializer(moment_text, when_used="json")
]

EventId = FileIdField
"""A UUIDv7 too: events sort by the time they were written down."""


def _checked_details(details: dict[str, Any]) -> dict[str, Any]:
    try:
        size_bytes = len(canonical_json(details))
    except NotCanonical as error:
        raise ValueError(str(error)) from None
    if size_bytes > DETAILS_BYTES_MAX:
        raise ValueError(f"details may take {DETAILS_BYTES_MAX} bytes")
    return details


DetailKey = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Details = Annotated[dict[DetailKey, Any], AfterValidator(_checked_details)]
"""Facts of one kind of event: any JSON values but fractions. Nothing personal."""

SERVICE_NAME: Final = r"^[a-z0-9-]{1,63}/[a-z0-9-]{1,63}$"
ServiceName = Annotated[str, StringConstraints(pattern=SERVICE_NAME)]


Identifier = Annotated[Text, StringConstraints(max_length=ID_CHARS_MAX)]


class Actor(Model):
    """Who did it: the person, the account that spoke for them, the token, and the services that
    carried the request, the nearest to the person first. Ids, not names: who an id belongs to
    is known to the accounts, and forgotten with them.
    """

    person: Identifier | None = None
    account: Identifier | None = None
    token_id: Identifier | None = None
    services: tuple[ServiceName, ...] = Field(default=(), max_length=16)


class Target(Model):
    """What it was done to, when that is not a file: an account, a key, a collection..."""

    type: DetailKey
    id: Identifier


class AuditEvent(Model):
    schema_version: Literal[1] = AUDIT_SCHEMA_VERSION
    event_id: EventId
    kind: AuditKind
    outcome: Outcome
    at: Moment
    actor: Actor = Actor()
    file_id: FileIdField | None = None
    collection: CollectionName | None = None
    element_id: ElementId | None = None
    target: Target | None = None
    problem: Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,64}$")] | None = None
    """Code of the failure, when the outcome is not `succeeded`."""
    correlation_id: TraceId | None = None
    details: Details = Field(default_factory=dict)
    personal: dict[PersonalField, Sha256] = Field(default_factory=dict)
    """Commitments: lower-case hex of HMAC-SHA256 over the fact, keyed with its salt."""

    def to_entry(self) -> bytes:
        """The leaf of the log: RFC 8785, every member present."""
        return canonical_json(self.model_dump(mode="json"))

    @classmethod
    def from_entry(cls, entry: bytes) -> Self:
        """Raises pydantic's `ValidationError` for anything but a valid record."""
        return cls.model_validate_json(entry)


class Disclosure(Model):
    """The fact behind a commitment. Whoever holds it can show the fact and prove it."""

    salt: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    value: Annotated[Text, StringConstraints(max_length=PERSONAL_CHARS_MAX)]


Disclosures = dict[PersonalField, Disclosure]


def disclosures_json(facts: Disclosures) -> bytes:
    return orjson.dumps({name.value: fact.model_dump() for name, fact in facts.items()})


def commitment(field: str, salt: str, value: str) -> str:
    """What a record holds instead of a personal fact. Binds the fact to the field it stands in;
    without the salt nothing can be guessed, however few values the fact could have."""
    return committed(field, bytes.fromhex(salt), value)


def committed(field: str, salt: bytes, value: str) -> str:
    """As `commitment`."""
    return hmac.digest(salt, f"{_DOMAIN}{field}\n{value}".encode(), "sha256").hex()


def commit_to(
    facts: Mapping[PersonalField, str | None], random_bytes: Callable[[int], bytes]
) -> tuple[dict[PersonalField, str], Disclosures]:
    """Commitments for a record, and what has to be kept apart to open them.

    Facts that are `None` are left out; texts are cut to `PERSONAL_CHARS_MAX`. Each fact has a
    salt of its own, so that one can be shown, or erased, without the others.

    Args:
        random_bytes: A secure source, `os.urandom`.

    Raises:
        InvalidRequest: A text is not valid Unicode.
    """
    commitments: dict[PersonalField, str] = {}
    disclosures: Disclosures = {}
    for field, value in facts.items():
        if value is None:
            continue
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidRequest("text must be valid Unicode", field=field.value) from None
        fact = Disclosure(salt=random_bytes(SALT_BYTES).hex(), value=value[:PERSONAL_CHARS_MAX])
        disclosures[field] = fact
        commitments[field] = commitment(field, fact.salt, fact.value)
    return commitments, disclosures
