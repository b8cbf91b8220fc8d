"""Rules of admission over HTTP: kept with the collection, read by ingesters, counted quotas."""

import os
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from tests.support.admin import Admin
from tests.support.catalogue_rows import insert_records
from tests.support.fake_element import record_of
from tests.support.processes import wait_until

from artstore.core.model.file import FileDraft, Uploader
from artstore.core.model.ids import FileIdSource

IDS = FileIdSource()

COLLECTIONS = "/api/v1/collections"
RULES = "/api/v1/admission-rules"


def rules(admin: Admin) -> dict[str, Any]:
    with admin.client("ingester") as ingester:
        answer = ingester.get(RULES)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def rules_of(admin: Admin, name: str) -> dict[str, Any] | None:
    return next((each for each in rules(admin)["collections"] if each["collection"] == name), None)


def test_rules_are_kept_with_the_collection_and_read_by_ingesters(admin: Admin) -> None:
    name = f"c-{uuid4().hex[:8]}"
    given = {"size_bytes_max": 1000, "allowed_types": ["application/pdf", "image/*"]}
    with admin.as_account() as client:
        made = client.post(COLLECTIONS, json={"collection": name, "admission": given})
        assert made.status_code == 201, made.text
        assert made.json()["admission"]["allowed_types"] == ["application/pdf", "image/*"]
        assert made.json()["admission"]["mismatch"] == "flag"

        change = {"admission": {"mismatch": "refuse", "size_bytes_max": None}}
        changed = client.patch(f"{COLLECTIONS}/{name}", json=change).json()

    assert changed["admission"]["mismatch"] == "refuse"
    assert changed["admission"]["size_bytes_max"] is None, "null takes a limit away"
    assert changed["admission"]["allowed_types"] == ["application/pdf", "image/*"], "left out: kept"
    found = rules_of(admin, name)
    assert found is not None
    assert found["admission"] == changed["admission"]


def test_a_collection_with_the_default_rules_is_not_told_to_ingesters(admin: Admin) -> None:
    name = f"c-{uuid4().hex[:8]}"
    with admin.as_account() as client:
        client.post(COLLECTIONS, json={"collection": name, "copies": 1})
    assert rules_of(admin, name) is None


def test_what_is_no_rule_is_refused(admin: Admin) -> None:
    wrong = (
        {"size_bytes_max": -1},
        {"allowed_types": ["pdf"]},
        {"allowed_types": ["Image/PNG"]},
        {"allowed_types": ["text/plain; charset=utf-8"]},
        {"unscanned": "perhaps"},
        {"quota_files": 1 << 63},
        {"surprise": 1},
    )
    with admin.as_account() as client:
        for each in wrong:
            answer = client.post(COLLECTIONS, json={"collection": "x", "admission": each})
            assert answer.status_code == 422, each


def test_only_ingesters_and_administrators_read_the_rules(admin: Admin) -> None:
    with admin.client("query") as query:
        assert query.get(RULES).status_code == 401
    with admin.as_account() as client:
        assert client.get(RULES).status_code == 200
    with admin.as_account("reader", admin.installation.reader_secret) as reader:
        assert reader.get(RULES).status_code == 403


def test_what_has_a_quota_is_counted(admin: Admin) -> None:
    name, subject = f"c-{uuid4().hex[:8]}", f"account:{uuid4()}"
    with admin.as_account() as client:
        quota = {"quota_bytes": 1000, "quota_files": 3}
        client.post(COLLECTIONS, json={"collection": name, "admission": quota})
        assert client.put(f"/api/v1/quotas/{subject}", json=quota).status_code == 204
    uploader = Uploader(subject=subject, name="a", via="api")
    draft = FileDraft(original_filename="a", collection=name, uploaded_by=uploader)
    engine = sa.create_engine(admin.installation.database.url.replace("ql://", "ql+psycopg://"))
    with engine.begin() as connection:
        for size, state in ((10, "present"), (20, "present"), (400, "missing")):
            record = record_of(draft, IDS.new(datetime.now(UTC), os.urandom(10)), "0" * 64, size)
            insert_records(connection, [record], element_id="away", state=state)
    engine.dispose()

    def counted() -> bool:
        found = rules_of(admin, name)
        account = next(a for a in rules(admin)["accounts"] if a["subject"] == subject)
        usages = [found and found["usage"], account["usage"]]
        return all(u and (u["used_bytes"], u["used_files"]) == (30, 2) for u in usages)

    wait_until(counted, "the count of what lies there")
    with admin.as_account() as client:
        assert client.delete(f"/api/v1/quotas/{subject}").status_code == 204
        assert client.delete(f"/api/v1/quotas/{subject}").status_code == 404
