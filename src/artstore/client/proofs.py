"""Makes the proof bundle of one document (docs/formats/proof-bundle.md), as a flow."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from artstore.client import audit, receipts, records
from artstore.client.audit import ProvenEvent
from artstore.client.calls import Calls
from artstore.client.downloads import download
from artstore.client.messages import Flow, Pause, Progress, Work
from artstore.client.sinks import destination_of
from artstore.core.audit.bundle import BundledEvent, BundledReceipt, write_bundle
from artstore.core.audit.receipts import InvalidReceipt, read_parts
from artstore.core.errors import (
    FileDeleted,
    InternalError,
    InvalidRequest,
    NotPermitted,
    Unavailable,
    UnknownAuditEntry,
)
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
    has_receipt: bool
    """Not when the account may not read the file."""


@dataclass(frozen=True)
class _History:
    events: list[ProvenEvent] = field(default_factory=list)
    policy: TrustPolicy | None = None
    state: SignedCheckpoint | None = None
    """Both `None` while there are no events."""
    timestamp: bytes | None = None
    attr: bytes | None = None
    receipt_key: ProvenEvent | None = None

    @property
    def missing(self) -> str | None:
        """What this history still lacks to prove the record."""
        recorded = [event.event["details"].get("record_sha256") for event in self.events]
        newest = [digest for digest in recorded if digest][-1:]
        if self.state is None or self.attr is None or newest != [sha256(self.attr).hexdigest()]:
            return "its newest change is not in the audit log yet"
        assert self.policy is not None
        if not self.policy.is_confirmed(self.state):
            confirmed = len(self.state.witnesses)
            return f"{confirmed} of {self.policy.quorum} witnesses have confirmed it so far"
        return None


def bundle(
    calls: Calls,
    file_id: str,
    path: Path,
    *,
    receipt: str | None,
    wait_s: float,
    progress: Progress | None,
) -> Flow[Bundle]:
    """
    Args:
        receipt: The one that the depositor kept; `None`: the archive gives one now.

    Raises:
        InvalidRequest: The receipt is none.
        UnknownFile: There is no such file.
        Unavailable: After `wait_s` the log did not prove the file's newest state, or too few
            witnesses had confirmed it.
        InternalError: What the server calls a proof is none.
    """
    # The record has to be known before there is a receipt for it.
    history = yield from _settled(calls, file_id, wait_s)
    receipt = receipt or (yield from _given_receipt(calls, file_id))
    if receipt is not None:
        kid = _key_of(receipt)
        history = yield from _settled(calls, file_id, wait_s, kid)
    assert history.attr is not None
    assert history.state is not None
    is_deleted = FileRecord.from_json(history.attr).deleted is not None
    with TemporaryDirectory(prefix=".proof-", dir=path.absolute().parent) as name:
        document, zipped = Path(name) / "document", Path(name) / "bundle"
        if not is_deleted:
            sink = destination_of(document, file_id, overwrite=True, progress=progress)
            yield from download(calls, file_id, sink)
        content = None if is_deleted else _chunks(document)
        yield Work(lambda: _write(zipped, content, history, receipt))
        yield Work(lambda: os.replace(zipped, path))  # noqa: PTH105
    return Bundle(path, file_id, len(history.events), history.state, receipt is not None)


def _given_receipt(calls: Calls, file_id: str) -> Flow[str | None]:
    try:
        return (yield from receipts.receipt(calls, file_id))
    except NotPermitted:
        return None


def _key_of(receipt: str) -> str:
    try:
        return read_parts(receipt.strip()).kid
    except InvalidReceipt as error:
        raise InvalidRequest(str(error), field="receipt") from None


def _settled(calls: Calls, file_id: str, wait_s: float, kid: str | None = None) -> Flow[_History]:
    """The history, once it proves the record as it is now and the key `kid` of a receipt."""
    waited_s = 0.0
    while True:
        history = yield from _history(calls, file_id, kid)
        if history.attr is None:
            yield from _check_known(calls, file_id)
        missing = history.missing
        if missing is None and kid is not None and history.receipt_key is None:
            missing = "the key of its receipt is not in the audit log"
        if missing is None:
            return history
        if waited_s >= wait_s:
            raise Unavailable(f"{file_id} cannot be proven yet: {missing}")
        waited_s += LOOK_AGAIN_S
        yield Pause(LOOK_AGAIN_S)


def _check_known(calls: Calls, file_id: str) -> Flow[None]:
    """Raises `UnknownFile`: waiting brings nothing. Others may not be able to look."""
    with suppress(FileDeleted, NotPermitted):
        yield from records.info(calls, file_id)


def _policy(keys: audit.AuditKeys) -> TrustPolicy:
    try:
        log_keys = tuple(map(VerifierKey.parse, keys.log_keys))
        witness_keys = tuple(map(VerifierKey.parse, keys.witness_keys))
        return TrustPolicy(keys.origin, log_keys, witness_keys, keys.quorum)
    except (InvalidKey, ValueError) as error:
        raise InternalError(f"the server names keys that are none: {error}") from None


def _history(calls: Calls, file_id: str, kid: str | None) -> Flow[_History]:
    """With each proof checked."""
    try:
        found = yield from audit.proven_timeline(calls, file_id, kid)
    except UnknownAuditEntry:
        return _History()
    # Asked for afterwards: the log may have begun to sign with new keys in between.
    policy = _policy((yield from audit.keys(calls)))
    events = [*found.items, *([found.receipt_key] if found.receipt_key else [])]
    try:
        proofs = [ProofFile.parse(event.proof.encode()) for event in events]
        for event, proof in zip(events, proofs, strict=True):
            proof.check_place(event.entry)
        notes = {proof.note for proof in proofs}
        (state,) = map(policy.signed_checkpoint, (note.to_bytes() for note in notes))
    except (TlogError, ValueError) as error:
        raise InternalError(f"the server's proofs are none: {error}") from None
    return _History(found.items, policy, state, found.timestamp, found.record, found.receipt_key)


def _write(
    target: Path,
    document: Iterator[bytes] | None,
    history: _History,
    receipt: str | None,
) -> None:
    assert history.attr is not None
    assert history.policy is not None
    assert history.state is not None
    bundled = None
    if receipt is not None and history.receipt_key is not None:
        bundled = BundledReceipt(receipt.strip(), _entry(history.receipt_key))
    with target.open("xb") as out:
        write_bundle(
            out,
            attr=history.attr,
            document=document,
            events=map(_entry, history.events),
            note=history.state.note,
            policy=history.policy,
            timestamp=history.timestamp,
            receipt=bundled,
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
