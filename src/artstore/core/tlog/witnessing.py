"""c2sp.org/tlog-witness, both sides of `add-checkpoint`, without any network.

A log asks with `cosigning`, a generator that yields request bodies and is sent the answers, so
that the same flow runs over any HTTP client. A witness reads with `AddCheckpoint.parse`.
"""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from artstore.core.tlog.errors import InvalidNote, LogRolledBack, MalformedRequest
from artstore.core.tlog.merkle.proofs import PROOF_HASHES_MAX
from artstore.core.tlog.notes.checkpoint import Checkpoint, parse_hash, parse_size
from artstore.core.tlog.notes.encoding import encode_base64
from artstore.core.tlog.notes.keys import VerifierKey
from artstore.core.tlog.notes.note import Note, SignatureLine, parse_signatures
from artstore.core.tlog.reader import TreeReader

SIZE_MEDIA_TYPE = "text/x.tlog.size"
ATTEMPTS_MAX = 4
"""Another instance may ask the same witness in between; it cannot go on for long."""


class WitnessRefused(Exception):
    """The witness answered, and does not cosign. `status` is that of HTTP."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class WitnessRolledBack(WitnessRefused):
    """The witness remembers less than it has signed before: its storage was put back."""


@dataclass(frozen=True)
class AddCheckpoint:
    """The body of a request."""

    old_size: int
    proof: tuple[bytes, ...]
    note: Note

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint.parse(self.note.text)

    def to_bytes(self) -> bytes:
        lines = (f"{encode_base64(item)}\n" for item in self.proof)
        return f"old {self.old_size}\n{''.join(lines)}\n".encode() + self.note.to_bytes()

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Raises `MalformedRequest`."""
        head, _, note = body.partition(b"\n\n")
        try:
            first, *lines = head.decode("ascii").split("\n")
            keyword, _, old_size = first.partition(" ")
            proof = tuple(parse_hash(line) for line in lines)
            request = cls(parse_size(old_size), proof, Note.parse(note))
            Checkpoint.parse(request.note.text)
        except (UnicodeDecodeError, InvalidNote) as error:
            raise MalformedRequest(str(error)) from None
        if keyword != "old" or len(proof) > PROOF_HASHES_MAX:
            raise MalformedRequest("a request is an old size, at most 63 hashes and a checkpoint")
        return request


@dataclass(frozen=True)
class Answer:
    """What came back over HTTP."""

    status: int
    media_type: str
    body: bytes


Cosigning = Generator[bytes, Answer, tuple[SignatureLine, ...]]


def cosigning(
    reader: TreeReader, note: Note, keys: Iterable[VerifierKey], known_size: int
) -> Cosigning:
    """Obtain the cosignatures of one witness: yields bodies for `POST .../add-checkpoint`, is
    sent the answers, returns the lines to add to the note.

    Args:
        reader: The log at the size of the checkpoint in `note`.
        keys: Those of the witness. Signatures of others are ignored.
        known_size: The largest size this witness has cosigned for us, 0 if none.

    Raises:
        LogRolledBack: The witness has seen a longer log than ours.
        WitnessRolledBack: It remembers less than it has signed.
        WitnessRefused: Any other refusal.
        InvalidNote: It answered without a true signature (`BadSignature`, `UntrustedNote`).
    """
    old_size = min(known_size, reader.size)
    for _ in range(ATTEMPTS_MAX):
        proof = tuple(reader.consistency_proof(old_size))
        answer = yield AddCheckpoint(old_size, proof, note).to_bytes()
        if answer.status == 200:
            return _true_lines(note, answer.body, tuple(keys))
        if answer.status != 409 or answer.media_type != SIZE_MEDIA_TYPE:
            raise WitnessRefused(answer.status, _reason(answer))
        old_size = _size_in(answer)
        if old_size < known_size:
            raise WitnessRolledBack(
                409, f"the witness remembers {old_size} entries and has signed {known_size}"
            )
        if old_size > reader.size:
            raise LogRolledBack(
                f"the witness has seen {old_size} entries, the log has {reader.size}"
            )
    raise WitnessRefused(409, "the witness keeps naming other sizes")


def _true_lines(note: Note, body: bytes, keys: Sequence[VerifierKey]) -> tuple[SignatureLine, ...]:
    try:
        lines = parse_signatures(body.decode())
    except UnicodeDecodeError:
        raise InvalidNote("the witness answered with something else than signatures") from None
    Note(note.text, lines).verified(keys)
    known = {(key.name, key.key_id) for key in keys}
    return tuple(line for line in lines if (line.name, line.key_id) in known)


def _size_in(answer: Answer) -> int:
    text = answer.body.decode("ascii", "replace")
    try:
        return parse_size(text.removesuffix("\n"))
    except InvalidNote as error:
        raise WitnessRefused(answer.status, str(error)) from None


def _reason(answer: Answer) -> str:
    text = answer.body[:200].decode("utf-8", "replace").strip()
    return f"the witness answered {answer.status}: {text}"
