"""Base64 with exactly one spelling for each value."""

import base64


def encode_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def decode_base64(text: str) -> bytes:
    """Only the canonical form, so that nothing signed has two spellings. Raises `ValueError`."""
    data = base64.b64decode(text, validate=True)
    if encode_base64(data) != text:
        raise ValueError("not canonical base64")
    return data
