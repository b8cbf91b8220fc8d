"""Declared digests: what is right is understood, what is wrong is refused, never ignored."""

import hashlib
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.core.errors import InvalidRequest
from artstore.ingester.services.digests import declared_sha256

DIGEST = hashlib.sha256(b"x").digest()
ENCODED = f":{b64encode(DIGEST).decode()}:"


def declared(value: str) -> str | None:
    return declared_sha256([("repr-digest", value)])


@pytest.mark.parametrize(
    "value",
    [
        f"sha-256={ENCODED}",
        f"sha-256={ENCODED};quality=1",
        f"sha-512=:AAAA:, sha-256={ENCODED}",
        f"md5=:AAAA:,\tsha-256={ENCODED} ",
        f'note="a, b=:c:;", sha-256={ENCODED}',
        f"sha-256=:AAAA:, sha-256={ENCODED}",  # the last of a key counts
        f"flag, sha-256={ENCODED}, n=1, t=?1, d=@1",
    ],
)
def test_sha256_is_found_among_others(value: str) -> None:
    assert declared(value) == DIGEST.hex()


@pytest.mark.parametrize("value", ["", "sha-512=:AAAA:", "md5=:AAAA:, unixsum=30637"])
def test_other_algorithms_are_ignored(value: str) -> None:
    assert declared(value) is None


@pytest.mark.parametrize(
    "value",
    [
        "sha-256",
        "sha-256=",
        "sha-256=::",
        "sha-256=:",
        "sha-256=:AAAA:",
        f"sha-256={ENCODED[:-1]}",
        f"sha-256={ENCODED},",
        f"sha-256={ENCODED} sha-512=:AAAA:",
        f"SHA-256={ENCODED}",
        "sha-256=" + DIGEST.hex(),
        "sha-256=:****:",
        "sha-256=:A:",
        DIGEST.hex(),
        "=",
        ",",
        'a="unclosed',
    ],
)
def test_what_cannot_be_read_is_refused(value: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        declared(value)
    assert caught.value.fields == {"field": "repr-digest"}


def test_two_headers_must_agree() -> None:
    other = f"sha-256=:{b64encode(bytes(32)).decode()}:"
    same = [("repr-digest", f"sha-256={ENCODED}"), ("content-digest", f"sha-256={ENCODED}")]

    assert declared_sha256(same) == DIGEST.hex()
    assert declared_sha256([]) is None
    with pytest.raises(InvalidRequest):
        declared_sha256([same[0], ("content-digest", other)])


@given(st.text())
def test_no_text_does_more_than_be_refused(value: str) -> None:
    try:
        found = declared(value)
    except InvalidRequest:
        return
    assert found is None or len(bytes.fromhex(found)) == 32


@given(st.binary(min_size=32, max_size=32), st.sampled_from(["", "sha-512=:AA==:, ", "a;b=1, "]))
def test_every_digest_survives_the_header(digest: bytes, before: str) -> None:
    assert declared(f"{before}sha-256=:{b64encode(digest).decode()}:") == digest.hex()
