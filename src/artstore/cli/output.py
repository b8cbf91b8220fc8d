"""How the command line speaks: data on stdout, everything else on stderr.

Every command imports this, so it must not import the SDK.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from artstore.core.errors import ArtStoreError


def say(text: str) -> None:
    """A remark for the person at the terminal."""
    print(printable(text), file=sys.stderr, flush=True)


def print_line(text: str) -> None:
    """One line of data, visible to a reading program at once."""
    sys.stdout.write(printable(text) + "\n")
    sys.stdout.flush()


def print_json(value: Mapping[str, Any]) -> None:
    """One object on one line. Lone surrogates, which a file name may hold, stay escaped."""
    try:
        line = json.dumps(value, ensure_ascii=False, default=_encode)
        line.encode()
    except UnicodeEncodeError:
        line = json.dumps(value, default=_encode)
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def print_fields(value: Mapping[str, Any]) -> None:
    """For people: one member a line, without those that say nothing."""
    shown = {name: item for name, item in value.items() if item not in (None, [], {}, "")}
    width = max(map(len, shown), default=0)
    for name, item in shown.items():
        text = item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
        print_line(f"{name:<{width}}  {text}")


def print_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """For people: aligned columns under their names."""
    cells = [[str(row.get(column) or "") for column in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    for line in (columns, *cells):
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print_line("  ".join(padded).rstrip())


def _encode(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def printable(text: str) -> str:
    """What a terminal shows but does not obey: a file name may hold escapes and line ends."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()


def error_fields(failure: ArtStoreError | OSError) -> dict[str, Any]:
    """The `error` member of a JSON line."""
    from artstore.client.problems import code_of, correlation_id_of

    if isinstance(failure, ArtStoreError):
        fields = {"code": code_of(failure), "detail": failure.detail}
        if correlation_id := correlation_id_of(failure):
            fields["correlation_id"] = correlation_id
        return fields
    return {"code": "os_error", "detail": failure.strerror or str(failure)}


def error_text(failure: ArtStoreError | OSError) -> str:
    from artstore.client.problems import code_of, correlation_id_of

    if isinstance(failure, OSError):
        named = f"{failure.filename}: " if failure.filename else ""
        return f"{named}{failure.strerror or failure}"
    correlation_id = correlation_id_of(failure)
    suffix = f" (correlation id {correlation_id})" if correlation_id else ""
    field = failure.fields.get("field")
    where = f" [{field}]" if field else ""
    return f"{code_of(failure)}: {failure.detail}{where}{suffix}"


def size_text(size_bytes: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size_bytes < 1024:
            return f"{size_bytes:.0f} B" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} TiB"
