"""A file's record: what its `attr.json` says. The truth about a file, in one shape everywhere.

The JSON form is fixed and documented in `docs/formats/attr-json.md`.
"""

from datetime import datetime
from functools import lru_cache
from math import isfinite
from typing import Annotated, Any, Final, Literal, Self, TypeVar

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from artstore.core.errors import InvalidMetadata
from artstore.core.model.findings import SHA256
from artstore.core.model.ids import CollectionName, FileId, FileIdField
from artstore.core.model.retention import Retention

ATTR_SCHEMA_VERSION: Final = 1

ATTR_BYTES_MAX = 1 << 20
"""One attr.json. A rename is atomic at any size; the limit keeps memory bounded."""

FILENAME_CHARS_MAX = 1024
TAGS_MAX = 256
TAG_CHARS_MAX = 256
METADATA_KEYS_MAX = 1024
METADATA_KEY_CHARS_MAX = 256

FILE_BYTES_MAX = 1 << 43
"""8 TiB, half of what ext4 can hold in one file."""

ORIGINS_KEPT = 1024
"""In memory: of who uploads now."""

DEFAULT_COLLECTION = "default"
DEFAULT_CONTENT_TYPE = "application/octet-stream"


def _encodable(text: str) -> str:
    """JSON can carry lone surrogates (`"\\ud800"`), UTF-8 cannot: nothing could store them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("text must be valid Unicode, without lone surrogates") from None
    return text


def _encodable_tree(value: Any) -> Any:
    match value:
        case str():
            _encodable(value)
        case dict():
            for key, item in value.items():
                _encodable(key)
                _encodable_tree(item)
        case list():
            for item in value:
                _encodable_tree(item)
        case float() if not isfinite(value):
            # JSON would make `null` of it.
            raise ValueError("a number is larger than can be kept: write it as a text")
    return value


Text = Annotated[str, AfterValidator(_encodable)]
# A constraint is enough to keep lone surrogates out, and costs less than a function.
Sha256 = Annotated[str, StringConstraints(pattern=SHA256)]
Filename = Annotated[str, StringConstraints(min_length=1, max_length=FILENAME_CHARS_MAX)]
"""Kept exactly as given: any characters, also separators and controls. Never used as a path."""

Tag = Annotated[str, StringConstraints(min_length=1, max_length=TAG_CHARS_MAX)]
Tags = Annotated[tuple[Tag, ...], Field(max_length=TAGS_MAX)]
MetadataKey = Annotated[str, StringConstraints(min_length=1, max_length=METADATA_KEY_CHARS_MAX)]
Metadata = Annotated[
    dict[MetadataKey, Any], Field(max_length=METADATA_KEYS_MAX), AfterValidator(_encodable_tree)
]
"""Free-form facts of the user: any JSON values under text keys."""

# A control character in a header value would split the answer.
ContentType = Annotated[
    str, StringConstraints(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+/[ -~]{1,200}$")
]


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


M = TypeVar("M", bound=Model)


_set_values, _set_names, _set_extra, _set_private = (
    BaseModel.__dict__[slot].__set__
    for slot in (
        "__dict__",
        "__pydantic_fields_set__",
        "__pydantic_extra__",
        "__pydantic_private__",
    )
)


def _unchecked(kind: type[M], fields: dict[str, Any]) -> M:
    """As `model_construct`, for all fields in their order, and in a tenth of its time."""
    model = kind.__new__(kind)
    _set_values(model, fields)
    _set_names(model, _names_of(kind))
    _set_extra(model, None)
    _set_private(model, None)
    return model


@lru_cache
def _names_of(kind: type[Model]) -> set[str]:
    """Shared by all of a kind: they are frozen, and a copy gets a set of its own."""
    return set(kind.model_fields)


class Digest(Model):
    alg: Literal["sha256"]
    value: Sha256
    computed_at: datetime


class Uploader(Model):
    """Who put the file in: the person or account, never the service that carried it."""

    subject: Text
    name: Text
    via: Text


class Origin(Model):
    """How an upload came: for the log and the audit, not for attr.json, which goes with the
    document wherever it goes."""

    token_id: Text | None = None
    address: Text | None = None
    """Of the client."""
    services: tuple[Text, ...] = Field(default=(), max_length=8)
    """Who carried it, `<module>/<instance>`, the nearest to the client first."""

    @classmethod
    @lru_cache(ORIGINS_KEPT)
    def known(cls, token_id: str, address: str | None, services: tuple[str, ...]) -> Self:
        """Of three that were checked where they came from: this is done for every upload."""
        return _unchecked(cls, {"token_id": token_id, "address": address, "services": services})


class Hold(Model):
    id: Text
    matter: Text
    by: Text
    at: datetime


PASSING_REASONS: Final = frozenset({"no_scanner", "scanner_away", "scanner_slow", "scanner_failed"})
"""Why a file was not scanned that may be scanned later."""


class Scan(Model):
    """How the scan for viruses ended. What was not looked at as a whole is never `clean`."""

    engine: Text
    """Scanner and signatures: `ClamAV 1.4.6/27421`."""
    verdict: Literal["clean", "infected", "unscanned"]
    at: datetime
    reason: Text | None = None
    """Name of what was found, or why it was not scanned."""
    quarantined: bool = False
    """It is not handed out."""

    @property
    def is_pending(self) -> bool:
        """Not scanned, and trying again may help."""
        return self.verdict == "unscanned" and self.reason in PASSING_REASONS


class Deletion(Model):
    """What stays in the attr.json of a deleted file, its tombstone."""

    at: datetime
    by: Text
    reason: Text


class FileDraft(Model):
    """What is known of a file before its bytes are stored."""

    collection: CollectionName = DEFAULT_COLLECTION
    original_filename: Filename
    content_type: ContentType = DEFAULT_CONTENT_TYPE
    declared_content_type: ContentType | None = None
    size: int | None = Field(default=None, ge=0, le=FILE_BYTES_MAX)
    """Bytes; `None` when the sender does not say (chunked)."""
    expected_sha256: Sha256 | None = None
    uploaded_by: Uploader
    retention: Retention = Retention()
    tags: Tags = ()
    metadata: Metadata = Field(default_factory=dict)
    scan: Scan | None = None
    origin: Origin | None = None
    """Does not become part of the record."""

    def to_json(self) -> bytes:
        return _json_of(self)

    def served_as(self, content_type: str) -> Self:
        """The same, of a type that was found and needs no check, for a quarter of a copy's cost."""
        return _unchecked(type(self), {**self.__dict__, "content_type": content_type})


class FileChange(Model):
    """A change of a record. `None` leaves a field as it is."""

    expected_revision: int | None = Field(default=None, ge=1)
    original_filename: Filename | None = None
    tags: Tags | None = None
    metadata: Metadata | None = None


class FileRecord(Model):
    """The content of an attr.json. Sizes in bytes, times in UTC."""

    schema_version: Literal[1] = ATTR_SCHEMA_VERSION
    file_id: FileIdField
    collection: CollectionName
    original_filename: Filename
    size: int = Field(ge=0, le=FILE_BYTES_MAX)
    content_type: ContentType
    declared_content_type: ContentType | None = None
    digests: tuple[Digest, ...] = Field(min_length=1)
    uploaded_at: datetime
    uploaded_by: Uploader
    revision: int = Field(ge=1)
    retention: Retention = Retention()
    holds: tuple[Hold, ...] = ()
    dispose_after: datetime | None = None
    tags: Tags = ()
    metadata: Metadata = Field(default_factory=dict)
    scan: Scan | None = None
    previous_version: FileIdField | None = None
    restored_from: Text | None = None
    deleted: Deletion | None = None

    @property
    def sha256(self) -> str:
        return self.digests[0].value

    def to_json(self) -> bytes:
        """The attr.json: UTF-8, one document, a final newline."""
        return _json_of(self) + b"\n"

    @classmethod
    def first(
        cls, draft: FileDraft, *, file_id: FileId, size: int, sha256: str, now: datetime
    ) -> Self:
        """The record of a file that is new. `draft` was checked, and is not checked again:
        that would cost more than everything else in here and in `to_json`."""
        digest = {"alg": "sha256", "value": sha256, "computed_at": now}
        fields: dict[str, Any] = {
            "schema_version": ATTR_SCHEMA_VERSION,
            "file_id": file_id,
            "collection": draft.collection,
            "original_filename": draft.original_filename,
            "size": size,
            "content_type": draft.content_type,
            "declared_content_type": draft.declared_content_type,
            "digests": (_unchecked(Digest, digest),),
            "uploaded_at": now,
            "uploaded_by": draft.uploaded_by,
            "revision": 1,
            "retention": draft.retention,
            "holds": (),
            "dispose_after": None,
            "tags": draft.tags,
            "metadata": draft.metadata,
            "scan": draft.scan,
            "previous_version": None,
            "restored_from": None,
            "deleted": None,
        }
        return _unchecked(cls, fields)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Raises pydantic's `ValidationError` for anything but a valid record."""
        return cls.model_validate_json(data)


def _json_of(model: FileDraft | FileRecord) -> bytes:
    if model.metadata:
        # Any JSON, also numbers that orjson does not take.
        return model.__pydantic_serializer__.to_json(model)
    return orjson.dumps(model.__dict__, default=_members, option=orjson.OPT_UTC_Z)


def _members(value: Any) -> dict[str, Any]:
    """Of a part of a record, in the order of its fields."""
    if isinstance(value, BaseModel):
        return value.__dict__
    raise TypeError(f"{type(value)} has no place in a record")


def check_attr_size(record: FileRecord) -> bytes:
    """The record as JSON, if it fits.

    Raises:
        InvalidMetadata: It would be larger than `ATTR_BYTES_MAX`.
    """
    data = record.to_json()
    if len(data) > ATTR_BYTES_MAX:
        raise InvalidMetadata(
            f"name, tags and metadata may take {ATTR_BYTES_MAX} bytes together", field="metadata"
        )
    return data
