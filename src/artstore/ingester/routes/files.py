"""HTTP face of uploads. Translation only; decisions are in services.

A plain route: on this path every microsecond counts, and the body must not be touched
before everything that stands in the head of the request was checked.
"""

from collections.abc import AsyncIterator, Sequence
from time import perf_counter
from typing import Final, NamedTuple

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from artstore.core.errors import InvalidRequest, UnsupportedMediaType
from artstore.core.metrics import UPLOAD_DURATION
from artstore.core.model.account import Caller, Scope
from artstore.core.model.file import FileDraft
from artstore.core.model.ids import FileId
from artstore.core.web.asking import origin_of
from artstore.core.web.authentication import authenticate, check_scope
from artstore.core.web.fields import field_of, fields_of
from artstore.core.web.hot import PlainAnswer
from artstore.ingester.dependencies import Ingester, ingester_of
from artstore.ingester.routes.body import body_of, content_length, too_large
from artstore.ingester.routes.counting import count_accepted, counting_failures
from artstore.ingester.services.digests import declared_sha256
from artstore.ingester.services.idempotency import keyed_file_id
from artstore.ingester.services.intake import Stored
from artstore.ingester.services.multipart import MultipartReader, PartHead
from artstore.ingester.services.submission import Fields, draft_file, parse_query

FORM_CONTENT_TYPE: Final = "multipart/form-data"
DIGEST_HEADERS: Final = ("repr-digest", "content-digest")
PLAIN_TRANSFERS: Final = frozenset({"7bit", "8bit", "binary"})

# A form carries names and boundaries besides the file; the file itself is counted apart.
FORM_OVERHEAD_BYTES_MAX: Final = 4 << 20


class _Upload(NamedTuple):
    draft: FileDraft
    chunks: AsyncIterator[bytes]
    size_guess: int


async def upload_file(request: Request) -> Response:
    ingester = ingester_of(request)
    started_s = perf_counter()
    with counting_failures():
        caller = await authenticate(request)
        check_scope(caller, Scope.FILES_WRITE)
        if b"content-encoding" in fields_of(request.scope):
            raise UnsupportedMediaType("send the file itself, without a Content-Encoding")
        content_type = field_of(request.scope, b"content-type")
        if content_type is not None and content_type.lower().startswith(FORM_CONTENT_TYPE):
            upload = await _read_form(request, ingester, caller, content_type)
        else:
            upload = _read_raw(request, ingester, caller, content_type)
        stored = await ingester.intake.store(
            upload.draft,
            upload.chunks,
            size_guess=upload.size_guess,
            file_id=_keyed_id(request, ingester, caller),
        )
    UPLOAD_DURATION.observe(perf_counter() - started_s)
    count_accepted(stored.record)
    return _created(stored, ingester.receipts.issue(stored.record))


def _keyed_id(request: Request, ingester: Ingester, caller: Caller) -> FileId | None:
    key = field_of(request.scope, b"idempotency-key")
    return None if key is None else keyed_file_id(key, caller.subject, ingester.clock.now())


routes: Final = (Route("/api/v1/files", upload_file, methods=["POST"]),)


def _read_raw(
    request: Request, ingester: Ingester, caller: Caller, content_type: str | None
) -> _Upload:
    size = content_length(request)
    fits = size is None or size <= ingester.settings.upload_bytes_max
    draft = draft_file(
        parse_query(request.scope["query_string"]),
        caller=caller,
        now=ingester.clock.now(),
        content_type=content_type,
        size=size if fits else None,
        expected_sha256=declared_sha256(_digest_headers(request)),
        origin=origin_of(request, caller, ingester.service),
    )
    limit_bytes = ingester.bytes_max(draft.collection)
    if size is not None and size > limit_bytes:
        raise too_large(limit_bytes)
    return _Upload(draft, _body(request, ingester, size, limit_bytes), size or 0)


async def _read_form(
    request: Request, ingester: Ingester, caller: Caller, content_type: str
) -> _Upload:
    fields = parse_query(request.scope["query_string"])
    if _digest_headers(request):
        raise InvalidRequest(
            "with a form, the digest belongs into the headers of the part 'file'",
            field="repr-digest",
        )
    file_bytes_max = ingester.settings.upload_bytes_max
    limit_bytes = file_bytes_max + FORM_OVERHEAD_BYTES_MAX
    size_bytes = content_length(request)
    if size_bytes is not None and size_bytes > limit_bytes:
        raise too_large(file_bytes_max)
    reader = MultipartReader(content_type, _body(request, ingester, size_bytes, limit_bytes))
    form_fields, head = await reader.read_fields()
    _check_plain(head)
    draft = draft_file(
        _with_name_of(head, [*fields, *form_fields]),
        caller=caller,
        now=ingester.clock.now(),
        content_type=head.header("content-type"),
        expected_sha256=declared_sha256(_digests_among(head.headers)),
        origin=origin_of(request, caller, ingester.service),
    )
    content = _limited(reader.content(), ingester.bytes_max(draft.collection))
    return _Upload(draft, content, size_bytes or 0)


def _check_plain(head: PartHead) -> None:
    """Raises `UnsupportedMediaType`: the part is not the file, but something made of it."""
    transfer = (head.header("content-transfer-encoding") or "binary").lower()
    if transfer not in PLAIN_TRANSFERS or head.header("content-encoding") is not None:
        raise UnsupportedMediaType("send the file itself, without an encoding of its part")


def _with_name_of(head: PartHead, fields: Fields) -> Fields:
    """A field `filename` goes before the name in the part: forms cannot carry every name."""
    if head.filename and not any(name == "filename" for name, _ in fields):
        return [*fields, ("filename", head.filename)]
    return fields


def _body(
    request: Request, ingester: Ingester, size: int | None, limit_bytes: int
) -> AsyncIterator[bytes]:
    idle_timeout_s = ingester.settings.body_idle_timeout_s
    return body_of(request, size=size, limit_bytes=limit_bytes, idle_timeout_s=idle_timeout_s)


async def _limited(chunks: AsyncIterator[bytes], limit_bytes: int) -> AsyncIterator[bytes]:
    passed_bytes = 0
    async for chunk in chunks:
        passed_bytes += len(chunk)
        if passed_bytes > limit_bytes:
            raise too_large(limit_bytes)
        yield chunk


def _digest_headers(request: Request) -> list[tuple[str, str]]:
    fields = fields_of(request.scope)
    if b"repr-digest" not in fields and b"content-digest" not in fields:
        return []
    return _digests_among(request.headers.items())


def _digests_among(headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name in DIGEST_HEADERS]


def _created(stored: Stored, receipt: str | None) -> Response:
    record = stored.record
    location = f"/api/v1/files/{record.file_id}"
    body = orjson.dumps(
        {
            "file_id": record.file_id,
            "size": record.size,
            "sha256": record.sha256,
            "location": location,
            "collection": record.collection,
            "original_filename": record.original_filename,
            "content_type": record.content_type,
            "declared_content_type": record.declared_content_type,
            "uploaded_at": record.uploaded_at,
            "receipt": receipt,
        },
        option=orjson.OPT_UTC_Z,
    )
    return PlainAnswer(body, 201, headers=((b"location", location.encode()),))
