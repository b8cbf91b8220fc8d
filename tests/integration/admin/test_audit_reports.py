"""What other modules report: believed about themselves, and taken over once."""

import os
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from tests.support.admin import Admin
from tests.support.auditor import Auditor

from artstore.core.clock import SystemClock
from artstore.core.model.audit import AuditKind
from artstore.core.model.ids import FileId, FileIdSource
from artstore.core.recording.deeds import Deed, EventMaker, Who
from artstore.core.recording.delivery import PATH
from artstore.core.recording.reports import line_of

CLOCK = SystemClock()
IDS = FileIdSource()
WHO = Who(subject="user:7", name="Мария", address="192.0.2.1", services=("edge/edge-1",))


@pytest.fixture
def auditor(admin: Admin) -> Iterator[Auditor]:
    with admin.as_account() as client:
        yield Auditor(client)


def new_file() -> FileId:
    return IDS.new(CLOCK.now(), os.urandom(10))


def download(file_id: FileId, service: str = "query/query-1") -> bytes:
    deed = Deed(AuditKind.FILE_DOWNLOADED, file_id=file_id, details={"size": 1})
    return line_of(*EventMaker(CLOCK, service).event_of(WHO, deed))


def report(admin: Admin, *lines: bytes, module: str = "query") -> Any:
    with admin.client(module) as client:
        return client.post(PATH, content=b"\n".join(lines))


def test_a_report_told_again_is_one_event(admin: Admin, auditor: Auditor) -> None:
    file_id = new_file()
    line = download(file_id)
    assert report(admin, line).status_code == 204
    assert report(admin, line, download(file_id)).status_code == 204
    auditor.wait_for_all(2, file_id=file_id)
    assert report(admin, line).status_code == 204

    after = new_file()
    assert report(admin, download(after)).status_code == 204
    auditor.wait_for(file_id=after)
    first, _ = auditor.wait_for_all(2, file_id=file_id)
    assert first["event"]["actor"]["person"] == "7"
    auditor.verified(first)
    timeline = auditor.get(f"files/{file_id}").json()["items"]
    assert [item["index"] for item in timeline] == sorted(item["index"] for item in timeline)
    page = auditor.get(f"files/{file_id}", limit=1).json()
    assert page["items"] == timeline[:1]
    rest = auditor.get(f"files/{file_id}", cursor=page["next_cursor"]).json()
    assert rest["items"] == timeline[1:]


@pytest.mark.parametrize("module", ["edge", "monitoring", "admin"])
def test_only_modules_that_report_are_listened_to(admin: Admin, module: str) -> None:
    answer = report(admin, download(new_file()), module=module)
    assert (answer.status_code, answer.json()["code"]) == (403, "not_permitted")


@pytest.mark.parametrize(
    ("module", "service"),
    [
        ("query", "query/query-2"),
        ("query", "storage/storage-1"),
        ("storage", "query/query-1"),
        ("ingester", "ingester/ingester-1"),
    ],
)
def test_nobody_speaks_for_another_or_of_what_it_does_not_do(
    admin: Admin, auditor: Auditor, module: str, service: str
) -> None:
    file_id = new_file()
    answer = report(admin, download(file_id, service), module=module)
    assert (answer.status_code, answer.json()["code"]) == (403, "not_permitted")
    assert auditor.events(file_id=file_id) == []


def _with_other_fact(line: dict[str, Any]) -> None:
    line["facts"]["actor_name"]["value"] = "somebody else"


def _without_facts(line: dict[str, Any]) -> None:
    line["facts"] = {}


def _with_unknown_kind(line: dict[str, Any]) -> None:
    line["event"]["kind"] = "file.eaten"


def _with_more(line: dict[str, Any]) -> None:
    line["event"]["secret"] = secrets.token_hex(4)


@pytest.mark.parametrize(
    "spoil", [_with_other_fact, _without_facts, _with_unknown_kind, _with_more]
)
def test_what_is_no_report_is_refused_as_a_whole(
    admin: Admin, auditor: Auditor, spoil: Callable[[dict[str, Any]], None]
) -> None:
    file_id = new_file()
    line = orjson.loads(download(file_id))
    spoil(line)
    answer = report(admin, download(file_id), orjson.dumps(line))
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert auditor.events(file_id=file_id) == []


def test_a_batch_is_bounded(admin: Admin) -> None:
    line = download(new_file())
    assert report(admin, *[line] * 1001).status_code == 422
    assert report(admin, b"x" * 100).status_code == 422
    assert report(admin).status_code == 204
