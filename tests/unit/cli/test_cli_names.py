"""Names of downloads: any name that can be stored gives a safe one."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.cli.get_file import NAME_BYTES_MAX, safe_name
from artstore.cli.output import printable, size_text

ID = "0190a0f0-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("Отчёт 1.pdf", "Отчёт 1.pdf"),
        ("a/b\\c", "a_b_c"),
        ("../../etc/passwd", "_._.._etc_passwd"),
        (".bashrc", "_bashrc"),
        ("-rf", "_rf"),
        ("invoice\u202efdp.exe", "invoice_fdp.exe"),
        ("a\0b\nc", "a_b_c"),
        ("..", ID),
        ("///", ID),
        ("  ", ID),
    ],
)
def test_names_become_safe(name: str, safe: str) -> None:
    assert safe_name(name, ID) == safe


def test_a_long_name_keeps_its_suffix() -> None:
    safe = safe_name("Ж" * 300 + ".pdf", ID)

    assert len(safe.encode()) <= NAME_BYTES_MAX
    assert safe.endswith("Ж.pdf")


@given(st.text(st.characters(), min_size=1, max_size=400))
def test_every_name_can_be_given_to_a_file(name: str) -> None:
    safe = safe_name(name, ID)

    assert Path(safe).name == safe
    assert safe not in (".", "..", "")
    assert not safe.startswith((".", "-"))
    assert "\0" not in safe
    assert len(os.fsencode(safe)) <= NAME_BYTES_MAX


@given(st.text(st.characters()))
def test_nothing_printed_can_move_the_cursor(text: str) -> None:
    assert printable(text).isprintable()


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB"), (8 << 40, "8.0 TiB")],
)
def test_sizes_are_short(size_bytes: int, text: str) -> None:
    assert size_text(size_bytes) == text
