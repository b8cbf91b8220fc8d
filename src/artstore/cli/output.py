"""How the command line speaks: data on stdout, everything else on stderr.

Every command imports this, so it must not import the SDK.
"""

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from artstore.core.errors import ArtStoreError

READER_GONE: Final = 141
"""The exit code where a reader such as `head` wants no more, as a shell tells it."""


class StdoutLost(Exception):
    """What was found out cannot be told. No `OSError`, which would look like that of a file."""

    def __init__(self, failure: OSError) -> None:
        super().__init__(failure)
        self.exit_code = READER_GONE if isinstance(failure, BrokenPipeError) else 1
        self.text = "" if self.exit_code == READER_GONE else f"standard output: {failure.strerror}"


_MOMENT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})T([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]+)?(?:Z|\+00:00)"
)


def say(text: str) -> None:
    """A remark for the person at the terminal."""
    print(printable(text), file=sys.stderr, flush=True)


def print_line(text: str) -> None:
    """One line of data, visible to a reading program at once."""
    _write(printable(text))


def print_json(value: Mapping[str, Any]) -> None:
    """One object on one line. What the output's encoding lacks stays escaped, as do lone
    surrogates, which a file name may hold."""
    try:
        line = json.dumps(value, ensure_ascii=False, default=_encode)
        line.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        line = json.dumps(value, default=_encode)
    _write(line)


def _write(line: str) -> None:
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except OSError as failure:
        # The buffer still holds the line, and Python would fail with it once more at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise StdoutLost(failure) from None


def print_fields(value: Mapping[str, Any]) -> None:
    """For people: one member a line, without those that say nothing."""
    shown = list(_flat("", value))
    width = max((len(name) for name, _ in shown), default=0)
    for name, text in shown:
        print_line(f"{name:<{width}}  {text}")


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Each leaf of an object under its path; a list is one line, one of objects a line each."""
    match value:
        case None | "" | []:
            return
        case Mapping():
            for key, item in value.items():
                yield from _flat(f"{name}.{key}" if name else key, item)
        case [*items] if any(isinstance(item, Mapping) for item in items):
            for item in items:
                yield name, "  ".join(f"{key} {text}" for key, text in _flat("", item))
        case [*items]:
            yield name, ", ".join(map(value_text, items))
        case _:
            yield name, value_text(value)


def value_text(value: object) -> str:
    """As people read it: moments without fractions, yes and no."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case str():
            moment = _MOMENT.fullmatch(value)
            return f"{moment[1]} {moment[2]} UTC" if moment else value
        case datetime():
            return value_text(value.isoformat())
    return str(value)


def print_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """For people: aligned columns under their names."""
    cells = [[value_text(row.get(column)) for column in columns] for row in rows]
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


def count_text(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
