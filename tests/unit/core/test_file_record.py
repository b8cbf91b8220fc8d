import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from artstore.core.errors import InvalidMetadata
from artstore.core.model.file import FileRecord, check_attr_size

NOW = datetime(2026, 11, 22, 19, 30, tzinfo=UTC)


def record(**changes: Any) -> FileRecord:
    fields: dict[str, Any] = {
        "file_id": "01a204ea-028c-75c8-a93c-59d9606ef0c7",
        "collection": "default",
        "original_filename": "letter.pdf",
        "size": 0,
        "content_type": "application/pdf",
        "digests": [{"alg": "sha256", "value": "0" * 64, "computed_at": NOW}],
        "uploaded_at": NOW,
        "uploaded_by": {"subject": "account:1", "name": "cli", "via": "api"},
        "revision": 1,
    }
    return FileRecord.model_validate(fields | changes)


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "a\0b", "Ж" * 300, "invoice\u202efdp.exe", "C:\\x\\y", "line\r\nbreak"],
)
def test_a_name_survives_exactly(name: str) -> None:
    original = record(original_filename=name)

    assert FileRecord.from_json(original.to_json()) == original
    assert json.loads(original.to_json())["original_filename"] == name


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("original_filename", ""),
        ("original_filename", "x" * 1025),
        ("original_filename", "\ud800"),
        ("tags", ["\udfff"]),
        ("tags", [""]),
        ("tags", ["t"] * 257),
        ("metadata", {"": 1}),
        ("metadata", {"deep": [{"x": "\ud800"}]}),
        ("collection", "../x"),
        ("collection", "UPPER"),
        ("content_type", "text/plain\r\nX: y"),
        ("content_type", "text"),
        ("size", -1),
        ("revision", 0),
        ("file_id", "x"),
        ("digests", []),
        ("unknown", 1),
    ],
)
def test_a_malformed_record_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError):
        record(**{field: value})


def test_a_record_larger_than_the_limit_is_refused_by_name() -> None:
    with pytest.raises(InvalidMetadata) as refusal:
        check_attr_size(record(metadata={"text": "x" * (1 << 20)}))
    assert refusal.value.fields["field"] == "metadata"
