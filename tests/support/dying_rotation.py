"""`artstore rotate`, killed at each step in turn: `python -m tests.support.dying_rotation OPTIONS`.

Each attempt is a process of its own that dies by SIGKILL as it begins its step; forked, since
loading the command takes longer than most steps. The last one is let live. Prints where the
record stands after each death.
"""

import json
import os
import signal
import sys
from pathlib import Path

from artstore.cli import main, rotate
from artstore.local.home import Home
from artstore.rotation.procedure import Step


def dies_at(wanted: Step, options: list[str]) -> None:
    told = rotate._tell_step

    def tell_and_die(name: str, step: Step) -> None:
        told(name, step)
        if step is wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        rotate._tell_step = tell_and_die
        main.app(["rotate", *options])
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        sys.exit(f"it did not come to {wanted}")


if __name__ == "__main__":
    given = sys.argv[1:]
    state = Home.at(Path(given[given.index("--home") + 1])).root / "rotation"
    for each in list(Step)[1:]:
        dies_at(each, given)
        (record,) = state.glob("*.json")
        sys.stdout.write(json.loads(record.read_text())["step"] + "\n")
        sys.stdout.flush()
    main.app(["rotate", *given])
