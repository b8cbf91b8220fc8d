"""Waits for work that goes on elsewhere, with a bar on stderr if that is a terminal."""

import sys
import time
from collections.abc import Callable
from typing import NamedTuple

LOOK_EVERY_S = 1.0


class Standing(NamedTuple):
    """How far it is: `ratio` from 0 to 1, and what to say of it."""

    ratio: float
    text: str
    ended: bool


def wait_for(description: str, look: Callable[[], Standing]) -> None:
    """Until it has ended. Interrupting this does not stop the work."""
    if not sys.stderr.isatty():
        while not look().ended:
            time.sleep(LOOK_EVERY_S)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(description, total=1.0, text="")
        while not (standing := look()).ended:
            bars.update(task, completed=standing.ratio, text=standing.text)
            time.sleep(LOOK_EVERY_S)
