"""The quick way to write a record and pydantic's own give the same bytes."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from artstore.core.model.file import (
    Deletion,
    Digest,
    FileDraft,
    FileRecord,
    Hold,
    Origin,
    Scan,
    Uploader,
)
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


drafts = st.builds(
    FileDraft,
    original_filename=texts,
    uploaded_by=st.builds(Uploader, subject=texts, name=texts, via=texts),
    declared_content_type=st.none() | st.just("a/b"),
    retention=retentions,
    tags=st.lists(texts, max_size=3),
    metadata=st.just({}) | st.just({"a": {"b": 1}}),
)


@given(drafts, st.integers(0, 1 << 43), moments)
def test_a_first_record_is_as_if_checked(draft: FileDraft, size: int, now: datetime) -> None:
    file_id = FileId("01a205c1-80ca-75b3-bdc7-a5b6c8b8f565")
    record = FileRecord.first(draft, file_id=file_id, size=size, sha256="0" * 64, now=now)
    kept = FileRecord.model_fields.keys() - {"size"}
    said = {name: value for name, value in draft if name in kept}
    digest = Digest(alg="sha256", value="0" * 64, computed_at=now)
    checked = FileRecord(
        file_id=file_id, size=size, digests=(digest,), uploaded_at=now, revision=1, **said
    )
    assert record == checked
    assert list(record.__dict__) == list(FileRecord.model_fields)
    assert record.to_json() == checked.to_json()
    assert FileRecord.from_json(record.to_json()) == record


@given(drafts, st.none() | st.builds(Origin.known, texts, st.none() | texts, st.tuples(texts)))
def test_a_draft_too(draft: FileDraft, origin: Origin | None) -> None:
    whole = draft.model_copy(update={"origin": origin})
    assert whole.to_json() == whole.__pydantic_serializer__.to_json(whole)
    assert FileDraft.model_validate_json(whole.to_json()) == whole


@given(drafts)
def test_a_draft_of_another_type_is_as_if_copied(draft: FileDraft) -> None:
    assert draft.served_as("c/d") == draft.model_copy(update={"content_type": "c/d"})
