"""`docs/reference/logs.md` lists every field that a log line of ours may have."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs" / "reference" / "logs.md"
LEVELS = frozenset({"debug", "info", "warning", "error", "exception", "critical"})
NAMED_ELSEWHERE = frozenset(
    {"timestamp", "level", "event", "service", "instance", "trace_id", "exception"}
    | {"method", "route", "status", "duration_ms", "peer"}
)
"""By the processors in `core.logging` and by `RequestTelemetry`."""


def documented() -> list[str]:
    return re.findall(r"^\| `([a-z0-9_]+)` \|", FILE.read_text("utf-8"), re.MULTILINE)


def used() -> set[str]:
    files = (ROOT / "src" / "artstore").rglob("*.py")
    return {
        name for file in files for name in fields_in(ast.parse(file.read_text("utf-8")))
    } | NAMED_ELSEWHERE


def fields_in(tree: ast.AST) -> Iterator[str]:
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and (is_event(call) or is_note(call)):
            yield from (
                "exception" if keyword.arg == "exc_info" else keyword.arg
                for keyword in call.keywords
                if keyword.arg is not None
            )


def is_event(call: ast.Call) -> bool:
    """`something.info("what happened", field=...)`: of the standard library, nothing is used so."""
    return (
        isinstance(call.func, ast.Attribute)
        and call.func.attr in LEVELS
        and bool(call.args)
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    )


def is_note(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id == "note"


def test_the_list_is_complete_and_holds_nothing_else() -> None:
    assert sorted(documented()) == sorted(used())


def test_no_field_is_made_for_a_secret_or_a_name_of_a_document() -> None:
    forbidden = {"token", "password", "filename", "original_filename", "authorization"}

    assert not used() & forbidden
