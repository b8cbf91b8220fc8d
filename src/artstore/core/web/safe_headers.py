"""What every answer says to browsers, of modules and of the edge, of success and of failure.

No answer is a page: nothing in it may run, load, be framed or be guessed to be something else.
The one page there is (`core.web.docs`) says for itself what it needs.
"""

from collections.abc import Iterable
from typing import Final

POLICY: Final = "Content-Security-Policy"
SAFE_HEADERS: Final = {
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": (
        "accelerometer=(), camera=(), geolocation=(), gyroscope=(), magnetometer=(), "
        "microphone=(), payment=(), usb=()"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    POLICY: "default-src 'none'; frame-ancestors 'none'",
}

RawHeaders = list[tuple[bytes, bytes]]

_RAW_POLICY: Final = POLICY.lower().encode()
_RAW: Final = tuple((name.lower().encode(), value.encode()) for name, value in SAFE_HEADERS.items())
_RAW_OF_PAGES: Final = tuple(pair for pair in _RAW if pair[0] != _RAW_POLICY)


def with_safe_headers(headers: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
    """A policy of the answer's own stays as it is."""
    given = list(headers)
    for name, _ in given:
        if name == _RAW_POLICY:
            return [*given, *_RAW_OF_PAGES]
    return [*given, *_RAW]
