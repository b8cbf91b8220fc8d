"""Appends entries to the files of a log. Keeps only the right edge of the tree in memory.

Tiles are written before the checkpoint that covers them (`Log`), so whatever a crash leaves
beyond the last checkpoint was never promised to anybody. The next start sets it aside.
"""

from collections.abc import Iterator, Sequence
from functools import cache

from artstore.core.tlog.errors import DamagedLog
from artstore.core.tlog.merkle.frontier import Frontier
from artstore.core.tlog.merkle.hashing import leaf_hash, tree_root
from artstore.core.tlog.reader import TreeReader
from artstore.core.tlog.store import LogStore
from artstore.core.tlog.tiles import (
    ENTRIES,
    ENTRY_BYTES_MAX,
    LEVELS_MAX,
    TILE_WIDTH,
    TileId,
    edge_tiles,
    encode_bundle,
)

PUBLISH_TILES_MAX = 32
"""Full tiles of one level written together: bounds memory, and what a crash may leave."""


class TreeWriter:
    """One at a time per log. Blocking; not to be shared between threads."""

    def __init__(self, store: LogStore, size: int, root: bytes) -> None:
        """Continue a log whose newest checkpoint says `size` and `root`.

        Raises:
            DamagedLog: The tiles at the right edge do not lead to `root`.
        """
        self._store = store
        self._size = size
        self._levels: list[list[bytes]] = [[] for _ in range(LEVELS_MAX)]
        self._entries: list[bytes] = []
        self._pending: dict[str, bytes] = {}
        self._completed: list[TileId] = []
        self._load_edge(TreeReader(store, size, root))
        if self.root() != root:
            raise DamagedLog("the right edge of the log does not lead to its root")

    @property
    def size(self) -> int:
        return self._size

    def root(self) -> bytes:
        """Of all entries appended so far."""
        frontier = Frontier()
        for level in reversed(range(LEVELS_MAX)):
            for root in self._levels[level]:
                frontier.push(root, TILE_WIDTH**level)
        return frontier.root()

    def append(self, entries: Sequence[bytes]) -> None:
        """Make `entries` durable behind those that are there.

        Raises:
            ValueError: An entry is longer than `ENTRY_BYTES_MAX`; nothing was done.
            ObjectConflict, OSError: What was written is not known; use this writer no more.
        """
        check_entries(entries)
        for entry in entries:
            self._entries.append(entry)
            self._size += 1
            self._push(0, leaf_hash(entry))
        self._pending.update(self._edge_objects())
        self._publish()

    def remove_superseded(self) -> None:
        """Remove partial tiles whose full tile is there. Call it when a checkpoint covers that."""
        for tile in self._completed:
            self._store.remove_folder(tile.partial_folder)
        self._completed.clear()

    def remove_leftovers(self) -> None:
        """Tidy up after a crash: partial tiles left of the edge, and all that no checkpoint
        covers, which is set aside and not destroyed, should the checkpoint be the one at fault.
        """
        for level in range(ENTRIES, LEVELS_MAX):
            edge, width = divmod(self._size >> (8 * max(level, 0)), TILE_WIDTH)
            if edge:
                self._store.remove_folder(TileId(level, edge - 1).partial_folder)
            for tile in self._beyond(level, edge, width):
                self._store.set_aside(tile.path)

    def _push(self, level: int, root: bytes) -> None:
        hashes = self._levels[level]
        hashes.append(root)
        if len(hashes) < TILE_WIDTH:
            return
        if level == 0:
            self._complete(ENTRIES, encode_bundle(self._entries))
            self._entries = []
        self._complete(level, b"".join(hashes))
        self._levels[level] = []
        self._push(level + 1, tree_root(hashes))

    def _complete(self, level: int, data: bytes) -> None:
        tile = TileId(level, (self._size >> (8 * max(level, 0))) // TILE_WIDTH - 1)
        self._pending[tile.path] = data
        self._completed.append(tile)
        if len(self._pending) >= 2 * PUBLISH_TILES_MAX:
            self._publish()

    def _publish(self) -> None:
        self._store.publish(self._pending)
        self._pending = {}

    def _edge_objects(self) -> Iterator[tuple[str, bytes]]:
        for tile in edge_tiles(self._size):
            if tile.level == ENTRIES:
                yield tile.path, encode_bundle(self._entries)
            else:
                yield tile.path, b"".join(self._levels[tile.level])

    def _load_edge(self, reader: TreeReader) -> None:
        for tile in edge_tiles(self._size):
            if tile.level == ENTRIES:
                self._entries = list(reader.entries(self._size - tile.width, self._size))
            else:
                self._levels[tile.level] = reader.hashes(tile)

    def _beyond(self, level: int, edge: int, width: int) -> Iterator[TileId]:
        """Tiles of a level that reach beyond the size.

        What one append writes lies within `PUBLISH_TILES_MAX` of what is whole, in any order.
        """
        index, last = edge, edge + 2 * PUBLISH_TILES_MAX
        names = cache(self._store.names)
        while index <= last:
            tile = TileId(level, index)
            found = [
                TileId(level, index, int(name))
                for name in self._store.names(tile.partial_folder)
                if index > edge or int(name) > width
            ]
            folder, _, name = tile.path.rpartition("/")
            if name in names(folder):
                found.append(tile)
            if found:
                last = index + 2 * PUBLISH_TILES_MAX
            yield from found
            index += 1


def check_entries(entries: Sequence[bytes]) -> None:
    """Raises `ValueError` when an entry is too long for a log."""
    if any(len(entry) > ENTRY_BYTES_MAX for entry in entries):
        raise ValueError(f"an entry of a log has at most {ENTRY_BYTES_MAX} bytes")
