"""Values that options carry, and the question before something is destroyed."""

import re
import sys
from datetime import UTC, datetime
from decimal import Decimal

import typer


def key_values(pairs: list[str]) -> dict[str, str]:
    """Of `KEY=VALUE`; the value may hold further equals signs, or be empty."""
    values = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"{pair!r} is not KEY=VALUE", param_hint="--meta")
        values[key] = value
    return values


def utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None else None


def confirm(action: str, yes: bool) -> None:
    """Ask on a terminal; elsewhere nobody could answer, so `--yes` is needed."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"needed to {action} without a terminal", param_hint="--yes")
    if not typer.confirm(f"{action}?", err=True):
        raise typer.Exit(1)


_UNITS = {
    "": 1,
    **{unit: 1000 ** (power + 1) for power, unit in enumerate(("KB", "MB", "GB", "TB", "PB"))},
    **{unit: 1024 ** (power + 1) for power, unit in enumerate(("KIB", "MIB", "GIB", "TIB", "PIB"))},
}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([KMGTP]I?B)?", re.IGNORECASE)


def limit(text: str, option: str) -> int | None:
    """Bytes, of `500MB`, `2TiB` or a plain number; `None` for `none`."""
    if text == "none":
        return None
    match = _SIZE.fullmatch(text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is no size such as 500MB", param_hint=option)
    return int(Decimal(match[1]) * _UNITS[(match[2] or "").upper()])


def count(text: str, option: str) -> int | None:
    """A number; `None` for `none`."""
    if text == "none":
        return None
    if not (text.isascii() and text.isdigit()):
        raise typer.BadParameter(f"{text!r} is no number", param_hint=option)
    return int(text)
