"""Makes new small files, many at a time.

Creating files is mostly system calls, and after each of them a thread has to wait for the
interpreter that the event loop keeps busy: measured, that halves the uploads per second. So
the element has a helper process with an interpreter of its own for this. It decides nothing
and needs nothing; without it the same work is done here, only slower.
"""

import marshal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple, NoReturn, Protocol

from artstore.storage.engine.fs import Fs, LocalFs, make_directories, write_all

HEAD_BYTES: Final = 4
RECEIVED_BYTES: Final = 64 << 10
"""At first: most answers are shorter, and each call more gives up the interpreter once more."""


class NewFile(NamedTuple):
    """Content and sealed record of one file, and where they belong."""

    path: str
    content: bytes
    attr_path: str
    attr: bytes


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


def put_new(fs: Fs, path: str, data: bytes) -> None:
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
        self._ask("existing", list(paths))
        return [str(path) for path in self._answer()]

    def put_new(self, files: Sequence[NewFile]) -> Callable[[], None]:
        if not files:
            return _nothing
        try:
            self._ask("put_new", [tuple(file) for file in files])
        except PlacerFailed as failure:
            return partial(_fail, failure)
        return self._finish

    def close(self) -> None:
        """The helper ends when it hears nothing more."""
        self._socket.close()
        self._process.wait()

    def _start(self) -> None:
        self._socket, theirs = socket.socketpair()
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

    def _ask(self, verb: str, items: list[object]) -> None:
        try:
            send(self._socket, (verb, items))
        except OSError:
            self._gone()

    def _answer(self) -> list[object]:
        try:
            answer = receive(self._socket)
        except OSError:
            answer = None
        if answer is None:
            self._gone()
        failure, result = answer
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


def send(connection: socket.socket, message: tuple[str, list[Any]]) -> None:
    data = marshal.dumps(message)
    connection.sendall(len(data).to_bytes(HEAD_BYTES) + data)


def receive(connection: socket.socket) -> tuple[str, list[object]] | None:
    """`None` when the other side is gone. Both sides are this very program: `marshal` is
    safe here, and the fastest there is."""
    # Never more than one message is on its way, so what comes is the begin of just one.
    data = connection.recv(RECEIVED_BYTES)
    if len(data) < HEAD_BYTES:
        return None
    missing = HEAD_BYTES + int.from_bytes(data[:HEAD_BYTES]) - len(data)
    if missing:
        rest = connection.recv(missing, socket.MSG_WAITALL)
        if len(rest) < missing:
            return None
        data += rest
    first, second = marshal.loads(memoryview(data)[HEAD_BYTES:])  # noqa: S302  from our own process
    return first, second


def work(connection: socket.socket, placer: Placer) -> None:
    """The helper's life: do what is asked, in order, until nobody asks."""
    while (request := receive(connection)) is not None:
        verb, items = request
        try:
            if verb == "existing":
                send(connection, ("", placer.existing([str(item) for item in items])))
            else:
                placer.put_new([NewFile(*item) for item in items])()  # type: ignore[misc]
                send(connection, ("", []))
        except PlacerFailed as failure:
            send(connection, (str(failure), []))


if __name__ == "__main__":
    # ConnectionError: whoever asked was killed in the middle of it.
    with socket.socket(fileno=sys.stdin.fileno()) as asking, suppress(ConnectionError):
        work(asking, DirectPlacer(LocalFs()))
