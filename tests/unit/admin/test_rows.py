"""Whatever a record holds, its row is fit for PostgreSQL and says the same."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.integration.admin.feed_element import make_record

from artstore.admin.services.catalogue.rows import (
    SEARCH_BYTES_MAX,
    metadata_json,
    row_of,
    search_text,
)
from artstore.core.catalogue import search_words

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=8,
)
objects = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1), values, max_size=4
)


@given(objects)
def test_metadata_is_always_json_without_nul(metadata: dict[str, Any]) -> None:
    text = metadata_json(metadata)
    assert "\0" not in str(json.loads(text))
    assert b"\\u0000" not in text
    assert b"NaN" not in text.replace(b'"NaN"', b"") or "NaN" in str(metadata)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_words_are_letters_and_digits_with_single_spaces(text: str) -> None:
    words = search_words(text)
    assert words == " ".join(words.split())
    assert all(word.isalnum() or not word.isascii() for word in words.split())


def test_words_are_cut_at_everything_that_is_no_letter() -> None:
    assert search_words("Invoice_2026-11 (копия).pdf") == "Invoice 2026 11 копия pdf"
    assert search_words("и\u0306од Ёж") == "йод Еж"


def test_long_texts_are_cut_between_words() -> None:
    record = make_record("x", metadata={"text": "слово " * 50_000})
    text = search_text(record)
    assert len(text.encode()) <= SEARCH_BYTES_MAX
    assert set(text.split()) == {"x", "слово"}


@pytest.mark.parametrize("generation", [1, 2])
def test_a_row_follows_from_record_element_and_generation_alone(generation: int) -> None:
    record = make_record("letter.txt", tags=["a"])
    first, second = (row_of(record, "edit-1", generation) for _ in range(2))
    assert first == second
    assert first.record == record.to_json()
