"""A log: its tiles and its newest checkpoint, kept in step.

Invariant: at any moment, also after a crash, every tile that the checkpoint needs is there.
Replacing the checkpoint is the one act that makes entries part of the log.
"""

from collections.abc import Sequence
from typing import Self

from artstore.core.tlog.errors import DamagedLog, LogRolledBack, LogStopped, ObjectMissing
from artstore.core.tlog.merkle.hashing import EMPTY_ROOT
from artstore.core.tlog.notes.checkpoint import Checkpoint
from artstore.core.tlog.notes.keys import SigningKey, VerifierKey
from artstore.core.tlog.notes.note import Note, sign
from artstore.core.tlog.notes.policy import TrustPolicy
from artstore.core.tlog.reader import TreeReader
from artstore.core.tlog.store import LogStore
from artstore.core.tlog.writer import TreeWriter, check_entries

CHECKPOINT = "checkpoint"


class Log:
    """The one writer of a log. Blocking; not to be shared between threads."""

    def __init__(
        self, store: LogStore, keys: Sequence[SigningKey], checkpoint: Checkpoint, note: Note
    ) -> None:
        self._store = store
        self._keys = tuple(keys)
        self._checkpoint = checkpoint
        self._note = note
        self._writer: TreeWriter | None = TreeWriter(store, checkpoint.size, checkpoint.root)

    @classmethod
    def create(
        cls, store: LogStore, origin: str, keys: Sequence[SigningKey], timestamp: int
    ) -> Self:
        """A new, empty log. Where there is one, or a part of one: `LogStopped`, `DamagedLog`."""
        if has_log(store):
            raise LogStopped("there is a log here already")
        if store.names("tile/0") or store.names("tile/0/000.p"):
            raise DamagedLog("there are tiles of a log here, but no checkpoint")
        checkpoint = Checkpoint(origin, 0, EMPTY_ROOT)
        note = sign(checkpoint.text(), keys, timestamp)
        store.replace(CHECKPOINT, note.to_bytes())
        return cls(store, keys, checkpoint, note)

    @classmethod
    def open(
        cls,
        store: LogStore,
        origin: str,
        keys: Sequence[SigningKey],
        *,
        old_keys: Sequence[VerifierKey] = (),
        size_min: int = 0,
    ) -> Self:
        """Continue a log.

        Args:
            keys: Sign from now on.
            old_keys: Have signed before; the newest checkpoint may be theirs.
            size_min: How long the caller remembers the log to be.

        Raises:
            ObjectMissing: There is no log.
            InvalidNote: The checkpoint was not signed by our keys.
            LogRolledBack: The log is shorter than `size_min`. It is left as it is.
            DamagedLog: The newest tiles are damaged.
        """
        policy = TrustPolicy(origin, (*(key.verifier for key in keys), *old_keys))
        signed = policy.signed_checkpoint(store.read(CHECKPOINT))
        size = signed.checkpoint.size
        if size < size_min:
            raise LogRolledBack(
                f"the log has {size} entries and had {size_min}: an older copy was put back"
            )
        log = cls(store, keys, signed.checkpoint, signed.note)
        log._open_writer().remove_leftovers()
        return log

    @property
    def checkpoint(self) -> Checkpoint:
        return self._checkpoint

    @property
    def note(self) -> Note:
        """The newest checkpoint, signed by the log."""
        return self._note

    def reader(self) -> TreeReader:
        return TreeReader(self._store, self._checkpoint.size, self._checkpoint.root)

    def append(self, entries: Sequence[bytes], timestamp: int) -> Checkpoint:
        """Add entries and sign the new state. On return both are durable.

        Args:
            timestamp: Seconds since 1970, for signatures that hold a time.

        Raises:
            ValueError: An entry is too long; nothing was done.
            LogStopped: An earlier append failed.
            ObjectConflict, OSError: This one failed; whether the entries are in the log shows
                when it is opened again. It is not tried again: after a failed flush the
                operating system may have dropped what was written.
        """
        writer = self._open_writer()
        check_entries(entries)
        try:
            writer.append(entries)
            checkpoint = Checkpoint(self._checkpoint.origin, writer.size, writer.root())
            note = sign(checkpoint.text(), self._keys, timestamp)
            self._store.replace(CHECKPOINT, note.to_bytes())
        except BaseException:
            self._writer = None
            raise
        self._checkpoint, self._note = checkpoint, note
        writer.remove_superseded()
        return checkpoint

    def _open_writer(self) -> TreeWriter:
        if self._writer is None:
            raise LogStopped("an append failed: open the log again")
        return self._writer


def has_log(store: LogStore) -> bool:
    try:
        store.read(CHECKPOINT)
    except ObjectMissing:
        return False
    return True
