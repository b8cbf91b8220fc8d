"""Reads a whole log and compares its files with each other and with the checkpoint."""

from collections.abc import Iterator
from dataclasses import dataclass

from artstore.core.tlog.errors import DamagedLog
from artstore.core.tlog.merkle.frontier import Frontier
from artstore.core.tlog.merkle.hashing import leaf_hash, tree_root
from artstore.core.tlog.reader import TreeReader
from artstore.core.tlog.tiles import LEVELS_MAX, TILE_HEIGHT, TILE_WIDTH, tile_at


@dataclass(frozen=True)
class Finding:
    """Something is damaged. `first` to `last` are the entries that it concerns."""

    first: int
    last: int
    message: str


def inspect_log(reader: TreeReader) -> Iterator[Finding]:
    """What is damaged in a log, from the first entry to the last; nothing if it is whole.

    Entries are hashed and compared with tiles of level 0, each tile with the one above it, and
    all together with the root. Constant memory: one bundle and the right edge.
    """
    clean = True
    frontier = Frontier()
    for bundle in range(-(-reader.size // TILE_WIDTH)):
        for finding in _bundle_findings(reader, bundle):
            clean = False
            yield finding
        if clean:
            leaves = reader.leaves(bundle)
            if len(leaves) == TILE_WIDTH:
                frontier.push(tree_root(leaves), TILE_WIDTH)
            else:
                for leaf in leaves:
                    frontier.push(leaf)
    if clean and frontier.root() != reader.root:
        yield Finding(0, reader.size - 1, "all tiles agree, but not with the checkpoint")


def _bundle_findings(reader: TreeReader, bundle: int) -> Iterator[Finding]:
    first = bundle * TILE_WIDTH
    last = min(first + TILE_WIDTH, reader.size) - 1
    try:
        leaves = reader.leaves(bundle)
        yield from _upper_findings(reader, bundle, leaves)
        entries = reader.bundle(bundle)
    except DamagedLog as error:
        yield Finding(first, last, str(error))
        return
    for index, (entry, leaf) in enumerate(zip(entries, leaves, strict=True), first):
        if leaf_hash(entry) != leaf:
            yield Finding(index, index, f"entry {index} does not match its hash")


def _upper_findings(reader: TreeReader, bundle: int, hashes: list[bytes]) -> Iterator[Finding]:
    """Compares a full tile with its place in the tile above, and so on upwards while tiles
    become full."""
    level, index = 0, bundle
    while len(hashes) == TILE_WIDTH and level + 1 < LEVELS_MAX:
        parent, position = divmod(index, TILE_WIDTH)
        above = reader.hashes(tile_at(level + 1, parent, reader.size))
        if above[position] != tree_root(hashes):
            width = 1 << (TILE_HEIGHT * (level + 1))
            first = index * width
            yield Finding(
                first, first + width - 1, f"tile {index} of level {level} is not the one above it"
            )
        if position != TILE_WIDTH - 1:
            return
        level, index, hashes = level + 1, parent, above
