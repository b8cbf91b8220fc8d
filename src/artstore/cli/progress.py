"""Progress bars on stderr, if that is a terminal; nothing otherwise."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from artstore.cli.trees import Entry, Found

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

TOTAL_EVERY_FILES = 1000
WIDE_COLUMNS = 100
"""From here on there is room for a bar, too."""


class Meter:
    """Counts files and bytes. May be told from several threads."""

    def advance(self, done_bytes: int) -> None:
        """Negative when an upload starts again."""

    def file_done(self, done_bytes: int) -> None:
        """Args: `done_bytes`: those that were not told by `advance`."""

    def expect(self, files: int, size_bytes: int | None) -> None:
        """What there is in total, as far as it is known."""

    def close(self) -> None:
        pass


class Tally:
    """A progress callback of the SDK that feeds a meter."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._done_bytes = 0

    def __call__(self, done_bytes: int, total_bytes: int | None) -> None:
        self._meter.advance(done_bytes - self._done_bytes)
        self._done_bytes = done_bytes


class BarMeter(Meter):
    def __init__(self, bars: "Bars", description: str) -> None:
        self._bars = bars
        self._task = bars.add_task(description, total=None, files="")
        self._lock = threading.Lock()
        self._files_done = 0
        self._files_total = 0

    def advance(self, done_bytes: int) -> None:
        self._bars.advance(self._task, done_bytes)

    def file_done(self, done_bytes: int) -> None:
        with self._lock:
            self._files_done += 1
        self._bars.update(self._task, advance=done_bytes, files=self._files_text())

    def expect(self, files: int, size_bytes: int | None) -> None:
        self._files_total = files
        self._bars.update(self._task, total=size_bytes, files=self._files_text())

    def close(self) -> None:
        self._bars.stop()

    def _files_text(self) -> str:
        of_total = f" of {self._files_total}" if self._files_total else ""
        return f"{self._files_done}{of_total} files"


@contextmanager
def uploads_meter(expected: Callable[[], Iterator[Found]]) -> Iterator[Meter]:
    """Args: `expected`: what will be uploaded; counted aside while uploads already run."""
    with counted_meter("storing", expected) as bars:
        yield bars


@contextmanager
def counted_meter(description: str, expected: Callable[[], Iterator[Found]]) -> Iterator[Meter]:
    """With a total that is counted while the work already runs."""
    with meter(description) as bars:
        if type(bars) is Meter:
            yield bars
            return
        ended = threading.Event()
        counting = threading.Thread(target=_count, args=(expected(), bars, ended), daemon=True)
        counting.start()
        try:
            yield bars
        finally:
            ended.set()
            counting.join()


@contextmanager
def meter(description: str) -> Iterator[Meter]:
    if not sys.stderr.isatty():
        yield Meter()
        return
    with _bars() as bars:
        yield BarMeter(bars, description)


def _bars() -> "Bars":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    from artstore.cli.output import size_text

    class BytesColumn(TextColumn):
        """How much, and how much in a second, in the units of all other sizes."""

        def render(self, task: Task) -> Text:
            of_total = f" of {size_text(task.total)}" if task.total else ""
            rate = f", {size_text(task.speed)}/s" if task.speed else ""
            return Text(f"{size_text(task.completed)}{of_total}{rate}")

    console = Console(stderr=True)
    # What does not fit into a line would fill several, and each update would scroll.
    wide = console.width >= WIDE_COLUMNS
    return Progress(
        TextColumn("{task.description}"),
        *((BarColumn(),) if wide else ()),
        TextColumn("{task.fields[files]}"),
        BytesColumn(""),
        *((TimeRemainingColumn(),) if wide else ()),
        console=console,
        transient=True,
        # On a terminal lines of data appear above the bars; a pipe gets them untouched.
        redirect_stdout=sys.stdout.isatty(),
    )


def _count(expected: Iterator[Found], bars: Meter, ended: threading.Event) -> None:
    files = size_bytes = 0
    for item in expected:
        if ended.is_set():
            return
        if isinstance(item, Entry):
            files += 1
            size_bytes += item.size_bytes
            if files % TOTAL_EVERY_FILES == 0:
                bars.expect(files, None)
    bars.expect(files, size_bytes or None)
