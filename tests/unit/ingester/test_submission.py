"""What a sender says becomes a draft, exactly, or is refused by the name of its field."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.core.errors import InvalidMetadata, InvalidRequest
from artstore.core.model.account import Caller
from artstore.core.model.file import ATTR_BYTES_MAX, FileDraft
from artstore.ingester.services.submission import (
    FIELDS_MAX,
    draft_file,
    encode_draft,
    guess_content_type,
    parse_metadata,
    parse_query,
)

NOW = datetime(2026, 11, 22, tzinfo=UTC)
CALLER = Caller(subject="s", name="n", scopes=frozenset(), token_id="t", expires_at=NOW)


def draft(*fields: tuple[str, str], content_type: str | None = None) -> FileDraft:
    return draft_file(fields, caller=CALLER, now=NOW, content_type=content_type)


text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(st.lists(st.tuples(text, text)))
def test_a_query_gives_back_what_was_put_in(pairs: list[tuple[str, str]]) -> None:
    assert parse_query(urlencode(pairs).encode()) == pairs
    assert parse_query(urlencode(pairs, quote_via=quote).encode()) == pairs


@pytest.mark.parametrize("query", [b"a=%FF", b"a=%C3", b"a=\xff", b"a=%ED%A0%80"])
def test_a_value_that_is_not_utf8_names_its_field(query: bytes) -> None:
    with pytest.raises(InvalidMetadata) as caught:
        parse_query(query)
    assert caught.value.fields == {"field": "a"}


def test_a_name_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        parse_query(b"%FF=a")


def test_fields_are_limited() -> None:
    assert len(parse_query(b"tag=x&" * FIELDS_MAX)) == FIELDS_MAX
    with pytest.raises(InvalidRequest):
        parse_query(b"tag=x&" * (FIELDS_MAX + 1))


@given(st.binary(max_size=200))
def test_no_query_does_more_than_be_refused(query: bytes) -> None:
    try:
        parse_query(query)
    except (InvalidMetadata, InvalidRequest):
        return


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=1024))
def test_any_name_is_kept(name: str) -> None:
    assert draft(("filename", name)).original_filename == name


@pytest.mark.parametrize(
    ("name", "declared", "stored"),
    [
        ("a.pdf", None, "application/pdf"),
        ("a.PDF", None, "application/pdf"),
        ("a.docx", None, "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("a", None, "application/octet-stream"),
        ("pdf", None, "application/octet-stream"),
        ("http://[x.pdf", None, "application/pdf"),
        ("a.nosuchtype", None, "application/octet-stream"),
        ("a.pdf", "text/plain; charset=koi8-r", "text/plain; charset=koi8-r"),
        ("a.pdf", "application/x-www-form-urlencoded", "application/pdf"),
    ],
)
def test_the_declared_type_goes_before_the_extension(
    name: str, declared: str | None, stored: str
) -> None:
    assert draft(("filename", name), content_type=declared).content_type == stored


@given(st.text())
def test_any_name_has_a_type(name: str) -> None:
    assert "/" in guess_content_type(name)


def test_the_uploader_is_the_caller_and_never_the_service() -> None:
    uploader = draft(("filename", "a")).uploaded_by
    assert (uploader.subject, uploader.name, uploader.via) == ("s", "n", "api")


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("{}", {}),
        ('{"n": 123456789012345678901234567890}', {"n": 123456789012345678901234567890}),
        ('{"a": {"b": [1.5, null, true, "x"]}}', {"a": {"b": [1.5, None, True, "x"]}}),
        ('{"": 1}', {"": 1}),
        ('{"lat": 55.75222000000, "e": 1.0e3}', {"lat": 55.75222, "e": 1000.0}),
    ],
)
def test_metadata_keep_every_digit(source: str, value: dict[str, Any]) -> None:
    assert parse_metadata(source) == value


@pytest.mark.parametrize(
    "source",
    [
        "",
        "null",
        "1",
        "[]",
        "{",
        '{"a": NaN}',
        '{"a": Infinity}',
        '{"a": 1e999}',
        '{"a": [{"b": -1e99999999999999999999}]}',
        '{"a": 1e-999}',
        '{"a": 37.617789000000012345}',
        '{"a": "\\ud800"}',
        "[" * 10_000,
        '{"a":' * 1000 + "1" + "}" * 1000,
    ],
)
def test_metadata_that_are_no_json_object_are_refused(source: str) -> None:
    with pytest.raises(InvalidMetadata) as caught:
        parse_metadata(source)
    assert caught.value.fields == {"field": "metadata"}


def test_a_draft_that_no_attr_json_could_hold_is_refused() -> None:
    large = draft(("filename", "a"), ("metadata", '{"a": "' + "x" * ATTR_BYTES_MAX + '"}'))

    with pytest.raises(InvalidMetadata):
        encode_draft(large)


def test_a_draft_reads_back_as_it_was() -> None:
    original = draft(("filename", "nul\0 отчёт"), ("tag", "a"), ("retention", "P10Y"))

    assert FileDraft.model_validate_json(encode_draft(original)) == original
