"""A file system in memory that keeps only what it has to.

Goal: produce every state that a power cut may leave, also those that the file systems at
hand happen to avoid.

Method: each file has the content that is on the "disk" and the writes since its last flush;
each change of names waits until one of its directories is flushed. A crash keeps any
subset of both: writes may be lost, torn at any sector or byte, or leave zeros of their
length (delayed allocation); names may come before content and in any order. Only what
real file systems guarantee is kept together: a rename is one step, and a name's changes
stay in their order. `kill` loses nothing: that is a killed process, not a power cut.
"""

import errno
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from artstore.storage.engine.fs import Volume

SECTOR = 512
ROOT = 1


@dataclass
class Write:
    offset: int
    data: bytes


@dataclass
class File:
    durable: bytes = b""
    pending: list[Write] = field(default_factory=list)
    current: bytearray = field(default_factory=bytearray)
    """What reads see: the page cache."""

    def write(self, offset: int, data: bytes) -> None:
        self.pending.append(Write(offset, data))
        _overwrite(self.current, offset, data)

    def flush(self) -> None:
        disk = bytearray(self.durable)
        for write in self.pending:
            _overwrite(disk, write.offset, write.data)
        self.durable = bytes(disk)
        self.pending = []

    def forget(self) -> None:
        """Clean pages go; dirty ones stay."""
        self.current = bytearray(self.durable)
        for write in self.pending:
            _overwrite(self.current, write.offset, write.data)


@dataclass
class Directory:
    durable: dict[str, int] = field(default_factory=dict)
    current: dict[str, int] = field(default_factory=dict)


@dataclass
class NameChange:
    """One step: each entry becomes the inode, or nothing."""

    entries: list[tuple[int, str, int | None]]

    def touches(self, directory: int) -> bool:
        return any(entry[0] == directory for entry in self.entries)

    def keys(self) -> set[tuple[int, str]]:
        return {(directory, name) for directory, name, _ in self.entries}


@dataclass
class CrashPlan:
    """Which pending changes of names survive, and what becomes of each pending write."""

    kept_names: set[int]
    fates: dict[tuple[int, int], str]
    seed: int = 0


Image = dict[str, bytes | None]
"""What is on the disk: content by path; `None` for a directory."""


class SimulatedFs:
    """Implements `artstore.storage.engine.fs.Fs`."""

    def __init__(self, image: Image | None = None) -> None:
        self.nodes: dict[int, File | Directory] = {ROOT: Directory()}
        self.pending_names: list[NameChange] = []
        self.before_step: Callable[[str], None] = lambda _: None
        """Called before everything that changes anything."""
        self.write_bytes_max = 1 << 60
        self.bytes_free = 1 << 40
        self.flushes_that_fail = 0
        """The next ones; as on Linux, what they should have written counts as clean then."""
        self._numbers = itertools.count(ROOT + 1)
        self._handles: dict[int, int] = {}
        self._handle_numbers = itertools.count(100)
        self.locked: set[int] = set()
        for path, content in sorted((image or {}).items()):
            self._load(path, content)

    # --- Fs ---------------------------------------------------------------------------

    def create(self, path: str) -> int:
        self.before_step(f"create {path}")
        directory, name = self._parent(path)
        if name in self._directory(directory).current:
            raise FileExistsError(errno.EEXIST, path)
        self._need_room(1)
        number = next(self._numbers)
        self.nodes[number] = File()
        self._change([(directory, name, number)])
        return self._handle(number)

    def open(self, path: str, *, writable: bool = False) -> int:
        number = self._find(path)
        if isinstance(self.nodes[number], Directory):
            raise IsADirectoryError(errno.EISDIR, path)
        return self._handle(number)

    def close(self, handle: int) -> None:
        del self._handles[handle]
        self.locked.discard(handle)

    def write(self, handle: int, data: bytes, offset: int) -> int:
        self.before_step(f"write {len(data)}")
        taken = data[: self.write_bytes_max]
        file = self._file(handle)
        self._need_room(max(0, offset + len(taken) - len(file.current)))
        file.write(offset, bytes(taken))
        return len(taken)

    def read(self, handle: int, size: int, offset: int) -> bytes:
        return bytes(self._file(handle).current[offset : offset + size])

    def size(self, handle: int) -> int:
        return len(self._file(handle).current)

    def flush(self, handle: int) -> None:
        self.before_step("flush")
        file = self._file(handle)
        if self.flushes_that_fail:
            self.flushes_that_fail -= 1
            file.pending = []
            raise OSError(errno.EIO, "the disk failed")
        file.flush()

    def start_writeback(self, handle: int, offset: int, size: int) -> None:
        """Advice gives no guarantee."""

    def forget(self, handle: int) -> None:
        self._file(handle).forget()

    def exists(self, path: str) -> bool:
        try:
            self._find(path)
        except FileNotFoundError:
            return False
        return True

    def names(self, path: str) -> Iterator[str]:
        yield from list(self._directory(self._find(path)).current)

    def link(self, source: str, target: str) -> None:
        self.before_step(f"link {target}")
        number = self._find(source)
        directory, name = self._parent(target)
        if name in self._directory(directory).current:
            raise FileExistsError(errno.EEXIST, target)
        self._change([(directory, name, number)])

    def rename(self, source: str, target: str) -> None:
        self.before_step(f"rename {target}")
        number = self._find(source)
        from_directory, from_name = self._parent(source)
        to_directory, to_name = self._parent(target)
        self._change([(from_directory, from_name, None), (to_directory, to_name, number)])

    def unlink(self, path: str) -> None:
        self.before_step(f"unlink {path}")
        self._find(path)
        directory, name = self._parent(path)
        self._change([(directory, name, None)])

    def make_directory(self, path: str) -> None:
        self.before_step(f"mkdir {path}")
        directory, name = self._parent(path)
        if name in self._directory(directory).current:
            raise FileExistsError(errno.EEXIST, path)
        self._need_room(1)
        number = next(self._numbers)
        self.nodes[number] = Directory()
        self._change([(directory, name, number)])

    def flush_directory(self, path: str) -> None:
        self.before_step(f"flush directory {path}")
        number = self._find(path)
        chosen = {
            index for index, change in enumerate(self.pending_names) if change.touches(number)
        }
        self._persist_names(chosen)

    def flush_volume(self, handle: int) -> None:
        self.before_step("flush volume")
        for node in self.nodes.values():
            if isinstance(node, File):
                node.flush()
        self._persist_names(set(range(len(self.pending_names))))

    def open_directory(self, path: str) -> int:
        return self._handle(self._find(path))

    def lock(self, path: str) -> int:
        if not self.exists(path):
            self.close(self.create(path))
        number = self._find(path)
        if any(self._handles.get(handle) == number for handle in self.locked):
            raise BlockingIOError(errno.EAGAIN, path)
        handle = self._handle(number)
        self.locked.add(handle)
        return handle

    def volume(self, path: str) -> Volume:
        return Volume(self.bytes_free * 2, self.bytes_free, self.bytes_free, 1 << 30)

    # --- crashes ----------------------------------------------------------------------

    def kill(self) -> None:
        """The process is gone; everything it did is in memory still."""
        self._handles.clear()
        self.locked.clear()

    def crash_plans(self, chance: random.Random, random_count: int) -> list["CrashPlan"]:
        """What a power cut now may keep: nothing of what is pending, all of it, all but one,
        only one, and `random_count` mixtures with torn writes."""
        names = range(len(self.pending_names))
        writes = [
            (number, index)
            for number, node in self.nodes.items()
            if isinstance(node, File)
            for index in range(len(node.pending))
        ]
        if not names and not writes:
            return [CrashPlan(set(), {})]
        whole = dict.fromkeys(writes, "kept")
        plans = [CrashPlan(set(), {}), CrashPlan(set(names), whole)]
        for name in names:
            plans += [CrashPlan(set(names) - {name}, whole), CrashPlan({name}, {})]
        for write in writes:
            plans += [
                CrashPlan(set(names), {**whole, write: "lost"}),
                CrashPlan(set(names), {**whole, write: "zeros"}),
                CrashPlan(set(names), {write: "kept"}),
            ]
        for _ in range(random_count):
            share = chance.random()
            kept = {name for name in names if chance.random() < share}
            fates = {write: chance.choice(_FATES) for write in writes}
            plans.append(CrashPlan(kept, fates, chance.randrange(1 << 30)))
        return plans

    def image(self, plan: "CrashPlan") -> Image:
        entries = {
            number: dict(node.durable)
            for number, node in self.nodes.items()
            if isinstance(node, Directory)
        }
        for index in sorted(self._with_earlier(plan.kept_names)):
            _apply(self.pending_names[index], entries)
        image: Image = {}
        chance = random.Random(plan.seed)
        pending = [("", ROOT)]
        while pending:
            path, number = pending.pop()
            node = self.nodes[number]
            if isinstance(node, File):
                image[path] = _disk_content(node, number, plan.fates, chance)
                continue
            if path:
                image[path] = None
            pending += [(f"{path}/{name}", child) for name, child in entries[number].items()]
        return image

    # --- inside -----------------------------------------------------------------------

    def _persist_names(self, chosen: set[int]) -> None:
        chosen = self._with_earlier(chosen)
        entries = {
            number: node.durable
            for number, node in self.nodes.items()
            if isinstance(node, Directory)
        }
        for index in sorted(chosen):
            _apply(self.pending_names[index], entries)
        self.pending_names = [
            change for index, change in enumerate(self.pending_names) if index not in chosen
        ]

    def _with_earlier(self, chosen: set[int]) -> set[int]:
        """Changes of one name stay in order: a kept one needs those before it."""
        needed: set[tuple[int, str]] = set()
        result: set[int] = set()
        for index in reversed(range(len(self.pending_names))):
            keys = self.pending_names[index].keys()
            if index in chosen or keys & needed:
                result.add(index)
                needed |= keys
        return result

    def _change(self, entries: list[tuple[int, str, int | None]]) -> None:
        change = NameChange(entries)
        self.pending_names.append(change)
        _apply(
            change,
            {
                number: node.current
                for number, node in self.nodes.items()
                if isinstance(node, Directory)
            },
        )

    def _need_room(self, size: int) -> None:
        if size > self.bytes_free:
            raise OSError(errno.ENOSPC, "no room")
        self.bytes_free -= size

    def _find(self, path: str) -> int:
        number = ROOT
        for name in path.strip("/").split("/"):
            node = self.nodes[number]
            if not name:
                continue
            if not isinstance(node, Directory) or name not in node.current:
                raise FileNotFoundError(errno.ENOENT, path)
            number = node.current[name]
        return number

    def _parent(self, path: str) -> tuple[int, str]:
        directory, _, name = path.rpartition("/")
        return self._find(directory or "/"), name

    def _directory(self, number: int) -> Directory:
        node = self.nodes[number]
        assert isinstance(node, Directory)
        return node

    def _file(self, handle: int) -> File:
        node = self.nodes[self._handles[handle]]
        assert isinstance(node, File)
        return node

    def _handle(self, number: int) -> int:
        handle = next(self._handle_numbers)
        self._handles[handle] = number
        return handle

    def _load(self, path: str, content: bytes | None) -> None:
        number = next(self._numbers)
        if content is None:
            self.nodes[number] = Directory()
        else:
            self.nodes[number] = File(content, [], bytearray(content))
        directory, name = self._parent(path)
        parent = self._directory(directory)
        parent.durable[name] = parent.current[name] = number


_FATES = ("lost", "kept", "kept", "prefix", "sectors", "zeros")


def _disk_content(
    file: File, number: int, fates: dict[tuple[int, int], str], chance: random.Random
) -> bytes:
    disk = bytearray(file.durable)
    for index, write in enumerate(file.pending):
        _persist(disk, write, fates.get((number, index), "lost"), chance)
    return bytes(disk)


def _persist(disk: bytearray, write: Write, fate: str, chance: random.Random) -> None:
    data = write.data
    match fate:
        case "kept":
            _overwrite(disk, write.offset, data)
        case "prefix":
            _overwrite(disk, write.offset, data[: chance.randrange(len(data) + 1)])
        case "zeros":
            _overwrite(disk, write.offset, bytes(len(data)))
        case "sectors":
            for start in range(0, len(data), SECTOR):
                if chance.random() < 0.5:
                    _overwrite(disk, write.offset + start, data[start : start + SECTOR])


def _overwrite(content: bytearray, offset: int, data: bytes) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _apply(change: NameChange, entries: dict[int, dict[str, int]]) -> None:
    for directory, name, number in change.entries:
        if number is None:
            entries[directory].pop(name, None)
        else:
            entries[directory][name] = number
