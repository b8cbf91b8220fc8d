"""Inclusion and consistency proofs of RFC 6962, section 2.1.1 and 2.1.2.

Making one means naming the subtrees whose roots it holds (`inclusion_ranges`,
`consistency_ranges`); where those roots come from is the reader's business. Checking follows
the algorithms of RFC 9162, sections 2.1.3.2 and 2.1.4.2: written apart from the making, so a
mistake in one shows in the other.
"""

from collections.abc import Iterator, Sequence

from artstore.core.tlog.errors import InvalidProof
from artstore.core.tlog.merkle.hashing import EMPTY_ROOT, node_hash

Range = tuple[int, int]
"""Leaves [start, end)."""

PROOF_HASHES_MAX = 63


def split_point(size: int) -> int:
    """The largest power of two below `size` (2 or more): where RFC 6962 cuts a tree."""
    return 1 << ((size - 1).bit_length() - 1)


def perfect_parts(start: int, end: int) -> Iterator[Range]:
    """The largest perfect subtrees that [start, end) consists of, from left to right."""
    while start < end:
        width = 1 << ((end - start).bit_length() - 1)
        if start:
            width = min(width, start & -start)
        yield start, start + width
        start += width


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """Subtrees whose roots prove leaf `index` in a tree of `size`, the lowest first."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} has no leaf {index}")
    ranges: list[Range] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + split_point(end - start)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def consistency_ranges(old_size: int, size: int) -> list[Range]:
    """Subtrees whose roots prove that the first `old_size` leaves of a tree are the old tree."""
    if not 0 <= old_size <= size:
        raise ValueError(f"a tree of {size} has no beginning of {old_size}")
    if old_size in (0, size):
        return []
    ranges: list[Range] = []
    start, end = 0, size
    whole = True  # the old tree is one subtree, and the other side knows its root
    while old_size < end:
        middle = start + split_point(end - start)
        if old_size <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
            whole = False
    if not whole:
        ranges.append((start, end))
    return ranges[::-1]


def inclusion_root(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root of the tree of `size` in which `proof` puts `leaf` at `index`.

    Raises:
        InvalidProof: The proof has the wrong length for this place.
    """
    if not 0 <= index < size:
        raise InvalidProof(f"a log of {size} entries has no entry {index}")
    node, last = index, size - 1
    root = leaf
    for sibling in proof:
        if last == 0:
            raise InvalidProof("the inclusion proof is too long")
        if node & 1 or node == last:
            root = node_hash(sibling, root)
            while node and not node & 1:
                node >>= 1
                last >>= 1
        else:
            root = node_hash(root, sibling)
        node >>= 1
        last >>= 1
    if last:
        raise InvalidProof("the inclusion proof is too short")
    return root


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Raises:
    InvalidProof: The leaf is not at `index` of the tree of `size` with this root, or the
        proof does not show it.
    """
    if inclusion_root(leaf, index, size, proof) != root:
        raise InvalidProof(f"entry {index} is not in the log of {size} entries with this root")


def verify_consistency(
    old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]
) -> None:
    """Raises:
    InvalidProof: The tree of `size` does not begin with the tree of `old_size`, or the
        proof does not show it.
    """
    if not 0 <= old_size <= size:
        raise InvalidProof(f"the log shrank from {old_size} to {size} entries")
    if old_size in (0, size):
        _verify_trivial(old_size, old_root, size, root, proof)
        return
    roots = _consistency_roots(old_size, old_root, size, proof)
    if roots != (old_root, root):
        raise InvalidProof(f"the first {old_size} entries are not those of the earlier log")


def _verify_trivial(
    old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]
) -> None:
    if proof:
        raise InvalidProof("between these two sizes the consistency proof must be empty")
    if old_size == 0 and old_root != EMPTY_ROOT:
        raise InvalidProof("this is not the root of the empty log")
    if old_size == size and old_root != root:
        raise InvalidProof(f"two different logs of {size} entries")


def _consistency_roots(
    old_size: int, old_root: bytes, size: int, proof: Sequence[bytes]
) -> tuple[bytes, bytes]:
    """Roots of the old and of the new tree that follow from the proof."""
    # When the old tree is one perfect subtree, the proof leaves out its root.
    path = list(proof) if old_size & (old_size - 1) else [old_root, *proof]
    if not path:
        raise InvalidProof("the consistency proof is empty")
    node, last = old_size - 1, size - 1
    while node & 1:
        node >>= 1
        last >>= 1
    old, new = path[0], path[0]
    for sibling in path[1:]:
        if last == 0:
            raise InvalidProof("the consistency proof is too long")
        if node & 1 or node == last:
            old = node_hash(sibling, old)
            new = node_hash(sibling, new)
            while node and not node & 1:
                node >>= 1
                last >>= 1
        else:
            new = node_hash(new, sibling)
        node >>= 1
        last >>= 1
    if last:
        raise InvalidProof("the consistency proof is too short")
    return old, new
