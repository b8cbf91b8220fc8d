"""A name for saving: whatever a file is called, the header is one line of ASCII and harmless."""

import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.query.services.disposition import ENCODED_CHARS_MAX, attachment


def saved_as(header: str) -> str:
    """The name as a browser reads it: the extended one goes before the plain one."""
    match = re.fullmatch(
        r"attachment; filename=\"([^\"\\]*)\"(?:; filename\*=UTF-8''(\S+))?", header
    )
    assert match is not None, header
    return unquote(match[2]) if match[2] else match[1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("letter.txt", "letter.txt"),
        ("two words.txt", "two words.txt"),
        ("отчёт.pdf", "отчёт.pdf"),
        ("100%.txt", "100%.txt"),
        ('quo"te.txt', 'quo"te.txt'),
        ("back\\slash", "back_slash"),
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("..", "file"),
        (" ", "file"),
        ("\0", "_"),
        ("a\r\nSet-Cookie: b", "a__Set-Cookie: b"),
        ("\u202egpj.exe", "_gpj.exe"),
        ("\u200f\u05d0.txt", "\u200f\u05d0.txt"),
        ("😀.txt", "😀.txt"),
    ],
)
def test_names(name: str, expected: str) -> None:
    assert saved_as(attachment(name)) == expected


def test_old_clients_get_something_too() -> None:
    assert attachment("отчёт.pdf").startswith('attachment; filename="_____.pdf"; filename*=')


def test_a_plain_name_needs_no_second_one() -> None:
    assert attachment("letter.txt") == 'attachment; filename="letter.txt"'


def test_three_hundred_letters_come_through() -> None:
    assert saved_as(attachment("ж" * 300 + ".pdf")) == "ж" * 300 + ".pdf"


def test_the_longest_name_is_cut_and_keeps_its_extension() -> None:
    header = attachment("😀" * 1020 + ".pdf")

    assert len(header) < 8190
    assert saved_as(header).endswith("😀.pdf")


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=1024)
hostile = st.text(
    st.sampled_from("\0\r\n\"'\\/%;=. \u202e\u2066\x7f\x85ж😀a"), min_size=1, max_size=1024
)


@given(names | hostile)
def test_every_name_gives_a_header_that_is_safe(name: str) -> None:
    header = attachment(name)

    assert re.fullmatch(r"[ -~]+", header)
    assert len(header) < 2 * ENCODED_CHARS_MAX
    saved = saved_as(header)
    assert saved.strip(".")
    assert not re.search(r"[\x00-\x1f/\\\u202e]", saved)


@given(st.text(st.sampled_from("abcжя. -_()+,«»№"), min_size=1, max_size=100))
def test_harmless_names_come_back_as_they_are(name: str) -> None:
    if name.strip(" .") and name == name.strip():
        assert saved_as(attachment(name)) == name
