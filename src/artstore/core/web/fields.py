"""Header fields of a request, looked up as often as anybody likes.

Starlette walks through all of them, and decodes them, for each question.
"""

from typing import Final

from starlette.types import Scope

_FIELDS: Final = "artstore.fields"
"""Where they stay, in the scope of the request."""


def field_of(scope: Scope, name: bytes) -> str | None:
    """The first of this name, which is lower case."""
    fields: dict[bytes, bytes] | None = scope.get(_FIELDS)
    if fields is None:
        fields = scope[_FIELDS] = dict(reversed(scope["headers"]))
    value = fields.get(name)
    return None if value is None else value.decode("latin-1")
