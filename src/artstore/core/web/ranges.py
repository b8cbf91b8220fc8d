"""`Range` of RFC 9110, 14.2, for one range of bytes."""

import re

from artstore.core.errors import RangeNotSatisfiable

_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


def parse_range(header: str | None, size_bytes: int) -> tuple[int, int] | None:
    """The bytes asked for, as `(start, end)` with `end` exclusive.

    `None` means the whole file: no header, one that is malformed, or several ranges, which
    a server may ignore; nobody needs them and answering them has cost others dearly.

    Raises:
        RangeNotSatisfiable: The range begins behind the end.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match[0] == "bytes=-":
        return None
    first, last = match[1], match[2]
    if not first:
        start = max(0, size_bytes - int(last))
        end = size_bytes
    else:
        start = int(first)
        end = min(size_bytes, int(last) + 1) if last else size_bytes
        if last and int(last) < start:
            return None
    if start >= size_bytes or start >= end:
        raise RangeNotSatisfiable(f"the file has {size_bytes} bytes", size_bytes=size_bytes)
    return start, end
