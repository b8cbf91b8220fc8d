import json
import re
from pathlib import Path

import pytest

from artstore.core import errors
from artstore.core.web.problems import STATUS_OF, problem_response

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "errors.md"


def test_every_failure_has_a_status_and_its_own_code() -> None:
    classes = errors.error_classes()

    assert set(classes.values()) == set(STATUS_OF)
    assert len({cls.title for cls in STATUS_OF}) == len(STATUS_OF)
    assert all(re.fullmatch(r"[a-z_]+", code) for code in classes)


def test_every_failure_is_described_with_its_status() -> None:
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| (\d{3}) \|", REFERENCE.read_text(), re.MULTILINE))

    assert rows == {cls.code: str(status) for cls, status in STATUS_OF.items()}


@pytest.mark.parametrize("cls", STATUS_OF, ids=lambda cls: cls.code)
def test_an_answer_is_problem_json(cls: type[errors.ArtStoreError]) -> None:
    response = problem_response(cls("what to do", field="tags"))
    body = json.loads(bytes(response.body))

    assert response.headers["content-type"] == "application/problem+json"
    assert response.status_code == body["status"] == STATUS_OF[cls]
    assert body["code"] == cls.code
    assert body["detail"] == "what to do"
    assert body["field"] == "tags"
    assert {"type", "title", "correlation_id"} <= body.keys()


def test_some_failures_say_more_in_headers() -> None:
    assert problem_response(errors.Unavailable()).headers["retry-after"] == "2"
    assert problem_response(errors.TooManyRequests(retry_after_s=9)).headers["retry-after"] == "9"
    assert "bearer" in problem_response(errors.InvalidToken()).headers["www-authenticate"].lower()
    gone = problem_response(errors.RangeNotSatisfiable(size_bytes=7))
    assert gone.headers["content-range"] == "bytes */7"
