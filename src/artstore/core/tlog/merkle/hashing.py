"""RFC 6962, section 2.1: SHA-256, with a different first byte for leaves and for nodes, so that
no node can be passed off as a leaf."""

from collections.abc import Sequence
from hashlib import sha256

HASH_BYTES = 32

EMPTY_ROOT = sha256().digest()
"""Root of the tree without leaves."""


def leaf_hash(entry: bytes) -> bytes:
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def tree_root(hashes: Sequence[bytes]) -> bytes:
    """Root over leaf hashes, or over the roots of perfect subtrees of one size.

    Level by level; an odd one at the end moves up as it is, which is the tree of RFC 6962.
    """
    if not hashes:
        return EMPTY_ROOT
    level = list(hashes)
    while len(level) > 1:
        paired = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            paired.append(level[-1])
        level = paired
    return level[0]
