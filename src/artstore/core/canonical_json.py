"""RFC 8785: one spelling for each JSON value, so that a value can be hashed and signed.

Only values whose spelling no two programs dispute: no fractions (the one hard part of RFC 8785
is how floats are printed) and ASCII keys (where its order, by UTF-16, is the order of bytes).
Anything else is refused, so any implementation of the RFC agrees with this one.
"""

from typing import Any

import orjson

INTEGER_MAX = (1 << 53) - 1
_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER


class NotCanonical(ValueError):
    """The value has no undisputed spelling. The message names what is in the way."""


def canonical_json(value: Any) -> bytes:
    """Raises `NotCanonical`."""
    _check(value)
    return spell(value)


def spell(value: Any) -> bytes:
    """As `canonical_json`, for a value that was checked before or is compared with a hash
    afterwards. Raises `NotCanonical` for what JSON cannot hold."""
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except TypeError as error:
        raise NotCanonical(str(error)) from None


def _check(value: Any) -> None:
    match value:
        case None | bool() | str():
            return
        case int():
            if abs(value) > INTEGER_MAX:
                raise NotCanonical("a number is larger than 2^53 - 1")
        case dict():
            for key, item in value.items():
                if not (isinstance(key, str) and key.isascii()):
                    raise NotCanonical("a key is not ASCII text")
                _check(item)
        case list() | tuple():
            for item in value:
                _check(item)
        case _:
            raise NotCanonical(f"{type(value).__name__} has no undisputed spelling")
