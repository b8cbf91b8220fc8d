"""An ArtStore whose changes of files leave no trace in the audit, to measure what the audit costs.

Only for benchmarks: `_unaudited.py stack ...` takes the place of `python -m artstore.local`, and
starts its admin module as `_unaudited.py admin ...`.
"""

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from artstore.admin import __main__ as admin
from artstore.admin.repository.positions import Position
from artstore.admin.services.audit.file_trail import FileTrail, Line
from artstore.core.clock import SystemClock
from artstore.local import stack
from artstore.local.modules import Module

# By its path: children work in another folder.
_AGAIN = [sys.executable, str(Path(__file__).absolute())]


class UnauditedStack(stack.Stack):
    def _daemon_command(self, report_to: int) -> list[str]:
        return [*_AGAIN, "stack", *super()._daemon_command(report_to)[3:]]


def run_stack(arguments: Sequence[str]) -> int:
    of_product = Module.command

    def command(module: Module, *arguments: str) -> list[str]:
        if module.module == "admin":
            return [*_AGAIN, "admin", *arguments]
        return of_product(module, *arguments)

    Module.command = command  # type: ignore[method-assign]
    return stack.daemon(arguments, SystemClock())


def run_admin() -> None:
    async def take_over(
        _: FileTrail, _position: Position, _lines: Sequence[Line], _now: datetime
    ) -> None:
        """Nothing."""

    FileTrail.take_over = take_over  # type: ignore[method-assign]
    admin.main()


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "stack":
        sys.exit(run_stack(rest))
    sys.argv = [sys.argv[0], *rest]
    run_admin()
