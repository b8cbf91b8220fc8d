"""c2sp.org/tlog-checkpoint: the text that says how long a log is and what its root is."""

import re
from dataclasses import dataclass
from typing import Self

from artstore.core.tlog.errors import InvalidNote
from artstore.core.tlog.merkle.hashing import HASH_BYTES
from artstore.core.tlog.notes.encoding import decode_base64, encode_base64

_SIZE = re.compile(r"0|[1-9][0-9]{0,19}")
SIZE_MAX = (1 << 63) - 1


@dataclass(frozen=True)
class Checkpoint:
    origin: str
    """Names the log, for good."""
    size: int
    root: bytes

    def text(self) -> str:
        """The text of the note that is signed."""
        return f"{self.origin}\n{self.size}\n{encode_base64(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Extension lines are accepted and left aside: they state nothing about the tree.

        Raises:
            InvalidNote: It is not the text of a checkpoint.
        """
        lines = text.split("\n")
        if len(lines) < 4 or lines.pop() or not all(lines):
            raise InvalidNote("a checkpoint has three lines: origin, size, root")
        origin, size, root = lines[:3]
        return cls(origin, parse_size(size), parse_hash(root))


def parse_size(text: str) -> int:
    if not _SIZE.fullmatch(text) or int(text) > SIZE_MAX:
        raise InvalidNote(f"{text!r} is not the size of a log")
    return int(text)


def parse_hash(text: str) -> bytes:
    try:
        root = decode_base64(text)
    except ValueError:
        root = b""
    if len(root) != HASH_BYTES:
        raise InvalidNote(f"{text!r} is not a hash: {HASH_BYTES} bytes in base64")
    return root
