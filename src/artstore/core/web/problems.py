"""Failures become answers here and nowhere else: RFC 9457 `application/problem+json`."""

from collections.abc import Mapping
from typing import Final

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from artstore.core import errors
from artstore.core.logging import get_logger
from artstore.core.model.findings import told
from artstore.core.tracing import current_trace_id

MEDIA_TYPE = "application/problem+json"
PROBLEM: Final = "artstore.problem"
"""Where a failure that is answered stands in the scope of its request."""

STATUS_OF: Final[Mapping[type[errors.ArtStoreError], int]] = {
    errors.InternalError: 500,
    errors.InvalidRequest: 422,
    errors.MalformedHttp: 400,
    errors.InvalidMetadata: 422,
    errors.DigestMismatch: 422,
    errors.SizeMismatch: 422,
    errors.BodyTooLarge: 413,
    errors.QuotaExceeded: 403,
    errors.TypeNotAllowed: 415,
    errors.TypeMismatch: 422,
    errors.UploadUnderWay: 409,
    errors.IdempotencyKeyReused: 422,
    errors.FileBusy: 503,
    errors.FileInfected: 422,
    errors.ScannerUnavailable: 503,
    errors.NotScannable: 422,
    errors.FileQuarantined: 403,
    errors.BodyStalled: 408,
    errors.RangeNotSatisfiable: 416,
    errors.UnknownRoute: 404,
    errors.MethodNotAllowed: 405,
    errors.UnsupportedMediaType: 415,
    errors.TooManyRequests: 429,
    errors.InvalidToken: 401,
    errors.InvalidCredentials: 401,
    errors.InvalidTokenRequest: 400,
    errors.NotPermitted: 403,
    errors.StepUpRequired: 403,
    errors.ClientCertificateRequired: 403,
    errors.UnknownFile: 404,
    errors.FileDeleted: 410,
    errors.FileExists: 409,
    errors.RevisionConflict: 409,
    errors.ModeForbids: 409,
    errors.ConfirmationRequired: 409,
    errors.RetentionForbids: 409,
    errors.FileDamaged: 500,
    errors.FileArchived: 409,
    errors.NotArchived: 409,
    errors.UnknownUpload: 404,
    errors.UploadBusy: 423,
    errors.OffsetConflict: 409,
    errors.ChecksumMismatch: 460,  # of the tus protocol
    errors.UnsupportedTusVersion: 412,
    errors.NoRoom: 507,
    errors.Unavailable: 503,
    errors.PositionGone: 410,
    errors.UnknownElement: 404,
    errors.UnknownAccount: 404,
    errors.UnknownAuditEntry: 404,
    errors.UnknownCollection: 404,
    errors.UnknownJob: 404,
    errors.JobEnded: 409,
    errors.ElementInUse: 409,
    errors.UnknownGrant: 404,
    errors.NameTaken: 409,
    errors.LastAdministrator: 409,
    errors.NotReady: 409,
    errors.WeakPassword: 422,
}

RETRY_AFTER_DEFAULT_S = 2


def status_of(error: errors.ArtStoreError) -> int:
    """Of the nearest class in the table; a failure nobody listed is our own fault: 500."""
    for cls in type(error).__mro__:
        if cls in STATUS_OF:
            return STATUS_OF[cls]
    return 500


def problem_body(error: errors.ArtStoreError) -> bytes:
    return orjson.dumps(
        {
            "type": f"urn:artstore:problem:{error.code}",
            "title": error.title,
            "status": status_of(error),
            "detail": error.detail,
            "code": error.code,
            "correlation_id": current_trace_id(),
            **error.fields,
        },
        default=str,
    )


def line_of(error: errors.ArtStoreError) -> dict[str, object]:
    """A failure among other outcomes in one answer: the problem, as short as it can be."""
    return {
        "status": status_of(error),
        "code": error.code,
        "detail": error.detail,
        **error.fields,
    }


class Problem(Response):
    """Leaves the failure in the scope of the request, for whoever watches answers."""

    media_type = MEDIA_TYPE

    def __init__(self, error: errors.ArtStoreError) -> None:
        super().__init__(problem_body(error), status_of(error), headers=_headers(error))
        self._error = error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[PROBLEM] = self._error
        await super().__call__(scope, receive, send)


def problem_response(error: errors.ArtStoreError) -> Response:
    return Problem(error)


def _headers(error: errors.ArtStoreError) -> dict[str, str]:
    headers: dict[str, str] = {"Cache-Control": "no-store"}
    retry_after_s = error.retry_after_s
    match error:
        case errors.Unavailable():
            retry_after_s = retry_after_s or RETRY_AFTER_DEFAULT_S
        case errors.InvalidToken():
            headers["WWW-Authenticate"] = 'Bearer realm="artstore", error="invalid_token"'
        case errors.RangeNotSatisfiable():
            headers["Content-Range"] = f"bytes */{error.fields.get('size_bytes', '*')}"
        case errors.BodyTooLarge():
            # The rest of the body is not read, so the connection cannot be used again.
            headers["Connection"] = "close"
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    return headers


def add_problem_handlers(app: FastAPI) -> None:
    app.add_exception_handler(errors.ArtStoreError, _on_failure)
    app.add_exception_handler(RequestValidationError, _on_malformed)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)


async def _on_failure(_: Request, error: Exception) -> Response:
    assert isinstance(error, errors.ArtStoreError)
    if status_of(error) >= 500:
        cause = error.__cause__
        get_logger().warning(
            "request failed", code=error.code, detail=error.detail, cause=repr(cause or error)
        )
    return problem_response(error)


async def _on_malformed(_: Request, error: Exception) -> Response:
    """pydantic's findings, without the input itself: it may hold a secret."""
    assert isinstance(error, RequestValidationError)
    findings = [
        {"field": ".".join(str(part) for part in item["loc"][1:]), "message": told(item)}
        for item in error.errors()
    ]
    first = findings[0] if findings else {"field": "", "message": "malformed"}
    detail = f"{first['field']}: {first['message']}" if first["field"] else first["message"]
    return problem_response(errors.InvalidRequest(detail, field=first["field"], errors=findings))


async def _on_http_exception(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    match error.status_code:
        case 404:
            return problem_response(errors.UnknownRoute())
        case 405:
            response = problem_response(errors.MethodNotAllowed())
            response.headers.update(error.headers or {})
            return response
        case status if status < 500:
            return problem_response(errors.InvalidRequest())
        case _:
            return problem_response(errors.InternalError())


async def _on_disconnect(_: Request, __: Exception) -> Response:
    """Nobody is there to read it; the status is for the metrics (nginx's 499)."""
    return Response(status_code=499)
