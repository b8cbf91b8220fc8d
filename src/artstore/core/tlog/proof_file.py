"""c2sp.org/tlog-proof: the proof that one entry is in a log, as a text file of its own."""

from dataclasses import dataclass
from typing import Self

from artstore.core.tlog.errors import InvalidNote, InvalidProof
from artstore.core.tlog.merkle.hashing import leaf_hash
from artstore.core.tlog.merkle.proofs import PROOF_HASHES_MAX, verify_inclusion
from artstore.core.tlog.notes.checkpoint import Checkpoint, parse_hash, parse_size
from artstore.core.tlog.notes.encoding import encode_base64
from artstore.core.tlog.notes.note import Note
from artstore.core.tlog.notes.policy import SignedCheckpoint, TrustPolicy

_FIRST_LINE = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True)
class ProofFile:
    index: int
    proof: tuple[bytes, ...]
    note: Note
    """The checkpoint, with all its signatures."""

    def to_bytes(self) -> bytes:
        hashes = "".join(f"{encode_base64(item)}\n" for item in self.proof)
        head = f"{_FIRST_LINE}\nindex {self.index}\n{hashes}\n"
        return head.encode() + self.note.to_bytes()

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """An `extra` line is accepted and left aside. Raises `InvalidNote`."""
        head, _, note = data.partition(b"\n\n")
        try:
            first, *lines = head.decode("ascii").split("\n")
        except UnicodeDecodeError:
            raise InvalidNote("this is not a proof file") from None
        if lines and lines[0].startswith("extra "):
            lines = lines[1:]
        if first != _FIRST_LINE or not lines or not lines[0].startswith("index "):
            raise InvalidNote("this is not a proof file")
        index, hashes = parse_size(lines[0].removeprefix("index ")), lines[1:]
        if len(hashes) > PROOF_HASHES_MAX:
            raise InvalidNote("the proof is too long")
        return cls(index, tuple(parse_hash(line) for line in hashes), Note.parse(note))

    def verify(self, entry: bytes, policy: TrustPolicy) -> SignedCheckpoint:
        """Raises `InvalidNote` or `InvalidProof` unless `entry` stands at `index` of a state of
        the log that the policy believes."""
        signed = policy.confirmed_checkpoint(self.note.to_bytes())
        self.check_place(entry)
        return signed

    def check_place(self, entry: bytes) -> None:
        """Raises `InvalidProof` unless `entry` stands at `index` of the state in the note,
        whoever has signed that."""
        tree = Checkpoint.parse(self.note.text)
        if self.index >= tree.size:
            raise InvalidProof(f"a log of {tree.size} entries has no entry {self.index}")
        verify_inclusion(leaf_hash(entry), self.index, tree.size, self.proof, tree.root)
