"""Header fields of a request, looked up as often as anybody likes.

Starlette walks through all of them, and decodes them, for each question.
"""

from collections.abc import Mapping
from typing import Final

from starlette.types import Scope

from artstore.core.web.safe_headers import RawHeaders

FIELDS: Final = "artstore.fields"
"""Where they stay, in the scope of the request: the server leaves them there."""


def table_of(headers: RawHeaders) -> dict[bytes, bytes]:
    """By name, which is lower case; of several with the same name the first."""
    return dict(reversed(headers))


def fields_of(scope: Scope) -> Mapping[bytes, bytes]:
    fields: dict[bytes, bytes] | None = scope.get(FIELDS)
    if fields is None:
        fields = scope[FIELDS] = table_of(scope["headers"])
    return fields


def field_of(scope: Scope, name: bytes) -> str | None:
    fields = scope.get(FIELDS)
    value = (fields_of(scope) if fields is None else fields).get(name)
    return None if value is None else value.decode("latin-1")
