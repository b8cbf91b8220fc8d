"""Where a request ends, said so that every reader understands the same."""

from collections.abc import Mapping

from artstore.core.web.safe_headers import RawHeaders


def check_framing(
    headers: RawHeaders, fields: Mapping[bytes, bytes], version: str, *, wants_upgrade: bool
) -> None:
    """What the parser lets pass, although two readers may see two things in it.

    Raises:
        ValueError: It is not said, or said twice, whom the request is for or where it ends.
    """
    if b"host" not in fields and version == "1.1":
        raise ValueError("no Host")
    if len(fields) != len(headers) and [name for name, _ in headers].count(b"host") > 1:
        raise ValueError("more than one Host")
    coding = fields.get(b"transfer-encoding")
    if coding is not None and (coding.lower() != b"chunked" or version == "1.0"):
        raise ValueError("a Transfer-Encoding that nobody undoes here")
    if wants_upgrade and (coding is not None or fields.get(b"content-length", b"0") != b"0"):
        # For the parser such a request has no body, and its body is the next request.
        raise ValueError("a body in front of another protocol")
