"""Values that options carry, and the question before something is destroyed."""

import sys
from datetime import UTC, datetime

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
