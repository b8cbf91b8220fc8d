"""What a sender says of a file, turned into its draft. Pure.

Names are kept exactly: path parts, NUL, any script, direction marks. They are never a path.
"""

import json
import re
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from mimetypes import MimeTypes
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from pydantic import ValidationError
from pydantic_core import from_json

from artstore.core.errors import InvalidMetadata, InvalidRequest
from artstore.core.model.account import Caller, Right
from artstore.core.model.file import (
    ATTR_BYTES_MAX,
    DEFAULT_COLLECTION,
    DEFAULT_CONTENT_TYPE,
    FileDraft,
    Origin,
    Uploader,
)
from artstore.core.model.findings import told
from artstore.core.model.retention import parse_retention

FIELDS_MAX: Final = 512
"""Twice what a file with the most tags needs."""

UPLOADERS_KEPT: Final = 1024
# Fifteen digits are always kept, unless an exponent makes the number too large or too small.
_MAY_BE_INEXACT: Final = re.compile(r"[0-9.]{16}|[0-9][eE]")
_PERCENT: Final = ord("%")

SINGLE_FIELDS: Final = frozenset({"filename", "collection", "retention", "metadata", "sha256"})
REPEATED_FIELDS: Final = frozenset({"tag"})

# curl and HTML forms send it when nobody chose a type: it says nothing of the file.
UNSAID_CONTENT_TYPE: Final = "application/x-www-form-urlencoded"

# Python's own table, without the files of the machine: every ingester must guess alike.
_TYPES: Final = MappingProxyType(
    {
        **MimeTypes(filenames=()).types_map[True],
        ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        ".odt": "application/vnd.oasis.opendocument.text",
        ".ods": "application/vnd.oasis.opendocument.spreadsheet",
        ".odp": "application/vnd.oasis.opendocument.presentation",
        ".md": "text/markdown",
    }
)

# Fields of the draft that the sender knows under another name.
_SENT_AS: Final = MappingProxyType(
    {
        "original_filename": "filename",
        "tags": "tag",
        "declared_content_type": "content_type",
        "expected_sha256": "sha256",
    }
)

Fields = list[tuple[str, str]]


def parse_query(query: bytes) -> Fields:
    """The fields of a query string, percent-decoded as UTF-8 and nothing else.

    Raises:
        InvalidMetadata: A value is not UTF-8; `field` names it.
        InvalidRequest: A name is not UTF-8, or there are too many fields.
    """
    pairs = [pair for pair in query.split(b"&") if pair]
    if len(pairs) > FIELDS_MAX:
        raise InvalidRequest(f"a query may have {FIELDS_MAX} fields", field="query")
    return [_parse_pair(pair) for pair in pairs]


def _parse_pair(pair: bytes) -> tuple[str, str]:
    name, _, value = pair.replace(b"+", b" ").partition(b"=")
    if _PERCENT in pair:
        name, value = unquote_to_bytes(name), unquote_to_bytes(value)
    try:
        text = name.decode()
    except UnicodeDecodeError:
        raise InvalidRequest("the query is not UTF-8", field="query") from None
    return text, decode_value(text, value)


def decode_value(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidMetadata(f"{name} is not UTF-8", field=name) from None


def draft_file(
    fields: Iterable[tuple[str, str]],
    *,
    caller: Caller,
    now: datetime,
    content_type: str | None,
    size: int | None = None,
    expected_sha256: str | None = None,
    origin: Origin | None = None,
) -> FileDraft:
    """The draft of a file that `caller` sends.

    Raises:
        InvalidMetadata: A field is missing, unknown, repeated or malformed; `field` names it.
        NotPermitted: The caller may not upload into that collection.
    """
    single, tags = _sort_fields(fields)
    if not single.get("filename"):
        raise InvalidMetadata("a file needs a name: filename=...", field="filename")
    declared = None if content_type == UNSAID_CONTENT_TYPE else content_type
    values = {
        "original_filename": single["filename"],
        "collection": single.get("collection", DEFAULT_COLLECTION),
        "retention": parse_retention(single.get("retention", "none"), now),
        "metadata": parse_metadata(single["metadata"]) if "metadata" in single else {},
        "tags": tags,
        "declared_content_type": declared,
        "content_type": declared or guess_content_type(single["filename"]),
        "size": size,
        "expected_sha256": _one_digest(expected_sha256, single.get("sha256")),
        "uploaded_by": _uploader(caller.subject, caller.name),
        "origin": origin,
    }
    try:
        draft = FileDraft.model_validate(values)
    except ValidationError as error:
        raise _named(error) from None
    caller.check(Right.WRITE, draft.collection, now)
    return draft


@lru_cache(UPLOADERS_KEPT)
def _uploader(subject: str, name: str) -> Uploader:
    return Uploader(subject=subject, name=name, via="api")


def _one_digest(in_header: str | None, in_field: str | None) -> str | None:
    if in_field is None:
        return in_header
    if in_header not in (None, in_field.lower()):
        raise InvalidRequest("the declared digests contradict each other", field="sha256")
    return in_field.lower()


def _sort_fields(fields: Iterable[tuple[str, str]]) -> tuple[dict[str, str], list[str]]:
    single: dict[str, str] = {}
    tags: list[str] = []
    for name, value in fields:
        if name in REPEATED_FIELDS:
            tags.append(value)
        elif name not in SINGLE_FIELDS:
            # A typing error must not lose what the sender wanted to say.
            raise InvalidMetadata(f"there is no field {name[:64]!r}", field=name[:64])
        elif name in single:
            raise InvalidMetadata(f"{name} is given twice", field=name)
        else:
            single[name] = value
    return single, tags


def parse_metadata(text: str) -> dict[str, Any]:
    """One JSON object. Numbers keep every digit, or are refused; so are NaN and lone surrogates."""
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError:
        raise InvalidMetadata("metadata must be JSON", field="metadata") from None
    if _MAY_BE_INEXACT.search(text):
        json.loads(text, parse_float=_exact)
    if not isinstance(value, dict):
        raise InvalidMetadata("metadata must be a JSON object", field="metadata")
    return value


def _exact(number: str) -> float:
    """Raises `InvalidMetadata`: it would be stored as another number."""
    value = float(number)
    try:
        if Decimal(repr(value)) == Decimal(number):
            return value
    except ArithmeticError:
        pass
    raise InvalidMetadata(
        f"metadata: {number[:40]} has more digits than a number keeps; write it as a text",
        field="metadata",
    )


def guess_content_type(filename: str) -> str:
    _, dot, extension = filename.rpartition(".")
    return _TYPES.get(dot + extension.lower(), DEFAULT_CONTENT_TYPE)


def encode_draft(draft: FileDraft) -> bytes:
    """The draft as JSON. The record that grows from it must fit into one attr.json.

    Raises:
        InvalidMetadata: It is too large.
    """
    data = draft.to_json()
    if len(data) > ATTR_BYTES_MAX:
        raise InvalidMetadata(
            f"name, tags and metadata may take {ATTR_BYTES_MAX} bytes together", field="metadata"
        )
    return data


def _named(error: ValidationError) -> InvalidMetadata:
    first = error.errors(include_url=False, include_input=False)[0]
    location = str(first["loc"][0]) if first["loc"] else "metadata"
    field = _SENT_AS.get(location, location)
    return InvalidMetadata(f"{field}: {told(first)}", field=field)
