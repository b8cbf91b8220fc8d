import base64
import secrets

import pytest

from artstore.core.secrets.strength import weakness


@pytest.mark.parametrize(
    "text",
    [
        "",
        "artstore",
        "changeme",
        "Xk7/qP2mR9",
        "passwordpasswordpassword1234",
        "postgres-admin-password-2026",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "abcabcabcabcabcabcabcabcabcabc",
        "abcdefghijklmnopqrstuvwxyz0123456789",
        "zyxwvutsrqponmlkjihgfedcba",
        "0123456789012345678901234567890123456789",
        "qwertyuiopqwertyuiopqwertyuiop",
        "парольпарольпарольпароль",
        base64.urlsafe_b64encode(bytes(32)).decode(),
    ],
)
def test_refused(text: str) -> None:
    assert weakness(text)


def test_the_reason_does_not_tell_the_secret() -> None:
    assert "postgres-admin" not in str(weakness("postgres-admin-password-2026"))


@pytest.mark.parametrize(
    "make",
    [
        lambda: secrets.token_urlsafe(32),
        lambda: secrets.token_hex(32),
        lambda: base64.b64encode(secrets.token_bytes(18)).decode(),
    ],
    ids=["urlsafe", "hex", "18 bytes"],
)
def test_random_ones_are_fit(make: object) -> None:
    assert callable(make)
    assert not [text for text in (make() for _ in range(2000)) if weakness(text)]
