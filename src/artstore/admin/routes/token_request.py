"""Reads a token request (RFC 6749, 4.4): form or JSON, credentials in Basic or in the body."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote_plus

import orjson
from starlette.requests import Request

from artstore.core.errors import BodyTooLarge, InvalidCredentials, InvalidTokenRequest

BODY_BYTES_MAX: Final = 16 * 1024
FIELDS_MAX: Final = 20


@dataclass(frozen=True)
class TokenRequest:
    client_id: str
    client_secret: str
    scopes: frozenset[str]


@dataclass(frozen=True)
class TokenQuestion:
    """About one token: RFC 7009, 2.1 and RFC 7662, 2.1. The hint is of no use to us."""

    client_id: str
    client_secret: str
    token: str


async def read_token_question(request: Request) -> TokenQuestion:
    """
    Raises:
        InvalidTokenRequest: Malformed, or without a token.
        InvalidCredentials: There are none, or in no form we can read.
    """
    fields = await _read_fields(request)
    if not fields.get("token"):
        raise malformed("token is missing")
    client_id, client_secret = _credentials(request.headers.get("authorization"), fields)
    return TokenQuestion(client_id, client_secret, fields["token"])


async def read_token_request(request: Request) -> TokenRequest:
    """
    Raises:
        InvalidTokenRequest: Malformed, or a grant type we do not know.
        InvalidCredentials: There are none, or in no form we can read.
    """
    fields = await _read_fields(request)
    if "grant_type" not in fields:
        raise malformed("grant_type is missing")
    if fields["grant_type"] != "client_credentials":
        raise malformed("the grant type is client_credentials", "unsupported_grant_type")
    client_id, client_secret = _credentials(request.headers.get("authorization"), fields)
    return TokenRequest(client_id, client_secret, frozenset(fields.get("scope", "").split()))


def malformed(detail: str, error: str = "invalid_request") -> InvalidTokenRequest:
    return InvalidTokenRequest(detail, error=error)


async def _read_fields(request: Request) -> dict[str, str]:
    return _parse(await _read_body(request), request.headers.get("content-type", ""))


async def _read_body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise BodyTooLarge(f"a token request has at most {BODY_BYTES_MAX} bytes")
    return body


def _parse(body: bytes, content_type: str) -> dict[str, str]:
    match content_type.partition(";")[0].strip().lower():
        case "application/x-www-form-urlencoded":
            return _parse_form(body)
        case "application/json":
            return _parse_json(body)
        case _:
            raise malformed("send application/x-www-form-urlencoded or application/json")


def _parse_form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict"
        )
    except ValueError as error:
        raise malformed("the form cannot be read") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise malformed("a parameter is given more than once")
    return fields


def _parse_json(body: bytes) -> dict[str, str]:
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise malformed("the body is not JSON") from error
    if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
        raise malformed("the body is not an object of texts")
    return fields


def _credentials(header: str | None, fields: Mapping[str, str]) -> tuple[str, str]:
    in_body = "client_secret" in fields
    if header is not None:
        if in_body:
            raise malformed("credentials are given twice, in the header and in the body")
        return _basic_credentials(header)
    if not in_body or "client_id" not in fields:
        raise InvalidCredentials
    return fields["client_id"], fields["client_secret"]


def _basic_credentials(header: str) -> tuple[str, str]:
    """RFC 6749, 2.3.1: both parts are form-encoded before they are joined and encoded."""
    scheme, _, encoded = header.partition(" ")
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidCredentials from error
    client_id, colon, client_secret = decoded.partition(":")
    if scheme.lower() != "basic" or not colon:
        raise InvalidCredentials
    return unquote_plus(client_id), unquote_plus(client_secret)
