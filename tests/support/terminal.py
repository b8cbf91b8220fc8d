"""A command at a terminal of its own, answered as a person would."""

import os
import pty
import select
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tests.support.processes import wait_until

LIMIT_S = 120.0
HIDDEN = ("password", "new password", "the same again", "secret")
"""Prompts whose answer is not shown. What is typed before that begins is thrown away."""
Answer = str | Callable[[str], str]
"""What is typed; or made of all that was shown so far."""


@dataclass(frozen=True)
class AtTerminal:
    returncode: int
    shown: str


def at_terminal(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    answers: Sequence[tuple[str, Answer]],
) -> AtTerminal:
    """`answers`: for each prompt in turn, words it holds and what is typed there."""
    pid, terminal = pty.fork()
    if pid == 0:
        command = [sys.executable, "-m", "artstore.cli", *arguments]
        os.execve(sys.executable, command, {**os.environ, **environment})
    shown = b""
    seen = 0
    waiting = list(answers)
    ends_at_s = time.monotonic() + LIMIT_S
    while True:
        ready, _, _ = select.select([terminal], [], [], 1)
        if ready:
            try:
                chunk = os.read(terminal, 4096)
            except OSError:
                break  # It closed its end.
            if not chunk:
                break
            shown += chunk
            if waiting and waiting[0][0].encode() in shown[seen:]:
                seen = len(shown)
                prompt, answer = waiting.pop(0)
                text = answer if isinstance(answer, str) else answer(shown.decode())
                if prompt.startswith(HIDDEN):
                    wait_until(lambda: not _echoes(terminal), "the terminal hiding what is typed")
                os.write(terminal, text.encode() + b"\n")
        elif time.monotonic() > ends_at_s:
            raise AssertionError(f"nothing more was asked: {shown.decode()[-1000:]}")
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return AtTerminal(os.waitstatus_to_exitcode(status), shown.decode())


def _echoes(terminal: int) -> bool:
    local_flags: int = termios.tcgetattr(terminal)[3]
    return bool(local_flags & termios.ECHO)
