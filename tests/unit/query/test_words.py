"""What a person types is taken apart as the index takes names apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.query.model.words import Words, parse_words


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", Words()),
        ("report", Words("report", last_begun="report")),
        ("report_2024.pdf", Words("report 2024 pdf", last_begun="pdf")),
        ("отчёт-2024", Words("отчет 2024", last_begun="2024")),
        ("a b", Words("a b")),
        ('"annual report" 2024', Words("2024", ("annual report",), last_begun="2024")),
        ('2024 "annual report"', Words("2024", ("annual report",))),
        ("report -draft", Words("report", excluded=("draft",))),
        ('report -"first draft"', Words("report", excluded=("first draft",))),
        ("-draft report", Words("report", excluded=("draft",), last_begun="report")),
        ('*** -- "" -\'', Words()),
        ('"unclosed phrase', Words("", ("unclosed phrase",))),
        ("re-port", Words("re port", last_begun="port")),
    ],
)
def test_queries(query: str, words: Words) -> None:
    assert parse_words(query) == words


def test_the_words_before_the_last() -> None:
    assert parse_words("one two three").required_before_last == "one two"
    assert parse_words("one").required_before_last == ""


@given(st.text())
def test_only_words_come_through(query: str) -> None:
    words = parse_words(query)

    for text in (words.required, *words.phrases, *words.excluded):
        assert not set(text) & set("'\"\\:*&|!()<>%_\0")
    if words.last_begun is not None:
        assert words.required.endswith(words.last_begun)
