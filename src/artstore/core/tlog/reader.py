"""Reads a log of a known size: entries, hashes, proofs, all out of tiles.

What is handed out has been checked against the root, so a damaged file is noticed here and not
by whoever receives a proof that does not hold.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from functools import reduce

from artstore.core.tlog.errors import DamagedLog, InvalidProof, ObjectMissing
from artstore.core.tlog.merkle.hashing import (
    EMPTY_ROOT,
    HASH_BYTES,
    leaf_hash,
    node_hash,
    tree_root,
)
from artstore.core.tlog.merkle.proofs import (
    Range,
    consistency_ranges,
    inclusion_ranges,
    perfect_parts,
    verify_consistency,
    verify_inclusion,
)
from artstore.core.tlog.store import LogStore
from artstore.core.tlog.tiles import (
    ENTRIES,
    TILE_HEIGHT,
    TILE_WIDTH,
    TileId,
    decode_bundle,
    split_hashes,
    tile_at,
)

TILES_CACHED_MAX = 256
"""2 MiB of hashes: all tiles above level 0 of a log of 16 million entries."""


class TreeReader:
    """One size of a log. Blocking; not to be shared between threads."""

    def __init__(self, store: LogStore, size: int, root: bytes) -> None:
        """`size` and `root` are those of a checkpoint that the caller trusts."""
        self._store = store
        self._tiles: OrderedDict[TileId, bytes] = OrderedDict()
        self.size = size
        self.root = root

    def entry(self, index: int) -> bytes:
        """Raises `DamagedLog` when it is not the entry that was logged."""
        bundle, position = divmod(index, TILE_WIDTH)
        entries = self.bundle(bundle)
        entry = entries[position]
        if leaf_hash(entry) != self.leaves(bundle)[position]:
            raise DamagedLog(f"entry {index} is not the one that was logged")
        return entry

    def entries(self, start: int, end: int) -> Iterator[bytes]:
        """Entries [start, end) in order, a bundle at a time."""
        for bundle in range(start // TILE_WIDTH, -(-end // TILE_WIDTH)):
            first = bundle * TILE_WIDTH
            entries, leaves = self.bundle(bundle), self.leaves(bundle)
            for index in range(max(start, first), min(end, first + len(leaves))):
                if leaf_hash(entries[index - first]) != leaves[index - first]:
                    raise DamagedLog(f"entry {index} is not the one that was logged")
                yield entries[index - first]

    def bundle(self, index: int) -> list[bytes]:
        """The entries of one bundle, as they lie there."""
        tile = tile_at(ENTRIES, index, self.size)
        entries = decode_bundle(self._read(tile))
        if len(entries) < tile.width:
            raise DamagedLog(f"{tile.path} has {len(entries)} entries, not {tile.width}")
        return entries[: tile.width]

    def leaves(self, bundle: int) -> list[bytes]:
        """Leaf hashes of one bundle."""
        return split_hashes(self._hashes(tile_at(0, bundle, self.size)))

    def inclusion_proof(self, index: int) -> list[bytes]:
        """Shows that entry `index` is in this log."""
        proof = self._roots(inclusion_ranges(index, self.size))
        leaf = self.leaves(index // TILE_WIDTH)[index % TILE_WIDTH]
        self._must_hold(lambda: verify_inclusion(leaf, index, self.size, proof, self.root))
        return proof

    def bundle_proof(self, bundle: int) -> list[bytes]:
        """Shows that the subtree over one bundle is in this log.

        To the levels above it, a bundle is one leaf: the proof is that of leaf `bundle` in a
        tree of as many leaves as there are bundles.
        """
        bundles = -(-self.size // TILE_WIDTH)
        ranges = [
            (start * TILE_WIDTH, min(end * TILE_WIDTH, self.size))
            for start, end in inclusion_ranges(bundle, bundles)
        ]
        proof = self._roots(ranges)
        subtree = tree_root(self.leaves(bundle))
        self._must_hold(lambda: verify_inclusion(subtree, bundle, bundles, proof, self.root))
        return proof

    def consistency_proof(self, old_size: int, new_size: int | None = None) -> list[bytes]:
        """Shows that this log, or what it was at `new_size`, begins with the `old_size` entries
        of an earlier one."""
        size = self.size if new_size is None else new_size
        proof = self._roots(consistency_ranges(old_size, size))
        old_root, root = self.root_at(old_size), self.root_at(size)
        self._must_hold(lambda: verify_consistency(old_size, old_root, size, root, proof))
        return proof

    def root_at(self, size: int) -> bytes:
        """Root of the first `size` entries."""
        if size == 0:
            return EMPTY_ROOT
        return self._root_of((0, size))

    def _must_hold(self, check: Callable[[], None]) -> None:
        try:
            check()
        except InvalidProof as error:
            raise DamagedLog(f"the tiles do not lead to the root of the log: {error}") from error

    def _roots(self, ranges: Iterable[Range]) -> list[bytes]:
        return [self._root_of(leaves) for leaves in ranges]

    def _root_of(self, leaves: Range) -> bytes:
        parts = [self._perfect_root(start, end - start) for start, end in perfect_parts(*leaves)]
        return reduce(lambda right, left: node_hash(left, right), reversed(parts))

    def _perfect_root(self, start: int, width: int) -> bytes:
        """Root of a perfect subtree: a few neighbours in one tile, folded."""
        level, height = divmod(width.bit_length() - 1, TILE_HEIGHT)
        first = start >> (TILE_HEIGHT * level)
        tile = tile_at(level, first // TILE_WIDTH, self.size)
        offset = first % TILE_WIDTH * HASH_BYTES
        count = (1 << height) * HASH_BYTES
        return tree_root(split_hashes(self._hashes(tile)[offset : offset + count]))

    def hashes(self, tile: TileId) -> list[bytes]:
        """The hashes of one tile."""
        return split_hashes(self._hashes(tile))

    def _hashes(self, tile: TileId) -> bytes:
        data = self._tiles.get(tile)
        if data is None:
            data = self._read(tile)
            self._tiles[tile] = data
            if len(self._tiles) > TILES_CACHED_MAX:
                self._tiles.popitem(last=False)
        else:
            self._tiles.move_to_end(tile)
        return data

    def _read(self, tile: TileId) -> bytes:
        """A partial tile goes when the full one is there, so look for that one too."""
        try:
            return tile.checked(self._store.read(tile.path))
        except ObjectMissing:
            if tile.is_full:
                raise DamagedLog(f"{tile.path} is missing") from None
        try:
            data = tile.full.checked(self._store.read(tile.full_path))
        except ObjectMissing:
            raise DamagedLog(f"{tile.path} is missing") from None
        return data if tile.level == ENTRIES else data[: tile.width * HASH_BYTES]
