"""RFC 3161 time stamps over checkpoints: an authority outside of the archive says that a state of
the log existed by a certain time. So nobody can write an old history later, not even with all
keys of the log and its witnesses.

What is stamped is a checkpoint byte for byte, signatures included: they are shown to be older
than the day on which their algorithm was broken.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.x509 import Certificate, load_pem_x509_certificates
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from artstore.core.tlog.errors import ObjectMissing, TlogError
from artstore.core.tlog.notes.checkpoint import Checkpoint
from artstore.core.tlog.notes.note import Note
from artstore.core.tlog.store import LogStore

REQUEST_TYPE = "application/timestamp-query"
RESPONSE_TYPE = "application/timestamp-reply"
RESPONSE_BYTES_MAX = 64 << 10
FOLDER = "stamps"


class InvalidStamp(TlogError):
    """Not a time stamp over this checkpoint by an authority that we believe."""


@dataclass(frozen=True)
class Stamp:
    note: bytes
    """A signed checkpoint."""
    response: bytes
    """The TimeStampResp, DER: `openssl ts -verify -data checkpoint -in checkpoint.tsr`."""

    @property
    def size(self) -> int:
        return Checkpoint.parse(Note.parse(self.note).text).size

    def verified(self, authorities: Sequence[Certificate], nonce: int | None = None) -> datetime:
        """When the authority has seen the checkpoint.

        Args:
            authorities: Root certificates, and others of the chain that the stamp leaves out.
            nonce: That of the request; known only to who asked.

        Raises:
            InvalidStamp: The stamp is none, of something else, or of an unknown authority.
        """
        try:
            response = decode_timestamp_response(self.response)
            verifier = VerifierBuilder(roots=list(authorities), nonce=nonce).build()
            verifier.verify_message(response, self.note)
        except (VerificationError, ValueError) as error:
            raise InvalidStamp(f"the time stamp is not believed: {error}") from None
        return response.tst_info.gen_time.astimezone(UTC)


@dataclass(frozen=True)
class StampRequest:
    body: bytes
    """DER, for a POST to the authority."""
    nonce: int


def stamp_request(note: bytes) -> StampRequest:
    request = TimestampRequestBuilder().data(note).hash_algorithm(HashAlgorithm.SHA256).build()
    assert request.nonce is not None
    return StampRequest(request.as_bytes(), request.nonce)


def read_authorities(path: Path) -> tuple[Certificate, ...]:
    """From a PEM file. Raises `InvalidStamp`."""
    try:
        return tuple(load_pem_x509_certificates(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise InvalidStamp(f"{path} holds no certificates: {error}") from None


class StampFolder:
    """The stamps of a log, beside its tiles. Files that never change. Blocking."""

    def __init__(self, store: LogStore) -> None:
        self._store = store

    def note_to_stamp(self, size: int, note: bytes) -> bytes:
        """`note`, or what a crash has left of an earlier attempt at this size."""
        try:
            return self._store.read(_note_path(size))
        except ObjectMissing:
            return note

    def add(self, stamp: Stamp) -> None:
        """Raises `ObjectConflict` when this size has a stamp."""
        size = stamp.size
        self._store.publish({_note_path(size): stamp.note, _stamp_path(size): stamp.response})

    def newest(self) -> Stamp | None:
        return next(self._read(reversed(self._sizes())), None)

    def every(self) -> Iterator[Stamp]:
        """The smallest state first."""
        return self._read(self._sizes())

    def _read(self, sizes: Iterator[int] | list[int]) -> Iterator[Stamp]:
        for size in sizes:
            try:
                yield Stamp(self._store.read(_note_path(size)), self._store.read(_stamp_path(size)))
            except ObjectMissing:
                continue  # a crash came between the two

    def _sizes(self) -> list[int]:
        return sorted(int(name) for name in self._store.names(FOLDER) if name.isdigit())


def _note_path(size: int) -> str:
    return f"{FOLDER}/{size:012d}/checkpoint"


def _stamp_path(size: int) -> str:
    return f"{FOLDER}/{size:012d}/checkpoint.tsr"
