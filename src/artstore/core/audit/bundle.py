"""Writes a proof bundle: one zip with a document, its record, its history, and what proves them
to somebody without any access to the archive. Format: docs/formats/proof-bundle.md.
"""

import re
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import BinaryIO
from unicodedata import normalize

from artstore.core.audit.export import record_line
from artstore.core.canonical_json import spell
from artstore.core.model.audit import Disclosures
from artstore.core.model.file import FileRecord
from artstore.core.tlog.notes.note import Note
from artstore.core.tlog.notes.policy import TrustPolicy
from artstore.core.tlog.proof_file import ProofFile

FIXED_TIME = (1980, 1, 1, 0, 0, 0)
"""Of all files in the zip: the same bundle has the same bytes whenever it is made."""

RECEIPT_KEY = "receipt-key"
NAME_BYTES_MAX = 200
"""In UTF-8: file systems take 255 bytes or 255 characters, and whoever unpacks may add some."""
ENDING_CHARS_MAX = 19
_NOT_IN_NAMES = re.compile(r"[^\w. ()-]+")
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d) *(\..*)?", re.IGNORECASE)
"""Names that Windows keeps for itself, with any ending."""

README = """PROOF BUNDLE

This folder proves that the document in document/ is the one that was deposited in the archive, and
that the events in events/ were written down when they say and not changed since.

To check it you need Python 3.8 or newer and its package "cryptography" (pip install cryptography):

    python3 verify.py --key KEY --witness KEY

with the public keys of the archive's log and of its witness, which the archive and whoever runs
the witness publish. Without keys it uses those in keys.json and asks you to compare them. You may
take verify.py from anywhere, or write your own: all formats are public.

document/    the document, byte for byte
attr.json    its record in the archive
events/      what happened to it, one file an event
proofs/      for each event, its place in the log and the signed state of the log
keys.json    the public keys
receipt.jws  the receipt that the archive signed for whoever deposited the document; receipt-key/
             holds the entry of the log that names the key it is signed with
checkpoint   where there is one: the signed state of the log that a time-stamping authority has
             confirmed, and its time stamp (checkpoint.tsr)

That the events are all there are, only an export of the whole log shows.
"""


@dataclass(frozen=True)
class BundledEvent:
    """An entry of the log with its inclusion proof in the state that the bundle is made for."""

    index: int
    entry: bytes
    facts: Disclosures
    proof: Sequence[bytes]


@dataclass(frozen=True)
class BundledReceipt:
    """A deposit receipt, and the event that its key was registered."""

    token: str
    key: BundledEvent


def write_bundle(
    out: BinaryIO,
    *,
    attr: bytes,
    document: Iterable[bytes] | None,
    events: Iterable[BundledEvent],
    note: Note,
    policy: TrustPolicy,
    timestamp: bytes | None = None,
    receipt: BundledReceipt | None = None,
) -> None:
    """Write the zip to `out`, which need not be seekable. Constant memory.

    Args:
        attr: The attr.json, as it is stored.
        document: The content in order; `None` when it was deleted.
        events: All of this file, by index.
        note: The state of the log that proves them, with its cosignatures.
        policy: The keys to put into `keys.json`.
        timestamp: RFC 3161, over the note.
        receipt: What the archive signed for the depositor.
    """
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        _put(archive, "README.txt", [README.encode()])
        _put(archive, "verify.py", [_verifier()])
        _put(archive, "keys.json", [_keys(policy)])
        _put(archive, "attr.json", [attr])
        for event in events:
            _put_event(archive, event, note, "events", "proofs")
        if receipt is not None:
            _put(archive, "receipt.jws", [receipt.token.encode()])
            _put_event(archive, receipt.key, note, RECEIPT_KEY, RECEIPT_KEY)
        if timestamp is not None:
            _put(archive, "checkpoint", [note.to_bytes()])
            _put(archive, "checkpoint.tsr", [timestamp])
        if document is not None:
            filename = FileRecord.from_json(attr).original_filename
            _put(archive, f"document/{safe_name(filename)}", document)


def _put_event(
    archive: zipfile.ZipFile, event: BundledEvent, note: Note, events: str, proofs: str
) -> None:
    name = f"{event.index:012d}"
    line = record_line(event.index, event.entry, event.facts)
    _put(archive, f"{events}/{name}.json", [line])
    proof = ProofFile(event.index, tuple(event.proof), note)
    _put(archive, f"{proofs}/{name}.tlog-proof", [proof.to_bytes()])


def safe_name(filename: str) -> str:
    """A name for the document that every system can unpack. The true one is in attr.json."""
    name = _NOT_IN_NAMES.sub("_", normalize("NFC", filename)).strip(". ")
    if len(name.encode()) > NAME_BYTES_MAX:
        stem, dot, ending = name.rpartition(".")
        ending = f"{dot}{ending}" if stem and len(ending) <= ENDING_CHARS_MAX else ""
        kept = name.removesuffix(ending).encode()[: NAME_BYTES_MAX - len(ending.encode())]
        name = f"{kept.decode(errors='ignore').rstrip('. ')}{ending}"
    if _DEVICES.fullmatch(name):
        name = f"_{name}"
    return name or "document"


def _put(archive: zipfile.ZipFile, name: str, chunks: Iterable[bytes]) -> None:
    info = zipfile.ZipInfo(name, FIXED_TIME)
    # A document may be compressed already; trying again costs time and gains nothing.
    stored = name.startswith("document/")
    info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    with archive.open(info, "w", force_zip64=True) as file:
        for chunk in chunks:
            file.write(chunk)


def _verifier() -> bytes:
    return resources.files("artstore.core.audit").joinpath("verify_bundle.py").read_bytes()


def _keys(policy: TrustPolicy) -> bytes:
    keys = {
        "log_keys": [str(key) for key in policy.log_keys],
        "origin": policy.origin,
        "quorum": policy.quorum,
        "witness_keys": [str(key) for key in policy.witness_keys],
    }
    return spell(keys) + b"\n"
