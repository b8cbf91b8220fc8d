"""Goal: a plain upload that is read by hand makes the rows that the models make.

Method: lines as an element writes them, ordinary and odd; each one also goes through the models.
"""

import contextlib
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artstore.admin.repository import audit_events, catalogue_files
from artstore.admin.services.audit.file_events import FileEvents
from artstore.admin.services.audit.upload_events import UploadEvents
from artstore.admin.services.catalogue.feed_lines import parse_line
from artstore.admin.services.catalogue.rows import row_of
from artstore.admin.services.catalogue.uploads import (
    Upload,
    copied_upload,
    plain_upload,
    row_of_upload,
)
from artstore.core.errors import InternalError
from artstore.core.model.audit import AuditEvent
from artstore.core.model.event import Change
from artstore.core.model.file import FileDraft, FileRecord, Origin, Scan, Uploader
from artstore.core.model.ids import FileId
from artstore.core.model.retention import Retention
from artstore.storage.engine.record import (
    ChangePayload,
    Record,
    RecordType,
    encode_change,
    feed_line,
)

FEED = "0123456789abcdef" * 2
NOW = datetime(2026, 11, 26, 7, 30, 16, 513318, UTC)
FILE_ID = FileId("01a216c3-2141-7213-9b76-ec9ef23f8492")
UPLOADER = Uploader(subject="user:7", name="Мария", via="ingester/i-1")
ORIGIN = Origin(token_id="t-1", address="192.0.2.1", services=("edge/edge-1", "ingester/i-1"))

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
moments = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001  given one below
    timezones=st.just(UTC),
)
retentions = st.just(Retention()) | moments.map(
    lambda until: Retention(policy="P10Y", mode="compliance", retain_until=until)
)
scans = st.none() | moments.map(lambda at: Scan(engine="ClamAV 1/2", verdict="clean", at=at))
drafts = st.builds(
    FileDraft,
    collection=st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True),
    original_filename=names,
    content_type=st.sampled_from(["application/pdf", "text/plain; charset=utf-8", 'a/b; c="d"']),
    uploaded_by=st.builds(Uploader, subject=names, name=names, via=names),
    retention=retentions,
    tags=st.lists(names, max_size=3).map(tuple),
    metadata=st.dictionaries(names, names | st.integers() | st.none(), max_size=3),
    scan=scans,
)
origins = st.builds(
    Origin,
    token_id=st.none() | names,
    address=st.none() | names,
    services=st.lists(
        st.from_regex(r"[a-z0-9-]{1,9}/[a-z0-9-]{1,9}", fullmatch=True), max_size=3
    ).map(tuple),
)


def line_of(draft: FileDraft, origin: Origin | None = ORIGIN, now: datetime = NOW) -> bytes:
    """As an element tells of it."""
    record = FileRecord.first(draft, file_id=FILE_ID, size=4096, sha256="ab" * 32, now=now)
    origin_json = orjson.dumps(origin.__dict__) + b"\n" if origin else b""
    at_us = int(now.timestamp() * 1_000_000)
    payload = ChangePayload(at_us, bytes(range(16)), record.to_json(), b"", origin_json)
    told = Record(RecordType.CREATED, 0, 17, 0, b"".join(encode_change(payload)), 0, 0, 0)
    line = feed_line(told)
    assert line is not None
    return line.rstrip()


def plain(**changes: Any) -> FileDraft:
    return FileDraft(original_filename="отчёт 1.pdf", uploaded_by=UPLOADER, **changes)


def check_alike(line: bytes, upload: Upload) -> None:
    change = Change.model_validate_json(line)
    assert (upload.seq, upload.at, upload.trace_id) == (change.seq, change.at, change.trace_id)
    file = row_of(change.record, "rw-1", 3)
    assert row_of_upload(upload, "rw-1", 3) == file
    assert copied_upload(upload, "rw-1", 3) == catalogue_files.copied(file)
    event = FileEvents("rw-1", FEED, bytes).row_of(change, file.record, None)
    assert UploadEvents("rw-1", FEED, bytes).copied(upload) == audit_events.copied(event)
    assert AuditEvent.from_entry(event.entry).to_entry() == event.entry


@pytest.mark.parametrize(
    "draft",
    [
        plain(),
        plain(tags=("договор", "a")),
        plain(metadata={"номер": "K-7", "a": ""}),
        plain(scan=Scan(engine="ClamAV 1.4.6/27421", verdict="clean", at=NOW)),
        plain(retention=Retention(policy="P10Y", mode="compliance", retain_until=NOW)),
        plain(collection="a" * 63, content_type="application/pdf", declared_content_type="a/b"),
    ],
)
@pytest.mark.parametrize("origin", [ORIGIN, Origin()])
def test_an_ordinary_upload_is_read_by_hand(draft: FileDraft, origin: Origin) -> None:
    line = line_of(draft, origin)
    upload = plain_upload(line)

    assert upload is not None
    check_alike(line, upload)


@settings(max_examples=300, deadline=None)
@given(drafts, origins, moments)
def test_both_ways_make_the_same_rows(draft: FileDraft, origin: Origin, now: datetime) -> None:
    line = line_of(draft, origin, now)
    upload = plain_upload(line)
    if upload is not None:
        check_alike(line, upload)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"type":"created"', b'"type":"updated"'),
        (b'"services":["edge/edge-1"', b'"services":["edge"'),
        (b'"services":["edge/edge-1"', b'"services":["' + b'","'.join([b"e/1"] * 8) + b'"'),
        (b'"seq":17', b'"seq":0'),
        (b'"seq":17', b'"seq":017'),
        (b'"schema_version":1', b'"schema_version":2'),
        (b'"size":4096', b'"size":9999999999999'),
        (b'"size":4096', b'"size":4096.0'),
        (b'"revision":1', b'"revision":true'),
        (b'"holds":[]', b'"holds":[{"id":"1","matter":"m","by":"b","at":"2026-11-26T00:00:00Z"}]'),
        (b'"tags":[]', b'"tags":["a\\nb"]'),
        (b'"tags":[]', b'"tags":[""]'),
        (b'"tags":[]', b'"tags":["a",]'),
        (b'"tags":[]', b'"tags":["' + b'","'.join([b"t"] * 257) + b'"]'),
        (b'"metadata":{}', b'"metadata":{"a":1}'),
        (b'"metadata":{}', b'"metadata":{"a":"' + b"x" * 2000 + b'"}'),
        (b'"metadata":{}', b'"metadata":{},"more":1'),
        (b'"origin":', b'"origins":'),
        (b"2026-11-26T07:30:16.513318Z", b"2026-02-30T07:30:16.513318Z"),
        (b'"deleted":null', b'"deleted":{}'),
        ("отчёт".encode(), b"\xff"),
        ("отчёт".encode(), b"a\\u0000"),
        (b'"ab', b'"AB'),
    ],
)
def test_what_is_unusual_is_left_to_the_models(old: bytes, new: bytes) -> None:
    line = line_of(plain())
    assert old in line

    changed = line.replace(old, new)
    assert plain_upload(changed) is None
    with contextlib.suppress(InternalError):  # The models do not want all of them either.
        assert not isinstance(parse_line(changed), Upload)


def test_a_copy_that_another_element_gave_is_no_upload() -> None:
    assert plain_upload(line_of(plain(), origin=None)) is None
