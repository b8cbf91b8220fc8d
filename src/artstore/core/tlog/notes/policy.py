"""Whom to believe: which keys speak for a log, and how many witnesses must have seen a state."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from artstore.core.tlog.errors import InvalidNote, UntrustedNote
from artstore.core.tlog.merkle.hashing import EMPTY_ROOT
from artstore.core.tlog.notes.checkpoint import Checkpoint
from artstore.core.tlog.notes.keys import VerifierKey
from artstore.core.tlog.notes.note import Note, Signed


@dataclass(frozen=True)
class SignedCheckpoint:
    """A checkpoint with the signatures that were verified."""

    checkpoint: Checkpoint
    note: Note
    log_keys: tuple[VerifierKey, ...]
    witnesses: Mapping[str, int]
    """Name of each witness and when it said so, seconds since 1970."""


@dataclass(frozen=True)
class TrustPolicy:
    """Given by whoever verifies, from a source that is not the log itself.

    Several keys of a log: old ones stay after a rotation, so that old checkpoints still count.
    Several keys of a witness (one of each algorithm) count as one witness.
    """

    origin: str
    log_keys: tuple[VerifierKey, ...]
    witness_keys: tuple[VerifierKey, ...] = ()
    quorum: int = field(default=0)
    """How many witnesses must have cosigned."""

    def __post_init__(self) -> None:
        if not self.log_keys:
            raise ValueError("a policy needs at least one key of the log")
        if not 0 <= self.quorum <= len(_distinct(self.witness_keys)):
            raise ValueError("the quorum is larger than the number of witnesses")
        if any(not key.algorithm.is_timed for key in self.witness_keys):
            raise ValueError("a witness's key is one for cosignatures")
        if {key.public for key in self.log_keys} & {key.public for key in self.witness_keys}:
            raise ValueError("a log cannot be its own witness")

    def signed_checkpoint(self, data: bytes) -> SignedCheckpoint:
        """The checkpoint in a note that the log signed, whoever else did.

        Raises:
            InvalidNote: Malformed, of another log, or with a false or without any signature
                of the log (`BadSignature`, `UntrustedNote`).
        """
        note = Note.parse(data)
        checkpoint = Checkpoint.parse(note.text)
        if checkpoint.origin != self.origin:
            raise InvalidNote(f"this is a checkpoint of {checkpoint.origin}, not of {self.origin}")
        if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
            raise InvalidNote("the root of an empty log is not what is written here")
        signed = note.verified((*self.log_keys, *self.witness_keys))
        by_log = tuple(item.key for item in signed if item.key in self.log_keys)
        if not by_log:
            raise UntrustedNote("none of the log's keys has signed this")
        return SignedCheckpoint(checkpoint, note, by_log, self._witnesses(signed))

    def is_confirmed(self, signed: SignedCheckpoint) -> bool:
        """Whether enough witnesses have seen this state."""
        return len(signed.witnesses) >= self.quorum

    def confirmed_checkpoint(self, data: bytes) -> SignedCheckpoint:
        """As `signed_checkpoint`, and the quorum is met; else `UntrustedNote`."""
        signed = self.signed_checkpoint(data)
        if not self.is_confirmed(signed):
            raise UntrustedNote(
                f"{len(signed.witnesses)} of {self.quorum} witnesses have confirmed this state"
            )
        return signed

    def _witnesses(self, signed: Iterable[Signed]) -> dict[str, int]:
        """Counted by key as well as by name: one key under two names is one witness."""
        times: dict[str, int] = {}
        for item in signed:
            if item.key in self.witness_keys and item.at is not None:
                times[item.key.name] = max(item.at, times.get(item.key.name, 0))
        return times


def _distinct(keys: Iterable[VerifierKey]) -> set[str]:
    names = {key.name for key in keys}
    if len({key.public for key in keys}) < len({(key.name, key.public) for key in keys}):
        raise ValueError("one witness key stands under two names")
    return names
