"""The quick way to write a record and pydantic's own give the same bytes."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from artstore.core.model.file import Deletion, Digest, FileRecord, Hold, Scan, Uploader
from artstore.core.model.ids import FileId
from artstore.core.model.retention import Retention

zones = st.one_of(
    st.just(UTC),
    st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
# hypothesis wants the bounds without a zone.
first, last = datetime(1970, 1, 2), datetime(9998, 12, 30)  # noqa: DTZ001
moments = st.datetimes(first, last, timezones=zones)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
digests = st.builds(Digest, alg=st.just("sha256"), value=st.just("0" * 64), computed_at=moments)
retentions = st.one_of(
    st.just(Retention()),
    st.builds(Retention, policy=st.just("P1D"), mode=st.just("compliance"), retain_until=moments),
)
records = st.builds(
    FileRecord,
    file_id=st.just(FileId("01a205c1-80ca-75b3-bdc7-a5b6c8b8f565")),
    collection=st.just("default"),
    original_filename=texts,
    size=st.integers(0, 1 << 43),
    content_type=st.just("text/plain"),
    digests=st.tuples(digests),
    uploaded_at=moments,
    uploaded_by=st.builds(Uploader, subject=texts, name=texts, via=texts),
    revision=st.integers(1, 1 << 40),
    retention=retentions,
    holds=st.lists(st.builds(Hold, id=texts, matter=texts, by=texts, at=moments), max_size=2),
    dispose_after=st.none() | moments,
    tags=st.lists(texts, max_size=3),
    scan=st.none()
    | st.builds(Scan, engine=texts, verdict=st.sampled_from(["clean", "infected"]), at=moments),
    deleted=st.none() | st.builds(Deletion, at=moments, by=texts, reason=texts),
    metadata=st.just({}) | st.just({"a": [1, 1 << 80, {"b": None}]}),
)


@given(records)
def test_both_ways_give_the_same_bytes(record: FileRecord) -> None:
    assert record.to_json() == record.__pydantic_serializer__.to_json(record) + b"\n"


@given(records, texts)
def test_a_changed_record_too(record: FileRecord, name: str) -> None:
    changed = record.model_copy(update={"original_filename": name, "revision": 7})
    assert changed.to_json() == changed.__pydantic_serializer__.to_json(changed) + b"\n"
    assert FileRecord.from_json(changed.to_json()) == changed
