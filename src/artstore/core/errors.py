"""Every named failure of ArtStore and its stable code.

A failure is a class; what HTTP status it becomes stands in one table,
`artstore.core.web.problems`. The SDK turns a code back into the same class.

`detail` is read by the caller: it says what is wrong and what to do, and names nothing
internal (no path, no SQL, no address). What an operator needs goes into the log, under
the correlation id. Imports nothing, so that everything may import it.
"""

from typing import ClassVar


class ArtStoreError(Exception):
    """Base of all failures that a caller may see.

    Args:
        detail: One or two sentences for the caller.
        retry_after_s: When trying again makes sense; becomes `Retry-After`.
        fields: Further members of the problem body, for example `field="tags"`.
    """

    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"

    def __init__(
        self, detail: str = "", *, retry_after_s: int | None = None, **fields: object
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.retry_after_s = retry_after_s
        self.fields = fields


class InternalError(ArtStoreError):
    """A fault of ArtStore itself. The detail stays empty: the log has the cause."""


# --- the request itself -------------------------------------------------------------


class InvalidRequest(ArtStoreError):
    """The request is malformed. `field` names the part that is wrong."""

    code = "invalid_request"
    title = "The request is malformed"


class MalformedHttp(ArtStoreError):
    """What arrived is not HTTP/1.1, or says two things at once (CL and TE)."""

    code = "malformed_http"
    title = "This is not a valid HTTP request"


class InvalidMetadata(ArtStoreError):
    """Name, tags, metadata, collection or retention are malformed. `field` names which."""

    code = "invalid_metadata"
    title = "The metadata is malformed"


class DigestMismatch(ArtStoreError):
    """The bytes that arrived do not have the digest the sender declared. Nothing is kept."""

    code = "digest_mismatch"
    title = "The content does not match its digest"


class SizeMismatch(ArtStoreError):
    """More or fewer bytes arrived than declared. Nothing is kept."""

    code = "size_mismatch"
    title = "The content does not have the declared length"


class BodyTooLarge(ArtStoreError):
    code = "body_too_large"
    title = "The body is larger than the limit"


class BodyStalled(ArtStoreError):
    """The client fell silent in the middle of the body. Nothing is kept."""

    code = "body_stalled"
    title = "The body stopped coming"


class RangeNotSatisfiable(ArtStoreError):
    """Carries `size_bytes`, so that the answer can name the real length."""

    code = "range_not_satisfiable"
    title = "The range lies outside the file"


class UnknownRoute(ArtStoreError):
    code = "unknown_route"
    title = "There is nothing at this address"


class MethodNotAllowed(ArtStoreError):
    code = "method_not_allowed"
    title = "This address does not know the method"


class UnsupportedMediaType(ArtStoreError):
    code = "unsupported_media_type"
    title = "This content type is not understood here"


class TooManyRequests(ArtStoreError):
    code = "too_many_requests"
    title = "Too many requests"


class ConfirmationRequired(ArtStoreError):
    """It has consequences that are hard to undo. `detail` says which; send `confirm: true`."""

    code = "confirmation_required"
    title = "This must be confirmed"


# --- who asks -----------------------------------------------------------------------


class InvalidToken(ArtStoreError):
    """No token, or one that is expired, forged, revoked or for somebody else.

    One detail for all of them: a stranger learns nothing from the difference.
    """

    code = "invalid_token"
    title = "A valid access token is needed"


class InvalidCredentials(ArtStoreError):
    """Wrong name or secret, unknown, suspended or expired account: one answer for all."""

    code = "invalid_credentials"
    title = "The credentials are not valid"


class InvalidTokenRequest(ArtStoreError):
    """A request for a token that RFC 6749 answers with 400. `error` holds its error code."""

    code = "invalid_token_request"
    title = "The token request is malformed"


class NotPermitted(ArtStoreError):
    """Known, but not allowed."""

    code = "not_permitted"
    title = "Not permitted"


class StepUpRequired(NotPermitted):
    """Permitted to somebody who has just proven again who they are."""

    code = "step_up_required"
    title = "Confirm who you are"


class ClientCertificateRequired(ArtStoreError):
    code = "client_certificate_required"
    title = "A client certificate is needed here"


# --- not now ------------------------------------------------------------------------


class Unavailable(ArtStoreError):
    """Something that is needed is away for now. Nothing was lost; try again."""

    code = "unavailable"
    title = "Temporarily unavailable"


class NotReady(ArtStoreError):
    """It can be done a little later."""

    code = "not_ready"
    title = "Not yet"


# --- what a collection does not take ------------------------------------------------


class QuotaExceeded(ArtStoreError):
    """Carries `quota_of`: `collection` or `account`, and the limit that is reached."""

    code = "quota_exceeded"
    title = "The quota is used up"


class TypeNotAllowed(ArtStoreError):
    """Carries `content_type`: what the content is, as its bytes say."""

    code = "type_not_allowed"
    title = "The collection does not take files of this type"


class TypeMismatch(ArtStoreError):
    """The content is not what its sender declared. Carries `content_type`, what it is."""

    code = "type_mismatch"
    title = "The content is not of the declared type"


class FileInfected(ArtStoreError):
    """Carries `finding`, the name that the scanner gives it."""

    code = "file_infected"
    title = "The content is infected"


class ScannerUnavailable(ArtStoreError):
    """The collection takes only what was scanned, and that cannot be done now."""

    code = "scanner_unavailable"
    title = "The virus scanner is not available"


class NotScannable(ArtStoreError):
    """The collection takes only what was scanned, and this cannot be. Carries `reason`."""

    code = "not_scannable"
    title = "The content cannot be scanned for viruses"


# --- files --------------------------------------------------------------------------


class UnknownFile(ArtStoreError):
    code = "unknown_file"
    title = "There is no such file"


class ForeignFile(UnknownFile):
    """It lies in a collection that the caller may not see. The answer does not say so; the audit
    does."""


class FileExists(ArtStoreError):
    """The id is taken by other content."""

    code = "file_exists"
    title = "The file id is taken"


class FileBusy(Unavailable):
    """Another request works on the file of this id."""

    code = "file_busy"
    title = "The file is being written"


class RevisionConflict(ArtStoreError):
    """Somebody else changed the record since it was read."""

    code = "revision_conflict"
    title = "The record was changed meanwhile"


class RetentionForbids(ArtStoreError):
    """Retention has not ended, or a legal hold stands. Nobody can lift this early."""

    code = "retention_forbids"
    title = "The file must be kept"


class FileDeleted(ArtStoreError):
    """The file was here and was removed; its tombstone stays."""

    code = "file_deleted"
    title = "The file was deleted"


class FileDamaged(ArtStoreError):
    """The stored bytes or their record do not match their digest; they are not handed out."""

    code = "file_damaged"
    title = "The stored file is damaged"


class FileQuarantined(ArtStoreError):
    """It is stored, and not handed out: infected, or not scanned yet. Carries `reason`."""

    code = "file_quarantined"
    title = "The file is in quarantine"


class FileArchived(ArtStoreError):
    """Its bytes lie in an archive. Carries `restore`, where to ask for them."""

    code = "file_archived"
    title = "The file lies in the archive"


class NotArchived(ArtStoreError):
    """There is nothing to restore: an element hands the file out as it is."""

    code = "not_archived"
    title = "The file can be read without a restore"


# --- uploads that may go on, or be sent again ---------------------------------------


class UnknownUpload(ArtStoreError):
    """It never was, it is over, it expired, or it is somebody else's."""

    code = "unknown_upload"
    title = "There is no such upload"


class UploadBusy(ArtStoreError):
    """Another request is sending bytes of this upload."""

    code = "upload_busy"
    title = "The upload is being written"


class OffsetConflict(ArtStoreError):
    """The part does not begin where the upload ends. Carries `offset`, where it goes on."""

    code = "offset_conflict"
    title = "The upload goes on elsewhere"


class ChecksumMismatch(ArtStoreError):
    """A part did not arrive as it was sent. None of its bytes count."""

    code = "checksum_mismatch"
    title = "The part does not match its checksum"


class UnsupportedTusVersion(ArtStoreError):
    code = "unsupported_tus_version"
    title = "This version of tus is not spoken here"


class UploadUnderWay(ArtStoreError):
    code = "upload_under_way"
    title = "The upload with this key is under way"


class IdempotencyKeyReused(ArtStoreError):
    code = "idempotency_key_reused"
    title = "The key was used for another upload"


# --- storage elements ---------------------------------------------------------------


class UnknownElement(ArtStoreError):
    code = "unknown_element"
    title = "There is no such storage element"


class ModeForbids(ArtStoreError):
    """The element's mode (`edit`, `rw`, `ro`, `ar`) does not allow the operation."""

    code = "mode_forbids"
    title = "The storage element's mode does not allow this"


class NoRoom(ArtStoreError):
    code = "no_room"
    title = "No storage element has room"


class PositionGone(ArtStoreError):
    """The change feed does not hold this position: list the element, then follow again."""

    code = "position_gone"
    title = "The feed position is gone"


class ElementInUse(ArtStoreError):
    """Files would be away with it. Carries `files_left`, how many."""

    code = "element_in_use"
    title = "The storage element is not drained"


# --- accounts -----------------------------------------------------------------------


class UnknownAccount(ArtStoreError):
    code = "unknown_account"
    title = "There is no such account"


class UnknownGrant(ArtStoreError):
    code = "unknown_grant"
    title = "There is no such grant"


class LastAdministrator(ArtStoreError):
    """Without this person nobody could manage the installation any more."""

    code = "last_administrator"
    title = "This is the last super administrator"


class NameTaken(ArtStoreError):
    code = "name_taken"
    title = "The name is taken"


class WeakPassword(ArtStoreError):
    code = "weak_password"
    title = "The password is too weak"


# --- collections, jobs, the audit log -----------------------------------------------


class UnknownCollection(ArtStoreError):
    """Files may still be in it: a collection that nobody made has the defaults."""

    code = "unknown_collection"
    title = "There is no such collection"


class UnknownJob(ArtStoreError):
    code = "unknown_job"
    title = "There is no such job"


class JobEnded(ArtStoreError):
    code = "job_ended"
    title = "The job is over"


class UnknownAuditEntry(ArtStoreError):
    """The audit log has no such entry, or not yet."""

    code = "unknown_audit_entry"
    title = "There is no such entry in the audit log"


def error_classes() -> dict[str, type[ArtStoreError]]:
    """All failures by code. A class without a code of its own is only a kind of another."""
    classes: dict[str, type[ArtStoreError]] = {ArtStoreError.code: InternalError}
    pending = list(ArtStoreError.__subclasses__())
    while pending:
        cls = pending.pop()
        if "code" in vars(cls):
            classes[cls.code] = cls
        pending.extend(cls.__subclasses__())
    return classes
