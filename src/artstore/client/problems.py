"""Answers that tell of a failure, as the same classes the servers raise."""

from typing import Any

import orjson

from artstore.client.messages import Answer
from artstore.core.errors import ArtStoreError, InternalError, Unavailable, error_classes

_CLASSES = error_classes()
_NOT_FIELDS = frozenset({"type", "title", "status", "detail", "code", "retry_after_s", "self"})

GATEWAY_STATUSES = frozenset({502, 503, 504})


def check(answer: Answer) -> Answer:
    """The answer, if it is one of success (below 400).

    Raises:
        ArtStoreError: The class that belongs to the problem's code; plain `ArtStoreError`
            with `fields["code"]` when this version does not know the code.
    """
    if answer.status < 400:
        return answer
    raise failure_of(answer)


def failure_of(answer: Answer) -> ArtStoreError:
    problem = _problem_body(answer)
    fields = {name: value for name, value in problem.items() if name not in _NOT_FIELDS}
    fields.setdefault("correlation_id", answer.headers.get("x-correlation-id"))
    detail = str(problem.get("detail") or "")
    retry_after_s = _seconds(answer.headers.get("retry-after"))
    code = problem.get("code")
    if isinstance(code, str):
        cls = _CLASSES.get(code)
        if cls is None:
            return ArtStoreError(detail, retry_after_s=retry_after_s, code=code, **fields)
        return cls(detail, retry_after_s=retry_after_s, **fields)
    # Not from ArtStore: a proxy on the way answered.
    detail = f"the server answered with status {answer.status}"
    if answer.status in GATEWAY_STATUSES:
        return Unavailable(detail, retry_after_s=retry_after_s, **fields)
    return InternalError(detail, retry_after_s=retry_after_s, **fields)


def code_of(failure: ArtStoreError) -> str:
    """The stable code, also of a failure this version has no class for."""
    return str(failure.fields.get("code", failure.code))


def correlation_id_of(failure: ArtStoreError) -> str | None:
    found = failure.fields.get("correlation_id")
    return found if isinstance(found, str) else None


def _problem_body(answer: Answer) -> dict[str, Any]:
    if "json" not in answer.headers.get("content-type", ""):
        return {}
    try:
        body = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _seconds(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None
