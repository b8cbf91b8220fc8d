"""c2sp.org/tlog-tiles: names and bytes of the files that a log consists of.

A tile holds up to 256 hashes of one level: level 0 the leaf hashes, level 1 the roots of full
tiles of level 0, and so on. An entry bundle holds the entries of one tile of level 0. Tiles at
the right edge are partial; their name carries their width, so no file ever changes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from artstore.core.tlog.errors import DamagedLog
from artstore.core.tlog.merkle.hashing import HASH_BYTES

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
ENTRY_BYTES_MAX = (1 << 16) - 1
"""The length of an entry is written in 16 bits."""

LEVELS_MAX = 8
"""Levels of tiles: 256**8 entries are more than anybody will ever have."""


@dataclass(frozen=True, order=True, slots=True)
class TileId:
    """A tile, or with `level` -1 an entry bundle. `width` 256 is full."""

    level: int
    index: int
    width: int = TILE_WIDTH

    @property
    def is_full(self) -> bool:
        return self.width == TILE_WIDTH

    @property
    def full(self) -> "TileId":
        return TileId(self.level, self.index)

    @property
    def path(self) -> str:
        """Name in the log, for example `tile/0/x001/234` or `tile/entries/000.p/17`."""
        suffix = "" if self.is_full else f".p/{self.width}"
        return f"{self.full_path}{suffix}"

    @property
    def full_path(self) -> str:
        kind = "entries" if self.level == ENTRIES else str(self.level)
        return f"tile/{kind}/{_index_path(self.index)}"

    @property
    def partial_folder(self) -> str:
        return f"{self.full_path}.p"

    def checked(self, data: bytes) -> bytes:
        """Raises `DamagedLog` when a tile of hashes has not the length of its width."""
        if self.level != ENTRIES and len(data) != self.width * HASH_BYTES:
            raise DamagedLog(f"{self.path} has {len(data)} bytes, not {self.width * HASH_BYTES}")
        return data


ENTRIES = -1


def _index_path(index: int) -> str:
    """Three digits a folder, all but the last with an `x`: 1234067 is x001/x234/067."""
    path = f"{index % 1000:03d}"
    while index >= 1000:
        index //= 1000
        path = f"x{index % 1000:03d}/{path}"
    return path


def tile_at(level: int, index: int, size: int) -> TileId:
    """The tile as a tree of `size` has it; of an entry bundle, `level` is `ENTRIES`."""
    below = size >> (TILE_HEIGHT * max(level, 0))
    width = min(TILE_WIDTH, below - index * TILE_WIDTH)
    if width < 1:
        raise ValueError(f"a tree of {size} has no tile {index} at level {level}")
    return TileId(level, index, width)


def edge_tiles(size: int) -> Iterator[TileId]:
    """The partial tiles of a tree of `size`, the entry bundle first."""
    if size % TILE_WIDTH:
        yield tile_at(ENTRIES, size // TILE_WIDTH, size)
    for level in range(LEVELS_MAX):
        hashes = size >> (TILE_HEIGHT * level)
        if hashes % TILE_WIDTH:
            yield tile_at(level, hashes // TILE_WIDTH, size)


def split_hashes(data: bytes) -> list[bytes]:
    return [data[i : i + HASH_BYTES] for i in range(0, len(data), HASH_BYTES)]


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    return b"".join(len(entry).to_bytes(2) + entry for entry in entries)


def decode_bundle(data: bytes) -> list[bytes]:
    """Raises `DamagedLog` when the lengths do not add up."""
    entries: list[bytes] = []
    position = 0
    while position < len(data):
        start = position + 2
        position = start + int.from_bytes(data[start - 2 : start])
        if start > len(data) or position > len(data):
            raise DamagedLog(f"the entry bundle ends inside its entry {len(entries)}")
        entries.append(data[start:position])
    return entries
