"""Makes the proof bundle of one document (docs/formats/proof-bundle.md), as a flow."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from artstore.client import audit
from artstore.client.audit import ProvenEvent
from artstore.client.calls import Calls
from artstore.client.downloads import download
from artstore.client.messages import Flow, Pause, Progress, Work
from artstore.client.sinks import destination_of
from artstore.core.audit.bundle import BundledEvent, write_bundle
from artstore.core.errors import InternalError, Unavailable, UnknownAuditEntry
from artstore.core.model.file import FileRecord
from artstore.core.tlog.errors import InvalidKey, TlogError
from artstore.core.tlog.notes.keys import VerifierKey
from artstore.core.tlog.notes.policy import SignedCheckpoint, TrustPolicy
from artstore.core.tlog.proof_file import ProofFile

LOOK_AGAIN_S: Final = 1.0
CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class Bundle:
    """What was written."""

    path: Path
    file_id: str
    events: int
    state: SignedCheckpoint
    """Of the log; everything in the bundle is proven against it."""


@dataclass(frozen=True)
class _History:
    events: list[ProvenEvent] = field(default_factory=list)
    state: SignedCheckpoint | None = None
    """`None` while there are no events."""
    timestamp: bytes | None = None
    attr: bytes | None = None

    def missing(self, policy: TrustPolicy) -> str | None:
        """What this history still lacks to prove the record."""
        recorded = [event.event["details"].get("record_sha256") for event in self.events]
        newest = [digest for digest in recorded if digest][-1:]
        if self.state is None or self.attr is None or newest != [sha256(self.attr).hexdigest()]:
            return "its newest change is not in the audit log yet"
        if not policy.is_confirmed(self.state):
            confirmed = len(self.state.witnesses)
            return f"{confirmed} of {policy.quorum} witnesses have confirmed it so far"
        return None


def bundle(
    calls: Calls, file_id: str, path: Path, *, wait_s: float, progress: Progress | None
) -> Flow[Bundle]:
    """
    Raises:
        Unavailable: After `wait_s` the log did not prove the file's newest state, or too few
            witnesses had confirmed it.
        InternalError: What the server calls a proof is none.
    """
    keys = yield from audit.keys(calls)
    policy = _policy(keys)
    history = yield from _settled(calls, file_id, policy, wait_s)
    assert history.attr is not None
    assert history.state is not None
    is_deleted = FileRecord.from_json(history.attr).deleted is not None
    with TemporaryDirectory(prefix=".proof-", dir=path.absolute().parent) as name:
        document, zipped = Path(name) / "document", Path(name) / "bundle"
        if not is_deleted:
            sink = destination_of(document, file_id, overwrite=True, progress=progress)
            yield from download(calls, file_id, sink)
        content = None if is_deleted else _chunks(document)
        yield Work(lambda: _write(zipped, content, history, policy))
        yield Work(lambda: os.replace(zipped, path))  # noqa: PTH105
    return Bundle(path, file_id, len(history.events), history.state)


def _settled(calls: Calls, file_id: str, policy: TrustPolicy, wait_s: float) -> Flow[_History]:
    """The history, once it proves the record as it is now."""
    waited_s = 0.0
    while True:
        history = yield from _history(calls, file_id, policy)
        missing = history.missing(policy)
        if missing is None:
            return history
        if waited_s >= wait_s:
            raise Unavailable(f"{file_id} cannot be proven yet: {missing}")
        waited_s += LOOK_AGAIN_S
        yield Pause(LOOK_AGAIN_S)


def _policy(keys: audit.AuditKeys) -> TrustPolicy:
    try:
        log_keys = tuple(map(VerifierKey.parse, keys.log_keys))
        witness_keys = tuple(map(VerifierKey.parse, keys.witness_keys))
        return TrustPolicy(keys.origin, log_keys, witness_keys, keys.quorum)
    except (InvalidKey, ValueError) as error:
        raise InternalError(f"the server names keys that are none: {error}") from None


def _history(calls: Calls, file_id: str, policy: TrustPolicy) -> Flow[_History]:
    """With each proof checked."""
    try:
        found = yield from audit.proven_timeline(calls, file_id)
    except UnknownAuditEntry:
        return _History()
    try:
        proofs = [ProofFile.parse(event.proof.encode()) for event in found.items]
        for event, proof in zip(found.items, proofs, strict=True):
            proof.check_place(event.entry)
        notes = {proof.note for proof in proofs}
        (state,) = map(policy.signed_checkpoint, (note.to_bytes() for note in notes))
    except (TlogError, ValueError) as error:
        raise InternalError(f"the server's proofs are none: {error}") from None
    return _History(found.items, state, found.timestamp, found.record)


def _write(
    target: Path, document: Iterator[bytes] | None, history: _History, policy: TrustPolicy
) -> None:
    assert history.attr is not None
    assert history.state is not None
    with target.open("xb") as out:
        write_bundle(
            out,
            attr=history.attr,
            document=document,
            events=map(_entry, history.events),
            note=history.state.note,
            policy=policy,
            timestamp=history.timestamp,
        )
        out.flush()
        os.fsync(out.fileno())


def _entry(event: ProvenEvent) -> BundledEvent:
    proof = ProofFile.parse(event.proof.encode())
    return BundledEvent(event.index, event.entry, event.personal, proof.proof)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
