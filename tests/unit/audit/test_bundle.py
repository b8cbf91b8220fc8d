import pytest

from artstore.core.audit.bundle import safe_name


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("C:\\a\0b\n.txt", "C_a_b_.txt"),
        ("...", "document"),
        ("", "document"),
        ("x" * 300 + ".pdf", "x" * 196 + ".pdf"),
        ("Отчёт (2).docx", "Отчёт (2).docx"),
    ],
)
def test_names_are_made_safe(filename: str, expected: str) -> None:
    assert safe_name(filename) == expected
