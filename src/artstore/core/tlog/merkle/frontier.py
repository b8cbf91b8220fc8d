"""A tree known only by its right edge: the roots of the perfect subtrees it consists of.

As many hashes as the size has one-bits, so a tree of any size grows in constant memory.
"""

from collections.abc import Sequence
from functools import reduce

from artstore.core.tlog.merkle.hashing import EMPTY_ROOT, node_hash


class Frontier:
    def __init__(self, size: int = 0, roots: Sequence[bytes] = ()) -> None:
        """`roots`: of the perfect subtrees, the largest (leftmost) first."""
        if len(roots) != size.bit_count():
            raise ValueError("a tree has one perfect subtree for each one-bit of its size")
        self._size = size
        self._roots = list(roots)

    @property
    def size(self) -> int:
        return self._size

    def copy(self) -> "Frontier":
        return Frontier(self._size, self._roots)

    def push(self, root: bytes, width: int = 1) -> None:
        """Add a perfect subtree of `width` leaves, a power of two that divides the size."""
        if width.bit_count() != 1 or self._size % width:
            raise ValueError("a subtree must stand at a multiple of its own width")
        self._size += width
        # Each subtree of the same width to the left of it joins it into one of twice the width.
        joined = width
        while self._roots and self._size % (joined * 2) == 0:
            root = node_hash(self._roots.pop(), root)
            joined *= 2
        self._roots.append(root)

    def root(self) -> bytes:
        if not self._roots:
            return EMPTY_ROOT
        return reduce(lambda right, left: node_hash(left, right), reversed(self._roots))
