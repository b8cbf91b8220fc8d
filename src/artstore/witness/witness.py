"""Decides what to cosign. The rules are those of c2sp.org/tlog-witness, in its order.

Invariant: for each log, what is cosigned only ever grows, and each state begins with the one
before it. The newest state is on the disk before its cosignature leaves. The state is a note
like any other, so a monitor can fetch it, and it says whether the disk still tells the truth.
"""

import threading
from collections.abc import Iterable, Sequence
from hashlib import sha256

from artstore.core.clock import Clock
from artstore.core.logging import get_logger
from artstore.core.tlog.errors import (
    InvalidNote,
    InvalidProof,
    MalformedRequest,
    ObjectMissing,
)
from artstore.core.tlog.merkle.hashing import EMPTY_ROOT
from artstore.core.tlog.merkle.proofs import verify_consistency
from artstore.core.tlog.notes.checkpoint import Checkpoint
from artstore.core.tlog.notes.keys import SigningKey, VerifierKey
from artstore.core.tlog.notes.note import Note, SignatureLine, signature_line
from artstore.core.tlog.store import LogStore
from artstore.core.tlog.witnessing import SIZE_MEDIA_TYPE, AddCheckpoint

EVIDENCE_MAX = 16
"""Contradicting checkpoints that are kept of one log: one is a proof, the rest is repetition."""


class Refused(Exception):
    """The checkpoint is not cosigned. Becomes an answer of HTTP as it is."""

    def __init__(self, status: int, text: str, media_type: str = "text/plain") -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.media_type = media_type


class Witness:
    """One per process and storage. Blocking; safe to share between threads."""

    def __init__(
        self,
        store: LogStore,
        keys: Sequence[SigningKey],
        log_keys: Iterable[VerifierKey],
        clock: Clock,
        *,
        old_keys: Iterable[VerifierKey] = (),
    ) -> None:
        """
        Args:
            keys: Sign from now on.
            log_keys: Whom to cosign for. A log is named by its keys; several keys of one name
                are one log, before and after a rotation.
            old_keys: What this witness has signed with before.
        """
        self._store = store
        self._keys = tuple(keys)
        self._own = (*(key.verifier for key in keys), *old_keys)
        self._clock = clock
        self._logs = _by_origin(log_keys)
        # Comparing with the newest state and replacing it must be one step.
        self._deciding = threading.Lock()

    @property
    def origins(self) -> tuple[str, ...]:
        return tuple(self._logs)

    def serve(self, log_keys: Iterable[VerifierKey]) -> None:
        """Whom to cosign for from now on. What is known of each log stays known."""
        self._logs = _by_origin(log_keys)

    def add_checkpoint(self, body: bytes) -> str:
        """Signature lines over the checkpoint in a request.

        Raises:
            Refused: 400, 403, 404, 409 or 422, as the protocol says.
            InvalidNote: Our own record of this log is damaged. Nothing is signed until somebody
                has looked at it: starting anew would be to forget.
            OSError: The new state could not be made durable, so it was not signed.
        """
        try:
            request = AddCheckpoint.parse(body)
        except MalformedRequest as error:
            raise Refused(400, f"{error}\n") from None
        origin = request.checkpoint.origin
        signed = self._signed_by_log(origin, request.note)
        if request.old_size > request.checkpoint.size:
            raise Refused(400, "the old size is larger than the new one\n")
        with self._deciding:
            newest = self._newest(origin)
            self._check_growth(newest, request)
            return self._cosign(origin, request.note.text, signed, newest)

    def newest(self, origin_hash: str) -> bytes | None:
        """The newest cosigned checkpoint of the log whose origin has this SHA-256 (hex)."""
        for origin in self._logs:
            if _folder(origin) == origin_hash:
                note = self._newest(origin)
                return note.to_bytes() if note else None
        return None

    def check(self) -> None:
        """Raises `InvalidNote` when the record of any log is damaged."""
        for origin in self._logs:
            self._newest(origin)

    def _signed_by_log(self, origin: str, note: Note) -> tuple[SignatureLine, ...]:
        """The lines of the log's own keys, which are true."""
        keys = self._logs.get(origin)
        if keys is None:
            raise Refused(404, "this log is not known here\n")
        try:
            signed = note.verified(keys)
        except InvalidNote as error:
            get_logger().warning("checkpoint not signed by its log", origin=origin)
            raise Refused(403, f"{error}\n") from None
        names = {(item.key.name, item.key.key_id) for item in signed}
        return tuple(line for line in note.signatures if (line.name, line.key_id) in names)

    def _newest(self, origin: str) -> Note | None:
        try:
            note = Note.parse(self._store.read(f"{_folder(origin)}/checkpoint"))
        except ObjectMissing:
            return None
        note.verified(self._own)
        if Checkpoint.parse(note.text).origin != origin:
            raise InvalidNote("our record is that of another log")
        return note

    def _check_growth(self, newest: Note | None, request: AddCheckpoint) -> None:
        known = Checkpoint.parse(newest.text) if newest else None
        known_size = known.size if known else 0
        if request.old_size != known_size:
            raise Refused(409, f"{known_size}\n", SIZE_MEDIA_TYPE)
        tree = request.checkpoint
        known_root = known.root if known else EMPTY_ROOT
        try:
            verify_consistency(known_size, known_root, tree.size, tree.root, request.proof)
        except InvalidProof as error:
            get_logger().error(
                "checkpoint does not continue the log",
                origin=tree.origin,
                known_size=known_size,
                size=tree.size,
            )
            if tree.size == known_size and tree.root != known_root:
                self._keep_evidence(tree.origin, request.note)
            raise Refused(422, f"{error}\n") from None

    def _cosign(
        self,
        origin: str,
        text: str,
        by_log: Sequence[SignatureLine],
        newest: Note | None,
    ) -> str:
        now = max(int(self._clock.now().timestamp()), self._last_time(newest))
        ours = tuple(signature_line(text, key, now) for key in self._keys)
        note = Note(text, (*by_log, *ours))
        self._store.replace(f"{_folder(origin)}/checkpoint", note.to_bytes())
        return "".join(map(str, ours))

    def _last_time(self, newest: Note | None) -> int:
        """A clock that was set back must not make a larger state look older."""
        if newest is None:
            return 1
        return max(item.at or 1 for item in newest.verified(self._own))

    def _keep_evidence(self, origin: str, note: Note) -> None:
        """Two signed states of one size: this proves to anybody that the log lied."""
        folder = f"{_folder(origin)}/contradictions"
        data = note.to_bytes()
        try:
            if len(self._store.names(folder)) < EVIDENCE_MAX:
                self._store.publish({f"{folder}/{sha256(data).hexdigest()}": data})
        except OSError as error:
            # It is refused all the same, and whoever runs the log has to hear why.
            get_logger().error("evidence is not kept", origin=origin, cause=repr(error))


def _by_origin(log_keys: Iterable[VerifierKey]) -> dict[str, tuple[VerifierKey, ...]]:
    logs: dict[str, tuple[VerifierKey, ...]] = {}
    for key in log_keys:
        logs[key.name] = (*logs.get(key.name, ()), key)
    return logs


def _folder(origin: str) -> str:
    return sha256(origin.encode()).hexdigest()
