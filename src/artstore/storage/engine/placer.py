"""Makes new small files, many at a time.

Creating files is mostly system calls, and after each of them a thread has to wait for the
interpreter that the event loop keeps busy: measured, that halves the uploads per second. So
the element has a helper process with an interpreter of its own for this. It decides nothing
and needs nothing; without it the same work is done here, only slower.
"""

import marshal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple, NoReturn, Protocol

from artstore.storage.engine.fs import Fs, LocalFs, make_directories, write_all

_HEAD: Final = struct.Struct(">II")
"""Length of the message, and of the raw bytes behind it."""
BUFFER_BYTES: Final = 64 << 10
"""At first: most messages are shorter, and each call more gives up the interpreter once more."""

Bytes = bytes | memoryview


class NewFile(NamedTuple):
    """Content and sealed record of one file, and where they belong."""

    path: str
    content: Bytes
    attr_path: str
    attr: Bytes


class PlacerFailed(Exception):
    """Some of the files may be in place, some not, one may be half there."""


class Placer(Protocol):
    def existing(self, paths: Sequence[str]) -> list[str]:
        """Which of `paths` exist. Raises `PlacerFailed`."""
        ...

    def put_new(self, files: Sequence[NewFile]) -> Callable[[], None]:
        """Begin to make files that do not exist yet, content first. What is returned waits
        until they are there, and is called before anything else is asked; it raises
        `PlacerFailed`."""
        ...

    def close(self) -> None: ...


class DirectPlacer:
    """Does the work in this process."""

    def __init__(self, fs: Fs) -> None:
        self._fs = fs

    def existing(self, paths: Sequence[str]) -> list[str]:
        try:
            return [path for path in paths if self._fs.exists(path)]
        except OSError as error:
            raise PlacerFailed(str(error)) from error

    def put_new(self, files: Sequence[NewFile]) -> Callable[[], None]:
        return lambda: self._put_all(files)

    def close(self) -> None:
        pass

    def _put_all(self, files: Sequence[NewFile]) -> None:
        try:
            for file in files:
                self._put(file)
        except OSError as error:
            raise PlacerFailed(str(error)) from error

    def _put(self, file: NewFile) -> None:
        try:
            put_new(self._fs, file.path, file.content)
        except FileNotFoundError:
            make_directories(self._fs, file.path.rpartition("/")[0])
            put_new(self._fs, file.path, file.content)
        put_new(self._fs, file.attr_path, file.attr)


def put_new(fs: Fs, path: str, data: Bytes) -> None:
    handle = fs.create(path)
    try:
        write_all(fs, handle, data, 0)
    finally:
        fs.close(handle)


class PlacerProcess:
    """A `DirectPlacer` in a process of its own. One thread at a time."""

    def __init__(self) -> None:
        self._start()

    def existing(self, paths: Sequence[str]) -> list[str]:
        if not paths:
            return []
        self._ask(("existing", list(paths)))
        return [str(path) for path in self._answer()]

    def put_new(self, files: Sequence[NewFile]) -> Callable[[], None]:
        if not files:
            return _nothing
        named: list[object] = []
        raw: list[Bytes] = []
        for path, content, attr_path, attr in files:
            named.append((path, len(content), attr_path, len(attr)))
            raw += (content, attr)
        try:
            self._ask(("put_new", named), raw)
        except PlacerFailed as failure:
            return partial(_fail, failure)
        return self._finish

    def close(self) -> None:
        """The helper ends when it hears nothing more."""
        self._channel.close()
        self._process.wait()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        self._channel = Channel(ours)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "artstore.storage.engine.placer"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                # Ctrl-C is for the element, which needs the helper until it has stopped.
                start_new_session=True,
            )

    def _replace(self) -> None:
        try:
            self.close()
            self._start()
        except OSError as error:
            raise PlacerFailed(f"there is no helper: {error}") from error

    def _finish(self) -> None:
        self._answer()

    def _ask(self, question: "Message", raw: Sequence[Bytes] = ()) -> None:
        try:
            self._channel.send(question, raw)
        except OSError:
            self._gone()

    def _answer(self) -> list[object]:
        try:
            answer = self._channel.receive()
        except OSError:
            answer = None
        if answer is None:
            self._gone()
        (failure, result), _ = answer
        if failure:
            raise PlacerFailed(failure)
        return result

    def _gone(self) -> NoReturn:
        self._replace()
        raise PlacerFailed("the helper is gone; the next call has a new one")


def _nothing() -> None:
    """Was asked for."""


def _fail(failure: PlacerFailed) -> None:
    raise failure


Message = tuple[str, list[object]]
"""A question is a verb and its items, an answer a failure (or nothing) and results."""


class Channel:
    """Messages of two processes, with raw bytes behind them. Never more than one is on its way.

    Both sides are this very program: `marshal` is safe here, and the fastest there is.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        # Kept: fresh memory for each message would cost a page fault for every 4 KiB of it.
        self._buffer = bytearray(BUFFER_BYTES)

    def send(self, message: Message, raw: Sequence[Bytes] = ()) -> None:
        data = marshal.dumps(message)
        head = _HEAD.pack(len(data), sum(map(len, raw)))
        pieces = (head, data, *raw)
        sent = self._connection.sendmsg(pieces)
        if sent < sum(map(len, pieces)):
            self._connection.sendall(memoryview(b"".join(pieces))[sent:])

    def receive(self) -> tuple[Message, memoryview] | None:
        """The message and its raw bytes, which hold until the next one comes. `None` when the
        other side is gone."""
        came = self._connection.recv_into(self._buffer)
        if came < _HEAD.size:
            return None
        data_length, raw_length = _HEAD.unpack_from(self._buffer)
        middle = _HEAD.size + data_length
        missing = middle + raw_length - came
        if missing > len(self._buffer) - came:
            self._buffer = self._buffer[:came] + bytes(missing)
        view = memoryview(self._buffer)
        if missing:
            rest = view[came : came + missing]
            if self._connection.recv_into(rest, missing, socket.MSG_WAITALL) < missing:
                return None
        first, second = marshal.loads(view[_HEAD.size : middle])  # noqa: S302  from our own process
        return (first, second), view[middle : middle + raw_length]

    def close(self) -> None:
        self._connection.close()


def work(connection: socket.socket, placer: Placer) -> None:
    """The helper's life: do what is asked, in order, until nobody asks."""
    channel = Channel(connection)
    while (request := channel.receive()) is not None:
        (verb, items), raw = request
        try:
            if verb == "existing":
                channel.send(("", list(placer.existing([str(item) for item in items]))))
            else:
                placer.put_new(_new_files(items, raw))()
                channel.send(("", []))
        except PlacerFailed as failure:
            channel.send((str(failure), []))


def _new_files(named: list[Any], raw: memoryview) -> list[NewFile]:
    files: list[NewFile] = []
    start = 0
    for path, content_length, attr_path, attr_length in named:
        middle = start + content_length
        end = middle + attr_length
        files.append(NewFile(path, raw[start:middle], attr_path, raw[middle:end]))
        start = end
    return files


if __name__ == "__main__":
    # ConnectionError: whoever asked was killed in the middle of it.
    with socket.socket(fileno=sys.stdin.fileno()) as asking, suppress(ConnectionError):
        work(asking, DirectPlacer(LocalFs()))
